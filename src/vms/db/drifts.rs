//! The SQL of drifts: what stands, what a look opens and ends, what a person decides.

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::Result;
use crate::ids::{ClusterId, DriftId, ImageId, OrganisationId, PlanId, UserId, VmId};
use crate::vms::drift::{Drift, DriftKind, Resolution};

/// A difference that is open, or that was accepted and still stands.
#[derive(Debug, Clone)]
pub(in crate::vms) struct StandingRow {
    pub id: DriftId,
    pub vm: VmId,
    pub kind: DriftKind,
    pub expected: Value,
    pub found: Value,
    /// Somebody has decided to leave it so.
    pub accepted: bool,
    /// Its machine is still there.
    pub alive: bool,
}

pub(in crate::vms) async fn select_standing(pool: &PgPool, cluster: ClusterId) -> Result<Vec<StandingRow>> {
    let rows = sqlx::query!(
        r#"select d.id as "id: DriftId", d.vm_id as "vm: VmId", d.kind, d.expected, d.found, d.resolution is not null as "accepted!",
                  (v.deleted_at is null and v.state <> 'failed') as "alive!"
           from drifts d join vms v on v.id = d.vm_id
           where d.cluster_id = $1 and d.ended_at is null and (d.resolution is null or d.resolution = 'accepted')"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StandingRow {
                id: row.id,
                vm: row.vm,
                kind: DriftKind::parse(&row.kind).context("a drift has an unknown kind")?,
                expected: row.expected,
                found: row.found,
                accepted: row.accepted,
                alive: row.alive,
            })
        })
        .collect()
}

/// Differences that a look found, as columns.
#[derive(Debug, Default)]
pub(in crate::vms) struct Found {
    pub ids: Vec<Uuid>,
    pub vms: Vec<Uuid>,
    pub kinds: Vec<String>,
    pub expected: Vec<Value>,
    pub found: Vec<Value>,
}

/// Opens differences; one that is open already is written anew.
pub(in crate::vms) async fn upsert_drifts(
    connection: &mut PgConnection,
    cluster: ClusterId,
    new: &Found,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into drifts (id, cluster_id, vm_id, kind, expected, found, first_seen_at, last_seen_at)
         select b.id, $6, b.vm_id, b.kind, b.expected, b.found, $7, $7
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::jsonb[]) as b (id, vm_id, kind, expected, found)
         on conflict (vm_id, kind) where resolution is null
         do update set expected = excluded.expected, found = excluded.found, last_seen_at = excluded.last_seen_at",
        &new.ids,
        &new.vms,
        &new.kinds,
        &new.expected,
        &new.found,
        cluster.uuid(),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends differences that are none any more. What somebody decided stays written.
pub(in crate::vms) async fn end_drifts(connection: &mut PgConnection, ids: &[Uuid], at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update drifts set ended_at = $2, resolution = coalesce(resolution, 'gone'), resolved_at = coalesce(resolved_at, $2) where id = any($1)",
        ids,
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends every open difference of a machine: it is gone.
pub(in crate::vms) async fn end_drifts_of_vm(connection: &mut PgConnection, vm: VmId, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update drifts set ended_at = $2, resolution = coalesce(resolution, 'gone'), resolved_at = coalesce(resolved_at, $2)
         where vm_id = $1 and ended_at is null and (resolution is null or resolution = 'accepted')",
        vm.uuid(),
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down what a person decided. Answers false when it is not open any more.
pub(in crate::vms) async fn resolve_drift(
    connection: &mut PgConnection,
    id: DriftId,
    resolution: Resolution,
    by: Option<UserId>,
    at: DateTime<Utc>,
) -> Result<bool> {
    let updated = sqlx::query!(
        "update drifts set resolution = $2, resolved_by = $3, resolved_at = $4::timestamptz, ended_at = case when $2 = 'accepted' then null else $4::timestamptz end
         where id = $1 and resolution is null",
        id.uuid(),
        resolution.name(),
        by.map(UserId::uuid),
        at
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Writes down that a difference that remains after a decision is known and accepted.
pub(in crate::vms) async fn insert_accepted(
    connection: &mut PgConnection,
    drift: &Drift,
    expected: &Value,
    by: Option<UserId>,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into drifts (id, cluster_id, vm_id, kind, expected, found, first_seen_at, last_seen_at, resolution, resolved_at, resolved_by)
         values ($1, $2, $3, $4, $5, $6, $7, $7, 'accepted', $7, $8)",
        DriftId::new().uuid(),
        drift.cluster.uuid(),
        drift.vm.uuid(),
        drift.kind.name(),
        expected,
        drift.found,
        at,
        by.map(UserId::uuid),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::vms) async fn select_drifts(
    executor: impl sqlx::PgExecutor<'_>,
    only: Option<DriftId>,
    limit: i64,
) -> Result<Vec<Drift>> {
    let rows = sqlx::query!(
        r#"select d.id as "id: DriftId", d.kind, d.expected, d.found, d.first_seen_at, d.last_seen_at, d.cluster_id as "cluster: ClusterId", c.name as cluster_name,
                  d.vm_id as "vm: VmId", v.name as vm_name, v.state, v.node, v.vmid, v.missing_since is not null as "missing!", v.plan_id as "plan: PlanId", p.name as plan_name,
                  p.disk_gib as plan_disk_gib, v.disk_gib, (select count(*) from addresses a where a.vm_id = v.id) as "addresses!",
                  case when i.licence is not null then i.id end as "licensed: ImageId", v.organisation_id as "organisation: OrganisationId", o.name as organisation_name,
                  exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked')) as "busy!"
           from drifts d join vms v on v.id = d.vm_id join plans p on p.id = v.plan_id join images i on i.id = v.image_id
           join clusters c on c.id = d.cluster_id join organisations o on o.id = v.organisation_id
           where d.resolution is null and ($1::uuid is null or d.id = $1) and v.deleted_at is null order by d.first_seen_at, d.id limit $2"#,
        only.map(DriftId::uuid),
        limit,
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Drift {
                id: row.id,
                kind: DriftKind::parse(&row.kind).context("a drift has an unknown kind")?,
                expected: row.expected,
                found: row.found,
                first_seen_at: row.first_seen_at,
                last_seen_at: row.last_seen_at,
                cluster: row.cluster,
                cluster_name: row.cluster_name,
                vm: row.vm,
                vm_name: row.vm_name,
                running: row.state == "running",
                missing: row.missing,
                busy: row.busy,
                node: row.node,
                vmid: row.vmid,
                plan: row.plan,
                plan_name: row.plan_name,
                plan_disk_gib: row.plan_disk_gib,
                disk_gib: row.disk_gib,
                addresses: row.addresses,
                licensed: row.licensed,
                organisation: row.organisation,
                organisation_name: row.organisation_name,
            })
        })
        .collect()
}

pub(in crate::vms) async fn select_drift_count(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from drifts d join vms v on v.id = d.vm_id where d.resolution is null and v.deleted_at is null"#
    )
    .fetch_one(pool)
    .await?)
}

pub(in crate::vms) async fn set_plan(connection: &mut PgConnection, vm: VmId, plan: PlanId) -> Result<()> {
    sqlx::query!("update vms set plan_id = $2 where id = $1", vm.uuid(), plan.uuid()).execute(connection).await?;
    Ok(())
}

pub(in crate::vms) async fn set_disk(connection: &mut PgConnection, vm: VmId, disk_gib: i32) -> Result<()> {
    sqlx::query!("update vms set disk_gib = $2 where id = $1", vm.uuid(), disk_gib).execute(connection).await?;
    Ok(())
}

/// Follows a machine's guest to another uuid. The constraint keeps two machines from having one guest.
pub(in crate::vms) async fn set_guest_uuid(connection: &mut PgConnection, vm: VmId, uuid: Uuid) -> Result<()> {
    use crate::error::{Error, OnConstraint};
    sqlx::query!("update vms set guest_uuid = $2 where id = $1", vm.uuid(), uuid)
        .execute(connection)
        .await
        .on_constraint("vms_guest_once", || Error::conflict("Another VM has this guest already."))?;
    Ok(())
}

/// Where a machine's guest is from now on, found again.
pub(in crate::vms) async fn set_place(
    connection: &mut PgConnection,
    vm: VmId,
    node: &str,
    vmid: i32,
    state: &str,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update vms set node = $2, vmid = $3, state_since = case when state = $4 then state_since else $5 end, state = $4, missing_since = null, missing_looks = 0, unseen_since = null where id = $1",
        vm.uuid(),
        node,
        vmid,
        state,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
