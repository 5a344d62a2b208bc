//! `/account`: the caller's own account. What changes who may log in wants the password again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{ApiJson, List};
use crate::accounts::{self, NewEmail, NewPassword};
use crate::app::App;
use crate::ids::{IdentityId, SessionId, UserId};
use crate::oidc::{self, Identity};
use crate::sessions::{self, LoggedIn, Login};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::ApiCaller;

/// A person's own account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Account {
    /// Who.
    id: UserId,
    /// The short number, for people.
    number: i64,
    /// The e-mail address, which is also the login.
    email: String,
    /// Whether the address was confirmed.
    email_verified: bool,
    /// The address that was asked for and waits to be confirmed.
    wanted_email: Option<String>,
    /// The name.
    name: String,
}

/// What may be changed of it without the password.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = AccountChange)]
pub struct Change {
    /// The name.
    #[schema(min_length = 1, max_length = 80, example = "Ann Example")]
    name: String,
}

/// How many logins were ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EndedLogins)]
pub struct Ended {
    /// Browsers and programs.
    ended: u64,
}

/// Shows the caller's own account.
#[utoipa::path(get, path = "/account", responses((status = 200, body = Account)))]
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<Account>, ApiError> {
    let user = caller.user;
    Ok(Json(Account {
        id: user.id,
        number: user.number,
        email_verified: user.is_verified,
        wanted_email: accounts::wanted_email(&app, user.id).await?,
        email: user.email,
        name: user.name,
    }))
}

/// Changes the caller's own account.
#[utoipa::path(patch, path = "/account", request_body = Change, responses((status = 204)))]
pub async fn change(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<Change>,
) -> Result<StatusCode, ApiError> {
    accounts::rename(&app, &caller.user, &new.name, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks for another e-mail address.
///
/// It counts when the link is followed that is sent there; the one of before is told.
#[utoipa::path(put, path = "/account/email", request_body = NewEmail, responses((status = 202)))]
pub async fn change_email(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewEmail>,
) -> Result<StatusCode, ApiError> {
    accounts::request_email(&app, &caller.user, new, &caller.actor).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Sends the mail again that confirms the address.
#[utoipa::path(post, path = "/account/verification", responses((status = 202)))]
pub async fn send_verification(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<StatusCode, ApiError> {
    accounts::send_verification(&app, &caller.user, &caller.actor).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Changes the password, and logs out everything but the caller.
#[utoipa::path(put, path = "/account/password", request_body = NewPassword, responses((status = 204)))]
pub async fn change_password(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewPassword>,
) -> Result<StatusCode, ApiError> {
    let keep = own_session(caller.login);
    accounts::change_password(&app, &caller.user, keep, new, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the browsers and programs that are logged in, what was seen last first.
#[utoipa::path(get, path = "/account/sessions", responses((status = 200, body = List<LoggedIn>)))]
pub async fn list_sessions(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<LoggedIn>>, ApiError> {
    let current = own_session(caller.login);
    Ok(Json(List { items: sessions::list(&app, caller.user.id, current).await?, next: None }))
}

/// Logs out one of them.
#[utoipa::path(delete, path = "/account/sessions/{id}", responses((status = 204)))]
pub async fn end_session(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, ApiError> {
    sessions::end_one(&app, &caller.user, id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Logs out everywhere, the caller too.
#[utoipa::path(delete, path = "/account/sessions", responses((status = 200, body = Ended)))]
pub async fn end_all_sessions(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<Ended>, ApiError> {
    Ok(Json(Ended { ended: sessions::end_all(&app, &caller.user, None, &caller.actor).await? }))
}

/// Lists the accounts at identity providers that are linked with the caller's, oldest first.
///
/// Linking takes a browser.
#[utoipa::path(get, path = "/account/identities", responses((status = 200, body = List<Identity>)))]
pub async fn list_identities(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<Identity>>, ApiError> {
    Ok(Json(List { items: oidc::list(&app, caller.user.id).await?, next: None }))
}

/// Unlinks one of them.
///
/// The only way in stays.
#[utoipa::path(delete, path = "/account/identities/{id}", responses((status = 204)))]
pub async fn unlink_identity(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<IdentityId>,
) -> Result<StatusCode, ApiError> {
    oidc::unlink(&app, &caller.user, id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The login that the caller acts in; none when he shows a key.
fn own_session(login: Login) -> Option<SessionId> {
    match login {
        Login::Session(id) => Some(id),
        Login::Tokens(family) => Some(family.into()),
        Login::Key(_) => None,
    }
}
