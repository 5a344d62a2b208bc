//! How often somebody may ask, said on each answer: `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`
//! (draft-ietf-httpapi-ratelimit-headers), and `Retry-After` where it was too often.

use std::cell::Cell;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;

use super::error::{ApiError, PageError};
use super::request::client_address;
use super::session::{bearer, cookie_name};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{ApiKeyId, OrganisationId};
use crate::rates::Left;

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

fn refuse(left: Left) -> Result<()> {
    let sentence = "There are more requests a minute than are allowed. Wait as long as Retry-After says.";
    match left.retry_after_seconds {
        Some(retry_after_seconds) => Err(Error::TooManyTries { sentence, retry_after_seconds }),
        None => Ok(()),
    }
}

/// Counts those who are not known, by their network, and says on each answer what is left. Who shows something that proves
/// nothing counts as well, once that is clear.
pub(super) async fn tell(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
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
    let (response, left) = LEFT
        .scope(Cell::new(None), async {
            let response = next.run(request).await;
            (response, LEFT.with(Cell::get))
        })
        .await;
    if shows_something
        && is_of_nobody(&response)
        && let Some(left) = stranger()
        && let Err(error) = refuse(left)
    {
        return told(too_often(is_api, error), left);
    }
    match left {
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
