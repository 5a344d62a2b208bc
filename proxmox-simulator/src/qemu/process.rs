//! The start and end of a QEMU process, and the config changes that waited for either.

use super::{cloud_init, update};
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::guest::Process;

/// Starts a guest's process with everything that waited for it.
pub(crate) fn start(cluster: &mut ClusterState, vmid: u32, at: Micros) {
    update::apply_pending(cluster, vmid, at);
    let pid = cluster.tasks.next_pid();
    if let Some(guest) = cluster.guests.get_mut(&vmid) {
        guest.cloud_init_image = Some(cloud_init::options(&guest.config));
        guest.process = Some(Process { pid, started: at, booted: at, paused: false, prelaunch: false });
    }
    cluster.touch();
}

/// Ends a guest's process; what waited for that is applied.
pub(crate) fn end(cluster: &mut ClusterState, vmid: u32, at: Micros) {
    if let Some(guest) = cluster.guests.get_mut(&vmid) {
        guest.process = None;
    }
    update::apply_pending(cluster, vmid, at);
    cluster.touch();
}
