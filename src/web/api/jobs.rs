//! `/jobs`: where the work stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{List, Page};
use crate::app::App;
use crate::ids::{JobId, VmId};
use crate::jobs::{self, Filter, Job, LogLine, Status};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiCaller;

/// A job as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    id: JobId,
    number: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    vm: VmId,
    status: Status,
    /// The name of the step it is at.
    step: Option<&'static str>,
    /// 0 to 100.
    #[schema(maximum = 100)]
    progress: u8,
    waiting_for: Option<String>,
    undoing: bool,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    /// Why it failed, for the customer; the operator's facts stay with the operator.
    error: Option<&'static str>,
}

/// Between two steps a job is put back for a moment; for who watches it, it is running all the while.
fn shown_status(job: &Job) -> Status {
    let begun = job.step > 0 || job.attempts > 0 || job.waiting_for.is_some();
    if job.status == Status::Pending && begun { Status::Running } else { job.status }
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        let error = match job.status {
            Status::Failed => Some("It could not be done. The operator has been told."),
            Status::Parked => Some("It cannot go on by itself. The operator has been told."),
            Status::Pending | Status::Running | Status::Completed | Status::Cancelled => None,
        };
        Self {
            id: job.id,
            number: job.number,
            kind: job.kind.name(),
            vm: job.vm,
            status: shown_status(&job),
            step: if job.status.is_over() { None } else { job.current().map(|step| step.name) },
            progress: job.progress(),
            waiting_for: job.waiting_for.filter(|_| !job.status.is_over()),
            undoing: job.undoing,
            created_at: job.created_at,
            finished_at: job.finished_at,
            error,
        }
    }
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/jobs", params(Page), responses((status = 200, body = List<JobView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(page): Query<Page>,
) -> Result<Json<List<JobView>>, ApiError> {
    let limit = page.limit(jobs::PAGE_MAX);
    let filter = Filter { organisation: Some(caller.organisation.id), after: page.after(), ..Filter::default() };
    let found = jobs::list(&app, &filter, limit + 1).await?;
    Ok(Json(List::of(found, limit, |job| job.id.uuid(), JobView::from)))
}

/// Shows a job: what it does, how far it is, and why it failed.
#[utoipa::path(get, path = "/jobs/{id}", responses((status = 200, body = JobView)))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<JobId>,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(jobs::find(&app, Some(caller.organisation.id), id).await?.into()))
}

/// Lists the steps of a job that are done.
#[utoipa::path(get, path = "/jobs/{id}/log", responses((status = 200, body = List<LogLine>)))]
pub async fn log(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<JobId>,
) -> Result<Json<List<LogLine>>, ApiError> {
    let job = jobs::find(&app, Some(caller.organisation.id), id).await?;
    let lines = jobs::log_of(&app, job.id).await?;
    let items = lines
        .into_iter()
        .filter(|line| line.message.starts_with("Done: ") || line.message.starts_with("Undone: "))
        .collect();
    Ok(Json(List { items, next: None }))
}

/// Cancels a job.
///
/// What it has done is undone where that can be. It needs what asking for it needed as well, such as `vm.resize`.
#[utoipa::path(delete, path = "/jobs/{id}", responses((status = 202, body = JobView)))]
pub async fn cancel(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    let kind = jobs::find(&app, Some(caller.organisation.id), id).await?.kind;
    caller.check_permitted(kind.permission())?;
    jobs::cancel(&app, Some(caller.organisation.id), id, &caller.actor).await?;
    let job = jobs::find(&app, Some(caller.organisation.id), id).await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}
