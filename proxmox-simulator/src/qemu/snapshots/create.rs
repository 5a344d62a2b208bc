//! POST snapshot: the guest is locked, its memory is written if that was asked for and it runs, then its disks.

use std::time::Duration;

use super::{RESERVED, copied, loaded, loaded_mut};
use crate::call::Call;
use crate::clock::{Micros, seconds};
use crate::cluster::ClusterState;
use crate::cluster::guest::Guest;
use crate::cluster::snapshot::Snapshot;
use crate::failure::{Failure, Outcome, Reply};
use crate::load;
use crate::options::Release;
use crate::qemu::features;
use crate::qemu::volumes::{self, Place, Wanted};
use crate::tasks::Work;

/// What Proxmox allocates for a guest's memory besides twice the memory itself.
const STATE_EXTRA: u64 = 500 << 20;

/// What a `qmsnapshot` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    name: String,
    description: Option<String>,
    memory: bool,
}

/// POST /nodes/{node}/qemu/{vmid}/snapshot
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let name = call.text("snapname").to_owned();
    if RESERVED.contains(&name.as_str()) {
        return Err(Failure::died(format!("unable to use snapshot name '{name}' (reserved name)")));
    }
    let plan = Plan {
        node: call.node().to_owned(),
        vmid: call.vmid(),
        name,
        description: call.parameters.text("description").filter(|text| !text.is_empty()).map(str::to_owned),
        memory: call.parameters.flag("vmstate") == Some(true),
    };
    Ok(Reply::data(call.spawn("qmsnapshot", Some(plan.vmid), Work::Snapshot(plan))))
}

/// Locks the guest and writes what is known of the snapshot into its config.
pub(crate) fn begin(
    plan: &Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    let guest = loaded(cluster, &plan.node, plan.vmid)?;
    if guest.is_template() {
        return Err("you can't take a snapshot if it's a template".to_owned());
    }
    guest.check_lock()?;
    if guest.snapshots.contains_key(&plan.name) {
        return Err(format!("snapshot name '{}' already used", plan.name));
    }
    let disks = features::disks(cluster, &plan.node, guest.config.values.iter());
    let disks = disks.map_err(|failure| failure.text().to_owned())?;
    if !disks.iter().all(|(_, storage, volume)| features::can_snapshot(storage, volume)) {
        return Err("snapshot feature is not available".to_owned());
    }
    let running = guest.process.is_some();
    let mut lines = Vec::new();
    for (option, storage, volume) in &disks {
        lines.push(format!("snapshotting 'drive-{option}' ({})", volume.volid()));
        if storage.kind == "lvmthin" {
            lines.push(format!("  Logical volume \"snap_{}_{}\" created.", volume.name, plan.name));
        }
        let internal = running && storage.is_directory();
        if internal && features::tells_of_internal_snapshots(cluster.settings.release) {
            lines.push("internal qemu snapshot".to_owned());
        }
    }
    let mut snapshot = Snapshot {
        values: copied(&guest.config.values),
        description: plan.description.clone(),
        time: seconds(at),
        vmstate: None,
        state: Some("prepare".to_owned()),
    };
    if plan.memory && running {
        let guest = guest.clone();
        let suffix = format!("state-{}", plan.name);
        snapshot.vmstate =
            Some(save_memory(cluster, &guest, &suffix, at, log).map_err(|failure| failure.text().to_owned())?);
    }
    log.extend(lines);
    let guest = loaded_mut(cluster, &plan.node, plan.vmid)?;
    for other in guest.snapshots.values_mut() {
        if other.parent() == Some(plan.name.as_str()) {
            other.values.remove("parent");
        }
    }
    guest.snapshots.insert(plan.name.clone(), snapshot);
    guest.config.set("lock", "snapshot");
    cluster.touch();
    Ok(cluster.timing().snapshot)
}

/// Writes the memory of a running guest into a volume; returns its id.
pub(crate) fn save_memory(
    cluster: &mut ClusterState,
    guest: &Guest,
    suffix: &str,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<String, Failure> {
    let storage = state_storage(cluster, guest);
    let used = load::memory(guest, at).max(1 << 20);
    let wanted = Wanted {
        storage: &storage,
        format: Some("raw"),
        suffix: Some(suffix),
        size: 2 * (guest.config.memory_mib() << 20) + STATE_EXTRA,
        used,
        parent: None,
    };
    let place = Place { node: &guest.node, vmid: guest.vmid, at };
    let mut volume = volumes::allocate(cluster, &place, wanted, log)?;
    log.push(format!("saving VM state and RAM using storage '{storage}'"));
    let mebibytes = format!("{}.{:02} MiB", used >> 20, ((used & 0xF_FFFF) * 100) >> 20);
    if cluster.settings.release == Release::V8_4 {
        log.push(format!("{mebibytes} in 0s"));
    }
    log.push(format!("completed saving the VM state in 0s, saved {mebibytes}"));
    if cluster.storage(&storage)?.is_directory() {
        // The file is cut to what was written.
        volume.size = used;
        cluster.insert_volume(&guest.node, volume.clone())?;
    }
    Ok(volume.volid())
}

/// `find_vmstate_storage`: the one that is set, else one the guest uses, shared before local, else `local`.
fn state_storage(cluster: &ClusterState, guest: &Guest) -> String {
    if let Some(storage) = guest.config.get("vmstatestorage") {
        return storage.to_owned();
    }
    let disks = features::disks(cluster, &guest.node, guest.config.values.iter()).unwrap_or_default();
    let shared = disks.iter().find(|(_, storage, _)| storage.shared);
    shared.or(disks.first()).map_or_else(|| "local".to_owned(), |(_, storage, _)| storage.id.clone())
}

/// The snapshot is whole.
pub(crate) fn finish(plan: &Plan, cluster: &mut ClusterState) -> Result<u32, String> {
    let guest = loaded_mut(cluster, &plan.node, plan.vmid)?;
    if guest.lock() != Some("snapshot") {
        return Err("missing snapshot lock".to_owned());
    }
    let missing = || format!("snapshot '{}' does not exist", plan.name);
    guest.snapshots.get_mut(&plan.name).ok_or_else(missing)?.state = None;
    guest.config.remove("lock");
    guest.config.set("parent", plan.name.as_str());
    Ok(0)
}

/// Takes the half-made snapshot away again.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    let Ok(guest) = cluster.load_mut(&plan.node, plan.vmid) else { return };
    let half_made = |snapshot: &Snapshot| snapshot.state.as_deref() == Some("prepare");
    if guest.lock() != Some("snapshot") || !guest.snapshots.get(&plan.name).is_some_and(half_made) {
        return;
    }
    guest.config.remove("lock");
    if let Some(volid) = guest.snapshots.remove(&plan.name).and_then(|snapshot| snapshot.vmstate) {
        cluster.free_volume(&plan.node, &volid);
    }
}
