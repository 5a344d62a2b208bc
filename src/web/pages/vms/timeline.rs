//! What happened to a machine, and how its making goes: put together from charges, audit events, jobs and their logs, in a
//! customer's words. What Proxmox said is left to the operator.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::app::App;
use crate::audit::{self, AuditEvent};
use crate::error::Result;
use crate::jobs::{self, Job, Kind, LogLine, Status};
use crate::metering::{self, VmCharge};
use crate::vms::{self, State, Vm};
use crate::web::format;
use crate::web::pages::audit::{actor_kind, words};
use crate::web::pages::frames::decimal;
use crate::web::views::audit::ActorKind;
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
    let filter = audit::Filter {
        organisation: Some(vm.organisation),
        subject: Some(vm.id.to_string()),
        ..audit::Filter::default()
    };
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
    let state = charge.state.name();
    let text = format!("Charged {}–{}, {state}", charge.from.format("%H:%M"), charge.to.format("%H:%M"));
    TimelineEvent { at: charge.to, kind: TimelineKind::Charge, text, who: None, amount: Some(decimal(charge.amount)) }
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
    let who = (actor_kind(&event) != ActorKind::Platform).then_some(event.actor);
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
    let text = format!("{} did not work. Try again; the operator sees why", job.kind.title());
    Some(TimelineEvent { at, kind: TimelineKind::Failure, text, who: None, amount: None })
}

/// The steps of the job that makes or removes a machine; none for one that simply is there.
pub(super) async fn provisioning(app: &App, vm: &Vm, jobs: &[Job]) -> Result<Option<Provisioning>> {
    let kinds = match vm.state {
        State::Provisioning | State::Failed => [Kind::VmCreate, Kind::VmAdopt],
        State::Deleting => [Kind::VmDelete, Kind::VmRelease],
        State::Running | State::Stopped | State::Deleted => return Ok(None),
    };
    let Some(job) = jobs.iter().find(|job| kinds.contains(&job.kind)) else { return Ok(None) };
    let log = jobs::log_of(app, job.id).await?;
    Ok(Some(Provisioning { steps: steps(job, &log), percent: job.progress() }))
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
