//! A look at a cluster: one request for everything on it. An answer proves that it is there; no answer is not proof of
//! anything about its machines, so they become unknown and nobody pays for that time.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use proxmox_client::{Resource, ResourceKind};

use super::{Trouble, db};
use crate::app::App;
use crate::error::{Result, is_plain_line};
use crate::ids::ClusterId;
use crate::live;

/// How long the next look waits after the first that was not answered, in seconds. It doubles with each further one.
const BACK_OFF_SECONDS: i64 = 10;
/// The longest time between two looks, in seconds.
const BACK_OFF_SECONDS_MAX: i64 = 300;

/// A node in an answer.
pub(super) struct SeenNode {
    pub name: String,
    pub online: bool,
    pub cpu_count: i32,
    pub cpu_used_percent: i32,
    pub memory_bytes: i64,
    pub memory_used_bytes: i64,
}

/// A storage of a node in an answer.
pub(super) struct SeenStorage {
    pub node: String,
    pub name: String,
    pub kind: String,
    pub content: String,
    pub shared: bool,
    pub available: bool,
    pub total_bytes: i64,
    pub used_bytes: i64,
}

/// What a look saw.
#[derive(Debug)]
pub struct Look {
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// When the last good look before this one was.
    pub before: Option<DateTime<Utc>>,
    /// Everything the cluster listed.
    pub resources: Vec<Resource>,
    /// Whether the cluster did not answer the look before this one.
    pub came_back: bool,
}

/// Asks a cluster for everything on it and writes down its nodes, its storages and its health.
///
/// # Errors
/// `Away` and the like when it does not answer; that is written down too.
pub async fn look(app: &App, cluster: ClusterId) -> Result<Look, Trouble> {
    let client = app.connections.client(app, cluster).await?;
    let answer = client.resources(None).await;
    let at = app.clock.now();
    match answer {
        Ok(mut resources) => {
            // A name that cannot be stored is no node's.
            resources.retain(|resource| resource.node.as_deref().is_none_or(is_plain_line));
            let mut transaction = app.pool.begin().await?;
            let (before, came_back) = db::mark_seen(&mut transaction, cluster, at).await?;
            let changed = db::upsert_nodes(&mut transaction, cluster, &nodes_of(&resources), at).await?;
            db::upsert_storages(&mut transaction, cluster, &storages_of(&resources), at).await?;
            if came_back || changed {
                live::announce(&mut transaction, None, "clusters").await?;
                live::announce(&mut transaction, None, "exceptions").await?;
                live::announce(&mut transaction, None, "vms").await?;
            }
            transaction.commit().await?;
            Ok(Look { at, before, resources, came_back })
        }
        Err(error) => {
            let trouble = Trouble::from(error);
            let mut transaction = app.pool.begin().await?;
            let next = |failed_looks| app.clock.machine_now() + back_off(failed_looks);
            if db::mark_unreachable(&mut transaction, cluster, at, &trouble.to_string(), next).await? {
                live::announce(&mut transaction, None, "clusters").await?;
                live::announce(&mut transaction, None, "exceptions").await?;
                live::announce(&mut transaction, None, "vms").await?;
            }
            transaction.commit().await?;
            Err(trouble)
        }
    }
}

/// How long to wait after so many looks in a row that were not answered.
fn back_off(failed_looks: i32) -> TimeDelta {
    let doublings = u32::try_from(failed_looks.saturating_sub(1)).unwrap_or(0);
    let factor = 1_i64.checked_shl(doublings).filter(|factor| *factor > 0).unwrap_or(i64::MAX);
    TimeDelta::seconds(BACK_OFF_SECONDS.saturating_mul(factor).min(BACK_OFF_SECONDS_MAX))
}

/// Whether a node that is listed is there. One that has not reported is as far away as one that is off.
#[must_use]
pub fn is_online(node: &Resource) -> bool {
    node.status.as_deref() == Some("online")
}

/// The nodes, each once: a statement cannot write one row twice.
fn nodes_of(resources: &[Resource]) -> Vec<SeenNode> {
    let mut names = HashSet::new();
    let of_kind = resources.iter().filter(|resource| resource.kind == ResourceKind::Node);
    of_kind
        .filter_map(|resource| {
            let name = resource.node.clone().filter(|name| names.insert(name.clone()))?;
            Some(SeenNode {
                name,
                online: is_online(resource),
                cpu_count: resource.maxcpu.map_or(0, whole),
                cpu_used_percent: resource.cpu.map_or(0, percent),
                memory_bytes: bytes(resource.maxmem),
                memory_used_bytes: bytes(resource.mem),
            })
        })
        .collect()
}

/// The storages of every node, each once.
fn storages_of(resources: &[Resource]) -> Vec<SeenStorage> {
    let mut known = HashSet::new();
    let of_kind = resources.iter().filter(|resource| resource.kind == ResourceKind::Storage);
    of_kind
        .filter_map(|resource| {
            let (node, name) = (resource.node.clone()?, resource.storage.clone()?);
            let plain = |text: &Option<String>| text.clone().filter(|text| is_plain_line(text)).unwrap_or_default();
            (is_plain_line(&name) && known.insert((node.clone(), name.clone()))).then(|| SeenStorage {
                node,
                name,
                kind: plain(&resource.plugintype),
                content: plain(&resource.content),
                shared: resource.shared,
                available: resource.status.as_deref() == Some("available"),
                total_bytes: bytes(resource.maxdisk),
                used_bytes: bytes(resource.disk),
            })
        })
        .collect()
}

/// A load that Proxmox answers as a share, in whole percent.
#[expect(clippy::float_arithmetic, reason = "a load is shown, never charged")]
fn percent(share: f64) -> i32 {
    whole(share * 100.0).clamp(0, 100)
}

fn bytes(value: Option<u64>) -> i64 {
    value.and_then(|value| i64::try_from(value).ok()).unwrap_or(0)
}

/// A count of processors, which Proxmox answers as a float.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a count of processors is far below the limit, and a float beyond it saturates"
)]
fn whole(value: f64) -> i32 {
    value as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_are_not_answered_come_less_and_less_often() {
        let seconds: Vec<_> = (1..9).map(|failed| back_off(failed).num_seconds()).collect();

        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(back_off(i32::MAX).num_seconds(), 300);
    }
}
