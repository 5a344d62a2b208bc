//! The SQL of clusters, nodes, templates and leases of VMIDs.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::add::Checked;
use super::placement::Candidate;
use super::{Cluster, Node, Template};
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{ClusterId, ImageId, LocationId, VmId};

/// How many guests that are not ours may stand in the way of one lease.
const VMID_TRIES_MAX: usize = 1000;

pub(super) async fn select(pool: &PgPool, only: Option<ClusterId>) -> Result<Vec<Cluster>> {
    let clusters = sqlx::query_as!(
        Cluster,
        r#"select c.id as "id: ClusterId", c.name, c.location_id as "location_id: LocationId", l.name as location_name, c.endpoint, c.token_id, c.fingerprint,
                  c.storage, c.storage_shared, c.bridge, c.vmid_from, c.vmid_to, c.maintenance, c.version, c.last_seen_at, c.unreachable_since, c.last_error,
                  (select count(*) from vms v where v.cluster_id = c.id and v.deleted_at is null and v.state <> 'failed') as "vms!",
                  (select count(*) from nodes n where n.cluster_id = c.id) as "nodes!"
           from clusters c join locations l on l.id = c.location_id where $1::uuid is null or c.id = $1 order by c.name"#,
        only.map(ClusterId::uuid),
    )
    .fetch_all(pool)
    .await?;
    Ok(clusters)
}

pub(super) struct Access {
    pub endpoint: String,
    pub token_id: String,
    pub token_secret_encrypted: String,
    pub fingerprint: Option<String>,
    pub ca_pem: Option<String>,
    pub updated_at: DateTime<Utc>,
}

pub(super) async fn select_access(pool: &PgPool, id: ClusterId) -> Result<Option<Access>> {
    let access = sqlx::query_as!(
        Access,
        "select endpoint, token_id, token_secret_encrypted, fingerprint, ca_pem, updated_at from clusters where id = $1",
        id.uuid()
    )
    .fetch_optional(pool)
    .await?;
    Ok(access)
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    id: ClusterId,
    new: &Checked,
    token_secret_encrypted: &str,
    storage_shared: bool,
    version: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into clusters (id, name, location_id, endpoint, token_id, token_secret_encrypted, fingerprint, storage, storage_shared, bridge,
                               vmid_from, vmid_to, vmid_next, version, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11, $13, $14, $14)",
        id.uuid(),
        new.name,
        new.location.uuid(),
        new.endpoint,
        new.token_id,
        token_secret_encrypted,
        new.fingerprint,
        new.storage,
        storage_shared,
        new.bridge,
        new.vmid_from,
        new.vmid_to,
        version,
        now,
    )
    .execute(connection)
    .await
    .on_constraint("clusters_name_once", || Error::invalid("name", "There is a cluster of this name already."))?;
    Ok(())
}

pub(super) async fn select_last_seen(connection: &mut PgConnection, id: ClusterId) -> Result<Option<DateTime<Utc>>> {
    let seen = sqlx::query_scalar!("select last_seen_at from clusters where id = $1", id.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(seen.flatten())
}

pub(super) async fn select_nodes(pool: &PgPool, cluster: ClusterId) -> Result<Vec<Node>> {
    let nodes = sqlx::query_as!(
        Node,
        r#"select n.name, n.online, n.cpu_count, n.memory_bytes, n.memory_used_bytes,
                  coalesce((select sum(p.memory_mib::bigint) * 1048576 from vms v join plans p on p.id = v.plan_id
                            where v.cluster_id = n.cluster_id and v.node = n.name and v.deleted_at is null and v.state <> 'failed'), 0)::bigint as "memory_sold_bytes!"
           from nodes n where n.cluster_id = $1 order by n.name"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(nodes)
}

pub(super) async fn upsert_node(
    connection: &mut PgConnection,
    cluster: ClusterId,
    node: &Node,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into nodes (cluster_id, name, online, cpu_count, memory_bytes, memory_used_bytes, seen_at) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (cluster_id, name) do update set online = excluded.online, cpu_count = excluded.cpu_count, memory_bytes = excluded.memory_bytes,
             memory_used_bytes = excluded.memory_used_bytes, seen_at = excluded.seen_at",
        cluster.uuid(),
        node.name,
        node.online,
        node.cpu_count,
        node.memory_bytes,
        node.memory_used_bytes,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Answers whether the cluster was unreachable until now.
pub(super) async fn mark_seen(connection: &mut PgConnection, cluster: ClusterId, at: DateTime<Utc>) -> Result<bool> {
    let came_back = sqlx::query_scalar!(
        r#"with before as (select id, unreachable_since from clusters where id = $1 for update)
           update clusters c set last_seen_at = $2, unreachable_since = null, last_error = null from before where c.id = before.id
           returning before.unreachable_since is not null as "came_back!""#,
        cluster.uuid(),
        at
    )
    .fetch_optional(connection)
    .await?;
    Ok(came_back.unwrap_or(false))
}

/// Answers whether it was reachable until now.
pub(super) async fn mark_unreachable(
    connection: &mut PgConnection,
    cluster: ClusterId,
    at: DateTime<Utc>,
    error: &str,
) -> Result<bool> {
    let went_away = sqlx::query_scalar!(
        r#"with before as (select id, unreachable_since from clusters where id = $1 for update)
           update clusters c set unreachable_since = coalesce(c.unreachable_since, c.last_seen_at, $2), last_error = $3 from before where c.id = before.id
           returning before.unreachable_since is null as "went_away!""#,
        cluster.uuid(),
        at,
        error
    )
    .fetch_optional(connection)
    .await?;
    Ok(went_away.unwrap_or(false))
}

pub(super) async fn select_templates(pool: &PgPool, cluster: ClusterId) -> Result<Vec<Template>> {
    let templates = sqlx::query_as!(
        Template,
        r#"select image_id as "image: ImageId", node, vmid from image_templates where cluster_id = $1"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(templates)
}

pub(super) async fn upsert_template(
    connection: &mut PgConnection,
    cluster: ClusterId,
    image: ImageId,
    node: &str,
    vmid: i32,
) -> Result<()> {
    sqlx::query!(
        "insert into image_templates (image_id, cluster_id, node, vmid) values ($1, $2, $3, $4)
         on conflict (image_id, cluster_id) do update set node = excluded.node, vmid = excluded.vmid",
        image.uuid(),
        cluster.uuid(),
        node,
        vmid
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn delete_template(connection: &mut PgConnection, cluster: ClusterId, image: ImageId) -> Result<()> {
    sqlx::query!("delete from image_templates where cluster_id = $1 and image_id = $2", cluster.uuid(), image.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// With a storage that only its own node sees, a template can only be cloned on that node.
pub(super) async fn select_candidates(
    connection: &mut PgConnection,
    location: LocationId,
    image: ImageId,
) -> Result<Vec<Candidate>> {
    // Orders of different customers hold different wallets: without this two of them could be given the same last room.
    sqlx::query!("select id from clusters where location_id = $1 order by id for no key update", location.uuid())
        .fetch_all(&mut *connection)
        .await?;
    let candidates = sqlx::query_as!(
        Candidate,
        r#"select c.id as "cluster: ClusterId", n.name as node, (n.online and c.unreachable_since is null) as "online!", n.cpu_count, n.memory_bytes / 1048576 as "memory_mib!",
                  coalesce((select sum(p.memory_mib::bigint) from vms v join plans p on p.id = v.plan_id
                            where v.cluster_id = c.id and v.node = n.name and v.deleted_at is null and v.state <> 'failed'), 0)::bigint as "memory_sold_mib!"
           from clusters c join image_templates t on t.cluster_id = c.id and t.image_id = $2
           join nodes n on n.cluster_id = c.id and (c.storage_shared or n.name = t.node)
           where c.location_id = $1 and not c.maintenance order by c.id, n.name"#,
        location.uuid(),
        image.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(candidates)
}

/// The counter is moved under the cluster's row lock, so two leases never meet; ids that were ever leased are passed over.
pub(super) async fn lease_vmid(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<Option<i32>> {
    for _ in 0..VMID_TRIES_MAX {
        let next = sqlx::query_scalar!(
            "update clusters set vmid_next = vmid_next + 1 where id = $1 and vmid_next <= vmid_to returning vmid_next - 1",
            cluster.uuid()
        )
        .fetch_optional(&mut *connection)
        .await?
        .flatten();
        let Some(vmid) = next else { return Ok(None) };
        let leased = sqlx::query!(
            "insert into vmid_leases (cluster_id, vmid, vm_id, leased_at) values ($1, $2, $3, $4) on conflict (cluster_id, vmid) do nothing",
            cluster.uuid(),
            vmid,
            vm.uuid(),
            now
        )
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if leased == 1 {
            return Ok(Some(vmid));
        }
    }
    Ok(None)
}

/// Leases one VMID, whatever range it is in: one that nobody has, that rests, or that was found in use by a stranger.
pub(super) async fn lease_this_vmid(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmid: i32,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let leased = sqlx::query!(
        "insert into vmid_leases (cluster_id, vmid, vm_id, leased_at) values ($1, $2, $3, $4)
         on conflict (cluster_id, vmid) do update set vm_id = excluded.vm_id, leased_at = excluded.leased_at, released_at = null
         where vmid_leases.vm_id is null or vmid_leases.released_at is not null",
        cluster.uuid(),
        vmid,
        vm.uuid(),
        now
    )
    .execute(connection)
    .await?;
    Ok(leased.rows_affected() == 1)
}

pub(super) async fn abandon_vmid(connection: &mut PgConnection, cluster: ClusterId, vmid: i32) -> Result<()> {
    sqlx::query!("update vmid_leases set vm_id = null where cluster_id = $1 and vmid = $2", cluster.uuid(), vmid)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn release_vmid(connection: &mut PgConnection, vm: VmId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update vmid_leases set released_at = $2 where vm_id = $1 and released_at is null", vm.uuid(), now)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn update_endpoint(pool: &PgPool, id: ClusterId, endpoint: &str, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update clusters set endpoint = $2, updated_at = $3 where id = $1 and endpoint <> $2",
        id.uuid(),
        endpoint,
        now
    )
    .execute(pool)
    .await?;
    Ok(())
}
