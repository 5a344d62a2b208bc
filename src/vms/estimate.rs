//! What a new machine would cost, and how long the credit would last with it. Nothing is written.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};

use crate::app::App;
use crate::catalog::{self, Plan};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, PlanId};
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
    let plan = catalog::plans(app)
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
    for plan in catalog::plans(app).await? {
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
