//! Starting, shutting down, stopping and rebooting: asked for by people, or by the wallet.

use std::time::Duration;

use proxmox_client::{PowerState, TaskEnd};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::burn::{burn_of, check_hour, lines_of};
use super::machine::{Machine, Progress, Step};
use super::task::{Task, follow, remember};
use super::{State, db, find_within};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::clusters::Trouble;
use crate::error::{Error, Result};
use crate::ids::{JobId, OrganisationId, PlanId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::ledger::Wallet;
use crate::{catalog, fault, ledger, live, spending};

/// How long a guest may take to shut down.
const SHUTDOWN_SECONDS: u32 = 60;
/// The mark in a job's payload that the wallet asked for it.
const FOR_CREDIT: &str = "for_credit";

/// What a person can tell a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Turn on.
    Start,
    /// Ask the guest to shut down.
    Shutdown,
    /// Cut the power.
    Stop,
    /// Ask the guest to reboot.
    Reboot,
    /// Restart it as its reset button would: the guest is not asked.
    Reset,
    /// Let its processors stand still; its memory is kept and charged as before.
    Suspend,
    /// Let them go on.
    Resume,
}

impl Power {
    fn kind(self) -> Kind {
        match self {
            Self::Start => Kind::VmStart,
            Self::Shutdown => Kind::VmShutdown,
            Self::Stop => Kind::VmStop,
            Self::Reboot => Kind::VmReboot,
            Self::Reset => Kind::VmReset,
            Self::Suspend => Kind::VmSuspend,
            Self::Resume => Kind::VmResume,
        }
    }

    fn event(self) -> Event {
        match self {
            Self::Start => Event::VmStart,
            Self::Shutdown => Event::VmShutdown,
            Self::Stop => Event::VmStop,
            Self::Reboot => Event::VmReboot,
            Self::Reset => Event::VmReset,
            Self::Suspend => Event::VmSuspend,
            Self::Resume => Event::VmResume,
        }
    }
}

/// Asks for a change of power.
///
/// # Errors
/// `Conflict` when the machine is busy or in another state, `NotEnoughCredit` to start one with an empty wallet,
/// `SpendingLimit` to start one that is too much for the key that asks.
pub async fn power(app: &App, organisation: OrganisationId, vm: VmId, power: Power, actor: &Actor) -> Result<JobId> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    // Whoever else changes this machine takes this lock first, so what is read below stays true until the commit.
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    found.check_free()?;
    match (power, found.state) {
        (Power::Start, State::Stopped) => {
            let book = catalog::price_book_for(&mut transaction, organisation).await?;
            let running = catalog::PowerState::Running;
            let lines = lines_of(&mut transaction, book.list(), vm, found.plan, running).await?;
            let burn = burn_of(&book, &lines, now)?;
            check_hour(&wallet, &burn)?;
            spending::allow(app, &mut transaction, &wallet, actor, vm, burn.rate()).await?;
            db::set_stopped_for_credit(&mut transaction, vm, None).await?;
        }
        (Power::Resume, State::Running) if found.paused_at.is_none() => {
            return Err(Error::conflict(format!("{} is not suspended.", found.name)));
        }
        (Power::Suspend, State::Running) if found.paused_at.is_some() => {
            return Err(Error::conflict(format!("{} is suspended already.", found.name)));
        }
        (Power::Shutdown | Power::Reboot, State::Running) if found.paused_at.is_some() => {
            return Err(Error::conflict(format!("{} is suspended: resume it first, or stop it hard.", found.name)));
        }
        (
            Power::Shutdown | Power::Stop | Power::Reboot | Power::Reset | Power::Suspend | Power::Resume,
            State::Running,
        ) => {}
        (Power::Start, State::Running) => return Err(Error::conflict(format!("{} is running already.", found.name))),
        (Power::Shutdown | Power::Stop, State::Stopped) => {
            return Err(Error::conflict(format!("{} is stopped already.", found.name)));
        }
        (Power::Reboot | Power::Reset | Power::Resume, State::Stopped) => {
            return Err(Error::conflict(format!("{} is stopped: start it instead.", found.name)));
        }
        (Power::Suspend, State::Stopped) => {
            return Err(Error::conflict(format!("{} is stopped: there is nothing to suspend.", found.name)));
        }
        (_, State::Provisioning | State::Failed | State::Deleting | State::Deleted) => {
            return Err(Error::conflict(format!("{} is {}: this cannot be done.", found.name, found.state.name())));
        }
    }
    let new = NewJob { kind: power.kind(), organisation, vm, payload: Map::new(), requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    let subject = Subject::new("vm", vm, found.name);
    audit::record(&mut transaction, now, actor, Some(organisation), power.event(), subject, json!({})).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    transaction.commit().await?;
    Ok(job)
}

/// Orders the shutdown of these machines in their order, because the credit ran out. The wallet is locked.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn shut_down_for_credit(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vms: &[VmId],
) -> Result<()> {
    for vm in vms {
        stop_for_credit(app, &mut *connection, organisation, *vm).await?;
    }
    live::announce(connection, Some(organisation), "vms").await?;
    Ok(())
}

/// Orders the shutdown of a machine that has come up on an empty wallet, unless it may run: what costs nothing may, and so
/// does everything in its rescue time. The wallet is locked.
pub(super) async fn stop_if_empty(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    vm: VmId,
    plan: PlanId,
) -> Result<()> {
    let now = app.clock.now();
    if !wallet.keeps_off(now) {
        return Ok(());
    }
    let book = catalog::price_book_for(&mut *connection, wallet.organisation).await?;
    let rate = book.at(plan, catalog::PowerState::Running, now).map_err(anyhow::Error::new)?.rate;
    if rate.is_zero() { Ok(()) } else { stop_for_credit(app, connection, wallet.organisation, vm).await }
}

/// Orders the shutdown of one machine for lack of credit.
async fn stop_for_credit(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
) -> Result<()> {
    db::set_stopped_for_credit(&mut *connection, vm, Some(app.clock.now())).await?;
    let payload = Map::from_iter([(FOR_CREDIT.to_owned(), Value::Bool(true))]);
    jobs::enqueue(app, connection, NewJob { kind: Kind::VmShutdown, organisation, vm, payload, requested_by: None })
        .await?;
    Ok(())
}

/// Orders the start of a machine that was shut down for lack of credit. It waits for a shutdown that is still at work.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn start_after_credit(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
) -> Result<()> {
    db::set_stopped_for_credit(&mut *connection, vm, None).await?;
    let payload = Map::from_iter([(FOR_CREDIT.to_owned(), Value::Bool(true))]);
    jobs::enqueue(app, &mut *connection, NewJob { kind: Kind::VmStart, organisation, vm, payload, requested_by: None })
        .await?;
    live::announce(connection, Some(organisation), "vms").await?;
    Ok(())
}

/// Whether the wallet asked for this job.
#[must_use]
pub fn is_for_credit(job: &Job) -> bool {
    job.payload.get(FOR_CREDIT) == Some(&Value::Bool(true))
}

/// Shuts the guest down gracefully. When the wallet asked for it and the guest does not listen, its power is cut.
pub(super) async fn shutdown(app: &App, job: &mut Job) -> Step {
    let force = is_for_credit(job);
    shut_down(app, job, force).await
}

/// Shuts the guest down gracefully; `force` cuts its power when it does not listen in time.
pub(super) async fn shut_down(app: &App, job: &mut Job, force: bool) -> Step {
    let machine = Machine::of(app, job).await?;
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "the guest shuts down")),
        Task::Ended(TaskEnd::Failed(error)) if error.is_shutdown_ignored() => {
            return Err(Trouble::Refused(format!(
                "the guest did not shut down within {SHUTDOWN_SECONDS} s ({})",
                error.text()
            )));
        }
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let (node, _) = machine.our_guest(app).await?;
    let vmid = machine.vmid()?;
    if machine.client.vm_status(&node, vmid).await?.status != PowerState::Running {
        return Ok(Progress::Done);
    }
    let upid = machine.client.shutdown(&node, vmid, SHUTDOWN_SECONDS, force).await?;
    remember(app, job, &upid).await?;
    Ok(Progress::Wait(Duration::ZERO, "the guest shuts down"))
}

/// Marks in a job's scratch that its one call was sent.
const SENT: &str = "sent";

/// What cannot be seen on the guest afterwards and must not be done twice.
#[derive(Debug, Clone, Copy)]
enum Once {
    Reboot,
    Reset,
}

impl Once {
    fn waits_for(self) -> &'static str {
        match self {
            Self::Reboot => "the guest reboots",
            Self::Reset => "Proxmox resets the VM",
        }
    }
}

/// Reboots the guest, once.
pub(super) async fn reboot(app: &App, job: &mut Job) -> Step {
    once(app, job, Once::Reboot).await
}

/// Resets the guest, once.
pub(super) async fn reset(app: &App, job: &mut Job) -> Step {
    once(app, job, Once::Reset).await
}

/// What was sent is remembered first and never sent again.
async fn once(app: &App, job: &mut Job, what: Once) -> Step {
    let machine = Machine::of(app, job).await?;
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, what.waits_for())),
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) => return Ok(Progress::Done),
        Task::None => {}
    }
    let (node, _) = machine.our_guest(app).await?;
    if job.scratch.contains_key(SENT) {
        // Sent, and its answer lost: a second one would be worse than none.
        jobs::log(app, job, "It is not known whether Proxmox received it; it is not sent twice.").await?;
        return Ok(Progress::Done);
    }
    job.scratch.insert(SENT.into(), Value::Bool(true));
    if !jobs::save(app, job).await? {
        return Err(Trouble::Busy("another runner has this job now".into()));
    }
    fault::point(&format!("{}.{}.marked", job.kind.name(), job.current().map_or("end", |step| step.name)));
    let vmid = machine.vmid()?;
    let sent = match what {
        Once::Reboot => machine.client.reboot(&node, vmid).await,
        Once::Reset => machine.client.reset(&node, vmid).await,
    };
    match sent {
        Ok(upid) => remember(app, job, &upid).await?,
        Err(error @ (proxmox_client::Error::NeverSent { .. } | proxmox_client::Error::Refused(_))) => {
            job.scratch.remove(SENT);
            return Err(error.into());
        }
        Err(error @ proxmox_client::Error::MaybeDone { .. }) => return Err(error.into()),
    }
    Ok(Progress::Wait(Duration::ZERO, what.waits_for()))
}

/// Lets the guest's processors stand still.
pub(super) async fn suspend(app: &App, job: &mut Job) -> Step {
    pause(app, job, true).await
}

/// Lets them go on.
pub(super) async fn resume(app: &App, job: &mut Job) -> Step {
    pause(app, job, false).await
}

async fn pause(app: &App, job: &mut Job, wanted: bool) -> Step {
    let what = if wanted { "Proxmox suspends the VM" } else { "Proxmox resumes the VM" };
    let machine = Machine::of(app, job).await?;
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, what)),
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let (node, _) = machine.our_guest(app).await?;
    let vmid = machine.vmid()?;
    let status = machine.client.vm_status(&node, vmid).await?;
    if status.status != PowerState::Running {
        return Err(Trouble::Refused("the guest does not run".into()));
    }
    if status.is_paused() == wanted {
        return Ok(Progress::Done);
    }
    let upid = match wanted {
        true => machine.client.suspend(&node, vmid).await?,
        false => machine.client.resume(&node, vmid).await?,
    };
    remember(app, job, &upid).await?;
    Ok(Progress::Wait(Duration::ZERO, what))
}
