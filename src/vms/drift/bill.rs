//! What a decision does to the bill, by the price book: per hour and for a month, before and after.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};

use super::Drift;
use crate::catalog::{Plan, PowerState, PriceBook};
use crate::error::Result;
use crate::ids::PlanId;

/// The hours of the longest month: what a month costs at most where no cap is lower.
const MONTH_HOURS_MAX: i64 = 31 * 24;

/// What a machine costs before and after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = DriftEffect)]
pub struct Effect {
    /// Per hour until now.
    #[serde(serialize_with = "as_text")]
    pub hour_from: Rate,
    /// Per hour from then on.
    #[serde(serialize_with = "as_text")]
    pub hour_to: Rate,
    /// The most a month costs until now.
    #[serde(serialize_with = "as_text")]
    pub month_from: Money,
    /// The most a month costs from then on.
    #[serde(serialize_with = "as_text")]
    pub month_to: Money,
}

fn as_text<S: serde::Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

impl Effect {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.hour_from == self.hour_to && self.month_from == self.month_to
    }
}

/// A plan that can be chosen, and what choosing it does to the bill.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = DriftPlanEffect)]
pub struct PlanEffect {
    /// The plan.
    pub plan: PlanId,
    /// Its name.
    pub name: String,
    /// Its size in words.
    pub size: String,
    /// It is exactly what was found.
    pub exact: bool,
    /// What it does to the bill.
    pub effect: Effect,
}

/// What something costs: per hour, and in a month at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    hour: Rate,
    month: Money,
}

impl Cost {
    /// Nothing is charged.
    pub const NONE: Self = Self { hour: Rate::ZERO, month: Money::ZERO };

    /// What a plan costs in a state now.
    pub fn of(book: &PriceBook, plan: PlanId, state: PowerState, now: DateTime<Utc>) -> Result<Self> {
        let price = book.at(plan, state, now).map_err(anyhow::Error::new)?;
        let whole = price.rate.for_hours(MONTH_HOURS_MAX);
        Ok(Self { hour: price.rate, month: price.monthly_cap.map_or(whole, |cap| cap.min(whole)) })
    }

    pub fn to(self, other: Self) -> Effect {
        Effect { hour_from: self.hour, hour_to: other.hour, month_from: self.month, month_to: other.month }
    }
}

/// What the machine of a difference costs now: nothing while it is missing.
pub(super) fn present(drift: &Drift, book: &PriceBook, now: DateTime<Utc>) -> Result<Cost> {
    if drift.missing { Ok(Cost::NONE) } else { Cost::of(book, drift.plan, state(drift), now) }
}

/// What it is charged as while it is there.
pub(super) fn state(drift: &Drift) -> PowerState {
    if drift.running { PowerState::Running } else { PowerState::Stopped }
}

/// The effect of each plan.
pub(super) fn of_plans(
    drift: &Drift,
    plans: &[Plan],
    book: &PriceBook,
    size: (i32, i32),
    now: DateTime<Utc>,
) -> Result<Vec<PlanEffect>> {
    let before = present(drift, book, now)?;
    plans
        .iter()
        .map(|plan| {
            Ok(PlanEffect {
                plan: plan.id,
                name: plan.name.clone(),
                size: format!("{} vCPU, {} GiB", plan.vcpu, plan.memory_mib / 1024),
                exact: (plan.vcpu, plan.memory_mib) == size,
                effect: before.to(Cost::of(book, plan.id, state(drift), now)?),
            })
        })
        .collect()
}
