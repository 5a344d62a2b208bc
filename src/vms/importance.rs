//! In which order machines stop when the credit ends, as their owner wants it. It changes nothing now, so it needs no job.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Problem, Result};
use crate::ids::{OrganisationId, VmId};
use crate::{ledger, live};

/// The most important a machine can be.
pub const IMPORTANCE_MAX: i32 = 1_000;
/// How many machines of an order the audit log names.
const NAMED_MAX: usize = 50;

/// What is wrong with an importance, if anything.
pub(super) fn check(importance: i32) -> std::result::Result<(), Problem> {
    let problem = || Problem::new("importance", format!("A whole number from 0 to {IMPORTANCE_MAX}."));
    (0..=IMPORTANCE_MAX).contains(&importance).then_some(()).ok_or_else(problem)
}

/// Says how important one machine is, in somebody's transaction, with the wallet locked and the number checked.
pub(super) async fn write(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
    importance: i32,
    actor: &Actor,
) -> Result<()> {
    let before = db::select_importance(&mut *connection, organisation, vm).await?.ok_or(Error::NotFound("VM"))?;
    if before.importance == importance {
        return Ok(());
    }
    db::update_importance(&mut *connection, vm, importance).await?;
    let subject = Subject::new("vm", vm, before.name);
    let detail = Changes::of("importance", &before.importance, &importance)?;
    let now = app.clock.now();
    audit::record(&mut *connection, now, actor, Some(organisation), Event::VmImportance, subject, detail).await?;
    live::announce(connection, Some(organisation), "vms").await?;
    Ok(())
}

/// A machine in the order, with its place from 0 on.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = RankedVm)]
pub struct Ranked {
    /// Which.
    pub id: VmId,
    /// Its name.
    pub name: String,
    /// How important it is.
    pub importance: i32,
}

/// Where a machine goes in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In front of all others: it stops last.
    First,
    /// One more important.
    Up,
    /// One less important.
    Down,
    /// Behind all others: it stops first.
    Last,
}

/// The machines of an organisation, those first that stop last when the credit ends.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn order(app: &App, organisation: OrganisationId) -> Result<Vec<Ranked>> {
    db::select_order(&app.pool, organisation).await
}

/// Sets the order: those that are named first, in this order, and behind them the others as they are.
///
/// # Errors
/// `Invalid` when one is named twice, `NotFound` when one of them is not his or is gone: then nothing is changed.
pub async fn set_order(app: &App, organisation: OrganisationId, wanted: &[VmId], actor: &Actor) -> Result<Vec<Ranked>> {
    let named: HashSet<&VmId> = wanted.iter().collect();
    if named.len() < wanted.len() {
        return Err(Error::invalid("vms", "Name each VM once."));
    }
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let before = db::select_order(&mut *transaction, organisation).await?;
    let mut after = Vec::with_capacity(before.len());
    for vm in wanted {
        after.push(before.iter().find(|known| known.id == *vm).ok_or(Error::NotFound("VM"))?.clone());
    }
    after.extend(before.iter().filter(|known| !named.contains(&known.id)).cloned());
    write_order(app, &mut transaction, organisation, &before, &mut after, actor).await?;
    transaction.commit().await?;
    Ok(after)
}

/// Moves one machine in the order.
///
/// # Errors
/// `NotFound` when it is not his or is gone.
pub async fn move_in_order(
    app: &App,
    organisation: OrganisationId,
    vm: VmId,
    to: Place,
    actor: &Actor,
) -> Result<Vec<Ranked>> {
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let before = db::select_order(&mut *transaction, organisation).await?;
    let mut after = before.clone();
    let from = after.iter().position(|known| known.id == vm).ok_or(Error::NotFound("VM"))?;
    let moved = after.remove(from);
    let to = match to {
        Place::First => 0,
        Place::Up => from.saturating_sub(1),
        Place::Down => (from + 1).min(after.len()),
        Place::Last => after.len(),
    };
    after.insert(to, moved);
    write_order(app, &mut transaction, organisation, &before, &mut after, actor).await?;
    transaction.commit().await?;
    Ok(after)
}

/// The first ones of an order, by their names.
fn named(order: &[Ranked]) -> Vec<&str> {
    order.iter().take(NAMED_MAX).map(|ranked| ranked.name.as_str()).collect()
}

/// Writes an order down as importances, the last one 1, so that new machines come behind. The wallet is locked.
async fn write_order(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    before: &[Ranked],
    after: &mut [Ranked],
    actor: &Actor,
) -> Result<()> {
    if before.iter().map(|known| known.id).eq(after.iter().map(|known| known.id)) {
        return Ok(());
    }
    let highest = i32::try_from(after.len()).unwrap_or(i32::MAX).min(IMPORTANCE_MAX);
    for (place, ranked) in after.iter_mut().enumerate() {
        ranked.importance = highest.saturating_sub(i32::try_from(place).unwrap_or(i32::MAX)).max(0);
    }
    db::update_order(&mut *connection, organisation, after).await?;
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = Changes::of("order", &named(before), &named(after))?.with(json!({ "vms": after.len() }));
    let now = app.clock.now();
    audit::record(&mut *connection, now, actor, Some(organisation), Event::ShutdownOrder, subject, detail).await?;
    live::announce(connection, Some(organisation), "vms").await?;
    Ok(())
}
