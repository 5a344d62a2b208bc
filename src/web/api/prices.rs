//! `/prices` for customers; `/admin/price-lists`, `/admin/plans` and `/admin/images` for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use billing::Month;
use serde::{Deserialize, Serialize};

use super::vms::DryRun;
use super::{ApiJson, List};
use crate::app::App;
use crate::error::Error;
use crate::ids::{ImageId, OrganisationId, PlanId, PriceListId};
use crate::pricing::{
    self, ImageLine, ListLine, NewList, NewPlan, NewVersion, Offer, PlanLine, Preview, Question, WhatIf,
};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::{ApiCaller, ApiStaff};

/// Shows the organisation's prices and the changes that are announced.
#[utoipa::path(get, path = "/prices", responses((status = 200, body = Offer)))]
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<Offer>, ApiError> {
    Ok(Json(pricing::offer_for(&app, caller.organisation.id).await?))
}

/// Lists the price lists.
#[utoipa::path(get, path = "/admin/price-lists", responses((status = 200, body = List<ListLine>)))]
pub async fn lists(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<List<ListLine>>, ApiError> {
    Ok(Json(List { items: pricing::lists(&app).await?, next: None }))
}

/// Something that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Made<T> {
    id: T,
}

/// Makes a price list, empty or as a copy.
#[utoipa::path(
    post, path = "/admin/price-lists", request_body = NewList,
    responses((status = 201, body = Made<PriceListId>))
)]
pub async fn add_list(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<NewList>,
) -> Result<(StatusCode, Json<Made<PriceListId>>), ApiError> {
    let id = pricing::add_list(&app, &new, &staff.actor).await?;
    Ok((StatusCode::CREATED, Json(Made { id })))
}

/// Which version is shown.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Shown {
    /// Which version; the one in force when nothing is said.
    version: Option<i32>,
}

/// Shows a price list with its versions.
#[utoipa::path(get, path = "/admin/price-lists/{id}", params(Shown), responses((status = 200, body = pricing::List)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<PriceListId>,
    Query(shown): Query<Shown>,
) -> Result<Json<pricing::List>, ApiError> {
    Ok(Json(pricing::show(&app, id, shown.version).await?))
}

/// Makes a new version of a price list.
///
/// With `?dry_run=true` it only says what it would do.
#[utoipa::path(
    post, path = "/admin/price-lists/{id}/versions", params(DryRun), request_body = NewVersion,
    responses((status = 200, body = Preview), (status = 201, body = Preview))
)]
pub async fn change(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<PriceListId>,
    Query(query): Query<DryRun>,
    ApiJson(new): ApiJson<NewVersion>,
) -> Result<Response, ApiError> {
    if query.dry_run {
        return Ok(Json(pricing::preview(&app, id, &new).await?).into_response());
    }
    let (_, effect) = pricing::change(&app, id, &new, &staff.actor).await?;
    Ok((StatusCode::CREATED, Json(effect)).into_response())
}

/// Withdraws a version that is not in force yet.
#[utoipa::path(delete, path = "/admin/price-lists/{id}/versions/{number}", responses((status = 204)))]
pub async fn withdraw(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path((id, number)): Path<(PriceListId, i32)>,
) -> Result<StatusCode, ApiError> {
    pricing::withdraw(&app, id, number, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is asked of a month.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// `2026-10`; the last month when nothing is said.
    #[param(value_type = Option<Month>)]
    pub(in crate::web) month: Option<String>,
    /// The newest that is not withdrawn when nothing is said.
    pub(in crate::web) version: Option<i32>,
    /// Only what was metered on this list; everything when nothing is said.
    #[param(value_type = Option<PriceListId>)]
    pub(in crate::web) of: Option<String>,
    /// `csv` for a file.
    #[param(pattern = "^(json|csv)$")]
    pub(in crate::web) format: Option<String>,
}

impl Asked {
    /// The question about a list.
    ///
    /// # Errors
    /// `Invalid` when the month or the list cannot be read.
    pub(in crate::web) fn question(&self, app: &App, list: PriceListId) -> crate::error::Result<Question> {
        let month = match self.month.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => text.parse::<Month>().map_err(|_| Error::invalid("month", "A month such as 2026-10."))?,
            None => last_month(app),
        };
        let of_list = match self.of.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => Some(text.parse().map_err(|_| Error::invalid("of", "Choose one of the price lists."))?),
            None => None,
        };
        Ok(Question { list, version: self.version, month, of_list })
    }
}

/// The billing month before this one.
pub(in crate::web) fn last_month(app: &App) -> Month {
    let zone = app.settings.time_zone;
    let begins = Month::of(app.clock.now(), zone).start(zone);
    Month::of(begins - chrono::TimeDelta::microseconds(1), zone)
}

/// Says what a month would have brought by another version.
///
/// With `?format=csv` it is a file with a line for each charge.
#[utoipa::path(
    get, path = "/admin/price-lists/{id}/what-if", params(Asked),
    responses((status = 200, content((WhatIf = "application/json"), (String = "text/csv"))))
)]
pub async fn what_if(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<PriceListId>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let answer = pricing::what_if(&app, asked.question(&app, id)?).await?;
    Ok(if asked.format.as_deref() == Some("csv") { csv(&answer) } else { Json(answer).into_response() })
}

/// The file of an answer.
pub(in crate::web) fn csv(answer: &WhatIf) -> Response {
    let name = format!("attachment; filename=\"what-if-{}.csv\"", answer.month);
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    (headers, answer.csv.clone()).into_response()
}

/// Which list an organisation is put on; null: the default one.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = PriceListAssignment)]
pub struct Assignment {
    /// The list.
    price_list: Option<PriceListId>,
    /// Why, for the customer; needed when something that he uses gets dearer at once.
    #[serde(default)]
    #[schema(max_length = 200)]
    reason: String,
}

/// What an assignment did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PriceListAssigned)]
pub struct Assigned {
    /// How many meters go on by other prices.
    meters: u64,
}

/// Puts an organisation on a price list.
#[utoipa::path(
    put, path = "/admin/organisations/{id}/price-list", request_body = Assignment,
    responses((status = 200, body = Assigned))
)]
pub async fn assign(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    ApiJson(assignment): ApiJson<Assignment>,
) -> Result<Json<Assigned>, ApiError> {
    let meters = pricing::assign(&app, id, assignment.price_list, &assignment.reason, &staff.actor).await?;
    Ok(Json(Assigned { meters }))
}

/// Lists all plans, with how many VMs have each.
#[utoipa::path(get, path = "/admin/plans", responses((status = 200, body = List<PlanLine>)))]
pub async fn plans(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<List<PlanLine>>, ApiError> {
    Ok(Json(List { items: pricing::plans(&app).await?, next: None }))
}

/// Makes a plan with its prices.
#[utoipa::path(post, path = "/admin/plans", request_body = NewPlan, responses((status = 201, body = Made<PlanId>)))]
pub async fn add_plan(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<NewPlan>,
) -> Result<(StatusCode, Json<Made<PlanId>>), ApiError> {
    let id = pricing::add_plan(&app, &new, &staff.actor).await?;
    Ok((StatusCode::CREATED, Json(Made { id })))
}

/// Takes a plan off sale.
///
/// VMs that have it keep it.
#[utoipa::path(post, path = "/admin/plans/{id}/retire", responses((status = 204)))]
pub async fn retire(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<PlanId>,
) -> Result<StatusCode, ApiError> {
    pricing::retire(&app, id, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a plan on sale again.
#[utoipa::path(post, path = "/admin/plans/{id}/sell", responses((status = 204)))]
pub async fn sell(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<PlanId>,
) -> Result<StatusCode, ApiError> {
    pricing::sell_again(&app, id, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists all images with the licences that their systems need.
#[utoipa::path(get, path = "/admin/images", responses((status = 200, body = List<ImageLine>)))]
pub async fn images(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<List<ImageLine>>, ApiError> {
    Ok(Json(List { items: pricing::images(&app).await?, next: None }))
}

/// Which licence an image needs.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = ImageLicence)]
pub struct Licence {
    /// What it is called; empty for none.
    #[schema(max_length = 60, example = "Windows Server 2025")]
    licence: String,
}

/// Says which licence the system of an image needs.
///
/// It counts for VMs that are made or made anew from now on, and is charged where a price list has a price for it.
#[utoipa::path(put, path = "/admin/images/{id}/licence", request_body = Licence, responses((status = 204)))]
pub async fn set_licence(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<ImageId>,
    ApiJson(new): ApiJson<Licence>,
) -> Result<StatusCode, ApiError> {
    pricing::set_licence(&app, id, &new.licence, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
