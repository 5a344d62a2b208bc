//! Sleeps until the next mail is due or somebody writes one down or asks for one, hands over what is due, and sleeps again.

use std::time::Duration;

use crate::app::App;
use crate::error::Result;
use crate::{accounts, mail};

/// The longest sleep: a message that was lost costs no more than this.
const SLEEP_SECONDS_MAX: u64 = 30;
/// The shortest, so that a mail that another process carries does not keep the processor busy.
const SLEEP_MILLISECONDS_MIN: u64 = 50;
/// The pause after the mail server was found away, however much there is to send.
const AWAY_SECONDS: u64 = 15;
/// The pause after the database failed.
const RETRY_SECONDS: u64 = 5;

/// Runs until the task is dropped.
pub async fn run_mails(app: &App) {
    loop {
        match send_and_look_ahead(app).await {
            Ok(Some(sleep)) => {
                let least = Duration::from_millis(SLEEP_MILLISECONDS_MIN);
                tokio::select! {
                    () = tokio::time::sleep(sleep.clamp(least, Duration::from_secs(SLEEP_SECONDS_MAX))) => {}
                    () = app.hub.mails.notified() => {}
                }
            }
            Ok(None) => tokio::time::sleep(Duration::from_secs(AWAY_SECONDS)).await,
            Err(error) => {
                tracing::error!(?error, "sending mails failed");
                tokio::time::sleep(Duration::from_secs(RETRY_SECONDS)).await;
            }
        }
    }
}

/// How long to sleep; none when the mail server is away.
async fn send_and_look_ahead(app: &App) -> Result<Option<Duration>> {
    accounts::answer_reset_requests(app).await?;
    let done = mail::send_due(app).await?;
    if done.sent > 0 {
        tracing::info!(sent = done.sent, put_off = done.put_off, failed = done.failed, "mails were sent");
    }
    if done.is_away {
        return Ok(None);
    }
    let next = mail::next_due(app).await?;
    let sleep = next.map(|at| (at - app.clock.machine_now()).to_std().unwrap_or(Duration::ZERO));
    Ok(Some(sleep.unwrap_or(Duration::MAX)))
}
