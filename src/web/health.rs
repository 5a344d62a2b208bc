//! Whether the process is alive and can do its work, for who watches over it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// The process is alive.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// It can do its work: the database answers and has the migrations of this binary.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    match crate::database::check_migrations(&app.pool).await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::warn!(error = ?error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database is not ready\n").into_response()
        }
    }
}
