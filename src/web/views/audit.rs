//! Who did what, when: for an organisation, and for the staff over all of them.
//! Lines are only shown; they can be neither changed nor removed from here.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::SelectOption;
use super::frame::{AdminFrame, Link, PortalFrame};
use super::markup;
use crate::web::format;

/// Who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A person of the organisation.
    Customer,
    /// A person of the operator.
    Staff,
    /// The platform by itself.
    Platform,
}

/// A line of the audit log.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// When.
    pub at: DateTime<Utc>,
    /// Name or e-mail of who acted; `Uni-Manager` for the platform.
    pub who: String,
    /// What kind of actor.
    pub actor: ActorKind,
    /// What was done, in words.
    pub text: String,
    /// The event's name: `vm.created`.
    pub event: String,
    /// To what, when it still leads somewhere.
    pub subject: Option<Link>,
    /// From which network address.
    pub address: Option<String>,
    /// Whose, for the staff.
    pub organisation: Option<Link>,
}

/// Lines of the log, newest first.
#[derive(Clone, Debug, Template)]
#[template(path = "audit/table.html")]
pub struct AuditTable {
    /// Newest first.
    pub events: Vec<AuditRow>,
    /// With a column for the organisation.
    pub with_organisation: bool,
    /// Where older lines are.
    pub older_url: Option<String>,
    /// Back to the newest, when this is not them.
    pub newest_url: Option<String>,
}

/// `GET /audit`.
#[derive(Debug, Template)]
#[template(path = "audit/list.html")]
pub struct AuditPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The lines.
    pub table: AuditTable,
}

/// `GET /admin/audit?event=&organisation=`.
#[derive(Debug, Template)]
#[template(path = "audit/all.html")]
pub struct AdminAuditPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The lines.
    pub table: AuditTable,
    /// Event chosen, or empty.
    pub event: String,
    /// Events to choose from.
    pub events: Vec<SelectOption>,
    /// Organisation typed, or empty.
    pub organisation: String,
}
