//! Proving who one is by password. Unknown address and wrong password get the same answer after the same work, and who has tried
//! too often is sent away before any work, whether there is such an account or not.

use secrecy::SecretString;
use sqlx::PgConnection;

use super::limits::{self, Admission, Counter, Gate, ONE_ACCOUNT, Place};
use super::{User, UserState, db, password};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::UserId;

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
    let turn = match gate.admit(app).await? {
        Admission::Open => password::turn().await?,
        Admission::Held { wait, .. } => password::turn_of_held().await?.ok_or_else(|| limits::limited(wait))?,
    };
    // Those who came at once waited for this turn together, and some of them have failed meanwhile.
    let admission = gate.admit(app).await?;
    let stored = known.as_ref().map(|known| known.password_hash.clone());
    let checked = turn.check(password, stored).await?;
    let comes_in = checked.is_right && gate.lets_in(admission);
    if !comes_in {
        let mut transaction = app.pool.begin().await?;
        gate.failed(app, &mut transaction, admission).await?;
        // In the same transaction, so that a known address takes no longer than an unknown one. What could not have come in
        // was no try.
        if let Some(known) = known.as_ref().filter(|_| gate.lets_in(admission)) {
            tell_of_failure(app, &mut transaction, &known.user, &actor).await?;
        }
        transaction.commit().await?;
    }
    // Not before the failure is counted, so that the next one sees it.
    drop(turn);
    let Some(known) = known.filter(|_| comes_in) else {
        return Err(match admission {
            Admission::Open => Error::Unauthenticated(REFUSED),
            Admission::Held { wait, .. } => limits::limited(wait),
        });
    };
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

async fn tell_of_failure(app: &App, connection: &mut PgConnection, user: &User, actor: &Actor) -> Result<()> {
    let subject = Subject::new("user", user.id, &user.email);
    let detail = serde_json::json!({});
    audit::record(connection, app.clock.now(), actor, None, Event::LoginFailed, subject, detail).await
}
