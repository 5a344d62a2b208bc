//! `/auth`: the second step of a login, and one's own second factors.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::ApiJson;
use crate::app::App;
use crate::second_factor::{self, Factors, PENDING_MINUTES};
use crate::sessions::{self, Tokens};
use crate::web::error::ApiError;
use crate::web::request::Origin;
use crate::web::session::ApiCaller;

/// The answer to the right password of somebody who has a second factor: it opens nothing yet.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SecondFactorRequired {
    /// Always true.
    second_factor_required: bool,
    /// Goes with a code to `POST /auth/login/code`.
    pending_token: String,
    /// Seconds until it is too late for that.
    expires_in: i64,
}

impl SecondFactorRequired {
    /// With the token of a login that waits.
    pub fn of(pending: &SecretString) -> Self {
        Self {
            second_factor_required: true,
            pending_token: pending.expose_secret().to_owned(),
            expires_in: PENDING_MINUTES * 60,
        }
    }
}

/// The second step of a login.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct SecondStep {
    /// From the first step.
    #[schema(value_type = String, format = Password)]
    pending_token: SecretString,
    /// Six digits of an app, or a recovery code.
    #[schema(value_type = String, example = "123456")]
    code: SecretString,
}

/// Finishes a login with a code.
///
/// A wrong code counts, and after five of them none is looked at for a while.
#[utoipa::path(post, path = "/auth/login/code", request_body = SecondStep, responses((status = 200, body = Tokens)))]
pub async fn finish(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(step): ApiJson<SecondStep>,
) -> Result<Json<Tokens>, ApiError> {
    let code = step.code.expose_secret();
    let (user, _) = second_factor::finish(&app, &step.pending_token, code, &origin.stranger()).await?;
    Ok(Json(sessions::log_in(&app, &user, origin.stranger()).await?))
}

/// Says which second factors a person has.
#[utoipa::path(get, path = "/auth/second-factor", responses((status = 200, body = Factors)))]
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<Factors>, ApiError> {
    Ok(Json(second_factor::factors(&app, caller.user.id).await?))
}

/// What an authenticator app needs to know.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct AppSetup {
    /// In base 32.
    secret: String,
    /// The same as `otpauth://` address, for a QR code.
    url: String,
}

/// Begins to set up an authenticator app.
///
/// It counts once a code has confirmed it.
#[utoipa::path(post, path = "/auth/totp", responses((status = 201, body = AppSetup)))]
pub async fn begin_totp(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
) -> Result<(StatusCode, Json<AppSetup>), ApiError> {
    let setup = second_factor::start(&app, &caller.user).await?;
    let (secret, url) = (setup.secret.expose_secret().to_owned(), setup.url.expose_secret().to_owned());
    Ok((StatusCode::CREATED, Json(AppSetup { secret, url })))
}

/// A code of an app.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct AppCode {
    /// Six digits.
    #[schema(value_type = String, example = "123456")]
    code: SecretString,
}

/// Recovery codes, shown once; null where the person keeps those that he has.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RecoveryCodes {
    /// Each opens one login.
    recovery_codes: Option<Vec<String>>,
}

/// Confirms an authenticator app by a code of it.
///
/// With the first factor of a person all his other logins end, and he gets recovery codes.
#[utoipa::path(post, path = "/auth/totp/confirm", request_body = AppCode, responses((status = 200, body = RecoveryCodes)))]
pub async fn add_totp(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(typed): ApiJson<AppCode>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    let code = typed.code.expose_secret();
    let recovery_codes = second_factor::add(&app, &caller.user, code, caller.login, &caller.actor).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Removes the authenticator app.
#[utoipa::path(delete, path = "/auth/totp", responses((status = 204)))]
pub async fn remove_totp(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<StatusCode, ApiError> {
    second_factor::remove(&app, &caller.user, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes new recovery codes.
///
/// Those of before open nothing any more.
#[utoipa::path(post, path = "/auth/recovery-codes", responses((status = 201, body = RecoveryCodes)))]
pub async fn make_codes(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
) -> Result<(StatusCode, Json<RecoveryCodes>), ApiError> {
    let codes = second_factor::make_anew(&app, &caller.user, &caller.actor).await?;
    Ok((StatusCode::CREATED, Json(RecoveryCodes { recovery_codes: Some(codes) })))
}

/// What an organisation demands of its members.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub struct SecondFactorDemand {
    /// Every member must have one.
    required: bool,
}

/// Sets whether every member of the organisation must have a second factor.
#[utoipa::path(put, path = "/organisation/second-factor", request_body = SecondFactorDemand, responses((status = 200, body = SecondFactorDemand)))]
pub async fn demand(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(demand): ApiJson<SecondFactorDemand>,
) -> Result<Json<SecondFactorDemand>, ApiError> {
    second_factor::demand(&app, caller.organisation.id, demand.required, &caller.user, &caller.actor).await?;
    Ok(Json(demand))
}
