//! Carries mails to the mail server: claims with a lease, hands over, writes down what became of each. The mark before sending
//! is the lease, the one after it the status; who dies between them leaves a mail that is sent once more under the same id.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

use super::db;
use super::transport::{Letter, Mailer, Refusal};
use crate::app::App;
use crate::error::Result;
use crate::fault;
use crate::ids::MailId;

/// How many mails one process hands over at once.
const AT_ONCE: i64 = 8;
/// How many batches one call makes, so that it ends.
const BATCHES_MAX: usize = 1_000;
/// How long a mail is kept from others while it is handed over; longer than that may take.
const LEASE_SECONDS: i64 = 180;
/// The pause after the first vain attempt; doubled each time.
const PAUSE_SECONDS_FIRST: i64 = 30;
/// The longest pause between two attempts.
const PAUSE_SECONDS_MAX: i64 = 15 * 60;
/// How often the server may put a mail off before it counts as refused: about a day with the longest pause. A server that is
/// away has put nothing off.
const DEFERRALS_MAX: i32 = 100;
/// How much is kept of an error of ours, in characters.
const ERROR_CHARACTERS_MAX: usize = 300;
/// What is said of mails that have nowhere to go.
const NO_SERVER: &str = "no mail server is set up";

/// What became of the mails that were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The server took them.
    pub sent: u64,
    /// They are tried again later.
    pub put_off: u64,
    /// They were refused for good, or there is no server.
    pub failed: u64,
    /// The server could not be asked: what else is due waits.
    pub is_away: bool,
}

/// A mail that this process has for a while.
#[derive(Debug)]
pub(super) struct Claimed {
    pub letter: Letter,
    /// What only the recipient may read, encrypted.
    pub secret: Option<String>,
    pub lease: uuid::Uuid,
    pub attempts: i32,
    pub deferrals: i32,
}

/// What is written down of a vain attempt.
#[derive(Debug)]
pub(super) struct Vain {
    pub error: String,
    /// Whether the server itself put it off.
    pub is_deferral: bool,
    /// When to try again; none: never.
    pub again_at: Option<DateTime<Utc>>,
}

/// Hands over what is due now, until nothing is or the server is found away.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn send_due(app: &App) -> Result<Delivery> {
    let mut total = Delivery::default();
    if matches!(app.settings.mailer, Mailer::None) {
        total.failed = db::update_unsent(&app.pool, NO_SERVER).await?;
        tell(app, total.failed > 0, total.failed > 0);
        return Ok(total);
    }
    for _ in 0..BATCHES_MAX {
        let now = app.clock.machine_now();
        let claimed = db::claim(&app.pool, now, now + TimeDelta::seconds(LEASE_SECONDS), AT_ONCE).await?;
        if claimed.is_empty() {
            break;
        }
        for outcome in join_all(claimed.iter().map(|mail| send(app, mail))).await {
            let one = outcome?;
            total.sent += one.sent;
            total.put_off += one.put_off;
            total.failed += one.failed;
            total.is_away |= one.is_away;
        }
        if total.is_away {
            break;
        }
    }
    let in_trouble = total.failed > 0 || total.is_away;
    tell(app, in_trouble || total.sent > 0 || total.put_off > 0, in_trouble);
    Ok(total)
}

/// When the next mail is due by the machinery's time, if any waits.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn next_due(app: &App) -> Result<Option<DateTime<Utc>>> {
    db::select_next_due(&app.pool).await
}

async fn send(app: &App, mail: &Claimed) -> Result<Delivery> {
    let id = mail.letter.id;
    fault::point("mail.claimed");
    let is_kept = matches!(app.settings.mailer, Mailer::Kept);
    let outcome = match &app.settings.mailer {
        Mailer::Server(server) => match super::whole(app, mail.letter.body.clone(), mail.secret.as_deref()) {
            Ok(body) => {
                let letter = Letter { body, ..mail.letter.clone() };
                server.send(&letter, SystemTime::from(app.clock.machine_now())).await
            }
            // The key may be set again.
            Err(error) => Err(Refusal::Later(super::text::line(&format!("{error:#}"), ERROR_CHARACTERS_MAX))),
        },
        Mailer::Kept | Mailer::None => Ok(()),
    };
    fault::point("mail.sent");
    let Err(refusal) = outcome else {
        if !db::update_sent(&app.pool, id, mail.lease, is_kept, app.clock.now()).await? {
            tracing::warn!(mail = %id, "a mail was sent after its lease had ended; it may arrive twice");
        }
        return Ok(Delivery { sent: 1, ..Delivery::default() });
    };
    let again_at = app.clock.machine_now() + TimeDelta::from_std(pause(mail.attempts)).unwrap_or(TimeDelta::MAX);
    let (vain, done) = judge(refusal, mail.deferrals, again_at);
    log(id, &vain, done);
    db::update_vain(&app.pool, id, mail.lease, &vain).await?;
    Ok(done)
}

/// What a refusal means: again later, or never.
fn judge(refusal: Refusal, deferrals: i32, again_at: DateTime<Utc>) -> (Vain, Delivery) {
    let put_off = Delivery { put_off: 1, ..Delivery::default() };
    let failed = Delivery { failed: 1, ..Delivery::default() };
    match refusal {
        Refusal::Away(error) => {
            (Vain { error, is_deferral: false, again_at: Some(again_at) }, Delivery { is_away: true, ..put_off })
        }
        Refusal::Later(error) if deferrals + 1 < DEFERRALS_MAX => {
            (Vain { error, is_deferral: true, again_at: Some(again_at) }, put_off)
        }
        Refusal::Later(error) | Refusal::Never(error) => (Vain { error, is_deferral: false, again_at: None }, failed),
    }
}

fn log(mail: MailId, vain: &Vain, done: Delivery) {
    if done.is_away {
        tracing::warn!(%mail, error = vain.error, "the mail server could not be asked");
    } else {
        tracing::warn!(%mail, error = vain.error, again = ?vain.again_at, "the mail server refused a mail");
    }
}

/// The pause after the `attempts`-th attempt.
fn pause(attempts: i32) -> Duration {
    let seconds = PAUSE_SECONDS_FIRST << (attempts - 1).clamp(0, 10);
    Duration::from_secs(seconds.min(PAUSE_SECONDS_MAX).unsigned_abs())
}

/// Tells open pages of operators.
fn tell(app: &App, changed: bool, in_trouble: bool) {
    if changed {
        app.hub.announce_soon(None, super::TOPIC);
    }
    if in_trouble {
        app.hub.announce_soon(None, "exceptions");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_quarter_of_an_hour_and_no_further() {
        let pauses: Vec<u64> = (1..=8).map(|attempts| pause(attempts).as_secs()).collect();

        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(pause(i32::MAX).as_secs(), 900);
    }

    #[test]
    fn a_server_that_is_away_never_makes_a_mail_fail_and_one_that_puts_it_off_for_ever_does() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();

        let (vain, done) = judge(Refusal::Away("away".into()), i32::MAX - 1, at);
        assert!(vain.again_at.is_some() && done.is_away);
        let (vain, _) = judge(Refusal::Later("busy".into()), DEFERRALS_MAX - 2, at);
        assert!(vain.again_at.is_some() && vain.is_deferral);
        let (vain, done) = judge(Refusal::Later("busy".into()), DEFERRALS_MAX - 1, at);
        assert!(vain.again_at.is_none() && done.failed == 1);
    }
}
