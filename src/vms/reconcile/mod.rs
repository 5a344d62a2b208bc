//! What a look at a cluster saw, compared with what we believe: one look per cluster, never a question per machine. What
//! differs is found in memory and written in one transaction; machines that a job is at work on are left to it.

mod compare;
mod foreign;
mod settle;
mod unseen;
mod verify;

use chrono::TimeDelta;

use super::db;
use crate::app::App;
use crate::clusters::{self, Look, Trouble};
use crate::error::Result;
use crate::ids::ClusterId;
use crate::{ledger, live, metering, runway};

pub use db::LookFailure;

/// How long the numbers of a listing may be older than the end of a job, in seconds: Proxmox reports every ten.
const LISTING_SECONDS_MAX: i64 = 15;
/// The most machines whose changes could not be written that are listed.
const FAILURES_MAX: i64 = 50;

/// What a reconciliation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Machines looked at.
    pub seen: usize,
    /// Machines that were not as we believed.
    pub changed: usize,
    /// Machines whose change could not be written; it is tried again.
    pub failed: usize,
}

/// Looks at a cluster and mends what we believe. While it does not answer, its machines are unknown and nobody is charged.
///
/// # Errors
/// When the cluster does not answer; that is written down.
pub async fn reconcile(app: &App, cluster: ClusterId) -> Result<Reconciled, Trouble> {
    match clusters::look(app, cluster).await {
        Ok(look) => Ok(follow(app, cluster, &look).await?),
        Err(trouble) => {
            suspend(app, cluster).await?;
            Err(trouble)
        }
    }
}

/// Time in which nobody knows how a machine is, is ours: its metering ends at the last good look.
async fn suspend(app: &App, cluster: ClusterId) -> Result<()> {
    let Some(seen) = clusters::find(app, cluster).await?.last_seen_at else { return Ok(()) };
    let mut transaction = app.pool.begin().await?;
    for organisation in metering::metered_on(&mut transaction, cluster).await? {
        ledger::lock_wallet(&mut transaction, organisation).await?;
    }
    for organisation in metering::suspend_cluster(&mut transaction, cluster, seen).await? {
        runway::recompute(app, &mut transaction, organisation, app.clock.now()).await?;
        live::announce(&mut transaction, Some(organisation), "vms").await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Compares a look with what we believe of the machines of its cluster, and writes what differs.
///
/// # Errors
/// When PostgreSQL fails. What cannot be written of one machine is told in the answer and holds up no other.
pub async fn follow(app: &App, cluster: ClusterId, look: &Look) -> Result<Reconciled> {
    let rows = db::select_quiet(&app.pool, cluster, look.at - TimeDelta::seconds(LISTING_SECONDS_MAX)).await?;
    let standing = db::select_standing(&app.pool, cluster).await?;
    let ours = db::select_our_vmids(&app.pool, cluster).await?;
    let known = db::select_foreign_rows(&app.pool, cluster).await?;

    let guests = compare::Guests::of(&look.resources);
    unseen::suspend(app, cluster, &rows, &guests, look).await?;
    let verdicts = verify::ask(app, cluster, &rows, &guests).await?;
    let seen = rows.len();
    let mut changes = compare::changes(rows, &guests, &standing, verdicts);
    let beside = settle::Beside {
        foreign: foreign::changes(&look.resources, &ours, known),
        over: standing.iter().filter(|drift| !drift.alive).map(|drift| drift.id.uuid()).collect(),
    };
    changes.sort_by_key(|change| (change.row.failed, change.row.organisation));
    let (changed, failed) = settle::write(app, cluster, &changes, &beside, look.at).await?;
    Ok(Reconciled { seen, changed, failed })
}

/// The machines whose changes of a look could not be written, longest first, at most a page of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn look_failures(app: &App) -> Result<Vec<LookFailure>> {
    db::select_failures(&app.pool, FAILURES_MAX).await
}
