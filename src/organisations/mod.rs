//! Organisations own everything a customer has. Every person gets one at sign-up.

mod db;
mod hand_over;
mod invitations;
mod members;
mod mine;
mod role_choice;
mod roles;

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use hand_over::hand_over;
pub use invitations::{
    GOOD_DAYS, Invitation, OPEN_MAX, Offer, SENDS_MAX, Token, accept, invite, list_invitations, offer, send_again,
    withdraw,
};
pub use members::{
    Asker, Detail, MEMBERS_MAX, SecondFactor, change_role, leave, list_members, may_change, may_give, remove,
};
pub(crate) use members::{lock_active, lock_for};
pub use mine::{Mine, OWNED_MAX, brief_of, create_another, mine, rename};
pub use role_choice::RoleChoice;
pub use roles::{
    Listed, NewRole, OwnRole, change_role as change_own_role, create_role, delete_role, find_role, list_roles,
};

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::permissions::{Permissions, Role};

/// The most organisations one page shows.
pub const PAGE_MAX: i64 = 50;

/// An organisation.
#[derive(Debug, Clone)]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// Its short number, for people.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A person's place in an organisation.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Which.
    pub organisation: Organisation,
    /// What he may do there.
    pub permissions: Permissions,
}

impl Membership {
    /// From the two ways a member's role is stored: the name of one that every organisation has, or the patterns of one of
    /// its own. What is not known allows nothing.
    pub(crate) fn new(organisation: Organisation, role: Option<&str>, patterns: Option<&[String]>) -> Self {
        Self { organisation, permissions: Self::permissions_of(role, patterns) }
    }

    fn permissions_of(role: Option<&str>, patterns: Option<&[String]>) -> Permissions {
        match (role.and_then(Role::parse), patterns) {
            (Some(role), _) => role.permissions(),
            (None, Some(patterns)) => own_role(patterns),
            (None, None) => Permissions::NONE,
        }
    }
}

/// What a role of an organisation's own may do: never what is for the platform's staff, whatever was stored.
fn own_role(patterns: &[String]) -> Permissions {
    Permissions::of_patterns(patterns.iter().map(String::as_str)).only(Role::Owner.permissions())
}

/// An organisation as an admin sees it in a list.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = OrganisationLine)]
pub struct CustomerLine {
    /// Its id.
    pub id: OrganisationId,
    /// Its short number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// The name of its first owner.
    pub owner_name: String,
    /// The e-mail address of its first owner.
    pub owner_email: String,
    /// How many machines it has, and how many of them run.
    pub vms: i64,
    /// How many of them run.
    pub vms_running: i64,
    /// The wallet's balance.
    pub balance: Money,
    /// Burn per hour.
    pub burn_per_hour: Rate,
    /// When the credit runs out, if it does.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// Since when it has run out.
    pub exhausted_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Makes an organisation with its owner and its wallet.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn create(
    connection: &mut PgConnection,
    name: &str,
    owner: UserId,
    now: DateTime<Utc>,
) -> Result<OrganisationId> {
    let id = OrganisationId::new();
    db::insert(&mut *connection, id, name, now).await?;
    db::insert_member(&mut *connection, id, owner, Role::Owner.name(), now).await?;
    crate::ledger::open_wallet(connection, id, now).await?;
    Ok(id)
}

/// A person's place in an organisation; in the first one unless `wanted` names another of his.
///
/// # Errors
/// `NotFound` when he belongs to none, or not to the wanted one.
pub async fn of_member(
    connection: &mut PgConnection,
    user: UserId,
    wanted: Option<OrganisationId>,
) -> Result<Membership> {
    db::select_of_member(connection, user, wanted).await?.ok_or(Error::NotFound("organisation"))
}

/// A person of an organisation.
#[derive(Debug, Clone)]
pub struct Member {
    /// The person.
    pub user: UserId,
    /// How to call him.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// What he may do there.
    pub permissions: Permissions,
}

/// Who belongs to an organisation, the oldest account first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn members(connection: &mut PgConnection, id: OrganisationId) -> Result<Vec<Member>> {
    db::select_members(connection, id, MEMBERS_MAX).await
}

/// The name of an organisation.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn name_of(connection: &mut PgConnection, id: OrganisationId) -> Result<String> {
    db::select_name(connection, id).await?.ok_or(Error::NotFound("organisation"))
}

/// An organisation by id, for staff.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn find(app: &App, id: OrganisationId) -> Result<Organisation> {
    db::select(&app.pool, id).await?.ok_or(Error::NotFound("organisation"))
}

/// Customers for staff, newest first, by name or e-mail address when `search` is given, before `after`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(
    app: &App,
    search: Option<&str>,
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<CustomerLine>> {
    let filter = db::Filter { search, after, ..db::Filter::default() };
    db::select_lines(&app.pool, &filter, limit.clamp(1, PAGE_MAX + 1)).await
}

/// Which wallets are short of credit.
#[derive(Debug, Clone, Copy)]
pub enum Short {
    /// They run out before this instant.
    EndingBefore(DateTime<Utc>),
    /// They have run out.
    Empty,
}

/// Customers whose credit ends or has ended, newest first, before `after`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list_short_of_credit(
    app: &App,
    short: Short,
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<CustomerLine>> {
    let filter = db::Filter { short: Some(short), after, ..db::Filter::default() };
    db::select_lines(&app.pool, &filter, limit.clamp(1, PAGE_MAX + 1)).await
}

/// One customer's line, for staff.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn line(app: &App, id: OrganisationId) -> Result<CustomerLine> {
    db::select_lines(&app.pool, &db::Filter { only: Some(id), ..db::Filter::default() }, 1)
        .await?
        .pop()
        .ok_or(Error::NotFound("organisation"))
}
