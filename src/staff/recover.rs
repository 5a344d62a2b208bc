//! Taking a lost second factor from a person. It is the way around what protects his account, so it is for few, has a reason,
//! ends every login of his, and he and his organisation are told.

use serde::Deserialize;
use serde_json::json;

use super::{Person, checked_reason, db, lock_for};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::permissions::Permission;
use crate::{second_factor, sessions, users};

/// Why a second factor is taken.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewRecovery {
    /// Why. The person reads it in a mail, and his organisation in its log.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub reason: String,
}

/// Takes the authenticator app, all passkeys and the recovery codes of a person of an organisation, and logs him out
/// everywhere: his password, or his account at the identity provider, opens the account until he sets up another factor.
///
/// # Errors
/// `Invalid` without a reason; `NotFound` when he does not belong to the organisation; `Conflict` for oneself and for who has
/// none; `NotPermitted` for the operator's own people, without the right to manage those; `Forbidden` and `NotPermitted` when the
/// actor may not do it any more.
pub async fn recover(
    app: &App,
    organisation: OrganisationId,
    user: UserId,
    new: &NewRecovery,
    actor: &Actor,
) -> Result<Person> {
    let reason = checked_reason(&new.reason)?;
    let mut transaction = app.pool.begin().await?;
    let may = lock_for(&mut transaction, actor, Permission::PlatformCustomerRecover).await?;
    let people = db::select_people(&mut transaction, Some(organisation), Some(user), 1);
    let person = people.await?.pop().ok_or(Error::NotFound("person"))?;
    if actor.user() == Some(user) {
        return Err(Error::conflict(
            "This is you. Remove your second factor in your own account, or ask another admin.",
        ));
    }
    if person.platform_role.is_some() && !may.has(Permission::PlatformStaffManage) {
        return Err(Error::NotPermitted(Permission::PlatformStaffManage));
    }
    let user = users::lock(&mut transaction, user).await?;
    let had = second_factor::reset(app, &mut transaction, &user, reason).await?;
    let ended = sessions::end_all_in(app, &mut transaction, user.id, None).await?;
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "reason": reason, "totp": had.totp, "passkeys": had.passkeys, "logged_out": ended });
    let (now, organisation) = (app.clock.now(), Some(organisation));
    audit::record(&mut transaction, now, actor, organisation, Event::SecondFactorReset, subject, detail).await?;
    transaction.commit().await?;
    super::person(app, user.id).await
}
