//! Suspending and banning people, and ending that. It counts at once, at every door: the person's state is looked at with
//! each request, and open streams and consoles are told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::{Person, checked_reason, db, lock_for};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId, VmId};
use crate::mail::{self, NewMail, Recipient};
use crate::permissions::{Permission, Permissions};
use crate::users::UserState;
use crate::vms::{self, Power};
use crate::{api_keys, live, sessions};

/// How many machines of an organisation are shut down with a suspension.
const VMS_MAX: i64 = 1_000;

/// What is to become of a person.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct NewStanding {
    /// What he may do here from now on.
    pub state: UserState,
    /// Why. The person reads it in a mail, and his organisation in its log.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub reason: String,
    /// Whether the machines of the organisation are shut down as well; only with a suspension or a ban.
    #[serde(default)]
    pub shut_down_vms: bool,
}

/// What has become of him.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Standing)]
pub struct Stood {
    /// The person as he is now.
    pub person: Person,
    /// How many machines are being shut down.
    pub vms_shut_down: usize,
}

/// Suspends or bans a person of an organisation, or ends that. The same again changes nothing. With a ban all his logins
/// end and his API keys are revoked; his machines stay as they are unless they are to be shut down.
///
/// # Errors
/// `Invalid` without a reason; `NotFound` when he does not belong to the organisation; `Conflict` for oneself and for the
/// last admin; `NotPermitted` for the operator's own people, without the right to manage those; `Forbidden` and `NotPermitted` when
/// the actor may not do it any more.
pub async fn set_standing(
    app: &App,
    organisation: OrganisationId,
    user: UserId,
    new: &NewStanding,
    actor: &Actor,
) -> Result<Stood> {
    let reason = match new.state {
        UserState::Active => None,
        UserState::Suspended | UserState::Banned => Some(checked_reason(&new.reason)?),
    };
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let may = lock_for(&mut transaction, actor, Permission::PlatformCustomerStanding).await?;
    let people = db::select_people(&mut transaction, Some(organisation), Some(user), 1);
    let before = people.await?.pop().ok_or(Error::NotFound("person"))?;
    check(&mut transaction, &before, new.state, may, actor).await?;
    let changed = before.state != new.state || before.state_reason.as_deref() != reason;
    if changed {
        db::update_state(&mut transaction, user, new.state, reason, now).await?;
        if new.state == UserState::Banned {
            sessions::end_all_in(app, &mut transaction, user, None).await?;
            api_keys::revoke_all_of(app, &mut transaction, user, None, actor).await?;
        }
        if new.state != UserState::Active {
            super::impersonate::end_of_person(app, &mut transaction, user, actor).await?;
        }
        let subject = Subject::new("user", user, &before.email);
        let event = match new.state {
            UserState::Active => Event::UserReinstated,
            UserState::Suspended => Event::UserSuspended,
            UserState::Banned => Event::UserBanned,
        };
        let detail = Changes::of("state", &before.state, &new.state)?.with(json!({ "reason": reason }));
        audit::record(&mut transaction, now, actor, Some(organisation), event, subject, detail).await?;
        live::announce(&mut transaction, None, live::of_person(user)).await?;
        tell(app, &mut transaction, &before, new.state, reason, now).await?;
    }
    transaction.commit().await?;
    let shuts_down = new.shut_down_vms && new.state != UserState::Active;
    let vms_shut_down = if shuts_down { shut_down(app, organisation, actor).await? } else { 0 };
    Ok(Stood { person: super::person(app, user).await?, vms_shut_down })
}

async fn check(
    connection: &mut PgConnection,
    before: &Person,
    state: UserState,
    may: Permissions,
    actor: &Actor,
) -> Result<()> {
    if actor.user() == Some(before.id) {
        return Err(Error::conflict("This is you. Ask another admin."));
    }
    if before.platform_role.is_some() {
        if !may.has(Permission::PlatformStaffManage) {
            return Err(Error::NotPermitted(Permission::PlatformStaffManage));
        }
        if state != UserState::Active && db::is_last_admin(connection, before.id).await? {
            return Err(Error::conflict("This is the last admin of the platform."));
        }
    }
    Ok(())
}

/// Shuts down what runs. A machine that is busy or gone meanwhile is left out.
async fn shut_down(app: &App, organisation: OrganisationId, actor: &Actor) -> Result<usize> {
    let running: Vec<VmId> = vms::list(app, organisation, None, VMS_MAX)
        .await?
        .into_iter()
        .filter(|vm| vm.state == vms::State::Running)
        .map(|vm| vm.id)
        .collect();
    let mut count = 0;
    for vm in running {
        match vms::power(app, organisation, vm, Power::Shutdown, actor).await {
            Ok(_) => count += 1,
            Err(Error::Conflict(_) | Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Writes to the person what has become of his account.
async fn tell(
    app: &App,
    connection: &mut PgConnection,
    person: &Person,
    state: UserState,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    let why = reason.map(|reason| format!("The operator’s reason: {reason}\n\n")).unwrap_or_default();
    let (subject, body) = match state {
        UserState::Active => (
            "Your account is open again",
            "The operator has opened your account again. You can log in and do everything that you could do before."
                .to_owned(),
        ),
        UserState::Suspended => (
            "Your account is suspended",
            format!(
                "The operator has suspended your account. You can log in and look at everything, and change nothing.\n\n{why}Write to the operator if you think that this is wrong."
            ),
        ),
        UserState::Banned => (
            "Your account is closed",
            format!(
                "The operator has closed your account. You are logged out everywhere and cannot log in.\n\n{why}Write to the operator if you think that this is wrong."
            ),
        ),
    };
    let new = NewMail {
        key: format!("standing:{}:{}:{}", person.id, state.name(), now.timestamp_micros()),
        kind: "account",
        to: Recipient { address: person.email.clone(), name: person.name.clone(), user: Some(person.id) },
        organisation: None,
        subject: subject.to_owned(),
        body: mail::text::AccountMail { name: &person.name, body: &body, link: None, portal: &app.settings.public_url }
            .text(),
        secret: None,
    };
    mail::enqueue(connection, new, now).await?;
    Ok(())
}
