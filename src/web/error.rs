//! Errors as answers: a page for people, problem+json (RFC 9457) for programs. One table of statuses for both.

use axum::Json;
use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::code::Code;
use super::kept_forms::LedToConfirm;
use super::{pages, request};
use crate::error::{Error, Problem};

/// Tells a script that somebody must confirm first that it is him.
const CONFIRM_FIRST: HeaderName = HeaderName::from_static("x-confirm-first");

/// Which status an error has.
pub(super) fn status(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_)
        | Error::NotPermitted(_)
        | Error::SecondFactorMissing
        | Error::NotConfirmed
        | Error::NotPermittedToKey(_)
        | Error::WrongNetwork(_)
        | Error::SpendingLimit { .. } => StatusCode::FORBIDDEN,
        Error::Conflict(_) | Error::QuotaExceeded(_) => StatusCode::CONFLICT,
        Error::NotEnoughCredit { .. } => StatusCode::PAYMENT_REQUIRED,
        Error::TooManyTries { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(cause) => match cause.downcast_ref::<sqlx::Error>() {
            // More is asked of the database than it can give just now: not a bug.
            Some(sqlx::Error::PoolTimedOut) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

/// Logged once, here, where it is handled. What the caller did wrong is not an error of ours.
fn log(error: &Error) {
    if let Error::Internal(cause) = error {
        tracing::error!(request_id = request::current_id(), error = ?cause, "a request failed");
    }
}

/// An error of the API.
#[derive(Debug)]
pub struct ApiError(Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        log(&self.0);
        let status = status(&self.0);
        let title = status.canonical_reason().unwrap_or("Error");
        let mut body =
            json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": self.0.to_string() });
        body["code"] = json!(Code::of(&self.0));
        match &self.0 {
            Error::Invalid(problems) => body["errors"] = json!(problems),
            Error::NotEnoughCredit { short_by } => body["short_by"] = json!(short_by),
            Error::QuotaExceeded(exceeded) => {
                body["quota"] = json!({
                    "name": exceeded.quota.name(),
                    "used": exceeded.used,
                    "limit": exceeded.limit,
                    "asked": exceeded.asked,
                    "ask_at": exceeded.contact,
                });
            }
            Error::NotPermitted(permission) | Error::NotPermittedToKey(permission) => {
                body["permission"] = json!(permission.name())
            }
            Error::SpendingLimit { limit, used, would_be } => {
                body["limit"] = json!(limit);
                body["used"] = json!(used);
                body["would_be"] = json!(would_be);
            }
            Error::NotFound(_)
            | Error::Unauthenticated(_)
            | Error::Forbidden(_)
            | Error::SecondFactorMissing
            | Error::NotConfirmed
            | Error::WrongNetwork(_)
            | Error::Conflict(_)
            | Error::TooManyTries { .. }
            | Error::Unavailable(_)
            | Error::Internal(_) => {}
        }
        with_patience(&self.0, problem(status, body))
    }
}

/// After how long it is worth trying again what was away.
const UNAVAILABLE_SECONDS: i64 = 30;

/// Says when to come back, where somebody has to wait.
pub(super) fn with_patience(error: &Error, mut response: Response) -> Response {
    let seconds = match error {
        Error::TooManyTries { retry_after_seconds, .. } => *retry_after_seconds,
        Error::Unavailable(_) => UNAVAILABLE_SECONDS,
        _ => return response,
    };
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// A problem as programs read it. Without a code of its own it gets that of its status.
pub(super) fn problem(status: StatusCode, mut body: serde_json::Value) -> Response {
    body["request_id"] = json!(request::current_id());
    if body.get("code").is_none() {
        body["code"] = json!(Code::of_status(status));
    }
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from(UNAVAILABLE_SECONDS));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(axum::http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// An error of a page.
#[derive(Debug)]
pub enum PageError {
    /// An operation was not done.
    Operation(Error),
    /// The request itself was not acceptable: a status with a sentence.
    Request(StatusCode, String),
    /// Somebody must log in first, and comes back to this path afterwards.
    LoginFirst(String),
    /// Somebody must set up a second factor first.
    SetUpFactorFirst,
    /// A script of an open page asked for what somebody must confirm first; it leads him there.
    ConfirmBeforeScript,
    /// Somebody must confirm that it is him first, and comes back to this path afterwards.
    ConfirmFirst(String),
    /// A part of an open page was asked for by somebody who is not logged in any more.
    LoggedOut,
}

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        Self::Operation(error)
    }
}

impl From<sqlx::Error> for PageError {
    fn from(error: sqlx::Error) -> Self {
        Self::Operation(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            Self::Operation(error) => {
                log(&error);
                let sentence = match &error {
                    Error::Invalid(problems) => {
                        problems.iter().map(|Problem { problem, .. }| problem.as_str()).collect::<Vec<_>>().join(" ")
                    }
                    Error::NotFound(what) => format!("There is no such {what}, or it is not yours."),
                    Error::NotPermitted(permission) => {
                        let whom = if permission.is_platform() {
                            "an admin of the platform"
                        } else {
                            "who looks after the organisation"
                        };
                        let purpose = permission.purpose();
                        format!(
                            "Your role does not allow this. It needs the permission {permission}: {purpose} Ask {whom}."
                        )
                    }
                    other => other.to_string(),
                };
                with_patience(&error, pages::errors::page(status(&error), Some(sentence)))
            }
            Self::Request(status, sentence) => pages::errors::page(status, Some(sentence)),
            Self::LoginFirst(next) => Redirect::to(&format!("/login?next={}", in_query(&next))).into_response(),
            Self::SetUpFactorFirst => Redirect::to("/account/security?required=1").into_response(),
            Self::ConfirmFirst(back) => {
                let mut response = Redirect::to(&format!("/confirm?back={}", in_query(&back))).into_response();
                response.extensions_mut().insert(LedToConfirm { back });
                response
            }
            Self::ConfirmBeforeScript => {
                let mut response = pages::errors::page(StatusCode::FORBIDDEN, Some(Error::NotConfirmed.to_string()));
                response.headers_mut().insert(CONFIRM_FIRST, HeaderValue::from_static("yes"));
                response
            }
            Self::LoggedOut => StatusCode::UNAUTHORIZED.into_response(),
        }
    }
}

pub(super) fn in_query(path: &str) -> String {
    percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Gives a face to errors that come from below the handlers (a path that cannot be read, a wrong method, a body that is too
/// large, time that ran out): problem+json in the API, a page elsewhere.
pub async fn give_a_face(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/") || request.uri().path() == "/api";
    let wants_page = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kinds| kinds.contains("text/html"));
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A program is never answered with a page.
    let has_face = kind.starts_with("application/problem+json") || (kind.starts_with("text/html") && !is_api);
    if !(status.is_client_error() || status.is_server_error()) || has_face {
        return response;
    }
    if is_api {
        let title = status.canonical_reason().unwrap_or("Error");
        let body =
            json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": plain_words(status) });
        return with_allowed(&response, problem(status, body));
    }
    if wants_page {
        return with_allowed(&response, pages::errors::page(status, None));
    }
    // The words of a library are of no use to anybody outside.
    with_allowed(&response, (status, format!("{}\n", plain_words(status))).into_response())
}

/// Which methods a path knows stays said, whatever face the answer gets.
fn with_allowed(bare: &Response, mut faced: Response) -> Response {
    if let Some(methods) = bare.headers().get(ALLOW) {
        faced.headers_mut().insert(ALLOW, methods.clone());
    }
    faced
}

fn plain_words(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::UNAUTHORIZED => "Nobody is logged in.",
        StatusCode::TOO_MANY_REQUESTS => "There are too many of these already.",
        StatusCode::BAD_REQUEST => "The path or the query could not be read.",
        StatusCode::METHOD_NOT_ALLOWED => "This path does not know that method.",
        StatusCode::MISDIRECTED_REQUEST => "This server does not answer for that host.",
        StatusCode::REQUEST_TIMEOUT => "The request did not arrive in time.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is larger than is accepted here.",
        StatusCode::SERVICE_UNAVAILABLE => "It took too long. Look at what is there before trying again.",
        StatusCode::FORBIDDEN => "This was sent from another site.",
        _ => "The request could not be answered.",
    }
}
