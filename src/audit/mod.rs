//! Who did what to what. An event is appended in the transaction of the change it tells of; the database refuses to change
//! or delete one. What it says is for people: names as they were then, and no secrets.

mod db;
mod event;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

pub use event::Event;

use crate::app::App;
use crate::error::Result;
use crate::ids::{AuditEventId, OrganisationId, UserId};

/// Who acted, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The person; none when the platform itself acted.
    pub user: Option<UserId>,
    /// How to call the actor: an e-mail address or `system`.
    pub name: String,
    /// The network address the request came from.
    pub address: Option<String>,
    /// The id of the request, as its answer and the log have it.
    pub request_id: Option<String>,
}

impl Actor {
    /// The platform itself.
    #[must_use]
    pub fn system() -> Self {
        Self { user: None, name: "system".into(), address: None, request_id: None }
    }
}

/// What was acted on.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The noun: `vm`, `wallet`, `cluster`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its name at that time.
    pub name: String,
}

impl Subject {
    /// A subject by noun, id and name.
    pub fn new(kind: &'static str, id: impl ToString, name: impl Into<String>) -> Self {
        Self { kind, id: id.to_string(), name: name.into() }
    }
}

/// An event as it is read back.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AuditEvent {
    /// Its id; newer ids sort later.
    pub id: AuditEventId,
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// Whose log it is in, with its name; none for the platform's own.
    pub organisation_id: Option<OrganisationId>,
    /// The organisation's name.
    pub organisation_name: Option<String>,
    /// Who acted, by the name of that time.
    pub actor: String,
    /// Whether that is a person of the operator.
    pub by_staff: bool,
    /// The stored name of the event.
    pub event: String,
    /// The noun acted on.
    pub subject_kind: String,
    /// Its id.
    pub subject_id: String,
    /// Its name at that time.
    pub subject_name: String,
    /// What else is worth knowing; never a secret.
    pub detail: Value,
    /// Where the request came from.
    pub address: Option<String>,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those of one organisation.
    pub organisation: Option<OrganisationId>,
    /// Only those of organisations whose name contains this, whatever its case.
    pub organisation_name: Option<String>,
    /// Only those with this name.
    pub event: Option<String>,
    /// Only those about this subject.
    pub subject: Option<String>,
    /// Only those before this one.
    pub after: Option<AuditEventId>,
}

/// Appends an event to somebody's transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn record(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    actor: &Actor,
    organisation: Option<OrganisationId>,
    event: Event,
    subject: Subject,
    detail: Value,
) -> Result<()> {
    db::insert(connection, now, actor, organisation, event, &subject, &detail).await
}

/// Lists events, newest first, at most `limit` of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, filter: &Filter, limit: i64) -> Result<Vec<AuditEvent>> {
    db::select(&app.pool, filter, limit).await
}
