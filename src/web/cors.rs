//! Which other sites' pages may use the API: those that the operator has set, by their exact origin, and none otherwise. They
//! send a token or a key of their own; cookies are never let in from elsewhere, so credentials are never allowed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What such a page may send.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
/// With which headers.
const REQUEST_HEADERS: &str = "authorization, content-type, idempotency-key, x-organisation";
/// Which headers of an answer it may read.
const RESPONSE_HEADERS: &str =
    "location, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, x-request-id";
/// How long a browser remembers that it may, in seconds.
const REMEMBERED_SECONDS: &str = "600";
/// Where the API is.
const API: &str = "/api/";

/// The origins whose pages may use the API.
#[derive(Debug)]
pub(super) struct Origins(Vec<HeaderValue>);

/// Marks a request of a page that may use the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct FromAllowedOrigin;

impl Origins {
    /// Of origins that were checked when the settings were read.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    fn allowed(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let mut sent = headers.get_all(header::ORIGIN).iter();
        let (origin, None) = (sent.next()?, sent.next()) else { return None };
        self.0.iter().find(|known| *known == origin)
    }
}

/// Answers what browsers ask before they let a page use the API, and says on the API's answers which page may read them.
pub(super) async fn share_api(State(origins): State<Arc<Origins>>, mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(API) || origins.0.is_empty() {
        return next.run(request).await;
    }
    let origin = origins.allowed(request.headers()).cloned();
    let asks_before = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && request.headers().contains_key(header::ORIGIN);
    if origin.is_some() {
        request.extensions_mut().insert(FromAllowedOrigin);
    }
    let mut response = match (asks_before, &origin) {
        (true, Some(_)) => StatusCode::NO_CONTENT.into_response(),
        (true, None) => StatusCode::FORBIDDEN.into_response(),
        (false, _) => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(origin) = origin else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let said: &[(HeaderName, &'static str)] = if asks_before {
        &[
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_SECONDS),
        ]
    } else {
        &[(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS)]
    };
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a text is an origin as browsers send it: scheme and host, a port where it is not the usual one, nothing else.
pub(crate) fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_origin_is_one() {
        for origin in ["https://app.example.org", "http://localhost:5173", "https://[::1]:8443"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "*",
            "null",
            "",
            "https://",
            "app.example.org",
            "https://app.example.org/",
            "https://*.example.org",
            "https://App.example.org",
            "https://user@app.example.org",
            "ftp://app.example.org",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
