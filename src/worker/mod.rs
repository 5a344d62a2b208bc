//! The door for time: runs the jobs that are due, wakes the billing clock and the one of empty wallets, issues invoices, sends mails, looks at the clusters, clears what has expired.

mod billing_clock;
mod invoice_clock;
mod jobs;
mod mails;
mod schedule;
mod zero_clock;

use std::sync::Arc;

pub use billing_clock::run_billing_clock;
pub use invoice_clock::run_invoice_clock;
pub use jobs::{run_due_jobs, run_jobs};
pub use mails::run_mails;
pub use schedule::{look_at_clusters, run_schedule};
pub use zero_clock::run_zero_clock;

use crate::app::App;

/// How many jobs one process runs at once.
pub const JOBS_AT_ONCE: usize = 16;

/// Runs everything until the task is dropped.
///
/// # Errors
/// When the scheduler cannot be started; the rest looks after itself.
pub async fn run(app: Arc<App>) -> anyhow::Result<()> {
    tokio::try_join!(
        async {
            run_jobs(Arc::clone(&app)).await;
            Ok(())
        },
        async {
            run_billing_clock(&app).await;
            Ok(())
        },
        async {
            run_zero_clock(&app).await;
            Ok(())
        },
        async {
            run_invoice_clock(&app).await;
            Ok(())
        },
        async {
            run_mails(&app).await;
            Ok(())
        },
        run_schedule(Arc::clone(&app)),
    )?;
    Ok(())
}
