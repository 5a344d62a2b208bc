//! Sleeps until the next notice, end of a rescue time or deletion is due, sees to it, and sleeps again. The ends of credits
//! themselves are the billing clock's.

use std::time::Duration;

use crate::app::App;
use crate::charging;

/// The longest sleep: what has become due by another change waits no longer than this.
const SLEEP_SECONDS_MAX: u64 = 15;
/// The shortest, so that a wallet that cannot be looked at does not keep the processor busy.
const SLEEP_SECONDS_MIN: u64 = 1;
/// The pause after the database failed.
const RETRY_SECONDS: u64 = 5;

/// Runs until the task is dropped.
pub async fn run_zero_clock(app: &App) {
    let (least, most) = (Duration::from_secs(SLEEP_SECONDS_MIN), Duration::from_secs(SLEEP_SECONDS_MAX));
    loop {
        let sleep = match look_and_look_ahead(app).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(?error, "empty wallets could not be looked at");
                Duration::from_secs(RETRY_SECONDS)
            }
        };
        tokio::time::sleep(sleep.clamp(least, most)).await;
    }
}

async fn look_and_look_ahead(app: &App) -> crate::error::Result<Duration> {
    charging::run_zero(app).await?;
    let next = charging::next_zero(app).await?;
    Ok(next.map_or(Duration::MAX, |instant| app.clock.until(instant)))
}
