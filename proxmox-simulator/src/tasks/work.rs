//! What a task does: each kind checks when it begins, says how long it takes, and has its effect when it ends. The
//! doing itself is in the verb files of `qemu`, `backups` and the storage files.

use std::time::Duration;

use crate::backups::{restore, vzdump};
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::ha;
use crate::qemu::{
    clone, create, delete, hibernate, migrate, move_disk, power, reassign_disk, resize, snapshots, template, update,
};
use crate::{backups, storage_files};

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
    Hibernate(hibernate::Plan),
    Resume {
        node: String,
        vmid: u32,
    },
    Destroy(delete::Plan),
    Snapshot(snapshots::create::Plan),
    Rollback(snapshots::rollback::Plan),
    DeleteSnapshot(snapshots::delete::Plan),
    Migrate(migrate::Plan),
    MoveDisk(move_disk::Plan),
    ReassignDisk(reassign_disk::Plan),
    Backup(vzdump::Plan),
    Restore(restore::Plan),
    Prune(backups::prune::Plan),
    DeleteVolume {
        node: String,
        volid: String,
    },
    AddFile(storage_files::Plan),
    /// A console that waits for its WebSocket.
    Console,
    AskManager(ha::Request),
    /// A task that only stands for others.
    Nothing,
}

/// Lines a worker writes.
pub(crate) type Log = Vec<String>;

impl Work {
    /// The checks a worker makes first; then how long it takes.
    pub(super) fn begin(&mut self, cluster: &mut ClusterState, at: Micros, log: &mut Log) -> Result<Duration, String> {
        match self {
            Self::Create(_) => Ok(cluster.timing().create),
            Self::Clone(plan) => clone::begin(plan, cluster),
            Self::Configure { change, .. } => {
                log.push(change.describe());
                Ok(cluster.timing().configure)
            }
            Self::Resize(plan) => resize::begin(plan, cluster),
            Self::Template { .. } => Ok(cluster.timing().template),
            Self::AskManager(_) | Self::Nothing => Ok(Duration::ZERO),
            Self::Start { node, vmid } => power::begin_start(cluster, node, *vmid, log),
            Self::Stop { node, vmid } => power::begin_stop(cluster, node, *vmid),
            Self::Shutdown(plan) => power::begin_shutdown(cluster, plan),
            Self::Hibernate(plan) => hibernate::begin(plan, cluster, at, log),
            Self::Reset { .. } | Self::Pause { .. } | Self::Resume { .. } => Ok(cluster.timing().control),
            Self::Destroy(plan) => delete::begin(plan, cluster),
            Self::Snapshot(plan) => snapshots::create::begin(plan, cluster, at, log),
            Self::Rollback(plan) => snapshots::rollback::begin(plan, cluster, at, log),
            Self::DeleteSnapshot(plan) => snapshots::delete::begin(plan, cluster, log),
            Self::Migrate(plan) => migrate::begin(plan, cluster, at, log),
            Self::MoveDisk(plan) => move_disk::begin(plan, cluster, at, log),
            Self::ReassignDisk(plan) => reassign_disk::begin(plan, cluster, log),
            Self::Backup(plan) => vzdump::begin(plan, cluster, at, log),
            Self::Restore(plan) => restore::begin(plan, cluster, at, log),
            Self::Prune(_) | Self::DeleteVolume { .. } => Ok(cluster.timing().free_volume),
            Self::AddFile(plan) => storage_files::begin(plan, cluster, log),
            Self::Console => Ok(cluster.timing().console_wait),
        }
    }

    /// Work of several steps: ends one, begins the next and says how long that takes. None when it was the last.
    pub(super) fn proceed(&mut self, cluster: &mut ClusterState, at: Micros, log: &mut Log) -> Option<Duration> {
        match self {
            Self::Backup(plan) => vzdump::proceed(plan, cluster, at, log),
            _ => None,
        }
    }

    /// Does it hold the config file's lock until it ends? Those that set a config lock give the file back at once.
    pub(super) fn keeps_file_lock(&self) -> bool {
        !matches!(
            self,
            Self::Snapshot(_) | Self::Rollback(_) | Self::DeleteSnapshot(_) | Self::Migrate(_) | Self::Backup(_)
        )
    }

    /// Is it a backup at work, other than the one with this marker?
    pub(super) fn backs_up(&self, own_marker: u64) -> bool {
        matches!(self, Self::Backup(plan) if plan.marker() != own_marker && !plan.waits())
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
            Self::Hibernate(plan) => hibernate::finish(&plan, cluster, at, log),
            Self::Resume { node, vmid } => power::finish_resume(cluster, &node, vmid, at, log),
            Self::Destroy(plan) => delete::finish(plan, cluster, at, log),
            Self::Snapshot(plan) => snapshots::create::finish(&plan, cluster),
            Self::Rollback(plan) => snapshots::rollback::finish(&plan, cluster, at, log),
            Self::DeleteSnapshot(plan) => snapshots::delete::finish(&plan, cluster),
            Self::Migrate(plan) => migrate::finish(plan, cluster, at, log),
            Self::MoveDisk(plan) => move_disk::finish(&plan, cluster),
            Self::ReassignDisk(plan) => reassign_disk::finish(&plan, cluster, log),
            Self::Backup(plan) => vzdump::finish(plan, log),
            Self::Restore(plan) => restore::finish(plan, cluster, at, log),
            Self::Prune(plan) => backups::prune::finish(&plan, cluster, at, log),
            Self::DeleteVolume { node, volid } => storage_files::finish_delete(cluster, &node, &volid, log),
            Self::AddFile(plan) => storage_files::finish(plan, cluster, at, log),
            Self::Console => Err("connection timed out".to_owned()),
            Self::AskManager(request) => ha::finish_request(cluster, &request),
            Self::Nothing => Ok(0),
        }
    }

    /// Proxmox's clean-up when the worker fails. A guest that was being made is taken away again; a rollback, and the
    /// removal of a snapshot, leave their lock behind.
    pub(super) fn abandon(&self, cluster: &mut ClusterState) {
        match self {
            Self::Create(plan) => create::abandon(plan, cluster),
            Self::Clone(plan) => clone::abandon(plan, cluster),
            Self::Hibernate(plan) => hibernate::abandon(plan, cluster),
            Self::Snapshot(plan) => snapshots::create::abandon(plan, cluster),
            Self::Migrate(plan) => migrate::abandon(plan, cluster),
            Self::MoveDisk(plan) => move_disk::abandon(plan, cluster),
            Self::Backup(plan) => vzdump::abandon(plan, cluster),
            Self::Restore(plan) => restore::abandon(plan, cluster),
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
            | Self::Rollback(_)
            | Self::DeleteSnapshot(_)
            | Self::ReassignDisk(_)
            | Self::Prune(_)
            | Self::DeleteVolume { .. }
            | Self::AddFile(_)
            | Self::Console
            | Self::AskManager(_)
            | Self::Nothing => {}
        }
    }
}
