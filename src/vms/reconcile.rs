//! What a cluster says about our machines, compared with what we believe: one look per cluster, never a question per
//! machine. Machines that a job is at work on are left to it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use proxmox_client::{Resource, ResourceKind};
use serde_json::json;
use sqlx::PgConnection;

use super::db::SeenRow;
use super::{State, db, identity};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::PowerState;
use crate::clusters::{self, Look, Trouble};
use crate::error::Result;
use crate::ids::ClusterId;
use crate::metering::{self, Metered};
use crate::{ledger, live, runway};

/// How many good looks must miss a guest before we believe that it is gone: lists are filtered and lag.
const MISSING_LOOKS_MIN: i32 = 2;

/// What a reconciliation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Machines looked at.
    pub seen: usize,
    /// Machines that were not as we believed.
    pub changed: usize,
}

/// Looks at a cluster and mends what we believe. While it does not answer, its machines are unknown and nobody is charged.
///
/// # Errors
/// When the cluster does not answer; that is written down.
pub async fn reconcile(app: &App, cluster: ClusterId) -> Result<Reconciled, Trouble> {
    match clusters::look(app, cluster).await {
        Ok(look) => Ok(compare(app, cluster, &look).await?),
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

async fn compare(app: &App, cluster: ClusterId, look: &Look) -> Result<Reconciled> {
    let guests: HashMap<u32, &Resource> = look
        .resources
        .iter()
        .filter(|resource| resource.kind == ResourceKind::Qemu)
        .filter_map(|resource| Some((resource.vmid?, resource)))
        .collect();
    let mut done = Reconciled::default();
    for row in db::select_quiet(&app.pool, cluster).await? {
        done.seen += 1;
        let guest = u32::try_from(row.vmid).ok().and_then(|vmid| guests.get(&vmid));
        // Freshly made guests are listed without tags for a moment; a tag that names another machine is another machine.
        let guest = guest.filter(|guest| guest.tags.is_empty() || guest.tags.contains(&identity::tag(row.id)));
        if settle(app, &row, guest.copied(), look.at).await? {
            done.changed += 1;
        }
    }
    Ok(done)
}

/// Mends what we believe of one machine. Answers whether anything had to be.
async fn settle(app: &App, row: &SeenRow, guest: Option<&Resource>, at: DateTime<Utc>) -> Result<bool> {
    let Some(guest) = guest else { return missed(app, row, at).await };
    let Some(seen) = guest.status.as_deref().and_then(power_state) else { return Ok(false) };
    let moved = guest.node.as_deref().filter(|node| *node != row.node);
    let differs = seen.name() != row.state;
    if moved.is_none() && !differs && row.metered && row.missing_looks == 0 {
        return Ok(false);
    }
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, row.organisation).await?;
    if !db::is_still_quiet(&mut transaction, row.id, &row.state).await? {
        return Ok(false);
    }
    if let Some(node) = moved {
        db::set_node(&mut transaction, row.id, node).await?;
    }
    db::clear_missing(&mut transaction, row.id).await?;
    if differs {
        let state = match seen {
            PowerState::Running => State::Running,
            PowerState::Stopped => State::Stopped,
        };
        db::update_state(&mut transaction, row.id, state, None, at).await?;
        let detail = json!({ "from": row.state, "to": seen.name() });
        observed(&mut transaction, row, at, detail).await?;
        // Whoever started it: nothing that runs on an empty wallet is charged, so it is shut down again.
        if state == State::Running && wallet.exhausted_at.is_some() {
            super::power::stop_for_credit(app, &mut transaction, row.organisation, row.id).await?;
        }
    }
    metering::open(app, &mut transaction, &wallet, Metered { vm: row.id, plan: row.plan, state: seen }, at).await?;
    runway::recompute(app, &mut transaction, row.organisation, at).await?;
    live::announce(&mut transaction, Some(row.organisation), format!("vm:{}", row.id)).await?;
    live::announce(&mut transaction, Some(row.organisation), "vms").await?;
    transaction.commit().await?;
    Ok(true)
}

/// A good look did not list the guest. After a second one it counts as missing: shown so, and not charged.
async fn missed(app: &App, row: &SeenRow, at: DateTime<Utc>) -> Result<bool> {
    let looks = row.missing_looks.saturating_add(1);
    let missing = looks == MISSING_LOOKS_MIN;
    if looks > MISSING_LOOKS_MIN {
        return Ok(false);
    }
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, row.organisation).await?;
    if !db::is_still_quiet(&mut transaction, row.id, &row.state).await? {
        return Ok(false);
    }
    db::set_missing(&mut transaction, row.id, looks, missing.then_some(at)).await?;
    if missing {
        metering::close(&mut transaction, &wallet, row.id, at).await?;
        runway::recompute(app, &mut transaction, row.organisation, at).await?;
        observed(&mut transaction, row, at, json!({ "from": row.state, "to": "missing" })).await?;
        live::announce(&mut transaction, Some(row.organisation), format!("vm:{}", row.id)).await?;
        live::announce(&mut transaction, Some(row.organisation), "vms").await?;
        live::announce(&mut transaction, None, "exceptions").await?;
    }
    transaction.commit().await?;
    Ok(missing)
}

async fn observed(
    connection: &mut PgConnection,
    row: &SeenRow,
    at: DateTime<Utc>,
    detail: serde_json::Value,
) -> Result<()> {
    let subject = Subject::new("vm", row.id, &row.name);
    audit::record(connection, at, &Actor::system(), Some(row.organisation), Event::VmObserved, subject, detail).await
}

/// What a listed status means for the bill; none when it says nothing (a node that has not reported is `unknown`).
fn power_state(status: &str) -> Option<PowerState> {
    match status {
        "stopped" => Some(PowerState::Stopped),
        "running" | "paused" | "prelaunch" | "suspended" | "io-error" | "internal-error" | "shutdown" => {
            Some(PowerState::Running)
        }
        _ => None,
    }
}
