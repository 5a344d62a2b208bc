//! POST /nodes/{node}/qemu: a new VM from options. Restoring an archive is in `backups::restore`.

use std::collections::BTreeMap;

use super::options;
use super::volumes::{self, Place};
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::build::meta;
use crate::cluster::drive::{Drive, drives, is_drive_key, is_network_key, new_uuid};
use crate::cluster::guest::{Config, Guest};
use crate::cluster::{ClusterState, drive};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// Parameters of the call that are no config options.
pub(crate) const NO_OPTIONS: &[&str] = &[
    "node",
    "vmid",
    "archive",
    "force",
    "unique",
    "start",
    "storage",
    "pool",
    "bwlimit",
    "live-restore",
    "ha-managed",
    "import-working-storage",
];

/// What a `qmcreate` task will make.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    options: BTreeMap<String, String>,
    start: bool,
    pool: Option<String>,
}

/// The call.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    let path = format!("/vms/{vmid}");
    // Who may back a guest up may also bring it back.
    let overwrites = call.parameters.get("archive").is_some()
        && call.parameters.flag("force") == Some(true)
        && call.cluster.guest_on(&node, vmid).is_some()
        && call.caller.may(&path, "VM.Backup");
    let pool = call.parameters.text("pool").map(str::to_owned);
    let by_pool = pool.as_ref().is_some_and(|pool| call.caller.may(&format!("/pool/{pool}"), "VM.Allocate"));
    if !by_pool && !call.caller.may(&path, "VM.Allocate") && !overwrites {
        return Err(Failure::forbidden("Permission check failed"));
    }
    if call.parameters.get("archive").is_some() {
        return crate::backups::restore::call(call);
    }
    let options = options::read(call, NO_OPTIONS)?;
    let default_storage = call.parameters.text("storage");
    for (_, text) in options.iter().filter(|(option, _)| is_drive_key(option)) {
        if let Some(storage) = volumes::check(call.cluster, text, default_storage)? {
            call.caller.require(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
        }
    }
    if let Some(existing) = call.cluster.guest(vmid) {
        return Err(Failure::died(format!(
            "unable to create VM {vmid} - VM {vmid} already exists on node '{}'",
            existing.node
        )));
    }
    let stub = Config { values: BTreeMap::from([("lock".to_owned(), "create".to_owned())]), ..Config::default() };
    call.cluster.add_guest(Guest::new(vmid, &node, stub));
    let start = call.parameters.flag("start") == Some(true);
    let plan = Plan { node, vmid, options, start, pool };
    Ok(Reply::data(call.spawn("qmcreate", Some(vmid), Work::Create(plan))))
}

/// Allocates the disks and writes the config.
pub(crate) fn finish(plan: Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<u32, String> {
    let vmid = plan.vmid;
    build(&plan, cluster, at, log).map_err(|failure| {
        abandon(&plan, cluster);
        format!("unable to create VM {vmid} - {}", failure.text())
    })?;
    if let Some(pool) = &plan.pool {
        cluster.join_pool(pool, vmid);
    }
    if plan.start {
        let failed = super::power::check_start(cluster, &plan.node, vmid).err();
        let failed = failed.or_else(|| super::power::finish_start(cluster, &plan.node, vmid, at, log).err());
        if let Some(text) = failed {
            log.push(format!("start failed: {text}"));
        }
    }
    Ok(0)
}

fn build(plan: &Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<(), Failure> {
    let place = Place { node: &plan.node, vmid: plan.vmid, at };
    cluster.load(&plan.node, plan.vmid)?;
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (option, text) in &plan.options {
        let value = if is_drive_key(option) {
            match volumes::resolve(cluster, &place, option, text, log) {
                Ok(drive) => drive.print(),
                Err(failure) => {
                    free_all(cluster, &plan.node, plan.vmid, &Config { values, ..Config::default() });
                    return Err(failure);
                }
            }
        } else {
            text.clone()
        };
        values.insert(option.clone(), value);
    }
    values.entry("smbios1".to_owned()).or_insert_with(|| format!("uuid={}", new_uuid()));
    values.entry("vmgenid".to_owned()).or_insert_with(new_uuid);
    values.insert("meta".to_owned(), meta(cluster.settings.release, at));
    if !values.contains_key("boot") {
        values.insert("boot".to_owned(), format!("order={}", default_boot_order(&values).join(";")));
    }
    let guest = cluster.load_mut(&plan.node, plan.vmid)?;
    guest.config = Config { values, ..Config::default() };
    cluster.touch();
    Ok(())
}

/// First disk, first CD drive that is not cloud-init, first network card.
fn default_boot_order(values: &BTreeMap<String, String>) -> Vec<String> {
    let config = Config { values: values.clone(), ..Config::default() };
    let drives = drives(&config);
    let rank = |option: &str| ["ide", "scsi", "virtio", "sata"].iter().position(|family| option.starts_with(family));
    let mut disks: Vec<&(String, Drive)> = drives.iter().filter(|(option, _)| rank(option).is_some()).collect();
    disks.sort_by_key(|(option, _)| rank(option));
    let disk = disks.iter().find(|(_, drive)| !drive.is_cdrom());
    let cdrom = disks.iter().find(|(_, drive)| drive.is_cdrom() && !drive.is_cloud_init());
    let card = values.keys().find(|option| is_network_key(option));
    disk.map(|(option, _)| option.clone())
        .into_iter()
        .chain(cdrom.map(|(option, _)| option.clone()))
        .chain(card.cloned())
        .collect()
}

/// Frees the volumes in a config that belong to a guest.
pub(crate) fn free_all(cluster: &mut ClusterState, node: &str, vmid: u32, config: &Config) {
    let unused = config.values.iter().filter(|(option, _)| drive::is_unused_key(option));
    let unused = unused.map(|(_, text)| Drive::parse(text));
    let memory = config.get("vmstate").map(Drive::parse);
    let drives = drives(config).into_iter().map(|(_, drive)| drive).chain(unused).chain(memory);
    for volid in drives.filter_map(|drive| drive.volume_id().map(str::to_owned)).collect::<Vec<_>>() {
        if cluster.volume(node, &volid).is_ok_and(|volume| volume.vmid == Some(vmid)) {
            cluster.free_volume(node, &volid);
        }
    }
}

/// Takes the stub config away again.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    let is_stub = cluster.guest_on(&plan.node, plan.vmid).is_some_and(|guest| guest.lock() == Some("create"));
    if is_stub {
        cluster.remove_guest(plan.vmid);
    }
}
