//! POST vzdump: one guest after the other, one job at a time on a node. A guest is locked as long as its own backup
//! takes; one that is stopped is started without its system meanwhile, and looks running.

use std::time::Duration;

use super::{contents, prune};
use crate::call::Call;
use crate::clock::{Micros, micros, seconds};
use crate::cluster::archive::{Archive, FileAttributes};
use crate::cluster::drive::new_uuid;
use crate::cluster::guest::Process;
use crate::cluster::storage::{Storage, Volume};
use crate::cluster::{ClusterState, dates};
use crate::failure::{Failure, Outcome, Reply};
use crate::qemu::{process, volumes};
use crate::tasks::{Work, lost};

/// How often a waiting job looks whether the node's backup lock is free.
const LOCK_POLL: Duration = Duration::from_secs(1);
/// The same when the job at work is overdue.
const LOCK_POLL_OVERDUE: Duration = Duration::from_millis(50);
/// Minutes a job waits for that lock when nothing else is said.
const LOCK_WAIT_MINUTES: u32 = 180;
/// Parameters only root may give.
const ROOT_ONLY: &[&str] = &["dumpdir", "tmpdir", "script", "job-id"];
/// Parameters that need `Sys.Modify` on `/`.
const TUNING: &[&str] = &["bwlimit", "ionice", "performance"];
/// Protected backups of a guest on a storage for those who may not allocate it.
pub(crate) const PROTECTED_MAX: usize = 5;
/// Smallest archive, in bytes.
const ARCHIVE_MIN: u64 = 64 << 10;

/// What a `vzdump` task will do, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    marker: u64,
    guests: Vec<u32>,
    storage: String,
    mode: String,
    extension: &'static str,
    notes: Option<String>,
    protected: bool,
    /// May it have any number of protected backups?
    unlimited: bool,
    keep: Option<prune::Keep>,
    command: String,
    patience: Micros,
    give_up_at: Micros,
    waits: bool,
    is_lost: bool,
    failed: bool,
    current: Option<Current>,
}

/// The backup that is being written.
#[derive(Clone, Debug)]
struct Current {
    vmid: u32,
    began: Micros,
    name: String,
    /// Seconds since the epoch, as they stand in the name.
    created: u64,
    archive: Archive,
    size: u64,
    notes: Option<String>,
}

impl Plan {
    pub(crate) fn marker(&self) -> u64 {
        self.marker
    }

    /// Does it still wait for the node's backup lock?
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }
}

pub(super) fn conflicts(call: &Call<'_>) -> Result<(), Failure> {
    let given = |name: &str| call.parameters.get(name).is_some();
    let all = call.parameters.flag("all") == Some(true);
    for (option, set) in [("all", all), ("exclude", given("exclude")), ("pool", given("pool"))] {
        if given("vmid") && set {
            return Err(Failure::parameter(option, "option conflicts with option 'vmid'"));
        }
    }
    if !given("vmid") && !all && !given("pool") && !given("exclude") && call.parameters.flag("stop") != Some(true) {
        return Err(Failure::parameter("vmid", "property is missing and it is not optional"));
    }
    Ok(())
}

/// The guests named that are on this node, or nowhere any more; the others are silently left to their nodes.
fn chosen(call: &Call<'_>) -> Vec<u32> {
    let numbers = |name: &str| -> Vec<u32> {
        let list = call.parameters.text(name).unwrap_or_default();
        list.split([',', ';', ' ', '\0']).filter_map(|part| part.parse().ok()).collect()
    };
    if call.parameters.get("vmid").is_some() {
        let mut chosen = numbers("vmid");
        chosen.sort_unstable();
        chosen.dedup();
        chosen.retain(|vmid| call.cluster.guest(*vmid).is_none_or(|guest| guest.node == call.node()));
        return chosen;
    }
    if call.parameters.flag("all") != Some(true) && call.parameters.get("exclude").is_none() {
        return Vec::new();
    }
    let excluded = numbers("exclude");
    let here = call.cluster.guests.values().filter(|guest| guest.node == call.node());
    here.map(|guest| guest.vmid).filter(|vmid| !excluded.contains(vmid)).collect()
}

/// POST /nodes/{node}/vzdump
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    conflicts(call)?;
    let is_root = call.caller.id() == "root@pam";
    if let Some(name) = ROOT_ONLY.iter().find(|name| call.parameters.get(name).is_some() && !is_root) {
        return Err(Failure::parameter(name, "Only root may set this option."));
    }
    if TUNING.iter().any(|name| call.parameters.get(name).is_some()) {
        call.caller.require("/", &["Sys.Modify"])?;
    }
    let storage = call.parameters.text("storage").unwrap_or("local").to_owned();
    let storage_path = format!("/storage/{storage}");
    let keep = call.parameters.text("prune-backups").map(prune::Keep::parse).transpose();
    let keep = keep.map_err(|text| Failure::parameter("prune-backups", format!("invalid format - {text}\n")))?;
    if keep.is_some() {
        call.caller.require(&storage_path, &["Datastore.Allocate"])?;
    }
    call.caller.require(&storage_path, &["Datastore.AllocateSpace"])?;
    let guests = chosen(call);
    if call.parameters.flag("stop") == Some(true) {
        stop_running(call)?;
    }
    if guests.is_empty() && call.parameters.flag("all") != Some(true) {
        // Not a UPID: nothing is backed up.
        return Ok(Reply::data("OK"));
    }
    for vmid in &guests {
        call.caller.require(&format!("/vms/{vmid}"), &["VM.Backup"])?;
    }
    let extension = match call.parameters.text("compress").unwrap_or("0") {
        "zstd" => "vma.zst",
        "gzip" => "vma.gz",
        "1" | "lzo" => "vma.lzo",
        _ => "vma",
    };
    let command = format!(
        "vzdump {} {}",
        guests.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        ["compress", "mode", "notes-template", "prune-backups", "storage"]
            .iter()
            .filter_map(|name| Some(format!("--{name} {}", call.parameters.text(name)?)))
            .collect::<Vec<_>>()
            .join(" ")
    );
    let minutes = call.parameters.number("lockwait").unwrap_or(LOCK_WAIT_MINUTES);
    let id = if let [only] = guests.as_slice() { only.to_string() } else { String::new() };
    let plan = Plan {
        node: call.node().to_owned(),
        marker: call.cluster.changes,
        guests,
        mode: call.parameters.text("mode").unwrap_or("snapshot").to_owned(),
        extension,
        notes: call.parameters.text("notes-template").map(str::to_owned),
        protected: call.parameters.flag("protected") == Some(true),
        unlimited: call.caller.may(&storage_path, "Datastore.Allocate"),
        keep: keep.filter(|_| call.parameters.flag("remove") != Some(false)),
        command: command.trim_end().to_owned(),
        patience: micros(Duration::from_secs(60).saturating_mul(minutes)),
        give_up_at: 0,
        waits: false,
        is_lost: false,
        failed: false,
        current: None,
        storage,
    };
    Ok(Reply::data(call.spawn_as("vzdump", id, None, Work::Backup(plan))))
}

/// `stop=1`: kills the node's running backups first.
fn stop_running(call: &mut Call<'_>) -> Result<(), Failure> {
    call.caller.require("/", &["Sys.Modify"])?;
    let (node, now) = (call.node().to_owned(), call.now);
    let running = call.cluster.tasks.of_node(&node).filter(|task| task.kind == "vzdump" && task.ended().is_none());
    for upid in running.map(|task| task.upid.clone()).collect::<Vec<_>>() {
        call.cluster.kill_task(&upid, now);
    }
    Ok(())
}

/// Takes the node's backup lock, or waits for it; then the first guest.
pub(crate) fn begin(
    plan: &mut Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    let unusable = |text: &str| format!("could not get storage information for '{}': {text}", plan.storage);
    let storage = cluster.storage(&plan.storage).map_err(|failure| unusable(failure.text()))?;
    if !storage.takes("backup") {
        return Err(unusable(&format!("can't use storage '{}' for backups - wrong content type", storage.id)));
    }
    log.push(format!("INFO: starting new backup job: {}", plan.command));
    plan.give_up_at = at.saturating_add(plan.patience);
    if let Some(until) = cluster.other_vzdump(&plan.node, plan.marker) {
        log.push("INFO: trying to get global lock - waiting...".to_owned());
        plan.waits = true;
        return Ok(pause(until, at));
    }
    Ok(next_guest(plan, cluster, at, log).unwrap_or_default())
}

fn pause(until: Micros, at: Micros) -> Duration {
    // A frozen job is overdue.
    if until > at { Duration::from_micros(until - at).min(LOCK_POLL) } else { LOCK_POLL_OVERDUE }
}

/// Ends the guest at hand and begins the next.
pub(crate) fn proceed(
    plan: &mut Plan,
    cluster: &mut ClusterState,
    at: Micros,
    log: &mut Vec<String>,
) -> Option<Duration> {
    if plan.waits {
        if let Some(until) = cluster.other_vzdump(&plan.node, plan.marker) {
            if at >= plan.give_up_at {
                log.push("ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout".to_owned());
                plan.is_lost = true;
                return None;
            }
            return Some(pause(until, at));
        }
        plan.waits = false;
        log.push("INFO: got global lock".to_owned());
    }
    if let Some(current) = plan.current.take() {
        let (vmid, began) = (current.vmid, current.began);
        let result = write(plan, cluster, current, at, log);
        end_guest(plan, vmid, began, at, result, log);
    }
    next_guest(plan, cluster, at, log)
}

fn end_guest(plan: &mut Plan, vmid: u32, began: Micros, at: Micros, result: Result<(), String>, log: &mut Vec<String>) {
    let stamp = dates::stamp(seconds(at));
    match result {
        Ok(()) => {
            let took = dates::time(seconds(at.saturating_sub(began)), ":");
            log.push(format!("INFO: Finished Backup of VM {vmid} ({took})"));
            log.push(format!("INFO: Backup finished at {stamp}"));
        }
        Err(text) => {
            plan.failed = true;
            log.push(format!("ERROR: Backup of VM {vmid} failed - {text}"));
            log.push(format!("INFO: Failed at {stamp}"));
        }
    }
}

/// Begins the next guest that can be backed up; none when there is no more.
fn next_guest(plan: &mut Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Option<Duration> {
    while !plan.guests.is_empty() {
        let vmid = plan.guests.remove(0);
        log.push(format!("INFO: Starting Backup of VM {vmid} (qemu)"));
        match begin_guest(plan, cluster, vmid, at, log) {
            Ok(current) => {
                let used = current.archive.disks.iter().map(|disk| disk.used).sum();
                plan.current = Some(current);
                return Some(volumes::time_for(cluster.timing().backup_per_gib, used));
            }
            Err(text) => end_guest(plan, vmid, at, at, Err(text), log),
        }
    }
    None
}

fn begin_guest(
    plan: &Plan,
    cluster: &mut ClusterState,
    vmid: u32,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<Current, String> {
    let text = |failure: Failure| failure.text().to_owned();
    let Some(guest) = cluster.guest_on(&plan.node, vmid) else { return Err(format!("unable to find VM '{vmid}'")) };
    guest.check_lock()?;
    let running = guest.process.is_some();
    let mode = if running { plan.mode.as_str() } else { "stop" };
    log.push(format!("INFO: Backup started at {}", dates::stamp(seconds(at))));
    log.push(format!("INFO: status = {}", if running { "running" } else { "stopped" }));
    log.push(format!("INFO: VM Name: {}", guest.name()));
    let archive = contents::assemble(cluster, guest, log).map_err(text)?;
    log.push(format!("INFO: backup mode: {mode}"));
    log.push("INFO: ionice priority: 7".to_owned());
    contents::note_left_out(guest, log);
    let storage = cluster.storage(&plan.storage).map_err(text)?.clone();
    if plan.protected && !plan.unlimited {
        check_protected(cluster, &storage, &plan.node, vmid)?;
    }
    if mode == "stop" && running && guest.ignores_power_button {
        return Err(format!(
            "command 'qm shutdown {vmid} --skiplock --keepActive --timeout 600' failed: exit code 255"
        ));
    }
    let is_template = guest.is_template();
    let (name, created) = free_name(cluster, &storage, plan, vmid, seconds(at));
    let shown = match storage.kind.as_str() {
        "pbs" => format!("INFO: creating Proxmox Backup Server archive '{}'", name.trim_start_matches("backup/")),
        _ => format!("INFO: creating vzdump archive '{}/dump/{}'", storage.path(), name.trim_start_matches("backup/")),
    };
    log.push(shown);
    let used: u64 = archive.disks.iter().map(|disk| disk.used).sum();
    let size = match plan.extension {
        // A backup server tells the logical size.
        _ if storage.kind == "pbs" => archive.disks.iter().map(|disk| disk.size).sum(),
        "vma" => used,
        "vma.zst" => used / 2,
        _ => used / 10 * 6,
    };
    let notes = plan.notes.as_ref().map(|template| contents::fill_notes(template, guest, &cluster.name));
    let pid = cluster.tasks.next_pid();
    let guest = cluster.load_mut(&plan.node, vmid).map_err(text)?;
    guest.config.set("lock", "backup");
    match (is_template, running, mode) {
        (true, ..) => log.push("INFO: starting template backup".to_owned()),
        (_, false, _) => {
            log.push("INFO: starting kvm to execute backup task".to_owned());
            guest.process = Some(Process { pid, started: at, booted: at, paused: false, prelaunch: true });
        }
        (_, true, "stop") => {
            log.push("INFO: stopping virtual guest".to_owned());
            process::end(cluster, vmid, at);
            process::start(cluster, vmid, at);
        }
        (_, true, "suspend") => log.push("INFO: suspending guest".to_owned()),
        _ => {}
    }
    if !is_template {
        log.push(format!("INFO: started backup task '{}'", new_uuid()));
    }
    if running {
        log.push("INFO: resuming VM again".to_owned());
    }
    cluster.touch();
    Ok(Current { vmid, began: at, name, created, archive, size: size.max(ARCHIVE_MIN), notes })
}

/// More protected backups of the guest than its owner may have?
pub(crate) fn check_protected(cluster: &ClusterState, storage: &Storage, node: &str, vmid: u32) -> Result<(), String> {
    let own = cluster.volumes.on(storage, node).filter(|volume| volume.vmid == Some(vmid) && volume.file.protected);
    if own.count() < PROTECTED_MAX {
        return Ok(());
    }
    Err(format!("The number of protected backups per guest is limited to {PROTECTED_MAX} on storage '{}'", storage.id))
}

/// The archive's name: its second is in it, and the next free one is taken when two come within one.
fn free_name(cluster: &ClusterState, storage: &Storage, plan: &Plan, vmid: u32, from: u64) -> (String, u64) {
    let name = |at: u64| match storage.kind.as_str() {
        "pbs" => format!("backup/vm/{vmid}/{}T{}Z", dates::date(at, "-"), dates::time(at, ":")),
        _ => format!("backup/vzdump-qemu-{vmid}-{}-{}.{}", dates::date(at, "_"), dates::time(at, "_"), plan.extension),
    };
    let mut at = from;
    while cluster.volumes.get(storage, &plan.node, &name(at)).is_some() {
        at += 1;
    }
    (name(at), at)
}

/// The archive is whole: it appears on the storage, and the guest is as it was.
fn write(
    plan: &Plan,
    cluster: &mut ClusterState,
    current: Current,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<(), String> {
    let Current { vmid, began, name, created, archive, size, notes } = current;
    release(plan, cluster, vmid, at, log);
    let storage = cluster.storage(&plan.storage).map_err(|failure| failure.text().to_owned())?.clone();
    let free = storage.size.saturating_sub(cluster.volumes.used(&storage, &plan.node));
    if storage.kind != "pbs" && size > free {
        return Err("job failed with err -28 - No space left on device".to_owned());
    }
    let used: u64 = archive.disks.iter().map(|disk| disk.used).sum();
    let took = seconds(at.saturating_sub(began)).max(1);
    log.push(format!("INFO: transferred {} MiB in {took} seconds", used >> 20));
    if storage.kind != "pbs" {
        log.push(format!("INFO: archive file size: {}MB", size >> 20));
    }
    if notes.is_some() {
        log.push("INFO: adding notes to backup".to_owned());
    }
    if plan.protected {
        log.push("INFO: marking backup as protected".to_owned());
    }
    let volume = Volume {
        storage: storage.id.clone(),
        name,
        node: None,
        content: "backup".to_owned(),
        vmid: Some(vmid),
        format: if storage.kind == "pbs" { "pbs-vm" } else { plan.extension }.to_owned(),
        size,
        used: if storage.kind == "pbs" { used / 2 } else { size },
        created,
        parent: None,
        children: 0,
        file: FileAttributes { notes, protected: plan.protected, archive: Some(archive), ..FileAttributes::default() },
    };
    cluster.volumes.insert(&storage, &plan.node, volume);
    if let Some(keep) = &plan.keep {
        log.push(format!("INFO: prune older backups with retention: {keep}"));
        let removed = prune::remove(cluster, &storage, &plan.node, Some(vmid), keep);
        log.extend(removed.iter().map(|volid| format!("INFO: removing backup '{volid}'")));
        log.push(format!("INFO: pruned {} backup(s) not covered by keep-retention policy", removed.len()));
    }
    cluster.touch();
    Ok(())
}

/// Gives the guest back: no lock, and no process that was there for the backup only.
fn release(plan: &Plan, cluster: &mut ClusterState, vmid: u32, at: Micros, log: &mut Vec<String>) {
    let Ok(guest) = cluster.load_mut(&plan.node, vmid) else { return };
    if guest.lock() == Some("backup") {
        guest.config.remove("lock");
    }
    if guest.process.as_ref().is_some_and(|process| process.prelaunch) {
        log.push("INFO: stopping kvm after backup task".to_owned());
        process::end(cluster, vmid, at);
    }
    cluster.touch();
}

/// The last line of a job.
pub(crate) fn finish(plan: Plan, log: &mut Vec<String>) -> Result<u32, String> {
    if plan.is_lost {
        return Err(lost());
    }
    if plan.failed {
        log.push("INFO: Backup job finished with errors".to_owned());
        return Err("job errors".to_owned());
    }
    log.push("INFO: Backup job finished successfully".to_owned());
    Ok(0)
}

/// A job that fails gives the guest at hand back; nothing of its archive stays.
pub(crate) fn abandon(plan: &Plan, cluster: &mut ClusterState) {
    if let Some(current) = &plan.current {
        release(plan, cluster, current.vmid, current.began, &mut Vec::new());
    }
}
