//! Snapshots: the list, one snapshot's config and description. Making, rolling back and removing them are tasks with
//! files of their own.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod rollback;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::cluster::ClusterState;
use crate::cluster::drive::is_unused_key;
use crate::cluster::guest::{Config, Guest};
use crate::cluster::snapshot::Snapshot;
use crate::failure::{Failure, Outcome, Reply};

/// Names that mean something else.
const RESERVED: &[&str] = &["current", "pending"];

impl Guest {
    /// The snapshot `name`, or Proxmox's words for its absence.
    pub(crate) fn snapshot(&self, name: &str) -> Result<&Snapshot, String> {
        self.snapshots.get(name).ok_or_else(|| format!("snapshot '{name}' does not exist"))
    }

    /// Does a snapshot need this volume?
    pub(crate) fn is_in_snapshot(&self, volid: &str) -> bool {
        self.snapshots.values().any(|snapshot| snapshot.refers_to(volid))
    }
}

/// `__snapshot_copy_config`: the options that go into a snapshot and come back from it.
fn copied(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let left_out = ["lock", "description", "vmstate"];
    let kept = values.iter().filter(|(option, _)| !left_out.contains(&option.as_str()) && !is_unused_key(option));
    kept.map(|(option, value)| (option.clone(), value.clone())).collect()
}

/// Frees what only the snapshots of a guest that goes away have: memory, and disks that were detached since.
pub(crate) fn free_all(cluster: &mut ClusterState, guest: &Guest) {
    for snapshot in guest.snapshots.values() {
        let drives = snapshot.disks().into_iter().filter_map(|(_, drive)| drive.volume_id().map(str::to_owned));
        for volid in drives.chain(snapshot.vmstate.clone()).collect::<Vec<_>>() {
            if cluster.volume(&guest.node, &volid).is_ok_and(|volume| volume.vmid == Some(guest.vmid)) {
                cluster.free_volume(&guest.node, &volid);
            }
        }
    }
}

/// GET /nodes/{node}/qemu/{vmid}/snapshot
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let guest = call.cluster.load(call.node(), call.vmid())?;
    let mut snapshots: Vec<(&String, &Snapshot)> = guest.snapshots.iter().collect();
    snapshots.sort_by_key(|(name, snapshot)| (snapshot.time, (*name).clone()));
    let mut entries: Vec<Value> = snapshots
        .into_iter()
        .map(|(name, snapshot)| {
            let mut entry = json!({
                "name": name, "snaptime": snapshot.time, "vmstate": i32::from(snapshot.vmstate.is_some()),
                "description": snapshot.description.as_deref().unwrap_or_default(),
            });
            if let Some(parent) = snapshot.parent() {
                entry["parent"] = json!(parent);
            }
            if let Some(state) = &snapshot.state {
                entry["snapstate"] = json!(state);
            }
            entry
        })
        .collect();
    let mut current = json!({
        "name": "current", "description": "You are here!", "digest": guest.config.digest(),
        "running": i32::from(guest.process.is_some()),
    });
    if let Some(parent) = guest.config.get("parent") {
        current["parent"] = json!(parent);
    }
    entries.push(current);
    Ok(Reply::data(entries))
}

/// GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}
pub(crate) fn index(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(["rollback", "config"].map(|name| json!({ "cmd": name })).to_vec()))
}

/// The options of a snapshot as GET config shows them; the password hash is not hidden there.
pub(crate) fn shown(call: &Call<'_>, snapshot: &Snapshot) -> Map<String, Value> {
    let schema = call.cluster.schema();
    let value = |option: &String, value: &String| match option.as_str() {
        "cipassword" => json!(value),
        _ => Config::shown(schema, option, value),
    };
    let mut shown: Map<String, Value> =
        snapshot.values.iter().map(|(option, text)| (option.clone(), value(option, text))).collect();
    shown.insert("snaptime".to_owned(), json!(snapshot.time));
    for (option, text) in
        [("description", &snapshot.description), ("vmstate", &snapshot.vmstate), ("snapstate", &snapshot.state)]
    {
        if let Some(text) = text {
            shown.insert(option.to_owned(), json!(text));
        }
    }
    shown
}

/// GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config
pub(crate) fn config(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let guest = call.cluster.load(call.node(), call.vmid())?;
    let snapshot = guest.snapshot(call.text("snapname")).map_err(Failure::died)?;
    Ok(Reply::data(shown(call, snapshot)))
}

/// PUT /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config
pub(crate) fn describe(call: &mut Call<'_>) -> Outcome {
    let (node, vmid, name) = (call.node().to_owned(), call.vmid(), call.text("snapname").to_owned());
    let description = call.parameters.text("description").map(str::to_owned);
    let guest = call.cluster.load_mut(&node, vmid)?;
    guest.check_lock().map_err(Failure::died)?;
    guest.snapshot(&name).map_err(Failure::died)?;
    if let (Some(snapshot), Some(text)) = (guest.snapshots.get_mut(&name), description) {
        snapshot.description = Some(text);
    }
    call.cluster.touch();
    Ok(Reply::null())
}

/// The guest of a task, or its error text.
fn loaded<'a>(cluster: &'a ClusterState, node: &str, vmid: u32) -> Result<&'a Guest, String> {
    cluster.load(node, vmid).map_err(|failure| failure.text().to_owned())
}

/// As `loaded`, to change it.
fn loaded_mut<'a>(cluster: &'a mut ClusterState, node: &str, vmid: u32) -> Result<&'a mut Guest, String> {
    cluster.load_mut(node, vmid).map_err(|failure| failure.text().to_owned())
}
