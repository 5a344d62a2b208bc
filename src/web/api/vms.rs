//! `/vms`: ordering machines and turning them on and off; what changes them is in `changes`. Every change answers 202 with the machine and the job at work on it.

pub mod changes;
mod cost;

use std::sync::Arc;

pub use changes::{boot, configure, iso_images, rebuild, resize, set_password};
pub use cost::CostView;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::jobs::JobView;
use super::{ApiJson, IdempotencyKey, List, Page, idempotency_key};
use crate::app::App;
use crate::error::Error;
use crate::ids::{ImageId, IsoImageId, JobId, LocationId, OrganisationId, PlanId, VmId};
use crate::jobs;
use crate::vms::{self, EstimatedVms, NewVm, Power, Vm};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiCaller;

/// A machine as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Vm)]
pub struct VmView {
    id: VmId,
    number: i64,
    name: String,
    /// `provisioning running stopped failed deleting`, or `unknown` while nobody can tell.
    state: &'static str,
    state_since: DateTime<Utc>,
    state_reason: Option<String>,
    stopped_for_credit: bool,
    /// Its processors stand still; it is charged as running.
    suspended: bool,
    /// It can neither be deleted nor rebuilt.
    protected: bool,
    importance: i32,
    tags: Vec<String>,
    address: Option<String>,
    plan: PlanId,
    plan_name: String,
    vcpu: i32,
    memory_mib: i32,
    disk_gib: i32,
    image: ImageId,
    image_name: String,
    /// The CD in its drive.
    iso_image: Option<IsoImageId>,
    /// It starts from the CD, not from its disk.
    boot_from_iso: bool,
    /// It was not made by us but taken over.
    adopted: bool,
    location: LocationId,
    /// VMs with the same group are on different hosts.
    placement_group: Option<String>,
    /// The length of its user data; `GET /vms/{id}/user-data` answers with the text.
    user_data_bytes: Option<i32>,
    /// What it costs per hour now.
    price_per_hour: Rate,
    monthly_cap: Option<Money>,
    created_at: DateTime<Utc>,
    /// The job that is at work on it.
    job: Option<JobView>,
}

impl From<Vm> for VmView {
    fn from(vm: Vm) -> Self {
        let (state, state_since, state_reason) = match vm.unknown {
            Some(unknown) => ("unknown", unknown.since, Some(unknown.why.to_owned())),
            None => (vm.state.name(), vm.state_since, vm.state_reason),
        };
        Self {
            id: vm.id,
            number: vm.number,
            name: vm.name,
            state,
            state_since,
            state_reason,
            stopped_for_credit: vm.stopped_for_credit_at.is_some(),
            suspended: vm.paused_at.is_some(),
            protected: vm.protected,
            importance: vm.importance,
            tags: vm.tags,
            address: vm.address,
            plan: vm.plan,
            plan_name: vm.plan_name,
            vcpu: vm.vcpu,
            memory_mib: vm.memory_mib,
            disk_gib: vm.disk_gib,
            image: vm.image,
            image_name: vm.image_name,
            iso_image: vm.iso_image,
            boot_from_iso: vm.boot_from_iso,
            adopted: vm.adopted_at.is_some(),
            location: vm.location,
            placement_group: vm.placement_group,
            user_data_bytes: vm.user_data_bytes,
            price_per_hour: vm.rate,
            monthly_cap: vm.monthly_cap,
            created_at: vm.created_at,
            job: vm.job.map(|job| JobView::from(*job)),
        }
    }
}

/// What new machines would cost.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Estimate)]
pub struct EstimateView {
    /// All of them running, all their lines together.
    price_running_per_hour: Rate,
    /// All of them stopped.
    price_stopped_per_hour: Rate,
    /// What a month costs each entry that was asked about, by its hours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    months: Vec<Money>,
    #[serde(flatten)]
    cost: CostView,
}

impl From<vms::Estimate> for EstimateView {
    fn from(estimate: vms::Estimate) -> Self {
        Self {
            price_running_per_hour: estimate.cost.rate_to,
            price_stopped_per_hour: estimate.stopped,
            months: Vec::new(),
            cost: estimate.cost.into(),
        }
    }
}

impl From<vms::ManyEstimate> for EstimateView {
    fn from(estimate: vms::ManyEstimate) -> Self {
        Self {
            price_running_per_hour: estimate.cost.rate_to,
            price_stopped_per_hour: estimate.stopped,
            months: estimate.months,
            cost: estimate.cost.into(),
        }
    }
}

/// A machine and the job that was started.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = VmAndJob)]
pub struct Accepted {
    vm: Option<VmView>,
    job: Option<JobView>,
}

/// What every costing change understands.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Only say what it would cost and do; nothing is done.
    #[serde(default)]
    pub(in crate::web::api) dry_run: bool,
}

/// What to estimate: one machine of a plan, or several.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct EstimateRequest {
    /// One running VM of this plan.
    plan: Option<PlanId>,
    /// With this image, which may need a licence.
    image: Option<ImageId>,
    /// Or these VMs.
    #[serde(default)]
    #[schema(max_items = 50)]
    vms: Vec<EstimatedVms>,
}

/// Which machines are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only VMs with this tag.
    #[param(max_length = 30)]
    tag: Option<String>,
}

/// Lists VMs, newest first.
#[utoipa::path(get, path = "/vms", params(Wanted, Page), responses((status = 200, body = List<VmView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(wanted): Query<Wanted>,
    Query(page): Query<Page>,
) -> Result<Json<List<VmView>>, ApiError> {
    let limit = page.limit(vms::PAGE_MAX);
    let found = vms::list_tagged(&app, caller.organisation.id, wanted.tag.as_deref(), page.after(), limit + 1).await?;
    Ok(Json(List::of(found, limit, |vm| vm.id.uuid(), VmView::from)))
}

/// Shows a VM.
#[utoipa::path(get, path = "/vms/{id}", responses((status = 200, body = VmView)))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
) -> Result<Json<VmView>, ApiError> {
    Ok(Json(vms::find(&app, caller.organisation.id, id).await?.into()))
}

/// User data as it was given.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = UserData)]
pub struct UserDataView {
    user_data: String,
}

/// Shows the user data that a VM was made with.
#[utoipa::path(get, path = "/vms/{id}/user-data", responses((status = 200, body = UserDataView)))]
pub async fn user_data(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
) -> Result<Json<UserDataView>, ApiError> {
    let user_data = vms::user_data(&app, caller.organisation.id, id).await?;
    Ok(Json(UserDataView { user_data }))
}

/// Orders a VM.
///
/// A day of running must be available, and is set aside until it runs. With `?dry_run=true` it only says what it would
/// cost.
#[utoipa::path(
    post, path = "/vms", params(DryRun, IdempotencyKey), request_body = NewVm,
    responses((status = 200, body = EstimateView), (status = 202, body = Accepted), (status = 402))
)]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(query): Query<DryRun>,
    headers: HeaderMap,
    ApiJson(new): ApiJson<NewVm>,
) -> Result<Response, ApiError> {
    let organisation = caller.organisation.id;
    new.check_permitted(caller.permissions)?;
    if query.dry_run {
        let plan = new.plan.ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))?;
        return Ok(Json(EstimateView::from(vms::estimate(&app, organisation, plan, new.image).await?)).into_response());
    }
    let key = idempotency_key(&headers)?;
    let ordered = vms::create(&app, organisation, &new, key, &caller.actor).await?;
    accepted(&app, organisation, ordered.vm, ordered.job).await
}

/// Says what VMs would cost.
///
/// Give a plan, with or without an image, or a list of VMs.
#[utoipa::path(
    post, path = "/estimate", request_body = EstimateRequest,
    responses((status = 200, body = EstimateView))
)]
pub async fn estimate(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(request): ApiJson<EstimateRequest>,
) -> Result<Json<EstimateView>, ApiError> {
    let organisation = caller.organisation.id;
    Ok(Json(match request.plan {
        Some(plan) if request.vms.is_empty() => vms::estimate(&app, organisation, plan, request.image).await?.into(),
        Some(_) => return Err(Error::invalid("plan", "Give a plan, or VMs, not both.").into()),
        None => vms::estimate_many(&app, organisation, &request.vms).await?.into(),
    }))
}

/// Deletes a VM with its disk.
///
/// 204 when it is deleted already.
#[utoipa::path(delete, path = "/vms/{id}", responses((status = 202, body = Accepted), (status = 204)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
) -> Result<Response, ApiError> {
    let organisation = caller.organisation.id;
    match vms::delete(&app, organisation, id, &caller.actor).await? {
        Some(job) => accepted(&app, organisation, id, Some(job)).await,
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Starts a VM.
#[utoipa::path(
    post, path = "/vms/{id}/start", params(DryRun),
    responses((status = 200, body = CostView), (status = 202, body = Accepted), (status = 402))
)]
pub async fn start(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
) -> Result<Response, ApiError> {
    power(&app, &caller, id, Power::Start, query).await
}

/// Asks a VM to shut down by itself.
#[utoipa::path(
    post, path = "/vms/{id}/shutdown", params(DryRun),
    responses((status = 200, body = CostView), (status = 202, body = Accepted))
)]
pub async fn shutdown(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
) -> Result<Response, ApiError> {
    power(&app, &caller, id, Power::Shutdown, query).await
}

/// Cuts a VM's power.
#[utoipa::path(
    post, path = "/vms/{id}/stop", params(DryRun),
    responses((status = 200, body = CostView), (status = 202, body = Accepted))
)]
pub async fn stop(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
) -> Result<Response, ApiError> {
    power(&app, &caller, id, Power::Stop, query).await
}

/// Asks a VM to restart by itself.
#[utoipa::path(
    post, path = "/vms/{id}/reboot", params(DryRun),
    responses((status = 200, body = CostView), (status = 202, body = Accepted))
)]
pub async fn reboot(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
) -> Result<Response, ApiError> {
    power(&app, &caller, id, Power::Reboot, query).await
}

/// Restarts a VM by force.
#[utoipa::path(
    post, path = "/vms/{id}/reset", params(DryRun),
    responses((status = 200, body = CostView), (status = 202, body = Accepted))
)]
pub async fn reset(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
) -> Result<Response, ApiError> {
    power(&app, &caller, id, Power::Reset, query).await
}

/// Makes a VM's processors stand still.
///
/// It is charged as running.
#[utoipa::path(
    post, path = "/vms/{id}/suspend", params(DryRun),
    responses((status = 200, body = CostView), (status = 202, body = Accepted))
)]
pub async fn suspend(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
) -> Result<Response, ApiError> {
    power(&app, &caller, id, Power::Suspend, query).await
}

/// Lets a suspended VM go on.
#[utoipa::path(
    post, path = "/vms/{id}/resume", params(DryRun),
    responses((status = 200, body = CostView), (status = 202, body = Accepted), (status = 402))
)]
pub async fn resume(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    Query(query): Query<DryRun>,
) -> Result<Response, ApiError> {
    power(&app, &caller, id, Power::Resume, query).await
}

/// With `?dry_run=true` it only says what the change would cost.
async fn power(app: &App, caller: &ApiCaller, id: VmId, power: Power, query: DryRun) -> Result<Response, ApiError> {
    let organisation = caller.organisation.id;
    if query.dry_run {
        return Ok(Json(CostView::from(vms::estimate_power(app, organisation, id, power).await?)).into_response());
    }
    let job = vms::power(app, organisation, id, power, &caller.actor).await?;
    accepted(app, organisation, id, Some(job)).await
}

async fn accepted(app: &App, organisation: OrganisationId, vm: VmId, job: Option<JobId>) -> Result<Response, ApiError> {
    let job = match job {
        Some(id) => Some(jobs::find(app, Some(organisation), id).await?.into()),
        None => None,
    };
    // A machine whose making is undone may be gone by now.
    let vm = match vms::find(app, organisation, vm).await {
        Ok(vm) => Some(vm.into()),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok((StatusCode::ACCEPTED, Json(Accepted { vm, job })).into_response())
}
