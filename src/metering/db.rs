//! The SQL of meters, intervals and charges.

use std::collections::HashMap;

use anyhow::Context;
use billing::{Accrued, MeterState, Month};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Metered, MonthOfVm, PowerState, Span, Unsettled, VmCharge, VmMonth};
use crate::error::Result;
use crate::ids::{ClusterId, MeterId, OrganisationId, PlanId, VmId};
use crate::ledger::{money, rate};

pub(super) async fn ensure_meter(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
    month: Month,
) -> Result<MeterId> {
    let id = sqlx::query_scalar!(
        r#"insert into meters (id, organisation_id, vm_id, month, accrued, cap) values ($1, $2, $3, $4, 0, 0)
           on conflict (vm_id) do update set vm_id = excluded.vm_id returning id as "id: MeterId""#,
        MeterId::new().uuid(),
        organisation.uuid(),
        vm.uuid(),
        month.first_day(),
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

pub(super) struct Open {
    pub id: i64,
    pub state: String,
    pub plan: PlanId,
    pub from: DateTime<Utc>,
}

pub(super) async fn select_open(connection: &mut PgConnection, meter: MeterId) -> Result<Option<Open>> {
    let open = sqlx::query_as!(
        Open,
        r#"select id, state, plan_id as "plan: PlanId", lower(during) as "from!" from meter_intervals
           where meter_id = $1 and not settled and upper_inf(during)"#,
        meter.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(open)
}

/// When the last interval of a meter that has ended did so; perhaps in the future.
pub(super) async fn select_last_end(connection: &mut PgConnection, meter: MeterId) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!("select max(upper(during)) from meter_intervals where meter_id = $1", meter.uuid())
        .fetch_one(connection)
        .await?)
}

pub(super) struct OpenOfVm {
    pub id: i64,
    pub from: DateTime<Utc>,
    pub first_from: DateTime<Utc>,
}

pub(super) async fn select_open_of_vm(connection: &mut PgConnection, vm: VmId) -> Result<Option<OpenOfVm>> {
    let open = sqlx::query_as!(
        OpenOfVm,
        r#"select i.id, lower(i.during) as "from!", (select min(lower(f.during)) from meter_intervals f where f.meter_id = m.id) as "first_from!"
           from meters m join meter_intervals i on i.meter_id = m.id and not i.settled and upper_inf(i.during)
           where m.vm_id = $1"#,
        vm.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(open)
}

/// Ends an interval; one that would be empty never was.
pub(super) async fn end(connection: &mut PgConnection, id: i64, from: DateTime<Utc>, at: DateTime<Utc>) -> Result<()> {
    if at <= from {
        sqlx::query!("delete from meter_intervals where id = $1", id).execute(connection).await?;
    } else {
        sqlx::query!("update meter_intervals set during = tstzrange(lower(during), $2) where id = $1", id, at)
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn insert_interval(
    connection: &mut PgConnection,
    meter: MeterId,
    what: Metered,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into meter_intervals (meter_id, state, plan_id, during) values ($1, $2, $3, tstzrange($4, null))",
        meter.uuid(),
        what.state.name(),
        what.plan.uuid(),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn end_all(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "delete from meter_intervals i using meters m
         where m.id = i.meter_id and m.organisation_id = $1 and not i.settled and lower(i.during) >= $2",
        organisation.uuid(),
        at,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update meter_intervals i set during = tstzrange(lower(i.during), least(upper(i.during), $2)), settled = true from meters m
         where m.id = i.meter_id and m.organisation_id = $1 and not i.settled",
        organisation.uuid(),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn end_cluster(
    connection: &mut PgConnection,
    cluster: ClusterId,
    seen: DateTime<Utc>,
) -> Result<Vec<OrganisationId>> {
    // What is charged stays charged: an interval never ends before its wallet's cursor.
    sqlx::query!(
        "delete from meter_intervals i using meters m, vms v, wallets w
         where m.id = i.meter_id and v.id = m.vm_id and w.organisation_id = m.organisation_id and v.cluster_id = $1
           and not i.settled and upper_inf(i.during) and lower(i.during) >= greatest($2, w.charged_through)",
        cluster.uuid(),
        seen,
    )
    .execute(&mut *connection)
    .await?;
    let organisations = sqlx::query_scalar!(
        r#"with ended as (
               update meter_intervals i set during = tstzrange(lower(i.during), greatest($2, w.charged_through)) from meters m, vms v, wallets w
               where m.id = i.meter_id and v.id = m.vm_id and w.organisation_id = m.organisation_id and v.cluster_id = $1
                 and not i.settled and upper_inf(i.during)
               returning m.organisation_id)
           select distinct organisation_id as "id!: OrganisationId" from ended"#,
        cluster.uuid(),
        seen,
    )
    .fetch_all(connection)
    .await?;
    Ok(organisations)
}

pub(super) async fn select_unsettled(
    connection: &mut PgConnection,
    organisations: &[Uuid],
) -> Result<HashMap<OrganisationId, Vec<Unsettled>>> {
    let rows = sqlx::query!(
        r#"select m.organisation_id as "organisation: OrganisationId", m.id as "meter: MeterId", m.vm_id as "vm: VmId", m.month, m.accrued, m.cap,
                  i.id, i.state, i.plan_id as "plan: PlanId", lower(i.during) as "from!", upper(i.during) as "to"
           from meters m join meter_intervals i on i.meter_id = m.id and not i.settled
           where m.organisation_id = any($1)
           order by m.id, lower(i.during)"#,
        organisations,
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<OrganisationId, Vec<Unsettled>> = HashMap::with_capacity(organisations.len());
    for row in rows {
        let state = PowerState::parse(&row.state).context("a meter interval has an unknown state")?;
        let span = Span { id: row.id, state, plan: row.plan, from: row.from, to: row.to };
        let meters = found.entry(row.organisation).or_default();
        match meters.last_mut() {
            Some(last) if last.meter == row.meter => last.spans.push(span),
            _ => meters.push(Unsettled {
                meter: row.meter,
                vm: row.vm,
                state: meter_state(row.month, row.accrued, row.cap)?,
                spans: vec![span],
            }),
        }
    }
    Ok(found)
}

fn meter_state(month: NaiveDate, accrued: Decimal, cap: Option<Decimal>) -> Result<MeterState> {
    Ok(MeterState {
        month: Month::from(month),
        accrued: Accrued::try_from_decimal(accrued).context("a meter's sum is out of range")?,
        cap: cap.map(money).transpose()?,
    })
}

/// Charges of one batch as columns.
#[derive(Debug, Default)]
pub struct BulkCharges {
    /// The meters.
    pub meters: Vec<Uuid>,
    /// Whose they are.
    pub organisations: Vec<Uuid>,
    /// From.
    pub from: Vec<DateTime<Utc>>,
    /// Until.
    pub to: Vec<DateTime<Utc>>,
    /// At which price.
    pub prices: Vec<Uuid>,
    /// Per hour.
    pub rates: Vec<Decimal>,
    /// How much.
    pub amounts: Vec<Decimal>,
}

/// The meters of one batch as columns.
#[derive(Debug, Default)]
pub struct BulkMeters {
    /// The meters.
    pub meters: Vec<Uuid>,
    /// The month their sums belong to.
    pub months: Vec<NaiveDate>,
    /// The sums.
    pub accrued: Vec<Decimal>,
    /// The highest caps of the month.
    pub caps: Vec<Option<Decimal>>,
    /// Intervals that are wholly charged now.
    pub settled: Vec<i64>,
}

/// Writes charges and moves the meters: three statements at most, whatever the size of the batch.
///
/// # Errors
/// When PostgreSQL fails, or one of the charges exists (then the whole batch is undone with its transaction).
pub async fn bulk_charge(connection: &mut PgConnection, charges: &BulkCharges, meters: &BulkMeters) -> Result<()> {
    sqlx::query!(
        "insert into charges (meter_id, organisation_id, period_start, period_end, price_id, rate, amount)
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::numeric[], $7::numeric[])",
        &charges.meters,
        &charges.organisations,
        &charges.from,
        &charges.to,
        &charges.prices,
        &charges.rates,
        &charges.amounts,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update meters m set month = b.month, accrued = b.accrued, cap = b.cap
         from unnest($1::uuid[], $2::date[], $3::numeric[], $4::numeric[]) as b (id, month, accrued, cap) where m.id = b.id",
        &meters.meters,
        &meters.months,
        &meters.accrued,
        &meters.caps as &[Option<Decimal>],
    )
    .execute(&mut *connection)
    .await?;
    if !meters.settled.is_empty() {
        sqlx::query!("update meter_intervals set settled = true where id = any($1)", &meters.settled)
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn select_month_of_vm(
    pool: &PgPool,
    organisation: OrganisationId,
    vm: VmId,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<MonthOfVm> {
    let row = sqlx::query!(
        r#"select (select coalesce(sum(c.amount), 0) from charges c where c.meter_id = m.id and c.period_start >= $3) as "charged!",
                  coalesce(sum(extract(epoch from least(upper(i.during), $4) - greatest(lower(i.during), $3))) filter (where i.state = 'running'), 0)::bigint as "running!",
                  coalesce(sum(extract(epoch from least(upper(i.during), $4) - greatest(lower(i.during), $3))) filter (where i.state = 'stopped'), 0)::bigint as "stopped!"
           from meters m left join meter_intervals i on i.meter_id = m.id and i.during && tstzrange($3, $4)
           where m.vm_id = $1 and m.organisation_id = $2 group by m.id"#,
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

pub(super) async fn select_latest_charges(
    pool: &PgPool,
    organisation: OrganisationId,
    vm: Option<VmId>,
    limit: i64,
) -> Result<Vec<VmCharge>> {
    let rows = sqlx::query!(
        r#"select v.id as "vm: VmId", v.name, c.period_start, c.period_end, p.state, c.rate, c.amount
           from meters m
           join vms v on v.id = m.vm_id
           join lateral (select * from charges c where c.meter_id = m.id order by c.period_start desc limit $3) c on true
           join prices p on p.id = c.price_id
           where m.organisation_id = $1 and ($2::uuid is null or m.vm_id = $2)
           order by c.period_start desc, v.name limit $3"#,
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
                state: PowerState::parse(&row.state).context("a price has an unknown state")?,
                rate: rate(row.rate)?,
                amount: money(row.amount)?,
            })
        })
        .collect()
}

pub(super) async fn select_month_by_vm(
    pool: &PgPool,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<VmMonth>> {
    let rows = sqlx::query!(
        r#"select v.id as "vm: VmId", v.name, v.deleted_at is not null as "is_deleted!", c.charged as "charged!", t.running as "running!", t.stopped as "stopped!",
                  (select pr.monthly_cap from prices pr where pr.plan_id = v.plan_id and pr.state = 'running' and pr.valid @> $3::timestamptz) as cap
           from meters m join vms v on v.id = m.vm_id
           cross join lateral (select coalesce(sum(c.amount), 0) as charged from charges c where c.meter_id = m.id and c.period_start >= $2) c
           cross join lateral (
               select coalesce(sum(extract(epoch from least(upper(i.during), $3) - greatest(lower(i.during), $2))) filter (where i.state = 'running'), 0)::bigint as running,
                      coalesce(sum(extract(epoch from least(upper(i.during), $3) - greatest(lower(i.during), $2))) filter (where i.state = 'stopped'), 0)::bigint as stopped
               from meter_intervals i where i.meter_id = m.id and i.during && tstzrange($2, $3)
           ) t
           where m.organisation_id = $1 and c.charged > 0 order by c.charged desc, v.name limit $4"#,
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

pub(super) async fn select_month_of_organisation(
    pool: &PgPool,
    organisation: OrganisationId,
    from: DateTime<Utc>,
) -> Result<billing::Money> {
    let total = sqlx::query_scalar!(
        r#"select coalesce(sum(c.amount), 0) as "total!" from meters m join charges c on c.meter_id = m.id and c.period_start >= $2 where m.organisation_id = $1"#,
        organisation.uuid(),
        from,
    )
    .fetch_one(pool)
    .await?;
    money(total)
}

pub(super) async fn select_charged_since(pool: &PgPool, from: DateTime<Utc>) -> Result<billing::Money> {
    let total = sqlx::query_scalar!(
        r#"select coalesce(sum(amount), 0) as "total!" from transfers where code = 'charge' and at > $1"#,
        from
    )
    .fetch_one(pool)
    .await?;
    money(total)
}

pub(super) async fn select_metered_on(
    connection: &mut PgConnection,
    cluster: ClusterId,
) -> Result<Vec<OrganisationId>> {
    let organisations = sqlx::query_scalar!(
        r#"select distinct m.organisation_id as "id: OrganisationId" from meters m
           join vms v on v.id = m.vm_id join meter_intervals i on i.meter_id = m.id and not i.settled and upper_inf(i.during)
           where v.cluster_id = $1 order by 1"#,
        cluster.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(organisations)
}
