//! PUT and POST config: changes, removals, reverts; at once, or pending while the guest runs.

use std::collections::BTreeMap;

use super::options::{self, CLOUD_INIT};
use super::volumes::{self, Place};
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::drive::{Drive, is_drive_key, is_network_key, is_unused_key};
use crate::cluster::guest::{Config, Guest};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// Parameters of the call that are no config options.
const NO_OPTIONS: &[&str] =
    &["node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay", "import-working-storage"];
/// Options that change at once even while the guest runs, besides those of cloud-init.
const AT_ONCE: &[&str] = &[
    "description",
    "hookscript",
    "lock",
    "name",
    "onboot",
    "protection",
    "shares",
    "startup",
    "tags",
    "vmstatestorage",
];
/// Options whose new value reaches the running process.
const HOT: &[&str] = &["balloon", "cpulimit", "cpuunits"];
/// `unusedN` goes up to here.
const UNUSED_MAX: u8 = 255;

/// A change of a config file.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    vmid: u32,
    set: BTreeMap<String, String>,
    /// What was given, for the first line of the log.
    given: Vec<String>,
    delete: Vec<String>,
    revert: Vec<String>,
    force: bool,
}

impl Change {
    /// The first line of a `qmconfig` log.
    pub(crate) fn describe(&self) -> String {
        format!("update VM {}: {}", self.vmid, self.given.join(" "))
    }
}

/// PUT: done when it answers.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let change = prepare(call)?;
    let (node, vmid, now) = (call.node().to_owned(), call.vmid(), call.now);
    if let Some(lock) = &call.cluster.load(&node, vmid)?.file_lock {
        return Err(Failure::busy(vmid, lock.until));
    }
    apply(call.cluster, &node, vmid, change, now)?;
    Ok(Reply { delay: call.cluster.timing().configure, ..Reply::null() })
}

/// POST: a `qmconfig` task.
pub(crate) fn call_in_background(call: &mut Call<'_>) -> Outcome {
    let change = prepare(call)?;
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    let upid = call.spawn("qmconfig", Some(vmid), Work::Configure { node, vmid, change });
    if call.parameters.get("background_delay").is_some()
        && let Some((_, exit)) = call.cluster.tasks.get(&upid).and_then(|task| task.ended())
    {
        return match exit {
            "OK" => Ok(Reply::null()),
            text => Err(Failure::died(format!("failed to update VM {vmid}: {text}"))),
        };
    }
    Ok(Reply::data(upid))
}

fn names(list: Option<&str>) -> Vec<String> {
    let parts = list.unwrap_or_default().split([',', ';', ' ', '\0']);
    parts.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Everything Proxmox checks before it changes anything.
fn prepare(call: &Call<'_>) -> Result<Change, Failure> {
    call.refuse_skiplock()?;
    let delete = names(call.parameters.text("delete"));
    let revert = names(call.parameters.text("revert"));
    let schema = call.cluster.schema();
    for name in delete.iter().chain(&revert) {
        let parameter = if delete.contains(name) { "delete" } else { "revert" };
        if call.parameters.get(name).is_some() {
            return Err(Failure::parameter(
                parameter,
                format!("you can't use '-{name}' and '-{parameter} {name}' at the same time"),
            ));
        }
        if schema.config_option(name).is_none() || NO_OPTIONS.contains(&name.as_str()) {
            return Err(Failure::parameter(parameter, format!("unknown option '{name}'")));
        }
        options::check_rights(call, name, None)?;
    }
    let set = options::read(call, NO_OPTIONS)?;
    if set.is_empty() && delete.is_empty() && revert.is_empty() {
        return Err(Failure::died("no options specified"));
    }
    for (_, text) in set.iter().filter(|(option, _)| is_drive_key(option)) {
        if let Some(storage) = volumes::check(call.cluster, text, None)? {
            call.caller.require(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
        }
    }
    let guest = call.cluster.load(call.node(), call.vmid())?;
    if call.parameters.text("digest").is_some_and(|digest| digest != guest.config.digest()) {
        return Err(Failure::died("checksum mismatch (file change by other user?)"));
    }
    guest.check_lock().map_err(Failure::died)?;
    let shown = |(name, given): (&String, &crate::parameters::Given)| match given {
        crate::parameters::Given::Text(_) if name == "cipassword" => Some("-cipassword <hidden>".to_owned()),
        crate::parameters::Given::Text(value) => Some(format!("-{name} {value}")),
        _ => None,
    };
    let told = call.parameters.iter().filter(|(name, _)| !matches!(name.as_str(), "node" | "vmid" | "digest"));
    Ok(Change {
        vmid: call.vmid(),
        given: told.filter_map(shown).collect(),
        set,
        delete,
        revert,
        force: call.parameters.flag("force") == Some(true),
    })
}

/// Changes the config.
///
/// # Errors
/// When the guest is gone or locked, or a volume cannot be had; then nothing is changed.
pub(crate) fn apply(
    cluster: &mut ClusterState,
    node: &str,
    vmid: u32,
    change: Change,
    at: Micros,
) -> Result<(), Failure> {
    let guest = cluster.load(node, vmid)?;
    guest.check_lock().map_err(Failure::died)?;
    let running = guest.process.is_some();
    for option in &change.delete {
        check_removal(guest, option, change.force)?;
    }
    let mut config = guest.config.clone();
    let place = Place { node, vmid, at };
    for name in &change.revert {
        config.pending.remove(name);
        config.pending_delete.remove(name);
    }
    let resolved = resolve_all(cluster, &place, change.set)?;
    for option in &change.delete {
        config.pending.remove(option);
        if config.get(option).is_none() {
            continue;
        }
        let stays = running && !takes_effect(&config, option);
        if stays {
            config.pending_delete.insert(option.clone(), change.force);
        } else {
            detach(cluster, &place, &mut config, option, change.force);
        }
    }
    for (option, value) in resolved {
        config.pending_delete.remove(&option);
        let changes_volume = is_drive_key(&option) && volume_of(config.get(&option)) != volume_of(Some(&value));
        if running && !takes_effect(&config, &option) && config.get(&option) != Some(&value) {
            config.pending.insert(option, value);
            continue;
        }
        if changes_volume && config.get(&option).is_some() {
            detach(cluster, &place, &mut config, &option, false);
        }
        config.pending.remove(&option);
        // A detached volume that is attached again is not unused any more.
        let attached = volume_of(Some(&value));
        config
            .values
            .retain(|other, text| !(is_unused_key(other) && volume_of(Some(text)) == attached && attached.is_some()));
        config.set(&option, value);
    }
    cluster.load_mut(node, vmid)?.config = config;
    cluster.touch();
    Ok(())
}

/// May this disk be taken away, or its data destroyed?
fn check_removal(guest: &Guest, option: &str, force: bool) -> Result<(), Failure> {
    let drive = guest.config.get(option).filter(|_| is_drive_key(option) || is_unused_key(option)).map(Drive::parse);
    let Some(drive) = drive.filter(|drive| !drive.is_cdrom()) else { return Ok(()) };
    let unused = is_unused_key(option);
    if guest.config.flag("protection") {
        let what = if unused { format!("unused disk '{}'", drive.file) } else { format!("drive '{option}'") };
        return Err(Failure::died(format!("can't remove {what} - protection mode enabled")));
    }
    if (force || unused) && guest.is_in_snapshot(&drive.file) {
        let text = format!("unable to delete '{}' - volume is still in use (snapshot?)", drive.file);
        return Err(Failure::died(text));
    }
    Ok(())
}

/// Gives every drive its volume; when one cannot be had, those made for the others go again.
fn resolve_all(
    cluster: &mut ClusterState,
    place: &Place<'_>,
    set: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut resolved = BTreeMap::new();
    let mut made: Vec<String> = Vec::new();
    for (option, value) in set {
        if !is_drive_key(&option) {
            resolved.insert(option, value);
            continue;
        }
        match volumes::resolve(cluster, place, &option, &value, &mut Vec::new()) {
            Ok(drive) => {
                if drive.file != Drive::parse(&value).file {
                    made.push(drive.file.clone());
                }
                resolved.insert(option, drive.print());
            }
            Err(failure) => {
                for volid in made {
                    cluster.free_volume(place.node, &volid);
                }
                return Err(failure);
            }
        }
    }
    Ok(resolved)
}

/// Applies what waited for a start or stop; a disk that is replaced or removed then stays as `unusedN`.
pub(crate) fn apply_pending(cluster: &mut ClusterState, vmid: u32, at: Micros) {
    let Some(guest) = cluster.guest(vmid).filter(|guest| guest.config.is_waiting()) else { return };
    let (node, mut config) = (guest.node.clone(), guest.config.clone());
    let place = Place { node: &node, vmid, at };
    for (option, force) in std::mem::take(&mut config.pending_delete) {
        detach(cluster, &place, &mut config, &option, force);
    }
    for (option, value) in std::mem::take(&mut config.pending) {
        if is_drive_key(&option) && volume_of(config.get(&option)) != volume_of(Some(&value)) {
            detach(cluster, &place, &mut config, &option, false);
        }
        config.set(&option, value);
    }
    if let Some(guest) = cluster.guests.get_mut(&vmid) {
        guest.config = config;
    }
}

fn volume_of(text: Option<&str>) -> Option<String> {
    text.and_then(|text| Drive::parse(text).volume_id().map(str::to_owned))
}

/// Takes a change of `option` effect at once while the guest runs?
fn takes_effect(config: &Config, option: &str) -> bool {
    if AT_ONCE.contains(&option)
        || CLOUD_INIT.contains(&option)
        || option.starts_with("ipconfig")
        || is_unused_key(option)
    {
        return true;
    }
    let hotplug = match config.get("hotplug") {
        None | Some("1") => "network,disk,usb",
        Some(features) => features,
    };
    let feature = |name: &str| hotplug.split([',', ';', ' ']).any(|feature| feature == name);
    if is_network_key(option) {
        return feature("network");
    }
    if is_drive_key(option) {
        let is_cdrom = config.get(option).is_some_and(|text| Drive::parse(text).is_cdrom());
        return is_cdrom || (feature("disk") && (option.starts_with("scsi") || option.starts_with("virtio")));
    }
    match option {
        "cores" | "sockets" | "vcpus" => feature("cpu"),
        "memory" => feature("memory"),
        "tablet" => feature("usb"),
        _ => HOT.contains(&option),
    }
}

/// Removes an option; a disk stays as `unusedN` unless its data is to go.
fn detach(cluster: &mut ClusterState, place: &Place<'_>, config: &mut Config, option: &str, force: bool) {
    let Some(text) = config.remove(option) else { return };
    if !is_drive_key(option) && !is_unused_key(option) {
        return;
    }
    let drive = Drive::parse(&text);
    let Some(volid) = drive.volume_id().map(str::to_owned) else { return };
    let owned = cluster.volume(place.node, &volid).is_ok_and(|volume| volume.vmid == Some(place.vmid));
    if !owned {
        return;
    }
    // What a snapshot needs stays; Proxmox then only forgets the entry.
    let in_snapshot = cluster.guest_on(place.node, place.vmid).is_some_and(|guest| guest.is_in_snapshot(&volid));
    if in_snapshot && (force || drive.is_cloud_init() || is_unused_key(option)) {
        return;
    }
    if force || drive.is_cloud_init() || is_unused_key(option) {
        cluster.free_volume(place.node, &volid);
        return;
    }
    add_unused(config, &volid);
}

/// Notes a volume as `unusedN`, unless it is noted already.
pub(crate) fn add_unused(config: &mut Config, volid: &str) {
    let known = config.values.iter().any(|(option, text)| is_unused_key(option) && text == volid);
    let free = (0..=UNUSED_MAX).map(|index| format!("unused{index}")).find(|name| config.get(name).is_none());
    if let Some(name) = free.filter(|_| !known) {
        config.set(&name, volid);
    }
}
