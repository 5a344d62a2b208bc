//! The pages of a person's own account: who he is, his password, where he is logged in. Passwords never come back to a page.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::FormErrors;
use super::frame::PortalFrame;
use super::markup;
use crate::web::format;

/// `GET /account`, and its forms when they were refused.
#[derive(Debug, Template)]
#[template(path = "account/profile.html")]
pub struct ProfilePage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Which tab is open.
    pub here: &'static str,
    /// The address, as it is.
    pub email: String,
    /// Whether it is confirmed.
    pub is_verified: bool,
    /// The address that was asked for and waits to be confirmed.
    pub wanted_email: Option<String>,
    /// What was typed.
    pub name: String,
    /// What was typed.
    pub new_email: String,
    /// Fields: `name`.
    pub name_errors: FormErrors,
    /// Fields: `email`, `password`.
    pub email_errors: FormErrors,
}

/// `GET /account/password`, and `POST` when it was refused.
#[derive(Debug, Template)]
#[template(path = "account/password.html")]
pub struct PasswordPage {
    /// He has one; else he may have a link sent that sets one.
    pub has_password: bool,
    /// Where that would go.
    pub email: String,
    /// Around the page.
    pub frame: PortalFrame,
    /// Which tab is open.
    pub here: &'static str,
    /// Shortest password taken, in characters.
    pub password_length_min: usize,
    /// Fields: `current_password`, `new_password`.
    pub errors: FormErrors,
}

/// `GET /account/sessions`
#[derive(Debug, Template)]
#[template(path = "account/sessions.html")]
pub struct SessionsPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Which tab is open.
    pub here: &'static str,
    /// What was seen last comes first.
    pub sessions: Vec<SessionRow>,
    /// The machine's time, by which they are told.
    pub now: DateTime<Utc>,
}

/// A browser or a program that is logged in.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Id in URLs.
    pub id: String,
    /// What it calls itself, made readable.
    pub device: String,
    /// A browser, or else a program.
    pub is_browser: bool,
    /// Where it came from last.
    pub address: Option<String>,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// When it was last seen.
    pub last_seen_at: DateTime<Utc>,
    /// It is the one that looks at the page.
    pub is_current: bool,
}
