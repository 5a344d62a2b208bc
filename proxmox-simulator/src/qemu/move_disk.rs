//! POST move_disk: a disk goes to another storage or into another format, also while the guest runs. PUT unlink: a disk
//! is detached.

use std::time::Duration;

use super::reassign_disk;
use super::update;
use super::volumes::{self, Place, Wanted};
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::drive::Drive;
use crate::cluster::guest::Guest;
use crate::cluster::{ClusterState, sizes};
use crate::failure::{Failure, Outcome, Reply};
use crate::parameters::Given;
use crate::tasks::Work;

/// What a `qmmove` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    disk: String,
    storage: String,
    format: Option<String>,
    delete: bool,
    /// The new volume, once it is allocated.
    made: Option<String>,
}

/// POST /nodes/{node}/qemu/{vmid}/move_disk
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let given = |name: &str| call.parameters.text(name).map(str::to_owned);
    if given("target-vmid").is_some() {
        if given("storage").is_some() {
            let text = "either set 'storage' or 'target-vmid', but not both";
            return Err(Failure::parameters(
                ["storage", "target-vmid"].map(|name| (name.to_owned(), text.to_owned())).into(),
            ));
        }
        return reassign_disk::call(call);
    }
    let Some(storage) = given("storage") else {
        let text = "both 'storage' and 'target-vmid' missing, either needs to be set";
        return Err(Failure::parameters(
            ["storage", "target-vmid"].map(|name| (name.to_owned(), text.to_owned())).into(),
        ));
    };
    call.caller.require(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let plan = Plan {
        node: call.node().to_owned(),
        vmid: call.vmid(),
        disk: call.text("disk").to_owned(),
        storage,
        format: given("format"),
        delete: call.parameters.flag("delete") == Some(true),
        made: None,
    };
    let guest = call.cluster.load(&plan.node, plan.vmid)?;
    guest.check_lock().map_err(Failure::died)?;
    if given("digest").is_some_and(|digest| digest != guest.config.digest()) {
        return Err(Failure::died("detected modified configuration - file changed by other user? Try again."));
    }
    check(&plan, call.cluster, guest)?;
    Ok(Reply::data(call.spawn("qmmove", Some(plan.vmid), Work::MoveDisk(plan))))
}

/// The drive, if it may be moved.
fn check(plan: &Plan, cluster: &ClusterState, guest: &Guest) -> Result<Drive, Failure> {
    let missing = || Failure::died(format!("disk '{}' does not exist", plan.disk));
    let drive = Drive::parse(guest.config.get(&plan.disk).ok_or_else(missing)?);
    if drive.is_cdrom() && !drive.is_cloud_init() {
        return Err(Failure::died("you can't move a cdrom"));
    }
    let volid =
        drive.volume_id().ok_or_else(|| Failure::died(format!("disk '{}' has no associated volume", plan.disk)))?;
    let volume = cluster.volume(&plan.node, volid)?;
    let same_format = plan.format.as_ref().is_none_or(|format| *format == volume.format);
    if volume.storage == plan.storage && same_format {
        return Err(Failure::died("you can't move to the same storage with same format"));
    }
    if plan.delete && guest.is_in_snapshot(volid) {
        return Err(Failure::died("you can't move a disk with snapshots and delete the source"));
    }
    let target = cluster.storage(&plan.storage)?;
    if !target.takes("images") {
        return Err(Failure::died(format!("storage '{}' does not support content-type 'images'", target.id)));
    }
    Ok(drive)
}

/// Allocates the new volume.
pub(crate) fn begin(
    plan: &mut Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    let text = |failure: Failure| failure.text().to_owned();
    let guest = cluster.load(&plan.node, plan.vmid).map_err(text)?;
    guest.check_lock()?;
    let running = guest.process.is_some();
    let drive = check(plan, cluster, guest).map_err(text)?;
    let source = cluster.volume(&plan.node, &drive.file).map_err(text)?.clone();
    log.push(format!("create full clone of drive {} ({})", plan.disk, drive.file));
    let default_format = if cluster.storage(&plan.storage).map_err(text)?.is_directory() { "qcow2" } else { "raw" };
    let wanted = Wanted {
        storage: &plan.storage,
        format: Some(plan.format.as_deref().unwrap_or(default_format)),
        suffix: drive.is_cloud_init().then_some("cloudinit"),
        size: source.size,
        used: source.used,
        parent: None,
    };
    let place = Place { node: &plan.node, vmid: plan.vmid, at };
    let volume = volumes::allocate(cluster, &place, wanted, log).map_err(text)?;
    plan.made = Some(volume.volid());
    if running {
        log.push(format!("drive mirror is starting for drive-{}", plan.disk));
    }
    Ok(volumes::time_for(cluster.timing().copy_per_gib, source.used))
}

/// Puts the new volume in the place of the old one.
pub(crate) fn finish(plan: &Plan, cluster: &mut ClusterState) -> Result<u32, String> {
    let text = |failure: Failure| failure.text().to_owned();
    let guest = cluster.load(&plan.node, plan.vmid).map_err(text)?;
    let mut drive = check(plan, cluster, guest).map_err(text)?;
    let Some(made) = plan.made.clone() else { return Err("storage migration failed: no new volume".to_owned()) };
    let old = std::mem::replace(&mut drive.file, made);
    drive.options.remove("format");
    let size = cluster.volume(&plan.node, &drive.file).map_err(text)?.size;
    drive.options.insert("size".to_owned(), sizes::print(size));
    let config = &mut cluster.load_mut(&plan.node, plan.vmid).map_err(text)?.config;
    config.set(&plan.disk, drive.print());
    if plan.delete {
        cluster.free_volume(&plan.node, &old);
    } else {
        update::add_unused(config, &old);
    }
    cluster.touch();
    Ok(0)
}

/// Frees the half-made copy.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    if let Some(volid) = &plan.made {
        cluster.free_volume(&plan.node, volid);
    }
}

/// PUT /nodes/{node}/qemu/{vmid}/unlink: the config change that removes these options.
pub(crate) fn unlink(call: &mut Call<'_>) -> Outcome {
    if let Some(list) = call.parameters.remove("idlist") {
        call.parameters.set("delete", list);
    }
    if call.parameters.flag("force") == Some(false) {
        call.parameters.remove("force");
    }
    if !matches!(call.parameters.get("delete"), Some(Given::Text(_))) {
        return Err(Failure::died("no options specified"));
    }
    update::call(call)
}
