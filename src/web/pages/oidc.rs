//! Going to the identity provider and coming back: to log in, to link an account there, to confirm who one is. The ways there
//! are links, not forms, for a form of ours may not lead to another site; what is changed here is a form.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::auth::{enter_through, let_in_through, place_of, refused};
use super::frames::{Notice, add_cookie, bare, redirect_with, render};
use super::login_code::not_confirmed;
use super::security::SECURITY;
use crate::app::App;
use crate::error::Error;
use crate::ids::IdentityId;
use crate::oidc::{self, Arrival, Departure, Errand, JOURNEY_MINUTES, Missed, Missing, Returned};
use crate::second_factor::Method;
use crate::web::back::own_path;
use crate::web::error::PageError;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::{Path, Query};
use crate::web::request::Origin;
use crate::web::session::{Customer, cookie, cookie_name, session_of};
use crate::web::views::frame::FlashKind;
use crate::web::views::security::LinkPage;

/// The cookie of a browser that is at the provider.
const JOURNEY: &str = "oidc";
/// Where somebody goes to link an account.
const LINKING: &str = "/account/security/oidc";
/// Where somebody says that he wants to link what he showed.
const LINK: &str = "/account/security/oidc/link";

/// Where to go after the login.
#[derive(Debug, Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// Where to go after confirming.
#[derive(Debug, Deserialize)]
pub struct Back {
    #[serde(default)]
    back: String,
}

fn kept(app: &App, parts: &Parts) -> Option<SecretString> {
    let jar = CookieJar::from_headers(&parts.headers);
    jar.get(&cookie_name(app, JOURNEY)).map(|cookie| SecretString::from(cookie.value()))
}

fn leaves(app: &App, departure: &Departure) -> Response {
    let mut kept = cookie(app, JOURNEY, departure.browser.expose_secret().to_owned());
    // At the provider, and then before the form that links.
    kept.set_max_age(time::Duration::minutes(2 * JOURNEY_MINUTES));
    let mut response = Redirect::to(&departure.url).into_response();
    add_cookie(&mut response, &kept);
    response
}

/// Whether something within another page asks, which may be another site's: a picture, a frame, a script. Each would use up one of
/// the ways that somebody may begin. Browsers say so of every request; who says nothing is no browser, or an old one.
fn is_embedded(parts: &Parts) -> bool {
    parts.headers.get("sec-fetch-dest").is_some_and(|destination| destination != "document")
}

/// `GET /login/oidc`
pub async fn begin(
    State(app): State<Arc<App>>,
    origin: Origin,
    Query(query): Query<Next>,
    parts: Parts,
) -> Result<Response, PageError> {
    if is_embedded(&parts) {
        let sentence = "The way to the identity provider is a page of its own, and no part of another one.";
        return Err(PageError::Request(StatusCode::FORBIDDEN, sentence.to_owned()));
    }
    let next = own_path(&query.next);
    if session_of(&parts, &app).await?.is_some() {
        return Ok(Redirect::to(next).into_response());
    }
    let place = place_of(&app, &parts, &origin);
    match oidc::begin(&app, Errand::LogIn, kept(&app, &parts), next, &place).await {
        Ok(departure) => Ok(leaves(&app, &departure)),
        Err(error) => refused(&app, &parts, String::new(), query.next, error),
    }
}

/// `GET /account/security/oidc`
pub async fn begin_linking(
    State(app): State<Arc<App>>,
    customer: Customer,
    origin: Origin,
    parts: Parts,
) -> Result<Response, PageError> {
    // Here, and once more when the form is sent that links them.
    if !customer.session.assurance.is_confirmed(app.clock.machine_now()) {
        return Err(PageError::ConfirmFirst(LINKING.to_owned()));
    }
    let errand = Errand::Link(&customer.session);
    let place = place_of(&app, &parts, &origin);
    match oidc::begin(&app, errand, kept(&app, &parts), SECURITY, &place).await {
        Ok(departure) => Ok(leaves(&app, &departure)),
        Err(error) => super::security::refused(&app, &customer, error).await,
    }
}

/// `GET /confirm/oidc`
pub async fn begin_confirming(
    State(app): State<Arc<App>>,
    customer: Customer,
    origin: Origin,
    Query(query): Query<Back>,
    parts: Parts,
) -> Result<Response, PageError> {
    let (errand, back) = (Errand::Confirm(&customer.session), own_path(&query.back));
    let place = place_of(&app, &parts, &origin);
    match oidc::begin(&app, errand, kept(&app, &parts), back, &place).await {
        Ok(departure) => Ok(leaves(&app, &departure)),
        Err(error) => not_confirmed(&app, &customer, back, error).await,
    }
}

/// `GET /login/oidc/callback`
pub async fn arrive(
    State(app): State<Arc<App>>,
    origin: Origin,
    Query(returned): Query<Returned>,
    parts: Parts,
) -> Result<Response, PageError> {
    let session = session_of(&parts, &app).await?;
    match oidc::arrive(&app, kept(&app, &parts), &returned, session.as_ref(), &origin.stranger()).await {
        Ok(Arrival::LoggedIn { user, showed_factor: true, next }) => {
            let_in_through(&app, &user, &origin, &parts, own_path(&next), Method::Provider).await
        }
        Ok(Arrival::LoggedIn { user, showed_factor: false, next }) => {
            enter_through(&app, &user, &origin, &parts, own_path(&next), Method::Provider).await
        }
        Ok(Arrival::WantsToLink) => Ok(Redirect::to(LINK).into_response()),
        Ok(Arrival::Confirmed { next }) => Ok(Redirect::to(own_path(&next)).into_response()),
        // Who looks as a customer is shown no page of that customer's own.
        Err(Missed { errand, next, error }) => match (errand, session.filter(|session| session.on_behalf.is_none())) {
            (Some(errand), Some(session)) => {
                let customer = Customer { actor: origin.actor(&session.user), session };
                match errand {
                    Missing::Link => super::security::refused(&app, &customer, error).await,
                    Missing::Confirmation => not_confirmed(&app, &customer, own_path(&next), error).await,
                }
            }
            (None, Some(session)) => {
                let customer = Customer { actor: origin.actor(&session.user), session };
                super::security::refused(&app, &customer, error).await
            }
            _ => refused(&app, &parts, String::new(), next, error),
        },
    }
}

/// `GET /account/security/oidc/link`
pub async fn show_link(State(app): State<Arc<App>>, customer: Customer, parts: Parts) -> Result<Response, PageError> {
    let Some(provider) = &app.settings.oidc else { return Err(Error::NotFound("identity provider").into()) };
    match oidc::shown(&app, &customer.session, kept(&app, &parts).as_ref()).await {
        Ok(shown) => Ok(render(&LinkPage {
            frame: bare(&app, "Link accounts", &Notice::default()),
            csrf: customer.session.csrf_token.clone(),
            email: customer.session.user.email.clone(),
            provider: provider.name.clone(),
            email_there: shown.email,
        })),
        Err(error) => super::security::refused(&app, &customer, error).await,
    }
}

/// `POST /account/security/oidc/link`
pub async fn link(
    State(app): State<Arc<App>>,
    customer: Customer,
    parts: Parts,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    match oidc::link(&app, &customer.session, kept(&app, &parts).as_ref(), &customer.actor).await {
        Ok(()) => Ok(redirect_with(&app, SECURITY, FlashKind::Success, "The accounts are linked.")),
        Err(error) => super::security::refused(&app, &customer, error).await,
    }
}

/// `POST /account/security/oidc/{id}/unlink`
pub async fn unlink(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<IdentityId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    match oidc::unlink(&app, &customer.session.user, id, &customer.actor).await {
        Ok(()) => Ok(redirect_with(&app, SECURITY, FlashKind::Success, "The account was unlinked.")),
        Err(error @ Error::Conflict(_)) => super::security::refused(&app, &customer, error).await,
        Err(other) => Err(other.into()),
    }
}
