//! Proving who one is by password. Unknown address and wrong password get the same answer after the same work, and who has tried
//! too often is sent away before any work, whether there is such an account or not.

use secrecy::SecretString;

use super::limits::{self, Counter, Gate, ONE_ACCOUNT, Place};
use super::{User, UserState, db, password};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::random_tokens;

/// The one answer to every failed login.
const REFUSED: &str = "The e-mail address or the password is wrong.";

/// Said to who has the right password and may not come in.
pub(crate) const BANNED: &str = "This account has been closed by the operator.";

/// The longest address that is looked for, in characters: as long as one can be.
const EMAIL_CHARACTERS_MAX: usize = 254;

/// The person with this address and password, who tries from this place.
///
/// # Errors
/// `Unauthenticated` when there is none, `TooManyTries` when it was tried too often, `Unavailable` when too many log in at once.
pub async fn authenticate(app: &App, email: &str, password: SecretString, place: &Place, actor: Actor) -> Result<User> {
    let email: String = email.trim().chars().take(EMAIL_CHARACTERS_MAX + 1).collect();
    let network = place.network_key(app);
    let mut connection = app.pool.acquire().await?;
    let known = db::select_by_email(&mut connection, &email, &network, &place.device_key(app)).await?;
    // Nothing is held while the hash is computed.
    drop(connection);
    let account = known.as_ref().map_or_else(|| email.to_lowercase(), |known| known.user.id.to_string());
    let (knows_device, knows_network) =
        known.as_ref().map_or((false, false), |known| (known.knows_device, known.knows_network));
    let gate = Gate::new(app, &account, place, knows_device, knows_network);
    gate.admit(app).await?;
    let turn = password::turn().await?;
    // Those who came at once waited for this turn together, and some of them have failed meanwhile.
    gate.admit(app).await?;
    let stored = known.as_ref().map(|known| known.password_hash.clone());
    let checked = turn.check(password, stored).await?;
    if !checked.is_right {
        gate.failed(app).await?;
    }
    // Not before the failure is counted, so that the next one sees it.
    drop(turn);
    let Some(known) = known else { return Err(Error::Unauthenticated(REFUSED)) };
    if !checked.is_right {
        tell_of_failure(app, &known.user, &actor).await?;
        return Err(Error::Unauthenticated(REFUSED));
    }
    // Only who knows the password learns this.
    if known.user.state == UserState::Banned {
        return Err(Error::Unauthenticated(BANNED));
    }
    gate.passed(app).await?;
    let mut connection = app.pool.acquire().await?;
    db::limits::remember(&mut connection, known.user.id, &network, app.clock.machine_now()).await?;
    if let Some(stronger) = checked.stronger {
        db::update_hash(&mut connection, known.user.id, &known.password_hash, &stronger).await?;
    }
    Ok(known.user)
}

/// Checks that somebody who is logged in knows his password, before what changes who may log in. Wrong tries are counted.
///
/// # Errors
/// `Invalid` at `field` when it is wrong, `TooManyTries` after some of them.
pub async fn confirm_password(app: &App, user: &User, field: &'static str, password: SecretString) -> Result<()> {
    let counters = [Counter::new(app, ONE_ACCOUNT, &["own", &user.id.to_string()])];
    limits::admit(app, &counters).await?;
    let turn = password::turn().await?;
    limits::admit(app, &counters).await?;
    let stored = db::select_password(&mut *app.pool.acquire().await?, user.id).await?;
    if turn.check(password, stored).await?.is_right {
        return limits::forget(app, &counters).await;
    }
    limits::failed(app, &counters).await?;
    drop(turn);
    if !has_password(app, user.id).await? {
        return Err(Error::invalid(field, "Your account has no password yet. Set one first, in your account."));
    }
    Err(Error::invalid(field, "The password is wrong."))
}

/// Whether a person has a password, or only another way in.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn has_password(app: &App, user: UserId) -> Result<bool> {
    db::select_has_password(&mut *app.pool.acquire().await?, user).await
}

/// Remembers the browser that somebody has just logged in with, so that no stranger's tries keep him waiting there. Answers with
/// the token to give it when it has none yet.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn remember_device(app: &App, user: &User, device: Option<&str>) -> Result<Option<String>> {
    /// As long as those that are made here; others are somebody's own.
    const TOKEN_CHARACTERS: usize = 43;
    let known = device.filter(|token| token.len() == TOKEN_CHARACTERS);
    let new = known.is_none().then(random_tokens::make);
    let token = known.or(new.as_deref()).unwrap_or_default();
    let mut connection = app.pool.acquire().await?;
    db::limits::remember(&mut connection, user.id, &limits::device_key(app, token), app.clock.machine_now()).await?;
    Ok(new)
}

async fn tell_of_failure(app: &App, user: &User, actor: &Actor) -> Result<()> {
    let subject = Subject::new("user", user.id, &user.email);
    let mut connection = app.pool.acquire().await?;
    let detail = serde_json::json!({});
    audit::record(&mut connection, app.clock.now(), actor, None, Event::LoginFailed, subject, detail).await
}
