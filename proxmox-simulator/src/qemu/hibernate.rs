//! suspend with `todisk`: the memory goes to a volume, the process ends, the guest stays locked as `suspended` until a
//! start or resume brings it back.

use std::time::Duration;

use super::process;
use super::snapshots::{create, rollback};
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::guest::Guest;
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// What a `qmsuspend` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    storage: Option<String>,
}

/// POST status/suspend with `todisk`; the guest is known to run.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    call.caller.require(&format!("/vms/{vmid}"), &["VM.Config.Disk"])?;
    let storage = call.parameters.text("statestorage").map(str::to_owned);
    if let Some(storage) = &storage {
        call.cluster.storage(storage)?;
        call.caller.require(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    }
    let guest = call.cluster.load_mut(&node, vmid)?;
    guest.check_lock().map_err(Failure::died)?;
    guest.config.set("lock", "suspending");
    Ok(Reply::data(call.spawn("qmsuspend", Some(vmid), Work::Hibernate(Plan { node, vmid, storage }))))
}

/// Allocates the volume and writes the memory.
pub(crate) fn begin(
    plan: &mut Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    let text = |failure: Failure| failure.text().to_owned();
    let mut guest = cluster.load(&plan.node, plan.vmid).map_err(text)?.clone();
    if guest.process.is_none() {
        return Err(format!("VM {} not running", plan.vmid));
    }
    if let Some(storage) = &plan.storage {
        guest.config.set("vmstatestorage", storage.as_str());
    }
    let today = crate::cluster::dates::date(crate::clock::seconds(at), "-");
    let volid = create::save_memory(cluster, &guest, &format!("state-suspend-{today}"), at, log).map_err(text)?;
    cluster.load_mut(&plan.node, plan.vmid).map_err(text)?.config.set("vmstate", volid);
    Ok(cluster.timing().hibernate)
}

/// The memory is saved, the process ends.
pub(crate) fn finish(
    plan: &Plan,
    cluster: &mut ClusterState,
    _at: Micros,
    _log: &mut Vec<String>,
) -> Result<u32, String> {
    let guest = cluster.load_mut(&plan.node, plan.vmid).map_err(|failure| failure.text().to_owned())?;
    if guest.process.take().is_none() {
        return Err(format!("VM {} not running", plan.vmid));
    }
    guest.config.set("lock", "suspended");
    cluster.touch();
    Ok(0)
}

/// A hibernation that fails gives the guest back as it was.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    let Ok(guest) = cluster.load_mut(&plan.node, plan.vmid) else { return };
    if guest.lock() == Some("suspending") {
        guest.config.remove("lock");
        if let Some(volid) = guest.config.remove("vmstate") {
            cluster.free_volume(&plan.node, &volid);
        }
    }
}

/// Brings a suspended guest back to life and frees its saved memory.
pub(crate) fn wake(cluster: &mut ClusterState, node: &str, vmid: u32, at: Micros, log: &mut Vec<String>) {
    let Ok(guest) = cluster.load_mut(node, vmid) else { return };
    guest.config.remove("lock");
    match guest.config.remove("vmstate") {
        Some(volid) => {
            log.push("Resuming suspended VM".to_owned());
            rollback::resume(cluster, vmid, at, log);
            cluster.free_volume(node, &volid);
            log.push("Resumed VM, removing state".to_owned());
        }
        None => process::start(cluster, vmid, at),
    }
    cluster.touch();
}

/// Was the guest stopped and is its process there for the backup only?
pub(crate) fn waits_in_backup(guest: &Guest) -> bool {
    guest.lock() == Some("backup") && guest.process.as_ref().is_some_and(|process| process.prelaunch)
}
