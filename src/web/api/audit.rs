//! `/audit-events` and `/admin/audit-events`: who did what. Files of them are written by `pages::audit`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::{List, Page};
use crate::app::App;
use crate::audit::{self, AuditEvent, Filter};
use crate::web::error::ApiError;
use crate::web::pages::audit::Search;
use crate::web::read::Query;
use crate::web::session::{ApiCaller, ApiStaff};

/// How many audit events one page shows.
const AUDIT_EVENTS_MAX: i64 = 200;

/// Lists what happened in the organisation, what staff did included, newest first.
#[utoipa::path(
    get, path = "/audit-events", params(Search, Page),
    responses((status = 200, body = List<AuditEvent>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(search): Query<Search>,
    Query(page): Query<Page>,
) -> Result<Json<List<AuditEvent>>, ApiError> {
    listed(&app, &search.filter(Filter::of_customer(caller.organisation.id))?, &page).await
}

/// Lists what happened anywhere, newest first.
#[utoipa::path(
    get, path = "/admin/audit-events", params(Search, Page),
    responses((status = 200, body = List<AuditEvent>))
)]
pub async fn list_all(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(search): Query<Search>,
    Query(page): Query<Page>,
) -> Result<Json<List<AuditEvent>>, ApiError> {
    listed(&app, &search.filter(Filter::default())?, &page).await
}

async fn listed(app: &App, filter: &Filter, page: &Page) -> Result<Json<List<AuditEvent>>, ApiError> {
    let limit = page.limit(AUDIT_EVENTS_MAX);
    let found = audit::list(app, filter, limit + 1).await?;
    Ok(Json(List::of(found, limit, |event| event.id.uuid(), |event| event)))
}
