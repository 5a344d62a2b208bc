//! POST template: turns a stopped VM into a template. There is no way back.

use crate::call::Call;
use crate::cluster::ClusterState;
use crate::cluster::drive::{Drive, drives};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// The call.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let guest = call.cluster.load(call.node(), call.vmid())?;
    guest.check_lock().map_err(Failure::died)?;
    if !guest.snapshots.is_empty() {
        return Err(Failure::died("unable to create template, because VM contains snapshots"));
    }
    if guest.is_template() && call.parameters.get("disk").is_none() {
        return Err(Failure::died("you can't convert a template to a template"));
    }
    if guest.process.is_some() {
        return Err(Failure::died("you can't convert a VM to template if VM is running"));
    }
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    Ok(Reply::data(call.spawn("qmtemplate", Some(vmid), Work::Template { node, vmid })))
}

/// Renames the disks to base images and sets the flag.
pub(crate) fn finish(cluster: &mut ClusterState, node: &str, vmid: u32) -> Result<u32, String> {
    let text = |failure: Failure| failure.text().to_owned();
    let guest = cluster.load(node, vmid).map_err(text)?;
    for (option, mut drive) in drives(&guest.config.clone()) {
        let Some(volid) = drive.volume_id().filter(|_| !drive.is_cdrom()).map(str::to_owned) else { continue };
        let Some(mut volume) = cluster.free_volume(node, &volid) else { continue };
        volume.name = volume.name.replacen(&format!("vm-{vmid}-"), &format!("base-{vmid}-"), 1);
        drive.file = volume.volid();
        cluster.insert_volume(node, volume).map_err(text)?;
        cluster.load_mut(node, vmid).map_err(text)?.config.set(&option, Drive::print(&drive));
    }
    cluster.load_mut(node, vmid).map_err(text)?.config.set("template", "1");
    Ok(0)
}
