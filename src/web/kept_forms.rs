//! What was typed into a form outlives the question who is there: it is kept with the session, shown again after the proof, and
//! sent on with one press.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;

use super::error::PageError;
use super::session::cookie_name;
use crate::app::App;
use crate::error::Result;
use crate::sessions::{self, KeptForm};

/// Where the form is shown again.
pub(super) const PAGE: &str = "/confirm/form";
/// The most fields of a form that is kept; one with more is none of ours. The longest is that of a price list, which has up to
/// 2,000 prices with their caps.
const FIELDS_MAX: usize = 5_000;
/// What makes a field secret, wherever it stands in its name. Secrets are not stored in the clear.
const SECRET: [&str; 4] = ["password", "secret", "token", "code"];
/// What has such a name and only says which token is meant.
const NO_SECRET: &str = "token_id";

/// Left in the answer that leads to the proof: the page on which the form stood.
#[derive(Debug, Clone)]
pub(super) struct LedToConfirm {
    pub back: String,
}

/// What was sent, left in the same answer.
#[derive(Debug, Clone)]
struct Sent(Bytes);

/// Around a route that may demand a proof: holds on to what was sent until it is clear whether it does.
pub(super) async fn hold(request: Request, next: Next) -> Response {
    let form = "application/x-www-form-urlencoded";
    let is_form =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(form.as_bytes()));
    if request.method() != Method::POST || !is_form {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // It has come already, and is not read a second time.
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        let sentence = "The form was too large or was cut off on the way.".to_owned();
        return PageError::Request(axum::http::StatusCode::PAYLOAD_TOO_LARGE, sentence).into_response();
    };
    let mut response = next.run(Request::from_parts(parts, Body::from(bytes.clone()))).await;
    if response.extensions().get::<LedToConfirm>().is_some() {
        response.extensions_mut().insert(Sent(bytes));
    }
    response
}

/// Around everything: keeps the form of whoever is led to a proof, and leads him back to it.
pub(super) async fn keep(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let session = CookieJar::from_headers(request.headers()).get(&cookie_name(&app, "session")).cloned();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let (Some(LedToConfirm { back }), Some(Sent(bytes)), Some(session)) =
        (response.extensions_mut().remove(), response.extensions_mut().remove(), session)
    else {
        return response;
    };
    match keep_of(&app, session.value(), path, back, &bytes).await {
        Ok(true) => Redirect::to(&format!("/confirm?back={}", super::error::in_query(PAGE))).into_response(),
        Ok(false) => response,
        Err(error) => PageError::from(error).into_response(),
    }
}

/// Keeps a form that came from a page of ours. Says whether there was something to keep.
async fn keep_of(app: &App, token: &str, path: String, back: String, bytes: &[u8]) -> Result<bool> {
    let (fields, csrf) = (fields(bytes), super::forms::csrf_of(bytes));
    let Some(session) = sessions::find(app, token).await?.filter(|_| !fields.is_empty()) else { return Ok(false) };
    // What another site made up is offered to nobody.
    if !super::forms::same(session.csrf_token.as_bytes(), csrf.as_bytes()) {
        return Ok(false);
    }
    sessions::keep_form(app, session.id, &KeptForm { path, back, fields }).await?;
    Ok(true)
}

fn is_secret(name: &str) -> bool {
    name != NO_SECRET && SECRET.iter().any(|secret| name.contains(secret))
}

/// What was typed, or nothing when there is a secret in it: half a form would do something else. What was left empty says
/// something as well: that there is to be no limit, say.
fn fields(bytes: &[u8]) -> Vec<(String, String)> {
    let sent: Vec<(String, String)> = serde_html_form::from_bytes(bytes).unwrap_or_default();
    let is_kept = |(name, value): &(String, String)| name != "csrf" && !(value.is_empty() && is_secret(name));
    let typed: Vec<_> = sent.into_iter().filter(is_kept).collect();
    if typed.iter().any(|(name, _)| is_secret(name)) || typed.len() > FIELDS_MAX { Vec::new() } else { typed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_kept_unless_there_is_a_secret_in_it() {
        let kept = fields(b"csrf=a&amount=5&reason=a+gift&password=&note=&role=admin&role=support");
        let names: Vec<_> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(names, ["amount=5", "reason=a gift", "note=", "role=admin", "role=support"]);
        assert!(fields(b"csrf=a").is_empty() && fields(b"").is_empty());
        assert_eq!(fields(b"csrf=a&token_id=root@pam!x&secret=").len(), 1, "which token is no secret");
        assert!(fields(b"csrf=a&token_id=root@pam!x&secret=c").is_empty());
        assert!(fields(b"csrf=a&amount=5&new_password=c").is_empty());
    }
}
