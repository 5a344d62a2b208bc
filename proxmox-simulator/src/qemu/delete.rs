//! DELETE /nodes/{node}/qemu/{vmid}: the guest, its config and its volumes.

use std::time::Duration;

use super::create::free_all;
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::drive::drives;
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// What a `qmdestroy` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    purge: bool,
    unreferenced: bool,
}

/// The call.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    let guest = call.cluster.load(&node, vmid)?;
    if guest.config.flag("protection") {
        return Err(Failure::died(format!("can't remove VM {vmid} - protection mode enabled")));
    }
    if guest.process.is_some() {
        return Err(Failure::died(format!("VM {vmid} is running - destroy failed")));
    }
    let flag = |name: &str| call.parameters.flag(name) == Some(true);
    if call.cluster.ha.resources.contains_key(&vmid) && !flag("purge") {
        return Err(Failure::died(format!(
            "unable to remove VM {vmid} - used in HA resources and purge parameter not set."
        )));
    }
    let plan = Plan { node, vmid, purge: flag("purge"), unreferenced: flag("destroy-unreferenced-disks") };
    Ok(Reply::data(call.spawn("qmdestroy", Some(vmid), Work::Destroy(plan))))
}

fn check(plan: &Plan, cluster: &ClusterState) -> Result<(), String> {
    let guest = cluster.load(&plan.node, plan.vmid).map_err(|failure| failure.text().to_owned())?;
    if guest.process.is_some() {
        return Err(format!("VM {} is running - destroy failed", plan.vmid));
    }
    if guest.lock() != Some("suspended") {
        guest.check_lock()?;
    }
    for (_, drive) in drives(&guest.config) {
        let Some(volid) = drive.volume_id() else { continue };
        if cluster.volume(&plan.node, volid).is_ok_and(|volume| volume.children > 0) {
            return Err(format!("base volume '{volid}' is still in use by linked cloned"));
        }
    }
    Ok(())
}

pub(crate) fn begin(plan: &Plan, cluster: &ClusterState) -> Result<Duration, String> {
    check(plan, cluster)?;
    Ok(cluster.timing().delete)
}

pub(crate) fn finish(plan: Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<u32, String> {
    check(&plan, cluster)?;
    let Some(guest) = cluster.remove_guest(plan.vmid) else { return Ok(0) };
    cluster.forget_rights_of(plan.vmid);
    free_all(cluster, &plan.node, plan.vmid, &guest.config);
    super::snapshots::free_all(cluster, &guest);
    if plan.unreferenced {
        for storage in cluster.storages.clone() {
            let owned = cluster.volumes.on(&storage, &plan.node).filter(|volume| volume.vmid == Some(plan.vmid));
            for name in owned.map(|volume| volume.name.clone()).collect::<Vec<_>>() {
                cluster.volumes.remove(&storage, &plan.node, &name);
            }
        }
    }
    if plan.purge {
        cluster.ha.resources.remove(&plan.vmid);
        crate::backups::jobs::forget(cluster, plan.vmid);
        log.push(format!("purging VM {} from related configurations..", plan.vmid));
    }
    cluster.wake_waiting(guest.waiting, at);
    Ok(0)
}
