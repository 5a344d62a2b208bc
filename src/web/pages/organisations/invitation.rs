//! An invitation, as who was sent it sees it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::app::App;
use crate::error::Result;
use crate::organisations::{self, Token};
use crate::sessions;
use crate::web::error::PageError;
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, bare, redirect_with, render_with};
use crate::web::read::Query;
use crate::web::session::{Customer, session_of};
use crate::web::views::frame::FlashKind;
use crate::web::views::organisations::{InvitationPage, Visitor};

/// The token as the mail has it.
#[derive(Deserialize)]
pub struct Held {
    #[serde(default)]
    token: String,
}

/// `GET /invitation?token=`
pub async fn show_invitation(
    State(app): State<Arc<App>>,
    notice: Notice,
    Query(held): Query<Held>,
    parts: Parts,
) -> Result<Response, PageError> {
    let offer = organisations::offer(&app, &Token::new(&held.token)).await?;
    let visitor = match session_of(&parts, &app).await? {
        None => Visitor::Stranger,
        Some(session) if session.user.email.to_lowercase() == offer.email.to_lowercase() => {
            Visitor::Invited(session.csrf_token)
        }
        Some(session) => Visitor::Other(session.user.email, session.csrf_token),
    };
    let path = format!("/invitation?token={}", held.token);
    let page = InvitationPage {
        frame: bare(&app, format!("Join {}", offer.organisation_name), &notice),
        token: held.token,
        organisation: offer.organisation_name,
        role_name: offer.role_name,
        invited_by: offer.invited_by,
        email: offer.email,
        expires_at: offer.expires_at,
        visitor,
        next: utf8_percent_encode(&path, NON_ALPHANUMERIC).to_string(),
        may_register: app.settings.registration_open,
    };
    Ok(render_with(&app, &notice, &page))
}

/// `POST /invitation`
pub async fn accept(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(held): CsrfForm<Held>,
) -> Result<Response, PageError> {
    let user = &customer.session.user;
    let token = Token::new(&held.token);
    let organisation = organisations::accept(&app, &token, user.id, &user.email, &customer.actor).await?;
    sessions::enter(&app, &customer.session, organisation, &customer.actor).await?;
    Ok(redirect_with(&app, "/", FlashKind::Success, "You are a member now. This organisation is open.").into_response())
}

/// The address that an invitation went to, for the form of who registers to accept it.
pub(in crate::web::pages) async fn email_of(app: &App, next: &str) -> Option<String> {
    let token = next.strip_prefix("/invitation?token=")?;
    organisations::offer(app, &Token::new(token)).await.ok().map(|offer| offer.email)
}
