//! GET and POST migrate: what stands in the way, and the move itself. Afterwards the guest is under the other node in
//! every path, and the counters of a running one begin again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::volumes;
use crate::call::Call;
use crate::clock::{Micros, seconds};
use crate::cluster::drive::{Drive, is_drive_key, is_unused_key};
use crate::cluster::guest::Guest;
use crate::cluster::storage::Volume;
use crate::cluster::{ClusterState, dates};
use crate::failure::{Failure, Outcome, Reply};
use crate::options::Release;
use crate::tasks::Work;

/// Parameters only root may give.
const ROOT_ONLY: &[&str] = &["force", "migration_type", "migration_network"];

/// What a `qmigrate` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    target: String,
    online: bool,
    with_local_disks: bool,
    storages: StorageMap,
    began: Micros,
}

/// Where volumes of each storage go: `1` for the same, one for all, or pairs.
#[derive(Clone, Debug, Default)]
struct StorageMap {
    all: Option<String>,
    pairs: BTreeMap<String, String>,
}

impl StorageMap {
    fn parse(text: &str) -> Result<Self, String> {
        let mut map = Self::default();
        for entry in text.split([',', ';', ' ']).filter(|entry| !entry.is_empty()) {
            match entry.split_once(':') {
                Some((from, to)) => {
                    if map.pairs.insert(from.to_owned(), to.to_owned()).is_some() {
                        return Err(format!("duplicate mapping for '{from}'\n"));
                    }
                }
                None if entry == "1" => {}
                None if map.all.is_some() => {
                    return Err(format!("default target ID can only be provided once, got '{entry}'\n"));
                }
                None => map.all = Some(entry.to_owned()),
            }
        }
        Ok(map)
    }

    fn target<'a>(&'a self, storage: &'a str) -> &'a str {
        self.pairs.get(storage).or(self.all.as_ref()).map_or(storage, String::as_str)
    }

    fn targets(&self) -> impl Iterator<Item = &String> {
        self.pairs.values().chain(&self.all)
    }
}

/// One volume a guest refers to, and how.
struct Reference<'a> {
    volume: &'a Volume,
    /// The drive option of the config, if it is attached.
    option: Option<String>,
    cdrom: bool,
    cloud_init: bool,
    unused: bool,
    memory: bool,
    snapshots: Vec<String>,
}

/// Every volume of a guest that only its node has.
fn local_volumes<'a>(cluster: &'a ClusterState, guest: &Guest) -> Vec<Reference<'a>> {
    let mut found: BTreeMap<String, Reference<'a>> = BTreeMap::new();
    let mut note = |text: &str, option: Option<&String>, snapshot: Option<&String>, memory: bool| {
        let drive = Drive::parse(text);
        let Some(volid) = drive.volume_id() else { return };
        let Ok((storage, name)) = cluster.parse_volume_id(volid) else { return };
        if storage.shared {
            return;
        }
        let Some(volume) = cluster.volumes.get(storage, &guest.node, name) else { return };
        let entry = found.entry(volid.to_owned()).or_insert_with(|| Reference {
            volume,
            option: None,
            cdrom: drive.is_cdrom(),
            cloud_init: drive.is_cloud_init(),
            unused: false,
            memory,
            snapshots: Vec::new(),
        });
        if let Some(snapshot) = snapshot {
            entry.snapshots.push(snapshot.clone());
        } else if let Some(option) = option {
            entry.unused = is_unused_key(option);
            entry.option = (!entry.unused).then(|| option.clone());
        }
    };
    for (option, text) in &guest.config.values {
        if is_drive_key(option) || is_unused_key(option) {
            note(text, Some(option), None, false);
        }
    }
    if let Some(volid) = guest.config.get("vmstate") {
        note(volid, None, None, true);
    }
    for (name, snapshot) in &guest.snapshots {
        for (_, text) in snapshot.values.iter().filter(|(option, _)| is_drive_key(option)) {
            note(text, None, Some(name), false);
        }
        if let Some(volid) = &snapshot.vmstate {
            note(volid, None, Some(name), true);
        }
    }
    found.into_values().collect()
}

/// GET /nodes/{node}/qemu/{vmid}/migrate
pub(crate) fn preconditions(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let cluster = &*call.cluster;
    let guest = cluster.load(call.node(), call.vmid())?;
    let release = cluster.settings.release;
    let disks: Vec<Value> = local_volumes(cluster, guest)
        .into_iter()
        .map(|reference| {
            let mut entry = json!({
                "volid": reference.volume.volid(), "shared": 0, "replicate": 1,
                "cdrom": i32::from(reference.cdrom), "is_unused": i32::from(reference.unused),
                "is_vmstate": i32::from(reference.memory), "is_attached": i32::from(reference.option.is_some()),
                "is_tpmstate": i32::from(reference.option.as_deref() == Some("tpmstate0")),
            });
            if release == Release::V9_2 {
                entry["is_cloudinit"] = json!(i32::from(reference.cloud_init));
            }
            if let Some(option) = &reference.option {
                entry["drivename"] = json!(option);
            }
            if !reference.memory {
                entry["size"] = json!(reference.volume.size);
            }
            if !reference.snapshots.is_empty() {
                let names = reference.snapshots.iter().map(|name| (name.clone(), json!(1)));
                entry["referenced_in_snapshot"] = Value::Object(names.collect());
            }
            entry
        })
        .collect();
    let mut answer = Map::from_iter([
        ("running".to_owned(), json!(i32::from(guest.process.is_some()))),
        ("local_disks".to_owned(), json!(disks)),
        ("local_resources".to_owned(), json!([])),
        ("mapped-resources".to_owned(), json!([])),
        ("mapped-resource-info".to_owned(), json!({})),
    ]);
    if guest.process.is_none() {
        let others = cluster.nodes.iter().map(|node| &node.name).filter(|name| *name != call.node());
        answer.insert("allowed_nodes".to_owned(), json!(others.collect::<Vec<_>>()));
        answer.insert("not_allowed_nodes".to_owned(), json!({}));
    }
    if release == Release::V9_2 {
        answer.insert("has-dbus-vmstate".to_owned(), json!(1));
    }
    Ok(Reply::data(answer))
}

/// POST /nodes/{node}/qemu/{vmid}/migrate
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let (node, vmid, target) = (call.node().to_owned(), call.vmid(), call.text("target").to_owned());
    if target == node {
        return Err(Failure::parameter("target", "target is local node."));
    }
    if call.cluster.node(&target).is_none() {
        return Err(Failure::died(format!("no such cluster node '{target}'")));
    }
    let is_root = call.caller.id() == "root@pam";
    if let Some(name) = ROOT_ONLY.iter().find(|name| call.parameters.get(name).is_some() && !is_root) {
        return Err(Failure::parameter(name, "Only root may use this option."));
    }
    let guest = call.cluster.load(&node, vmid)?;
    guest.check_lock().map_err(Failure::died)?;
    let running = guest.process.is_some();
    if running && call.parameters.flag("online") != Some(true) {
        return Err(Failure::died("can't migrate running VM without --online"));
    }
    if let Some(reply) = crate::ha::intercept_migration(call, &target) {
        return Ok(reply);
    }
    let mut storages = StorageMap::default();
    if let Some(text) = call.parameters.text("targetstorage") {
        storages = StorageMap::parse(text)
            .map_err(|error| Failure::parameter("targetstorage", format!("failed to parse storage map: {error}")))?;
        call.caller.require(&format!("/vms/{vmid}"), &["VM.Config.Disk"])?;
        for storage in storages.targets() {
            call.caller.require(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
            call.cluster.storage(storage)?;
        }
    }
    let plan = Plan {
        node,
        vmid,
        target,
        online: running,
        with_local_disks: call.parameters.flag("with-local-disks") == Some(true),
        storages,
        began: call.now,
    };
    Ok(Reply::data(call.spawn("qmigrate", Some(vmid), Work::Migrate(plan))))
}

/// Why a local volume cannot go along.
fn obstacle(plan: &Plan, cluster: &ClusterState, reference: &Reference<'_>) -> Option<String> {
    let storage = cluster.storage(&reference.volume.storage).ok()?;
    if reference.cdrom && !reference.cloud_init {
        return Some("local cdrom image".to_owned());
    }
    if !reference.snapshots.is_empty() && !reference.cloud_init {
        if plan.online {
            return Some("online storage migration not possible if snapshot exists".to_owned());
        }
        if storage.kind != "zfspool" && reference.volume.format != "qcow2" {
            return Some("non-migratable snapshot exists".to_owned());
        }
    }
    if reference.volume.children > 0 {
        return Some("referenced by linked clone(s)".to_owned());
    }
    if plan.online && !plan.with_local_disks && reference.option.is_some() && !reference.cloud_init {
        return Some("can't live migrate attached local disks without with-local-disks option".to_owned());
    }
    let target = plan.storages.target(&storage.id);
    match cluster.storage(target) {
        Ok(target) if target.takes("images") => None,
        Ok(_) => Some(format!("content type 'images' is not available on storage '{target}'")),
        Err(failure) => Some(failure.text().to_owned()),
    }
}

/// Looks for obstacles, then locks the guest.
pub(crate) fn begin(
    plan: &mut Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    let guest = cluster.load(&plan.node, plan.vmid).map_err(|failure| failure.text().to_owned())?;
    guest.check_lock()?;
    plan.online = guest.process.is_some();
    plan.began = at;
    let stamp = dates::stamp(seconds(at));
    let mut say = |text: String| log.push(format!("{stamp} {text}"));
    say(format!("starting migration of VM {} to node '{}' ({})", plan.vmid, plan.target, cluster.settings.address));
    let volumes = local_volumes(cluster, guest);
    let obstacles: Vec<(String, String)> = volumes
        .iter()
        .filter_map(|reference| Some((reference.volume.volid(), obstacle(plan, cluster, reference)?)))
        .collect();
    for reference in volumes.iter().filter(|reference| !reference.cdrom || reference.cloud_init) {
        let how = match (reference.cloud_init, reference.option.is_some(), reference.snapshots.is_empty()) {
            (true, _, _) => "generated, in current VM config",
            (_, true, _) => "attached",
            (_, _, false) => "referenced by snapshot(s)",
            _ => "unused",
        };
        say(format!("found local disk '{}' ({how})", reference.volume.volid()));
    }
    if !obstacles.is_empty() {
        for (volid, text) in &obstacles {
            say(format!("can't migrate local disk '{volid}': {text}"));
        }
        let problem = "Problem found while scanning volumes - can't migrate VM - check log";
        say(format!("ERROR: {problem}"));
        say("aborting phase 1 - cleanup resources".to_owned());
        say(format!("ERROR: migration aborted (duration 00:00:00): {problem}"));
        return Err("migration aborted".to_owned());
    }
    if plan.online {
        say(format!("starting VM {} on remote node '{}'", plan.vmid, plan.target));
        say(format!("starting online/live migration on unix:/run/qemu-server/{}.migrate", plan.vmid));
    } else if !volumes.is_empty() {
        say("copying local disk images".to_owned());
    }
    let used: u64 = volumes.iter().map(|reference| reference.volume.used).sum();
    let timing = cluster.timing();
    let mut duration = timing.migrate;
    if !volumes.is_empty() {
        duration += volumes::time_for(timing.copy_per_gib, used);
    }
    let guest = cluster.load_mut(&plan.node, plan.vmid).map_err(|failure| failure.text().to_owned())?;
    guest.config.set("lock", "migrate");
    cluster.touch();
    Ok(duration)
}

/// Carries volumes, config and process over.
pub(crate) fn finish(plan: Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<u32, String> {
    let text = |failure: Failure| failure.text().to_owned();
    let guest = cluster.load(&plan.node, plan.vmid).map_err(text)?;
    if guest.lock() != Some("migrate") {
        return Err("encountered invalid lock, expected 'migrate'".to_owned());
    }
    let volumes: Vec<Volume> =
        local_volumes(cluster, guest).into_iter().map(|reference| reference.volume.clone()).collect();
    let mut renamed: Vec<(String, String)> = Vec::new();
    for volume in volumes {
        let old = volume.volid();
        let new = carry(&plan, cluster, volume).map_err(text)?;
        if old != new {
            log.push(format!("{} volume '{old}' is '{new}' on the target", dates::stamp(seconds(at))));
            renamed.push((old, new));
        }
    }
    let pid = cluster.tasks.next_pid();
    let guest = cluster.load_mut(&plan.node, plan.vmid).map_err(text)?;
    let configs = guest.snapshots.values_mut().map(|snapshot| &mut snapshot.values);
    for values in configs.chain([&mut guest.config.values, &mut guest.config.pending]) {
        rename(values, &renamed);
    }
    for snapshot in guest.snapshots.values_mut() {
        let new = renamed.iter().find(|(old, _)| snapshot.vmstate.as_ref() == Some(old));
        if let Some((_, new)) = new {
            snapshot.vmstate = Some(new.clone());
        }
    }
    guest.config.remove("lock");
    guest.node.clone_from(&plan.target);
    if let Some(process) = &mut guest.process {
        // The new node's QEMU process counts from zero; the guest in it does not notice.
        (process.pid, process.started) = (pid, at);
    }
    cluster.touch();
    let took = seconds(at.saturating_sub(plan.began));
    log.push(format!(
        "{} migration finished successfully (duration {})",
        dates::stamp(seconds(at)),
        dates::time(took, ":")
    ));
    Ok(0)
}

/// Takes a volume to the target node; returns its volume id there.
fn carry(plan: &Plan, cluster: &mut ClusterState, mut volume: Volume) -> Result<String, Failure> {
    let target = cluster.storage(plan.storages.target(&volume.storage))?.clone();
    cluster.free_volume(&plan.node, &volume.volid());
    let taken = cluster.volumes.get(&target, &plan.target, &volume.name).is_some();
    if target.id != volume.storage || taken {
        let format = if target.is_directory() { volume.format.clone() } else { "raw".to_owned() };
        let own = volume.name.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        let suffix = match own.rsplit_once("-disk-") {
            Some(_) => cluster.volumes.free_disk(&target, &plan.target, plan.vmid, &format)?,
            None => own.splitn(3, '-').nth(2).unwrap_or_default().to_owned(),
        };
        volume.name = target.image_name(plan.vmid, "vm", &suffix, &format);
        volume.format = format;
    }
    // A copy stands for itself.
    volume.parent = None;
    volume.storage.clone_from(&target.id);
    let volid = volume.volid();
    cluster.insert_volume(&plan.target, volume)?;
    Ok(volid)
}

fn rename(values: &mut BTreeMap<String, String>, renamed: &[(String, String)]) {
    for (option, text) in values.iter_mut() {
        if !is_drive_key(option) && !is_unused_key(option) && option != "vmstate" {
            continue;
        }
        let mut drive = Drive::parse(text);
        if let Some((_, new)) = renamed.iter().find(|(old, _)| *old == drive.file) {
            drive.file.clone_from(new);
            *text = drive.print();
        }
    }
}

/// A migration that fails in time gives the guest back where it was.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    if let Ok(guest) = cluster.load_mut(&plan.node, plan.vmid)
        && guest.lock() == Some("migrate")
    {
        guest.config.remove("lock");
    }
}
