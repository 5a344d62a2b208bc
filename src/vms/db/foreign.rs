//! The SQL of guests that are not ours, and of taking one over.

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::catalog::PowerState;
use crate::error::{Error, Result};
use crate::ids::{ClusterId, ImageId, LocationId, OrganisationId, PlanId, VmId};
use crate::vms::adopt::{AdoptedVm, ForeignGuest};

/// A guest that is not ours, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vms) struct ForeignRow {
    pub vmid: i32,
    pub name: String,
    pub node: String,
    pub status: String,
    pub template: bool,
    pub vcpu: i32,
    pub memory_mib: i32,
    pub disk_gib: i32,
    pub tags: Vec<String>,
}

pub(in crate::vms) async fn select_foreign_rows(pool: &PgPool, cluster: ClusterId) -> Result<Vec<ForeignRow>> {
    let rows = sqlx::query_as!(
        ForeignRow,
        "select vmid, name, node, status, template, vcpu, memory_mib, disk_gib, tags from foreign_guests where cluster_id = $1",
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// Writes new and changed guests: one statement, whatever their number. Tags are joined by a blank, which none contains.
pub(in crate::vms) async fn upsert_foreign(
    connection: &mut PgConnection,
    cluster: ClusterId,
    rows: &[ForeignRow],
    at: DateTime<Utc>,
) -> Result<()> {
    let vmids: Vec<i32> = rows.iter().map(|row| row.vmid).collect();
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let nodes: Vec<String> = rows.iter().map(|row| row.node.clone()).collect();
    let statuses: Vec<String> = rows.iter().map(|row| row.status.clone()).collect();
    let templates: Vec<bool> = rows.iter().map(|row| row.template).collect();
    let vcpus: Vec<i32> = rows.iter().map(|row| row.vcpu).collect();
    let memories: Vec<i32> = rows.iter().map(|row| row.memory_mib).collect();
    let disks: Vec<i32> = rows.iter().map(|row| row.disk_gib).collect();
    let tags: Vec<String> = rows.iter().map(|row| row.tags.join(" ")).collect();
    sqlx::query!(
        "insert into foreign_guests (cluster_id, vmid, name, node, status, template, vcpu, memory_mib, disk_gib, tags, first_seen_at, last_seen_at)
         select $10, b.vmid, b.name, b.node, b.status, b.template, b.vcpu, b.memory_mib, b.disk_gib,
                case when b.tags = '' then '{}'::text[] else string_to_array(b.tags, ' ') end, $11, $11
         from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::integer[], $7::integer[], $8::integer[], $9::text[])
              as b (vmid, name, node, status, template, vcpu, memory_mib, disk_gib, tags)
         on conflict (cluster_id, vmid) do update set name = excluded.name, node = excluded.node, status = excluded.status, template = excluded.template,
             vcpu = excluded.vcpu, memory_mib = excluded.memory_mib, disk_gib = excluded.disk_gib, tags = excluded.tags, last_seen_at = excluded.last_seen_at",
        &vmids,
        &names,
        &nodes,
        &statuses,
        &templates,
        &vcpus,
        &memories,
        &disks,
        &tags,
        cluster.uuid(),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::vms) async fn delete_foreign(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmids: &[i32],
) -> Result<()> {
    sqlx::query!("delete from foreign_guests where cluster_id = $1 and vmid = any($2)", cluster.uuid(), vmids)
        .execute(connection)
        .await?;
    Ok(())
}

/// Which guests to list.
#[derive(Debug, Default)]
pub(in crate::vms) struct ForeignFilter<'a> {
    pub cluster: Option<ClusterId>,
    pub vmid: Option<i32>,
    pub search: Option<&'a str>,
    /// Only after this cluster and VMID, in the order of the list.
    pub after: Option<(String, i32)>,
}

pub(in crate::vms) async fn select_foreign(
    pool: &PgPool,
    filter: &ForeignFilter<'_>,
    limit: i64,
) -> Result<Vec<ForeignGuest>> {
    let (after_name, after_vmid) = filter.after.clone().unzip();
    let rows = sqlx::query_as!(
        ForeignGuest,
        r#"select f.cluster_id as "cluster: ClusterId", c.name as cluster_name, c.location_id as "location: LocationId", f.vmid, f.name, f.node, f.status,
                  f.template, f.vcpu, f.memory_mib, f.disk_gib, f.tags, f.first_seen_at
           from foreign_guests f join clusters c on c.id = f.cluster_id
           where ($1::uuid is null or f.cluster_id = $1) and ($2::integer is null or f.vmid = $2)
             and ($3::text is null or strpos(lower(f.name), lower($3)) > 0 or f.vmid::text = $3 or lower(f.node) = lower($3)
                  or lower($3) = any(f.tags))
             and ($4::text is null or (c.name, f.vmid) > ($4, $5::integer))
           order by c.name, f.vmid limit $6"#,
        filter.cluster.map(ClusterId::uuid),
        filter.vmid,
        filter.search,
        after_name,
        after_vmid,
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

pub(in crate::vms) struct AdoptedRow<'a> {
    pub id: VmId,
    pub organisation: OrganisationId,
    pub name: &'a str,
    pub plan: PlanId,
    pub image: ImageId,
    pub location: LocationId,
    pub cluster: ClusterId,
    pub node: &'a str,
    pub vmid: i32,
    pub guest_uuid: Uuid,
    pub disk_gib: i32,
}

pub(in crate::vms) async fn insert_adopted(
    connection: &mut PgConnection,
    new: &AdoptedRow<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into vms (id, organisation_id, name, plan_id, image_id, location_id, cluster_id, node, vmid, guest_uuid, disk_gib,
                          state, state_since, created_at, adopted_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'provisioning', $12, $12, $12)",
        new.id.uuid(),
        new.organisation.uuid(),
        new.name,
        new.plan.uuid(),
        new.image.uuid(),
        new.location.uuid(),
        new.cluster.uuid(),
        new.node,
        new.vmid,
        new.guest_uuid,
        new.disk_gib,
        now,
    )
    .execute(connection)
    .await
    .map_err(|error| match error.as_database_error().and_then(|database| database.constraint()) {
        Some("vms_guest_once") => Error::conflict("A VM of ours has this guest already: its SMBIOS uuid is the same."),
        Some("vms_name_once") => Error::invalid("name", "The organisation has a VM of this name already."),
        _ => error.into(),
    })?;
    Ok(())
}

pub(in crate::vms) async fn set_found_state(connection: &mut PgConnection, vm: VmId, state: PowerState) -> Result<()> {
    sqlx::query!("update vms set found_state = $2 where id = $1", vm.uuid(), state.name()).execute(connection).await?;
    Ok(())
}

pub(in crate::vms) async fn select_found_state(connection: &mut PgConnection, vm: VmId) -> Result<PowerState> {
    let state =
        sqlx::query_scalar!("select found_state from vms where id = $1", vm.uuid()).fetch_one(connection).await?;
    let state = state.as_deref().and_then(PowerState::parse).context("an adopted guest has not been looked at")?;
    Ok(state)
}

pub(in crate::vms) async fn select_adopted(pool: &PgPool, limit: i64) -> Result<Vec<AdoptedVm>> {
    let rows = sqlx::query_as!(
        AdoptedVm,
        r#"select v.id as "id: VmId", v.name, v.organisation_id as "organisation: OrganisationId", o.name as organisation_name, p.name as plan_name,
                  c.name as cluster_name, v.node, v.vmid, v.state, v.adopted_at as "adopted_at!",
                  exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked')) as "busy!"
           from vms v join organisations o on o.id = v.organisation_id join plans p on p.id = v.plan_id join clusters c on c.id = v.cluster_id
           where v.adopted_at is not null and v.deleted_at is null order by v.adopted_at desc, v.id desc limit $1"#,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// Whose an adopted machine is.
pub(in crate::vms) async fn select_owner(pool: &PgPool, vm: VmId) -> Result<Option<OrganisationId>> {
    let owner = sqlx::query_scalar!(
        r#"select organisation_id as "organisation: OrganisationId" from vms where id = $1 and deleted_at is null"#,
        vm.uuid()
    )
    .fetch_optional(pool)
    .await?;
    Ok(owner)
}
