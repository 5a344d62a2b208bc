//! POST move_disk with `target-vmid`: a disk goes to another VM of the node; its volume gets a name of the new owner.

use std::time::Duration;

use crate::call::Call;
use crate::cluster::ClusterState;
use crate::cluster::drive::{Drive, is_unused_key};
use crate::cluster::storage::Storage;
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// What such a `qmmove` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    disk: String,
    target: u32,
    target_disk: String,
    digest: Option<String>,
    target_digest: Option<String>,
}

/// The call, once it is known that `target-vmid` is given.
pub(super) fn call(call: &mut Call<'_>) -> Outcome {
    let given = |name: &str| call.parameters.text(name).map(str::to_owned);
    let target: u32 = call.parameters.number("target-vmid").unwrap_or_default();
    call.caller.require(&format!("/vms/{target}"), &["VM.Config.Disk"])?;
    if target == call.vmid() {
        return Err(Failure::parameter("target-vmid", "must be different than source VMID to reassign disk"));
    }
    let disk = call.text("disk").to_owned();
    let plan = Plan {
        node: call.node().to_owned(),
        vmid: call.vmid(),
        target,
        target_disk: given("target-disk").unwrap_or_else(|| disk.clone()),
        disk,
        digest: given("digest"),
        target_digest: given("target-digest"),
    };
    check(&plan, call.cluster)?;
    let id = format!("{}-{}>{}-{}", plan.vmid, plan.disk, plan.target, plan.target_disk);
    let locks = plan.vmid;
    Ok(Reply::data(call.spawn_as("qmmove", id, Some(locks), Work::ReassignDisk(plan))))
}

/// The drive and its storage, if the disk may go there.
fn check(plan: &Plan, cluster: &ClusterState) -> Result<(Drive, Storage), Failure> {
    let Plan { vmid, disk, target, target_disk, .. } = plan;
    let find = |vmid: u32, text: String| cluster.guest(vmid).ok_or_else(|| Failure::died(text));
    let from = find(*vmid, format!("could not find VM {vmid}"))?;
    let to = find(*target, format!("could not find target VM {target}"))?;
    if from.node != to.node {
        let text = format!("Both VMs need to be on the same node ({} != {})", from.node, to.node);
        return Err(Failure::died(text));
    }
    for (guest, digest) in [(from, &plan.digest), (to, &plan.target_digest)] {
        guest.check_lock().map_err(Failure::died)?;
        if digest.as_ref().is_some_and(|digest| *digest != guest.config.digest()) {
            return Err(Failure::died("detected modified configuration - file changed by other user? Try again."));
        }
    }
    if from.is_template() || to.is_template() {
        return Err(Failure::died("Can't move disks from or to template VMs"));
    }
    let missing = || Failure::died(format!("Disk '{disk}' for VM '{vmid}' does not exist"));
    let drive = Drive::parse(from.config.get(disk).ok_or_else(missing)?);
    if to.config.get(target_disk).is_some() {
        let text = format!("Target disk key '{target_disk}' is already in use for VM '{target}'");
        return Err(Failure::died(text));
    }
    let Some(volid) = drive.volume_id() else {
        return Err(Failure::died(format!("disk '{disk}' has no associated volume")));
    };
    if drive.is_cdrom() {
        return Err(Failure::died("CD drive contents can't be moved to another VM"));
    }
    if from.is_in_snapshot(volid) {
        return Err(Failure::died("Can't move disk used by a snapshot to another VM"));
    }
    if from.process.is_some() && !is_unused_key(disk) {
        let text = "Cannot move disk to another VM while the source VM is running - detach first";
        return Err(Failure::died(text));
    }
    let storage = cluster.storage(&cluster.volume(&plan.node, volid)?.storage)?.clone();
    Ok((drive, storage))
}

pub(crate) fn begin(plan: &Plan, cluster: &ClusterState, log: &mut Vec<String>) -> Result<Duration, String> {
    check(plan, cluster).map_err(|failure| failure.text().to_owned())?;
    log.push(format!("moving disk '{}' from VM '{}' to '{}'", plan.disk, plan.vmid, plan.target));
    Ok(cluster.timing().configure)
}

pub(crate) fn finish(plan: &Plan, cluster: &mut ClusterState, log: &mut Vec<String>) -> Result<u32, String> {
    let text = |failure: Failure| failure.text().to_owned();
    let (mut drive, storage) = check(plan, cluster).map_err(text)?;
    let format = cluster.volume(&plan.node, &drive.file).map_err(text)?.format.clone();
    let suffix = cluster.volumes.free_disk(&storage, &plan.node, plan.target, &format).map_err(text)?;
    let (_, name) = drive.file.split_once(':').ok_or("the disk has no volume")?;
    let mut volume = cluster.volumes.remove(&storage, &plan.node, name).ok_or("the volume is gone")?;
    volume.name = storage.image_name(plan.target, "vm", &suffix, &format);
    volume.vmid = Some(plan.target);
    drive.file = volume.volid();
    cluster.volumes.insert(&storage, &plan.node, volume);
    drop(cluster.load_mut(&plan.node, plan.vmid).map_err(text)?.config.remove(&plan.disk));
    log.push(format!("removing disk '{}' from VM '{}' config", plan.disk, plan.vmid));
    let stored = if is_unused_key(&plan.target_disk) { drive.file.clone() } else { drive.print() };
    cluster.load_mut(&plan.node, plan.target).map_err(text)?.config.set(&plan.target_disk, stored);
    log.push(format!("update VM {}: -{} {}", plan.target, plan.target_disk, drive.file));
    cluster.touch();
    Ok(0)
}
