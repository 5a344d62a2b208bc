//! The SQL of clusters and templates; what is sold is in `capacity`, CD images in `isos`, VMIDs in `leases`.

pub(super) mod capacity;
pub(super) mod isos;
pub(super) mod leases;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::add::Checked;
use super::look::{SeenNode, SeenStorage};
use super::{Cluster, Endpoint, Template};
use crate::database::EncryptedColumn;
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{ClusterId, ImageId, LocationId};

/// The secrets of this room, for the rotation of keys.
pub const SECRETS: EncryptedColumn = EncryptedColumn {
    name: "clusters.token_secret_encrypted",
    select: "select id, token_secret_encrypted from clusters where id > $1 and token_secret_encrypted <> '' order by id limit $2 for update",
    update: "update clusters set token_secret_encrypted = $2 where id = $1",
};

pub(super) async fn select(pool: &PgPool, only: Option<ClusterId>) -> Result<Vec<Cluster>> {
    let clusters = sqlx::query_as!(
        Cluster,
        r#"select c.id as "id: ClusterId", c.name, c.location_id as "location_id: LocationId", l.name as location_name, c.endpoint, c.token_id, c.fingerprint,
                  c.storage, c.storage_shared, c.bridge, c.vmid_from, c.vmid_to, c.maintenance, c.version, c.last_seen_at, c.unreachable_since, c.last_error,
                  c.memory_percent, c.cpu_percent, c.disk_percent, c.node_reserve_mib, c.iso_storage, c.failed_looks, c.next_look_at,
                  (select count(*) from vms v where v.cluster_id = c.id and v.deleted_at is null and v.state <> 'failed') as "vms!",
                  (select count(*) from nodes n where n.cluster_id = c.id and n.seen_at > c.last_seen_at - interval '1 day') as "nodes!"
           from clusters c join locations l on l.id = c.location_id
           where ($1::uuid is null or c.id = $1) and c.removed_at is null order by c.name"#,
        only.map(ClusterId::uuid),
    )
    .fetch_all(pool)
    .await?;
    Ok(clusters)
}

/// Whole MiB.
pub(super) fn mebibytes(bytes: i64) -> i64 {
    bytes >> 20
}

/// Whole GiB.
pub(super) fn gibibytes(bytes: i64) -> i64 {
    bytes >> 30
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
        "select endpoint, token_id, token_secret_encrypted, fingerprint, ca_pem, updated_at from clusters where id = $1 and removed_at is null",
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
                               vmid_from, vmid_to, version, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)",
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
    .execute(&mut *connection)
    .await
    .on_constraint("clusters_name_once", || Error::invalid("name", "There is a cluster of this name already."))?;
    sqlx::query!("insert into vmid_counters (cluster_id, next) values ($1, $2)", id.uuid(), new.vmid_from)
        .execute(connection)
        .await?;
    Ok(())
}

/// The nodes of one look, in one statement. Of a node that is offline the sizes of before are kept: Proxmox tells none.
/// Answers whether one has gone or come back.
pub(super) async fn upsert_nodes(
    connection: &mut PgConnection,
    cluster: ClusterId,
    nodes: &[SeenNode],
    at: DateTime<Utc>,
) -> Result<bool> {
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let online: Vec<bool> = nodes.iter().map(|node| node.online).collect();
    let cpu_count: Vec<i32> = nodes.iter().map(|node| node.cpu_count).collect();
    let cpu_used: Vec<i32> = nodes.iter().map(|node| node.cpu_used_percent).collect();
    let memory: Vec<i64> = nodes.iter().map(|node| node.memory_bytes).collect();
    let memory_used: Vec<i64> = nodes.iter().map(|node| node.memory_used_bytes).collect();
    let changed = sqlx::query_scalar!(
        r#"with before as (select name, online from nodes where cluster_id = $1)
         insert into nodes (cluster_id, name, online, cpu_count, cpu_used_percent, memory_bytes, memory_used_bytes, seen_at, offline_since)
         select $1, n.name, n.online, n.cpu_count, n.cpu_used_percent, n.memory_bytes, n.memory_used_bytes, $8::timestamptz, case when not n.online then $8::timestamptz end
         from unnest($2::text[], $3::bool[], $4::int[], $5::int[], $6::bigint[], $7::bigint[])
              as n (name, online, cpu_count, cpu_used_percent, memory_bytes, memory_used_bytes)
         on conflict (cluster_id, name) do update set online = excluded.online, seen_at = excluded.seen_at,
             cpu_count = case when excluded.online then excluded.cpu_count else nodes.cpu_count end,
             memory_bytes = case when excluded.online then excluded.memory_bytes else nodes.memory_bytes end,
             cpu_used_percent = excluded.cpu_used_percent, memory_used_bytes = excluded.memory_used_bytes,
             offline_since = case when not excluded.online then coalesce(nodes.offline_since, excluded.offline_since) end
         returning nodes.online is distinct from coalesce((select b.online from before b where b.name = nodes.name), true) as "changed!""#,
        cluster.uuid(),
        &names,
        &online,
        &cpu_count,
        &cpu_used,
        &memory,
        &memory_used,
        at,
    )
    .fetch_all(connection)
    .await?;
    Ok(changed.into_iter().any(|changed| changed))
}

/// The storages of one look, in one statement.
pub(super) async fn upsert_storages(
    connection: &mut PgConnection,
    cluster: ClusterId,
    storages: &[SeenStorage],
    at: DateTime<Utc>,
) -> Result<()> {
    let nodes: Vec<String> = storages.iter().map(|storage| storage.node.clone()).collect();
    let names: Vec<String> = storages.iter().map(|storage| storage.name.clone()).collect();
    let kinds: Vec<String> = storages.iter().map(|storage| storage.kind.clone()).collect();
    let contents: Vec<String> = storages.iter().map(|storage| storage.content.clone()).collect();
    let shared: Vec<bool> = storages.iter().map(|storage| storage.shared).collect();
    let available: Vec<bool> = storages.iter().map(|storage| storage.available).collect();
    let total: Vec<i64> = storages.iter().map(|storage| storage.total_bytes).collect();
    let used: Vec<i64> = storages.iter().map(|storage| storage.used_bytes).collect();
    sqlx::query!(
        "insert into storages (cluster_id, node, name, kind, content, shared, available, total_bytes, used_bytes, seen_at)
         select $1, s.node, s.name, s.kind, s.content, s.shared, s.available, s.total_bytes, s.used_bytes, $10
         from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::bool[], $8::bigint[], $9::bigint[])
              as s (node, name, kind, content, shared, available, total_bytes, used_bytes)
         on conflict (cluster_id, node, name) do update set kind = excluded.kind, content = excluded.content, shared = excluded.shared,
             available = excluded.available, seen_at = excluded.seen_at,
             total_bytes = case when excluded.available then excluded.total_bytes else storages.total_bytes end,
             used_bytes = case when excluded.available then excluded.used_bytes else storages.used_bytes end",
        cluster.uuid(),
        &nodes,
        &names,
        &kinds,
        &contents,
        &shared,
        &available,
        &total,
        &used,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Answers when it was seen last, and whether it was unreachable until now.
pub(super) async fn mark_seen(
    connection: &mut PgConnection,
    cluster: ClusterId,
    at: DateTime<Utc>,
) -> Result<(Option<DateTime<Utc>>, bool)> {
    let before = sqlx::query!(
        r#"with before as (select id, unreachable_since, last_seen_at from clusters where id = $1 for update)
           update clusters c set last_seen_at = $2, unreachable_since = null, last_error = null, failed_looks = 0, next_look_at = null from before where c.id = before.id
           returning before.last_seen_at as "seen?", before.unreachable_since is not null as "came_back!""#,
        cluster.uuid(),
        at
    )
    .fetch_optional(connection)
    .await?;
    Ok(before.map_or((None, false), |before| (before.seen, before.came_back)))
}

/// Answers whether it was reachable until now. `next_look` says when the next look is due after so many failed ones.
pub(super) async fn mark_unreachable(
    connection: &mut PgConnection,
    cluster: ClusterId,
    at: DateTime<Utc>,
    error: &str,
    next_look: impl FnOnce(i32) -> DateTime<Utc>,
) -> Result<bool> {
    let before =
        sqlx::query!("select unreachable_since, failed_looks from clusters where id = $1 for update", cluster.uuid())
            .fetch_optional(&mut *connection)
            .await?;
    let Some(before) = before else { return Ok(false) };
    let failed_looks = before.failed_looks.saturating_add(1);
    sqlx::query!(
        "update clusters set unreachable_since = coalesce(unreachable_since, last_seen_at, $2), last_error = $3, failed_looks = $4, next_look_at = $5
         where id = $1",
        cluster.uuid(),
        at,
        error,
        failed_looks,
        next_look(failed_looks),
    )
    .execute(connection)
    .await?;
    Ok(before.unreachable_since.is_none())
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

pub(super) async fn select_endpoints(pool: &PgPool, cluster: ClusterId) -> Result<Vec<Endpoint>> {
    let endpoints = sqlx::query_as!(
        Endpoint,
        "select url, fingerprint from cluster_endpoints where cluster_id = $1 order by position",
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(endpoints)
}

/// Replaces the further endpoints of a cluster.
pub(super) async fn replace_endpoints(
    connection: &mut PgConnection,
    cluster: ClusterId,
    endpoints: &[Endpoint],
    now: DateTime<Utc>,
) -> Result<()> {
    let urls: Vec<String> = endpoints.iter().map(|endpoint| endpoint.url.clone()).collect();
    let fingerprints: Vec<Option<String>> = endpoints.iter().map(|endpoint| endpoint.fingerprint.clone()).collect();
    // The row's time tells every process to connect anew.
    sqlx::query!("update clusters set updated_at = $2 where id = $1", cluster.uuid(), now)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from cluster_endpoints where cluster_id = $1", cluster.uuid())
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into cluster_endpoints (cluster_id, position, url, fingerprint)
         select $1, e.position, e.url, e.fingerprint from unnest($2::text[], $3::text[]) with ordinality as e (url, fingerprint, position)",
        cluster.uuid(),
        &urls,
        &fingerprints as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What an operator can change of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub name: String,
    pub endpoint: String,
    pub token_id: String,
    pub token_secret_encrypted: String,
    pub fingerprint: Option<String>,
    pub bridge: String,
    pub memory_percent: i32,
    pub cpu_percent: i32,
    pub disk_percent: i32,
    pub node_reserve_mib: i32,
    pub iso_storage: Option<String>,
    pub maintenance: bool,
}

pub(super) async fn lock_settings(connection: &mut PgConnection, id: ClusterId) -> Result<Option<Settings>> {
    let settings = sqlx::query_as!(
        Settings,
        "select name, endpoint, token_id, token_secret_encrypted, fingerprint, bridge, memory_percent, cpu_percent, disk_percent, node_reserve_mib,
                iso_storage, maintenance
         from clusters where id = $1 and removed_at is null for update",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(settings)
}

pub(super) async fn update_settings(
    connection: &mut PgConnection,
    id: ClusterId,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update clusters set name = $2, endpoint = $3, token_id = $4, token_secret_encrypted = $5, fingerprint = $6, bridge = $7, memory_percent = $8,
                cpu_percent = $9, disk_percent = $10, node_reserve_mib = $11, iso_storage = $12, maintenance = $13, updated_at = $14
         where id = $1",
        id.uuid(),
        settings.name,
        settings.endpoint,
        settings.token_id,
        settings.token_secret_encrypted,
        settings.fingerprint,
        settings.bridge,
        settings.memory_percent,
        settings.cpu_percent,
        settings.disk_percent,
        settings.node_reserve_mib,
        settings.iso_storage,
        settings.maintenance,
        now,
    )
    .execute(connection)
    .await
    .on_constraint("clusters_name_once", || Error::invalid("name", "There is a cluster of this name already."))?;
    Ok(())
}

/// Machines that are not gone, failed ones too: their pages name the cluster.
pub(super) async fn count_vms(connection: &mut PgConnection, id: ClusterId) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from vms where cluster_id = $1 and deleted_at is null"#,
        id.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(count)
}

/// Takes a cluster away. The row stays for the machines of long ago, without its secret and all that a look or an operator
/// wrote down beside it.
pub(super) async fn remove(connection: &mut PgConnection, id: ClusterId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update clusters set removed_at = $2, updated_at = $2, maintenance = true, token_secret_encrypted = '', unreachable_since = null, last_error = null
         where id = $1",
        id.uuid(),
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from image_templates where cluster_id = $1", id.uuid()).execute(&mut *connection).await?;
    sqlx::query!("delete from cluster_endpoints where cluster_id = $1", id.uuid()).execute(&mut *connection).await?;
    sqlx::query!("update iso_images set offered = false, rescue = false where cluster_id = $1", id.uuid())
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from storages where cluster_id = $1", id.uuid()).execute(&mut *connection).await?;
    sqlx::query!("delete from foreign_guests where cluster_id = $1", id.uuid()).execute(&mut *connection).await?;
    sqlx::query!("delete from nodes where cluster_id = $1", id.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn select_last_seen(connection: &mut PgConnection, id: ClusterId) -> Result<Option<DateTime<Utc>>> {
    let seen = sqlx::query_scalar!("select last_seen_at from clusters where id = $1", id.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(seen.flatten())
}
