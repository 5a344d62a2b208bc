//! What happened to a machine, and how its making goes: put together from charges, audit events, jobs and their logs, in a
//! customer's words. What Proxmox said is left to the operator.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::list::memory;
use crate::app::App;
use crate::audit::{self, ActorKind, AuditEvent};
use crate::catalog::Item;
use crate::error::Result;
use crate::jobs::{self, Job, Kind, LogLine, Status};
use crate::metering::{self, VmCharge};
use crate::vms::{self, State, Vm};
use crate::web::format;
use crate::web::pages::audit::words;
use crate::web::pages::frames::decimal;
use crate::web::views::vms::show::{Provisioning, StepState, StepView, TimelineEvent, TimelineKind, VmTimeline};

/// How many lines the timeline has at most.
const LINES_SHOWN: usize = 40;
/// How many charges are looked at.
const CHARGES_SHOWN: i64 = 12;
/// How many audit events are looked at.
const EVENTS_SHOWN: i64 = 40;

/// What happened, newest first.
pub(super) async fn timeline(app: &App, vm: &Vm, jobs: &[Job]) -> Result<VmTimeline> {
    let charges = metering::latest_charges(app, vm.organisation, Some(vm.id), CHARGES_SHOWN).await?;
    let filter = audit::Filter { subject: Some(vm.id.to_string()), ..audit::Filter::of_customer(vm.organisation) };
    let told = audit::list(app, &filter, EVENTS_SHOWN).await?;
    let currency = app.settings.currency.clone();
    let mut events: Vec<TimelineEvent> = charges.iter().map(charge).collect();
    events.extend(told.into_iter().map(|event| told_event(event, &currency)));
    events.extend(jobs.iter().filter_map(for_credit));
    events.extend(jobs.iter().filter_map(failure));
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.truncate(LINES_SHOWN);
    Ok(VmTimeline { events, currency })
}

fn charge(charge: &VmCharge) -> TimelineEvent {
    let (from, to) = (charge.from.format("%H:%M"), charge.to.format("%H:%M"));
    let text = format!("Charged {from}–{to}, {}", item(charge));
    TimelineEvent { at: charge.to, kind: TimelineKind::Charge, text, who: None, amount: Some(decimal(charge.amount)) }
}

/// What a charge is for, in words.
fn item(charge: &VmCharge) -> String {
    let quantity = charge.quantity;
    match charge.item {
        Item::Vm(_, state) => state.name().to_owned(),
        Item::Disk => format!("{quantity} GiB of disk beyond the plan"),
        Item::Address if quantity == 1 => "its address".to_owned(),
        Item::Address => format!("{quantity} addresses"),
        Item::Snapshot => format!("{quantity} GiB of snapshots"),
        Item::Backup => format!("{quantity} GiB of backups"),
        Item::ImageLicence(_) => "the licence of its system".to_owned(),
        Item::Traffic => format!("{quantity} MiB of traffic"),
    }
}

fn told_event(event: AuditEvent, currency: &str) -> TimelineEvent {
    let (kind, text) = match event.event.as_str() {
        "vm.ordered" => (TimelineKind::Created, "ordered it".to_owned()),
        "vm.provisioned" => (TimelineKind::Created, "It was made and is running".to_owned()),
        "vm.failed" => (TimelineKind::Failure, "It could not be made".to_owned()),
        "vm.start" => (TimelineKind::Power, "started it".to_owned()),
        "vm.shutdown" => (TimelineKind::Power, "shut it down".to_owned()),
        "vm.stop" => (TimelineKind::Power, "stopped it hard".to_owned()),
        "vm.reboot" => (TimelineKind::Power, "rebooted it".to_owned()),
        "vm.reset" => (TimelineKind::Power, "reset it".to_owned()),
        "vm.suspend" => (TimelineKind::Power, "suspended it".to_owned()),
        "vm.resume" => (TimelineKind::Power, "resumed it".to_owned()),
        "vm.delete" => (TimelineKind::Event, "asked to delete it".to_owned()),
        "vm.console_opened" => (TimelineKind::Event, console_opened(&event)),
        "vm.console_closed" => (TimelineKind::Event, "closed its console".to_owned()),
        "vm.observed" => (TimelineKind::Power, format!("Uni-Manager {}", words(&event, currency))),
        _ => (TimelineKind::Event, words(&event, currency)),
    };
    let who = (event.actor_kind != ActorKind::System).then(|| event.who());
    TimelineEvent { at: event.at, kind, text, who, amount: None }
}

/// An operator says why he looks; his customer reads it here.
fn console_opened(event: &AuditEvent) -> String {
    match event.detail.get("reason").and_then(Value::as_str) {
        Some(reason) => format!("opened its console: {reason}"),
        None => "opened its console".to_owned(),
    }
}

/// What the wallet did: nobody asked for it, so no audit event of the machine tells of it.
fn for_credit(job: &Job) -> Option<TimelineEvent> {
    let text = match job.kind {
        _ if !vms::is_for_credit(job) => return None,
        Kind::VmStart => "Credit arrived: it is started again",
        Kind::VmShutdown | Kind::VmStop => "The credit ran out: it is shut down",
        _ => return None,
    };
    Some(TimelineEvent { at: job.created_at, kind: TimelineKind::Credit, text: text.into(), who: None, amount: None })
}

fn failure(job: &Job) -> Option<TimelineEvent> {
    let at = job.finished_at.filter(|_| job.status == Status::Failed && job.kind != Kind::VmCreate)?;
    let text = match job.kind {
        Kind::VmResize => "The resize did not work: it has the plan it had".to_owned(),
        Kind::VmRebuild => "The rebuild did not work: its old system and its disk are as they were".to_owned(),
        Kind::VmConfigure => "The settings could not be applied: they are as they were".to_owned(),
        Kind::VmBoot => "It could not be restarted so: it starts from what it started from before".to_owned(),
        Kind::VmMigrate => "Moving it to another host did not work: it stays where it was".to_owned(),
        Kind::VmPassword => "The password could not be set. Try again; the operator sees why".to_owned(),
        kind => format!("{} did not work. Try again; the operator sees why", kind.title()),
    };
    Some(TimelineEvent { at, kind: TimelineKind::Failure, text, who: None, amount: None })
}

/// The steps of the job that makes, removes or remakes a machine; of one that changed it also when that was the last that was
/// tried and it did not work. None for a machine that simply is there.
pub(super) async fn provisioning(app: &App, vm: &Vm, jobs: &[Job]) -> Result<Option<Provisioning>> {
    let job = match vm.state {
        State::Provisioning | State::Failed => newest(jobs, [Kind::VmCreate, Kind::VmAdopt]),
        State::Deleting => newest(jobs, [Kind::VmDelete, Kind::VmRelease]),
        State::Running | State::Stopped => jobs.first().filter(|job| {
            matches!(job.kind, Kind::VmResize | Kind::VmRebuild)
                && !matches!(job.status, Status::Completed | Status::Cancelled)
        }),
        State::Deleted => None,
    };
    let Some(job) = job else { return Ok(None) };
    let failed = job.status == Status::Failed;
    let title = match (job.kind, failed) {
        (Kind::VmResize, false) => "Being resized",
        (Kind::VmResize, true) => "It could not be resized",
        (Kind::VmRebuild, false) => "Being rebuilt",
        (Kind::VmRebuild, true) => "It could not be rebuilt",
        _ if vm.state == State::Failed => "It could not be made",
        _ if vm.state == State::Deleting => "Being removed",
        _ => "Being made",
    };
    let outcome = match job.kind {
        Kind::VmResize => Some(format!(
            "It is as it was: plan {}, {} vCPU, {} of memory and a disk of {} GiB. The operator sees why.",
            vm.plan_name,
            vm.vcpu,
            memory(vm.memory_mib),
            vm.disk_gib
        )),
        Kind::VmRebuild => Some(format!(
            "The old system ({}) and everything on its disk are as they were. The operator sees why.",
            vm.image_name
        )),
        _ => None,
    };
    let log = jobs::log_of(app, job.id).await?;
    Ok(Some(Provisioning {
        title,
        outcome: outcome.filter(|_| failed),
        steps: steps(job, &log),
        percent: job.progress(),
    }))
}

/// Newest first: the first of a kind is the newest.
fn newest(jobs: &[Job], kinds: [Kind; 2]) -> Option<&Job> {
    jobs.iter().find(|job| kinds.contains(&job.kind))
}

fn steps(job: &Job, log: &[LogLine]) -> Vec<StepView> {
    let goes_back = job.undoing || job.status == Status::Failed;
    let reached = if goes_back { furthest(job, log) } else { job.step };
    let mut began = job.created_at;
    let mut views = Vec::new();
    for (index, step) in job.kind.steps().iter().enumerate() {
        let state = match index.cmp(&reached) {
            std::cmp::Ordering::Less => StepState::Done,
            std::cmp::Ordering::Equal if goes_back => StepState::Failed,
            std::cmp::Ordering::Equal => StepState::Current,
            std::cmp::Ordering::Greater => StepState::Waiting,
        };
        // The first line of a step is the one that says it is done; undoing adds others behind it.
        let ended =
            log.iter().find(|line| line.step == step.name).map(|line| line.at).filter(|_| state == StepState::Done);
        let detail = ended.map(|ended| took(began, ended));
        began = ended.unwrap_or(began);
        views.push(StepView { name: step.title.into(), state, detail });
    }
    views
}

/// The last step that a job was at before it went back.
fn furthest(job: &Job, log: &[LogLine]) -> usize {
    let steps = job.kind.steps();
    log.iter().filter_map(|line| steps.iter().position(|step| step.name == line.step)).max().unwrap_or(job.step)
}

fn took(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    format::duration((to - from).num_seconds())
}
