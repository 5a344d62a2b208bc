//! POST qemu with `archive`: a new guest from a backup, or the old state over an existing one. A restore that fails does
//! not clean up: the lock goes, what is left stays.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::archive::Archive;
use crate::cluster::drive::{Drive, is_drive_key, is_network_key, new_uuid, with_new_mac};
use crate::cluster::guest::{Config, Guest};
use crate::cluster::sizes;
use crate::failure::{Failure, Outcome, Reply};
use crate::qemu::create::{NO_OPTIONS, free_all};
use crate::qemu::volumes::{self, Place, Wanted};
use crate::qemu::{options, power, snapshots};
use crate::storage_files;
use crate::tasks::Work;

/// What a `qmrestore` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    archive: String,
    storage: Option<String>,
    unique: bool,
    start: bool,
    options: BTreeMap<String, String>,
}

/// The call; creating was refused or allowed before.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let (node, vmid, archive) = (call.node().to_owned(), call.vmid(), call.text("archive").to_owned());
    if let Some((option, _)) = call.parameters.iter().find(|(option, _)| is_drive_key(option)) {
        return Err(Failure::parameter(option, "option conflicts with option 'archive'"));
    }
    if archive == "-" || archive.starts_with('/') {
        return Err(Failure::died("Only root can pass arbitrary filesystem paths."));
    }
    let (from, name) = call.cluster.parse_volume_id(&archive)?;
    storage_files::check_access(call, from, name, Some(vmid))?;
    let storage = call.parameters.text("storage").map(str::to_owned);
    if let Some(storage) = &storage {
        call.cluster.storage(storage)?;
        call.caller.require(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    }
    let options = options::read(call, NO_OPTIONS)?;
    let force = call.parameters.flag("force") == Some(true);
    let refused = |text: &str| Failure::died(format!("unable to restore VM {vmid} - {text}"));
    match call.cluster.guest(vmid) {
        Some(existing) if existing.node != node || !force => {
            return Err(refused(&format!("VM {vmid} already exists on node '{}'", existing.node)));
        }
        Some(existing) => existing.check_lock().map_err(|text| refused(&text))?,
        None => call.cluster.add_guest(Guest::new(vmid, &node, Config::default())),
    }
    call.cluster.load_mut(&node, vmid)?.config.set("lock", "create");
    call.cluster.touch();
    let flag = |name: &str| call.parameters.flag(name) == Some(true);
    let plan = Plan { unique: flag("unique"), start: flag("start"), node, vmid, archive, storage, options };
    Ok(Reply::data(call.spawn("qmrestore", Some(vmid), Work::Restore(plan))))
}

/// What is in the backup.
fn contents<'a>(plan: &Plan, cluster: &'a ClusterState) -> Result<&'a Archive, String> {
    let volume = cluster.volume(&plan.node, &plan.archive).ok();
    volume.and_then(|volume| volume.file.archive.as_ref()).ok_or_else(|| {
        format!(
            "unable to restore VM {} - command 'set -o pipefail && vma extract -v {}' failed: exit code 255",
            plan.vmid, plan.archive
        )
    })
}

/// The checks that come before anything is overwritten.
pub(crate) fn begin(
    plan: &Plan,
    cluster: &mut ClusterState,
    _at: Micros,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    let guest = cluster.load(&plan.node, plan.vmid).map_err(|failure| failure.text().to_owned())?;
    let refused = |text: &str| format!("unable to restore VM {} - {text}", plan.vmid);
    if guest.config.flag("protection") {
        return Err(refused("- protection mode enabled"));
    }
    if guest.process.is_some() {
        return Err(refused("vm is running"));
    }
    let archive = contents(plan, cluster)?;
    for disk in &archive.disks {
        let storage = plan.storage.as_ref().unwrap_or(&disk.storage);
        let storage = cluster.storage(storage).map_err(|failure| refused(failure.text()))?;
        if !storage.takes("images") {
            return Err(refused(&format!("storage '{}' does not support content-type 'images'", storage.id)));
        }
    }
    log.push(format!("restore vma archive: {}", plan.archive));
    let used = archive.disks.iter().map(|disk| disk.used).sum();
    Ok(volumes::time_for(cluster.timing().restore_per_gib, used))
}

/// Makes the disks, then puts the old options in place.
pub(crate) fn finish(plan: Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<u32, String> {
    let result = bring_back(&plan, cluster, at, log).map_err(|failure| {
        abandon(&plan, cluster);
        format!("unable to restore VM {} - {}", plan.vmid, failure.text())
    });
    result?;
    if plan.start {
        log.push("Execute autostart".to_owned());
        let failed = power::check_start(cluster, &plan.node, plan.vmid).err();
        let failed = failed.or_else(|| power::finish_start(cluster, &plan.node, plan.vmid, at, log).err());
        if let Some(text) = failed {
            log.push(format!("start failed: {text}"));
        }
    }
    Ok(0)
}

fn bring_back(plan: &Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<(), Failure> {
    let archive = contents(plan, cluster).map_err(Failure::died)?.clone();
    let old = cluster.load(&plan.node, plan.vmid)?.clone();
    // The old disks go first, so that their names are free for the new ones.
    free_all(cluster, &plan.node, plan.vmid, &old.config);
    snapshots::free_all(cluster, &old);
    let place = Place { node: &plan.node, vmid: plan.vmid, at };
    let mut values = archive.values.clone();
    values.remove("template");
    for disk in &archive.disks {
        let wanted = Wanted {
            storage: plan.storage.as_ref().unwrap_or(&disk.storage),
            format: Some(&disk.format),
            suffix: None,
            size: disk.size,
            used: disk.used,
            parent: None,
        };
        let volume = volumes::allocate(cluster, &place, wanted, log)?;
        log.push(format!("new volume ID is '{}'", volume.volid()));
        let mut drive = Drive::parse(values.get(&disk.option).map(String::as_str).unwrap_or_default());
        drive.file = volume.volid();
        drive.options.insert("size".to_owned(), sizes::print(volume.size));
        values.insert(disk.option.clone(), drive.print());
    }
    restore_cloud_init(plan, cluster, &place, &mut values, log)?;
    if plan.unique {
        for (_, card) in values.iter_mut().filter(|(option, _)| is_network_key(option)) {
            *card = with_new_mac(card);
        }
        if let Some(smbios) = values.get_mut("smbios1") {
            let kept: Vec<&str> = smbios.split(',').filter(|part| !part.starts_with("uuid=")).collect();
            let uuid = format!("uuid={}", new_uuid());
            *smbios = std::iter::once(uuid.as_str()).chain(kept).collect::<Vec<_>>().join(",");
        }
    }
    if values.get("vmgenid").is_some_and(|id| id != "0") {
        values.insert("vmgenid".to_owned(), new_uuid());
    }
    values.extend(plan.options.clone());
    let guest = cluster.load_mut(&plan.node, plan.vmid)?;
    guest.config = Config { values, ..Config::default() };
    guest.snapshots.clear();
    guest.cloud_init_image = None;
    cluster.touch();
    Ok(())
}

/// The cloud-init drive is not in the backup; an empty one takes its place.
fn restore_cloud_init(
    plan: &Plan,
    cluster: &mut ClusterState,
    place: &Place<'_>,
    values: &mut BTreeMap<String, String>,
    log: &mut Vec<String>,
) -> Result<(), Failure> {
    for (option, text) in values.iter_mut().filter(|(option, _)| is_drive_key(option)) {
        let drive = Drive::parse(text);
        if !drive.is_cloud_init() {
            continue;
        }
        let before = drive.file.split(':').next().unwrap_or_default().to_owned();
        let storage = plan.storage.clone().unwrap_or(before);
        *text = volumes::resolve(cluster, place, option, &format!("{storage}:cloudinit"), log)?.print();
    }
    Ok(())
}

/// The lock goes; the guest stays as far as it came.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    if let Ok(guest) = cluster.load_mut(&plan.node, plan.vmid)
        && guest.lock() == Some("create")
    {
        guest.config.remove("lock");
        cluster.touch();
    }
}
