//! Who did what, when: for an organisation, and for the staff over all of them.
//! Lines are only shown; they can be neither changed nor removed from here.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::{FormErrors, SelectOption};
use super::frame::{AdminFrame, Link, PortalFrame};
use super::markup;
use crate::audit::ActorKind;
use crate::web::format;
use crate::web::pages::audit::Search;

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
    /// What was before and after.
    pub changes: Vec<ChangedField>,
    /// From which network address.
    pub address: Option<String>,
    /// With which program.
    pub user_agent: Option<String>,
    /// Whose, for the staff.
    pub organisation: Option<Link>,
}

/// A field that is another now.
#[derive(Clone, Debug)]
pub struct ChangedField {
    /// The field.
    pub name: String,
    /// What was before and after; none where only that is said that it is another.
    pub values: Option<(String, String)>,
}

/// What is looked for, as it was typed.
#[derive(Clone, Debug, Template)]
#[template(path = "audit/search.html")]
pub struct AuditSearch {
    /// The page's path; files are at it with an ending.
    pub path: &'static str,
    /// What was typed, as a query.
    pub query: String,
    /// With the fields that only staff has.
    pub for_staff: bool,
    /// What was typed.
    pub typed: Search,
    /// Whether nothing was.
    pub is_empty: bool,
    /// Events to choose from.
    pub events: Vec<SelectOption>,
    /// Kinds of actors to choose from.
    pub kinds: Vec<SelectOption>,
    /// What is wrong with it.
    pub errors: FormErrors,
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
    /// Whether only some are looked for.
    pub searched: bool,
}

/// `GET /audit`.
#[derive(Debug, Template)]
#[template(path = "audit/list.html")]
pub struct AuditPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The lines.
    pub table: AuditTable,
    /// What is looked for.
    pub search: AuditSearch,
}

/// `GET /admin/audit`.
#[derive(Debug, Template)]
#[template(path = "audit/all.html")]
pub struct AdminAuditPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The lines.
    pub table: AuditTable,
    /// What is looked for.
    pub search: AuditSearch,
}
