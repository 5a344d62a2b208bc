//! What is on offer: `/locations`, `/plans`, `/images`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use billing::{Money, Rate};
use serde::Serialize;

use super::List;
use crate::app::App;
use crate::catalog::{self, Image, Location, Plan};
use crate::ids::PlanId;
use crate::web::error::ApiError;
use crate::web::session::ApiCaller;

/// A plan as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Plan)]
pub struct PlanView {
    id: PlanId,
    slug: String,
    name: String,
    vcpu: i32,
    memory_mib: i32,
    disk_gib: i32,
    price_running_per_hour: Rate,
    price_stopped_per_hour: Rate,
    monthly_cap: Option<Money>,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.id,
            slug: plan.slug,
            name: plan.name,
            vcpu: plan.vcpu,
            memory_mib: plan.memory_mib,
            disk_gib: plan.disk_gib,
            price_running_per_hour: plan.running,
            price_stopped_per_hour: plan.stopped,
            monthly_cap: plan.monthly_cap,
        }
    }
}

/// Lists the locations.
#[utoipa::path(get, path = "/locations", responses((status = 200, body = List<Location>)))]
pub async fn locations(State(app): State<Arc<App>>, _caller: ApiCaller) -> Result<Json<List<Location>>, ApiError> {
    Ok(Json(List { items: catalog::locations(&app).await?, next: None }))
}

/// Lists the plans on sale, at the organisation's prices.
#[utoipa::path(get, path = "/plans", responses((status = 200, body = List<PlanView>)))]
pub async fn plans(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<PlanView>>, ApiError> {
    let items = catalog::plans_for(&app, caller.organisation.id).await?.into_iter().map(PlanView::from).collect();
    Ok(Json(List { items, next: None }))
}

/// Lists the images and where each can be used.
#[utoipa::path(get, path = "/images", responses((status = 200, body = List<Image>)))]
pub async fn images(State(app): State<Arc<App>>, _caller: ApiCaller) -> Result<Json<List<Image>>, ApiError> {
    Ok(Json(List { items: catalog::images(&app).await?, next: None }))
}
