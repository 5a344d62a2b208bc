//! Changing a machine: its size, its system, its settings, what it starts from and its password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use billing::Money;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Accepted, CostView, DryRun, accepted};
use crate::app::App;
use crate::clusters;
use crate::ids::{IsoImageId, PlanId, VmId};
use crate::vms::{self, Boot, Changes, NewSize, Rebuild};
use crate::web::api::{ApiJson, List};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiCaller;

/// What another size would cost and do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ResizeEstimate)]
pub struct ResizeView {
    plan: PlanId,
    plan_name: String,
    monthly_cap_from: Option<Money>,
    monthly_cap_to: Option<Money>,
    disk_gib_from: i32,
    /// Larger than before only with `grow_disk`; disks never shrink.
    disk_gib_to: i32,
    /// Whether it is shut down for it and started again.
    restarts: bool,
    /// In the state it is in; `short_by` for an hour of running.
    #[serde(flatten)]
    cost: CostView,
}

impl From<vms::ResizeEstimate> for ResizeView {
    fn from(estimate: vms::ResizeEstimate) -> Self {
        Self {
            plan: estimate.plan.id,
            plan_name: estimate.plan.name,
            monthly_cap_from: estimate.cap_from,
            monthly_cap_to: estimate.plan.monthly_cap,
            disk_gib_from: estimate.disk_gib_from,
            disk_gib_to: estimate.disk_gib_to,
            restarts: estimate.restarts,
            cost: vms::Cost { short_by: estimate.short_by, ..estimate.cost }.into(),
        }
    }
}

/// What to start from.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct NewBoot {
    /// The disk, the CD in the drive, or the operator's rescue image.
    boot: Boot,
}

/// A password.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = NewVmPassword)]
pub struct NewPassword {
    /// One line of signs of a plain keyboard, without a colon.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 72)]
    password: SecretString,
}

/// A CD that can be put into the drive.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OfferedIsoImage)]
pub struct IsoImageView {
    id: IsoImageId,
    name: String,
    size_bytes: i64,
}

/// Gives a VM another plan.
///
/// With `?dry_run=true` it only says what it would cost and do.
#[utoipa::path(
    post, path = "/vms/{id}/resize", params(DryRun), request_body = NewSize,
    responses((status = 200, body = ResizeView), (status = 202, body = Accepted), (status = 402))
)]
pub async fn resize(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
    ApiJson(size): ApiJson<NewSize>,
) -> Result<Response, ApiError> {
    let organisation = caller.organisation.id;
    if query.dry_run {
        let estimate = vms::estimate_resize(&app, organisation, id, size).await?;
        return Ok(Json(ResizeView::from(estimate)).into_response());
    }
    let job = vms::resize(&app, organisation, id, size, &caller.actor).await?;
    accepted(&app, organisation, id, Some(job)).await
}

/// Makes a VM anew from an image; everything on its disk is lost.
///
/// With `?dry_run=true` it only says what it would cost.
#[utoipa::path(
    post, path = "/vms/{id}/rebuild", params(DryRun), request_body = Rebuild,
    responses((status = 200, body = CostView), (status = 202, body = Accepted), (status = 402))
)]
pub async fn rebuild(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
    ApiJson(new): ApiJson<Rebuild>,
) -> Result<Response, ApiError> {
    if query.dry_run {
        let cost = vms::estimate_rebuild(&app, caller.organisation.id, id, new.image).await?;
        return Ok(Json(CostView::from(cost)).into_response());
    }
    let job = vms::rebuild(&app, caller.organisation.id, id, &new, &caller.actor).await?;
    accepted(&app, caller.organisation.id, id, Some(job)).await
}

/// Changes a VM's name, tags, protection, importance, keys or CD.
///
/// What is not given stays. The job is null when everything is as wanted already.
#[utoipa::path(patch, path = "/vms/{id}", request_body = Changes, responses((status = 202, body = Accepted)))]
pub async fn configure(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    ApiJson(changes): ApiJson<Changes>,
) -> Result<Response, ApiError> {
    let job = vms::configure(&app, caller.organisation.id, id, &changes, &caller.actor).await?;
    accepted(&app, caller.organisation.id, id, job).await
}

/// Starts a VM from its disk, its CD or the rescue image.
///
/// It runs afterwards. With `?dry_run=true` it only says what that would cost.
#[utoipa::path(
    post, path = "/vms/{id}/boot", params(DryRun), request_body = NewBoot,
    responses((status = 200, body = CostView), (status = 202, body = Accepted), (status = 402))
)]
pub async fn boot(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
    ApiJson(new): ApiJson<NewBoot>,
) -> Result<Response, ApiError> {
    if query.dry_run {
        let cost = vms::estimate_power(&app, caller.organisation.id, id, vms::Power::Start).await?;
        return Ok(Json(CostView::from(cost)).into_response());
    }
    let job = vms::boot(&app, caller.organisation.id, id, new.boot, &caller.actor).await?;
    accepted(&app, caller.organisation.id, id, Some(job)).await
}

/// Sets the password of a VM's login user, inside the guest.
#[utoipa::path(
    post, path = "/vms/{id}/password", request_body = NewPassword,
    responses((status = 202, body = Accepted))
)]
pub async fn set_password(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    ApiJson(new): ApiJson<NewPassword>,
) -> Result<Response, ApiError> {
    let job = vms::set_password(&app, caller.organisation.id, id, &new.password, &caller.actor).await?;
    accepted(&app, caller.organisation.id, id, Some(job)).await
}

/// Lists the CDs that can be put into a VM's drive.
#[utoipa::path(get, path = "/vms/{id}/iso-images", responses((status = 200, body = List<IsoImageView>)))]
pub async fn iso_images(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
) -> Result<Json<List<IsoImageView>>, ApiError> {
    let vm = vms::find(&app, caller.organisation.id, id).await?;
    let offered = clusters::offered_isos(&app, vm.cluster).await?;
    let items = offered
        .into_iter()
        .map(|image| IsoImageView { id: image.id, name: image.name, size_bytes: image.size_bytes })
        .collect();
    Ok(Json(List { items, next: None }))
}
