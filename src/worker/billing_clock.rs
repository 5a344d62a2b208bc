//! Sleeps until the next wallet is due (the full hour, or the second its credit ends), charges, and sleeps again.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::charging;

/// The longest sleep: a message that was lost costs no more than this.
const SLEEP_SECONDS_MAX: u64 = 30;
/// The shortest, so that a wallet that cannot be charged does not keep the processor busy.
const SLEEP_MILLISECONDS_MIN: u64 = 50;
/// The pause after the database failed.
const RETRY_SECONDS: u64 = 5;

/// Runs until the task is dropped.
pub async fn run_billing_clock(app: &Arc<App>) {
    loop {
        let sleep = match pass_and_look_ahead(app).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(?error, "the billing pass failed");
                Duration::from_secs(RETRY_SECONDS)
            }
        };
        let least = Duration::from_millis(SLEEP_MILLISECONDS_MIN);
        let most = Duration::from_secs(SLEEP_SECONDS_MAX);
        tokio::select! {
            () = tokio::time::sleep(sleep.clamp(least, most)) => {}
            () = app.hub.billing.notified() => {}
        }
    }
}

async fn pass_and_look_ahead(app: &Arc<App>) -> crate::error::Result<Duration> {
    let pass = charging::run(app).await?;
    if pass.charges > 0 {
        tracing::info!(wallets = pass.wallets, charges = pass.charges, amount = %pass.amount, ran_out = pass.ran_out, "charged");
    }
    let next = charging::next_due(app).await?;
    Ok(next.map_or(Duration::MAX, |instant| app.clock.until(instant)))
}
