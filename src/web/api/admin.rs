//! `/admin/organisations`, `/admin/jobs`: for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::drift::Begun;
use super::jobs::JobView;
use super::wallet::WalletView;
use super::{ApiJson, IdempotencyKey, List, Page, take_order};
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
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Search {
    /// A part of the name, of the number, or of the owner's address.
    #[param(max_length = 200)]
    search: Option<String>,
}

/// Lists organisations, newest first.
#[utoipa::path(
    get, path = "/admin/organisations", params(Search, Page),
    responses((status = 200, body = List<CustomerLine>))
)]
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

/// Adds credit to an organisation's wallet.
#[utoipa::path(
    post, path = "/admin/organisations/{id}/credits", params(IdempotencyKey), request_body = NewCredit,
    responses((status = 201, body = WalletView))
)]
pub async fn add_credit(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewCredit>,
) -> Result<(StatusCode, Json<WalletView>), ApiError> {
    take_order(&headers, &mut new.order)?;
    charging::add_credit(&app, id, &new, &staff.actor).await?;
    wallet_after(&app, id).await
}

/// Takes credit from an organisation's wallet.
#[utoipa::path(
    post, path = "/admin/organisations/{id}/debits", params(IdempotencyKey), request_body = NewDebit,
    responses((status = 201, body = WalletView))
)]
pub async fn take_credit(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewDebit>,
) -> Result<(StatusCode, Json<WalletView>), ApiError> {
    take_order(&headers, &mut new.order)?;
    charging::take_credit(&app, id, &new, &staff.actor).await?;
    wallet_after(&app, id).await
}

/// Gives back charges to an organisation's wallet, as after an outage.
///
/// No more than what was charged and not given back. Charges and invoices stay as they are.
#[utoipa::path(
    post, path = "/admin/organisations/{id}/refunds", params(IdempotencyKey), request_body = NewCredit,
    responses((status = 201, body = WalletView))
)]
pub async fn refund_charges(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewCredit>,
) -> Result<(StatusCode, Json<WalletView>), ApiError> {
    take_order(&headers, &mut new.order)?;
    charging::refund_charges(&app, id, &new, &staff.actor).await?;
    wallet_after(&app, id).await
}

/// Gives up what an organisation's wallet owes, or a part of it.
#[utoipa::path(
    post, path = "/admin/organisations/{id}/write-offs", params(IdempotencyKey), request_body = NewCredit,
    responses((status = 201, body = WalletView))
)]
pub async fn write_off(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewCredit>,
) -> Result<(StatusCode, Json<WalletView>), ApiError> {
    take_order(&headers, &mut new.order)?;
    charging::write_off(&app, id, &new, &staff.actor).await?;
    wallet_after(&app, id).await
}

/// What a change by hand is answered with.
async fn wallet_after(app: &App, id: OrganisationId) -> Result<(StatusCode, Json<WalletView>), ApiError> {
    let wallet = crate::ledger::wallet(app, id).await?;
    Ok((StatusCode::CREATED, Json(WalletView::of(app, &wallet))))
}

/// Where a machine is to go.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = MigrationTarget)]
pub struct Target {
    /// The name of the node.
    #[schema(max_length = 64, example = "pve2")]
    node: String,
}

/// Moves a VM to another node of its cluster.
#[utoipa::path(post, path = "/admin/vms/{id}/migrate", request_body = Target, responses((status = 202, body = Begun)))]
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
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AdminJob {
    #[serde(flatten)]
    job: JobView,
    organisation: OrganisationId,
    attempts: i32,
    /// Proxmox's own words.
    words: Option<String>,
}

/// Lists all jobs with Proxmox's own words, newest first.
#[utoipa::path(get, path = "/admin/jobs", params(Page), responses((status = 200, body = List<AdminJob>)))]
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

/// Tells a parked job to try again.
#[utoipa::path(post, path = "/admin/jobs/{id}/retry", responses((status = 202)))]
pub async fn retry_job(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<JobId>,
) -> Result<StatusCode, ApiError> {
    jobs::retry(&app, id, &staff.actor).await?;
    Ok(StatusCode::ACCEPTED)
}
