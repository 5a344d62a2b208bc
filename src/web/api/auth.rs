//! `/auth`: registering, logging in, refreshing and ending tokens, and who one is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::ApiJson;
use super::second_factor::SecondFactorRequired;
use crate::app::App;
use crate::ids::{OrganisationId, UserId};
use crate::second_factor;
use crate::sessions::{self, Tokens};
use crate::users::{self, NewUser, PlatformRole};
use crate::web::error::ApiError;
use crate::web::request::Origin;
use crate::web::session::ApiCaller;

/// A person and the organisation he acts for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Me {
    id: UserId,
    number: i64,
    email: String,
    name: String,
    platform_role: Option<PlatformRole>,
    organisation: OrganisationBrief,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OrganisationBrief {
    id: OrganisationId,
    number: i64,
    name: String,
}

/// What proves who somebody is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct Credentials {
    #[schema(format = Email, max_length = 254, example = "ann@example.org")]
    email: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// A refresh token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct RefreshToken {
    #[schema(value_type = String, format = Password)]
    refresh_token: SecretString,
}

/// Registers a person with an organisation, and logs him in.
#[utoipa::path(post, path = "/auth/register", request_body = NewUser, responses((status = 201, body = Tokens)))]
pub async fn register(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(new): ApiJson<NewUser>,
) -> Result<(StatusCode, Json<Tokens>), ApiError> {
    let (user, _) = users::register(&app, new, origin.stranger()).await?;
    Ok((StatusCode::CREATED, Json(sessions::issue(&app, &user).await?)))
}

/// Logs in with e-mail address and password.
///
/// The access token is short-lived; the refresh token brings the next pair.
#[utoipa::path(post, path = "/auth/login", request_body = Credentials, responses(
    (status = 200, body = Tokens),
    (status = 202, body = SecondFactorRequired, description = "The password is right, and a second factor is needed."),
))]
pub async fn login(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(credentials): ApiJson<Credentials>,
) -> Result<Response, ApiError> {
    let user = users::authenticate(&app, &credentials.email, credentials.password, origin.stranger()).await?;
    match second_factor::begin(&app, &user, origin.stranger()).await? {
        Some(pending) => Ok((StatusCode::ACCEPTED, Json(SecondFactorRequired::of(&pending))).into_response()),
        None => Ok(Json(sessions::log_in(&app, &user, origin.stranger()).await?).into_response()),
    }
}

/// Exchanges a refresh token for a new pair.
///
/// Each refresh token works once. One that is used again ends every token that came from the same login.
#[utoipa::path(post, path = "/auth/refresh", request_body = RefreshToken, responses((status = 200, body = Tokens)))]
pub async fn refresh(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(token): ApiJson<RefreshToken>,
) -> Result<Json<Tokens>, ApiError> {
    use secrecy::ExposeSecret;
    Ok(Json(sessions::refresh(&app, token.refresh_token.expose_secret(), origin.stranger()).await?))
}

/// Ends a login.
///
/// A token that is not known is answered the same.
#[utoipa::path(post, path = "/auth/logout", request_body = RefreshToken, responses((status = 204)))]
pub async fn logout(
    State(app): State<Arc<App>>,
    ApiJson(token): ApiJson<RefreshToken>,
) -> Result<StatusCode, ApiError> {
    use secrecy::ExposeSecret;
    sessions::revoke(&app, token.refresh_token.expose_secret()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says who the token speaks for, and for which organisation.
#[utoipa::path(get, path = "/auth/me", responses((status = 200, body = Me)))]
pub async fn me(caller: ApiCaller) -> Json<Me> {
    Json(Me {
        id: caller.user.id,
        number: caller.user.number,
        email: caller.user.email,
        name: caller.user.name,
        platform_role: caller.user.platform_role,
        organisation: OrganisationBrief {
            id: caller.organisation.id,
            number: caller.organisation.number,
            name: caller.organisation.name,
        },
    })
}
