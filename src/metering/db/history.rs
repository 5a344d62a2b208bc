//! The SQL of an organisation's charges, and of what one of them comes from. The key of charges begins with the organisation
//! and the time, and every query gives both.

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::item;
use crate::catalog::{Metering, Resource};
use crate::error::Result;
use crate::ids::{ImageId, MeterId, OrganisationId, PlanId, PriceListId, VmId};
use crate::ledger::{money, rate};
use crate::metering::explain::{PriceOfCharge, Stored};
use crate::metering::history::{ChargeKey, ChargeLine, DayTotal, LineTotal, LinesFilter};

/// How many lines of machines a total has at most.
const TOTALS_MAX: i64 = 5_000;

pub(in crate::metering) async fn select_lines(
    pool: &PgPool,
    organisation: OrganisationId,
    filter: &LinesFilter,
    limit: i64,
) -> Result<Vec<ChargeLine>> {
    let until = filter.after.map_or(filter.to, |after| after.from.min(filter.to));
    let rows = sqlx::query!(
        r#"select c.meter_id as "meter: MeterId", c.period_start, c.period_end, v.id as "vm: VmId", v.name, v.deleted_at is not null as "is_deleted!",
                  p.kind, p.plan_id as "plan: PlanId", p.image_id as "image: ImageId", coalesce(pl.name, i.name) as item_name, c.quantity, c.rate, c.amount
           from charges c
           join meters m on m.id = c.meter_id join vms v on v.id = m.vm_id join prices p on p.id = c.price_id
           left join plans pl on pl.id = p.plan_id left join images i on i.id = p.image_id
           where c.organisation_id = $1 and c.period_start >= $2 and c.period_start < $3 and c.period_start <= $4
             and ($5::uuid is null or (c.period_start, c.meter_id) < ($4, $5))
             and ($6::uuid is null or c.meter_id in (select f.id from meters f where f.vm_id = $6))
           order by c.period_start desc, c.meter_id desc limit $7"#,
        organisation.uuid(),
        filter.from,
        filter.to,
        until,
        filter.after.map(|after| after.meter.uuid()),
        filter.vm.map(VmId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ChargeLine {
                key: ChargeKey { from: row.period_start, meter: row.meter },
                vm: row.vm,
                vm_name: row.name,
                is_deleted: row.is_deleted,
                to: row.period_end,
                item: item(&row.kind, row.plan, row.image)?,
                item_name: row.item_name,
                quantity: row.quantity,
                rate: rate(row.rate)?,
                amount: money(row.amount)?,
            })
        })
        .collect()
}

pub(in crate::metering) async fn select_days(
    pool: &PgPool,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    zone: &str,
) -> Result<Vec<DayTotal>> {
    let rows = sqlx::query!(
        r#"select (c.period_start at time zone $4)::date as "day!", sum(c.amount) as "amount!" from charges c
           where c.organisation_id = $1 and c.period_start >= $2 and c.period_start < $3 group by 1 order by 1 desc"#,
        organisation.uuid(),
        from,
        to,
        zone,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| Ok(DayTotal { day: row.day, amount: money(row.amount)? })).collect()
}

pub(in crate::metering) async fn select_totals(
    pool: &PgPool,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<LineTotal>> {
    let rows = sqlx::query!(
        r#"select v.id as "vm: VmId", v.name, v.deleted_at is not null as "is_deleted!", m.kind as resource, c.amount as "amount!"
           from (select meter_id, sum(amount) as amount from charges where organisation_id = $1 and period_start >= $2 and period_start < $3 group by meter_id) c
           join meters m on m.id = c.meter_id join vms v on v.id = m.vm_id
           order by v.name, v.id, m.kind <> 'vm', m.kind limit $4"#,
        organisation.uuid(),
        from,
        to,
        TOTALS_MAX,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LineTotal {
                vm: row.vm,
                vm_name: row.name,
                is_deleted: row.is_deleted,
                resource: Resource::parse(&row.resource).context("a meter is of an unknown kind")?,
                amount: money(row.amount)?,
            })
        })
        .collect()
}

/// A charge of an organisation with its price, if there is such a charge.
pub(in crate::metering) async fn select_charge(
    pool: &PgPool,
    organisation: OrganisationId,
    key: ChargeKey,
) -> Result<Option<(ChargeLine, PriceOfCharge)>> {
    let row = sqlx::query!(
        r#"select c.period_end, v.id as "vm: VmId", v.name, v.deleted_at is not null as "is_deleted!", p.kind, p.plan_id as "plan: PlanId",
                  p.image_id as "image: ImageId", coalesce(pl.name, i.name) as item_name, c.quantity, c.rate, c.amount,
                  l.name as list, pv.number as version, pv.effective_from, p.hourly_rate, p.monthly_cap
           from charges c
           join meters m on m.id = c.meter_id join vms v on v.id = m.vm_id join prices p on p.id = c.price_id
           join price_list_versions pv on pv.id = p.price_list_version_id join price_lists l on l.id = pv.price_list_id
           left join plans pl on pl.id = p.plan_id left join images i on i.id = p.image_id
           where c.organisation_id = $1 and c.period_start = $2 and c.meter_id = $3"#,
        organisation.uuid(),
        key.from,
        key.meter.uuid(),
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let line = ChargeLine {
            key,
            vm: row.vm,
            vm_name: row.name,
            is_deleted: row.is_deleted,
            to: row.period_end,
            item: item(&row.kind, row.plan, row.image)?,
            item_name: row.item_name,
            quantity: row.quantity,
            rate: rate(row.rate)?,
            amount: money(row.amount)?,
        };
        let price = PriceOfCharge {
            list: row.list,
            version: row.version,
            effective_from: row.effective_from,
            rate: rate(row.hourly_rate)?,
            monthly_cap: row.monthly_cap.map(money).transpose()?,
        };
        Ok((line, price))
    })
    .transpose()
}

/// What a meter was in `[from, to)`, oldest first, and before that what it was last.
pub(in crate::metering) async fn select_intervals(
    pool: &PgPool,
    meter: MeterId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Stored>> {
    let rows = sqlx::query!(
        r#"select i.kind, i.plan_id as "plan: PlanId", i.image_id as "image: ImageId", coalesce(pl.name, im.name) as item_name, i.quantity,
                  i.price_list_id as "list: PriceListId", l.name as list_name, lower(i.during) as "from!", upper(i.during) as "to"
           from meter_intervals i join price_lists l on l.id = i.price_list_id
           left join plans pl on pl.id = i.plan_id left join images im on im.id = i.image_id
           where i.meter_id = $1 and i.during && tstzrange(
               coalesce((select max(lower(b.during)) from meter_intervals b where b.meter_id = $1 and b.during << tstzrange($2, null)), $2), $3)
           order by lower(i.during) limit $4"#,
        meter.uuid(),
        from,
        to,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let what = Metering { list: row.list, item: item(&row.kind, row.plan, row.image)?, quantity: row.quantity };
            Ok(Stored { what, item_name: row.item_name, list_name: row.list_name, from: row.from, to: row.to })
        })
        .collect()
}
