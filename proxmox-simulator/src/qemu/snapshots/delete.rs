//! DELETE snapshot: also in the middle of the chain; its children get its parent. A removal that dies leaves its lock,
//! and the snapshot marked.

use std::time::Duration;

use super::{loaded, loaded_mut};
use crate::call::Call;
use crate::cluster::ClusterState;
use crate::cluster::drive::drives;
use crate::failure::{Outcome, Reply};
use crate::qemu::update;
use crate::tasks::Work;

/// What a `qmdelsnapshot` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    name: String,
    /// Go on when a disk's snapshot cannot be removed.
    force: bool,
}

/// DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let plan = Plan {
        node: call.node().to_owned(),
        vmid: call.vmid(),
        name: call.text("snapname").to_owned(),
        force: call.parameters.flag("force") == Some(true),
    };
    Ok(Reply::data(call.spawn("qmdelsnapshot", Some(plan.vmid), Work::DeleteSnapshot(plan))))
}

/// Locks the guest and marks the snapshot.
pub(crate) fn begin(plan: &Plan, cluster: &mut ClusterState, log: &mut Vec<String>) -> Result<Duration, String> {
    let guest = loaded(cluster, &plan.node, plan.vmid)?;
    let snapshot = guest.snapshot(&plan.name)?;
    guest.check_lock()?;
    if guest.is_template() {
        return Err("you can't delete a snapshot if vm is a template".to_owned());
    }
    for (_, drive) in snapshot.disks() {
        let Some((storage, name)) = drive.volume_id().and_then(|volid| cluster.parse_volume_id(volid).ok()) else {
            continue;
        };
        match storage.kind.as_str() {
            "lvmthin" => log.push(format!("  Logical volume \"snap_{name}_{}\" successfully removed.", plan.name)),
            "rbd" => log.push("Removing snap: 100% complete...done.".to_owned()),
            _ => {}
        }
    }
    let guest = loaded_mut(cluster, &plan.node, plan.vmid)?;
    guest.config.set("lock", "snapshot-delete");
    if let Some(snapshot) = guest.snapshots.get_mut(&plan.name) {
        snapshot.state = Some("delete".to_owned());
    }
    cluster.touch();
    Ok(cluster.timing().snapshot)
}

/// Takes memory and disk snapshots away, then the entry.
pub(crate) fn finish(plan: &Plan, cluster: &mut ClusterState) -> Result<u32, String> {
    let guest = loaded(cluster, &plan.node, plan.vmid)?;
    if guest.lock() != Some("snapshot-delete") {
        return Err("encountered invalid lock, expected 'snapshot-delete'".to_owned());
    }
    let snapshot = guest.snapshot(&plan.name)?.clone();
    for (_, drive) in snapshot.disks() {
        let Some(volid) = drive.volume_id() else { continue };
        if let Err(failure) = cluster.volume(&plan.node, volid)
            && !plan.force
        {
            return Err(failure.text().to_owned());
        }
    }
    if let Some(volid) = &snapshot.vmstate {
        cluster.free_volume(&plan.node, volid);
    }
    let guest = loaded_mut(cluster, &plan.node, plan.vmid)?;
    let parent = snapshot.parent();
    guest.snapshots.remove(&plan.name);
    let configs = guest.snapshots.values_mut().map(|other| &mut other.values);
    for values in configs.chain(std::iter::once(&mut guest.config.values)) {
        if values.get("parent") == Some(&plan.name) {
            match parent {
                Some(parent) => drop(values.insert("parent".to_owned(), parent.to_owned())),
                None => drop(values.remove("parent")),
            }
        }
    }
    guest.config.remove("lock");
    // A disk only this snapshot still had is unused now.
    let attached: Vec<String> =
        drives(&guest.config).iter().filter_map(|(_, drive)| drive.volume_id().map(str::to_owned)).collect();
    for (_, drive) in snapshot.disks() {
        let Some(volid) = drive.volume_id() else { continue };
        if !attached.iter().any(|one| one == volid) && !guest.is_in_snapshot(volid) {
            update::add_unused(&mut guest.config, volid);
        }
    }
    cluster.touch();
    Ok(0)
}
