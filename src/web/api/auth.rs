//! `/auth`: registering, logging in, refreshing and ending tokens, and who one is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::ApiJson;
use crate::app::App;
use crate::ids::{OrganisationId, UserId};
use crate::sessions::{self, Tokens};
use crate::users::{self, NewUser, PlatformRole};
use crate::web::error::ApiError;
use crate::web::request::Origin;
use crate::web::session::ApiCaller;

/// A person and the organisation he acts for.
#[derive(Debug, Serialize)]
pub struct Me {
    id: UserId,
    number: i64,
    email: String,
    name: String,
    platform_role: Option<PlatformRole>,
    organisation: OrganisationBrief,
}

#[derive(Debug, Serialize)]
struct OrganisationBrief {
    id: OrganisationId,
    number: i64,
    name: String,
}

/// What proves who somebody is.
#[derive(Debug, Deserialize)]
pub struct Credentials {
    email: String,
    password: SecretString,
}

/// A refresh token.
#[derive(Debug, Deserialize)]
pub struct RefreshToken {
    refresh_token: SecretString,
}

/// `POST /auth/register`
pub async fn register(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(new): ApiJson<NewUser>,
) -> Result<(StatusCode, Json<Tokens>), ApiError> {
    let (user, _) = users::register(&app, new, origin.stranger()).await?;
    Ok((StatusCode::CREATED, Json(sessions::issue(&app, &user).await?)))
}

/// `POST /auth/login`
pub async fn login(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(credentials): ApiJson<Credentials>,
) -> Result<Json<Tokens>, ApiError> {
    let user = users::authenticate(&app, &credentials.email, credentials.password, origin.stranger()).await?;
    Ok(Json(sessions::issue(&app, &user).await?))
}

/// `POST /auth/refresh`
pub async fn refresh(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(token): ApiJson<RefreshToken>,
) -> Result<Json<Tokens>, ApiError> {
    use secrecy::ExposeSecret;
    Ok(Json(sessions::refresh(&app, token.refresh_token.expose_secret(), origin.stranger()).await?))
}

/// `POST /auth/logout`
pub async fn logout(
    State(app): State<Arc<App>>,
    ApiJson(token): ApiJson<RefreshToken>,
) -> Result<StatusCode, ApiError> {
    use secrecy::ExposeSecret;
    sessions::revoke(&app, token.refresh_token.expose_secret()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /auth/me`
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
