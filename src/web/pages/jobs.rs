//! Durable work for operators: by state, one with its steps and its log, and the two decisions about a parked one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::exceptions;
use super::frames::{self, Notice, redirect_with, render, render_with};
use super::vms::progress;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::jobs::{self, Filter, Job, PAGE_MAX, Status};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::frame::{AdminSection, FlashKind, Link};
use crate::web::views::jobs::{JobCounts, JobPage, JobRow, JobRows, JobState, JobTab, JobsPage, LogLine};
use crate::web::views::vms::show::{StepState, StepView};

/// Which jobs are looked at.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    status: String,
    after: Option<JobId>,
}

/// `GET /admin/jobs`
pub async fn list(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let frame = frames::admin(&app, &staff, "Jobs", AdminSection::Jobs, exceptions::count(&app).await?, &notice);
    let page = JobsPage { frame, list: job_rows(&app, &wanted).await? };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /admin/jobs/rows`
pub async fn rows(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    Ok(render(&job_rows(&app, &wanted).await?))
}

/// `GET /admin/jobs/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<JobId>,
) -> Result<Response, PageError> {
    let job = jobs::find(&app, None, id).await?;
    let said = jobs::last_said(&app, &[id]).await?;
    let log = jobs::log_of(&app, id).await?;
    let title = format!("{} {}", kind(&job), job.vm_name);
    let page = JobPage {
        frame: frames::admin(&app, &staff, title, AdminSection::Jobs, exceptions::count(&app).await?, &notice),
        steps: steps(&job),
        log: log.into_iter().map(|line| log_line(line, job.error.as_deref())).collect(),
        upid: job.scratch.get("upid").and_then(|upid| upid.as_str()).map(str::to_owned),
        created_at: job.created_at,
        created_by: jobs::asked_for_by(&app, id).await?.unwrap_or_else(|| "Uni-Manager".to_owned()),
        may_retry: job.may_retry(),
        may_undo: job.may_undo(),
        job: job_row(&job, &said),
    };
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/jobs/{id}/retry`
pub async fn retry(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<JobId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let done = jobs::retry(&app, id, &staff.actor).await;
    decided(&app, id, done, "It is being tried again.")
}

/// `POST /admin/jobs/{id}/undo`
pub async fn undo(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<JobId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let done = jobs::cancel(&app, None, id, &staff.actor).await;
    decided(&app, id, done, "What it has done is being taken back.")
}

/// Leads to the job. A decision that came too late is a notice there: the job shows what has become of it.
fn decided(app: &App, id: JobId, done: Result<()>, sentence: &str) -> Result<Response, PageError> {
    let to = format!("/admin/jobs/{id}");
    match done {
        Ok(()) => Ok(redirect_with(app, &to, FlashKind::Success, sentence)),
        Err(Error::Conflict(why)) => Ok(redirect_with(app, &to, FlashKind::Warning, why)),
        Err(error) => Err(error.into()),
    }
}

async fn job_rows(app: &App, wanted: &Wanted) -> Result<JobRows> {
    let tab = JobTab::EVERY.into_iter().find(|tab| tab.value() == wanted.status).unwrap_or(JobTab::All);
    let statuses = match tab {
        JobTab::Waiting => Some(vec![Status::Pending]),
        JobTab::Running => Some(vec![Status::Running]),
        JobTab::Failed => Some(vec![Status::Failed]),
        JobTab::Parked => Some(vec![Status::Parked]),
        JobTab::All => None,
    };
    let mut found =
        jobs::list(app, &Filter { statuses, after: wanted.after, ..Filter::default() }, PAGE_MAX + 1).await?;
    let shown = usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    let has_older = found.len() > shown;
    found.truncate(shown);
    let said = jobs::last_said(app, &found.iter().map(|job| job.id).collect::<Vec<_>>()).await?;
    let status = tab.value();
    let after = wanted.after.map_or_else(String::new, |after| format!("&after={after}"));
    let oldest = found.last().filter(|_| has_older);
    Ok(JobRows {
        tab,
        counts: job_counts(app).await?,
        rows_url: format!("/admin/jobs/rows?status={status}{after}"),
        older_url: oldest.map(|job| format!("/admin/jobs?status={status}&after={}", job.id)),
        rows: found.iter().map(|job| job_row(job, &said)).collect(),
    })
}

async fn job_counts(app: &App) -> Result<JobCounts> {
    let counts = jobs::counts(app).await?;
    Ok(JobCounts {
        waiting: format::unsigned(counts.pending),
        running: format::unsigned(counts.running),
        failed: format::unsigned(counts.failed),
        parked: format::unsigned(counts.parked),
        all: format::unsigned(counts.all),
    })
}

fn job_row(job: &Job, said: &HashMap<JobId, DateTime<Utc>>) -> JobRow {
    let customer = format!("/admin/customers/{}", job.organisation);
    let is_over = job.status.is_over();
    JobRow {
        id: job.id.to_string(),
        kind: kind(job),
        subject: Some(Link { text: job.vm_name.clone(), url: format!("{customer}#vm-{}", job.vm) }),
        organisation: Some(Link { text: job.organisation_name.clone(), url: customer }),
        state: job_state(job.status),
        progress: (!is_over).then(|| progress(job)),
        attempts: u32::try_from(job.attempts).unwrap_or(0),
        since: since(job, said),
        waiting_for: job.waiting_for.clone().filter(|_| !is_over && job.status != Status::Parked),
        undoing: job.undoing,
        error: job.error.clone().filter(|_| job.status != Status::Completed),
    }
}

/// What a job does, before the name of its machine.
pub(super) fn kind(job: &Job) -> String {
    format!("{} VM", job.kind.title())
}

/// Since when a job stands as it does: its end, or else what it said last.
pub(super) fn since(job: &Job, said: &HashMap<JobId, DateTime<Utc>>) -> DateTime<Utc> {
    job.finished_at.or_else(|| said.get(&job.id).copied()).unwrap_or(job.created_at)
}

fn job_state(status: Status) -> JobState {
    match status {
        Status::Pending => JobState::Waiting,
        Status::Running => JobState::Running,
        Status::Completed => JobState::Done,
        Status::Failed => JobState::Failed,
        Status::Cancelled => JobState::Undone,
        Status::Parked => JobState::Parked,
    }
}

/// The steps as they stand. Backwards, those below the present one are still to be taken back, so they still count as done.
fn steps(job: &Job) -> Vec<StepView> {
    let is_undone = job.undoing && job.status.is_over();
    let here = match job.status {
        Status::Parked | Status::Failed => StepState::Failed,
        Status::Pending | Status::Running | Status::Completed | Status::Cancelled => StepState::Current,
    };
    let view = |(index, step): (usize, &jobs::Step)| {
        let (state, detail) = match index.cmp(&job.step) {
            _ if is_undone => (StepState::Waiting, None),
            _ if job.status == Status::Completed => (StepState::Done, None),
            std::cmp::Ordering::Less => (StepState::Done, None),
            std::cmp::Ordering::Equal => {
                (here, if job.undoing { Some("being taken back") } else { job.waiting_for.as_deref() })
            }
            std::cmp::Ordering::Greater => (StepState::Waiting, None),
        };
        StepView { name: step.title.to_owned(), state, detail: detail.map(str::to_owned) }
    };
    job.kind.steps().iter().enumerate().map(view).collect()
}

fn log_line(line: jobs::LogLine, error: Option<&str>) -> LogLine {
    let is_error = line.message.starts_with("Proxmox: ") || error == Some(line.message.as_str());
    LogLine { at: line.at, text: line.message, is_error }
}
