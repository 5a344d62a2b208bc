//! The SQL of machines. What looks at clusters need is in `looks`, what they found in `drifts` and `foreign`.

mod changes;
mod drifts;
mod foreign;
mod looks;

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub(super) use changes::*;
pub(super) use drifts::*;
pub(super) use foreign::*;
pub use looks::LookFailure;
pub(super) use looks::{
    Believed, SeenRow, Verdicts, delete_failures, delete_verdict, insert_failure, select_failures, select_our_vmids,
    select_quiet, select_still_quiet, select_unseen, update_believed, update_unseen, upsert_verdicts,
};

use super::{Counts, Made, State, Unknown, Vm};
use crate::catalog::PowerState;
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{ClusterId, ImageId, IsoImageId, LocationId, OrganisationId, PlanId, VmId};
use crate::ledger::{money, rate};

#[derive(Debug, Default)]
pub(in crate::vms) struct Filter {
    pub organisation: Option<OrganisationId>,
    pub vm: Option<VmId>,
    pub cluster: Option<ClusterId>,
    pub tag: Option<String>,
    pub after: Option<VmId>,
}

pub(in crate::vms) async fn select(
    executor: impl sqlx::PgExecutor<'_>,
    filter: &Filter,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Vm>> {
    let rows = sqlx::query!(
        r#"select v.id as "id: VmId", v.number, v.organisation_id as "organisation: OrganisationId", v.name, v.state, v.state_since, v.state_reason,
                  v.stopped_for_credit_at, v.missing_since, v.unseen_since, v.authorized_keys, v.created_at, v.node, v.vmid,
                  v.plan_id as "plan: PlanId", p.name as plan_name, p.vcpu, p.memory_mib, v.disk_gib,
                  v.image_id as "image: ImageId", i.name as image_name, i.login, v.guest_uuid, v.tags, v.protected, v.importance, v.paused_at, v.boot_from_iso,
                  v.iso_image_id as "iso_image: IsoImageId", v.placement_group, octet_length(v.user_data) as user_data_bytes, v.adopted_at, v.next_plan_id as "next_plan: PlanId",
                  v.location_id as "location: LocationId", l.name as location_name, v.cluster_id as "cluster: ClusterId", c.unreachable_since,
                  (select host(a.address) from addresses a where a.vm_id = v.id) as address,
                  coalesce(metered.rate, 0) as "rate!", running.monthly_cap as "monthly_cap?"
           from vms v
           join plans p on p.id = v.plan_id join images i on i.id = v.image_id join locations l on l.id = v.location_id
           join clusters c on c.id = v.cluster_id
           join organisations o on o.id = v.organisation_id
           left join price_list_periods t on t.price_list_id = coalesce(o.price_list_id, (select l.id from price_lists l where l.is_default)) and t.during @> $5::timestamptz
           left join prices running on running.price_list_version_id = t.id and running.kind = 'vm_running' and running.plan_id = v.plan_id
           -- What it costs now is the price of everything that is metered of it now.
           cross join lateral (
               select sum(mp.hourly_rate * mi.quantity) as rate
               from meters m join meter_intervals mi on mi.meter_id = m.id and not mi.settled and upper_inf(mi.during)
               join price_list_periods mt on mt.price_list_id = mi.price_list_id and mt.during @> $5::timestamptz
               join prices mp on mp.price_list_version_id = mt.id and mp.kind = mi.kind
                    and mp.plan_id is not distinct from mi.plan_id and mp.image_id is not distinct from mi.image_id
               where m.vm_id = v.id) metered
           where v.deleted_at is null and ($1::uuid is null or v.organisation_id = $1) and ($2::uuid is null or v.id = $2)
             and ($3::uuid is null or v.id < $3) and ($6::uuid is null or v.cluster_id = $6) and ($7::text is null or v.tags @> array[$7])
           order by v.id desc limit $4"#,
        filter.organisation.map(OrganisationId::uuid),
        filter.vm.map(VmId::uuid),
        filter.after.map(VmId::uuid),
        limit,
        now,
        filter.cluster.map(ClusterId::uuid),
        filter.tag.as_deref(),
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let state = State::parse(&row.state).context("a VM has an unknown state")?;
            let on_cluster = matches!(state, State::Running | State::Stopped);
            let unknown = match (row.unreachable_since, row.missing_since, row.unseen_since) {
                (Some(since), ..) if on_cluster => Some(Unknown { since, why: "its location is not answering" }),
                (None, Some(since), _) if on_cluster => {
                    Some(Unknown { since, why: "it was not found where it should be; we are looking into it" })
                }
                (None, None, Some(since)) if on_cluster => {
                    Some(Unknown { since, why: "the server it runs on is not answering" })
                }
                _ => None,
            };
            Ok(Vm {
                id: row.id,
                number: row.number,
                organisation: row.organisation,
                name: row.name,
                state,
                state_since: row.state_since,
                state_reason: row.state_reason,
                unknown,
                stopped_for_credit_at: row.stopped_for_credit_at,
                address: row.address,
                plan: row.plan,
                plan_name: row.plan_name,
                vcpu: row.vcpu,
                memory_mib: row.memory_mib,
                disk_gib: row.disk_gib,
                image: row.image,
                image_name: row.image_name,
                login: row.login,
                location: row.location,
                location_name: row.location_name,
                cluster: row.cluster,
                node: row.node,
                vmid: row.vmid,
                authorized_keys: row.authorized_keys,
                guest_uuid: row.guest_uuid,
                tags: row.tags,
                protected: row.protected,
                importance: row.importance,
                paused_at: row.paused_at.filter(|_| state == State::Running),
                iso_image: row.iso_image,
                boot_from_iso: row.boot_from_iso,
                placement_group: row.placement_group,
                user_data_bytes: row.user_data_bytes,
                adopted_at: row.adopted_at,
                next_plan: row.next_plan,
                created_at: row.created_at,
                rate: rate(row.rate)?,
                monthly_cap: row.monthly_cap.map(money).transpose()?,
                job: None,
            })
        })
        .collect()
}

pub(in crate::vms) async fn select_count(pool: &PgPool, organisation: OrganisationId) -> Result<Counts> {
    let row = sqlx::query!(
        r#"select count(*) as "all!", count(*) filter (where state = 'running') as "running!", count(stopped_for_credit_at) as "stopped_for_credit!"
           from vms where organisation_id = $1 and deleted_at is null"#,
        organisation.uuid(),
    )
    .fetch_one(pool)
    .await?;
    Ok(Counts { all: row.all, running: row.running, stopped_for_credit: row.stopped_for_credit })
}

pub(in crate::vms) async fn select_existing(pool: &PgPool, ids: &[VmId]) -> Result<HashSet<VmId>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let found =
        sqlx::query_scalar!(r#"select id as "id: VmId" from vms where id = any($1) and deleted_at is null"#, &ids)
            .fetch_all(pool)
            .await?;
    Ok(found.into_iter().collect())
}

pub(in crate::vms) async fn select_count_by_key(
    pool: &PgPool,
    organisation: OrganisationId,
) -> Result<HashMap<String, i64>> {
    let rows = sqlx::query!(
        r#"select k.line as "line!", count(*) as "vms!" from vms v cross join lateral regexp_split_to_table(v.authorized_keys, '\n') as k(line)
           where v.organisation_id = $1 and v.deleted_at is null group by k.line"#,
        organisation.uuid(),
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.line, row.vms)).collect())
}

pub(in crate::vms) struct NewRow<'a> {
    pub id: VmId,
    pub organisation: OrganisationId,
    pub name: &'a str,
    pub plan: PlanId,
    pub disk_gib: i32,
    pub image: ImageId,
    pub location: LocationId,
    pub cluster: ClusterId,
    pub node: &'a str,
    pub authorized_keys: &'a str,
    pub placement_group: Option<&'a str>,
    pub user_data: Option<&'a str>,
    pub order_key: Option<&'a str>,
    pub order_hash: Option<Vec<u8>>,
}

pub(in crate::vms) async fn insert(connection: &mut PgConnection, new: &NewRow<'_>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "insert into vms (id, organisation_id, name, plan_id, image_id, location_id, cluster_id, node, authorized_keys, state, state_since,
                          order_key, order_hash, created_at, guest_uuid, disk_gib, placement_group, user_data)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'provisioning', $10, $11, $12, $10, $1, $13, $14, $15)",
        new.id.uuid(),
        new.organisation.uuid(),
        new.name,
        new.plan.uuid(),
        new.image.uuid(),
        new.location.uuid(),
        new.cluster.uuid(),
        new.node,
        new.authorized_keys,
        now,
        new.order_key,
        new.order_hash,
        new.disk_gib,
        new.placement_group,
        new.user_data,
    )
    .execute(connection)
    .await
    .on_constraint("vms_name_once", || Error::invalid("name", "You have a VM of this name already."))?;
    Ok(())
}

/// The machine of an order, and the hash of what was ordered.
pub(in crate::vms) async fn select_by_order(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    order_key: &str,
) -> Result<Option<(VmId, Vec<u8>)>> {
    let row = sqlx::query!(
        r#"select id as "id: VmId", coalesce(order_hash, '') as "order_hash!" from vms where organisation_id = $1 and order_key = $2"#,
        organisation.uuid(),
        order_key
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.id, row.order_hash)))
}

pub(in crate::vms) async fn select_made(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<Vec<Made>> {
    let rows = sqlx::query!(
        r#"select v.id as "id: VmId", v.plan_id as "plan: PlanId", v.state, v.stopped_for_credit_at is not null as "stopped_for_credit!",
                  (v.missing_since is null and v.unseen_since is null and c.unreachable_since is null) as "seen!", v.protected, v.name
           from vms v join clusters c on c.id = v.cluster_id
           where v.organisation_id = $1 and v.state in ('running', 'stopped')
           order by v.importance desc, v.number"#,
        organisation.uuid()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Made {
            id: row.id,
            plan: row.plan,
            power_state: if row.state == "running" { PowerState::Running } else { PowerState::Stopped },
            stopped_for_credit: row.stopped_for_credit,
            protected: row.protected,
            name: row.name,
            seen: row.seen,
        })
        .collect())
}

pub(in crate::vms) async fn select_count_by_state(pool: &PgPool) -> Result<Vec<(State, i64)>> {
    let rows = sqlx::query!(r#"select state, count(*) as "count!" from vms where deleted_at is null group by state"#)
        .fetch_all(pool)
        .await?;
    rows.into_iter()
        .map(|row| Ok((State::parse(&row.state).context("a VM has an unknown state")?, row.count)))
        .collect()
}

/// Moves a machine to another state. A machine that is gone stays gone.
pub(in crate::vms) async fn update_state(
    connection: &mut PgConnection,
    vm: VmId,
    state: State,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update vms set state = $2, state_reason = $3, state_since = case when state = $2 then state_since else $4 end, paused_at = case when $2 = 'running' then paused_at end,
                        missing_since = null, missing_looks = 0, unseen_since = null, deleted_at = case when $2 = 'deleted' then $4 else deleted_at end,
                        user_data = case when $2 <> 'deleted' then user_data end
         where id = $1 and state <> 'deleted'",
        vm.uuid(),
        state.name(),
        reason,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::vms) async fn set_stopped_for_credit(
    connection: &mut PgConnection,
    vm: VmId,
    at: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!("update vms set stopped_for_credit_at = $2 where id = $1", vm.uuid(), at).execute(connection).await?;
    Ok(())
}

pub(in crate::vms) async fn set_vmid(connection: &mut PgConnection, vm: VmId, vmid: Option<u32>) -> Result<()> {
    sqlx::query!("update vms set vmid = $2 where id = $1", vm.uuid(), vmid.and_then(|vmid| i32::try_from(vmid).ok()))
        .execute(connection)
        .await?;
    Ok(())
}

pub(in crate::vms) async fn set_node(connection: &mut PgConnection, vm: VmId, node: &str) -> Result<()> {
    sqlx::query!("update vms set node = $2 where id = $1", vm.uuid(), node).execute(connection).await?;
    Ok(())
}

pub(in crate::vms) struct MachineRow {
    pub guest_uuid: Uuid,
    pub name: String,
    pub vcpu: i32,
    pub memory_mib: i32,
    pub disk_gib: i32,
    pub image: ImageId,
    pub login: String,
    pub cluster: ClusterId,
    pub node: String,
    pub vmid: Option<i32>,
    pub authorized_keys: String,
    pub tags: Vec<String>,
    pub protected: bool,
    pub iso_volume: Option<String>,
    pub boot_from_iso: bool,
    pub next_vmid: Option<i32>,
    pub next_node: Option<String>,
    pub next_vcpu: Option<i32>,
    pub next_memory_mib: Option<i32>,
    pub next_image: Option<ImageId>,
    pub next_login: Option<String>,
    pub user_data: Option<String>,
    pub iso_storage: Option<String>,
    pub storage: String,
    pub bridge: String,
}

/// Everything a job needs to know about its machine.
pub(in crate::vms) async fn select_machine(pool: &PgPool, vm: VmId) -> Result<Option<MachineRow>> {
    let row = sqlx::query_as!(
        MachineRow,
        r#"select v.guest_uuid, v.name, p.vcpu, p.memory_mib, v.disk_gib,
                  v.image_id as "image: ImageId", i.login, v.cluster_id as "cluster: ClusterId", v.node, v.vmid, v.authorized_keys,
                  v.tags, v.protected, iso.volume as "iso_volume?", v.boot_from_iso, v.next_vmid, v.next_node,
                  next.vcpu as "next_vcpu?", next.memory_mib as "next_memory_mib?",
                  v.next_image_id as "next_image: ImageId", ni.login as "next_login?",
                  v.user_data, c.iso_storage, c.storage, c.bridge
           from vms v join plans p on p.id = v.plan_id join images i on i.id = v.image_id join clusters c on c.id = v.cluster_id
           left join plans next on next.id = v.next_plan_id left join images ni on ni.id = v.next_image_id
           left join iso_images iso on iso.id = v.iso_image_id
           where v.id = $1"#,
        vm.uuid()
    )
    .fetch_optional(pool)
    .await?;
    Ok(row)
}

pub(in crate::vms) async fn select_machine_plan(connection: &mut PgConnection, vm: VmId) -> Result<PlanId> {
    Ok(sqlx::query_scalar!(r#"select plan_id as "plan: PlanId" from vms where id = $1"#, vm.uuid())
        .fetch_one(connection)
        .await?)
}
