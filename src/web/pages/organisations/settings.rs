//! The name of the organisation that is open, and whose it is.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Named;
use super::members::own_role;
use crate::app::App;
use crate::error::{Error, Result};
use crate::organisations;
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, form_errors, portal, redirect_with, render, render_with};
use crate::web::session::Customer;
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::organisations::{SettingsPage, Tab};

/// `GET /organisation/settings`
pub async fn settings(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let name = customer.session.organisation.name.clone();
    Ok(render_with(&app, &notice, &page(&app, &customer, &notice, name, FormErrors::none()).await?))
}

async fn page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    name: String,
    errors: FormErrors,
) -> Result<SettingsPage> {
    let organisation = &customer.session.organisation;
    let members = organisations::list_members(app, organisation.id).await?;
    let user = customer.session.user.id;
    let successors = members.iter().filter(|member| member.user != user && member.is_active);
    Ok(SettingsPage {
        frame: portal(app, customer, "Organisation", Section::Organisation, notice).await?,
        tab: Tab::Settings,
        id: organisation.id.to_string(),
        number: organisation.number,
        created_at: organisation.created_at,
        name,
        successors: successors
            .map(|member| SelectOption {
                value: member.user.to_string(),
                text: format!("{} ({})", member.name, member.email),
            })
            .collect(),
        is_owner: own_role(&members, user).is_owner(),
        errors,
    })
}

/// `POST /organisation/settings`
pub async fn rename(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<Named>,
) -> Result<Response, PageError> {
    match organisations::rename(&app, customer.organisation(), &typed.name, customer.asker()).await {
        Ok(()) => Ok(redirect_with(&app, "/organisation/settings", FlashKind::Success, "The name was changed.")),
        Err(error) => refused(&app, &customer, typed.name, error).await,
    }
}

/// Who becomes the owner.
#[derive(Debug, Deserialize)]
pub struct Successor {
    #[serde(default)]
    member: String,
}

/// `POST /organisation/hand-over`
pub async fn hand_over(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(successor): CsrfForm<Successor>,
) -> Result<Response, PageError> {
    let member = successor.member.parse().map_err(|_| Error::NotFound("member"))?;
    match organisations::hand_over(&app, customer.organisation(), member, customer.asker()).await {
        Ok(()) => {
            let sentence = "The organisation was handed over. You are one of its admins now.";
            Ok(redirect_with(&app, "/organisation/settings", FlashKind::Success, sentence))
        }
        Err(error) => refused(&app, &customer, customer.session.organisation.name.clone(), error).await,
    }
}

async fn refused(app: &App, customer: &Customer, name: String, error: Error) -> Result<Response, PageError> {
    let status = status(&error);
    let page = page(app, customer, &Notice::default(), name, form_errors(error)?).await?;
    Ok((status, render(&page)).into_response())
}
