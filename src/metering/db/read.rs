//! The SQL of what owners and operators read about charges.

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::catalog::Item;
use crate::error::Result;
use crate::ids::{ImageId, OrganisationId, PlanId, VmId};
use crate::ledger::{money, rate};
use crate::metering::{MonthOfVm, VmCharge, VmMonth};

pub(in crate::metering) async fn select_month_of_vm(
    pool: &PgPool,
    organisation: OrganisationId,
    vm: VmId,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<MonthOfVm> {
    let row = sqlx::query!(
        r#"select (select coalesce(sum(c.amount), 0) from charges c where c.organisation_id = $2 and c.period_start >= $3 and c.meter_id in (select id from meters where vm_id = $1)) as "charged!",
                  coalesce(sum(extract(epoch from least(upper(i.during), $4) - greatest(lower(i.during), $3))) filter (where i.kind = 'vm_running'), 0)::bigint as "running!",
                  coalesce(sum(extract(epoch from least(upper(i.during), $4) - greatest(lower(i.during), $3))) filter (where i.kind = 'vm_stopped'), 0)::bigint as "stopped!"
           from meters m left join meter_intervals i on i.meter_id = m.id and i.during && tstzrange($3, $4)
           where m.vm_id = $1 and m.organisation_id = $2 and m.kind = 'vm' group by m.id"#,
        vm.uuid(),
        organisation.uuid(),
        from,
        now.max(from),
    )
    .fetch_optional(pool)
    .await?;
    row.map_or(Ok(MonthOfVm { charged: billing::Money::ZERO, running_seconds: 0, stopped_seconds: 0 }), |row| {
        Ok(MonthOfVm { charged: money(row.charged)?, running_seconds: row.running, stopped_seconds: row.stopped })
    })
}

pub(in crate::metering) async fn select_latest_charges(
    pool: &PgPool,
    organisation: OrganisationId,
    vm: Option<VmId>,
    limit: i64,
) -> Result<Vec<VmCharge>> {
    let rows = sqlx::query!(
        r#"select v.id as "vm: VmId", v.name, c.period_start, c.period_end, p.kind, p.plan_id as "plan: PlanId", p.image_id as "image: ImageId", c.quantity, c.rate, c.amount
           from charges c
           join meters m on m.id = c.meter_id
           join vms v on v.id = m.vm_id
           join prices p on p.id = c.price_id
           where c.organisation_id = $1 and ($2::uuid is null or m.vm_id = $2)
           order by c.period_start desc, v.name, m.kind limit $3"#,
        organisation.uuid(),
        vm.map(VmId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(VmCharge {
                vm: row.vm,
                vm_name: row.name,
                from: row.period_start,
                to: row.period_end,
                item: Item::parse(&row.kind, row.plan, row.image).context("a price is of an unknown kind")?,
                quantity: row.quantity,
                rate: rate(row.rate)?,
                amount: money(row.amount)?,
            })
        })
        .collect()
}

pub(in crate::metering) async fn select_month_by_vm(
    pool: &PgPool,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<VmMonth>> {
    let rows = sqlx::query!(
        r#"select v.id as "vm: VmId", v.name, v.deleted_at is not null as "is_deleted!", c.charged as "charged!", t.running as "running!", t.stopped as "stopped!",
                  (select pr.monthly_cap from prices pr join price_list_periods t on t.id = pr.price_list_version_id and t.during @> $3::timestamptz
                   where pr.kind = 'vm_running' and pr.plan_id = v.plan_id
                     and t.price_list_id = coalesce(o.price_list_id, (select l.id from price_lists l where l.is_default))) as cap
           from (select m.vm_id, sum(c.amount) as charged from charges c join meters m on m.id = c.meter_id
                 where c.organisation_id = $1 and c.period_start >= $2 group by m.vm_id) c
           join vms v on v.id = c.vm_id join organisations o on o.id = $1
           join meters m on m.vm_id = v.id and m.kind = 'vm'
           cross join lateral (
               select coalesce(sum(extract(epoch from least(upper(i.during), $3) - greatest(lower(i.during), $2))) filter (where i.kind = 'vm_running'), 0)::bigint as running,
                      coalesce(sum(extract(epoch from least(upper(i.during), $3) - greatest(lower(i.during), $2))) filter (where i.kind = 'vm_stopped'), 0)::bigint as stopped
               from meter_intervals i where i.meter_id = m.id and i.during && tstzrange($2, $3)
           ) t
           where c.charged > 0 order by c.charged desc, v.name limit $4"#,
        organisation.uuid(),
        from,
        now.max(from),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(VmMonth {
                vm: row.vm,
                vm_name: row.name,
                is_deleted: row.is_deleted,
                charged: money(row.charged)?,
                cap: row.cap.map(money).transpose()?,
                running_seconds: row.running,
                stopped_seconds: row.stopped,
            })
        })
        .collect()
}

pub(in crate::metering) async fn select_month_of_organisation(
    pool: &PgPool,
    organisation: OrganisationId,
    from: DateTime<Utc>,
) -> Result<billing::Money> {
    let total = sqlx::query_scalar!(
        r#"select coalesce(sum(c.amount), 0) as "total!" from charges c where c.organisation_id = $1 and c.period_start >= $2"#,
        organisation.uuid(),
        from,
    )
    .fetch_one(pool)
    .await?;
    money(total)
}

pub(in crate::metering) async fn select_charged_since(pool: &PgPool, from: DateTime<Utc>) -> Result<billing::Money> {
    let total = sqlx::query_scalar!(
        r#"select coalesce(sum(amount), 0) as "total!" from transfers where code = 'charge' and at > $1"#,
        from
    )
    .fetch_one(pool)
    .await?;
    money(total)
}
