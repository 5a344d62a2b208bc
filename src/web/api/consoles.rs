//! `/vms/{id}/console`: an address that opens a machine's console once, for programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::ApiJson;
use crate::app::App;
use crate::consoles::Leave;
use crate::error::Error;
use crate::ids::VmId;
use crate::sessions::Standing;
use crate::vms::{self, ConsoleKind};
use crate::web::console::{self, Address};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::{ApiCaller, bearer};

/// What to open.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct NewConsole {
    /// `screen` (RFB 3.8 without authentication) or `serial` (bytes, and `{"columns":80,"rows":24}` as text).
    #[serde(default)]
    kind: ConsoleKind,
}

/// Opens a VM's console for one connection.
///
/// The address is a WebSocket's and works once, for a short time.
#[utoipa::path(post, path = "/vms/{id}/console", request_body = NewConsole, responses((status = 201, body = Address)))]
pub async fn open(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<VmId>,
    headers: HeaderMap,
    ApiJson(new): ApiJson<NewConsole>,
) -> Result<(StatusCode, Json<Address>), ApiError> {
    let vm = vms::find(&app, caller.organisation.id, id).await?;
    let token = bearer(&headers).ok_or(Error::Unauthenticated("Send an access token: Authorization: Bearer …"))?;
    let leave = Leave {
        vm: vm.id,
        organisation: vm.organisation,
        kind: new.kind,
        standing: Standing::of_bearer(&app, token).await?,
        person: caller.user.id,
        actor: caller.actor,
        reason: None,
    };
    let mut address = console::address(&app, &vm, leave).await?;
    // `https` becomes `wss`, and a demo's `http` becomes `ws`.
    address.url = format!("{}{}", app.settings.public_url.replacen("http", "ws", 1), address.url);
    Ok((StatusCode::CREATED, Json(address)))
}
