//! What each machine was, from when to when: intervals that cannot overlap, opened and closed in the transaction that
//! changes the machine. The times come from what we did or saw on the hypervisor, never from the guest.

mod db;
mod explain;
mod history;
pub mod uncharged;
mod unsettled;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use uuid::Uuid;

pub use crate::catalog::PowerState;
use crate::catalog::{Item, Metering, Resource};
pub use db::charges::{BulkCharges, BulkMeters, bulk_charge};
pub use explain::{Changed, Explanation, PriceOfCharge, Was, explain};
pub use history::{
    CHARGES_MAX, ChargeKey, ChargeLine, DayTotal, LineTotal, LinesFilter, charge_lines, days_of, month_of, span_of_day,
    totals_by_line,
};
pub use unsettled::{Checkpoint, Pieces, Settled, Span, Unsettled, Whose, checkpoints, stand, unsettled};

use crate::app::App;
use crate::error::Result;
use crate::ids::{ClusterId, ImageId, OrganisationId, PassId, PlanId, PriceListId, VmId};
use crate::ledger::{self, Wallet};
use crate::platform_settings;

/// What a machine is to be metered as.
#[derive(Debug, Clone, Copy)]
pub struct Metered {
    /// The machine.
    pub vm: VmId,
    /// Its plan.
    pub plan: PlanId,
    /// Running or stopped.
    pub state: PowerState,
}

/// Meters a machine as `what` from `at` on; what it was before ends there. `wallet` must be locked in this transaction.
/// While the wallet has run out nothing is metered, or all of it as stopped where that is a debt: what runs then is ours.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn open(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    what: Metered,
    at: DateTime<Utc>,
) -> Result<()> {
    // A clock that was set back must not open a time that is already charged.
    let at = at.max(wallet.charged_through);
    db::uncharged::close(&mut *connection, what.vm, at).await?;
    let in_charged_grace = wallet.grace_charged_until.is_some_and(|until| at < until);
    let wanted = match wallet.exhausted_at {
        None => wanted(&mut *connection, wallet, what).await?,
        Some(_) if in_charged_grace => {
            wanted(&mut *connection, wallet, Metered { state: PowerState::Stopped, ..what }).await?
        }
        Some(_) => Vec::new(),
    };
    let known = db::select_of_vm(&mut *connection, what.vm).await?;
    for meter in &known {
        if let Some(open) = meter.open.as_ref().filter(|open| !wanted.contains(&open.what)) {
            db::end(&mut *connection, open.id, open.from, at).await?;
        }
    }
    if !wanted.is_empty() && !wallet.metered {
        // Nothing ran up charges until now, so there is nothing to look at before.
        ledger::set_charged_through(&mut *connection, wallet.organisation, at).await?;
    }
    for wanted in wanted {
        let resource = wanted.item.resource();
        let meter = known.iter().find(|meter| meter.resource == resource);
        if meter.is_some_and(|meter| meter.open.as_ref().is_some_and(|open| open.what == wanted)) {
            continue;
        }
        // One that lived shorter than is charged at least was closed for that a little later than now; and one that was born
        // after a credit had ended is not metered from that end on, but from its birth.
        let earliest =
            meter.map(|meter| meter.last_end.map_or(meter.accrued_through, |end| end.max(meter.accrued_through)));
        let at = earliest.map_or(at, |earliest| earliest.max(at));
        let id = match meter {
            Some(meter) => meter.meter,
            None => {
                let month = billing::Month::of(at, app.settings.time_zone);
                db::ensure_meter(&mut *connection, wallet.organisation, what.vm, resource, (at, month)).await?
            }
        };
        db::insert_interval(&mut *connection, wallet.organisation, id, wanted, at).await?;
    }
    Ok(())
}

/// What of a machine has a price: itself, and what it has beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Its plan.
    pub plan: PlanId,
    /// Running or stopped.
    pub state: PowerState,
    /// GiB of disk beyond what the plan has.
    pub extra_disk_gib: i64,
    /// How many addresses it has.
    pub addresses: i64,
    /// The image whose licence it needs, if it needs one.
    pub licensed: Option<ImageId>,
}

impl Parts {
    /// What is metered of it for a customer of this list.
    #[must_use]
    pub fn on(self, list: PriceListId) -> Vec<Metering> {
        let items = [
            (Some(Item::Vm(self.plan, self.state)), 1),
            (Some(Item::Disk), self.extra_disk_gib),
            (Some(Item::Address), self.addresses),
            (self.licensed.map(Item::ImageLicence), 1),
        ];
        let metering = |(item, quantity): (Option<Item>, i64)| Some(Metering { list, item: item?, quantity });
        items.into_iter().filter_map(metering).filter(|metering| metering.quantity > 0).collect()
    }
}

/// What a machine has, as one of a plan and in a state.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn parts(connection: &mut PgConnection, what: Metered) -> Result<Parts> {
    let Metered { vm, plan, state } = what;
    let beside = db::select_beside(connection, vm, plan).await?;
    let (extra_disk_gib, addresses, licensed) = (beside.disk_gib, beside.addresses, beside.licensed);
    Ok(Parts { plan, state, extra_disk_gib, addresses, licensed })
}

/// Everything that is metered of a machine: itself, and what it has beside.
async fn wanted(connection: &mut PgConnection, wallet: &Wallet, what: Metered) -> Result<Vec<Metering>> {
    Ok(parts(connection, what).await?.on(wallet.price_list))
}

/// Goes on metering an organisation's machines by the prices of its wallet's list, from `at` on. Two statements, whatever it has.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn change_list(connection: &mut PgConnection, wallet: &Wallet, at: DateTime<Utc>) -> Result<u64> {
    let at = at.max(wallet.charged_through);
    db::change_list(connection, wallet.organisation, wallet.price_list, at).await
}

/// Ends the metering of a machine at `at`, or a little later if it lived shorter than is charged at least.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn close(connection: &mut PgConnection, wallet: &Wallet, vm: VmId, at: DateTime<Utc>) -> Result<()> {
    let at = at.max(wallet.charged_through);
    db::uncharged::close(&mut *connection, vm, at).await?;
    let known = db::select_of_vm(&mut *connection, vm).await?;
    let machine = known.iter().find(|meter| meter.resource == Resource::Vm);
    let at = match machine.and_then(|machine| machine.first_from.filter(|_| machine.open.is_some())) {
        Some(born) if wallet.exhausted_at.is_none() => {
            let least = platform_settings::read(&mut *connection).await?.life_seconds_min;
            at.max(born + TimeDelta::seconds(least.into()))
        }
        _ => at,
    };
    for open in known.iter().filter_map(|meter| meter.open.as_ref()) {
        db::end(&mut *connection, open.id, open.from, at).await?;
    }
    Ok(())
}

/// Ends all metering of an organisation at `at`, also what was opened or closed after it: from there on nothing is charged.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn close_all(connection: &mut PgConnection, organisation: OrganisationId, at: DateTime<Utc>) -> Result<()> {
    db::end_all(connection, organisation, at).await
}

/// Ends the metering of all machines of a cluster that cannot be seen, at the last good look or where charging stands.
/// Answers with the organisations concerned. Their wallets must be recomputed.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn suspend_cluster(
    connection: &mut PgConnection,
    cluster: ClusterId,
    seen: DateTime<Utc>,
) -> Result<Vec<OrganisationId>> {
    db::uncharged::open_cluster(&mut *connection, cluster, None, seen, uncharged::Reason::ClusterAway).await?;
    db::end_cluster(connection, cluster, None, seen).await
}

/// The same for some guests of a cluster, whose node is away.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn suspend_guests(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmids: &[i32],
    seen: DateTime<Utc>,
) -> Result<Vec<OrganisationId>> {
    db::uncharged::open_cluster(&mut *connection, cluster, Some(vmids), seen, uncharged::Reason::NodeAway).await?;
    db::end_cluster(connection, cluster, Some(vmids), seen).await
}

/// Takes what ran between the cursors of some locked wallets and `through` out of their meters, and writes it down as not
/// charged. The cursors are still to be moved.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn waive(
    connection: &mut PgConnection,
    organisations: &[Uuid],
    through: DateTime<Utc>,
    pass: PassId,
) -> Result<()> {
    db::uncharged::waive(connection, organisations, through, pass).await
}

/// The charges of one machine in its current billing month.
#[derive(Debug, Clone, Copy)]
pub struct MonthOfVm {
    /// What was charged.
    pub charged: billing::Money,
    /// Seconds metered as running.
    pub running_seconds: i64,
    /// Seconds metered as stopped.
    pub stopped_seconds: i64,
}

/// What a machine has cost since `from`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn month_of_vm(app: &App, organisation: OrganisationId, vm: VmId, from: DateTime<Utc>) -> Result<MonthOfVm> {
    db::read::select_month_of_vm(&app.pool, organisation, vm, from, app.clock.now()).await
}

/// A charge as its payer sees it.
#[derive(Debug, Clone)]
pub struct VmCharge {
    /// The machine.
    pub vm: VmId,
    /// Its name.
    pub vm_name: String,
    /// Charged from here.
    pub from: DateTime<Utc>,
    /// Charged until here.
    pub to: DateTime<Utc>,
    /// What for.
    pub item: Item,
    /// How many units of it.
    pub quantity: i64,
    /// Per hour, for all units.
    pub rate: billing::Rate,
    /// How much.
    pub amount: billing::Money,
}

/// The latest charges of an organisation, or of one of its machines.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn latest_charges(
    app: &App,
    organisation: OrganisationId,
    vm: Option<VmId>,
    limit: i64,
) -> Result<Vec<VmCharge>> {
    db::read::select_latest_charges(&app.pool, organisation, vm, limit).await
}

/// What a machine was charged in a month, and for what.
#[derive(Debug, Clone)]
pub struct VmMonth {
    /// The machine.
    pub vm: VmId,
    /// Its name.
    pub vm_name: String,
    /// Whether it is gone.
    pub is_deleted: bool,
    /// What was charged.
    pub charged: billing::Money,
    /// The most a month of it costs by today's price; none: no limit.
    pub cap: Option<billing::Money>,
    /// Seconds metered as running.
    pub running_seconds: i64,
    /// Seconds metered as stopped.
    pub stopped_seconds: i64,
}

/// What the machines of an organisation were charged since `from`, deleted ones too, dearest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn month_by_vm(
    app: &App,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<VmMonth>> {
    db::read::select_month_by_vm(&app.pool, organisation, from, app.clock.now(), limit).await
}

/// What an organisation was charged for all its machines since `from`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn month_of_organisation(
    app: &App,
    organisation: OrganisationId,
    from: DateTime<Utc>,
) -> Result<billing::Money> {
    db::read::select_month_of_organisation(&app.pool, organisation, from).await
}

/// What all customers were charged for time since `from`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn charged_since(app: &App, from: DateTime<Utc>) -> Result<billing::Money> {
    db::read::select_charged_since(&app.pool, from).await
}

/// What all customers were charged for time since the platform's last midnight.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn charged_today(app: &App) -> Result<billing::Money> {
    charged_since(app, midnight_before(app.clock.now(), app.settings.time_zone)).await
}

/// The last midnight of a time zone. Where clocks were put forward over it, the hour after; where it came twice, the first.
fn midnight_before(now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    midnight_of(now.with_timezone(&zone).date_naive(), zone)
}

/// When a day begins in a time zone.
fn midnight_of(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    let begins = |local: NaiveDateTime| zone.from_local_datetime(&local).earliest().map(|instant| instant.to_utc());
    begins(midnight).or_else(|| begins(midnight + TimeDelta::hours(1))).unwrap_or_else(|| midnight.and_utc())
}

/// The organisations that have something metered on a cluster, in the order in which their wallets are to be locked.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn metered_on(connection: &mut PgConnection, cluster: ClusterId) -> Result<Vec<OrganisationId>> {
    db::select_metered_on(connection, cluster).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_of_the_platform() {
        let cases = [
            ("2026-11-20T22:30:00Z", chrono_tz::Europe::Berlin, "2026-11-19T23:00:00Z"),
            ("2026-11-20T23:00:00Z", chrono_tz::Europe::Berlin, "2026-11-20T23:00:00Z"),
            ("2026-03-29T12:00:00Z", chrono_tz::Europe::Berlin, "2026-03-28T23:00:00Z"),
            // Clocks go from 00:00 to 01:00 there on that day.
            ("2024-04-26T12:00:00Z", chrono_tz::Africa::Cairo, "2024-04-25T22:00:00Z"),
            ("2026-11-20T22:30:00Z", chrono_tz::UTC, "2026-11-20T00:00:00Z"),
        ];
        for (now, zone, midnight) in cases {
            assert_eq!(
                midnight_before(now.parse().unwrap(), zone),
                midnight.parse::<DateTime<Utc>>().unwrap(),
                "{now} {zone}"
            );
        }
    }
}
