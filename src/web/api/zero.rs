//! What happens when the credit ends: `/wallet/zero`, `/wallet/order` and `/wallet/rescue` for customers, `/admin/settings` and two
//! of one organisation for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ApiJson;
use crate::app::App;
use crate::charging::{self, AtZero, NewRescue, OwnZero, Rescued};
use crate::ids::{OrganisationId, VmId};
use crate::platform_settings::{self, PlatformSettings};
use crate::vms::{self, Ranked};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::{ApiCaller, ApiStaff};

/// Says what happens when the credit ends.
#[utoipa::path(get, path = "/wallet/zero", responses((status = 200, body = AtZero)))]
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<AtZero>, ApiError> {
    Ok(Json(charging::at_zero(&app, caller.organisation.id).await?))
}

/// Starts VMs that were shut down for lack of credit, for a short time.
///
/// Once for each end of the credit, so that data can be fetched.
#[utoipa::path(post, path = "/wallet/rescue", request_body = NewRescue, responses((status = 202, body = Rescued)))]
pub async fn rescue(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewRescue>,
) -> Result<(StatusCode, Json<Rescued>), ApiError> {
    let rescued = charging::rescue(&app, caller.organisation.id, &new, &caller.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(rescued)))
}

/// Machines in the order in which they are kept running.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = KeepingOrder)]
pub struct OrderView {
    /// The first stops last.
    items: Vec<Ranked>,
}

/// Lists VMs in the order in which they are kept running.
///
/// The first stops last.
#[utoipa::path(get, path = "/wallet/order", responses((status = 200, body = OrderView)))]
pub async fn order(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<OrderView>, ApiError> {
    Ok(Json(OrderView { items: vms::order(&app, caller.organisation.id).await? }))
}

/// A new order.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = NewKeepingOrder)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The first stops last; those that are not named follow as they are.
    vms: Vec<VmId>,
}

/// Sets the order in which VMs are kept running.
#[utoipa::path(put, path = "/wallet/order", request_body = NewOrder, responses((status = 200, body = OrderView)))]
pub async fn set_order(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewOrder>,
) -> Result<Json<OrderView>, ApiError> {
    Ok(Json(OrderView { items: vms::set_order(&app, caller.organisation.id, &new.vms, &caller.actor).await? }))
}

/// Shows the platform's settings.
#[utoipa::path(get, path = "/admin/settings", responses((status = 200, body = PlatformSettings)))]
pub async fn settings(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<PlatformSettings>, ApiError> {
    Ok(Json(platform_settings::current(&app).await?))
}

/// Changes the platform's settings.
#[utoipa::path(
    put, path = "/admin/settings", request_body = PlatformSettings,
    responses((status = 200, body = PlatformSettings))
)]
pub async fn change_settings(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<PlatformSettings>,
) -> Result<Json<PlatformSettings>, ApiError> {
    charging::change_settings(&app, &new, &staff.actor).await?;
    Ok(Json(platform_settings::current(&app).await?))
}

/// What is set for one organisation, and what holds for it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ZeroOfOrganisation {
    own: OwnZero,
    holds: AtZero,
}

/// Shows what is set for an organisation for the end of its credit, and what holds.
#[utoipa::path(get, path = "/admin/organisations/{id}/zero", responses((status = 200, body = ZeroOfOrganisation)))]
pub async fn own(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
) -> Result<Json<ZeroOfOrganisation>, ApiError> {
    Ok(Json(ZeroOfOrganisation { own: charging::own(&app, id).await?, holds: charging::at_zero(&app, id).await? }))
}

/// Sets an organisation's own answers for the end of its credit.
///
/// Null: the platform's.
#[utoipa::path(
    put, path = "/admin/organisations/{id}/zero", request_body = OwnZero,
    responses((status = 200, body = ZeroOfOrganisation))
)]
pub async fn change_own(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    ApiJson(new): ApiJson<OwnZero>,
) -> Result<Json<ZeroOfOrganisation>, ApiError> {
    charging::change_own(&app, id, new, &staff.actor).await?;
    Ok(Json(ZeroOfOrganisation { own: charging::own(&app, id).await?, holds: charging::at_zero(&app, id).await? }))
}

/// How much longer.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Longer {
    /// How many days more.
    #[schema(minimum = 1, maximum = 365)]
    days: i32,
}

/// Until when disks are kept.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Kept {
    until: DateTime<Utc>,
}

/// Keeps the disks of an organisation without credit longer.
#[utoipa::path(
    post, path = "/admin/organisations/{id}/keep", request_body = Longer,
    responses((status = 200, body = Kept))
)]
pub async fn keep(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    ApiJson(longer): ApiJson<Longer>,
) -> Result<Json<Kept>, ApiError> {
    Ok(Json(Kept { until: charging::keep(&app, id, longer.days, &staff.actor).await? }))
}
