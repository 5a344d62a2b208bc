//! Codes of an app (RFC 6238): six digits, thirty seconds, HMAC-SHA-1, which is what every app knows.

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::PgConnection;
use totp_rs::{Builder, Totp};

use super::{Factor, after_adding, after_removing, db, lock_factors, lock_unended};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::sessions::Login;
use crate::users::User;

/// As RFC 4226 recommends: 160 bits.
const SECRET_BYTES: usize = 20;
/// How many digits a code has.
const DIGITS: usize = 6;
/// What the app shows beside the account.
const ISSUER: &str = "Uni-Manager";

/// What an app needs to know.
#[derive(Debug)]
pub struct Setup {
    /// The secret in base 32, to be typed.
    pub secret: SecretString,
    /// The same as `otpauth://` address, to be scanned.
    pub url: SecretString,
}

/// Begins to set up an app: makes a secret that counts once a code has confirmed it. An earlier one that was never confirmed
/// is replaced.
///
/// # Errors
/// `Conflict` when an app is set up already.
pub async fn start(app: &App, user: &User) -> Result<Setup> {
    let mut bytes = [0_u8; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let secret = SecretString::from(totp_rs::Secret::from(bytes.as_slice()).to_base32());
    let mut connection = app.pool.acquire().await?;
    let encrypted = app.settings.vault.encrypt(&secret);
    if db::upsert_totp(&mut connection, user.id, &encrypted, app.clock.machine_now()).await? {
        return Err(Error::conflict("An authenticator app is set up already. Remove it first to set up another one."));
    }
    Ok(setup(user, secret))
}

/// What was made by [`start`] and not confirmed yet.
///
/// # Errors
/// When PostgreSQL fails, or the secret cannot be decrypted.
pub async fn shown(app: &App, user: &User) -> Result<Option<Setup>> {
    let stored = db::select_totp(&mut *app.pool.acquire().await?, user.id).await?;
    let Some(stored) = stored.filter(|stored| !stored.confirmed) else { return Ok(None) };
    Ok(Some(setup(user, app.settings.vault.decrypt(&stored.secret_encrypted)?)))
}

fn setup(user: &User, secret: SecretString) -> Setup {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (issuer, account) = (encoded(ISSUER), encoded(&user.email));
    let url = format!(
        "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period=30",
        secret.expose_secret()
    );
    Setup { secret, url: SecretString::from(url) }
}

/// Confirms an app by a code of it: from now on logins need one. With the first factor of a person his other logins end, and
/// he gets recovery codes, which are answered once.
///
/// # Errors
/// `Invalid` for a wrong code, `Conflict` when nothing waits to be confirmed, `Unauthenticated` when all logins of the person were
/// ended meanwhile.
pub async fn add(app: &App, user: &User, code: &str, login: Login, actor: &Actor) -> Result<Option<Vec<String>>> {
    let now = app.clock.machine_now();
    let mut transaction = app.pool.begin().await?;
    let before = lock_unended(&mut transaction, user).await?;
    let stored = db::select_totp(&mut transaction, user.id).await?.filter(|stored| !stored.confirmed);
    let stored = stored.ok_or_else(|| Error::conflict("There is no app to be confirmed. Begin again."))?;
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if !use_up_of(app, &mut transaction, user.id, &stored, &code, now).await? {
        return Err(Error::invalid(
            "code",
            "This code is wrong. Check that the clock of your device is right, and type the code that is shown now.",
        ));
    }
    db::confirm_totp(&mut transaction, user.id, now).await?;
    let codes = after_adding(app, &mut transaction, user, login, (Factor::App, before.any()), actor).await?;
    let subject = Subject::new("user", user.id, &user.email);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::TotpAdded, subject, json!({})).await?;
    transaction.commit().await?;
    Ok(codes)
}

/// Removes a person's app; one that was not confirmed yet is forgotten.
///
/// # Errors
/// `NotFound` when there is none; `Conflict` when it is his last factor and one is demanded of him.
pub async fn remove(app: &App, user: &User, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let before = lock_factors(&mut transaction, user.id).await?;
    if !db::delete_totp(&mut transaction, user.id).await? {
        return Err(Error::NotFound("authenticator app"));
    }
    if before.totp {
        after_removing(app, &mut transaction, user, (Factor::App, super::Factors { totp: false, ..before }), actor)
            .await?;
    }
    let (subject, detail) = (Subject::new("user", user.id, &user.email), json!({ "confirmed": before.totp }));
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::TotpRemoved, subject, detail).await?;
    transaction.commit().await?;
    Ok(())
}

/// Whether a code, without its spaces, may be one of an app; others are from paper.
pub(super) fn looks_like_one(code: &str) -> bool {
    code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a code of a confirmed app is right now, give or take one step, and later than every one before it: then it is
/// used up.
pub(super) async fn use_up(
    app: &App,
    connection: &mut PgConnection,
    user: UserId,
    code: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    match db::select_totp(&mut *connection, user).await?.filter(|stored| stored.confirmed) {
        Some(stored) => use_up_of(app, connection, user, &stored, code, now).await,
        None => Ok(false),
    }
}

async fn use_up_of(
    app: &App,
    connection: &mut PgConnection,
    user: UserId,
    stored: &db::StoredTotp,
    code: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let secret = app.settings.vault.decrypt(&stored.secret_encrypted)?;
    let step = generator(&secret)?.check(code, u64::try_from(now.timestamp()).unwrap_or(0));
    match step.and_then(|step| i64::try_from(step).ok()) {
        Some(step) => db::use_step(connection, user, step).await,
        None => Ok(false),
    }
}

fn generator(secret: &SecretString) -> anyhow::Result<Totp> {
    let secret = totp_rs::Secret::try_from_base32(secret.expose_secret())
        .map_err(|error| anyhow!("a stored secret of an app is no base 32: {error:?}"))?;
    Builder::new().with_secret(secret).build().context("a stored secret of an app is too short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, its last six digits.
        let secret = SecretString::from(totp_rs::Secret::from(b"12345678901234567890".as_slice()).to_base32());
        let totp = generator(&secret).unwrap();
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(totp.check(code, time), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time + 30), Some(time / 30), "a step late");
            assert_eq!(totp.check(code, time + 90), None, "too late");
        }
    }
}
