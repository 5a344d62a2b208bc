//! What a new machine or another size of one would cost, and how long the credit would last with it. Nothing is written.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};

use super::resize::{self, NewSize};
use super::{State, Vm, find};
use crate::app::App;
use crate::catalog::{self, Plan};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, PlanId, VmId};
use crate::ledger::Wallet;
use crate::{ledger, runway};

/// What a plan would cost an organisation.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The plan.
    pub plan: Plan,
    /// Per hour while running.
    pub running: Rate,
    /// Per hour while stopped.
    pub stopped: Rate,
    /// The most per month.
    pub monthly_cap: Option<Money>,
    /// Set aside now: a day of running.
    pub reserved: Money,
    /// What may be spent now.
    pub available: Money,
    /// What is missing to set that aside; zero when nothing is.
    pub short_by: Money,
    /// When the credit runs out as things are; none: not within the horizon.
    pub runs_out_before: Option<DateTime<Utc>>,
    /// When it would with this machine.
    pub runs_out_after: Option<DateTime<Utc>>,
}

/// Estimates a machine of a plan for an organisation.
///
/// # Errors
/// `Invalid` when there is no such plan on sale.
pub async fn estimate(app: &App, organisation: OrganisationId, plan: PlanId) -> Result<Estimate> {
    let plan = catalog::plans_for(app, organisation)
        .await?
        .into_iter()
        .find(|known| known.id == plan)
        .ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))?;
    let wallet = ledger::wallet(app, organisation).await?;
    of_plan(app, &wallet, plan).await
}

/// Estimates a machine of each plan on sale for an organisation, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn estimate_all(app: &App, organisation: OrganisationId) -> Result<Vec<Estimate>> {
    let wallet = ledger::wallet(app, organisation).await?;
    let mut estimates = Vec::new();
    for plan in catalog::plans_for(app, organisation).await? {
        estimates.push(of_plan(app, &wallet, plan).await?);
    }
    Ok(estimates)
}

async fn of_plan(app: &App, wallet: &Wallet, plan: Plan) -> Result<Estimate> {
    let (before, after) = runway::before_and_after(app, wallet, plan.running, plan.monthly_cap).await?;
    let reserved = billing::hold_for(plan.running);
    let available = wallet.available();
    let short_by = if reserved > available { reserved - available } else { Money::ZERO };
    Ok(Estimate {
        running: plan.running,
        stopped: plan.stopped,
        monthly_cap: plan.monthly_cap,
        reserved,
        available,
        short_by,
        runs_out_before: before.runs_out_at,
        runs_out_after: after.runs_out_at,
        plan,
    })
}

/// What another size of a machine would cost.
#[derive(Debug, Clone)]
pub struct ResizeEstimate {
    /// The plan.
    pub plan: Plan,
    /// Per hour now, in the state it is in.
    pub rate_from: Rate,
    /// Per hour then, in that state.
    pub rate_to: Rate,
    /// The most per month now.
    pub cap_from: Option<Money>,
    /// The most per month then.
    pub cap_to: Option<Money>,
    /// Disk now, in GiB.
    pub disk_gib_from: i32,
    /// Disk then, in GiB.
    pub disk_gib_to: i32,
    /// Whether it is shut down for it and started again.
    pub restarts: bool,
    /// What may be spent now.
    pub available: Money,
    /// What is missing to run it for an hour; zero when nothing is.
    pub short_by: Money,
    /// When the credit runs out as things are; none: not within the horizon.
    pub runs_out_before: Option<DateTime<Utc>>,
    /// When it would with this size.
    pub runs_out_after: Option<DateTime<Utc>>,
    /// Why the machine cannot have this plan.
    pub refusal: Option<String>,
}

/// Estimates another size of a machine.
///
/// # Errors
/// `NotFound` for somebody else's machine, `Conflict` when it is none that can be resized, `Invalid` for a plan that it cannot
/// have.
pub async fn estimate_resize(
    app: &App,
    organisation: OrganisationId,
    vm: VmId,
    size: NewSize,
) -> Result<ResizeEstimate> {
    let vm = find(app, organisation, vm).await?;
    vm.check_exists()?;
    let plans = catalog::plans_for(app, organisation).await?;
    let plan = resize::chosen(&vm, &plans, size)?.clone();
    let mut found = of_sizes(app, &vm, vec![plan], size.grow_disk).await?;
    found.pop().ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))
}

/// Estimates a machine with each plan on sale, in the operator's order, also with those that it cannot have.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn estimate_resizes(app: &App, vm: &Vm, grow_disk: bool) -> Result<Vec<ResizeEstimate>> {
    of_sizes(app, vm, catalog::plans_for(app, vm.organisation).await?, grow_disk).await
}

async fn of_sizes(app: &App, vm: &Vm, plans: Vec<Plan>, grow_disk: bool) -> Result<Vec<ResizeEstimate>> {
    let wallet = ledger::wallet(app, vm.organisation).await?;
    let runs = vm.state == State::Running;
    let rate = |plan: &Plan| if runs { plan.running } else { plan.stopped };
    let prices: Vec<_> = plans.iter().map(|plan| (rate(plan), plan.monthly_cap)).collect();
    let (before, after) = runway::before_and_after_change(app, &wallet, vm.id, &prices).await?;
    let available = wallet.available();
    let estimates = plans.into_iter().zip(after).map(|(plan, after)| {
        let hour = plan.running.for_hours(1);
        ResizeEstimate {
            rate_from: vm.rate,
            rate_to: rate(&plan),
            cap_from: vm.monthly_cap,
            cap_to: plan.monthly_cap,
            disk_gib_from: vm.disk_gib,
            disk_gib_to: if grow_disk { plan.disk_gib.max(vm.disk_gib) } else { vm.disk_gib },
            restarts: runs,
            available,
            short_by: if hour > available { hour - available } else { Money::ZERO },
            runs_out_before: before.runs_out_at,
            runs_out_after: after.runs_out_at,
            refusal: resize::why_not(vm, &plan),
            plan,
        }
    });
    Ok(estimates.collect())
}
