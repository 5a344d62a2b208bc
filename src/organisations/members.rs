//! Who belongs to an organisation and as what: giving roles, removing people, leaving. Whoever changes it first locks the
//! organisation, so that two changes at once cannot take away its last owner.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::mine::OWNED_MAX;
use super::role_choice::RoleChoice;
use super::{db, roles};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::permissions::{Permission, Permissions};
use crate::users::SUSPENDED;
use crate::{api_keys, live};

/// The most people that belong to one organisation.
pub const MEMBERS_MAX: i64 = 500;

const LAST_OWNER: &str = "An organisation keeps at least one owner. Hand it over or make another owner first.";
const OWNERS_ONLY: &str = "Only an owner makes somebody an owner, or changes what an owner is.";
const MAY_MORE: &str = "This person may do more than you, so you cannot change what he may.";
const CANNOT_GIVE: &str = "This role may do more than you, so you cannot give it.";

/// Who asks for a change of people or roles.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The person.
    pub user: UserId,
    /// What he may do, as he asks: a key may do less than its maker.
    pub may: Permissions,
    /// How the audit log has him.
    pub actor: &'a Actor,
}

/// Somebody's place in an organisation, as it stands while that is locked.
#[derive(Debug, Clone)]
pub struct Place {
    /// The person.
    pub user: UserId,
    /// How to call him.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// Whether he is neither suspended nor banned.
    pub is_active: bool,
    /// What he may do.
    pub permissions: Permissions,
    /// His role.
    pub role: RoleChoice,
    /// How that is called.
    pub role_name: String,
}

impl Place {
    fn subject(&self) -> Subject {
        Subject::new("user", self.user, &self.email)
    }
}

/// What a person shows beside his password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactor {
    /// Codes of an authenticator app.
    Totp,
    /// A passkey.
    Passkey,
}

/// A person of an organisation, for its list of members.
#[derive(Debug, Clone)]
pub struct Detail {
    /// The person.
    pub user: UserId,
    /// How to call him.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// Whether he is neither suspended nor banned.
    pub is_active: bool,
    /// Since when he belongs to it.
    pub joined_at: DateTime<Utc>,
    /// What opens his account beside his password.
    pub second_factors: Vec<SecondFactor>,
    /// What he may do.
    pub permissions: Permissions,
    /// His role.
    pub role: RoleChoice,
    /// How that is called.
    pub role_name: String,
}

/// Who belongs to an organisation, the oldest member first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list_members(app: &App, organisation: OrganisationId) -> Result<Vec<Detail>> {
    db::members::select_details(&app.pool, organisation, MEMBERS_MAX).await
}

/// Locks an organisation against other changes of its people and roles, and answers with its name and with what the asker may
/// do there now: no more than he asks with, and no more than he has since.
pub(crate) async fn lock_for(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    asker: Asker<'_>,
    needed: Permission,
) -> Result<(String, Place)> {
    let name = lock(&mut *connection, organisation).await?;
    let mut place = db::members::select_place(connection, organisation, asker.user)
        .await?
        .ok_or(Error::NotFound("organisation"))?;
    if !place.is_active {
        return Err(Error::Forbidden(SUSPENDED));
    }
    place.permissions = place.permissions.only(asker.may);
    if !place.permissions.has(needed) {
        return Err(Error::NotPermitted(needed));
    }
    Ok((name, place))
}

pub(super) async fn lock(connection: &mut PgConnection, organisation: OrganisationId) -> Result<String> {
    db::members::lock(connection, organisation).await?.ok_or(Error::NotFound("organisation"))
}

/// Locks a person against other changes of where he belongs, and refuses who is suspended.
pub(crate) async fn lock_active(connection: &mut PgConnection, user: UserId) -> Result<()> {
    if db::members::lock_user(connection, user).await? {
        return Ok(());
    }
    Err(Error::Forbidden(SUSPENDED))
}

/// Locks who is to own one more organisation against other changes of where he belongs, and checks that he may.
pub(super) async fn lock_receiver(connection: &mut PgConnection, user: UserId) -> Result<()> {
    db::members::lock_user(&mut *connection, user).await?;
    if db::members::count_mine(connection, user).await?.1 >= OWNED_MAX {
        return Err(Error::conflict(format!(
            "That would be one too many: nobody owns more than {OWNED_MAX} organisations."
        )));
    }
    Ok(())
}

/// Checks that somebody may give a role: it may do no more than he, and owners are made by owners.
pub(super) fn check_gives(asker: &Place, role: &roles::Chosen) -> Result<()> {
    if role.choice.is_owner() && !asker.role.is_owner() {
        return Err(Error::Forbidden(OWNERS_ONLY));
    }
    if !role.permissions.is_within(asker.permissions) {
        return Err(Error::Forbidden(CANNOT_GIVE));
    }
    Ok(())
}

/// Checks that somebody may change what another is.
fn check_over(asker: &Place, target: &Place) -> Result<()> {
    if target.role.is_owner() && !asker.role.is_owner() {
        return Err(Error::Forbidden(OWNERS_ONLY));
    }
    if target.user != asker.user && !target.permissions.is_within(asker.permissions) {
        return Err(Error::Forbidden(MAY_MORE));
    }
    Ok(())
}

/// Checks that another owner is left.
async fn check_not_last(connection: &mut PgConnection, organisation: OrganisationId, target: &Place) -> Result<()> {
    if target.role.is_owner() && db::members::count(connection, organisation).await?.1 <= 1 {
        return Err(Error::conflict(LAST_OWNER));
    }
    Ok(())
}

/// Gives a member another role, at once.
///
/// # Errors
/// `Forbidden` when the role or the member may do more than the asker, `Conflict` for the last owner and for who owns as many
/// organisations as one may, `NotFound` when there is no such member, `Invalid` when there is no such role.
pub async fn change_role(
    app: &App,
    organisation: OrganisationId,
    member: UserId,
    role: RoleChoice,
    asker: Asker<'_>,
) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let (_, by) = lock_for(&mut transaction, organisation, asker, Permission::MemberManage).await?;
    let target = find_place(&mut transaction, organisation, member).await?;
    let chosen = roles::choose(&mut transaction, organisation, role).await?;
    if chosen.choice == target.role {
        return Ok(());
    }
    check_over(&by, &target)?;
    check_gives(&by, &chosen)?;
    check_not_last(&mut transaction, organisation, &target).await?;
    if chosen.choice.is_owner() {
        lock_receiver(&mut transaction, member).await?;
    }
    db::members::update_role(&mut transaction, organisation, member, chosen.choice).await?;
    if !target.permissions.is_within(chosen.permissions) {
        withdraw_invitations(app, &mut transaction, organisation, member).await?;
    }
    let changes = Changes::of("role", &target.role_name, &chosen.name)?;
    let event = Event::MemberRoleChanged;
    audit::record(&mut transaction, app.clock.now(), asker.actor, Some(organisation), event, target.subject(), changes)
        .await?;
    live::announce(&mut transaction, None, live::of_person(member)).await?;
    transaction.commit().await?;
    Ok(())
}

/// Takes a member out of an organisation. Who belongs to none then gets one of his own.
///
/// # Errors
/// `Forbidden` when he may do more than the asker, `Conflict` for the last owner, `NotFound` when there is no such member.
pub async fn remove(app: &App, organisation: OrganisationId, member: UserId, asker: Asker<'_>) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let (_, by) = lock_for(&mut transaction, organisation, asker, Permission::MemberManage).await?;
    let target = find_place(&mut transaction, organisation, member).await?;
    check_over(&by, &target)?;
    let told = (Event::MemberRemoved, target.subject());
    take_out(app, &mut transaction, organisation, &target, asker.actor, told).await?;
    transaction.commit().await?;
    Ok(())
}

/// Leaves an organisation. Whose last one it was gets one of his own.
///
/// # Errors
/// `Conflict` for the last owner, `NotFound` when he is no member, `Forbidden` to who is suspended.
pub async fn leave(app: &App, organisation: OrganisationId, user: UserId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let name = lock(&mut transaction, organisation).await?;
    let target = db::members::select_place(&mut transaction, organisation, user).await?;
    // What is not his looks as if it did not exist.
    let target = target.ok_or(Error::NotFound("organisation"))?;
    lock_active(&mut transaction, user).await?;
    let told = (Event::MemberLeft, Subject::new("organisation", organisation, name));
    take_out(app, &mut transaction, organisation, &target, actor, told).await?;
    transaction.commit().await?;
    Ok(())
}

async fn take_out(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    target: &Place,
    actor: &Actor,
    (event, subject): (Event, Subject),
) -> Result<()> {
    check_not_last(&mut *connection, organisation, target).await?;
    // Two organisations that take out the same person at once: the later one sees that he is left with none.
    db::members::lock_user(&mut *connection, target.user).await?;
    db::members::delete(&mut *connection, organisation, target.user).await?;
    withdraw_invitations(app, &mut *connection, organisation, target.user).await?;
    // Keys that he made open nothing any more, also when he comes back.
    api_keys::revoke_all_of(app, &mut *connection, target.user, Some(organisation), actor).await?;
    let now = app.clock.now();
    let detail = json!({ "role": target.role_name });
    audit::record(&mut *connection, now, actor, Some(organisation), event, subject, detail).await?;
    live::announce(&mut *connection, None, live::of_person(target.user)).await?;
    if db::members::count_mine(&mut *connection, target.user).await?.0 == 0 {
        let own = super::create(&mut *connection, &target.name, target.user, now).await?;
        let subject = Subject::new("organisation", own, &target.name);
        let detail = json!({ "because": "it was the last organisation" });
        let event = Event::OrganisationCreated;
        audit::record(connection, now, &Actor::system(), Some(own), event, subject, detail).await?;
    }
    Ok(())
}

/// What somebody promised who may promise less now, or is gone, is promised no more.
async fn withdraw_invitations(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    by: UserId,
) -> Result<()> {
    let now = app.clock.now();
    for invitation in db::invitations::update_withdrawn_by(&mut *connection, organisation, by, now).await? {
        crate::mail::withdraw(&mut *connection, &super::invitations::mail_stem(invitation), now).await?;
    }
    Ok(())
}

pub(super) async fn find_place(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    member: UserId,
) -> Result<Place> {
    db::members::select_place(connection, organisation, member).await?.ok_or(Error::NotFound("member"))
}

/// Whether the asker may give a role, for who shows what can be chosen.
#[must_use]
pub fn may_give(asker_role: RoleChoice, may: Permissions, role: RoleChoice, permissions: Permissions) -> bool {
    (!role.is_owner() || asker_role.is_owner()) && permissions.is_within(may)
}

/// Whether the asker may change what a member is, for who shows it.
#[must_use]
pub fn may_change(asker_role: RoleChoice, may: Permissions, member: &Detail) -> bool {
    (!member.role.is_owner() || asker_role.is_owner()) && member.permissions.is_within(may)
}
