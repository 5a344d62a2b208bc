//! Issues the invoices of months that are over: at the start, when the next month is due, and every few minutes for what waited.

use std::time::Duration;

use crate::app::App;
use crate::invoices::{self, Issued};

/// The longest sleep: what has waited for a wallet or for an operator waits no longer than this.
const SLEEP_SECONDS_MAX: u64 = 300;
/// The shortest, so that what cannot be issued does not keep the processor busy.
const SLEEP_SECONDS_MIN: u64 = 10;

/// Runs until the task is dropped.
pub async fn run_invoice_clock(app: &App) {
    let (least, most) = (Duration::from_secs(SLEEP_SECONDS_MIN), Duration::from_secs(SLEEP_SECONDS_MAX));
    loop {
        match invoices::issue_due(app).await {
            Ok(issued) if issued == Issued::default() => {}
            Ok(issued) => tracing::info!(invoices = issued.invoices, failed = issued.failed, "invoices were issued"),
            Err(error) => tracing::error!(?error, "invoices could not be issued"),
        }
        let next = invoices::first_due(app.clock.now(), app.settings.time_zone);
        tokio::time::sleep(app.clock.until(next).clamp(least, most)).await;
    }
}
