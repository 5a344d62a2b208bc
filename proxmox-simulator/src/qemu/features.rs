//! What the storages under a guest can do: snapshots, linked clones, copies. GET feature asks for it.

use serde_json::json;

use crate::call::Call;
use crate::cluster::ClusterState;
use crate::cluster::drive::{Drive, is_drive_key};
use crate::cluster::storage::{Storage, Volume};
use crate::failure::{Failure, Outcome, Reply};
use crate::options::Release;

/// Can the storage take a snapshot of the volume?
pub(crate) fn can_snapshot(storage: &Storage, volume: &Volume) -> bool {
    match storage.kind.as_str() {
        "lvmthin" | "rbd" | "zfspool" => true,
        _ if storage.is_directory() => volume.format == "qcow2",
        _ => false,
    }
}

/// Can the storage make a linked clone of the volume?
pub(crate) fn can_clone(storage: &Storage, volume: &Volume) -> bool {
    let is_base = volume.name.rsplit('/').next().is_some_and(|name| name.starts_with("base-"));
    is_base && (storage.is_directory() || matches!(storage.kind.as_str(), "lvmthin" | "rbd" | "zfspool"))
}

/// The disks of a set of options, without CD drives, with their storages and volumes.
pub(crate) fn disks<'a>(
    cluster: &'a ClusterState,
    node: &str,
    values: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<Vec<(String, &'a Storage, &'a Volume)>, Failure> {
    let mut found = Vec::new();
    for (option, text) in values.filter(|(option, _)| is_drive_key(option)) {
        let drive = Drive::parse(text);
        let Some(volid) = drive.volume_id().filter(|_| !drive.is_cdrom()) else { continue };
        let (storage, name) = cluster.parse_volume_id(volid)?;
        let volume = cluster.volumes.get(storage, node, name);
        let volume = volume.ok_or_else(|| Failure::died(format!("volume '{volid}' does not exist")))?;
        found.push((option.clone(), storage, volume));
    }
    Ok(found)
}

/// Nodes that reach every storage of the guest.
pub(crate) fn shared_nodes<'a>(
    cluster: &'a ClusterState,
    node: &str,
    values: impl Iterator<Item = (&'a String, &'a String)>,
) -> Vec<String> {
    let drives = values.filter(|(option, _)| is_drive_key(option)).map(|(_, text)| Drive::parse(text));
    let mut storages = drives.filter_map(|drive| cluster.parse_volume_id(drive.volume_id()?).ok().map(|found| found.0));
    if storages.all(|storage| storage.shared) {
        cluster.nodes.iter().map(|node| node.name.clone()).collect()
    } else {
        vec![node.to_owned()]
    }
}

/// GET /nodes/{node}/qemu/{vmid}/feature
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let node = call.node();
    let guest = call.cluster.load(node, call.vmid())?;
    let named = call.parameters.text("snapname");
    let values = match named {
        Some(name) => &guest.snapshot(name).map_err(Failure::died)?.values,
        None => &guest.config.values,
    };
    let disks = disks(call.cluster, node, values.iter())?;
    let has = match call.text("feature") {
        "snapshot" => disks.iter().all(|(_, storage, volume)| can_snapshot(storage, volume)),
        "clone" => disks.iter().all(|(_, storage, volume)| can_clone(storage, volume)),
        // A running guest is mirrored; of a snapshot, LVM-thin and directories can give a copy, raw files cannot.
        _ => named.is_none() || disks.iter().all(|(_, storage, volume)| can_snapshot(storage, volume)),
    };
    Ok(Reply::data(json!({
        "hasFeature": i32::from(has), "nodes": shared_nodes(call.cluster, node, values.iter()),
    })))
}

/// Does the release write one line more when QEMU itself takes the snapshot?
pub(crate) fn tells_of_internal_snapshots(release: Release) -> bool {
    release == Release::V9_2
}
