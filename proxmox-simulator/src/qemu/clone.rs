//! POST /nodes/{node}/qemu/{vmid}/clone: full copies and linked clones. The source is read when the call arrives; the
//! copy appears when the task ends.

use std::collections::BTreeMap;
use std::time::Duration;

use super::create::free_all;
use super::volumes::{self, Place, Wanted};
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::drive::{Drive, drives, is_drive_key, is_network_key, is_unused_key, new_uuid, with_new_mac};
use crate::cluster::guest::{Config, Guest};
use crate::cluster::{ClusterState, sizes};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// Steps in which a copy reports its progress.
const PROGRESS_STEPS: u64 = 4;

/// What a `qmclone` task will make.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    target: String,
    newid: u32,
    config: Config,
    full: bool,
    storage: Option<String>,
    source: u32,
    format: Option<String>,
    pool: Option<String>,
    /// Another node has a guest with the new id: the file cannot be written.
    taken: bool,
}

/// The call.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    let newid: u32 = call.parameters.number("newid").unwrap_or_default();
    let target = call.parameters.text("target").unwrap_or(&node).to_owned();
    let storage = call.parameters.text("storage").map(str::to_owned);
    if call.cluster.node(&target).is_none() {
        return Err(Failure::died(format!("no such cluster node '{target}'")));
    }
    if let Some(storage) = &storage {
        let shared = call.cluster.storage(storage)?.shared;
        if target != node && !shared {
            return Err(Failure::died(format!("can't clone to non-shared storage '{storage}'")));
        }
    }
    let source = call.cluster.assert_on_node(&node, vmid)?;
    source.check_lock().map_err(Failure::died)?;
    // Of a snapshot, its options and disks are the source.
    let mut source = source.clone();
    let snapshot = call.parameters.text("snapname").map(|name| source.snapshot(name).cloned()).transpose();
    if let Some(snapshot) = snapshot.map_err(Failure::died)? {
        source.config = Config { values: snapshot.values, ..Config::default() };
    }
    let source = &source;
    let full = call.parameters.flag("full").unwrap_or(!source.is_template());
    if !full {
        for unfit in ["storage", "format"] {
            if call.parameters.get(unfit).is_some() {
                return Err(Failure::died(format!("parameter '{unfit}' not allowed for linked clones")));
            }
        }
    }
    check_drives(call, source, full, &target, storage.as_deref())?;
    let config = new_config(source, &call.parameters);
    let taken = match call.cluster.guest(newid) {
        Some(existing) if existing.node == node => {
            return Err(Failure::died(format!("unable to create VM {newid}: config file already exists")));
        }
        existing => existing.is_some(),
    };
    if !taken {
        let mut stub = config.clone();
        stub.values.retain(|option, _| !is_drive_key(option));
        stub.set("lock", "clone");
        call.cluster.add_guest(Guest::new(newid, &node, stub));
    }
    let format = call.parameters.text("format").map(str::to_owned);
    let pool = call.parameters.text("pool").map(str::to_owned);
    let plan = Plan { node, target, newid, config, full, storage, source: vmid, format, pool, taken };
    Ok(Reply::data(call.spawn("qmclone", None, Work::Clone(plan))))
}

fn check_drives(
    call: &Call<'_>,
    source: &Guest,
    full: bool,
    target: &str,
    storage: Option<&str>,
) -> Result<(), Failure> {
    for (option, drive) in drives(&source.config) {
        let Some(volid) = drive.volume_id() else { continue };
        let (of_drive, _) = call.cluster.parse_volume_id(volid)?;
        if target != source.node && !of_drive.shared {
            return Err(Failure::died(format!("can't clone VM to node '{target}' (VM uses local storage)")));
        }
        if drive.is_cdrom() && !drive.is_cloud_init() {
            continue;
        }
        let destination = storage.unwrap_or(&of_drive.id);
        call.caller.require(&format!("/storage/{destination}"), &["Datastore.AllocateSpace"])?;
        if !full && !drive.is_cdrom() && !source.is_template() {
            return Err(Failure::died(format!("Linked clone feature is not supported for '{volid}' ({option})")));
        }
    }
    Ok(())
}

/// The config of the copy, with the source's drives still in it.
fn new_config(source: &Guest, parameters: &crate::parameters::Parameters) -> Config {
    let mut values: BTreeMap<String, String> = source.config.values.clone();
    values.retain(|option, _| {
        !is_unused_key(option) && !matches!(option.as_str(), "template" | "lock" | "parent" | "vmstate")
    });
    for (option, value) in &mut values {
        if is_network_key(option) {
            *value = with_new_mac(value);
        }
    }
    let uuid = format!("uuid={}", new_uuid());
    let smbios = values.entry("smbios1".to_owned()).or_default();
    let kept = smbios.split(',').filter(|part| !part.is_empty() && !part.starts_with("uuid="));
    *smbios = std::iter::once(uuid.as_str()).chain(kept).collect::<Vec<_>>().join(",");
    if values.contains_key("vmgenid") {
        values.insert("vmgenid".to_owned(), new_uuid());
    }
    let name = parameters.text("name").map_or_else(|| format!("Copy-of-VM-{}", source.name()), str::to_owned);
    values.insert("name".to_owned(), name);
    if let Some(description) = parameters.text("description") {
        values.insert("description".to_owned(), description.to_owned());
    }
    Config { values, ..Config::default() }
}

/// The worker's first steps.
pub(crate) fn begin(plan: &Plan, cluster: &ClusterState) -> Result<Duration, String> {
    if plan.taken {
        return Err(format!(
            "clone failed: unable to open file '/etc/pve/nodes/{}/qemu-server/{}.conf.tmp' - File exists",
            plan.node, plan.newid
        ));
    }
    Ok(cluster.timing().clone)
}

/// Copies the drives and hands the guest to its node.
pub(crate) fn finish(plan: Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<u32, String> {
    let mut config = plan.config.clone();
    let mut made = Config::default();
    let result = copy_drives(&plan, cluster, at, log, &mut made);
    if let Err(failure) = result {
        free_all(cluster, &plan.node, plan.newid, &made);
        abandon(&plan, cluster);
        return Err(format!("clone failed: {}", failure.text()));
    }
    config.values.extend(made.values);
    let guest =
        cluster.load_mut(&plan.node, plan.newid).map_err(|failure| format!("clone failed: {}", failure.text()))?;
    guest.config = config;
    guest.node = plan.target;
    cluster.firewall.copy_guest(plan.source, plan.newid);
    if let Some(pool) = &plan.pool {
        cluster.join_pool(pool, plan.newid);
    }
    cluster.touch();
    Ok(0)
}

fn copy_drives(
    plan: &Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
    made: &mut Config,
) -> Result<(), Failure> {
    cluster.load(&plan.node, plan.newid)?;
    let place = Place { node: &plan.node, vmid: plan.newid, at };
    for (option, mut drive) in drives(&plan.config) {
        let Some(volid) = drive.volume_id().map(str::to_owned) else { continue };
        if drive.is_cdrom() && !drive.is_cloud_init() {
            continue;
        }
        let source = cluster.volume(&plan.node, &volid)?.clone();
        let records_parent = cluster.storage(&source.storage)?.kind != "lvmthin";
        let linked = !plan.full && !drive.is_cloud_init();
        let kind = if linked { "linked" } else { "full" };
        log.push(format!("create {kind} clone of drive {option} ({volid})"));
        let wanted = Wanted {
            storage: plan.storage.as_deref().unwrap_or(&source.storage),
            format: Some(plan.format.as_deref().unwrap_or(&source.format)),
            suffix: drive.is_cloud_init().then_some("cloudinit"),
            size: source.size,
            used: if linked { 0 } else { source.used },
            parent: (linked && records_parent).then(|| source.name.clone()),
        };
        let volume = volumes::allocate(cluster, &place, wanted, log)?;
        if !linked && !drive.is_cloud_init() {
            log_progress(source.size, log);
        }
        drive.file = volume.volid();
        drive.options.insert("size".to_owned(), sizes::print(volume.size));
        made.set(&option, Drive::print(&drive));
    }
    Ok(())
}

fn log_progress(size: u64, log: &mut Vec<String>) {
    for step in 0..=PROGRESS_STEPS {
        let done = size / PROGRESS_STEPS * step;
        let percent = 100 * step / PROGRESS_STEPS;
        let mib = |bytes: u64| bytes >> 20;
        log.push(format!("transferred {}.0 MiB of {}.0 MiB ({percent}.00%)", mib(done), mib(size)));
    }
}

/// Takes the half-made guest away again.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    let is_stub = cluster.guest_on(&plan.node, plan.newid).is_some_and(|guest| guest.lock() == Some("clone"));
    if !plan.taken && is_stub {
        cluster.remove_guest(plan.newid);
    }
}
