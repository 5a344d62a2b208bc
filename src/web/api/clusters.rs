//! `/admin/clusters`: clusters, their capacity, endpoints and CD images, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{ApiJson, List};
use crate::app::App;
use crate::clusters::{
    self, Cluster, ClusterChange, Endpoint, EndpointHealth, IsoChoice, IsoImage, NewCluster, Node, Storage, TestReport,
    Trouble,
};
use crate::error::Error;
use crate::ids::{ClusterId, IsoImageId, PlanId};
use crate::vms;
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiStaff;

/// A cluster with all that is known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ClusterDetail)]
pub struct ClusterView {
    #[serde(flatten)]
    cluster: Cluster,
    capacity: Vec<Node>,
    storages: Vec<Storage>,
    endpoints: Vec<EndpointHealth>,
}

impl ClusterView {
    async fn of(app: &App, id: ClusterId) -> Result<Json<Self>, ApiError> {
        Ok(Json(Self {
            cluster: clusters::find(app, id).await?,
            capacity: clusters::nodes(app, id).await?,
            storages: clusters::storages(app, id).await?,
            endpoints: clusters::endpoints(app, id).await?,
        }))
    }
}

/// Lists clusters.
#[utoipa::path(get, path = "/admin/clusters", responses((status = 200, body = List<Cluster>)))]
pub async fn list(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<List<Cluster>>, ApiError> {
    Ok(Json(List { items: clusters::list(&app).await?, next: None }))
}

/// Adds a cluster, once it has proved that it can be used.
#[utoipa::path(post, path = "/admin/clusters", request_body = NewCluster, responses((status = 201, body = Cluster)))]
pub async fn add(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<NewCluster>,
) -> Result<(StatusCode, Json<Cluster>), ApiError> {
    let id = clusters::add(&app, &new, &staff.actor).await?;
    Ok((StatusCode::CREATED, Json(clusters::find(&app, id).await?)))
}

/// Shows a cluster with its nodes, storages and endpoints.
#[utoipa::path(get, path = "/admin/clusters/{id}", responses((status = 200, body = ClusterView)))]
pub async fn show(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<ClusterId>,
) -> Result<Json<ClusterView>, ApiError> {
    ClusterView::of(&app, id).await
}

/// Changes a cluster's connection, limits or maintenance.
///
/// What is not given stays.
#[utoipa::path(
    patch, path = "/admin/clusters/{id}", request_body = ClusterChange,
    responses((status = 200, body = ClusterView))
)]
pub async fn change(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<ClusterId>,
    ApiJson(change): ApiJson<ClusterChange>,
) -> Result<Json<ClusterView>, ApiError> {
    clusters::change(&app, id, &change, &staff.actor).await?;
    ClusterView::of(&app, id).await
}

/// Removes a cluster on which nothing of ours is.
#[utoipa::path(delete, path = "/admin/clusters/{id}", responses((status = 204)))]
pub async fn remove(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<ClusterId>,
) -> Result<StatusCode, ApiError> {
    clusters::remove(&app, id, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tests the connection to a cluster, and what its token may do.
#[utoipa::path(post, path = "/admin/clusters/{id}/test", responses((status = 200, body = TestReport)))]
pub async fn test(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<ClusterId>,
) -> Result<Json<TestReport>, ApiError> {
    Ok(Json(clusters::test_again(&app, id).await?))
}

/// Looks at a cluster now, whether a look is due or not.
#[utoipa::path(post, path = "/admin/clusters/{id}/look", responses((status = 200, body = ClusterView)))]
pub async fn look(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<ClusterId>,
) -> Result<Json<ClusterView>, ApiError> {
    match vms::reconcile(&app, id).await {
        Ok(_) => {}
        Err(Trouble::Ours(error)) => return Err(error.into()),
        // It is written down, and in the answer.
        Err(trouble) => tracing::info!(cluster = %id, %trouble, "the cluster did not answer an operator's look"),
    }
    ClusterView::of(&app, id).await
}

/// Further endpoints, in the order they are tried.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// In the order in which they are tried.
    #[schema(max_items = 31)]
    endpoints: Vec<Endpoint>,
}

/// Sets a cluster's further endpoints, in the order in which they are tried.
#[utoipa::path(
    put, path = "/admin/clusters/{id}/endpoints", request_body = Endpoints,
    responses((status = 200, body = ClusterView))
)]
pub async fn set_endpoints(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<ClusterId>,
    ApiJson(wanted): ApiJson<Endpoints>,
) -> Result<Json<ClusterView>, ApiError> {
    clusters::set_endpoints(&app, id, &wanted.endpoints, &staff.actor).await?;
    ClusterView::of(&app, id).await
}

/// Lists the CD images of a cluster.
#[utoipa::path(get, path = "/admin/clusters/{id}/isos", responses((status = 200, body = List<IsoImage>)))]
pub async fn isos(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<ClusterId>,
) -> Result<Json<List<IsoImage>>, ApiError> {
    clusters::find(&app, id).await?;
    Ok(Json(List { items: clusters::isos(&app, id).await?, next: None }))
}

/// Reads from a cluster which CD images it has.
#[utoipa::path(post, path = "/admin/clusters/{id}/isos/refresh", responses((status = 200, body = List<IsoImage>)))]
pub async fn refresh_isos(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<ClusterId>,
) -> Result<Json<List<IsoImage>>, ApiError> {
    clusters::refresh_isos(&app, id, &staff.actor).await?;
    Ok(Json(List { items: clusters::isos(&app, id).await?, next: None }))
}

/// Which images are offered, and which one rescues.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = IsoChoices)]
#[serde(deny_unknown_fields)]
pub struct Isos {
    /// What is decided of each; those that are not named stay as they are.
    #[schema(max_items = 500)]
    images: Vec<IsoChoice>,
    /// The image that rescues; null: none.
    rescue: Option<IsoImageId>,
}

/// Chooses which CD images are offered, and which one rescues.
#[utoipa::path(
    put, path = "/admin/clusters/{id}/isos", request_body = Isos,
    responses((status = 200, body = List<IsoImage>))
)]
pub async fn set_isos(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<ClusterId>,
    ApiJson(wanted): ApiJson<Isos>,
) -> Result<Json<List<IsoImage>>, ApiError> {
    clusters::set_isos(&app, id, &wanted.images, wanted.rescue, &staff.actor).await?;
    Ok(Json(List { items: clusters::isos(&app, id).await?, next: None }))
}

/// What is asked to fit.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FitQuery {
    /// The plan; it must be given.
    plan: Option<PlanId>,
    /// How many VMs; one when nothing is said.
    #[param(minimum = 1)]
    count: Option<u32>,
    /// Whether they must be on different nodes.
    #[serde(default)]
    apart: bool,
}

/// Where machines would go.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Fit)]
pub struct FitView {
    /// How many have a place.
    fits: u32,
    places: Vec<PlaceView>,
    /// Why the next one has none, when not all have one.
    refusal: Option<&'static str>,
    passed_over: Vec<PassedOverView>,
}

/// So many on a node.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = FitPlace)]
pub struct PlaceView {
    node: String,
    count: u32,
}

/// A node that has no room.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = FitPassedOver)]
pub struct PassedOverView {
    node: String,
    reasons: String,
}

/// Says where VMs of a plan would go.
#[utoipa::path(get, path = "/admin/clusters/{id}/fit", params(FitQuery), responses((status = 200, body = FitView)))]
pub async fn fit(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<ClusterId>,
    Query(query): Query<FitQuery>,
) -> Result<Json<FitView>, ApiError> {
    let plan = query.plan.ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))?;
    let filled = clusters::would_fit(&app, id, plan, query.count.unwrap_or(1), query.apart).await?;
    Ok(Json(FitView {
        fits: filled.count(),
        refusal: filled.refused.as_ref().map(clusters::NoPlace::sentence),
        passed_over: filled
            .refused
            .map(|refused| refused.nodes)
            .unwrap_or_default()
            .into_iter()
            .map(|node| PassedOverView { reasons: node.reasons(), node: node.node })
            .collect(),
        places: filled.places.into_iter().map(|(_, node, count)| PlaceView { node, count }).collect(),
    }))
}
