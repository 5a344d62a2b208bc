//! Who of the operator's people is what. There is always an admin who can come in.

use serde::Deserialize;
use serde_json::json;

use super::{PEOPLE_MAX, Person, db, lock_for};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::live;
use crate::permissions::{Permission, PlatformRole};
use crate::users;

/// What a person is to be.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[schema(as = NewPlatformRole)]
pub struct NewRole {
    /// `admin`, `operator` or `support`; none makes him a customer like any other.
    pub role: Option<PlatformRole>,
}

/// The operator's people, the mightiest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn people(app: &App) -> Result<Vec<Person>> {
    db::select_staff(&app.pool, PEOPLE_MAX).await
}

/// As [`set_role`], for the person with an e-mail address.
///
/// # Errors
/// As [`set_role`], `Invalid` when nobody has this address.
pub async fn set_role_by_email(app: &App, email: &str, role: PlatformRole, actor: &Actor) -> Result<Person> {
    let user = db::select_by_email(&app.pool, email.trim()).await?;
    let user = user.ok_or_else(|| Error::invalid("email", "Nobody with this address has registered here."))?;
    set_role(app, user, Some(role), actor).await
}

/// Gives a person a role on the platform, or takes it from him. It counts at once.
///
/// # Errors
/// `NotFound` without such a person, `Conflict` for oneself and for the last admin, and for somebody who is not active or
/// has not confirmed his address; `Forbidden` and `NotPermitted` when the actor may not do it any more.
pub async fn set_role(app: &App, user: UserId, role: Option<PlatformRole>, actor: &Actor) -> Result<Person> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    lock_for(&mut transaction, actor, Permission::PlatformStaffManage).await?;
    let people = db::select_people(&mut transaction, None, Some(user), 1);
    let before = people.await?.pop().ok_or(Error::NotFound("person"))?;
    if before.platform_role == role {
        transaction.commit().await?;
        return Ok(before);
    }
    if actor.user() == Some(user) {
        return Err(Error::conflict("This is you. Another admin can change what you are."));
    }
    if role != Some(PlatformRole::Admin) && db::is_last_admin(&mut transaction, user).await? {
        return Err(Error::conflict("This is the last admin of the platform. Make another one first."));
    }
    if role.is_some() && before.state != users::UserState::Active {
        return Err(Error::conflict("Only somebody whose account is active can work for the platform."));
    }
    // Anybody can register with an address; only who reads its mails is who was meant.
    let is_verified = users::find(&mut transaction, user).await?.is_some_and(|user| user.is_verified);
    if role.is_some() && !is_verified {
        return Err(Error::conflict(
            "Nobody has confirmed this e-mail address yet, so the account may be a stranger’s. Have it confirmed first.",
        ));
    }
    db::update_role(&mut transaction, user, role).await?;
    // Who works for the platform is nobody that others may look as, and who does not looks as nobody.
    super::impersonate::end_of_person(app, &mut transaction, user, actor).await?;
    let subject = Subject::new("user", user, &before.email);
    let event = if role.is_some() { Event::StaffRoleGiven } else { Event::StaffRoleTaken };
    let named = |role: Option<PlatformRole>| role.map(PlatformRole::name);
    let detail =
        Changes::of("platform_role", &named(before.platform_role), &named(role))?.with(json!({ "role": named(role) }));
    audit::record(&mut transaction, now, actor, None, event, subject, detail).await?;
    live::announce(&mut transaction, None, live::of_person(user)).await?;
    transaction.commit().await?;
    super::person(app, user).await
}
