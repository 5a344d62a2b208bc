//! The disk of a guest. It only grows.

use std::time::Duration;

use proxmox_client::{TaskEnd, VmConfig};

use super::machine::{Machine, Progress, Step};
use super::task::{Task, follow, remember};
use crate::app::App;
use crate::clusters::Trouble;
use crate::jobs::Job;

/// The disk that a machine starts from, in the order in which templates have one.
const BOOT_DISKS: [&str; 4] = ["scsi0", "virtio0", "sata0", "ide0"];

/// The disk that a guest starts from.
pub(super) fn boot_disk(config: &VmConfig) -> Option<&'static str> {
    BOOT_DISKS.into_iter().find(|name| config.disks.get(*name).is_some_and(|disk| !disk.is_cdrom()))
}

/// Grows the disk of the guest that the step is about to so many GiB. One that is as large already, or larger, is left alone.
pub(super) async fn grow(app: &App, job: &mut Job, machine: &Machine, gib: i32) -> Step {
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox grows the disk")),
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let (node, config) = machine.our_guest(app).await?;
    let disk = boot_disk(&config).ok_or_else(|| Trouble::Refused("the guest has no disk to start from".into()))?;
    let gib = u64::try_from(gib).unwrap_or(0);
    let size = config.disks.get(disk).and_then(|disk| disk.size());
    if size.is_some_and(|size| size.bytes() >= gib << 30) {
        return Ok(Progress::Done);
    }
    match machine.client.resize_disk(&node, machine.vmid()?, disk, gib).await? {
        Some(upid) => remember(app, job, &upid).await?,
        // Version 7 has grown it by the time it answers.
        None => return Ok(Progress::Done),
    }
    Ok(Progress::Wait(Duration::ZERO, "Proxmox grows the disk"))
}
