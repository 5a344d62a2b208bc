//! What people do with links that were sent to them, logged in or not: confirming an address, setting a forgotten password.
//! Opening a link changes nothing, for programs that read mails open them too; the button behind it does.

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::auth::{anonymous_csrf, place_of, remember_device, with_anonymous_csrf};
use super::frames::{Notice, bare, form_errors, redirect_with, render_with};
use crate::accounts::{self, LinkToken};
use crate::app::App;
use crate::error::Error;
use crate::users::PASSWORD_CHARACTERS_MIN;
use crate::web::error::{PageError, status, with_patience};
use crate::web::forms::CsrfForm;
use crate::web::read::Query;
use crate::web::request::Origin;
use crate::web::views::auth::{ForgotPage, ResetPage, VerifyPage};
use crate::web::views::form::FormErrors;
use crate::web::views::frame::FlashKind;

/// Said to everybody who asks for a new password, whoever he is.
const ON_ITS_WAY: &str =
    "If there is an account with this address, a mail with a link is on its way to it. Look among the spam, too.";

/// Who forgot his password.
#[derive(Debug, Deserialize)]
pub struct Forgot {
    #[serde(default)]
    email: String,
}

/// A new password with the link that allows it.
#[derive(Debug, Deserialize)]
pub struct Reset {
    #[serde(flatten)]
    link: LinkToken,
    #[serde(default)]
    password: SecretString,
}

/// `GET /forgot-password`
pub async fn show_forgot(State(app): State<Arc<App>>, notice: Notice, parts: Parts) -> Response {
    forgot_page(&app, &notice, &parts, String::new(), FormErrors::none())
}

fn forgot_page(app: &Arc<App>, notice: &Notice, parts: &Parts, email: String, errors: FormErrors) -> Response {
    let (csrf, new) = anonymous_csrf(app, parts);
    let page = ForgotPage { frame: bare(app, "Forgotten password", notice), csrf: csrf.clone(), email, errors };
    with_anonymous_csrf(app, render_with(app, notice, &page), csrf, new)
}

/// `POST /forgot-password`
pub async fn forgot(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    CsrfForm(form): CsrfForm<Forgot>,
) -> Result<Response, PageError> {
    match accounts::request_reset(&app, &form.email, &place_of(&app, &parts, &origin), &origin.stranger()).await {
        Ok(()) => Ok(redirect_with(&app, "/login", FlashKind::Info, ON_ITS_WAY)),
        Err(error) => {
            let patience = with_patience(&error, status(&error).into_response());
            let page = forgot_page(&app, &Notice::default(), &parts, form.email, form_errors(error)?);
            Ok(with_head_of(&patience, page))
        }
    }
}

/// `GET /reset-password?token=`
pub async fn show_reset(
    State(app): State<Arc<App>>,
    notice: Notice,
    parts: Parts,
    Query(link): Query<LinkToken>,
) -> Result<Response, PageError> {
    let useless = useless(accounts::check_reset_link(&app, &link).await)?;
    Ok(reset_page(&app, &notice, &parts, &link, useless, FormErrors::none()))
}

fn reset_page(
    app: &Arc<App>,
    notice: &Notice,
    parts: &Parts,
    link: &LinkToken,
    useless: Option<String>,
    errors: FormErrors,
) -> Response {
    let (csrf, new) = anonymous_csrf(app, parts);
    let page = ResetPage {
        frame: bare(app, "Set a new password", notice),
        csrf: csrf.clone(),
        token: link.token.expose_secret().to_owned(),
        useless,
        password_length_min: PASSWORD_CHARACTERS_MIN,
        errors,
    };
    with_anonymous_csrf(app, render_with(app, notice, &page), csrf, new)
}

/// `POST /reset-password`
pub async fn reset(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    CsrfForm(form): CsrfForm<Reset>,
) -> Result<Response, PageError> {
    match accounts::reset_password(&app, &form.link, form.password, origin.stranger()).await {
        Ok(user) => {
            let done = "Your new password is set. Log in with it.";
            let mut response = redirect_with(&app, "/login", FlashKind::Success, done);
            // He reads the mailbox of the account: whatever strangers try, this browser is his.
            remember_device(&app, &user, &parts, &mut response).await?;
            Ok(response)
        }
        Err(error) => {
            let patience = with_patience(&error, status(&error).into_response());
            let (why, errors) = match error {
                Error::Conflict(why) => (Some(why), FormErrors::none()),
                other => (None, form_errors(other)?),
            };
            Ok(with_head_of(&patience, reset_page(&app, &Notice::default(), &parts, &form.link, why, errors)))
        }
    }
}

/// `GET /verify-email?token=`
pub async fn show_verify(
    State(app): State<Arc<App>>,
    notice: Notice,
    parts: Parts,
    Query(link): Query<LinkToken>,
) -> Response {
    verify_page(&app, &notice, &parts, &link, None)
}

fn verify_page(app: &Arc<App>, notice: &Notice, parts: &Parts, link: &LinkToken, useless: Option<String>) -> Response {
    let (csrf, new) = anonymous_csrf(app, parts);
    let page = VerifyPage {
        frame: bare(app, "Confirm your e-mail address", notice),
        csrf: csrf.clone(),
        token: link.token.expose_secret().to_owned(),
        useless,
    };
    with_anonymous_csrf(app, render_with(app, notice, &page), csrf, new)
}

/// `POST /verify-email`
pub async fn verify(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    CsrfForm(link): CsrfForm<LinkToken>,
) -> Result<Response, PageError> {
    match accounts::confirm(&app, &link, origin.stranger()).await {
        Ok(confirmed) => {
            let done = format!("{} is confirmed.", confirmed.email);
            Ok(redirect_with(&app, "/", FlashKind::Success, done))
        }
        Err(error) => {
            let head = status(&error).into_response();
            let why = useless(Err(error))?;
            Ok(with_head_of(&head, verify_page(&app, &Notice::default(), &parts, &link, why)))
        }
    }
}

/// What is said of a link that is good for nothing.
fn useless(checked: Result<(), Error>) -> Result<Option<String>, PageError> {
    match checked {
        Ok(()) => Ok(None),
        Err(Error::Conflict(why)) => Ok(Some(why)),
        Err(other) => Err(other.into()),
    }
}

/// A page with the status of an answer, and its word on when to come back.
pub(super) fn with_head_of(head: &Response, mut page: Response) -> Response {
    *page.status_mut() = head.status();
    if let Some(value) = head.headers().get(axum::http::header::RETRY_AFTER) {
        page.headers_mut().insert(axum::http::header::RETRY_AFTER, value.clone());
    }
    page
}
