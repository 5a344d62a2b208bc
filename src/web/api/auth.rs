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
use crate::accounts::{self, LinkToken};
use crate::app::App;
use crate::ids::{OrganisationId, UserId};
use crate::second_factor;
use crate::sessions::{self, Tokens};
use crate::users::{self, NewUser, Place, PlatformRole};
use crate::web::error::ApiError;
use crate::web::request::Origin;
use crate::web::session::ApiCaller;

/// A person and the organisation he acts for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Me {
    id: UserId,
    number: i64,
    email: String,
    email_verified: bool,
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

/// Who forgot his password.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = ForgottenPassword)]
pub struct Forgot {
    /// The address of the account.
    #[schema(format = Email, max_length = 254, example = "ann@example.org")]
    email: String,
}

/// A new password with the token of the link that allows it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = PasswordReset)]
pub struct Reset {
    /// The token of the link that was sent.
    #[schema(value_type = String, format = Password)]
    token: SecretString,
    /// The new password.
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    password: SecretString,
}

/// Confirms an e-mail address with the token of the link that was sent to it.
#[utoipa::path(post, path = "/auth/verify-email", request_body = LinkToken, responses((status = 204), (status = 409)))]
pub async fn verify_email(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(link): ApiJson<LinkToken>,
) -> Result<StatusCode, ApiError> {
    accounts::confirm(&app, &link, origin.stranger()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a link sent that sets a new password.
///
/// The answer is the same whether there is such an account or not.
#[utoipa::path(post, path = "/auth/forgot-password", request_body = Forgot, responses((status = 202)))]
pub async fn forgot_password(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(forgot): ApiJson<Forgot>,
) -> Result<StatusCode, ApiError> {
    let place = Place::new(origin.address().as_deref(), None);
    accounts::request_reset(&app, &forgot.email, &place, &origin.stranger()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Sets a new password with the token of a link that was sent, and logs out everything.
#[utoipa::path(post, path = "/auth/reset-password", request_body = Reset, responses((status = 204), (status = 409)))]
pub async fn reset_password(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(reset): ApiJson<Reset>,
) -> Result<StatusCode, ApiError> {
    let link = LinkToken { token: reset.token };
    accounts::reset_password(&app, &link, reset.password, origin.stranger()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Registers a person with an organisation, and logs him in.
#[utoipa::path(post, path = "/auth/register", request_body = NewUser, responses((status = 201, body = Tokens)))]
pub async fn register(
    State(app): State<Arc<App>>,
    origin: Origin,
    ApiJson(new): ApiJson<NewUser>,
) -> Result<(StatusCode, Json<Tokens>), ApiError> {
    let (user, _) = users::register(&app, new, origin.stranger()).await?;
    let tokens = sessions::log_in(&app, &user, origin.stranger()).await?;
    Ok((StatusCode::CREATED, Json(tokens)))
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
    let place = Place::new(origin.address().as_deref(), None);
    let user = users::authenticate(&app, &credentials.email, credentials.password, &place, origin.stranger()).await?;
    match second_factor::begin(&app, &user, second_factor::Method::Password, origin.stranger()).await? {
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
    origin: Origin,
    ApiJson(token): ApiJson<RefreshToken>,
) -> Result<StatusCode, ApiError> {
    use secrecy::ExposeSecret;
    sessions::revoke(&app, token.refresh_token.expose_secret(), origin.stranger()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says who the token speaks for, and for which organisation.
#[utoipa::path(get, path = "/auth/me", responses((status = 200, body = Me)))]
pub async fn me(caller: ApiCaller) -> Json<Me> {
    Json(Me {
        id: caller.user.id,
        number: caller.user.number,
        email: caller.user.email,
        email_verified: caller.user.is_verified,
        name: caller.user.name,
        platform_role: caller.user.platform_role,
        organisation: OrganisationBrief {
            id: caller.organisation.id,
            number: caller.organisation.number,
            name: caller.organisation.name,
        },
    })
}
