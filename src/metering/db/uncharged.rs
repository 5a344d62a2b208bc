//! The SQL of time in which a machine was there and nobody is charged for it.

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::Result;
use crate::ids::{ClusterId, OrganisationId, PassId, VmId};
use crate::metering::uncharged::{Reason, UnchargedFilter, UnchargedOfVm, UnchargedTime};

/// A machine that was seen again is charged again.
pub(in crate::metering) async fn close(connection: &mut PgConnection, vm: VmId, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update uncharged_times set to_at = greatest($2, from_at) where vm_id = $1 and to_at is null",
        vm.uuid(),
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A machine that was metered until now cannot be found. Nothing is written twice.
pub(in crate::metering) async fn open(
    connection: &mut PgConnection,
    vm: VmId,
    at: DateTime<Utc>,
    reason: Reason,
) -> Result<()> {
    sqlx::query!(
        "insert into uncharged_times (organisation_id, vm_id, cluster_id, from_at, reason)
         select v.organisation_id, v.id, v.cluster_id, greatest(w.charged_through, $2), $3 from vms v join wallets w on w.organisation_id = v.organisation_id
         where v.id = $1 and w.exhausted_at is null on conflict (vm_id) where to_at is null do nothing",
        vm.uuid(),
        at,
        reason.name(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The machines of a cluster that are metered now, or those of these guests, are not from `seen` on. Called before their
/// metering ends.
pub(in crate::metering) async fn open_cluster(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmids: Option<&[i32]>,
    seen: DateTime<Utc>,
    reason: Reason,
) -> Result<()> {
    sqlx::query!(
        "insert into uncharged_times (organisation_id, vm_id, cluster_id, from_at, reason)
         select m.organisation_id, v.id, v.cluster_id, greatest($2, w.charged_through, lower(i.during)), $3
         from meter_intervals i join meters m on m.id = i.meter_id and m.kind = 'vm' join vms v on v.id = m.vm_id join wallets w on w.organisation_id = m.organisation_id
         where v.cluster_id = $1 and ($4::integer[] is null or v.vmid = any($4)) and not i.settled and upper_inf(i.during)
         on conflict (vm_id) where to_at is null do nothing",
        cluster.uuid(),
        seen,
        reason.name(),
        vmids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down what ran between the cursors of some wallets and `through`, and takes it out of their meters: what was before
/// ends at the cursor, what goes on begins at `through`.
pub(in crate::metering) async fn waive(
    connection: &mut PgConnection,
    organisations: &[Uuid],
    through: DateTime<Utc>,
    pass: PassId,
) -> Result<()> {
    sqlx::query!(
        "insert into uncharged_times (organisation_id, vm_id, cluster_id, from_at, to_at, reason, pass_id)
         select m.organisation_id, v.id, v.cluster_id, min(greatest(lower(i.during), w.charged_through)), max(least(coalesce(upper(i.during), $2), $2)), $4, $3
         from meter_intervals i join meters m on m.id = i.meter_id and m.kind = 'vm' join vms v on v.id = m.vm_id join wallets w on w.organisation_id = m.organisation_id
         where m.organisation_id = any($1) and not i.settled and i.during && tstzrange(w.charged_through, $2)
         group by m.organisation_id, v.id, v.cluster_id",
        organisations,
        through,
        pass.uuid(),
        Reason::Waived.name(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from meter_intervals i using meters m, wallets w
         where m.id = i.meter_id and w.organisation_id = m.organisation_id and m.organisation_id = any($1)
           and not i.settled and lower(i.during) >= w.charged_through and upper(i.during) <= $2",
        organisations,
        through,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update meter_intervals i set during = tstzrange($2, upper(i.during)) from meters m, wallets w
         where m.id = i.meter_id and w.organisation_id = m.organisation_id and m.organisation_id = any($1)
           and not i.settled and lower(i.during) >= w.charged_through and lower(i.during) < $2",
        organisations,
        through,
    )
    .execute(&mut *connection)
    .await?;
    // One that began before the cursor ends there; what of it goes on after `through` is another one.
    let rests = sqlx::query!(
        r#"with before as (
               select i.id, w.charged_through, upper(i.during) as until from meter_intervals i join meters m on m.id = i.meter_id join wallets w on w.organisation_id = m.organisation_id
               where m.organisation_id = any($1) and not i.settled and lower(i.during) < w.charged_through and (upper_inf(i.during) or upper(i.during) > w.charged_through))
           update meter_intervals i set during = tstzrange(lower(i.during), b.charged_through) from before b
           where i.id = b.id
           returning i.organisation_id, i.meter_id, i.kind, i.plan_id, i.image_id, i.quantity, i.price_list_id, b.until"#,
        organisations,
    )
    .fetch_all(&mut *connection)
    .await?;
    for rest in rests.into_iter().filter(|rest| rest.until.is_none_or(|until| until > through)) {
        sqlx::query!(
            "insert into meter_intervals (organisation_id, meter_id, kind, plan_id, image_id, quantity, price_list_id, during) values ($1, $2, $3, $4, $5, $6, $7, tstzrange($8, $9))",
            rest.organisation_id,
            rest.meter_id,
            rest.kind,
            rest.plan_id,
            rest.image_id,
            rest.quantity,
            rest.price_list_id,
            through,
            rest.until,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(in crate::metering) async fn select_latest(pool: &PgPool, limit: i64) -> Result<Vec<UnchargedTime>> {
    let rows = sqlx::query!(
        r#"select u.cluster_id as "cluster: ClusterId", c.name as "cluster_name?", u.from_at, u.to_at, u.reason, count(*) as "vms!",
                  count(distinct u.organisation_id) as "organisations!"
           from uncharged_times u left join clusters c on c.id = u.cluster_id
           group by u.cluster_id, c.name, u.from_at, u.to_at, u.reason
           order by u.to_at is null desc, u.from_at desc limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(UnchargedTime {
                cluster: row.cluster,
                cluster_name: row.cluster_name,
                from: row.from_at,
                to: row.to_at,
                reason: Reason::parse(&row.reason).context("an uncharged time has an unknown reason")?,
                vms: row.vms,
                organisations: row.organisations,
            })
        })
        .collect()
}

pub(in crate::metering) async fn select_of_organisation(
    pool: &PgPool,
    organisation: OrganisationId,
    filter: UnchargedFilter,
    limit: i64,
) -> Result<Vec<UnchargedOfVm>> {
    let rows = sqlx::query!(
        r#"select u.id, u.vm_id as "vm: VmId", v.name, u.from_at, u.to_at, u.reason from uncharged_times u join vms v on v.id = u.vm_id
           where u.organisation_id = $1 and u.from_at < $3 and (u.to_at is null or u.to_at > greatest($2, u.from_at))
             and ($4::uuid is null or u.vm_id = $4) and ($5::bigint is null or u.id < $5)
           order by u.id desc limit $6"#,
        organisation.uuid(),
        filter.from,
        filter.to,
        filter.vm.map(VmId::uuid),
        filter.after,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let reason = Reason::parse(&row.reason).context("an uncharged time has an unknown reason")?;
            Ok(UnchargedOfVm {
                number: row.id,
                vm_id: row.vm,
                vm_name: row.name,
                from: row.from_at,
                to: row.to_at,
                reason,
            })
        })
        .collect()
}
