//! The pages of an organisation: its people, its roles, its quotas, its settings; and those of a person's organisations.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::{FormErrors, SelectOption};
use super::frame::{BareFrame, PortalFrame};
use super::markup;
use crate::permissions::Permission;
use crate::web::format;

/// Which part of an organisation's pages is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Who belongs to it, and who is invited.
    Members,
    /// What one may be there.
    Roles,
    /// How much it may have.
    Quotas,
    /// Its name, and whose it is.
    Settings,
}

/// A person in the list of members.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// Id in URLs.
    pub id: String,
    /// How to call him.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// How his role is called.
    pub role_name: String,
    /// His role as forms send it.
    pub role: String,
    /// Since when he belongs to it.
    pub joined_at: DateTime<Utc>,
    /// It is who looks.
    pub is_self: bool,
    /// Neither suspended nor banned.
    pub is_active: bool,
    /// Who looks may give him another role and remove him.
    pub may_change: bool,
    /// What opens his account beside his password; empty when nothing does.
    pub second_factors: &'static str,
}

/// An invitation that waits.
#[derive(Clone, Debug)]
pub struct InvitationRow {
    /// Id in URLs.
    pub id: String,
    /// Where it went to.
    pub email: String,
    /// The role that is promised.
    pub role_name: String,
    /// Who invited.
    pub invited_by: String,
    /// When it was last sent.
    pub sent_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// Its time is over.
    pub is_expired: bool,
    /// It may be sent once more.
    pub may_send: bool,
}

/// What was typed to invite somebody. Fields: `email`, `role`.
#[derive(Clone, Debug, Default)]
pub struct InviteForm {
    /// The address.
    pub email: String,
    /// The chosen role.
    pub role: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// `GET /organisation`, and `POST /organisation/invitations` when it was refused.
#[derive(Debug, Template)]
#[template(path = "organisations/members.html")]
pub struct MembersPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The page that is open.
    pub tab: Tab,
    /// The oldest first.
    pub members: Vec<MemberRow>,
    /// The newest first.
    pub invitations: Vec<InvitationRow>,
    /// The roles that who looks may give.
    pub roles: Vec<SelectOption>,
    /// The form to invite somebody.
    pub form: InviteForm,
    /// For how many days an invitation is good.
    pub good_days: i64,
}

/// A role in the list.
#[derive(Clone, Debug)]
pub struct RoleRow {
    /// Id in URLs; none for one that every organisation has.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Option<&'static str>,
    /// What it is made of.
    pub patterns: Vec<String>,
    /// How many people have it.
    pub members: u64,
    /// Who looks may change it.
    pub may_change: bool,
}

/// Permissions about one thing.
#[derive(Clone, Debug)]
pub struct PermissionGroup {
    /// What they are about.
    pub title: String,
    /// The pattern that stands for all of them; none where there is but one.
    pub all: Option<PermissionChoice>,
    /// Each of them.
    pub permissions: Vec<PermissionChoice>,
}

/// A permission that a role can have.
#[derive(Clone, Debug)]
pub struct PermissionChoice {
    /// Its name or pattern.
    pub pattern: String,
    /// What it is for.
    pub purpose: String,
    /// The role has it.
    pub chosen: bool,
    /// Who looks may do it himself.
    pub held: bool,
}

/// `GET /organisation/roles`.
#[derive(Debug, Template)]
#[template(path = "organisations/roles.html")]
pub struct RolesPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The page that is open.
    pub tab: Tab,
    /// Those that every organisation has, then its own.
    pub roles: Vec<RoleRow>,
    /// Every permission with its purpose.
    pub groups: Vec<PermissionGroup>,
}

/// `GET /organisation/roles/new` and `/organisation/roles/{id}`, and `POST` to them when it was refused.
#[derive(Debug, Template)]
#[template(path = "organisations/role.html")]
pub struct RolePage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Id in URLs; none for a new one.
    pub id: Option<String>,
    /// As it was stored, for the title.
    pub title: String,
    /// As it was typed.
    pub name: String,
    /// Every permission.
    pub groups: Vec<PermissionGroup>,
    /// How many people have it.
    pub members: u64,
    /// What they can get instead when it is deleted.
    pub others: Vec<SelectOption>,
    /// What is wrong.
    pub errors: FormErrors,
}

/// A quota with what is used of it.
#[derive(Clone, Debug)]
pub struct QuotaRow {
    /// What it is of.
    pub title: &'static str,
    /// How much is used, in words; none where it is not counted here.
    pub used: Option<String>,
    /// How much there may be, in words.
    pub limit: String,
    /// How full it is, 0 to 100.
    pub percent: u8,
    /// Nothing more fits.
    pub is_full: bool,
    /// It is not the default of the platform.
    pub is_own: bool,
    /// What else there is to say.
    pub note: &'static str,
}

/// `GET /organisation/quotas`.
#[derive(Debug, Template)]
#[template(path = "organisations/quotas.html")]
pub struct QuotasPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The page that is open.
    pub tab: Tab,
    /// Every quota.
    pub rows: Vec<QuotaRow>,
    /// A link to where to ask for more.
    pub ask_url: Option<String>,
}

/// `GET /organisation/settings`, and `POST` to it and to `/organisation/hand-over` when it was refused.
#[derive(Debug, Template)]
#[template(path = "organisations/settings.html")]
pub struct SettingsPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The page that is open.
    pub tab: Tab,
    /// Id in URLs.
    pub id: String,
    /// The short number, for people.
    pub number: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The name as it was typed.
    pub name: String,
    /// Who could become its owner.
    pub successors: Vec<SelectOption>,
    /// Who looks owns it.
    pub is_owner: bool,
    /// Whom invoices are made out to.
    pub details: super::invoices::DetailsForm,
    /// Fields: `name`, `member`.
    pub errors: FormErrors,
}

/// An organisation of a person.
#[derive(Clone, Debug)]
pub struct MineRow {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// His role there.
    pub role_name: String,
    /// How many people belong to it.
    pub members: u64,
    /// It is the one that his pages show.
    pub is_open: bool,
}

/// `GET /organisations`, and `POST` to it when it was refused.
#[derive(Debug, Template)]
#[template(path = "organisations/mine.html")]
pub struct MinePage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The oldest first.
    pub rows: Vec<MineRow>,
    /// The name of another as it was typed.
    pub name: String,
    /// Field: `name`.
    pub errors: FormErrors,
}

/// Who looks at an invitation.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// Nobody is logged in.
    Stranger,
    /// The person that it is for; with the token for forms.
    Invited(String),
    /// Somebody with another address; with it and the token for forms.
    Other(String, String),
}

/// `GET /invitation`.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "organisations/invitation.html")]
pub struct InvitationPage {
    /// Around the page.
    pub frame: BareFrame,
    /// The token, to be sent back.
    pub token: String,
    /// Into which organisation.
    pub organisation: String,
    /// As what.
    pub role_name: String,
    /// Who invites.
    pub invited_by: String,
    /// Where it was sent to.
    pub email: String,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// Who looks at it.
    pub visitor: Visitor,
    /// Where to come back to after logging in, as a part of a query.
    pub next: String,
    /// Is registering open?
    pub may_register: bool,
}

/// What the permissions that begin so are about.
pub fn group_title(beginning: &str) -> String {
    match beginning {
        "organisation" => "Organisation",
        "member" => "Members",
        "role" => "Roles",
        "api_key" => "API keys",
        "audit" => "Audit log",
        "notice" => "Notices",
        "vm" => "VMs",
        "ssh_key" => "SSH keys",
        "billing" => "Money",
        other => other,
    }
    .to_owned()
}
