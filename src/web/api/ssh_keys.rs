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

/// Lists SSH keys, newest first.
#[utoipa::path(get, path = "/ssh-keys", responses((status = 200, body = List<SshKey>)))]
pub async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<SshKey>>, ApiError> {
    Ok(Json(List { items: ssh_keys::list(&app, caller.organisation.id).await?, next: None }))
}

/// Adds an SSH key.
#[utoipa::path(post, path = "/ssh-keys", request_body = NewKey, responses((status = 201, body = SshKey)))]
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

/// Removes an SSH key.
///
/// VMs that let it in already go on doing so.
#[utoipa::path(delete, path = "/ssh-keys/{id}", responses((status = 204)))]
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<SshKeyId>,
) -> Result<StatusCode, ApiError> {
    ssh_keys::remove(&app, caller.organisation.id, id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
