//! `/quotas`: how much an organisation may have; and for staff, who may have more.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::ApiJson;
use crate::app::App;
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::quotas::{self, Amounts, NewDefaults, OwnLimits, Quota};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::{ApiCaller, ApiStaff};

/// A quota with what is used of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Quota)]
pub struct QuotaView {
    /// What it is of, with the unit.
    #[schema(example = "memory_mib")]
    quota: &'static str,
    /// The most that there may be.
    limit: i64,
    /// Null where it is not counted here.
    used: Option<i64>,
    /// Whether it is not the default of the platform.
    own: bool,
}

/// The quotas of an organisation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Quotas)]
pub struct QuotasView {
    /// Every quota.
    items: Vec<QuotaView>,
    /// Where to ask for more: an e-mail address or an `https://` address.
    ask_at: Option<String>,
}

async fn view(app: &App, organisation: OrganisationId) -> Result<QuotasView> {
    let standing = quotas::standing(app, organisation).await?;
    let items = Quota::ALL.into_iter().map(|quota| QuotaView {
        quota: quota.name(),
        limit: standing.limits.of(quota),
        used: (quota != Quota::ApiRequests).then(|| standing.used.of(quota)),
        own: standing.is_own(quota),
    });
    Ok(QuotasView { items: items.collect(), ask_at: standing.contact.clone() })
}

/// Shows how much the organisation may have and has.
#[utoipa::path(get, path = "/quotas", responses((status = 200, body = QuotasView)))]
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<QuotasView>, ApiError> {
    Ok(Json(view(&app, caller.organisation.id).await?))
}

/// Shows how much an organisation may have and has.
#[utoipa::path(get, path = "/admin/organisations/{id}/quotas", responses((status = 200, body = QuotasView)))]
pub async fn of_organisation(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
) -> Result<Json<QuotasView>, ApiError> {
    Ok(Json(view(&app, id).await?))
}

/// Sets the own quotas of an organisation.
///
/// What is left out or null is the default of the platform. What it has already it keeps.
#[utoipa::path(put, path = "/admin/organisations/{id}/quotas", request_body = OwnLimits, responses((status = 200, body = QuotasView)))]
pub async fn change_own(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    ApiJson(new): ApiJson<OwnLimits>,
) -> Result<Json<QuotasView>, ApiError> {
    quotas::change_own(&app, id, &new, &staff.actor).await?;
    Ok(Json(view(&app, id).await?))
}

/// What every organisation may have that has no own answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DefaultQuotas)]
pub struct DefaultsView {
    /// Every quota.
    #[schema(value_type = OwnLimits)]
    limits: Amounts,
    /// Where customers ask for more.
    contact: Option<String>,
}

async fn defaults_view(app: &App) -> Result<DefaultsView> {
    let (limits, contact) = quotas::defaults(app).await?;
    Ok(DefaultsView { limits, contact })
}

/// Shows what every organisation may have that has no own answer.
#[utoipa::path(get, path = "/admin/quotas", responses((status = 200, body = DefaultsView)))]
pub async fn defaults(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<DefaultsView>, ApiError> {
    Ok(Json(defaults_view(&app).await?))
}

/// Sets what every organisation may have that has no own answer.
///
/// What is left out or null stays as it is.
#[utoipa::path(put, path = "/admin/quotas", request_body = NewDefaults, responses((status = 200, body = DefaultsView)))]
pub async fn change_defaults(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<NewDefaults>,
) -> Result<Json<DefaultsView>, ApiError> {
    quotas::change_defaults(&app, &new, &staff.actor).await?;
    Ok(Json(defaults_view(&app).await?))
}
