//! Who is asking. An extractor in a handler's signature says who may enter.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use secrecy::{ExposeSecret, SecretString};

use super::back::own_path;
use super::error::{ApiError, PageError};
use super::request::Origin;
use super::{doors, limits};
use crate::api_keys::{self, ByKey};
use crate::app::App;
use crate::audit::Actor;
use crate::error::Error;
use crate::ids::{ApiKeyId, OrganisationId};
use crate::organisations::{Asker, Membership, Organisation};
use crate::permissions::{Permission, Permissions};
use crate::second_factor::PENDING_MINUTES;
use crate::sessions::{self, Caller, Login, SESSION_DAYS, Session};
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

/// The cookie of a login that waits for its second factor.
const PENDING: &str = "pending";

/// The cookie of a login that waits for its second factor.
pub(super) fn pending_cookie(app: &App, token: &SecretString) -> Cookie<'static> {
    let mut cookie = cookie(app, PENDING, token.expose_secret().to_owned());
    cookie.set_max_age(time::Duration::minutes(PENDING_MINUTES));
    cookie
}

/// The same, to be forgotten.
pub(super) fn no_pending_cookie(app: &App) -> Cookie<'static> {
    let mut gone = cookie(app, PENDING, String::new());
    gone.make_removal();
    gone
}

/// What such a cookie holds.
pub(super) fn pending_of(parts: &Parts, app: &App) -> Option<SecretString> {
    let jar = CookieJar::from_headers(&parts.headers);
    jar.get(&cookie_name(app, PENDING)).map(|cookie| SecretString::from(cookie.value().to_owned()))
}

pub(super) async fn session_of(parts: &Parts, app: &App) -> Result<Option<Session>, Error> {
    let jar = CookieJar::from_headers(&parts.headers);
    let Some(cookie) = jar.get(&cookie_name(app, "session")) else { return Ok(None) };
    let session = sessions::find(app, cookie.value()).await?;
    if let Some(session) = &session {
        sessions::seen(app, session, Origin::of(parts).address().as_deref()).await?;
    }
    Ok(session)
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

    /// The person as who asks for a change of people or roles.
    pub fn asker(&self) -> Asker<'_> {
        Asker { user: self.session.user.id, may: self.session.permissions, actor: &self.actor }
    }
}

impl FromRequestParts<Arc<App>> for Customer {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let Some(session) = session_of(parts, app).await? else { return Err(not_logged_in(parts)) };
        // Who looks as a customer asks himself.
        let person = session.on_behalf.as_ref().map_or(session.user.id, |behalf| behalf.staff.id);
        limits::count_person(app, person)?;
        parts.extensions.insert(ExpectedCsrf(session.csrf_token.clone()));
        if session.on_behalf.is_some() {
            doors::admit_on_behalf(parts, session.permissions)?;
        }
        doors::admit(parts, app, &session.user, session.permissions, session.assurance)
            .map_err(|error| led_on(parts, app, error))?;
        let origin = Origin::of(parts);
        let actor = match &session.on_behalf {
            Some(behalf) => origin.on_behalf(behalf.staff.clone(), &session.user),
            None => origin.actor(&session.user),
        };
        Ok(Self { session, actor })
    }
}

fn asks_for_a_part(parts: &Parts) -> bool {
    parts.headers.get("sec-fetch-dest").is_some_and(|destination| destination == "empty")
}

/// A page leads to the login and back; a part of an open page only says that nobody is logged in.
fn not_logged_in(parts: &Parts) -> PageError {
    if asks_for_a_part(parts) {
        return PageError::LoggedOut;
    }
    let is_get = parts.method == axum::http::Method::GET;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    PageError::LoginFirst(if is_get { path } else { "/" }.to_owned())
}

/// Where something is missing that can be made up for, a page leads there and back; a part of an open page only says so.
fn led_on(parts: &Parts, app: &App, error: Error) -> PageError {
    let is_part = asks_for_a_part(parts);
    match error {
        Error::NotConfirmed if is_part => PageError::ConfirmBeforeScript,
        other if is_part => other.into(),
        Error::SecondFactorMissing => PageError::SetUpFactorFirst,
        Error::NotConfirmed => PageError::ConfirmFirst(way_back(parts, app)),
        other => other.into(),
    }
}

/// The page that somebody was on: the one he asks for, or the one whose form he sent.
fn way_back(parts: &Parts, app: &App) -> String {
    if parts.method == axum::http::Method::GET {
        return parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    }
    let referer = parts.headers.get(axum::http::header::REFERER).and_then(|value| value.to_str().ok());
    let path = referer.and_then(|referer| referer.strip_prefix(&app.settings.public_url));
    own_path(path.unwrap_or_default()).to_owned()
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
        doors::admit_staff(parts, app, &session.user, session.assurance)?;
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
    /// The login it acts in.
    pub login: Login,
}

impl ApiCaller {
    /// The person as who asks for a change of people or roles.
    pub fn asker(&self) -> Asker<'_> {
        Asker { user: self.user.id, may: self.permissions, actor: &self.actor }
    }

    /// Checks what is needed beyond what the door asks for.
    ///
    /// # Errors
    /// `NotPermitted`, or `NotPermittedToKey` for a key.
    pub(in crate::web) fn check_permitted(&self, needed: Option<Permission>) -> Result<(), Error> {
        match needed.filter(|needed| !self.permissions.has(*needed)) {
            Some(missing) if self.key.is_some() => Err(Error::NotPermittedToKey(missing)),
            Some(missing) => Err(Error::NotPermitted(missing)),
            None => Ok(()),
        }
    }
}

/// What a program sent to say who it is.
pub(in crate::web) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim)
}

/// The key that a program sent, if it sent one, and who made it. It is counted before anything is said of it: as the key's, or as a
/// stranger's where it must not be used, so that a thief does not use up what its program may ask.
async fn key_of(parts: &Parts, app: &Arc<App>) -> Option<Result<ByKey, Error>> {
    let sent = bearer(&parts.headers).filter(|sent| api_keys::is_key_like(sent))?;
    let origin = Origin::of(parts);
    Some(match api_keys::check(app, sent, origin.ip, &origin.stranger()).await {
        Ok(by) => limits::count(app, Some(by.id), by.organisation.id, by.requests_per_minute).map(|()| by),
        Err(error @ Error::WrongNetwork(_)) => Err(limits::count_stranger(app, origin.ip).err().unwrap_or(error)),
        Err(error) => Err(error),
    })
}

async fn owner_of_token(parts: &Parts, app: &App, wanted: Option<OrganisationId>) -> Result<Caller, Error> {
    match bearer(&parts.headers) {
        Some(token) => sessions::verify(app, token, wanted).await,
        None => Err(Error::Unauthenticated("Send an access token or an API key: Authorization: Bearer …")),
    }
}

impl FromRequestParts<Arc<App>> for ApiCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get("x-organisation").map(|value| value.to_str().unwrap_or_default());
        let wanted = header.map(str::parse::<OrganisationId>).transpose();
        let unreadable = |_| Error::invalid("X-Organisation", "The id of an organisation.");
        if let Some(by_key) = key_of(parts, app).await {
            let ByKey { id, name, maker, organisation, permissions, assurance, .. } = by_key?;
            if wanted.map_err(unreadable)?.is_some_and(|wanted| wanted != organisation.id) {
                return Err(Error::NotFound("organisation").into());
            }
            doors::admit_key(parts, app, &maker, permissions, assurance)?;
            let actor = Origin::of(parts).key(id, &name, &maker);
            return Ok(Self { user: maker, key: Some(id), organisation, permissions, actor, login: Login::Key(id) });
        }
        let named = wanted.as_ref().ok().copied().flatten();
        let Caller { user, place, assurance, login, requests_per_minute } = owner_of_token(parts, app, named).await?;
        // Who names what is not his has asked as well.
        let (Ok(_), Some(Membership { organisation, permissions })) = (&wanted, place) else {
            limits::count_person(app, user.id)?;
            return Err(wanted.err().map_or(Error::NotFound("organisation"), unreadable).into());
        };
        limits::count(app, None, organisation.id, requests_per_minute)?;
        doors::admit(parts, app, &user, permissions, assurance)?;
        let actor = Origin::of(parts).actor(&user);
        Ok(Self { user, key: None, organisation, permissions, actor, login })
    }
}

/// A program with an access token of somebody who works for the platform.
#[derive(Debug, Clone)]
pub struct ApiStaff {
    /// The person.
    pub user: User,
    /// The person as the audit log has him.
    pub actor: Actor,
}

impl FromRequestParts<Arc<App>> for ApiStaff {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        if let Some(by_key) = key_of(parts, app).await {
            let ByKey { maker, permissions, assurance, .. } = by_key?;
            doors::admit_key(parts, app, &maker, permissions, assurance)?;
            // Every door of staff refuses a key; what does not is none of theirs.
            return Err(Error::Internal(anyhow::anyhow!("a key entered where only staff may")).into());
        }
        let Caller { user, assurance, .. } = owner_of_token(parts, app, None).await?;
        limits::count_person(app, user.id)?;
        doors::admit_staff(parts, app, &user, assurance)?;
        let actor = Origin::of(parts).staff(&user);
        Ok(Self { user, actor })
    }
}
