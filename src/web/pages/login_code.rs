//! The second step of a login, and confirming within one that it is still the same person.

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::auth::{anonymous_csrf, let_in, with_anonymous_csrf};
use super::frames::{Notice, add_cookie, bare, form_errors, render, render_with};
use crate::app::App;
use crate::error::{Error, Result};
use crate::oidc;
use crate::second_factor::{self, Evidence};
use crate::sessions;
use crate::web::back::own_path;
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::read::Query;
use crate::web::request::Origin;
use crate::web::session::{Customer, no_pending_cookie, pending_of};
use crate::web::views::form::FormErrors;
use crate::web::views::security::{CodePage, ConfirmPage, KeptFormPage};

/// Where to go after the login.
#[derive(Debug, Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// A code as it was typed.
#[derive(Debug, Deserialize)]
pub struct Code {
    #[serde(default)]
    code: SecretString,
    #[serde(default)]
    next: String,
}

/// `GET /login/code`
pub async fn show(
    State(app): State<Arc<App>>,
    notice: Notice,
    Query(query): Query<Next>,
    parts: Parts,
) -> Result<Response, PageError> {
    page(&app, &notice, &parts, query.next, FormErrors::none()).await
}

/// Where no login waits, it begins again.
async fn page(
    app: &Arc<App>,
    notice: &Notice,
    parts: &Parts,
    next: String,
    errors: FormErrors,
) -> Result<Response, PageError> {
    let user = match pending_of(parts, app) {
        Some(token) => second_factor::find(app, &token).await,
        None => Err(Error::Unauthenticated("")),
    };
    let user = match user {
        Ok(user) => user,
        Err(Error::Unauthenticated(_)) => return Ok(Redirect::to("/login").into_response()),
        Err(error) => return Err(error.into()),
    };
    let factors = second_factor::factors(app, user.id).await?;
    let (csrf, new) = anonymous_csrf(app, parts);
    let page = CodePage {
        frame: bare(app, "Second step", notice),
        csrf: csrf.clone(),
        next,
        codes: factors.totp,
        passkeys: factors.passkeys > 0,
        errors,
    };
    Ok(with_anonymous_csrf(app, render_with(app, notice, &page), csrf, new))
}

/// `POST /login/code`
pub async fn finish(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    CsrfForm(form): CsrfForm<Code>,
) -> Result<Response, PageError> {
    use secrecy::ExposeSecret;
    let token = pending_of(&parts, &app).unwrap_or_default();
    match second_factor::finish(&app, &token, form.code.expose_secret(), &origin.stranger()).await {
        Ok((user, _)) => {
            let mut response = let_in(&app, &user, &origin, &parts, own_path(&form.next)).await?;
            add_cookie(&mut response, &no_pending_cookie(&app));
            Ok(response)
        }
        Err(error) => refused(&app, &parts, form.next, error).await,
    }
}

/// The page of the second step again, with what was wrong.
pub(super) async fn refused(app: &Arc<App>, parts: &Parts, next: String, error: Error) -> Result<Response, PageError> {
    // Where no login waits any more, it begins again.
    if matches!(error, Error::Unauthenticated(_)) {
        return super::auth::refused(app, parts, String::new(), next, error);
    }
    let status = status(&error);
    let page = page(app, &Notice::default(), parts, next, form_errors(error)?).await?;
    Ok((status, page).into_response())
}

/// Where to go after confirming.
#[derive(Debug, Deserialize)]
pub struct Back {
    #[serde(default)]
    back: String,
}

/// What somebody shows to confirm that it is him.
#[derive(Debug, Deserialize)]
pub struct Confirmation {
    #[serde(default)]
    password: SecretString,
    #[serde(default)]
    code: SecretString,
    #[serde(default)]
    back: String,
}

/// `GET /confirm`
pub async fn ask(
    State(app): State<Arc<App>>,
    customer: Customer,
    Query(query): Query<Back>,
) -> Result<Response, PageError> {
    let page = confirm_page(&app, &customer, &query.back, FormErrors::none()).await?;
    Ok(render(&page))
}

async fn confirm_page(app: &App, customer: &Customer, back: &str, errors: FormErrors) -> Result<ConfirmPage> {
    let user = &customer.session.user;
    let factors = second_factor::factors(app, user.id).await?;
    let only_there = oidc::is_only_proof(app, user).await?;
    Ok(ConfirmPage {
        frame: bare(app, "Confirm that it is you", &Notice::default()),
        csrf: customer.session.csrf_token.clone(),
        back: own_path(back).to_owned(),
        email: user.email.clone(),
        codes: factors.totp,
        passkeys: factors.passkeys > 0,
        provider: app.settings.oidc.as_ref().filter(|_| only_there).map(|provider| provider.name.clone()),
        errors,
    })
}

/// `POST /confirm`
pub async fn confirm(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(form): CsrfForm<Confirmation>,
) -> Result<Response, PageError> {
    use secrecy::ExposeSecret;
    let evidence = match form.code.expose_secret().trim() {
        "" => Evidence::Password(form.password),
        _ => Evidence::Code(form.code),
    };
    match second_factor::confirm(&app, &customer.session, evidence, &customer.actor).await {
        Ok(()) => Ok(Redirect::to(own_path(&form.back)).into_response()),
        Err(error) => not_confirmed(&app, &customer, &form.back, error).await,
    }
}

/// `GET /confirm/form`: the form that waited for the proof.
pub async fn kept_form(State(app): State<Arc<App>>, customer: Customer) -> Result<Response, PageError> {
    let Some(form) = sessions::kept_form(&app, customer.session.id).await? else {
        return Ok(Redirect::to("/").into_response());
    };
    // Without the proof it is sent in vain.
    if !customer.session.assurance.is_confirmed(app.clock.machine_now()) {
        return Ok(Redirect::to(own_path(&form.back)).into_response());
    }
    let page = KeptFormPage {
        frame: bare(&app, "Go on with what you were doing", &Notice::default()),
        csrf: customer.session.csrf_token.clone(),
        form,
    };
    Ok(render(&page))
}

/// The page again, with what was wrong.
pub(super) async fn not_confirmed(
    app: &App,
    customer: &Customer,
    back: &str,
    error: Error,
) -> Result<Response, PageError> {
    let status = status(&error);
    let page = confirm_page(app, customer, back, form_errors(error)?).await?;
    Ok((status, render(&page)).into_response())
}
