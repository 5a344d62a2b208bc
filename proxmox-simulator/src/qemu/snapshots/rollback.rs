//! POST rollback: the guest stops, its disks and its options are those of the snapshot again; with its memory saved it
//! runs on from there. A rollback that dies leaves its lock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{copied, loaded, loaded_mut};
use crate::call::Call;
use crate::clock::{Micros, micros};
use crate::cluster::drive::{Drive, drives, is_unused_key};
use crate::cluster::guest::{Config, Process};
use crate::cluster::snapshot::Snapshot;
use crate::cluster::{ClusterState, sizes};
use crate::failure::{Outcome, Reply};
use crate::options::Release;
use crate::qemu::{power, process, update};
use crate::tasks::Work;

/// What a `qmrollback` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    name: String,
    start: bool,
}

/// POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let start = call.parameters.flag("start") == Some(true);
    let vmid = call.vmid();
    if start {
        call.caller.require(&format!("/vms/{vmid}"), &["VM.PowerMgmt"])?;
    }
    let plan = Plan { node: call.node().to_owned(), vmid, name: call.text("snapname").to_owned(), start };
    Ok(Reply::data(call.spawn("qmrollback", Some(vmid), Work::Rollback(plan))))
}

/// ZFS goes back to its newest snapshot only.
fn check_newest(cluster: &ClusterState, snapshots: &BTreeMap<String, Snapshot>, name: &str) -> Result<(), String> {
    let Some(snapshot) = snapshots.get(name) else { return Ok(()) };
    for (_, drive) in snapshot.disks() {
        let Some(volid) = drive.volume_id() else { continue };
        let on_zfs = cluster.parse_volume_id(volid).is_ok_and(|(storage, _)| storage.kind == "zfspool");
        let newer = |other: &Snapshot| other.refers_to(volid) && other.parent() == Some(name);
        if on_zfs && snapshots.values().any(newer) {
            return Err(format!("can't rollback, '{name}' is not most recent snapshot on '{volid}'"));
        }
    }
    Ok(())
}

/// Stops the guest and locks it.
pub(crate) fn begin(
    plan: &Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    let guest = loaded(cluster, &plan.node, plan.vmid)?;
    if guest.is_template() {
        return Err("you can't rollback if vm is a template".to_owned());
    }
    let snapshot = guest.snapshot(&plan.name)?;
    check_newest(cluster, &guest.snapshots, &plan.name)?;
    if let Some(state) = &snapshot.state {
        return Err(format!("unable to rollback to incomplete snapshot (snapstate = {state})"));
    }
    guest.check_lock()?;
    for (_, drive) in snapshot.disks() {
        let on_rbd = drive.volume_id().and_then(|volid| cluster.parse_volume_id(volid).ok());
        if on_rbd.is_some_and(|(storage, _)| storage.kind == "rbd") {
            log.push("Rolling back to snapshot: 100% complete...done.".to_owned());
        }
    }
    if guest.process.is_some() {
        process::end(cluster, plan.vmid, at);
    }
    loaded_mut(cluster, &plan.node, plan.vmid)?.config.set("lock", "rollback");
    cluster.touch();
    Ok(cluster.timing().rollback)
}

/// Brings disks and options back, and the process when its memory was saved.
pub(crate) fn finish(
    plan: &Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<u32, String> {
    let guest = loaded(cluster, &plan.node, plan.vmid)?;
    let snapshot = guest.snapshot(&plan.name)?.clone();
    if guest.process.is_some() {
        return Err(format!("unable to rollback vm {}: vm is running", plan.vmid));
    }
    if guest.lock() != Some("rollback") {
        return Err("got wrong lock".to_owned());
    }
    let mut values: BTreeMap<String, String> = guest.config.values.clone();
    values.retain(|option, _| option == "description" || is_unused_key(option));
    values.extend(copied(&snapshot.values));
    values.insert("parent".to_owned(), plan.name.clone());
    let mut config = Config { values, ..Config::default() };
    // A disk that came after the snapshot is unused now.
    for (_, drive) in drives(&guest.config) {
        let Some(volid) = drive.volume_id().filter(|_| !drive.is_cdrom()) else { continue };
        if !snapshot.disks().iter().any(|(_, old)| old.volume_id() == Some(volid)) {
            update::add_unused(&mut config, volid);
        }
    }
    for (_, drive) in snapshot.disks() {
        bring_back_size(cluster, &plan.node, &drive);
    }
    loaded_mut(cluster, &plan.node, plan.vmid)?.config = config;
    if snapshot.vmstate.is_some() {
        resume(cluster, plan.vmid, at, log);
    } else if plan.start {
        power::check_start(cluster, &plan.node, plan.vmid)?;
        power::finish_start(cluster, &plan.node, plan.vmid, at, log)?;
    }
    cluster.touch();
    Ok(0)
}

fn bring_back_size(cluster: &mut ClusterState, node: &str, drive: &Drive) {
    let size = drive.options.get("size").and_then(|size| sizes::parse(size));
    let (Some(volid), Some(size)) = (drive.volume_id(), size) else { return };
    let Ok((storage, name)) = cluster.parse_volume_id(volid) else { return };
    let (storage, name) = (storage.clone(), name.to_owned());
    cluster.volumes.resize(&storage, node, &name, size);
}

/// A process that goes on from saved memory: it is new and counts from zero, but the guest does not boot.
pub(crate) fn resume(cluster: &mut ClusterState, vmid: u32, at: Micros, log: &mut Vec<String>) {
    let Some(guest) = cluster.guest(vmid) else { return };
    if drives(&guest.config).iter().any(|(_, drive)| drive.is_cloud_init()) {
        log.push("generating cloud-init ISO".to_owned());
    }
    if cluster.settings.release == Release::V9_2 && guest.config.get("net0").is_some() {
        log.push("netdev net0: not adding 'host_mtu' parameter for migration compat".to_owned());
    }
    let booted = at.saturating_sub(micros(cluster.timing().guest_boot));
    let pid = cluster.tasks.next_pid();
    if let Some(guest) = cluster.guests.get_mut(&vmid) {
        guest.process = Some(Process { pid, started: at, booted, paused: false, prelaunch: false });
    }
}
