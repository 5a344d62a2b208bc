//! The SQL of meters and their intervals.

pub(super) mod charges;
pub(super) mod history;
pub(super) mod read;
pub(super) mod uncharged;

use std::collections::HashMap;

use anyhow::Context;
use billing::{Accrued, MeterState, Month};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Checkpoint, Span};
use crate::catalog::{Item, Metering, Resource};
use crate::error::Result;
use crate::ids::{ClusterId, ImageId, MeterId, OrganisationId, PlanId, PriceListId, VmId};
use crate::ledger::money;

pub(super) async fn ensure_meter(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
    resource: Resource,
    (at, month): (DateTime<Utc>, Month),
) -> Result<MeterId> {
    let id = sqlx::query_scalar!(
        r#"insert into meters (id, organisation_id, vm_id, kind, month, accrued, cap, accrued_through) values ($1, $2, $3, $4, $5, 0, 0, $6)
           on conflict (vm_id, kind) do update set vm_id = excluded.vm_id returning id as "id: MeterId""#,
        MeterId::new().uuid(),
        organisation.uuid(),
        vm.uuid(),
        resource.name(),
        month.first_day(),
        at,
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// What a machine has beside itself that can cost something.
pub(super) struct Beside {
    /// GiB of disk beyond its plan.
    pub disk_gib: i64,
    pub addresses: i64,
    /// The image whose licence it needs.
    pub licensed: Option<ImageId>,
}

pub(super) async fn select_beside(connection: &mut PgConnection, vm: VmId, plan: PlanId) -> Result<Beside> {
    let beside = sqlx::query_as!(
        Beside,
        r#"select greatest(v.disk_gib - p.disk_gib, 0)::bigint as "disk_gib!", (select count(*) from addresses a where a.vm_id = v.id) as "addresses!",
                  case when i.licence is not null then i.id end as "licensed: ImageId"
           from vms v join images i on i.id = v.image_id join plans p on p.id = $2 where v.id = $1"#,
        vm.uuid(),
        plan.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(beside)
}

/// A meter of a machine, with the interval that goes on.
pub(super) struct OfVm {
    pub meter: MeterId,
    pub resource: Resource,
    /// When its first interval began.
    pub first_from: Option<DateTime<Utc>>,
    /// When the last interval that has ended did so; perhaps in the future.
    pub last_end: Option<DateTime<Utc>>,
    /// Until where its sums are: nothing may be metered before. Until an interval is settled that is its birth.
    pub accrued_through: DateTime<Utc>,
    pub open: Option<OpenInterval>,
}

pub(super) struct OpenInterval {
    pub id: i64,
    pub what: Metering,
    pub from: DateTime<Utc>,
}

pub(super) async fn select_of_vm(connection: &mut PgConnection, vm: VmId) -> Result<Vec<OfVm>> {
    let rows = sqlx::query!(
        r#"select m.id as "meter: MeterId", m.kind as resource, m.accrued_through, ends.first_from, ends.last_end, i.id as "id?", i.kind as "kind?",
                  i.plan_id as "plan?: PlanId", i.image_id as "image?: ImageId", i.quantity as "quantity?", i.price_list_id as "list?: PriceListId", lower(i.during) as "from"
           from meters m
           cross join lateral (select min(lower(f.during)) as first_from, max(upper(f.during)) as last_end from meter_intervals f where f.meter_id = m.id) ends
           left join meter_intervals i on i.meter_id = m.id and not i.settled and upper_inf(i.during)
           where m.vm_id = $1"#,
        vm.uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let open = match (row.id, row.kind, row.quantity, row.list, row.from) {
                (Some(id), Some(kind), Some(quantity), Some(list), Some(from)) => {
                    let item = item(&kind, row.plan, row.image)?;
                    Some(OpenInterval { id, what: Metering { list, item, quantity }, from })
                }
                _ => None,
            };
            let resource = Resource::parse(&row.resource).context("a meter is of an unknown kind")?;
            let (first_from, last_end, accrued_through) = (row.first_from, row.last_end, row.accrued_through);
            Ok(OfVm { meter: row.meter, resource, first_from, last_end, accrued_through, open })
        })
        .collect()
}

fn item(kind: &str, plan: Option<PlanId>, image: Option<ImageId>) -> Result<Item> {
    Ok(Item::parse(kind, plan, image).context("a meter interval is of an unknown kind")?)
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
    organisation: OrganisationId,
    meter: MeterId,
    what: Metering,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into meter_intervals (organisation_id, meter_id, kind, plan_id, image_id, quantity, price_list_id, during) values ($1, $2, $3, $4, $5, $6, $7, tstzrange($8, null))",
        organisation.uuid(),
        meter.uuid(),
        what.item.kind(),
        what.item.plan().map(PlanId::uuid),
        what.item.image().map(ImageId::uuid),
        what.quantity,
        what.list.uuid(),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Every open interval of another list ends and goes on on this one; one that would be empty is only written anew.
pub(super) async fn change_list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    list: PriceListId,
    at: DateTime<Utc>,
) -> Result<u64> {
    let moved = sqlx::query!(
        "update meter_intervals i set price_list_id = $2 from meters m
         where m.id = i.meter_id and m.organisation_id = $1 and not i.settled and upper_inf(i.during) and lower(i.during) >= $3 and i.price_list_id <> $2",
        organisation.uuid(),
        list.uuid(),
        at,
    )
    .execute(&mut *connection)
    .await?;
    // The new rows would overlap the old ones within one statement.
    let ended = sqlx::query!(
        r#"update meter_intervals i set during = tstzrange(lower(i.during), $3) from meters m
           where m.id = i.meter_id and m.organisation_id = $1 and not i.settled and upper_inf(i.during) and i.price_list_id <> $2
           returning i.meter_id, i.kind, i.plan_id, i.image_id, i.quantity"#,
        organisation.uuid(),
        list.uuid(),
        at,
    )
    .fetch_all(&mut *connection)
    .await?;
    let (meters, kinds, plans, images, quantities) = ended.into_iter().fold(
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()),
        |(mut meters, mut kinds, mut plans, mut images, mut quantities), row| {
            meters.push(row.meter_id);
            kinds.push(row.kind);
            plans.push(row.plan_id);
            images.push(row.image_id);
            quantities.push(row.quantity);
            (meters, kinds, plans, images, quantities)
        },
    );
    let opened = sqlx::query!(
        "insert into meter_intervals (organisation_id, meter_id, kind, plan_id, image_id, quantity, price_list_id, during)
         select $8, n.meter, n.kind, n.plan, n.image, n.quantity, $6, tstzrange($7, null)
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[]) as n(meter, kind, plan, image, quantity)",
        &meters,
        &kinds,
        &plans as &[Option<Uuid>],
        &images as &[Option<Uuid>],
        &quantities,
        list.uuid(),
        at,
        organisation.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() + opened.rows_affected())
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
        "update meter_intervals i set during = tstzrange(lower(i.during), least(upper(i.during), $2)) from meters m
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
    vmids: Option<&[i32]>,
    seen: DateTime<Utc>,
) -> Result<Vec<OrganisationId>> {
    // What is charged stays charged: an interval never ends before its wallet's cursor.
    sqlx::query!(
        "delete from meter_intervals i using meters m, vms v, wallets w
         where m.id = i.meter_id and v.id = m.vm_id and w.organisation_id = m.organisation_id and v.cluster_id = $1 and ($3::integer[] is null or v.vmid = any($3))
           and not i.settled and upper_inf(i.during) and lower(i.during) >= greatest($2, w.charged_through)",
        cluster.uuid(),
        seen,
        vmids,
    )
    .execute(&mut *connection)
    .await?;
    let organisations = sqlx::query_scalar!(
        r#"with ended as (
               update meter_intervals i set during = tstzrange(lower(i.during), greatest($2, w.charged_through)) from meters m, vms v, wallets w
               where m.id = i.meter_id and v.id = m.vm_id and w.organisation_id = m.organisation_id and v.cluster_id = $1 and ($3::integer[] is null or v.vmid = any($3))
                 and not i.settled and upper_inf(i.during)
               returning m.organisation_id)
           select distinct organisation_id as "id!: OrganisationId" from ended"#,
        cluster.uuid(),
        seen,
        vmids,
    )
    .fetch_all(connection)
    .await?;
    Ok(organisations)
}

/// An interval that is not settled, with its meter.
struct UnsettledRow {
    organisation: OrganisationId,
    meter: MeterId,
    vm: VmId,
    month: NaiveDate,
    accrued: Decimal,
    cap: Option<Decimal>,
    accrued_through: DateTime<Utc>,
    id: i64,
    kind: String,
    plan: Option<PlanId>,
    image: Option<ImageId>,
    quantity: i64,
    list: PriceListId,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
}

/// What is not settled of some organisations. What goes on and costs nothing on any list is left out: there is nothing to
/// charge. Both sides are asked for the organisations, each by an index that holds all that is read of it.
pub(super) async fn select_unsettled(
    connection: &mut PgConnection,
    organisations: &[Uuid],
    priced_kinds: &[String],
) -> Result<HashMap<OrganisationId, Vec<Checkpoint>>> {
    let rows = sqlx::query_as!(
        UnsettledRow,
        r#"select m.organisation_id as "organisation: OrganisationId", m.id as "meter: MeterId", m.vm_id as "vm: VmId",
                  m.month, m.accrued, m.cap, m.accrued_through,
                  i.id, i.kind, i.plan_id as "plan: PlanId", i.image_id as "image: ImageId", i.quantity, i.price_list_id as "list: PriceListId",
                  lower(i.during) as "from!", upper(i.during) as "to"
           from meters m join meter_intervals i on i.meter_id = m.id
           where m.organisation_id = any($1) and i.organisation_id = any($1) and not i.settled
             and (i.kind = any($2) or not upper_inf(i.during))
           order by m.organisation_id, m.id, lower(i.during)"#,
        organisations,
        priced_kinds,
    )
    .fetch_all(connection)
    .await?;
    checkpoints(rows)
}

/// The same of all organisations from one key to another. PostgreSQL takes a list of a thousand for a reason to read the
/// whole tables, five times slower; a range it reads in one go.
pub(super) async fn select_unsettled_between(
    connection: &mut PgConnection,
    (first, last): (Uuid, Uuid),
    priced_kinds: &[String],
) -> Result<HashMap<OrganisationId, Vec<Checkpoint>>> {
    let rows = sqlx::query_as!(
        UnsettledRow,
        r#"select m.organisation_id as "organisation: OrganisationId", m.id as "meter: MeterId", m.vm_id as "vm: VmId",
                  m.month, m.accrued, m.cap, m.accrued_through,
                  i.id, i.kind, i.plan_id as "plan: PlanId", i.image_id as "image: ImageId", i.quantity, i.price_list_id as "list: PriceListId",
                  lower(i.during) as "from!", upper(i.during) as "to"
           from meters m join meter_intervals i on i.meter_id = m.id
           where m.organisation_id between $1 and $2 and i.organisation_id between $1 and $2 and not i.settled
             and (i.kind = any($3) or not upper_inf(i.during))
           order by m.organisation_id, m.id, lower(i.during)"#,
        first,
        last,
        priced_kinds,
    )
    .fetch_all(connection)
    .await?;
    checkpoints(rows)
}

/// Rows in the order of organisation, meter and time as what was written down of each meter and what it was since.
fn checkpoints(rows: Vec<UnsettledRow>) -> Result<HashMap<OrganisationId, Vec<Checkpoint>>> {
    let mut found: HashMap<OrganisationId, Vec<Checkpoint>> = HashMap::new();
    for row in rows {
        let what = Metering { list: row.list, item: item(&row.kind, row.plan, row.image)?, quantity: row.quantity };
        let span = Span { id: row.id, what, from: row.from, to: row.to };
        let meters = found.entry(row.organisation).or_default();
        match meters.last_mut() {
            Some(last) if last.meter == row.meter => last.spans.push(span),
            _ => meters.push(Checkpoint {
                meter: row.meter,
                vm: row.vm,
                state: meter_state(row.month, row.accrued, row.cap)?,
                through: row.accrued_through,
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
