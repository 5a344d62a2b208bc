//! What a decision does to the bill, by the price book: per hour and for a month, before and after.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};

use super::Drift;
use crate::catalog::{Plan, PowerState, PriceBook};
use crate::error::Result;
use crate::ids::PlanId;
use crate::metering::Parts;

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

    /// What a machine with these parts costs now.
    pub fn of(book: &PriceBook, parts: Parts, now: DateTime<Utc>) -> Result<Self> {
        let mut cost = Self::NONE;
        for metering in parts.on(book.list()) {
            let (hour, cap) = book.burn(metering, now).map_err(anyhow::Error::new)?;
            let whole = hour.for_hours(MONTH_HOURS_MAX);
            cost.hour = cost.hour + hour;
            cost.month += cap.map_or(whole, |cap| cap.min(whole));
        }
        Ok(cost)
    }

    pub fn to(self, other: Self) -> Effect {
        Effect { hour_from: self.hour, hour_to: other.hour, month_from: self.month, month_to: other.month }
    }
}

/// What the machine of a difference costs now: nothing while it is missing.
pub(super) fn present(drift: &Drift, book: &PriceBook, now: DateTime<Utc>) -> Result<Cost> {
    if drift.missing { Ok(Cost::NONE) } else { there(drift, book, now) }
}

/// What it costs while it is there.
pub(super) fn there(drift: &Drift, book: &PriceBook, now: DateTime<Utc>) -> Result<Cost> {
    Cost::of(book, parts(drift, drift.plan, drift.plan_disk_gib, drift.disk_gib), now)
}

/// What it costs with a disk as it was found.
pub(super) fn with_found_disk(drift: &Drift, book: &PriceBook, now: DateTime<Utc>) -> Result<Cost> {
    let disk_gib = drift.found_disk_gib().unwrap_or(drift.disk_gib);
    if drift.missing {
        return Ok(Cost::NONE);
    }
    Cost::of(book, parts(drift, drift.plan, drift.plan_disk_gib, disk_gib), now)
}

/// What is metered of the machine with a plan, which comes with so much disk, and a disk.
fn parts(drift: &Drift, plan: PlanId, plan_disk_gib: i32, disk_gib: i32) -> Parts {
    Parts {
        plan,
        state: if drift.running { PowerState::Running } else { PowerState::Stopped },
        extra_disk_gib: i64::from((disk_gib - plan_disk_gib).max(0)),
        addresses: drift.addresses,
        licensed: drift.licensed,
    }
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
                effect: before.to(Cost::of(book, parts(drift, plan.id, plan.disk_gib, drift.disk_gib), now)?),
            })
        })
        .collect()
}
