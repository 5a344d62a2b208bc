//! Who is asking. An extractor in a handler's signature says who may enter.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};

use super::error::{ApiError, PageError};
use super::request::Origin;
use super::{doors, limits};
use crate::api_keys::{self, ByKey};
use crate::app::App;
use crate::audit::Actor;
use crate::error::Error;
use crate::ids::{ApiKeyId, OrganisationId};
use crate::organisations::{Membership, Organisation};
use crate::permissions::Permissions;
use crate::sessions::{self, SESSION_DAYS, Session};
use crate::users::User;

/// Over HTTPS the prefix makes the browser insist on it; over plain HTTP (a demo on loopback) it would refuse the cookie.
pub(super) fn cookie_name(app: &App, name: &str) -> String {
    if app.settings.is_https() { format!("__Host-{name}") } else { name.to_owned() }
}

/// A cookie that scripts cannot read and other sites cannot send along.
pub(super) fn cookie(app: &App, name: &str, value: String) -> Cookie<'static> {
    Cookie::build((cookie_name(app, name), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.settings.is_https())
        .build()
}

/// The cookie of a web session.
pub(super) fn session_cookie(app: &App, token: String) -> Cookie<'static> {
    let mut cookie = cookie(app, "session", token);
    cookie.set_max_age(time::Duration::days(SESSION_DAYS));
    cookie
}

pub(super) async fn session_of(parts: &Parts, app: &App) -> Result<Option<Session>, Error> {
    let jar = CookieJar::from_headers(&parts.headers);
    match jar.get(&cookie_name(app, "session")) {
        Some(cookie) => sessions::find(app, cookie.value()).await,
        None => Ok(None),
    }
}

/// The token that forms of this session must send back; left in the request for [`super::forms::CsrfForm`].
#[derive(Debug, Clone)]
pub(super) struct ExpectedCsrf(pub String);

/// A logged-in browser.
#[derive(Debug, Clone)]
pub struct Customer {
    /// Its session: person, organisation.
    pub session: Session,
    /// The person as the audit log has him.
    pub actor: Actor,
}

impl Customer {
    /// The organisation that everything is filtered by.
    pub fn organisation(&self) -> OrganisationId {
        self.session.organisation.id
    }
}

impl FromRequestParts<Arc<App>> for Customer {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let Some(session) = session_of(parts, app).await? else { return Err(not_logged_in(parts)) };
        parts.extensions.insert(ExpectedCsrf(session.csrf_token.clone()));
        doors::admit(parts, &session.user, session.permissions)?;
        let actor = Origin::of(parts).actor(&session.user);
        Ok(Self { session, actor })
    }
}

/// A page leads to the login and back; a part of an open page only says that nobody is logged in.
fn not_logged_in(parts: &Parts) -> PageError {
    if parts.headers.get("sec-fetch-dest").is_some_and(|destination| destination == "empty") {
        return PageError::LoggedOut;
    }
    let is_get = parts.method == axum::http::Method::GET;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    PageError::LoginFirst(if is_get { path } else { "/" }.to_owned())
}

/// A logged-in browser of somebody who works for the platform.
#[derive(Debug, Clone)]
pub struct Staff {
    /// Its session.
    pub session: Session,
    /// The person as the audit log has him.
    pub actor: Actor,
}

impl FromRequestParts<Arc<App>> for Staff {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let Customer { session, .. } = Customer::from_request_parts(parts, app).await?;
        doors::admit_staff(parts, &session.user)?;
        let actor = Origin::of(parts).staff(&session.user);
        Ok(Self { session, actor })
    }
}

/// A program with an access token or an API key.
#[derive(Debug, Clone)]
pub struct ApiCaller {
    /// The person it acts for: who logged in, or made the key.
    pub user: User,
    /// The key, if it has one.
    pub key: Option<ApiKeyId>,
    /// For which organisation.
    pub organisation: Organisation,
    /// What it may do there.
    pub permissions: Permissions,
    /// The person, or the key and its maker, as the audit log has them.
    pub actor: Actor,
}

/// What a program sent to say who it is.
pub(in crate::web) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim)
}

/// The key that a program sent, if it sent one, and who made it.
async fn key_of(parts: &Parts, app: &Arc<App>, wanted: Option<OrganisationId>) -> Option<Result<ByKey, Error>> {
    let sent = bearer(&parts.headers).filter(|sent| api_keys::is_key_like(sent))?;
    let origin = Origin::of(parts);
    Some(api_keys::check(app, sent, origin.ip, wanted, &origin.stranger()).await)
}

async fn owner_of_token(
    parts: &Parts,
    app: &App,
    wanted: Option<OrganisationId>,
) -> Result<(User, Option<Membership>), Error> {
    match bearer(&parts.headers) {
        Some(token) => sessions::verify(app, token, wanted).await,
        None => Err(Error::Unauthenticated("Send an access token or an API key: Authorization: Bearer …")),
    }
}

impl FromRequestParts<Arc<App>> for ApiCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let wanted = match parts.headers.get("x-organisation").map(|value| value.to_str().unwrap_or_default().parse()) {
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(Error::invalid("X-Organisation", "The id of an organisation.").into()),
            None => None,
        };
        if let Some(by_key) = key_of(parts, app, wanted).await {
            let ByKey { id, name, maker, organisation, permissions, .. } = by_key?;
            limits::count(app, Some(id), organisation.id, None)?;
            doors::admit_key(parts, &maker, permissions)?;
            let actor = Origin::of(parts).key(id, &name, &maker);
            return Ok(Self { user: maker, key: Some(id), organisation, permissions, actor });
        }
        let (user, place) = owner_of_token(parts, app, wanted).await?;
        let Membership { organisation, permissions } = place.ok_or(Error::NotFound("organisation"))?;
        limits::count(app, None, organisation.id, None)?;
        doors::admit(parts, &user, permissions)?;
        let actor = Origin::of(parts).actor(&user);
        Ok(Self { user, key: None, organisation, permissions, actor })
    }
}

/// A program with an access token of somebody who works for the platform.
#[derive(Debug, Clone)]
pub struct ApiStaff {
    /// The person as the audit log has him.
    pub actor: Actor,
}

impl FromRequestParts<Arc<App>> for ApiStaff {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        if let Some(by_key) = key_of(parts, app, None).await {
            let ByKey { maker, permissions, .. } = by_key?;
            doors::admit_key(parts, &maker, permissions)?;
            // Every door of staff refuses a key; what does not is none of theirs.
            return Err(Error::Internal(anyhow::anyhow!("a key entered where only staff may")).into());
        }
        let (user, _) = owner_of_token(parts, app, None).await?;
        doors::admit_staff(parts, &user)?;
        Ok(Self { actor: Origin::of(parts).staff(&user) })
    }
}
