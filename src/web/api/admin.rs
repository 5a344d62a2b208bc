//! `/admin/organisations`, `/admin/jobs`: for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::drift::Begun;
use super::jobs::JobView;
use super::wallet::WalletView;
use super::{ApiJson, List, Page, idempotency_key};
use crate::app::App;
use crate::charging::{self, NewCredit, NewDebit};
use crate::ids::{JobId, OrganisationId, VmId};
use crate::jobs;
use crate::organisations::{self, CustomerLine};
use crate::vms;
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiStaff;

/// What customers are looked for by.
#[derive(Debug, Deserialize)]
pub struct Search {
    search: Option<String>,
}

/// `GET /admin/organisations`
pub async fn list(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(search): Query<Search>,
    Query(page): Query<Page>,
) -> Result<Json<List<CustomerLine>>, ApiError> {
    let limit = page.limit(organisations::PAGE_MAX);
    let found = organisations::list(&app, search.search.as_deref(), page.after(), limit + 1).await?;
    Ok(Json(List::of(found, limit, |line| line.id.uuid(), |line| line)))
}

/// `POST /admin/organisations/{id}/credits`
pub async fn add_credit(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewCredit>,
) -> Result<(StatusCode, Json<WalletView>), ApiError> {
    if let Some(key) = idempotency_key(&headers)? {
        new.order = Some(key.to_owned());
    }
    charging::add_credit(&app, id, &new, &staff.actor).await?;
    let wallet = crate::ledger::wallet(&app, id).await?;
    Ok((StatusCode::CREATED, Json(WalletView::of(&app, &wallet))))
}

/// `POST /admin/organisations/{id}/debits`
pub async fn take_credit(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewDebit>,
) -> Result<(StatusCode, Json<WalletView>), ApiError> {
    if let Some(key) = idempotency_key(&headers)? {
        new.order = Some(key.to_owned());
    }
    charging::take_credit(&app, id, &new, &staff.actor).await?;
    let wallet = crate::ledger::wallet(&app, id).await?;
    Ok((StatusCode::CREATED, Json(WalletView::of(&app, &wallet))))
}

/// Where a machine is to go.
#[derive(Debug, Deserialize)]
pub struct Target {
    node: String,
}

/// `POST /admin/vms/{id}/migrate`: moves a machine to another node of its cluster.
pub async fn migrate(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<VmId>,
    ApiJson(target): ApiJson<Target>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    let job = vms::migrate(&app, id, &target.node, &staff.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(Begun { job })))
}

/// A job with what only operators see.
#[derive(Debug, Serialize)]
pub struct AdminJob {
    #[serde(flatten)]
    job: JobView,
    organisation: OrganisationId,
    attempts: i32,
    /// Proxmox's own words.
    words: Option<String>,
}

/// `GET /admin/jobs`
pub async fn list_jobs(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(page): Query<Page>,
) -> Result<Json<List<AdminJob>>, ApiError> {
    let limit = page.limit(jobs::PAGE_MAX);
    let filter = jobs::Filter { after: page.after(), ..jobs::Filter::default() };
    let found = jobs::list(&app, &filter, limit + 1).await?;
    Ok(Json(List::of(
        found,
        limit,
        |job| job.id.uuid(),
        |job| AdminJob {
            organisation: job.organisation,
            attempts: job.attempts,
            words: job.error.clone(),
            job: job.into(),
        },
    )))
}

/// `POST /admin/jobs/{id}/retry`
pub async fn retry_job(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<JobId>,
) -> Result<StatusCode, ApiError> {
    jobs::retry(&app, id, &staff.actor).await?;
    Ok(StatusCode::ACCEPTED)
}
