//! What is sent with a request has come before anybody asks who sends it. A body may take a minute to come; who was let in by
//! its head alone could lose his place meanwhile, and would still act by what he was.

use std::error::Error;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;

use super::api::Unreadable;
use super::error::PageError;

/// Around every route that changes something: waits for the whole of what is sent, and has nobody looked at before.
pub(super) async fn await_whole(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // The layers around have set the limits of size and time.
    let error = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => return next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(error) => error,
    };
    let (status, sentence) = match is_too_long(&error) {
        true => (StatusCode::PAYLOAD_TOO_LARGE, "What was sent is larger than is accepted here."),
        false => (StatusCode::BAD_REQUEST, "What was sent was cut off on the way."),
    };
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    match path.starts_with("/api/") {
        true => Unreadable::Form(status, sentence.to_owned()).into_response(),
        false => PageError::Request(status, sentence.to_owned()).into_response(),
    }
}

/// The layers between have wrapped what says so.
fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_too_long)
}
