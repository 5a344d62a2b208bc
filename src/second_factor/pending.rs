//! A login between password and second factor: a row that lives for some minutes, found by a random token that the browser or
//! the program holds. It opens nothing.

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Method, codes, db, factors};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::users::{self, User, UserState};

/// How long somebody may take to show his second factor.
pub const PENDING_MINUTES: i64 = 10;
/// How many logins of one person may wait at once; the oldest go first.
const PENDING_MAX: i64 = 20;

/// Said when the token is not, or no longer, of a login that waits.
const TOO_LATE: &str = "This login took too long. Begin again with your password.";

/// Somebody has given the right password, or come another way. Answers with a token when he must show a second factor before he is let in, else
/// with nothing.
///
/// # Errors
/// `Unauthenticated` when all logins of the person were ended since he gave it.
pub async fn begin(app: &App, user: &User, way: Method, actor: Actor) -> Result<Option<SecretString>> {
    if !factors(app, user.id).await?.any() {
        return Ok(None);
    }
    let token = crate::sessions::random_token();
    let now = app.clock.machine_now();
    let mut transaction = app.pool.begin().await?;
    let expires_at = now + TimeDelta::minutes(PENDING_MINUTES);
    if !db::insert_pending(&mut transaction, user, &crate::sessions::hash(&token), now, expires_at).await? {
        return Err(Error::Unauthenticated(TOO_LATE));
    }
    db::trim_pending(&mut transaction, user.id, now, PENDING_MAX).await?;
    let (actor, subject) = (actor.known_as(user), Subject::new("user", user.id, &user.email));
    audit::record(
        &mut transaction,
        app.clock.now(),
        &actor,
        None,
        Event::SecondFactorAsked,
        subject,
        json!({ "after": way.name() }),
    )
    .await?;
    transaction.commit().await?;
    Ok(Some(SecretString::from(token)))
}

/// Ends whatever a person has begun and not finished, in somebody's transaction: logins that wait, questions for a passkey that
/// were not answered, an app that no code has confirmed. Somebody else may have begun it in his name.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn end_unfinished(connection: &mut PgConnection, user: crate::ids::UserId) -> Result<()> {
    db::delete_pending_of(&mut *connection, user).await?;
    db::delete_ceremonies_of(&mut *connection, user).await?;
    db::delete_unconfirmed_totp(connection, user).await
}

/// Whose login waits under a token.
///
/// # Errors
/// `Unauthenticated` when none does.
pub async fn find(app: &App, token: &SecretString) -> Result<User> {
    let hash = crate::sessions::hash(token.expose_secret());
    let user = db::select_pending(&app.pool, &hash, app.clock.machine_now()).await?;
    let user = user.ok_or(Error::Unauthenticated(TOO_LATE))?;
    known(&mut *app.pool.acquire().await?, user).await
}

/// Finishes a login with a code of an app or from paper. Of two who try at once with one code, exactly one is let in. The
/// caller starts the session.
///
/// # Errors
/// `Unauthenticated` when no login waits, `Invalid` for a wrong code, `TooManyTries` after some of those.
pub async fn finish(app: &App, token: &SecretString, code: &str, actor: &Actor) -> Result<(User, Method)> {
    let mut transaction = app.pool.begin().await?;
    let (id, user) = lock(app, &mut transaction, token).await?;
    let checked = codes::check(app, &mut transaction, &user, code, actor).await?;
    if let codes::Checked::Right(_) = checked {
        db::delete_pending(&mut transaction, id).await?;
    }
    // A wrong code counts, so the transaction ends well in every case.
    transaction.commit().await?;
    Ok((user, checked.into_result()?))
}

/// Takes a login that waits, as part of somebody's transaction who has seen another proof.
pub(crate) async fn take(app: &App, connection: &mut PgConnection, token: &SecretString) -> Result<User> {
    let (id, user) = lock(app, &mut *connection, token).await?;
    db::delete_pending(connection, id).await?;
    Ok(user)
}

async fn lock(app: &App, connection: &mut PgConnection, token: &SecretString) -> Result<(Uuid, User)> {
    let hash = crate::sessions::hash(token.expose_secret());
    let found = db::lock_pending(&mut *connection, &hash, app.clock.machine_now()).await?;
    let (id, user) = found.ok_or(Error::Unauthenticated(TOO_LATE))?;
    Ok((id, known(connection, user).await?))
}

/// A person who may still come in.
async fn known(connection: &mut PgConnection, user: crate::ids::UserId) -> Result<User> {
    let user = users::find(connection, user).await?;
    user.filter(|user| user.state != UserState::Banned).ok_or(Error::Unauthenticated(TOO_LATE))
}
