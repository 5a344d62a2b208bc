//! Forms of pages. A form is only read when it carries the token that its page was given, so that no other site can send
//! it in somebody's name.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum_extra::extract::CookieJar;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::PageError;
use super::session::{ExpectedCsrf, cookie_name};
use crate::app::App;
use crate::error::Error;

/// The cookie that stands in for a session before there is one.
pub(super) const ANONYMOUS_CSRF: &str = "csrf";

/// A form that came from one of our own pages.
#[derive(Debug)]
pub struct CsrfForm<T>(pub T);

/// A form with nothing but its token.
#[derive(Debug, Deserialize)]
pub struct Nothing {}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for CsrfForm<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        // Of a session, or of the cookie that the page of a stranger set.
        let expected = parts.extensions.get::<ExpectedCsrf>().map(|token| token.0.clone()).or_else(|| {
            let jar = CookieJar::from_headers(&parts.headers);
            jar.get(&cookie_name(app, ANONYMOUS_CSRF)).map(|cookie| cookie.value().to_owned())
        });
        let bytes = Bytes::from_request(Request::from_parts(parts, body), app).await.map_err(|rejection| {
            PageError::Request(rejection.status(), "The form was too large or was cut off on the way.".into())
        })?;
        let sent = csrf_of(&bytes);
        if !expected.is_some_and(|expected| !expected.is_empty() && same(expected.as_bytes(), sent.as_bytes())) {
            let sentence =
                "This form is too old, or did not come from this site. Go back, reload the page and try again.";
            return Err(Error::Forbidden(sentence).into());
        }
        // No keyboard types a NUL, and PostgreSQL does not store one.
        if bytes.windows(3).any(|part| part == b"%00") || bytes.contains(&0) {
            return Err(PageError::Request(
                StatusCode::UNPROCESSABLE_ENTITY,
                "A field holds a character that cannot be stored. Go back and type it again.".into(),
            ));
        }
        serde_html_form::from_bytes(&bytes).map(Self).map_err(|_| {
            PageError::Request(
                StatusCode::BAD_REQUEST,
                "The form could not be read. Go back, reload the page and try again.".into(),
            )
        })
    }
}

/// The token that a form carries.
pub(super) fn csrf_of(form: &[u8]) -> String {
    serde_html_form::from_bytes::<Token>(form).map(|token| token.csrf).unwrap_or_default()
}

/// Compares without telling by the time it takes how much agreed.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}
