//! The SQL of what clusters have, what of it is sold, and to whom.

use sqlx::{PgConnection, PgPool};

use super::{gibibytes, mebibytes};
use crate::clusters::placement::{Candidate, Limits, Room};
use crate::clusters::{Node, NodeAway, Storage};
use crate::error::Result;
use crate::ids::{ClusterId, ImageId, LocationId, OrganisationId, PlanId, VmId};

/// Which nodes are candidates, and for whom.
#[derive(Debug, Default)]
pub(in crate::clusters) struct Wanted<'a> {
    pub location: Option<LocationId>,
    pub cluster: Option<ClusterId>,
    /// Only where its template can be cloned to: with a storage that only its own node sees, that is the template's node.
    pub image: Option<ImageId>,
    pub organisation: Option<OrganisationId>,
    pub group: Option<&'a str>,
    /// The machine that looks for another place.
    pub vm: Option<VmId>,
    /// Only where user data can be stored.
    pub user_data: bool,
}

pub(in crate::clusters) async fn exists_with_iso_storage(
    connection: &mut PgConnection,
    location: LocationId,
    image: ImageId,
) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from clusters c join image_templates t on t.cluster_id = c.id and t.image_id = $2
                          where c.location_id = $1 and c.removed_at is null and c.iso_storage is not null) as "found!""#,
        location.uuid(),
        image.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}

/// Orders of different customers hold different wallets: without this lock two of them could be given the same last room.
pub(in crate::clusters) async fn lock(connection: &mut PgConnection, wanted: &Wanted<'_>) -> Result<()> {
    sqlx::query!(
        "select id from clusters where ($1::uuid is null or location_id = $1) and ($2::uuid is null or id = $2) and removed_at is null
         order by id for no key update",
        wanted.location.map(LocationId::uuid),
        wanted.cluster.map(ClusterId::uuid),
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

pub(in crate::clusters) async fn select_candidates(
    connection: &mut PgConnection,
    wanted: &Wanted<'_>,
) -> Result<Vec<Candidate>> {
    let rows = sqlx::query!(
        r#"with sold as (
               select h.cluster_id, h.node, sum(h.memory_mib)::bigint as memory_mib, sum(h.vcpu)::bigint as vcpu, sum(h.disk_gib)::bigint as disk_gib,
                      coalesce(sum(h.memory_mib) filter (where h.vm_id = $6), 0)::bigint as own_memory_mib,
                      coalesce(sum(h.vcpu) filter (where h.vm_id = $6), 0)::bigint as own_vcpu,
                      coalesce(sum(h.disk_gib) filter (where h.vm_id = $6), 0)::bigint as own_disk_gib,
                      bool_or(h.is_home and h.vm_id = $6) as is_home,
                      count(*) filter (where h.organisation_id = $4 and h.vm_id is distinct from $6) as organisation_vms,
                      count(*) filter (where h.organisation_id = $4 and h.placement_group = $5 and h.vm_id is distinct from $6) as group_vms
               from holdings h group by h.cluster_id, h.node),
           whole as (
               select h.cluster_id, sum(h.disk_gib)::bigint as disk_gib, coalesce(sum(h.disk_gib) filter (where h.vm_id = $6), 0)::bigint as own_disk_gib,
                      count(*) filter (where h.organisation_id = $4 and h.vm_id is distinct from $6) as organisation_vms
               from holdings h where h.is_home group by h.cluster_id)
           select c.id as "cluster: ClusterId", c.name as cluster_name, n.name as node, c.maintenance, c.storage_shared, n.cpu_count, n.memory_bytes,
                  c.memory_percent, c.cpu_percent, c.disk_percent, c.node_reserve_mib,
                  (n.online and c.unreachable_since is null and n.seen_at >= c.last_seen_at) as "online?",
                  (s.available and s.seen_at >= c.last_seen_at) as "storage_seen?", coalesce(s.total_bytes, 0) as "storage_bytes!",
                  coalesce(sold.memory_mib, 0) as "memory_sold!", coalesce(sold.vcpu, 0) as "vcpu_sold!",
                  coalesce(case when c.storage_shared then whole.disk_gib else sold.disk_gib end, 0) as "disk_sold!",
                  coalesce(sold.own_memory_mib, 0) as "memory_own!", coalesce(sold.own_vcpu, 0) as "vcpu_own!",
                  coalesce(case when c.storage_shared then whole.own_disk_gib else sold.own_disk_gib end, 0) as "disk_own!",
                  coalesce(sold.is_home, false) as "is_home!", coalesce(sold.group_vms, 0) as "group_vms!",
                  coalesce(sold.organisation_vms, 0) as "organisation_vms!", coalesce(whole.organisation_vms, 0) as "organisation_vms_on_cluster!"
           from clusters c
           join nodes n on n.cluster_id = c.id and n.seen_at > c.last_seen_at - interval '1 day'
           left join image_templates t on t.cluster_id = c.id and t.image_id = $3
           left join storages s on s.cluster_id = c.id and s.node = n.name and s.name = c.storage
           left join sold on sold.cluster_id = c.id and sold.node = n.name
           left join whole on whole.cluster_id = c.id
           where ($1::uuid is null or c.location_id = $1) and ($2::uuid is null or c.id = $2) and c.removed_at is null
             and ($3::uuid is null or (t.node is not null and (c.storage_shared or n.name = t.node)))
             and (not $7::boolean or c.iso_storage is not null)
           order by c.id, n.name"#,
        wanted.location.map(LocationId::uuid),
        wanted.cluster.map(ClusterId::uuid),
        wanted.image.map(ImageId::uuid),
        wanted.organisation.map(OrganisationId::uuid),
        wanted.group,
        wanted.vm.map(VmId::uuid),
        wanted.user_data,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let limits = Limits {
                memory_percent: row.memory_percent,
                cpu_percent: row.cpu_percent,
                disk_percent: row.disk_percent,
                node_reserve_mib: row.node_reserve_mib,
            };
            Candidate {
                cluster: row.cluster,
                cluster_name: row.cluster_name,
                node: row.node,
                maintenance: row.maintenance,
                online: row.online.unwrap_or(false),
                storage_seen: row.storage_seen.unwrap_or(false),
                storage_shared: row.storage_shared,
                cpu_count: row.cpu_count,
                vcpu: Room { limit: limits.vcpu(row.cpu_count), sold: row.vcpu_sold, own: row.vcpu_own },
                memory_mib: Room {
                    limit: limits.memory_mib(mebibytes(row.memory_bytes)),
                    sold: row.memory_sold,
                    own: row.memory_own,
                },
                disk_gib: Room {
                    limit: limits.disk_gib(gibibytes(row.storage_bytes)),
                    sold: row.disk_sold,
                    own: row.disk_own,
                },
                is_home: row.is_home,
                group_vms: row.group_vms,
                organisation_vms: row.organisation_vms,
                organisation_vms_on_cluster: row.organisation_vms_on_cluster,
            }
        })
        .collect())
}

/// Where a machine is, and whose.
pub(in crate::clusters) struct Home {
    pub cluster: ClusterId,
    pub node: String,
    pub storage_shared: bool,
    pub organisation: OrganisationId,
    pub group: Option<String>,
    pub vcpu: i32,
    pub memory_mib: i32,
    pub disk_gib: i32,
}

pub(in crate::clusters) async fn select_home(connection: &mut PgConnection, vm: VmId) -> Result<Option<Home>> {
    let home = sqlx::query_as!(
        Home,
        r#"select v.cluster_id as "cluster: ClusterId", v.node, c.storage_shared, v.organisation_id as "organisation: OrganisationId",
                  v.placement_group as group, h.vcpu as "vcpu!", h.memory_mib as "memory_mib!", h.disk_gib as "disk_gib!"
           from vms v join clusters c on c.id = v.cluster_id join holdings h on h.vm_id = v.id and h.is_home where v.id = $1"#,
        vm.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(home)
}

/// Virtual processors, memory in MiB and disk in GiB of a plan, on sale or not.
pub(in crate::clusters) async fn select_plan_size(
    connection: &mut PgConnection,
    plan: PlanId,
) -> Result<Option<(i32, i32, i32)>> {
    let size = sqlx::query!("select vcpu, memory_mib, disk_gib from plans where id = $1", plan.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(size.map(|size| (size.vcpu, size.memory_mib, size.disk_gib)))
}

pub(in crate::clusters) async fn select_nodes_away(pool: &PgPool, limit: i64) -> Result<Vec<NodeAway>> {
    let nodes = sqlx::query_as!(
        NodeAway,
        r#"select c.id as "cluster: ClusterId", c.name as cluster_name, n.name, n.offline_since as "since!", count(*) as "vms!"
           from nodes n join clusters c on c.id = n.cluster_id join vms v on v.cluster_id = n.cluster_id and v.node = n.name and v.deleted_at is null
           where not n.online and n.seen_at >= c.last_seen_at and c.unreachable_since is null
           group by c.id, n.cluster_id, n.name order by n.offline_since, c.name, n.name limit $1"#,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(nodes)
}

/// What was not listed for a day before the last good look is not told of.
pub(in crate::clusters) async fn select_nodes(pool: &PgPool, cluster: ClusterId) -> Result<Vec<Node>> {
    let rows = sqlx::query!(
        r#"select n.name, (n.online and n.seen_at >= c.last_seen_at) as "online?", n.cpu_count, n.cpu_used_percent, n.memory_bytes, n.memory_used_bytes,
                  c.memory_percent, c.cpu_percent, c.disk_percent, c.node_reserve_mib,
                  coalesce(sum(h.memory_mib), 0)::bigint as "memory_sold_mib!", coalesce(sum(h.vcpu), 0)::bigint as "vcpu_sold!",
                  count(h.vm_id) filter (where h.is_home) as "vms!"
           from nodes n join clusters c on c.id = n.cluster_id left join holdings h on h.cluster_id = n.cluster_id and h.node = n.name
           where n.cluster_id = $1 and n.seen_at > c.last_seen_at - interval '1 day'
           group by c.id, n.cluster_id, n.name order by n.name"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let limits = Limits {
                memory_percent: row.memory_percent,
                cpu_percent: row.cpu_percent,
                disk_percent: row.disk_percent,
                node_reserve_mib: row.node_reserve_mib,
            };
            Node {
                name: row.name,
                online: row.online.unwrap_or(false),
                cpu_count: row.cpu_count,
                cpu_used_percent: row.cpu_used_percent,
                vcpu_sold: row.vcpu_sold,
                vcpu_limit: limits.vcpu(row.cpu_count),
                memory_bytes: row.memory_bytes,
                memory_used_bytes: row.memory_used_bytes,
                memory_sold_bytes: row.memory_sold_mib << 20,
                memory_limit_bytes: limits.memory_mib(mebibytes(row.memory_bytes)) << 20,
                vms: row.vms,
            }
        })
        .collect())
}

/// A shared storage is listed once for every node that has it.
pub(in crate::clusters) async fn select_storages(pool: &PgPool, cluster: ClusterId) -> Result<Vec<Storage>> {
    let rows = sqlx::query!(
        r#"select s.node, s.name, s.kind, s.content, s.shared, s.total_bytes, s.used_bytes, (s.available and s.seen_at >= c.last_seen_at) as "available?",
                  s.name = c.storage as "holds_disks!", c.storage_shared, c.disk_percent,
                  case when s.name <> c.storage then 0
                       when c.storage_shared then (select coalesce(sum(h.disk_gib), 0) from holdings h where h.cluster_id = c.id and h.is_home)
                       else (select coalesce(sum(h.disk_gib), 0) from holdings h where h.cluster_id = c.id and h.node = s.node) end::bigint as "sold_gib!"
           from storages s join clusters c on c.id = s.cluster_id
           where s.cluster_id = $1 and s.seen_at > c.last_seen_at - interval '1 day' order by s.name, s.node"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let limit_gib = i64::try_from(i128::from(gibibytes(row.total_bytes)) * i128::from(row.disk_percent) / 100)
                .unwrap_or(i64::MAX);
            Storage {
                node: row.node,
                name: row.name,
                kind: row.kind,
                content: row.content,
                shared: row.shared,
                available: row.available.unwrap_or(false),
                holds_disks: row.holds_disks,
                total_bytes: row.total_bytes,
                used_bytes: row.used_bytes,
                sold_gib: row.sold_gib,
                limit_gib,
            }
        })
        .collect())
}
