//! `/auth/passkeys`: one's own passkeys. A browser adds them, for only it can reach the device.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::ids::PasskeyId;
use crate::passkeys::{self, Passkey};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::ApiCaller;

/// All of them: there are never many.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Passkeys {
    /// The oldest first.
    items: Vec<Passkey>,
}

/// Lists one's passkeys.
#[utoipa::path(get, path = "/auth/passkeys", responses((status = 200, body = Passkeys)))]
pub async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<Passkeys>, ApiError> {
    Ok(Json(Passkeys { items: passkeys::list(&app, caller.user.id).await? }))
}

/// Removes a passkey.
#[utoipa::path(delete, path = "/auth/passkeys/{id}", responses((status = 204)))]
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<PasskeyId>,
) -> Result<StatusCode, ApiError> {
    passkeys::remove(&app, &caller.user, id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
