//! Looking at a code, of an app or from paper, as part of somebody's transaction. Wrong ones are counted, and after some of
//! them none is looked at for a while, which grows.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::{db, recovery, totp};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::users::User;

/// So many wrong codes are looked at before the first pause.
pub const FAILURES_MAX: i32 = 5;
/// The first pause, in minutes; each further wrong code doubles it.
const PAUSE_MINUTES: i64 = 5;
/// The longest pause, in minutes.
const PAUSE_MINUTES_MAX: i64 = 60;
/// Wrong codes are forgotten after a day without one.
const FORGOTTEN_HOURS: i64 = 24;
/// The longest code that is looked at, in characters.
const CODE_CHARACTERS_MAX: usize = 64;

/// With what somebody proved who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// His password.
    Password,
    /// A code of his app.
    Totp,
    /// A recovery code.
    RecoveryCode,
    /// A passkey.
    Passkey,
    /// The identity provider, which asked him again.
    Provider,
}

impl Method {
    /// As the audit log has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::Passkey => "passkey",
            Self::Provider => "identity_provider",
        }
    }
}

/// What a look at a code says. The transaction is committed in every case: a wrong code counts.
#[derive(Debug)]
#[must_use]
pub(super) enum Checked {
    Right(Method),
    Wrong,
    /// It was not looked at; after so many seconds it may be tried again.
    NotNow(i64),
}

impl Checked {
    /// As an answer to the person who typed it.
    pub fn into_result(self) -> Result<Method> {
        match self {
            Self::Right(method) => Ok(method),
            Self::Wrong => Err(Error::invalid(
                "code",
                "This code is wrong, too old or was used before. Wait for the next one and try again.",
            )),
            Self::NotNow(retry_after_seconds) => Err(Error::TooManyTries {
                sentence: "There were too many wrong codes. Wait a while and try again.",
                retry_after_seconds,
            }),
        }
    }
}

/// Looks at a code of a person. Those of one person are looked at one after the other.
pub(super) async fn check(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    code: &str,
    actor: &Actor,
) -> Result<Checked> {
    let now = app.clock.machine_now();
    let tries = db::lock_tries(&mut *connection, user.id, now).await?;
    if let Some(until) = tries.blocked_until.filter(|until| *until > now) {
        return Ok(Checked::NotNow((until - now).num_seconds() + 1));
    }
    let code: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').take(CODE_CHARACTERS_MAX).collect();
    let right = if totp::looks_like_one(&code) {
        totp::use_up(app, &mut *connection, user.id, &code, now).await?.then_some(Method::Totp)
    } else {
        recovery::use_up(app, &mut *connection, user, &code, actor).await?.then_some(Method::RecoveryCode)
    };
    match right {
        Some(method) => {
            let none = db::Tries { failures: 0, failed_at: now, blocked_until: None };
            db::update_tries(connection, user.id, &none).await?;
            Ok(Checked::Right(method))
        }
        None => {
            db::update_tries(&mut *connection, user.id, &after_failure(&tries, now)).await?;
            let subject = Subject::new("user", user.id, &user.email);
            audit::record(connection, app.clock.now(), actor, None, Event::SecondFactorFailed, subject, json!({}))
                .await?;
            Ok(Checked::Wrong)
        }
    }
}

/// One more wrong code, and until when none is looked at.
fn after_failure(before: &db::Tries, now: DateTime<Utc>) -> db::Tries {
    let forgotten = now - before.failed_at >= TimeDelta::hours(FORGOTTEN_HOURS);
    let failures = if forgotten { 1 } else { before.failures.saturating_add(1) };
    let further = u32::try_from(failures - FAILURES_MAX).ok();
    let pause = further.map(|further| PAUSE_MINUTES.saturating_mul(1 << further.min(10)).min(PAUSE_MINUTES_MAX));
    db::Tries { failures, failed_at: now, blocked_until: pause.map(|minutes| now + TimeDelta::minutes(minutes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_begins_after_five_wrong_codes_and_grows_to_an_hour() {
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut tries = db::Tries { failures: 0, failed_at: now, blocked_until: None };
        let mut pauses = Vec::new();
        for _ in 0..11 {
            tries = after_failure(&tries, now);
            pauses.push(tries.blocked_until.map_or(0, |until| (until - now).num_minutes()));
        }
        assert_eq!(pauses, [0, 0, 0, 0, 5, 10, 20, 40, 60, 60, 60]);
        let later = after_failure(&tries, now + TimeDelta::hours(24));
        assert_eq!((later.failures, later.blocked_until), (1, None));
    }
}
