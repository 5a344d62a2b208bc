//! Deleting a machine: stopped, then destroyed if the guest names it, then its address and VMID given back.

use std::time::Duration;

use proxmox_client::{Error as ProxmoxError, PowerState, TaskEnd};
use serde_json::{Map, json};
use sqlx::PgConnection;

use super::machine::{Guest, Machine, Progress, Step};
use super::task::{Task, follow, outwait, remember};
use super::{State, db, find, find_within, seed};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::clusters::Trouble;
use crate::error::Result;
use crate::ids::{JobId, OrganisationId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::ledger::Wallet;
use crate::{ledger, live, metering, runway};

/// How long to wait for a clone that must end before it can be destroyed.
const CLONE_PAUSE: Duration = Duration::from_secs(2);

/// Asks for a machine to be deleted. One that is still being made is undone; one that failed is only taken off the list.
///
/// # Errors
/// `Conflict` when something else is at work on it.
pub async fn delete(app: &App, organisation: OrganisationId, vm: VmId, actor: &Actor) -> Result<Option<JobId>> {
    let found = find(app, organisation, vm).await?;
    if let (State::Provisioning, Some(job)) = (found.state, &found.job) {
        jobs::cancel(app, Some(organisation), job.id, actor).await?;
        return Ok(Some(job.id));
    }
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let job = delete_within(app, &mut transaction, &wallet, vm, actor).await?;
    transaction.commit().await?;
    Ok(job)
}

/// The same in somebody's transaction, with the wallet locked, for a machine that is not being made.
///
/// # Errors
/// `NotFound` when it is gone, `Conflict` when something else is at work on it or it is protected.
pub async fn delete_within(
    app: &App,
    transaction: &mut PgConnection,
    wallet: &Wallet,
    vm: VmId,
    actor: &Actor,
) -> Result<Option<JobId>> {
    let (now, organisation) = (app.clock.now(), wallet.organisation);
    // Read again under the lock: it may have gone, or failed, since it was looked for.
    let found = find_within(app, &mut *transaction, organisation, vm).await?;
    found.check_free()?;
    found.check_unprotected()?;
    let subject = Subject::new("vm", vm, &found.name);
    audit::record(&mut *transaction, now, actor, Some(organisation), Event::VmDelete, subject, json!({})).await?;
    let job = match found.state {
        State::Failed => {
            db::update_state(&mut *transaction, vm, State::Deleted, None, now).await?;
            None
        }
        State::Provisioning | State::Running | State::Stopped | State::Deleting | State::Deleted => {
            db::update_state(&mut *transaction, vm, State::Deleting, None, now).await?;
            // From here on it is of no use to its owner: however long deleting takes, that is ours.
            metering::close(&mut *transaction, wallet, vm, now).await?;
            runway::recompute(app, &mut *transaction, organisation, now).await?;
            let new =
                NewJob { kind: Kind::VmDelete, organisation, vm, payload: Map::new(), requested_by: actor.user() };
            Some(jobs::enqueue(app, &mut *transaction, new).await?)
        }
    };
    live::announce(transaction, Some(organisation), "vms").await?;
    Ok(job)
}

/// Stops the guest hard, if it runs.
pub(super) async fn stop(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    if machine.row.vmid.is_none() {
        return Ok(Progress::Done);
    }
    stop_guest(app, job, &machine).await
}

pub(super) async fn stop_guest(app: &App, job: &mut Job, machine: &Machine) -> Step {
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox stops the VM")),
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let node = match machine.guest(app).await? {
        Guest::Missing | Guest::Foreign => return Ok(Progress::Done),
        Guest::BeingMade => return outwait(app, job, CLONE_PAUSE, "Proxmox still copies the image"),
        Guest::Ours(node, _) => node,
    };
    let vmid = machine.vmid()?;
    if machine.client.vm_status(&node, vmid).await?.status != PowerState::Running {
        return Ok(Progress::Done);
    }
    let upid = machine.client.stop(&node, vmid).await?;
    remember(app, job, &upid).await?;
    Ok(Progress::Wait(Duration::ZERO, "Proxmox stops the VM"))
}

/// Destroys the guest.
pub(super) async fn destroy(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    if machine.row.vmid.is_none() {
        return Ok(Progress::Done);
    }
    destroy_guest(app, job, &machine).await
}

/// Destroys the guest if it is there and ours, then its seed CD. A stranger's guest under our VMID is left alone, and that is the end of it.
pub(super) async fn destroy_guest(app: &App, job: &mut Job, machine: &Machine) -> Step {
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox deletes the VM")),
        Task::Ended(TaskEnd::Warnings(count)) => {
            jobs::log(
                app,
                job,
                &format!("Proxmox deleted it with {count} warnings: volumes may be left on the storage"),
            )
            .await?;
        }
        Task::Ended(TaskEnd::Failed(error)) if error.is_running() || error.is_missing_guest() => {}
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok) | Task::None => {}
    }
    let node = match machine.guest(app).await? {
        Guest::Missing => return seed::remove(app, job, machine).await,
        Guest::Foreign => {
            jobs::log(app, job, "The guest with this VMID is not this VM: nothing was done to it").await?;
            return seed::remove(app, job, machine).await;
        }
        Guest::BeingMade => return outwait(app, job, CLONE_PAUSE, "Proxmox still copies the image"),
        Guest::Ours(node, config) => {
            seed::note(app, job, &config).await?;
            node
        }
    };
    let vmid = machine.vmid()?;
    if machine.client.vm_status(&node, vmid).await?.status == PowerState::Running {
        return match stop_guest(app, job, machine).await? {
            // Started again behind our back, or by the step that is being undone.
            Progress::Done => Err(Trouble::Busy("the guest is running again".into())),
            wait @ Progress::Wait(..) => Ok(wait),
        };
    }
    let upid = match machine.client.delete_vm(&node, vmid, true, true).await {
        Ok(upid) => upid,
        Err(ProxmoxError::Refused(refusal)) if refusal.is_running() => return Err(Trouble::Busy(refusal.to_string())),
        Err(ProxmoxError::Refused(refusal)) if refusal.is_missing_guest() => {
            return Ok(Progress::Wait(Duration::ZERO, "Proxmox deletes the VM"));
        }
        Err(error) => return Err(error.into()),
    };
    remember(app, job, &upid).await?;
    Ok(Progress::Wait(Duration::ZERO, "Proxmox deletes the VM"))
}
