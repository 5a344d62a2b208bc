//! Which step of which job does what, and what the end of a job means for its machine: in one transaction with the job.

use serde_json::json;
use sqlx::PgConnection;

use super::db::Next;
use super::machine::{Guest, Machine, Progress, Step, check_ours};
use super::task::outlast;
use super::{State, adopt, configure, db, delete, enforce, migrate, password, power, provision, rebuild, resize, seed};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::PowerState;
use crate::clusters::{self, Trouble};
use crate::error::Result;
use crate::jobs::{self, Job, Kind, Status};
use crate::ledger::{self, Wallet};
use crate::metering::{self, Metered};
use crate::{addresses, fault, live, runway};

/// Runs the job's current step.
///
/// # Errors
/// What stands in the way, and whether waiting helps.
pub async fn run_step(app: &App, job: &mut Job) -> Step {
    match (job.kind, job.current().map(|step| step.name)) {
        (Kind::VmCreate, Some("lease")) => provision::lease(app, job).await,
        (Kind::VmCreate, Some("clone")) => provision::clone(app, job).await,
        (Kind::VmCreate, Some("configure")) => provision::configure(app, job).await,
        (Kind::VmCreate | Kind::VmRebuild, Some("seed")) => seed::seed(app, job).await,
        (Kind::VmCreate, Some("resize")) => provision::resize(app, job).await,
        (Kind::VmCreate, Some("address")) => provision::address(app, job).await,
        (Kind::VmCreate | Kind::VmStart, Some("start")) => provision::start(app, job).await,
        (Kind::VmShutdown, Some("shutdown")) => power::shutdown(app, job).await,
        (Kind::VmStop | Kind::VmDelete, Some("stop")) => delete::stop(app, job).await,
        (Kind::VmReboot, Some("reboot")) => power::reboot(app, job).await,
        (Kind::VmReset, Some("reset")) => power::reset(app, job).await,
        (Kind::VmSuspend, Some("suspend")) => power::suspend(app, job).await,
        (Kind::VmResume, Some("resume")) => power::resume(app, job).await,
        (Kind::VmResize, Some("shutdown")) => resize::shutdown(app, job).await,
        (Kind::VmResize, Some("move")) => resize::relocate(app, job).await,
        (Kind::VmResize, Some("size")) => resize::size(app, job).await,
        (Kind::VmResize, Some("grow")) => resize::grow(app, job).await,
        (Kind::VmResize, Some("start")) => resize::start(app, job).await,
        (Kind::VmRebuild, Some("lease")) => provision::lease(app, job).await,
        (Kind::VmRebuild, Some("clone")) => provision::clone(app, job).await,
        (Kind::VmRebuild, Some("configure")) => provision::configure(app, job).await,
        (Kind::VmRebuild, Some("resize")) => provision::resize(app, job).await,
        (Kind::VmRebuild | Kind::VmBoot, Some("stop")) => rebuild::stop(app, job).await,
        (Kind::VmRebuild, Some("swap")) => rebuild::swap(app, job).await,
        (Kind::VmRebuild, Some("start")) => rebuild::start(app, job).await,
        (Kind::VmRebuild, Some("address")) => provision::address(app, job).await,
        (Kind::VmRebuild, Some("destroy")) => rebuild::destroy(app, job).await,
        (Kind::VmMigrate, Some("migrate")) => migrate::run(app, job).await,
        (Kind::VmConfigure | Kind::VmBoot, Some("apply")) => configure::apply(app, job).await,
        (Kind::VmBoot, Some("start")) => provision::start(app, job).await,
        (Kind::VmPassword, Some("password")) => password::run(app, job).await,
        (Kind::VmDelete, Some("destroy")) => delete::destroy(app, job).await,
        (Kind::VmEnforce, Some("shutdown")) => enforce::shutdown(app, job).await,
        (Kind::VmEnforce, Some("set")) => enforce::set(app, job).await,
        (Kind::VmEnforce, Some("start")) => enforce::start(app, job).await,
        (Kind::VmAdopt, Some("lease")) => adopt::lease(app, job).await,
        (Kind::VmAdopt, Some("mark")) => adopt::mark(app, job).await,
        (Kind::VmAdopt, Some("look")) => adopt::look(app, job).await,
        (Kind::VmRelease, Some("unmark")) => adopt::unmark(app, job).await,
        (kind, step) => Err(Trouble::Refused(format!("{} has no step {step:?}", kind.name()))),
    }
}

/// Undoes the job's current step.
///
/// # Errors
/// What stands in the way, and whether waiting helps.
pub async fn undo_step(app: &App, job: &mut Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    if let Some(pause) = outlast(app, &machine.client, job).await? {
        return Ok(Progress::Wait(pause, "Proxmox finishes what it began"));
    }
    let changes_the_guest = matches!(job.kind, Kind::VmResize | Kind::VmBoot | Kind::VmEnforce);
    if changes_the_guest && matches!(machine.guest(app).await?, Guest::Missing | Guest::Foreign) {
        // Somebody took it away by hand. The next look says so, and an operator decides.
        jobs::log(app, job, "The guest is not on the cluster any more: there is nothing to undo.").await?;
        return Ok(Progress::Done);
    }
    match (job.kind, job.current().map(|step| step.name)) {
        (Kind::VmCreate, Some("clone")) => provision::undo_clone(app, job).await,
        (Kind::VmCreate, Some("lease")) => provision::undo_lease(app, job).await,
        (Kind::VmAdopt, Some("mark")) => adopt::undo_mark(app, job).await,
        (Kind::VmResize, Some("start")) => resize::undo_start(app, job).await,
        (Kind::VmResize, Some("size")) => resize::undo_size(app, job).await,
        (Kind::VmResize, Some("shutdown")) => resize::undo_shutdown(app, job).await,
        (Kind::VmRebuild | Kind::VmBoot, Some("start")) => rebuild::undo_start(app, job).await,
        (Kind::VmRebuild, Some("swap")) => rebuild::undo_swap(app, job).await,
        (Kind::VmRebuild, Some("stop")) => rebuild::undo_stop(app, job).await,
        (Kind::VmRebuild, Some("clone")) => provision::undo_clone(app, job).await,
        (Kind::VmRebuild, Some("lease")) => provision::undo_lease(app, job).await,
        (Kind::VmBoot, Some("apply")) => configure::undo_apply(app, job).await,
        (Kind::VmBoot, Some("stop")) => resize::undo_shutdown(app, job).await,
        (Kind::VmEnforce, Some("shutdown")) => enforce::undo_shutdown(app, job).await,
        // The rest only changes the guest, which goes with the clone; its seed CD goes after it.
        _ => Ok(Progress::Done),
    }
}

/// What a finished job means, in the transaction that finishes it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn complete(app: &App, connection: &mut PgConnection, job: &Job) -> Result<()> {
    let now = app.clock.now();
    let wallet = ledger::lock_wallet(&mut *connection, job.organisation).await?;
    let subject = Subject::new("vm", job.vm, &job.vm_name);
    match job.kind {
        Kind::VmCreate => {
            ledger::release_hold(&mut *connection, job.vm).await?;
            now_is(app, &mut *connection, &wallet, job, State::Running).await?;
            let system = Actor::system();
            audit::record(
                &mut *connection,
                now,
                &system,
                Some(job.organisation),
                Event::VmProvisioned,
                subject,
                json!({}),
            )
            .await?;
        }
        Kind::VmStart => now_is(app, &mut *connection, &wallet, job, State::Running).await?,
        Kind::VmShutdown | Kind::VmStop => now_is(app, &mut *connection, &wallet, job, State::Stopped).await?,
        Kind::VmReboot | Kind::VmConfigure | Kind::VmPassword => {}
        Kind::VmReset | Kind::VmResume => db::set_paused(&mut *connection, job.vm, None).await?,
        Kind::VmSuspend => db::set_paused(&mut *connection, job.vm, Some(now)).await?,
        Kind::VmBoot => now_is(app, &mut *connection, &wallet, job, State::Running).await?,
        Kind::VmResize => {
            db::take_next_plan(&mut *connection, job.vm).await?;
            let state = if resize::was_running(job) { State::Running } else { State::Stopped };
            now_is(app, &mut *connection, &wallet, job, state).await?;
            let (system, owner) = (Actor::system(), Some(job.organisation));
            audit::record(&mut *connection, now, &system, owner, Event::VmResized, subject, json!({})).await?;
        }
        Kind::VmRebuild => {
            db::take_next_image(&mut *connection, job.vm, rebuild::keys(job)).await?;
            now_is(app, &mut *connection, &wallet, job, State::Running).await?;
            let (system, owner) = (Actor::system(), Some(job.organisation));
            audit::record(&mut *connection, now, &system, owner, Event::VmRebuilt, subject, json!({})).await?;
        }
        Kind::VmMigrate => db::set_next(&mut *connection, job.vm, Next::default()).await?,
        Kind::VmEnforce => {
            enforce::forget(&mut *connection, job).await?;
            if enforce::restarts(job) {
                now_is(app, &mut *connection, &wallet, job, State::Running).await?;
            }
        }
        Kind::VmAdopt => {
            let state = match db::select_found_state(&mut *connection, job.vm).await? {
                PowerState::Running => State::Running,
                PowerState::Stopped => State::Stopped,
            };
            now_is(app, &mut *connection, &wallet, job, state).await?;
            let (system, owner) = (Actor::system(), Some(job.organisation));
            audit::record(&mut *connection, now, &system, owner, Event::VmAdopted, subject, json!({})).await?;
        }
        Kind::VmRelease => {
            gone(app, &mut *connection, job, State::Deleted, None).await?;
            let (system, owner) = (Actor::system(), Some(job.organisation));
            audit::record(&mut *connection, now, &system, owner, Event::VmReleased, subject, json!({})).await?;
        }
        Kind::VmDelete => {
            metering::close(&mut *connection, &wallet, job.vm, now).await?;
            gone(app, &mut *connection, job, State::Deleted, None).await?;
            runway::recompute(app, &mut *connection, job.organisation, now).await?;
            let system = Actor::system();
            audit::record(&mut *connection, now, &system, Some(job.organisation), Event::VmDeleted, subject, json!({}))
                .await?;
        }
    }
    let told = ["vms", "wallet"].map(|topic| (Some(job.organisation), topic.to_owned()));
    live::announce_all(connection, told, false).await?;
    Ok(())
}

/// The machine runs or is off from now on, and is metered so. One that runs on an empty wallet is shut down again.
async fn now_is(app: &App, connection: &mut PgConnection, wallet: &Wallet, job: &Job, state: State) -> Result<()> {
    let now = app.clock.now();
    let vm = db::select_machine_plan(&mut *connection, job.vm).await?;
    db::update_state(&mut *connection, job.vm, state, None, now).await?;
    let power_state = if state == State::Running { PowerState::Running } else { PowerState::Stopped };
    metering::open(app, &mut *connection, wallet, Metered { vm: job.vm, plan: vm, state: power_state }, now).await?;
    if state == State::Running {
        power::stop_if_empty(app, &mut *connection, wallet, job.vm, vm).await?;
    }
    runway::recompute(app, connection, job.organisation, now).await?;
    Ok(())
}

/// Writes down between two steps that the machine runs or is off now, so that it is metered so.
pub(super) async fn power_seen(app: &App, job: &Job, state: State) -> Result<(), Trouble> {
    let mut transaction = app.pool.begin().await?;
    // The wallet first, as whoever ends a job does.
    let wallet = ledger::lock_wallet(&mut transaction, job.organisation).await?;
    check_ours(&mut transaction, job).await?;
    let now = app.clock.now();
    let plan = db::select_machine_plan(&mut transaction, job.vm).await?;
    db::update_state(&mut transaction, job.vm, state, None, now).await?;
    let power_state = if state == State::Running { PowerState::Running } else { PowerState::Stopped };
    metering::open(app, &mut transaction, &wallet, Metered { vm: job.vm, plan, state: power_state }, now).await?;
    if job.undoing && state == State::Running {
        // It runs as before, but the credit may have run out meanwhile. A job that goes on forwards looks for that at its end.
        power::stop_if_empty(app, &mut transaction, &wallet, job.vm, plan).await?;
    }
    runway::recompute(app, &mut transaction, job.organisation, now).await?;
    live::announce(&mut transaction, Some(job.organisation), "vms").await?;
    transaction.commit().await?;
    let step = job.current().map_or("end", |step| step.name);
    let way = if job.undoing { "undo_" } else { "" };
    fault::point(&format!("{}.{step}.{way}noted", job.kind.name()));
    Ok(())
}

/// The machine is no more: everything that was set aside for it is given back.
async fn gone(app: &App, connection: &mut PgConnection, job: &Job, state: State, reason: Option<&str>) -> Result<()> {
    let now = app.clock.now();
    ledger::release_hold(&mut *connection, job.vm).await?;
    db::update_state(&mut *connection, job.vm, state, reason, now).await?;
    // A machine that was never handed over has told nobody its address.
    addresses::release(&mut *connection, job.vm, matches!(job.kind, Kind::VmDelete | Kind::VmRelease), now).await?;
    clusters::release_vmid(connection, job.vm, now).await
}

/// What a customer reads of a machine that could not be made.
const NOT_MADE: &str = "It could not be made. Nothing was charged, and the operator has been told.";

/// What a job that could not be done means, in the transaction that ends it. Answers how the job ends.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn give_up(app: &App, connection: &mut PgConnection, job: &Job) -> Result<Status> {
    let now = app.clock.now();
    let status = match job.kind {
        // Undone to the last step: nothing of it is left.
        Kind::VmCreate if job.undoing => {
            ledger::lock_wallet(&mut *connection, job.organisation).await?;
            let (state, status) = if job.cancel_requested {
                (State::Deleted, Status::Cancelled)
            } else {
                (State::Failed, Status::Failed)
            };
            gone(app, &mut *connection, job, state, (state == State::Failed).then_some(NOT_MADE)).await?;
            let subject = Subject::new("vm", job.vm, &job.vm_name);
            let system = Actor::system();
            let event = if state == State::Failed { Event::VmFailed } else { Event::VmDeleted };
            audit::record(
                &mut *connection,
                now,
                &system,
                Some(job.organisation),
                event,
                subject,
                // Why is in the job, for operators: this log is the customer's too.
                json!({}),
            )
            .await?;
            status
        }
        // The guest is as it was before: only our side of it goes.
        Kind::VmAdopt if job.undoing => {
            ledger::lock_wallet(&mut *connection, job.organisation).await?;
            gone(app, &mut *connection, job, State::Deleted, None).await?;
            let subject = Subject::new("vm", job.vm, &job.vm_name);
            let (system, owner) = (Actor::system(), Some(job.organisation));
            audit::record(&mut *connection, now, &system, owner, Event::VmReleased, subject, json!({})).await?;
            if job.cancel_requested { Status::Cancelled } else { Status::Failed }
        }
        // What is left on the cluster is not known, or cannot be taken back: a person decides.
        Kind::VmResize | Kind::VmRebuild if job.undoing => {
            db::set_next(&mut *connection, job.vm, Next::default()).await?;
            if job.cancel_requested { Status::Cancelled } else { Status::Failed }
        }
        Kind::VmBoot if job.undoing => {
            configure::put_back(&mut *connection, job).await?;
            if job.cancel_requested { Status::Cancelled } else { Status::Failed }
        }
        Kind::VmMigrate => {
            db::set_next(&mut *connection, job.vm, Next::default()).await?;
            Status::Failed
        }
        // Refused, so nothing was changed on the guest. After many attempts nobody knows.
        Kind::VmConfigure if job.attempts < jobs::ATTEMPTS_MAX => {
            configure::put_back(&mut *connection, job).await?;
            Status::Failed
        }
        Kind::VmCreate
        | Kind::VmDelete
        | Kind::VmAdopt
        | Kind::VmRelease
        | Kind::VmResize
        | Kind::VmRebuild
        | Kind::VmConfigure
        | Kind::VmBoot => Status::Parked,
        Kind::VmReset | Kind::VmSuspend | Kind::VmResume | Kind::VmPassword => Status::Failed,
        Kind::VmStart | Kind::VmShutdown | Kind::VmStop | Kind::VmReboot | Kind::VmEnforce => {
            if power::is_for_credit(job) { Status::Parked } else { Status::Failed }
        }
    };
    let told = ["vms", "wallet"].map(|topic| (Some(job.organisation), topic.to_owned()));
    live::announce_all(connection, told, false).await?;
    Ok(status)
}
