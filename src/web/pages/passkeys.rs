//! Passkeys in the browser: its script asks for the question, and sends the answer with the form of the page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::auth::{let_in, place_of};
use super::frames::{add_cookie, redirect_with};
use super::{login_code, security};
use crate::app::App;
use crate::error::Error;
use crate::ids::PasskeyId;
use crate::passkeys::{self, Asked};
use crate::second_factor;
use crate::sessions::Login;
use crate::web::back::own_path;
use crate::web::error::PageError;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::request::Origin;
use crate::web::session::{Customer, no_pending_cookie, pending_of};
use crate::web::views::frame::FlashKind;

/// What a browser answered.
#[derive(Debug, Deserialize)]
pub struct Answered {
    #[serde(default)]
    ceremony: Uuid,
    #[serde(default)]
    answer: String,
    #[serde(default)]
    next: String,
    #[serde(default)]
    back: String,
    #[serde(default)]
    name: String,
}

/// `POST /login/passkey/options`
pub async fn ask_anybody(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    _form: CsrfForm<Nothing>,
) -> Result<Json<Asked>, PageError> {
    Ok(Json(passkeys::begin_login(&app, &place_of(&app, &parts, &origin)).await?))
}

/// `POST /login/code/passkey`
pub async fn ask_pending(
    State(app): State<Arc<App>>,
    parts: Parts,
    _form: CsrfForm<Nothing>,
) -> Result<Json<Asked>, PageError> {
    let pending = pending_of(&parts, &app).ok_or(Error::Unauthenticated("Begin again with your password."))?;
    let user = second_factor::find(&app, &pending).await?;
    Ok(Json(passkeys::begin_proof(&app, user.id).await?))
}

/// `POST /login/passkey`: by itself a login.
pub async fn log_in(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    CsrfForm(form): CsrfForm<Answered>,
) -> Result<Response, PageError> {
    match passkeys::log_in(&app, (form.ceremony, &form.answer), &origin.stranger()).await {
        Ok(user) => let_in(&app, &user, &origin, &parts, own_path(&form.next)).await,
        Err(error) => super::auth::refused(&app, &parts, String::new(), form.next, error),
    }
}

/// `POST /login/code/passkey/answer`: the second step after a password.
pub async fn finish(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    CsrfForm(form): CsrfForm<Answered>,
) -> Result<Response, PageError> {
    let pending = pending_of(&parts, &app).unwrap_or_default();
    match passkeys::second_step(&app, &pending, (form.ceremony, &form.answer), &origin.stranger()).await {
        Ok(user) => {
            let mut response = let_in(&app, &user, &origin, &parts, own_path(&form.next)).await?;
            add_cookie(&mut response, &no_pending_cookie(&app));
            Ok(response)
        }
        Err(error) => login_code::refused(&app, &parts, form.next, error).await,
    }
}

/// `POST /confirm/passkey/options`
pub async fn ask_to_confirm(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Json<Asked>, PageError> {
    Ok(Json(passkeys::begin_proof(&app, customer.session.user.id).await?))
}

/// `POST /confirm/passkey`
pub async fn confirm(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(form): CsrfForm<Answered>,
) -> Result<Response, PageError> {
    match passkeys::confirm(&app, &customer.session, (form.ceremony, &form.answer), &customer.actor).await {
        Ok(()) => Ok(Redirect::to(own_path(&form.back)).into_response()),
        Err(error) => login_code::not_confirmed(&app, &customer, &form.back, error).await,
    }
}

/// `POST /account/security/passkeys/options`
pub async fn ask_for_new(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Json<Asked>, PageError> {
    Ok(Json(passkeys::begin_adding(&app, &customer.session.user).await?))
}

/// `POST /account/security/passkeys`
pub async fn add(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(form): CsrfForm<Answered>,
) -> Result<Response, PageError> {
    let (user, login) = (&customer.session.user, Login::Session(customer.session.id));
    let answered = (form.ceremony, form.answer.as_str());
    match passkeys::add(&app, user, answered, &form.name, login, &customer.actor).await {
        Ok(Some(codes)) => security::codes_page(&app, &customer, codes).await,
        Ok(None) => Ok(redirect_with(&app, security::SECURITY, FlashKind::Success, "The passkey was added.")),
        Err(error) => security::refused(&app, &customer, error).await,
    }
}

/// `POST /account/security/passkeys/{id}/remove`
pub async fn remove(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<PasskeyId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    match passkeys::remove(&app, &customer.session.user, id, &customer.actor).await {
        Ok(()) => Ok(redirect_with(&app, security::SECURITY, FlashKind::Success, "The passkey was removed.")),
        Err(error @ Error::NotFound(_)) => Err(error.into()),
        Err(error) => security::refused(&app, &customer, error).await,
    }
}
