//! `/ssh-keys`: the public keys that new machines let in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{ApiJson, List};
use crate::app::App;
use crate::ids::SshKeyId;
use crate::ssh_keys::{self, SshKey};
use crate::vms::NewKey;
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::ApiCaller;

/// `GET /ssh-keys`
pub async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<SshKey>>, ApiError> {
    Ok(Json(List { items: ssh_keys::list(&app, caller.organisation.id).await?, next: None }))
}

/// `POST /ssh-keys`
pub async fn add(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewKey>,
) -> Result<(StatusCode, Json<SshKey>), ApiError> {
    let key = ssh_keys::add(
        &app,
        caller.organisation.id,
        ("name", &new.name),
        ("public_key", &new.public_key),
        &caller.actor,
    )
    .await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// `DELETE /ssh-keys/{id}`
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<SshKeyId>,
) -> Result<StatusCode, ApiError> {
    ssh_keys::remove(&app, caller.organisation.id, id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
