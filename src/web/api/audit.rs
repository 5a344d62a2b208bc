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

/// `GET /audit-events`: those of the organisation, what staff did included.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(search): Query<Search>,
    Query(page): Query<Page>,
) -> Result<Json<List<AuditEvent>>, ApiError> {
    listed(&app, &search.filter(Filter::of_customer(caller.organisation.id))?, &page).await
}

/// `GET /admin/audit-events`
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
