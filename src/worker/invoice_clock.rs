//! Issues the invoices of months that are over: at the start, when the next month is due, and every few minutes for what waited.

use std::time::Duration;

use crate::app::App;
use crate::invoices::{self, Issued};

/// The longest sleep: what has waited for a wallet or for an operator waits no longer than this.
const SLEEP_SECONDS_MAX: u64 = 300;
/// The shortest, as when others hold the wallets, so that what cannot be issued does not keep the processor busy.
const SLEEP_SECONDS_MIN: u64 = 2;
/// The pause after the database failed.
const RETRY_SECONDS: u64 = 10;

/// Runs until the task is dropped.
pub async fn run_invoice_clock(app: &App) {
    let (least, most) = (Duration::from_secs(SLEEP_SECONDS_MIN), Duration::from_secs(SLEEP_SECONDS_MAX));
    loop {
        let sleep = match invoices::issue_due(app).await {
            Ok(issued) => {
                if issued != Issued::default() {
                    tracing::info!(invoices = issued.invoices, failed = issued.failed, "invoices were issued");
                }
                let next = invoices::first_due(app.clock.now(), app.settings.time_zone);
                if issued.left { least } else { app.clock.until(next) }
            }
            Err(error) => {
                tracing::error!(?error, "invoices could not be issued");
                Duration::from_secs(RETRY_SECONDS)
            }
        };
        tokio::time::sleep(sleep.clamp(least, most)).await;
    }
}
