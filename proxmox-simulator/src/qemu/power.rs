//! start, stop, shutdown, reboot, reset, suspend, resume: the calls, and what their tasks do to the process.

use std::time::Duration;

use super::process;
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::drive::{drives, is_network_key, network_option};
use crate::cluster::guest::Guest;
use crate::failure::{Failure, Outcome, Reply};
use crate::ha;
use crate::options::Release;
use crate::tasks::Work;

/// Seconds a guest has to shut down when none are given.
const SHUTDOWN_SECONDS: u32 = 60;

/// What a `qmshutdown` or `qmreboot` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    node: String,
    vmid: u32,
    seconds: u32,
    /// Kill the process when the guest does not obey.
    force: bool,
    /// Start again afterwards.
    reboot: bool,
}

fn target(call: &Call<'_>) -> (String, u32) {
    (call.node().to_owned(), call.vmid())
}

/// The guest must run.
fn require_running<'a>(call: &'a Call<'_>) -> Result<&'a Guest, Failure> {
    let guest = call.cluster.assert_on_node(call.node(), call.vmid())?;
    if guest.process.is_none() {
        return Err(Failure::died(format!("VM {} not running", guest.vmid)));
    }
    Ok(guest)
}

fn refuse_paused(call: &Call<'_>) -> Result<(), Failure> {
    let guest = call.cluster.guest_on(call.node(), call.vmid());
    let paused = guest.and_then(|guest| guest.process.as_ref()).is_some_and(|process| process.paused);
    if paused { Err(Failure::died("VM is paused - cannot shutdown")) } else { Ok(()) }
}

/// POST status/start
pub(crate) fn start(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    for root_only in ["stateuri", "migratedfrom", "migration_type", "migration_network", "targetstorage", "force-cpu"] {
        if call.parameters.get(root_only).is_some() && !call.caller.is_root() {
            return Err(Failure::parameter(root_only, "Only root may use this option."));
        }
    }
    if let Some(reply) = ha::intercept(call, "hastart") {
        return Ok(reply);
    }
    let (node, vmid) = target(call);
    Ok(Reply::data(call.spawn("qmstart", Some(vmid), Work::Start { node, vmid })))
}

/// POST status/stop
pub(crate) fn stop(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    if let Some(reply) = ha::intercept(call, "hastop") {
        return Ok(reply);
    }
    let (node, vmid) = target(call);
    if call.parameters.flag("overrule-shutdown") == Some(true) {
        let holder = call.cluster.guest_on(&node, vmid).and_then(|guest| guest.file_lock.as_ref());
        let upid = holder.map(|lock| lock.upid.clone()).filter(|upid| upid.contains(":qmshutdown:"));
        if let Some(upid) = upid {
            call.cluster.kill_task(&upid, call.now);
        }
    }
    Ok(Reply::data(call.spawn("qmstop", Some(vmid), Work::Stop { node, vmid })))
}

/// POST status/shutdown
pub(crate) fn shutdown(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    if let Some(reply) = ha::intercept(call, "hastop") {
        return Ok(reply);
    }
    let force = call.parameters.flag("forceStop") == Some(true);
    let (node, vmid) = target(call);
    let paused = refuse_paused(call);
    if paused.is_err() {
        if !force {
            return paused.map(|()| Reply::null());
        }
        return Ok(Reply::data(call.spawn("qmshutdown", Some(vmid), Work::Stop { node, vmid })));
    }
    let seconds = call.parameters.number("timeout").unwrap_or(SHUTDOWN_SECONDS);
    let plan = Shutdown { node, vmid, seconds, force, reboot: false };
    Ok(Reply::data(call.spawn("qmshutdown", Some(vmid), Work::Shutdown(plan))))
}

/// POST status/reboot
pub(crate) fn reboot(call: &mut Call<'_>) -> Outcome {
    require_running(call)?;
    refuse_paused(call)?;
    let (node, vmid) = target(call);
    let seconds = call.parameters.number("timeout").unwrap_or(SHUTDOWN_SECONDS);
    let plan = Shutdown { node, vmid, seconds, force: false, reboot: true };
    Ok(Reply::data(call.spawn("qmreboot", Some(vmid), Work::Shutdown(plan))))
}

/// POST status/reset
pub(crate) fn reset(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    require_running(call)?;
    let (node, vmid) = target(call);
    Ok(Reply::data(call.spawn("qmreset", Some(vmid), Work::Reset { node, vmid })))
}

/// POST status/suspend: pause, or with `todisk` hibernate.
pub(crate) fn suspend(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    require_running(call)?;
    let (node, vmid) = target(call);
    if call.parameters.flag("todisk") != Some(true) {
        return Ok(Reply::data(call.spawn("qmpause", Some(vmid), Work::Pause { node, vmid })));
    }
    super::hibernate::call(call)
}

/// POST status/resume
pub(crate) fn resume(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    let suspended = call.cluster.assert_on_node(call.node(), call.vmid())?.lock() == Some("suspended");
    if !suspended {
        require_running(call)?;
    }
    let (node, vmid) = target(call);
    Ok(Reply::data(call.spawn("qmresume", Some(vmid), Work::Resume { node, vmid })))
}

fn loaded<'a>(cluster: &'a ClusterState, node: &str, vmid: u32) -> Result<&'a Guest, String> {
    cluster.load(node, vmid).map_err(|failure| failure.text().to_owned())
}

fn loaded_mut<'a>(cluster: &'a mut ClusterState, node: &str, vmid: u32) -> Result<&'a mut Guest, String> {
    cluster.load_mut(node, vmid).map_err(|failure| failure.text().to_owned())
}

/// May the guest start?
pub(crate) fn check_start(cluster: &ClusterState, node: &str, vmid: u32) -> Result<(), String> {
    let guest = loaded(cluster, node, vmid)?;
    if guest.is_template() {
        return Err("you can't start a vm if it's a template".to_owned());
    }
    // A guest that runs for its backup only is let go by a start.
    if super::hibernate::waits_in_backup(guest) {
        return Ok(());
    }
    if guest.lock() != Some("suspended") {
        guest.check_lock()?;
    }
    if guest.process.is_some() {
        return Err(format!("VM {vmid} already running"));
    }
    Ok(())
}

pub(crate) fn begin_start(
    cluster: &ClusterState,
    node: &str,
    vmid: u32,
    log: &mut Vec<String>,
) -> Result<Duration, String> {
    check_start(cluster, node, vmid)?;
    let guest = loaded(cluster, node, vmid)?;
    if drives(&guest.config).iter().any(|(_, drive)| drive.is_cloud_init()) {
        log.push("generating cloud-init ISO".to_owned());
    }
    Ok(cluster.timing().start)
}

/// Starts the process, if its bridges are there.
pub(crate) fn finish_start(
    cluster: &mut ClusterState,
    node: &str,
    vmid: u32,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<u32, String> {
    let guest = loaded(cluster, node, vmid)?;
    if super::hibernate::waits_in_backup(guest) {
        log.push("VM is in prelaunch state for a backup, resuming it".to_owned());
        let process = process_mut(cluster, node, vmid)?;
        (process.prelaunch, process.started, process.booted) = (false, at, at);
        return Ok(0);
    }
    let cards = guest.config.values.iter().filter(|(option, _)| is_network_key(option));
    for (option, text) in cards {
        let Some(bridge) = network_option(text, "bridge") else { continue };
        if !cluster.bridges.iter().any(|known| known == bridge) {
            if cluster.settings.release == Release::V9_2 {
                return Err(format!("bridge '{bridge}' does not exist"));
            }
            let index = option.trim_start_matches("net");
            log.push(format!("bridge '{bridge}' does not exist"));
            log.push(format!(
                "kvm: -netdev type=tap,id={option},ifname=tap{vmid}i{index},script=/usr/libexec/qemu-server/pve-bridge,downscript=/usr/libexec/qemu-server/pve-bridgedown: network script /usr/libexec/qemu-server/pve-bridge failed with status 512"
            ));
            return Err("start failed: QEMU exited with code 1".to_owned());
        }
    }
    let single = guest.config.get("scsihw") == Some("virtio-scsi-single");
    let useless_threads = drives(&guest.config)
        .iter()
        .filter(|(option, drive)| {
            let wants_thread = drive.options.get("iothread").map(String::as_str) == Some("1");
            wants_thread && !single && !option.starts_with("virtio")
        })
        .count();
    for _ in 0..useless_threads {
        log.push("WARN: iothread is only valid with virtio disk or virtio-scsi-single controller, ignoring".to_owned());
    }
    if loaded(cluster, node, vmid)?.lock() == Some("suspended") {
        super::hibernate::wake(cluster, node, vmid, at, log);
    } else {
        process::start(cluster, vmid, at);
    }
    Ok(u32::try_from(useless_threads).unwrap_or(u32::MAX))
}

pub(crate) fn begin_stop(cluster: &ClusterState, node: &str, vmid: u32) -> Result<Duration, String> {
    let guest = loaded(cluster, node, vmid)?;
    if guest.process.is_none() {
        return Ok(Duration::ZERO);
    }
    guest.check_lock()?;
    Ok(cluster.timing().stop)
}

pub(crate) fn finish_stop(cluster: &mut ClusterState, node: &str, vmid: u32, at: Micros) -> Result<u32, String> {
    loaded(cluster, node, vmid)?;
    process::end(cluster, vmid, at);
    Ok(0)
}

pub(crate) fn begin_shutdown(cluster: &ClusterState, plan: &Shutdown) -> Result<Duration, String> {
    let guest = loaded(cluster, &plan.node, plan.vmid)?;
    if guest.process.is_none() {
        return Ok(Duration::ZERO);
    }
    guest.check_lock()?;
    let patience = cluster.timing().second.saturating_mul(plan.seconds);
    Ok(if obeys(cluster, guest, plan) { cluster.timing().shutdown } else { patience })
}

/// Is the guest down before patience ends?
fn obeys(cluster: &ClusterState, guest: &Guest, plan: &Shutdown) -> bool {
    let timing = cluster.timing();
    let patience = timing.second.saturating_mul(plan.seconds);
    !guest.ignores_power_button && (timing.second.is_zero() || timing.shutdown <= patience)
}

pub(crate) fn finish_shutdown(
    cluster: &mut ClusterState,
    plan: &Shutdown,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<u32, String> {
    let guest = loaded(cluster, &plan.node, plan.vmid)?;
    if guest.process.is_none() {
        return Ok(0);
    }
    if !obeys(cluster, guest, plan) {
        if super::agent::is_configured(&guest.config) {
            log.push(format!(
                "QEMU Guest Agent is not running - VM {} qmp command 'guest-ping' failed - got timeout",
                plan.vmid
            ));
        }
        if !plan.force {
            return Err("VM quit/powerdown failed - got timeout".to_owned());
        }
        log.push("VM still running - terminating now with SIGTERM".to_owned());
    }
    process::end(cluster, plan.vmid, at);
    if plan.reboot {
        process::start(cluster, plan.vmid, at);
    }
    Ok(0)
}

fn process_mut<'a>(
    cluster: &'a mut ClusterState,
    node: &str,
    vmid: u32,
) -> Result<&'a mut crate::cluster::guest::Process, String> {
    loaded_mut(cluster, node, vmid)?.process.as_mut().ok_or_else(|| format!("VM {vmid} not running"))
}

pub(crate) fn finish_reset(cluster: &mut ClusterState, node: &str, vmid: u32, at: Micros) -> Result<u32, String> {
    loaded(cluster, node, vmid)?.check_lock()?;
    process_mut(cluster, node, vmid)?.booted = at;
    Ok(0)
}

pub(crate) fn finish_pause(cluster: &mut ClusterState, node: &str, vmid: u32, paused: bool) -> Result<u32, String> {
    let guest = loaded(cluster, node, vmid)?;
    if guest.lock() != Some("backup") {
        guest.check_lock()?;
    }
    process_mut(cluster, node, vmid)?.paused = paused;
    Ok(0)
}

pub(crate) fn finish_resume(
    cluster: &mut ClusterState,
    node: &str,
    vmid: u32,
    at: Micros,
    log: &mut Vec<String>,
) -> Result<u32, String> {
    if loaded(cluster, node, vmid)?.process.is_none() {
        log.push("Resuming suspended VM".to_owned());
        return finish_start(cluster, node, vmid, at, log);
    }
    finish_pause(cluster, node, vmid, false)
}
