//! A person's own account: name, address, password, and where he is logged in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::auth::{place_of, remember_device, without_session};
use super::frames::{Notice, form_errors, portal, redirect_with, render_with};
use super::recovery::with_head_of;
use crate::accounts::{self, NewEmail, NewPassword};
use crate::app::App;
use crate::ids::SessionId;
use crate::sessions::{self, Kind};
use crate::users::{self, PASSWORD_CHARACTERS_MIN};
use crate::web::error::{PageError, status, with_patience};
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::request::Origin;
use crate::web::session::Customer;
use crate::web::views::account::{PasswordPage, ProfilePage, SessionRow, SessionsPage};
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{FlashKind, Section};

/// A name as it was typed.
#[derive(Debug, Deserialize)]
pub struct NewName {
    #[serde(default)]
    name: String,
}

/// `GET /account`
pub async fn show(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let none = FormErrors::none;
    let page = profile(&app, &customer, &notice, (None, none()), (String::new(), none())).await?;
    Ok(render_with(&app, &notice, &page))
}

async fn profile(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    (name, name_errors): (Option<String>, FormErrors),
    (new_email, email_errors): (String, FormErrors),
) -> Result<ProfilePage, PageError> {
    let user = &customer.session.user;
    Ok(ProfilePage {
        frame: portal(app, customer, "Account", Section::Account, notice).await?,
        here: "profile",
        email: user.email.clone(),
        is_verified: user.is_verified,
        wanted_email: accounts::wanted_email(app, user.id).await?,
        name: name.unwrap_or_else(|| user.name.clone()),
        new_email,
        name_errors,
        email_errors,
    })
}

/// `POST /account`
pub async fn rename(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(new): CsrfForm<NewName>,
) -> Result<Response, PageError> {
    match accounts::rename(&app, &customer.session.user, &new.name, &customer.actor).await {
        Ok(()) => Ok(redirect_with(&app, "/account", FlashKind::Success, "Your name was saved.")),
        Err(error) => {
            let (head, notice) = (status(&error).into_response(), Notice::default());
            let typed = (Some(new.name), form_errors(error)?);
            let page = profile(&app, &customer, &notice, typed, (String::new(), FormErrors::none())).await?;
            Ok(with_head_of(&head, render_with(&app, &notice, &page)))
        }
    }
}

/// `POST /account/email`
pub async fn change_email(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(new): CsrfForm<NewEmail>,
) -> Result<Response, PageError> {
    let typed = new.email.clone();
    match accounts::request_email(&app, &customer.session.user, new, &customer.actor).await {
        Ok(()) => {
            let done = "We sent a link to the new address. It counts from when you follow it.";
            Ok(redirect_with(&app, "/account", FlashKind::Info, done))
        }
        Err(error) => {
            let head = with_patience(&error, status(&error).into_response());
            let (notice, typed) = (Notice::default(), (typed, form_errors(error)?));
            let page = profile(&app, &customer, &notice, (None, FormErrors::none()), typed).await?;
            Ok(with_head_of(&head, render_with(&app, &notice, &page)))
        }
    }
}

/// `POST /account/verification`
pub async fn send_verification(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    accounts::send_verification(&app, &customer.session.user, &customer.actor).await?;
    let done = format!("A mail is on its way to {}.", customer.session.user.email);
    Ok(redirect_with(&app, "/account", FlashKind::Info, done))
}

/// `GET /account/password`
pub async fn show_password(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
) -> Result<Response, PageError> {
    let page = password_page(&app, &customer, &notice, FormErrors::none()).await?;
    Ok(render_with(&app, &notice, &page))
}

async fn password_page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    errors: FormErrors,
) -> Result<PasswordPage, PageError> {
    Ok(PasswordPage {
        frame: portal(app, customer, "Password", Section::Account, notice).await?,
        here: "password",
        has_password: users::has_password(app, customer.session.user.id).await?,
        email: customer.session.user.email.clone(),
        password_length_min: PASSWORD_CHARACTERS_MIN,
        errors,
    })
}

/// `POST /account/password`
pub async fn change_password(
    State(app): State<Arc<App>>,
    customer: Customer,
    parts: Parts,
    CsrfForm(new): CsrfForm<NewPassword>,
) -> Result<Response, PageError> {
    let user = &customer.session.user;
    match accounts::change_password(&app, user, Some(customer.session.id), new, &customer.actor).await {
        Ok(()) => {
            let done = "Your password was changed. Every other browser and program was logged out.";
            let mut response = redirect_with(&app, "/account/password", FlashKind::Success, done);
            remember_device(&app, user, &parts, &mut response).await?;
            Ok(response)
        }
        Err(error) => {
            let head = with_patience(&error, status(&error).into_response());
            let notice = Notice::default();
            let page = password_page(&app, &customer, &notice, form_errors(error)?).await?;
            Ok(with_head_of(&head, render_with(&app, &notice, &page)))
        }
    }
}

/// `POST /account/password/link`: who has no password has a link sent that sets one.
pub async fn send_password_link(
    State(app): State<Arc<App>>,
    customer: Customer,
    origin: Origin,
    parts: Parts,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let email = &customer.session.user.email;
    match accounts::request_reset(&app, email, &place_of(&app, &parts, &origin), &customer.actor).await {
        Ok(()) => {
            let done = format!("A mail with a link is on its way to {email}.");
            Ok(redirect_with(&app, "/account/password", FlashKind::Info, done))
        }
        Err(error) => {
            let head = with_patience(&error, status(&error).into_response());
            let notice = Notice::default();
            let page = password_page(&app, &customer, &notice, form_errors(error)?).await?;
            Ok(with_head_of(&head, render_with(&app, &notice, &page)))
        }
    }
}

/// `GET /account/sessions`
pub async fn list_sessions(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
) -> Result<Response, PageError> {
    let found = sessions::list(&app, customer.session.user.id, Some(customer.session.id)).await?;
    let rows = found.into_iter().map(|session| SessionRow {
        id: session.id.to_string(),
        is_browser: session.kind == Kind::Browser,
        device: session.device,
        address: session.address,
        started_at: session.started_at,
        last_seen_at: session.last_seen_at,
        is_current: session.is_current,
    });
    let page = SessionsPage {
        frame: portal(&app, &customer, "Sessions", Section::Account, &notice).await?,
        here: "sessions",
        sessions: rows.collect(),
        now: app.clock.machine_now(),
    };
    Ok(render_with(&app, &notice, &page))
}

/// `POST /account/sessions/{id}/end`
pub async fn end_session(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<SessionId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    sessions::end_one(&app, &customer.session.user, id, &customer.actor).await?;
    Ok(redirect_with(&app, "/account/sessions", FlashKind::Success, "It was logged out."))
}

/// `POST /account/sessions/end`
pub async fn end_all_sessions(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    sessions::end_all(&app, &customer.session.user, None, &customer.actor).await?;
    Ok(without_session(&app, Redirect::to("/login").into_response()))
}
