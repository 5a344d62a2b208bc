//! Giving a machine another plan. Processors and memory go up and down; the disk only grows, and only when its owner says so,
//! for it never shrinks again. The guest is shut down for it and started again.

use proxmox_client::ConfigChange;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::burn::{burn_of, check_hour};
use super::db::{self, Next};
use super::machine::{Machine, Progress, Step, still_ours};
use super::{State, Vm, disk, find_within, migrate, power, provision, run};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::catalog::{self, Plan, PowerState};
use crate::clusters::Trouble;
use crate::error::{Error, Result};
use crate::ids::{JobId, OrganisationId, PlanId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::metering::{Metered, Parts};
use crate::quotas::{Amounts, Quota};
use crate::{clusters, fault, ledger, live, metering, quotas, spending};

/// What a machine is to become.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, utoipa::ToSchema)]
pub struct NewSize {
    /// The plan; its own, to let the disk grow to what the plan has.
    pub plan: PlanId,
    /// Whether the disk grows to the plan's. It cannot be undone.
    #[serde(default)]
    pub grow_disk: bool,
    /// Whether its power is cut when it does not shut down by itself.
    #[serde(default)]
    pub force: bool,
}

pub(super) const RUNNING: &str = "was_running";
const FORCE: &str = "force";
const DISK: &str = "disk_gib";

/// Why a machine cannot have a plan, as a sentence; nothing when it can.
#[must_use]
pub fn why_not(vm: &Vm, plan: &Plan) -> Option<String> {
    if plan.disk_gib < vm.disk_gib {
        return Some(format!(
            "Its disk has {} GiB and disks never shrink; {} comes with {} GiB.",
            vm.disk_gib, plan.name, plan.disk_gib
        ));
    }
    (plan.id == vm.plan && plan.disk_gib == vm.disk_gib).then(|| "It has this plan already.".to_owned())
}

/// The plan that is asked for, if the machine can have it.
///
/// # Errors
/// `Conflict` while it is suspended, `Invalid` for a plan that is not on sale or does not fit the disk.
pub(super) fn chosen<'a>(vm: &Vm, plans: &'a [Plan], size: NewSize) -> Result<&'a Plan> {
    if vm.paused_at.is_some() {
        return Err(Error::conflict(format!("{} is suspended: resume it first, or stop it hard.", vm.name)));
    }
    let plan = plans.iter().find(|plan| plan.id == size.plan);
    let plan = plan.ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))?;
    if let Some(why) = why_not(vm, plan) {
        return Err(Error::invalid("plan", why));
    }
    if plan.id == vm.plan && !size.grow_disk {
        return Err(Error::invalid("grow_disk", "It has this plan already; only its disk can grow."));
    }
    Ok(plan)
}

/// What a machine has with another plan and disk.
pub(super) fn parts_with(parts: Parts, plan: &Plan, disk_gib: i32, state: PowerState) -> Parts {
    Parts { plan: plan.id, state, extra_disk_gib: i64::from((disk_gib - plan.disk_gib).max(0)), ..parts }
}

/// Asks for another size.
///
/// # Errors
/// `Conflict` when the machine is busy or protected from it, `Invalid` when the plan does not fit the disk, `QuotaExceeded`,
/// `NotEnoughCredit` for less than an hour of it, `SpendingLimit` when it is too much for the key that asks, `Unavailable` when
/// no host has room.
pub async fn resize(app: &App, organisation: OrganisationId, vm: VmId, size: NewSize, actor: &Actor) -> Result<JobId> {
    let now = app.clock.now();
    let plans = catalog::plans_for(app, organisation).await?;
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    found.check_free()?;
    found.check_exists()?;
    let plan = chosen(&found, &plans, size)?;
    let disk_gib = if size.grow_disk { plan.disk_gib } else { found.disk_gib };
    let more = |after: i32, before: i32| i64::from((after - before).max(0));
    let asked = Amounts::NONE
        .with(Quota::Vcpu, more(plan.vcpu, found.vcpu))
        .with(Quota::Memory, more(plan.memory_mib, found.memory_mib))
        .with(Quota::Disk, more(disk_gib, found.disk_gib));
    quotas::check(&mut transaction, organisation, asked).await?;
    let book = catalog::price_book_for(&mut transaction, organisation).await?;
    let now_parts =
        metering::parts(&mut transaction, Metered { vm, plan: found.plan, state: PowerState::Running }).await?;
    let parts = parts_with(now_parts, plan, disk_gib, PowerState::Running);
    let burn = burn_of(&book, &parts.on(book.list()), now)?;
    check_hour(&wallet, &burn)?;
    spending::allow(app, &mut transaction, &wallet, actor, vm, burn.rate()).await?;
    let node = clusters::room_for(&mut transaction, vm, plan.id, disk_gib).await??;
    let moves = node != found.node;
    let next = Next { plan: Some(plan.id), node: moves.then_some(node.as_str()), image: None };
    db::set_next(&mut transaction, vm, next).await?;
    let payload = Map::from_iter([
        (RUNNING.to_owned(), json!(found.state == State::Running)),
        (FORCE.to_owned(), json!(size.force)),
        (DISK.to_owned(), json!(disk_gib)),
        (jobs::GROWS_DISK.to_owned(), json!(disk_gib > found.disk_gib)),
    ]);
    let new = NewJob { kind: Kind::VmResize, organisation, vm, payload, requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    let detail = Changes::of("plan", &found.plan_name, &plan.name)?.and("disk_gib", &found.disk_gib, &disk_gib)?;
    let subject = Subject::new("vm", vm, found.name);
    audit::record(&mut transaction, now, actor, Some(organisation), Event::VmResize, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    transaction.commit().await?;
    Ok(job)
}

pub(super) fn was_running(job: &Job) -> bool {
    job.payload.get(RUNNING) == Some(&Value::Bool(true))
}

/// Shuts the guest down, and is metered as stopped from then on.
pub(super) async fn shutdown(app: &App, job: &mut Job) -> Step {
    let force = job.payload.get(FORCE) == Some(&Value::Bool(true));
    match power::shut_down(app, job, force).await? {
        Progress::Done => {
            run::power_seen(app, job, State::Stopped).await?;
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}

/// Starts the guest again, if it ran before.
pub(super) async fn start(app: &App, job: &mut Job) -> Step {
    if was_running(job) { provision::start(app, job).await } else { Ok(Progress::Done) }
}

/// The guest runs again as it did before.
pub(super) async fn undo_shutdown(app: &App, job: &mut Job) -> Step {
    match start(app, job).await? {
        Progress::Done => {
            if was_running(job) {
                run::power_seen(app, job, State::Running).await?;
            }
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}

/// Stops the guest that the last step had started, so that its size can be set back.
pub(super) async fn undo_start(app: &App, job: &mut Job) -> Step {
    power::shut_down(app, job, true).await
}

/// Moves the guest where there is room for what it becomes.
pub(super) async fn relocate(app: &App, job: &mut Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    match machine.row.next_node.clone() {
        Some(target) => migrate::go(app, job, &machine, &target).await,
        None => Ok(Progress::Done),
    }
}

/// Sets processors and memory to the next plan's.
pub(super) async fn size(app: &App, job: &mut Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let row = &machine.row;
    set_size(app, &machine, row.next_vcpu.unwrap_or(row.vcpu), row.next_memory_mib.unwrap_or(row.memory_mib)).await?;
    fault::point("vm.resize.size.written");
    Ok(Progress::Done)
}

/// Sets them back to the plan it has.
pub(super) async fn undo_size(app: &App, job: &mut Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    set_size(app, &machine, machine.row.vcpu, machine.row.memory_mib).await?;
    Ok(Progress::Done)
}

async fn set_size(app: &App, machine: &Machine, vcpu: i32, memory_mib: i32) -> Result<(), Trouble> {
    let (node, config) = machine.our_guest(app).await?;
    let cores = u32::try_from(vcpu).unwrap_or(1);
    let memory_mib = u64::try_from(memory_mib).unwrap_or(512);
    let waits = config.raw.contains_key("vcpus");
    if config.sockets == 1 && config.cores == cores && config.memory_mib == memory_mib && !waits {
        return Ok(());
    }
    let mut change = ConfigChange::new().sockets(1).cores(cores).memory_mib(memory_mib);
    if waits {
        // A number of processors plugged in by hand would hide the cores.
        change = change.delete("vcpus");
    }
    machine.write(&node, &config, change).await
}

/// Grows the disk, and writes down that it has grown: whatever becomes of the job, the disk stays.
pub(super) async fn grow(app: &App, job: &mut Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let wanted = job.payload.get(DISK).and_then(Value::as_i64).and_then(|gib| i32::try_from(gib).ok());
    let wanted = wanted.unwrap_or(machine.row.disk_gib).max(machine.row.disk_gib);
    match disk::grow(app, job, &machine, wanted).await? {
        Progress::Done => {
            let mut transaction = still_ours(app, job).await?;
            db::note_grown_disk(&mut transaction, job.vm, wanted).await?;
            transaction.commit().await?;
            fault::point("vm.resize.grow.noted");
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}
