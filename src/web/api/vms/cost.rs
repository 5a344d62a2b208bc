//! What a change would cost, as programs see it: one shape for every dry run and for `/estimate`.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ids::{ImageId, PlanId, PriceId, PriceListId};
use crate::vms::{self, Cost};

/// A line of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CostLine)]
pub struct CostLineView {
    /// Which of the VMs asked about, from zero on.
    vm: usize,
    /// How many such VMs.
    vms: u32,
    /// `vm_running`, `vm_stopped`, `disk`, `address`, `image_licence`.
    kind: &'static str,
    plan: Option<PlanId>,
    image: Option<ImageId>,
    /// How many units each VM has of it.
    quantity: i64,
    price_list: PriceListId,
    /// The version of the price list.
    version: Option<i32>,
    /// Null where it is free.
    price: Option<PriceId>,
    /// Of one unit.
    price_per_hour: Rate,
    /// Of one VM: all its units.
    hour: Rate,
    monthly_cap: Option<Money>,
    /// Of all VMs: 730 hours, at most the cap.
    month: Money,
    /// Of all VMs, from now to the end of this billing month.
    until_month_end: Money,
}

/// What a change would cost and do to the wallet. Nothing was changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Cost)]
pub struct CostView {
    lines: Vec<CostLineView>,
    /// What the VMs concerned cost per hour now and then.
    rate_from: Rate,
    rate_to: Rate,
    /// The most a month costs then; null: no limit.
    monthly_cap: Option<Money>,
    /// 730 hours, at most the caps.
    month: Money,
    /// From now to the end of this billing month.
    until_month_end: Money,
    /// Set aside when it is done: 24 hours of what is new.
    reserved: Money,
    available: Money,
    /// What is missing for it.
    short_by: Money,
    runs_out_before: Option<DateTime<Utc>>,
    runs_out_after: Option<DateTime<Utc>>,
}

impl From<&vms::CostLine> for CostLineView {
    fn from(line: &vms::CostLine) -> Self {
        let (burn, item) = (&line.burn, line.burn.what.item);
        Self {
            vm: line.machine,
            vms: line.machines,
            kind: item.kind(),
            plan: item.plan(),
            image: item.image(),
            quantity: burn.what.quantity,
            price_list: burn.what.list,
            version: burn.version,
            price: burn.price,
            price_per_hour: burn.unit_rate,
            hour: burn.rate,
            monthly_cap: burn.cap,
            month: line.cost.month,
            until_month_end: line.cost.until_month_end,
        }
    }
}

impl From<Cost> for CostView {
    fn from(cost: Cost) -> Self {
        Self {
            lines: cost.lines.iter().map(CostLineView::from).collect(),
            rate_from: cost.rate_from,
            rate_to: cost.rate_to,
            monthly_cap: cost.monthly_cap,
            month: cost.total.month,
            until_month_end: cost.total.until_month_end,
            reserved: cost.reserved,
            available: cost.available,
            short_by: cost.short_by,
            runs_out_before: cost.runs_out_before,
            runs_out_after: cost.runs_out_after,
        }
    }
}
