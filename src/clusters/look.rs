//! A look at a cluster: one request for everything on it. An answer proves that it is there; no answer is not proof of
//! anything about its machines, so they become unknown and nobody pays for that time.

use chrono::{DateTime, Utc};
use proxmox_client::{Resource, ResourceKind};

use super::{Trouble, db};
use crate::app::App;
use crate::error::{Result, is_plain_line};
use crate::ids::ClusterId;
use crate::live;

/// What a look saw.
#[derive(Debug)]
pub struct Look {
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// Everything the cluster listed.
    pub resources: Vec<Resource>,
    /// Whether the cluster did not answer the look before this one.
    pub came_back: bool,
}

/// Asks a cluster for everything on it and writes down its nodes and its health.
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
            let came_back = db::mark_seen(&mut transaction, cluster, at).await?;
            for resource in &resources {
                if resource.kind == ResourceKind::Node
                    && let Some(name) = &resource.node
                {
                    let node = super::Node {
                        name: name.clone(),
                        online: resource.status.as_deref() == Some("online"),
                        cpu_count: resource.maxcpu.map_or(0, whole),
                        memory_bytes: bytes(resource.maxmem),
                        memory_used_bytes: bytes(resource.mem),
                        memory_sold_bytes: 0,
                    };
                    db::upsert_node(&mut transaction, cluster, &node, at).await?;
                }
            }
            if came_back {
                live::announce(&mut transaction, None, "clusters").await?;
                live::announce(&mut transaction, None, "exceptions").await?;
                live::announce(&mut transaction, None, "vms").await?;
            }
            transaction.commit().await?;
            Ok(Look { at, resources, came_back })
        }
        Err(error) => {
            let trouble = Trouble::from(error);
            let mut transaction = app.pool.begin().await?;
            if db::mark_unreachable(&mut transaction, cluster, at, &trouble.to_string()).await? {
                live::announce(&mut transaction, None, "clusters").await?;
                live::announce(&mut transaction, None, "exceptions").await?;
                live::announce(&mut transaction, None, "vms").await?;
            }
            transaction.commit().await?;
            Err(trouble)
        }
    }
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
