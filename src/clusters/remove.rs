//! Taking a cluster away that has no machines. Its row stays, without its secret: machines of long ago name it.

use serde_json::json;

use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::ClusterId;
use crate::live;

/// Removes a cluster. Nothing is sent to it: what is on it stays on it.
///
/// # Errors
/// `Conflict` while it has machines; `NotFound` without such a cluster.
pub async fn remove(app: &App, id: ClusterId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    // An order locks this row before it chooses, so none can come in between.
    let cluster = db::lock_settings(&mut transaction, id).await?.ok_or(Error::NotFound("cluster"))?;
    let vms = db::count_vms(&mut transaction, id).await?;
    if vms > 0 {
        let vms = if vms == 1 { "a VM".to_owned() } else { format!("{vms} VMs") };
        return Err(Error::conflict(format!(
            "{} still has {vms}, failed ones counted. Delete them first; maintenance keeps new ones away.",
            cluster.name
        )));
    }
    db::remove(&mut transaction, id, app.clock.machine_now()).await?;
    let detail = json!({ "endpoint": cluster.endpoint });
    let subject = Subject::new("cluster", id, cluster.name);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::ClusterRemoved, subject, detail).await?;
    live::announce(&mut transaction, None, "clusters").await?;
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    app.connections.forget(id);
    Ok(())
}
