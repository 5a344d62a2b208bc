//! The pages through which a person comes in: log in, register, and what links in mails lead to.
//! Passwords never come back to a page, whatever went wrong.

use askama::Template;
use rust_decimal::Decimal;

use super::form::FormErrors;
use super::frame::BareFrame;
use super::markup;
use crate::web::format;

/// `GET /login`, and `POST /login` when it was refused.
#[derive(Debug, Template)]
#[template(path = "auth/login.html")]
pub struct LoginPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// What was typed.
    pub email: String,
    /// Where to go after; a path of this server, or empty.
    pub next: String,
    /// Fields: `email`, `password`; empty name for the whole form.
    pub errors: FormErrors,
    /// Is registering open?
    pub may_register: bool,
    /// With whose accounts people may log in besides, if with anybody's.
    pub provider: Option<String>,
    /// Can a passkey be a login by itself?
    pub passkeys: bool,
}

/// `GET /register`, and `POST /register` when it was refused.
#[derive(Debug, Template)]
#[template(path = "auth/register.html")]
pub struct RegisterPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// Where to go after; a path of this server, or empty.
    pub next: String,
    /// What was typed.
    pub name: String,
    /// What was typed.
    pub email: String,
    /// What was typed.
    pub organisation: String,
    /// Shortest password taken, in characters.
    pub password_length_min: usize,
    /// Credit given at sign-up; shown when above zero.
    pub sign_up_credit: Decimal,
    /// ISO 4217 code.
    pub currency: String,
    /// With whose accounts people may register besides, if with anybody's.
    pub provider: Option<String>,
    /// Fields: `name`, `email`, `password`, `organisation`.
    pub errors: FormErrors,
}

/// `GET /forgot-password`, and `POST` when it was refused.
#[derive(Debug, Template)]
#[template(path = "auth/forgot.html")]
pub struct ForgotPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// What was typed.
    pub email: String,
    /// Fields: `email`.
    pub errors: FormErrors,
}

/// `GET /reset-password?token=`, and `POST` when it was refused.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "auth/reset.html")]
pub struct ResetPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// The token of the link.
    pub token: String,
    /// Why the link is good for nothing, if so.
    pub useless: Option<String>,
    /// Shortest password taken, in characters.
    pub password_length_min: usize,
    /// Fields: `password`.
    pub errors: FormErrors,
}

/// `GET /verify-email?token=`, and `POST` when it was refused.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "auth/verify.html")]
pub struct VerifyPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// The token of the link.
    pub token: String,
    /// Why the link is good for nothing, if so.
    pub useless: Option<String>,
}
