//! Web sessions: a row per logged-in browser.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{Assurance, OVERTAKEN, db, shortened};
use crate::app::App;
use crate::audit::{self, Actor, Event, Named, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, SessionId};
use crate::live;
use crate::organisations::Organisation;
use crate::permissions::Permissions;
use crate::random_tokens::{self, hash};
use crate::users::User;

/// How long a browser stays logged in.
pub const SESSION_DAYS: i64 = 7;
/// How often it is written down that a session is used, in minutes at least.
const SEEN_MINUTES: i64 = 5;

/// Somebody of the staff who looks as a customer.
#[derive(Debug, Clone)]
pub struct Behalf {
    /// Who he is.
    pub staff: Named,
    /// Until when at most, by the machine's time.
    pub until: DateTime<Utc>,
}

/// A logged-in browser: who, for which organisation.
#[derive(Debug, Clone)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// Must come back in every form. It is that of one organisation, so that a page which is still open for another one
    /// changes nothing in this.
    pub csrf_token: String,
    /// When it was last seen, within a few minutes.
    pub last_seen_at: DateTime<Utc>,
    /// Who.
    pub user: User,
    /// For which organisation.
    pub organisation: Organisation,
    /// What he may do there.
    pub permissions: Permissions,
    /// Set while somebody of the staff looks as this person; then the permissions are what is left to that.
    pub on_behalf: Option<Behalf>,
    /// How sure we are of him.
    pub assurance: Assurance,
}

/// Starts a session of somebody who has just proved who he is, and answers with the token for the cookie. `user_agent` is kept shortened, for the person's own list.
///
/// # Errors
/// `Unauthenticated` when all logins of the person were ended since he was looked up.
pub async fn start(app: &App, user: &User, actor: Actor, user_agent: Option<&str>) -> Result<String> {
    insert(app, user, actor, user_agent, json!({})).await
}

/// The same, and writes down by which way he came.
///
/// # Errors
/// As [`start`].
pub async fn start_through(
    app: &App,
    user: &User,
    actor: Actor,
    user_agent: Option<&str>,
    way: &str,
) -> Result<String> {
    insert(app, user, actor, user_agent, json!({ "by": way })).await
}

async fn insert(
    app: &App,
    user: &User,
    actor: Actor,
    user_agent: Option<&str>,
    detail: serde_json::Value,
) -> Result<String> {
    let token = random_tokens::make();
    let now = app.clock.machine_now();
    let mut transaction = app.pool.begin().await?;
    let organisation = crate::organisations::of_member(&mut transaction, user.id, None).await?.organisation;
    let is_in = db::insert_session(
        &mut transaction,
        db::NewSession {
            id: SessionId::new(),
            user: user.id,
            organisation: organisation.id,
            token_hash: hash(&token),
            csrf_token: random_tokens::make(),
            address: actor.address.clone(),
            user_agent: shortened(user_agent),
            created_at: now,
            expires_at: now + TimeDelta::days(SESSION_DAYS),
            epoch: user.epoch,
        },
    )
    .await?;
    if !is_in {
        return Err(Error::Unauthenticated(OVERTAKEN));
    }
    let subject = Subject::new("user", user.id, &user.email);
    audit::record(
        &mut transaction,
        app.clock.now(),
        &actor.known_as(user),
        Some(organisation.id),
        Event::UserLoggedIn,
        subject,
        detail,
    )
    .await?;
    transaction.commit().await?;
    Ok(token)
}

/// The token of the forms of one organisation's pages, from the secret of a session.
pub(super) fn form_token(secret: &str, organisation: OrganisationId) -> String {
    let digest = Sha256::new().chain_update(secret).chain_update(organisation.uuid()).finalize();
    BASE64_URL_SAFE_NO_PAD.encode(digest)
}

/// The session of a cookie's token, if it is still good.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(app: &App, token: &str) -> Result<Option<Session>> {
    db::select_session(&app.pool, &hash(token), app.clock.machine_now()).await
}

/// Writes down that a session is used, from this address, unless that was done a moment ago.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn seen(app: &App, session: &Session, address: Option<&str>) -> Result<()> {
    let now = app.clock.machine_now();
    if now - session.last_seen_at < TimeDelta::minutes(SEEN_MINUTES) {
        return Ok(());
    }
    db::update_seen(&app.pool, session.id, address, now).await
}

/// Notes that somebody has just proved who he is, as part of somebody's transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn confirm(app: &App, connection: &mut PgConnection, id: SessionId) -> Result<()> {
    db::confirm_session(connection, id, app.clock.machine_now()).await
}

/// Ends a session.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn end(app: &App, session: &Session, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    db::delete_session(&mut transaction, session.id).await?;
    // Who looks as a customer logs himself out, and that is not in the customer's log.
    let person = session.on_behalf.as_ref().map_or_else(|| Named::from(&session.user), |behalf| behalf.staff.clone());
    let organisation = session.on_behalf.is_none().then_some(session.organisation.id);
    let person_id = person.id;
    let subject = Subject::new("user", person_id, person.email);
    audit::record(&mut transaction, app.clock.now(), actor, organisation, Event::UserLoggedOut, subject, json!({}))
        .await?;
    // What is open in this browser is told to look again whether it may stay open; it may not.
    live::announce(&mut transaction, None, live::of_person(person_id)).await?;
    transaction.commit().await?;
    Ok(())
}
