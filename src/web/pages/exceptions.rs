//! The home of the admin panel: what needs a person, with what can be done about it. What counts is decided by `exceptions`.

mod deletions;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::frames::{self, Notice, Waiting, decimal, render, render_with};
use super::jobs::{kind, since};
use super::passes;
use crate::app::App;
use crate::charging::StuckShutdown;
use crate::charging::passes::PassRecord;
use crate::clusters::{Cluster, NodeAway};
use crate::error::Result;
use crate::exceptions::{self, Exceptions};
use crate::ids::JobId;
use crate::jobs::{self, Job, Kind, Status};
use crate::ledger::Uncharged;
use crate::vms::{self, LookFailure, State as MachineState};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::session::Staff;
use crate::web::views::exceptions::{
    ButtonLook, ButtonTarget, Exception, ExceptionButton, ExceptionKind, ExceptionList, ExceptionsPage, Figures,
    StateCount,
};
use crate::web::views::frame::AdminSection;
use crate::{clusters, metering};

/// `GET /admin`
pub async fn home(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let current = exceptions::current(&app).await?;
    let frame = frames::admin(&app, &staff, "Exceptions", AdminSection::Exceptions, waiting(&current), &notice);
    let page = ExceptionsPage { frame, list: exception_list(&app, &staff, current).await? };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /admin/exceptions/list`
pub async fn list(State(app): State<Arc<App>>, staff: Staff) -> Result<Response, PageError> {
    let current = exceptions::current(&app).await?;
    Ok(render(&exception_list(&app, &staff, current).await?))
}

/// What waits, for the frame of the other pages.
pub(super) async fn count(app: &App) -> Result<Waiting> {
    Ok(waiting(&exceptions::current(app).await?))
}

fn waiting(current: &Exceptions) -> Waiting {
    Waiting { exceptions: whole(current.count()), drifts: format::unsigned(current.drifts) }
}

async fn exception_list(app: &App, staff: &Staff, current: Exceptions) -> Result<ExceptionList> {
    let figures = figures(app, &current).await?;
    let ids: Vec<JobId> = current.parked.iter().map(|job| job.id).collect();
    let said = jobs::last_said(app, &ids).await?;
    let parked = current.parked.iter().map(|job| job_exception(job, since(job, &said)));
    let failed = current.failed.iter().map(|job| job_exception(job, job.finished_at.unwrap_or(job.created_at)));
    let mut items: Vec<Exception> = current.passes.iter().map(|pass| pass_exception(app, pass)).collect();
    items.extend(current.silent.iter().map(cluster_exception));
    items.extend(current.nodes.iter().map(node_exception));
    items.extend(current.stuck.iter().map(stuck_exception));
    items.extend(current.uncharged.iter().map(uncharged_exception));
    items.extend(current.unwritten.iter().map(unwritten_exception));
    items.extend(deletions::exceptions(&current));
    items.extend(mails_exception(&current));
    items.extend(drift_exception(&current));
    items.extend(parked);
    items.extend(failed);
    items.extend(wallets_exceptions(&current));
    Ok(ExceptionList {
        items,
        figures,
        csrf: staff.session.csrf_token.clone(),
        currency: app.settings.currency.clone(),
    })
}

async fn figures(app: &App, current: &Exceptions) -> Result<Figures> {
    let by_state = vms::count_by_state(app).await?;
    let clusters = clusters::list(app).await?.len();
    let there = || by_state.iter().filter(|(state, count)| *state != MachineState::Deleted && *count > 0);
    Ok(Figures {
        charged_today: decimal(metering::charged_today(app).await?),
        time_zone: app.settings.time_zone.name().to_owned(),
        burn_per_hour: current.wallets.burn_per_hour.to_decimal(),
        machines: there().map(|(_, count)| format::unsigned(*count)).sum(),
        by_state: there()
            .map(|(state, count)| StateCount { word: state.name().to_owned(), machines: format::unsigned(*count) })
            .collect(),
        clusters_answering: whole(clusters.saturating_sub(current.silent.len())),
        clusters: whole(clusters),
    })
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn job_exception(job: &Job, since: chrono::DateTime<chrono::Utc>) -> Exception {
    let step = job.current().map_or("its end", |step| step.title);
    let tries = format::count(&u64::try_from(job.attempts).unwrap_or(0), "try", "tries");
    let is_parked = job.status == Status::Parked;
    let text = match (is_parked, job.undoing, job.kind) {
        (true, true, _) => {
            format!("Taking it back got stuck at “{step}” after {tries}. Something may be left on the cluster.")
        }
        (true, false, _) => format!("It got stuck at “{step}” after {tries} and waits for your decision."),
        (false, _, Kind::VmCreate) => {
            "It could not be made. Everything was taken back, and nothing was charged.".to_owned()
        }
        (false, ..) => format!("It failed at “{step}” after {tries}. The VM was left as it was."),
    };
    let mut buttons = Vec::new();
    if job.may_retry() {
        buttons.push(button("Retry", ButtonTarget::Post(format!("/admin/jobs/{}/retry", job.id)), ButtonLook::Primary));
    }
    if job.may_undo() {
        let question =
            "What it did so far is taken back, step by step: the guest it made, its address and the reserved credit.";
        let undo = button("Undo", ButtonTarget::Post(format!("/admin/jobs/{}/undo", job.id)), ButtonLook::Danger);
        buttons.push(ExceptionButton { confirm: Some(question.to_owned()), ..undo });
    }
    buttons.push(open(format!("/admin/jobs/{}", job.id)));
    Exception {
        kind: if is_parked { ExceptionKind::JobParked } else { ExceptionKind::JobFailed },
        title: format!(
            "{} {} of {} {}",
            kind(job),
            job.vm_name,
            job.organisation_name,
            if is_parked { "is parked" } else { "failed" }
        ),
        text,
        words: job.error.clone(),
        since: Some(since),
        buttons,
    }
}

fn cluster_exception(cluster: &Cluster) -> Exception {
    let machines = format::count(&format::unsigned(cluster.vms), "VM", "VMs");
    Exception {
        kind: ExceptionKind::ClusterAway,
        title: format!("Cluster {} does not answer", cluster.name),
        text: format!(
            "The state of {machines} in {} is unknown, and that time is not charged. Jobs wait and go on by themselves.",
            cluster.location_name
        ),
        words: cluster.last_error.clone(),
        since: cluster.unreachable_since,
        buttons: vec![
            button("Test", ButtonTarget::Post(format!("/admin/clusters/{}/test", cluster.id)), ButtonLook::Plain),
            open(format!("/admin/clusters/{}", cluster.id)),
        ],
    }
}

fn node_exception(node: &NodeAway) -> Exception {
    let machines = format::count(&format::unsigned(node.vms), "VM", "VMs");
    Exception {
        kind: ExceptionKind::NodeAway,
        title: format!("Node {} of {} is not online", node.name, node.cluster_name),
        text: format!(
            "The state of {machines} on it is unknown, and that time is not charged. Jobs wait for it and go on by themselves."
        ),
        words: None,
        since: Some(node.since),
        buttons: vec![open(format!("/admin/clusters/{}", node.cluster))],
    }
}

fn pass_exception(app: &App, pass: &PassRecord) -> Exception {
    let why: Vec<_> = pass.reasons.iter().map(|reason| passes::sentence(app, reason)).collect();
    Exception {
        kind: ExceptionKind::PassHeld,
        title: passes::title(pass),
        text: format!("{} Nothing of it is written until you decide.", why.join(" ")),
        words: None,
        since: Some(pass.started_at),
        buttons: vec![button("Decide", ButtonTarget::Open("/admin/passes".to_owned()), ButtonLook::Primary)],
    }
}

fn stuck_exception(stuck: &StuckShutdown) -> Exception {
    Exception {
        kind: ExceptionKind::ShutdownStuck,
        title: format!("{} of {} runs on though its credit has ended", stuck.vm_name, stuck.organisation_name),
        text:
            "Its shutdown waits behind a job that is parked. What runs meanwhile is not charged: decide about that job."
                .to_owned(),
        words: None,
        since: Some(stuck.since),
        buttons: vec![open(format!("/admin/jobs/{}", stuck.job))],
    }
}

fn uncharged_exception(wallet: &Uncharged) -> Exception {
    Exception {
        kind: ExceptionKind::Uncharged,
        title: format!("{} could not be charged", wallet.organisation_name),
        text: match wallet.parked_at {
            Some(_) => "It was given up after several tries and is parked: mend the cause, then try again. What is owed is charged then; until it is, its machines run on.",
            None => "It is tried again by itself, and what is owed is charged then. Until it is, its machines run on.",
        }
        .to_owned(),
        words: Some(wallet.error.clone()),
        since: Some(wallet.charged_through),
        buttons: vec![
            button(
                "Try again",
                ButtonTarget::Post(format!("/admin/customers/{}/charging/retry", wallet.organisation)),
                ButtonLook::Primary,
            ),
            open(format!("/admin/customers/{}", wallet.organisation)),
        ],
    }
}

fn unwritten_exception(failure: &LookFailure) -> Exception {
    Exception {
        kind: ExceptionKind::Unwritten,
        title: format!("What was seen of {} of {} could not be written", failure.name, failure.organisation_name),
        text: "It is tried again at every look. Until then it is shown and charged as before.".to_owned(),
        words: Some(failure.error.clone()),
        since: Some(failure.since),
        buttons: vec![open(format!("/admin/customers/{}", failure.organisation))],
    }
}

fn drift_exception(current: &Exceptions) -> Option<Exception> {
    let drifts = format::unsigned(current.drifts);
    (drifts > 0).then(|| Exception {
        kind: ExceptionKind::Drift,
        title: format!("{} from what is sold", format::count(&drifts, "guest differs", "guests differ")),
        text: "They were changed on their cluster by hand. Leave them, set them back, or let the books follow."
            .to_owned(),
        words: None,
        since: None,
        buttons: vec![open("/admin/drift".to_owned())],
    })
}

fn mails_exception(current: &Exceptions) -> Option<Exception> {
    let mails = &current.mails;
    let one = |count: i64, text: &str, filter: &'static str| {
        (count > 0).then(|| (format!("{} {text}", format::count(&format::unsigned(count), "mail", "mails")), filter))
    };
    let parts: Vec<_> = [
        one(mails.failed, "refused", "failed"),
        one(mails.unsent, "without a mail server", "unsent"),
        one(mails.waiting, "waiting for the mail server", "pending"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let filter = if let [(_, only)] = parts[..] { only } else { "all" };
    let words: Vec<String> = parts.into_iter().map(|(text, _)| text).collect();
    mails.is_any().then(|| Exception {
        kind: ExceptionKind::Mails,
        title: format!("Not delivered: {}", words.join(", ")),
        text: "Customers were not told by mail. What only waits is tried again by itself; the rest is sent again from its page."
            .to_owned(),
        words: mails.words.clone(),
        since: mails.since,
        buttons: vec![open(format!("/admin/mails?status={filter}"))],
    })
}

fn wallets_exceptions(current: &Exceptions) -> Vec<Exception> {
    let (ending, empty) = (format::unsigned(current.wallets.ending), format::unsigned(current.wallets.empty));
    let mut items = Vec::new();
    if ending > 0 {
        let title = format!("{} within 24 h", format::count(&ending, "wallet runs out", "wallets run out"));
        let text = "Their machines are shut down then, unless credit arrives before.";
        items.push(wallets_exception(ExceptionKind::WalletsRunningOut, title, text, "ending"));
    }
    if empty > 0 {
        let title = format::count(&empty, "wallet has run out", "wallets have run out");
        let text = "Their machines were shut down and start again when credit arrives.";
        items.push(wallets_exception(ExceptionKind::WalletsEmpty, title, text, "empty"));
    }
    items
}

fn wallets_exception(kind: ExceptionKind, title: String, text: &str, filter: &str) -> Exception {
    let show = button("Show them", ButtonTarget::Open(format!("/admin/customers?wallet={filter}")), ButtonLook::Plain);
    Exception { kind, title, text: text.to_owned(), words: None, since: None, buttons: vec![show] }
}

fn button(text: &str, target: ButtonTarget, look: ButtonLook) -> ExceptionButton {
    ExceptionButton { text: text.to_owned(), target, look, confirm: None }
}

fn open(url: String) -> ExceptionButton {
    button("Open", ButtonTarget::Open(url), ButtonLook::Plain)
}
