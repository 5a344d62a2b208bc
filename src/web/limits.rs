//! How often somebody may ask, said on each answer: `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`
//! (draft-ietf-httpapi-ratelimit-headers), and `Retry-After` where it was too often.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;

use super::error::{ApiError, PageError};
use super::request::client_address;
use super::session::{bearer, cookie_name};
use crate::api_keys::{self, KeyText};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{ApiKeyId, OrganisationId, UserId};
use crate::rates::Left;
use crate::sessions;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// What costs nothing and is asked often.
const NOT_COUNTED: [&str; 3] = ["/assets/", "/healthz", "/readyz"];

tokio::task_local! {
    static LEFT: Cell<Option<Left>>;
}

/// Counts a request to the API of somebody who is known, against what his key may and the quota of his organisation.
///
/// # Errors
/// `TooManyTries` when the key or the organisation has asked too often.
pub(super) fn count(app: &App, key: Option<ApiKeyId>, organisation: OrganisationId, quota: i64) -> Result<()> {
    let key = key.map(|key| (key, app.settings.guards.requests_per_key));
    // PostgreSQL keeps it between 1 and a million.
    let limit = u32::try_from(quota).unwrap_or(u32::MAX);
    let left = app.rates.take(key, (organisation, limit), app.clock.machine_now());
    // Outside of a request there is nobody to tell.
    let _ = LEFT.try_with(|told| told.set(Some(left)));
    refuse(left)
}

/// Counts a request of a person with a browser, or of staff.
///
/// # Errors
/// `TooManyTries` when he has asked too often.
pub(super) fn count_person(app: &App, person: UserId) -> Result<()> {
    let left = app.rates.take_of_person(person, app.settings.guards.requests_per_person, app.clock.machine_now());
    let _ = LEFT.try_with(|told| told.set(Some(left)));
    refuse(left)
}

/// Counts a request of who showed something that is of no use to him, by where he is.
///
/// # Errors
/// `TooManyTries` when there were too many from there.
pub(super) fn count_stranger(app: &App, address: Option<IpAddr>) -> Result<()> {
    let Some(address) = address else { return Ok(()) };
    let left = app.rates.take_of_stranger(address, app.settings.guards.requests_per_network, app.clock.machine_now());
    let _ = LEFT.try_with(|told| told.set(Some(left)));
    refuse(left)
}

/// Left in a request that shows something, until it is clear whether that proves anything.
#[derive(Clone)]
struct Unproven {
    app: Arc<App>,
    is_api: bool,
}

/// Left in an answer whose request has been counted as a stranger's.
#[derive(Clone, Copy)]
struct Counted(Left);

/// Around doors that are open to anybody: what is done there, such as the hashing of a password, is done for strangers, so that
/// no invented cookie or token may go before their count. Who is known may go on looking when others in his network have
/// used it up.
pub(super) async fn at_open_door(mut request: Request, next: Next) -> Response {
    let unproven = request.extensions_mut().remove::<Unproven>();
    let (Some(Unproven { app, is_api }), Some(address)) = (unproven, client_address(request.extensions())) else {
        return next.run(request).await;
    };
    let left = app.rates.take_of_stranger(address, app.settings.guards.requests_per_network, app.clock.machine_now());
    let mut response = match admit_to_open_door(&app, request.method(), request.headers(), left).await {
        Ok(()) => next.run(request).await,
        Err(error) => too_often(is_api, error),
    };
    response.extensions_mut().insert(Counted(left));
    response
}

async fn admit_to_open_door(app: &App, method: &Method, headers: &HeaderMap, left: Left) -> Result<()> {
    let Err(error) = refuse(left) else { return Ok(()) };
    let looks = matches!(*method, Method::GET | Method::HEAD);
    match if looks { known(app, headers).await? } else { None } {
        Some(person) => count_person(app, person),
        None => Err(error),
    }
}

/// Who is known by what is shown.
async fn known(app: &App, headers: &HeaderMap) -> Result<Option<UserId>> {
    if let Some(sent) = bearer(headers) {
        return match KeyText::parse(sent) {
            Some(key) => Ok(api_keys::standing(app, &key.hash()).await?.map(|(maker, _)| maker.id)),
            None => Ok(sessions::verify(app, sent, None).await.ok().map(|caller| caller.user.id)),
        };
    }
    let jar = CookieJar::from_headers(headers);
    let Some(cookie) = jar.get(&cookie_name(app, "session")) else { return Ok(None) };
    let session = sessions::find(app, cookie.value()).await?;
    Ok(session.map(|session| session.on_behalf.map_or(session.user.id, |behalf| behalf.staff.id)))
}

fn refuse(left: Left) -> Result<()> {
    let sentence = "There are more requests a minute than are allowed. Wait as long as Retry-After says.";
    match left.retry_after_seconds {
        Some(retry_after_seconds) => Err(Error::TooManyTries { sentence, retry_after_seconds }),
        None => Ok(()),
    }
}

/// Counts those who are not known, by their network, and says on each answer what is left. Who shows something that proves
/// nothing counts as well, once that is clear; where anybody may enter, before anything is done for him.
pub(super) async fn tell(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if NOT_COUNTED.iter().any(|begins| path.starts_with(begins)) {
        return next.run(request).await;
    }
    let is_api = path.starts_with("/api/");
    let address = client_address(request.extensions());
    let stranger = || {
        let limit = app.settings.guards.requests_per_network;
        address.map(|address| app.rates.take_of_stranger(address, limit, app.clock.machine_now()))
    };
    let shows_something = shows_something(&app, request.headers());
    if !shows_something
        && let Some(left) = stranger()
        && let Err(error) = refuse(left)
    {
        return told(too_often(is_api, error), left);
    }
    if shows_something {
        request.extensions_mut().insert(Unproven { app: Arc::clone(&app), is_api });
    }
    let (mut response, left) = LEFT
        .scope(Cell::new(None), async {
            let response = next.run(request).await;
            (response, LEFT.with(Cell::get))
        })
        .await;
    let counted = response.extensions_mut().remove::<Counted>().map(|Counted(left)| left);
    if shows_something
        && counted.is_none()
        && is_of_nobody(&response)
        && let Some(left) = stranger()
        && let Err(error) = refuse(left)
    {
        return told(too_often(is_api, error), left);
    }
    match left.or(counted) {
        Some(left) => told(response, left),
        None => response,
    }
}

fn shows_something(app: &App, headers: &HeaderMap) -> bool {
    bearer(headers).is_some() || CookieJar::from_headers(headers).get(&cookie_name(app, "session")).is_some()
}

/// Whether somebody was told that he is not known.
fn is_of_nobody(response: &Response) -> bool {
    let to_login = || {
        let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        response.status().is_redirection() && location.is_some_and(|to| to.starts_with("/login?"))
    };
    response.status() == StatusCode::UNAUTHORIZED || to_login()
}

fn too_often(is_api: bool, error: Error) -> Response {
    if is_api { ApiError::from(error).into_response() } else { PageError::from(error).into_response() }
}

fn told(mut response: Response, left: Left) -> Response {
    let headers = response.headers_mut();
    headers.insert(LIMIT, HeaderValue::from(left.limit));
    headers.insert(REMAINING, HeaderValue::from(left.remaining));
    headers.insert(RESET, HeaderValue::from(left.reset_seconds));
    response
}
