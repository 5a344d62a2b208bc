//! Looking at the portal as a customer sees it. It is for a stated reason and for a short time that cannot be made longer; it
//! goes on in one browser; what it may not do is said with the permissions (`Permissions::on_behalf`) and with the doors.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;

use super::{checked_reason, db, lock_for};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{ImpersonationId, OrganisationId, SessionId, UserId};
use crate::live;
use crate::permissions::Permission;
use crate::users::UserState;

/// How long somebody looks as a customer at most.
pub const IMPERSONATION_MINUTES: i64 = 30;

/// As whom, and why.
#[derive(Debug, Clone, Deserialize)]
pub struct NewImpersonation {
    /// The person.
    pub user: UserId,
    /// Why. The customer reads it in his log.
    #[serde(default)]
    pub reason: String,
}

/// Begins to look as a person of an organisation, in a browser of the staff. Answers until when, by the machine's time.
///
/// # Errors
/// `Invalid` without a reason, `NotFound` when he does not belong to the organisation, `Conflict` for the operator's own
/// people, for somebody who is banned, and while it goes on already; `Forbidden` and `NotPermitted` when the actor may not do it any
/// more.
pub async fn impersonate(
    app: &App,
    session: SessionId,
    organisation: OrganisationId,
    new: &NewImpersonation,
    actor: &Actor,
) -> Result<DateTime<Utc>> {
    let reason = checked_reason(&new.reason)?;
    let staff = actor.user().ok_or(Error::Forbidden("Only a person looks as a customer."))?;
    let mut transaction = app.pool.begin().await?;
    lock_for(&mut transaction, actor, Permission::PlatformCustomerImpersonate).await?;
    let people = db::select_people(&mut transaction, Some(organisation), Some(new.user), 1);
    let person = people.await?.pop().ok_or(Error::NotFound("person"))?;
    if person.platform_role.is_some() {
        return Err(Error::conflict("This person works for the platform: nobody looks as one of us."));
    }
    if person.state == UserState::Banned {
        return Err(Error::conflict("This person is banned: there is nothing that he sees."));
    }
    let now = app.clock.machine_now();
    for ended in db::end_over(&mut transaction, now).await? {
        told(app, &mut transaction, &ended, "over", &Actor::system()).await?;
    }
    let ends_at = now + TimeDelta::minutes(IMPERSONATION_MINUTES);
    let row = db::NewImpersonationRow {
        id: ImpersonationId::new(),
        session,
        staff,
        user: new.user,
        organisation,
        reason,
        started_at: now,
        ends_at,
    };
    db::insert_impersonation(&mut transaction, &row).await?;
    let subject = Subject::new("user", person.id, &person.email);
    let detail = json!({ "reason": reason, "minutes": IMPERSONATION_MINUTES });
    let event = Event::ImpersonationBegun;
    audit::record(&mut transaction, app.clock.now(), actor, Some(organisation), event, subject, detail).await?;
    transaction.commit().await?;
    Ok(ends_at)
}

/// Ends it in a browser. Answers with whose organisation it was; none when nothing went on.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn stop(app: &App, session: SessionId, actor: &Actor) -> Result<Option<OrganisationId>> {
    let mut transaction = app.pool.begin().await?;
    let ended = db::end_of_session(&mut transaction, session, app.clock.machine_now()).await?;
    if let Some(ended) = &ended {
        told(app, &mut transaction, ended, "stopped", actor).await?;
    }
    transaction.commit().await?;
    Ok(ended.map(|ended| ended.organisation))
}

/// Ends what has gone on for as long as it may, or whose browser was logged out. Answers how many that were.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn end_over(app: &App) -> Result<usize> {
    let mut transaction = app.pool.begin().await?;
    let ended = db::end_over(&mut transaction, app.clock.machine_now()).await?;
    for ended in &ended {
        told(app, &mut transaction, ended, "over", &Actor::system()).await?;
    }
    transaction.commit().await?;
    Ok(ended.len())
}

/// Ends whatever a person looks at as somebody else, and whatever somebody looks at as him.
pub(super) async fn end_of_person(app: &App, connection: &mut PgConnection, user: UserId, actor: &Actor) -> Result<()> {
    for ended in db::end_of_person(connection, user, app.clock.machine_now()).await? {
        told(app, connection, &ended, "ended by an admin", actor).await?;
    }
    Ok(())
}

async fn told(app: &App, connection: &mut PgConnection, ended: &db::Ended, why: &str, actor: &Actor) -> Result<()> {
    let subject = Subject::new("user", ended.user, &ended.email);
    let seconds = (ended.ended_at.min(ended.ends_at) - ended.started_at).num_seconds();
    let detail = json!({ "why": why, "seconds": seconds });
    let organisation = Some(ended.organisation);
    let event = Event::ImpersonationEnded;
    audit::record(&mut *connection, app.clock.now(), actor, organisation, event, subject, detail).await?;
    live::announce(connection, None, live::of_person(ended.staff)).await?;
    Ok(())
}
