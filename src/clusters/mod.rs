//! Proxmox clusters: what they are called, how to reach them, whether they answer, what fits where. What is on them is
//! the business of `vms`.

mod add;
mod capacity;
mod change;
mod connections;
mod db;
mod endpoints;
mod isos;
mod look;
pub mod placement;
pub mod privileges;
mod remove;
mod test;
mod trouble;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use add::{NewCluster, add, set_templates};
pub use capacity::{Order, check_second_disk, check_target, find_place, room_for, takes_user_data, targets, would_fit};
pub use change::{ClusterChange, change};
pub use connections::Connections;
pub use db::SECRETS;
pub use endpoints::{Endpoint, EndpointHealth, endpoints, set_endpoints};
pub(crate) use isos::SEED_PREFIX;
pub use isos::{FoundIso, IsoChoice, IsoImage, iso, isos, offered_isos, refresh_isos, rescue_iso, set_isos};
pub use look::{Look, is_online, look};
pub use placement::NoPlace;
pub use privileges::MissingPrivilege;
pub use remove::remove;
pub use test::{TestReport, TestedNode, TestedStorage, TestedTemplate, fingerprint_of, test, test_again};
pub use trouble::Trouble;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{ClusterId, ImageId, LocationId, VmId};

/// How many nodes that are away are listed.
const NODES_AWAY_MAX: i64 = 50;

/// A cluster, without its secret.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location_id: LocationId,
    /// The location's name.
    pub location_name: String,
    /// The URL of its API.
    pub endpoint: String,
    /// `user@realm!id`.
    pub token_id: String,
    /// The pinned certificate.
    pub fingerprint: Option<String>,
    /// Where disks are made.
    pub storage: String,
    /// Whether every node has that storage.
    pub storage_shared: bool,
    /// The bridge of new machines.
    pub bridge: String,
    /// The first VMID that is ours.
    pub vmid_from: i32,
    /// The last VMID that is ours.
    pub vmid_to: i32,
    /// Takes no new machines.
    pub maintenance: bool,
    /// What it said its version is.
    pub version: Option<String>,
    /// The last look that was answered.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Since when looks are not answered.
    pub unreachable_since: Option<DateTime<Utc>>,
    /// What went wrong at the last look.
    pub last_error: Option<String>,
    /// How much memory may be sold of what the nodes have after the reserve, in percent.
    pub memory_percent: i32,
    /// How many virtual processors may be sold, in percent of the processors.
    pub cpu_percent: i32,
    /// How much disk may be sold, in percent of what the storage holds.
    pub disk_percent: i32,
    /// Memory of each node that is never sold, in MiB.
    pub node_reserve_mib: i32,
    /// Where CD images are.
    pub iso_storage: Option<String>,
    /// Looks in a row that were not answered.
    pub failed_looks: i32,
    /// When the next look is due; none: at the next turn.
    pub next_look_at: Option<DateTime<Utc>>,
    /// How many machines of ours are on it.
    pub vms: i64,
    /// How many nodes the last look saw.
    pub nodes: i64,
}

/// A node as the last look saw it, and what of it is sold.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ClusterNode)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub online: bool,
    /// Processors.
    pub cpu_count: i32,
    /// Load of all processors, in percent.
    pub cpu_used_percent: i32,
    /// Virtual processors of our machines on it or on their way to it, running or not.
    pub vcpu_sold: i64,
    /// How many virtual processors may be sold.
    pub vcpu_limit: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Memory in use, in bytes.
    pub memory_used_bytes: i64,
    /// Memory of our machines on it or on their way to it, in bytes, running or not.
    pub memory_sold_bytes: i64,
    /// How much memory may be sold, in bytes.
    pub memory_limit_bytes: i64,
    /// How many machines of ours are on it.
    pub vms: i64,
}

/// A node that is not online while its cluster answers, with machines of ours on it.
#[derive(Debug, Clone)]
pub struct NodeAway {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// The node's name.
    pub name: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How many machines of ours are on it.
    pub vms: i64,
}

/// The nodes that are away though machines of ours are on them, longest first, at most a page of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn nodes_away(app: &App) -> Result<Vec<NodeAway>> {
    db::capacity::select_nodes_away(&app.pool, NODES_AWAY_MAX).await
}

/// A storage of a node as the last look saw it. A shared one is listed once for every node that has it.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ClusterStorage)]
pub struct Storage {
    /// The node.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Its type, such as `lvmthin`.
    pub kind: String,
    /// What it may hold, separated by commas.
    pub content: String,
    /// Whether all nodes see the same data.
    pub shared: bool,
    /// Whether the last look saw it usable.
    pub available: bool,
    /// Whether disks of machines are made on it.
    pub holds_disks: bool,
    /// What it holds, in bytes.
    pub total_bytes: i64,
    /// What is in use, in bytes.
    pub used_bytes: i64,
    /// Disks of our machines, in GiB: on a shared storage those of the whole cluster.
    pub sold_gib: i64,
    /// How much may be sold, in GiB.
    pub limit_gib: i64,
}

/// A template that an image is cloned from.
#[derive(Debug, Clone)]
pub struct Template {
    /// The image.
    pub image: ImageId,
    /// The node that has it.
    pub node: String,
    /// Its VMID.
    pub vmid: i32,
}

/// The clusters, by name.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App) -> Result<Vec<Cluster>> {
    db::select(&app.pool, None).await
}

/// A cluster.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn find(app: &App, id: ClusterId) -> Result<Cluster> {
    db::select(&app.pool, Some(id)).await?.pop().ok_or(Error::NotFound("cluster"))
}

/// When a look at a cluster was last answered.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn last_seen(connection: &mut PgConnection, id: ClusterId) -> Result<Option<DateTime<Utc>>> {
    db::select_last_seen(connection, id).await
}

/// The nodes of a cluster, by name.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn nodes(app: &App, id: ClusterId) -> Result<Vec<Node>> {
    db::capacity::select_nodes(&app.pool, id).await
}

/// The storages of a cluster, by name and node.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn storages(app: &App, id: ClusterId) -> Result<Vec<Storage>> {
    db::capacity::select_storages(&app.pool, id).await
}

/// The clusters whose next look is due, by name: those that do not answer are asked less and less often.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn due(app: &App) -> Result<Vec<Cluster>> {
    let now = app.clock.machine_now();
    let mut due = list(app).await?;
    due.retain(|cluster| cluster.next_look_at.is_none_or(|at| at <= now));
    Ok(due)
}

/// Which template each image is cloned from on a cluster.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn templates(app: &App, id: ClusterId) -> Result<Vec<Template>> {
    db::select_templates(&app.pool, id).await
}

/// The template of an image on a cluster.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn template(app: &App, cluster: ClusterId, image: ImageId) -> Result<Option<Template>> {
    Ok(templates(app, cluster).await?.into_iter().find(|template| template.image == image))
}

/// Leases the next free VMID of a cluster to a machine, before anything is sent to Proxmox.
///
/// # Errors
/// `Unavailable` when the range is used up.
pub async fn lease_vmid(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<u32> {
    let vmid = db::leases::lease_vmid(connection, cluster, vm, now).await?;
    vmid.and_then(|vmid| u32::try_from(vmid).ok())
        .ok_or_else(|| Error::Unavailable("The range of VMIDs of this cluster is used up.".into()))
}

/// Leases the very VMID that a guest has which becomes ours, whatever range it is in.
///
/// # Errors
/// `Conflict` when another machine of ours has it.
pub async fn lease_this_vmid(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmid: i32,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<()> {
    if db::leases::lease_this_vmid(connection, cluster, vmid, vm, now).await? {
        return Ok(());
    }
    Err(Error::conflict(format!("VMID {vmid} belongs to another VM of ours.")))
}

/// Gives up a lease for good because a guest that is not ours has the VMID.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn abandon_vmid(connection: &mut PgConnection, cluster: ClusterId, vmid: u32) -> Result<()> {
    db::leases::abandon_vmid(connection, cluster, i32::try_from(vmid).unwrap_or(i32::MAX)).await
}

/// Ends a machine's lease. The VMID rests for ever: backups and leftovers on Proxmox are keyed by it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn release_vmid(connection: &mut PgConnection, vm: VmId, now: DateTime<Utc>) -> Result<()> {
    db::leases::release_vmid(connection, vm, now).await
}

/// Ends one of a machine's leases: a rebuild has two for a while.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn release_lease(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmid: u32,
    now: DateTime<Utc>,
) -> Result<()> {
    db::leases::release_lease(connection, cluster, i32::try_from(vmid).unwrap_or(i32::MAX), now).await
}

/// Follows a cluster to another address of its API.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn set_endpoint(app: &App, id: ClusterId, endpoint: &str) -> Result<()> {
    db::update_endpoint(&app.pool, id, endpoint, app.clock.machine_now()).await
}
