//! Who did what to what. An event is appended in the transaction of the change it tells of; the database refuses to change
//! or delete one, and a chain of hashes shows whether somebody did it all the same. What it says is for people: names as they
//! were then, and no secrets.

mod actor;
mod chain;
mod changes;
mod db;
mod event;
mod keep;
mod verify;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

pub use actor::{Actor, ActorKind, Named, Who};
pub use chain::seal;
pub use changes::{Changes, Detail};
pub use event::Event;
pub use keep::{KEPT_DAYS, keep};
pub use verify::{Difference, Proof, prove};

use crate::app::App;
use crate::error::Result;
use crate::ids::{AuditEventId, OrganisationId};

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

/// What customers are told of who works for the operator.
pub const OPERATOR: &str = "Operator";

/// Facts of an event that are for customers as well; the others may name what only operators know of.
const FACTS_FOR_CUSTOMERS: [&str; 35] = [
    "address",
    "amount",
    "because",
    "below_zero",
    "console",
    "daily_limit",
    "days",
    "expires_at",
    "image",
    "left_off",
    "location",
    "members",
    "minutes",
    "moved_to",
    "networks",
    "notices",
    "order",
    "organisation",
    "permissions",
    "plan",
    "prefix",
    "provider",
    "ran_out_at",
    "reason",
    "reference",
    "role",
    "seconds",
    "sends",
    "ssh_keys",
    "to",
    "until",
    "user",
    "user_data",
    "vms",
    "fingerprint",
];

/// An event as it is read back.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct AuditEvent {
    /// Its id; newer ids sort later.
    pub id: AuditEventId,
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// Whose log it is in, with its name; none for the platform's own.
    pub organisation_id: Option<OrganisationId>,
    /// The organisation's name.
    pub organisation_name: Option<String>,
    /// What kind of actor.
    pub actor_kind: ActorKind,
    /// Who answers for it, by the name of that time.
    pub actor: String,
    /// The key of the program that acted, by the name of that time.
    pub actor_key: Option<String>,
    /// As whom a person of the operator acted.
    pub on_behalf: Option<String>,
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
    /// Fields with what was before and after.
    pub changes: Option<Value>,
    /// Where the request came from.
    pub address: Option<String>,
    /// What the program that sent it called itself.
    pub user_agent: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl AuditEvent {
    /// As a customer sees it: who works for the operator and from where is the operator's business, and so is what only
    /// operators know of.
    #[must_use]
    pub fn for_customer(mut self) -> Self {
        if self.actor_kind == ActorKind::Staff {
            OPERATOR.clone_into(&mut self.actor);
            (self.address, self.user_agent) = (None, None);
        }
        if let Value::Object(facts) = &mut self.detail {
            facts.retain(|name, _| FACTS_FOR_CUSTOMERS.contains(&name.as_str()));
        }
        self
    }

    /// Who acted, in words.
    #[must_use]
    pub fn who(&self) -> String {
        match (self.actor_kind, &self.actor_key, &self.on_behalf) {
            (ActorKind::System, ..) => "Uni-Manager".to_owned(),
            (ActorKind::Key, Some(key), _) => format!("key “{key}” of {}", self.actor),
            (ActorKind::Staff, _, Some(customer)) => format!("{} on behalf of {customer}", self.actor),
            _ => self.actor.clone(),
        }
    }
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those of one organisation.
    pub organisation: Option<OrganisationId>,
    /// As a customer sees them.
    pub for_customer: bool,
    /// Only those of organisations whose name contains this, whatever its case.
    pub organisation_name: Option<String>,
    /// Only those with this name.
    pub event: Option<String>,
    /// Only those about this subject.
    pub subject: Option<String>,
    /// Only those by this kind of actor.
    pub kind: Option<ActorKind>,
    /// Only those by actors whose name contains this.
    pub actor: Option<String>,
    /// Only those that contain this anywhere.
    pub text: Option<String>,
    /// Only those from this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Only those before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Only those before this one.
    pub after: Option<AuditEventId>,
}

impl Filter {
    /// Those of an organisation, as a customer sees them.
    #[must_use]
    pub fn of_customer(organisation: OrganisationId) -> Self {
        Self { organisation: Some(organisation), for_customer: true, ..Self::default() }
    }

    /// Events whose words contain the text that is looked for.
    fn events_with_text(&self) -> Vec<&'static str> {
        let Some(text) = self.text.as_deref().map(str::to_lowercase) else { return Vec::new() };
        let says = |name: &&str| Event::words(name).to_lowercase().contains(&text);
        Event::ALL.iter().map(|event| event.name()).filter(says).collect()
    }
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
    detail: impl Into<Detail>,
) -> Result<()> {
    db::insert(connection, now, actor, organisation, event, &subject, &detail.into()).await
}

/// Lists events, newest first, at most `limit` of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, filter: &Filter, limit: i64) -> Result<Vec<AuditEvent>> {
    let found = db::select(&app.pool, filter, limit).await?;
    if !filter.for_customer {
        return Ok(found);
    }
    Ok(found.into_iter().map(AuditEvent::for_customer).collect())
}
