//! What a task does: each kind checks when it begins, says how long it takes, and has its effect when it ends. The
//! doing itself is in the verb files of `qemu`.

use std::time::Duration;

use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::qemu::{clone, create, delete, power, resize, template, update};

/// The work of one task.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Create(create::Plan),
    Clone(clone::Plan),
    Configure {
        node: String,
        vmid: u32,
        change: update::Change,
    },
    Resize(resize::Plan),
    Template {
        node: String,
        vmid: u32,
    },
    Start {
        node: String,
        vmid: u32,
    },
    Stop {
        node: String,
        vmid: u32,
    },
    Shutdown(power::Shutdown),
    Reset {
        node: String,
        vmid: u32,
    },
    Pause {
        node: String,
        vmid: u32,
    },
    Hibernate {
        node: String,
        vmid: u32,
    },
    Resume {
        node: String,
        vmid: u32,
    },
    Destroy(delete::Plan),
    /// A console that waits for its WebSocket.
    Console,
}

/// Lines a worker writes.
pub(crate) type Log = Vec<String>;

impl Work {
    /// The checks a worker makes first; then how long it takes.
    pub(super) fn begin(&self, cluster: &ClusterState, log: &mut Log) -> Result<Duration, String> {
        let timing = cluster.timing();
        match self {
            Self::Create(_) => Ok(timing.create),
            Self::Clone(plan) => clone::begin(plan, cluster),
            Self::Configure { change, .. } => {
                log.push(change.describe());
                Ok(timing.configure)
            }
            Self::Resize(plan) => resize::begin(plan, cluster),
            Self::Template { .. } => Ok(timing.template),
            Self::Start { node, vmid } => power::begin_start(cluster, node, *vmid, log),
            Self::Stop { node, vmid } => power::begin_stop(cluster, node, *vmid),
            Self::Shutdown(plan) => power::begin_shutdown(cluster, plan),
            Self::Reset { .. } | Self::Pause { .. } | Self::Hibernate { .. } | Self::Resume { .. } => {
                Ok(timing.control)
            }
            Self::Destroy(plan) => delete::begin(plan, cluster),
            Self::Console => Ok(timing.console_wait),
        }
    }

    /// The effect; returns the number of warnings.
    pub(super) fn finish(self, cluster: &mut ClusterState, at: Micros, log: &mut Log) -> Result<u32, String> {
        match self {
            Self::Create(plan) => create::finish(plan, cluster, at, log),
            Self::Clone(plan) => clone::finish(plan, cluster, at, log),
            Self::Configure { node, vmid, change } => {
                update::apply(cluster, &node, vmid, change, at).map(|()| 0).map_err(|failure| failure.text().to_owned())
            }
            Self::Resize(plan) => resize::finish(plan, cluster, log),
            Self::Template { node, vmid } => template::finish(cluster, &node, vmid),
            Self::Start { node, vmid } => power::finish_start(cluster, &node, vmid, at, log),
            Self::Stop { node, vmid } => power::finish_stop(cluster, &node, vmid, at),
            Self::Shutdown(plan) => power::finish_shutdown(cluster, &plan, at, log),
            Self::Reset { node, vmid } => power::finish_reset(cluster, &node, vmid, at),
            Self::Pause { node, vmid } => power::finish_pause(cluster, &node, vmid, true),
            Self::Hibernate { node, vmid } => power::finish_hibernate(cluster, &node, vmid),
            Self::Resume { node, vmid } => power::finish_resume(cluster, &node, vmid, at, log),
            Self::Destroy(plan) => delete::finish(plan, cluster, at, log),
            Self::Console => Err("connection timed out".to_owned()),
        }
    }

    /// Proxmox's clean-up when the worker fails: a guest that was being made is taken away again.
    pub(super) fn abandon(&self, cluster: &mut ClusterState) {
        match self {
            Self::Create(plan) => create::abandon(plan, cluster),
            Self::Clone(plan) => clone::abandon(plan, cluster),
            Self::Hibernate { vmid, .. } => power::abandon_hibernate(cluster, *vmid),
            Self::Configure { .. }
            | Self::Resize(_)
            | Self::Template { .. }
            | Self::Start { .. }
            | Self::Stop { .. }
            | Self::Shutdown(_)
            | Self::Reset { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Destroy(_)
            | Self::Console => {}
        }
    }
}
