//! Moving a machine to another node of its cluster, running or not. Until the guest is seen on the other node nothing is
//! believed; a move that fails leaves it where it was.

use std::time::Duration;

use proxmox_client::{MigrateVm, PowerState, TaskEnd};
use serde_json::{Map, Value, json};

use super::db::{self, Next};
use super::machine::{Machine, Progress, Step, still_ours};
use super::task::{Task, follow, remember};
use super::{find_for_staff, find_within};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::clusters::{self, Trouble};
use crate::error::Result;
use crate::ids::{JobId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::{fault, ledger, live};

const TARGET: &str = "target";

/// Asks for a machine to be moved to another node. For staff.
///
/// # Errors
/// `Conflict` when it is busy or is not on a cluster, `Invalid` for a node that is not one of its cluster's others,
/// `Unavailable` when there is no room.
pub async fn migrate(app: &App, vm: VmId, target: &str, actor: &Actor) -> Result<JobId> {
    let organisation = find_for_staff(app, vm).await?.organisation;
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    found.check_free()?;
    found.check_exists()?;
    let target = target.trim();
    clusters::check_target(&mut transaction, vm, target).await??;
    db::set_next(&mut transaction, vm, Next { node: Some(target), ..Next::default() }).await?;
    let payload = Map::from_iter([(TARGET.to_owned(), Value::from(target))]);
    let new = NewJob { kind: Kind::VmMigrate, organisation, vm, payload, requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    // The customer's log names no node: where a machine stands is the operator's matter.
    let subject = Subject::new("vm", vm, found.name);
    let (now, owner) = (app.clock.now(), Some(organisation));
    audit::record(&mut transaction, now, actor, owner, Event::VmMigrate, subject, json!({})).await?;
    live::announce(&mut transaction, owner, "vms").await?;
    transaction.commit().await?;
    Ok(job)
}

/// The step: moves the guest to the node that the job names.
pub(super) async fn run(app: &App, job: &mut Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let target = job.payload.get(TARGET).and_then(Value::as_str).unwrap_or_default().to_owned();
    go(app, job, &machine, &target).await
}

/// Moves the guest to a node, if it is not there already.
pub(super) async fn go(app: &App, job: &mut Job, machine: &Machine, target: &str) -> Step {
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox moves the VM")),
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let (node, config) = machine.our_guest(app).await?;
    if config.lock.as_deref() == Some("migrate") {
        return Err(Trouble::Locked("the guest is being moved".into()));
    }
    if node == target {
        let mut transaction = still_ours(app, job).await?;
        db::set_node(&mut transaction, job.vm, target).await?;
        transaction.commit().await?;
        let step = job.current().map_or("end", |step| step.name);
        fault::point(&format!("{}.{step}.noted", job.kind.name()));
        return Ok(Progress::Done);
    }
    let vmid = machine.vmid()?;
    let runs = machine.client.vm_status(&node, vmid).await?.status == PowerState::Running;
    let check = machine.client.check_migration(&node, vmid, Some(target)).await?;
    if !check.local_resources.is_empty() {
        return Err(Trouble::Refused(format!(
            "the guest is bound to its node by {}: take that away first",
            check.local_resources.join(", ")
        )));
    }
    // A CD that only this node has, such as a rescue image, cannot go along.
    if let Some(cd) = check.local_disks.iter().find(|disk| disk.cdrom && !disk.volid.contains("cloudinit")) {
        return Err(Trouble::Refused(format!(
            "the CD {} is on this node only: take it out of the drive first",
            cd.volid
        )));
    }
    let order = MigrateVm::new(target).online(runs).with_local_disks(!check.local_disks.is_empty());
    let upid = machine.client.migrate_vm(&node, vmid, &order).await?;
    remember(app, job, &upid).await?;
    Ok(Progress::Wait(Duration::ZERO, "Proxmox moves the VM"))
}
