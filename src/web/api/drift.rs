//! `/admin/drift`, `/admin/foreign-guests`: where guests are not what is sold, and guests that are not ours; for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::vms::{CostView, DryRun};
use super::{ApiJson, List, Page};
use crate::app::App;
use crate::ids::{ClusterId, DriftId, JobId, VmId};
use crate::vms::adopt::{self, ForeignGuest, NewAdoption};
use crate::vms::drift::{self, Adoption, Decidable};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiStaff;

/// A job that was begun.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Begun {
    pub(super) job: JobId,
}

/// Lists where guests differ from what is sold.
///
/// With what can be decided about each, and its effect on the bill.
#[utoipa::path(get, path = "/admin/drift", responses((status = 200, body = List<Decidable>)))]
pub async fn list(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<List<Decidable>>, ApiError> {
    Ok(Json(List { items: drift::list(&app).await?, next: None }))
}

/// Leaves a guest as it is, and the bill as before.
#[utoipa::path(post, path = "/admin/drift/{id}/accept", responses((status = 204)))]
pub async fn accept(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<DriftId>,
) -> Result<StatusCode, ApiError> {
    drift::accept(&app, id, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a guest back to what is sold.
#[utoipa::path(post, path = "/admin/drift/{id}/enforce", responses((status = 202, body = Begun)))]
pub async fn enforce(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<DriftId>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    let job = drift::enforce(&app, id, &staff.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(Begun { job })))
}

/// Lets the books follow the guest.
///
/// `{"plan": …}` of a size, `{"follow": true}` of a missing one that was found again.
#[utoipa::path(post, path = "/admin/drift/{id}/adopt", request_body = Adoption, responses((status = 204)))]
pub async fn adopt_drift(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<DriftId>,
    ApiJson(how): ApiJson<Adoption>,
) -> Result<StatusCode, ApiError> {
    drift::adopt(&app, id, &how, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which guests are looked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only those of this cluster.
    cluster: Option<ClusterId>,
    /// A part of the name or of the VMID.
    #[param(max_length = 100)]
    search: Option<String>,
    /// The last VMID of the page before; only with `cluster`.
    after_vmid: Option<i32>,
}

/// Lists guests that are not ours.
#[utoipa::path(
    get, path = "/admin/foreign-guests", params(Wanted, Page),
    responses((status = 200, body = List<ForeignGuest>))
)]
pub async fn foreign_guests(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(wanted): Query<Wanted>,
    Query(page): Query<Page>,
) -> Result<Json<List<ForeignGuest>>, ApiError> {
    let after = match (wanted.cluster, wanted.after_vmid) {
        (Some(cluster), Some(vmid)) => Some((crate::clusters::find(&app, cluster).await?.name, vmid)),
        _ => None,
    };
    let limit = page.limit(adopt::PAGE_MAX);
    let items = adopt::list(&app, wanted.cluster, wanted.search.as_deref(), after, limit).await?;
    Ok(Json(List { items, next: None }))
}

/// A guest that is being taken over.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Adopted {
    vm: VmId,
    job: JobId,
}

/// Takes a guest over as a customer's VM.
///
/// With `?dry_run=true` it only says what it would cost him.
#[utoipa::path(
    post, path = "/admin/foreign-guests/{cluster}/{vmid}/adopt", params(DryRun), request_body = NewAdoption,
    responses((status = 200, body = CostView), (status = 202, body = Adopted), (status = 402))
)]
pub async fn adopt_guest(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path((cluster, vmid)): Path<(ClusterId, i32)>,
    Query(query): Query<DryRun>,
    ApiJson(new): ApiJson<NewAdoption>,
) -> Result<Response, ApiError> {
    if query.dry_run {
        return Ok(Json(CostView::from(adopt::estimate(&app, cluster, vmid, &new).await?)).into_response());
    }
    let (vm, job) = adopt::adopt(&app, cluster, vmid, &new, &staff.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(Adopted { vm, job })).into_response())
}

/// Lets go of a VM that was taken over; its guest stays as it is.
#[utoipa::path(post, path = "/admin/vms/{id}/release", responses((status = 202, body = Begun)))]
pub async fn release(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<VmId>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    let job = adopt::release(&app, id, &staff.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(Begun { job })))
}
