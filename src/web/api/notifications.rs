//! `/notifications`: what the organisation should know.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{List, Page};
use crate::app::App;
use crate::ids::NotificationId;
use crate::notifications::{self, Notification};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiCaller;

/// Lists notices, newest first.
#[utoipa::path(get, path = "/notifications", params(Page), responses((status = 200, body = List<Notification>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(page): Query<Page>,
) -> Result<Json<List<Notification>>, ApiError> {
    let limit = page.limit(notifications::PAGE_MAX);
    let found = notifications::list(&app, caller.organisation.id, page.after(), limit + 1).await?;
    Ok(Json(List::of(found, limit, |notice| notice.id.uuid(), |notice| notice)))
}

/// Marks a notice as read.
#[utoipa::path(post, path = "/notifications/{id}/read", responses((status = 204)))]
pub async fn read(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<NotificationId>,
) -> Result<StatusCode, ApiError> {
    notifications::read(&app, caller.organisation.id, id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Marks every notice as read.
#[utoipa::path(post, path = "/notifications/read", responses((status = 204)))]
pub async fn read_all(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<StatusCode, ApiError> {
    notifications::read_all(&app, caller.organisation.id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
