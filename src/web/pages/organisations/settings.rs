//! The name of the organisation that is open, whom its invoices are made out to, and whose it is.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Named;
use super::members::own_role;
use crate::app::App;
use crate::error::{Error, Problem, Result};
use crate::invoices::{self, BillingDetails};
use crate::organisations;
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, form_errors, portal, redirect_with, render, render_with};
use crate::web::session::Customer;
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::invoices::DetailsForm;
use crate::web::views::organisations::{SettingsPage, Tab};

/// `GET /organisation/settings`
pub async fn settings(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let name = customer.session.organisation.name.clone();
    Ok(render_with(&app, &notice, &page(&app, &customer, &notice, name, FormErrors::none(), None).await?))
}

async fn page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    name: String,
    errors: FormErrors,
    details: Option<DetailsForm>,
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
        details: match details {
            Some(typed) => typed,
            None => {
                let BillingDetails { name, address, tax_id } = invoices::billing_details(app, organisation.id).await?;
                DetailsForm { name, address, tax_id, errors: FormErrors::none() }
            }
        },
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
    let page = page(app, customer, &Notice::default(), name, form_errors(error)?, None).await?;
    Ok((status, render(&page)).into_response())
}

/// Whom invoices are made out to, as it was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TypedDetails {
    billing_name: String,
    billing_address: String,
    billing_tax_id: String,
}

/// `POST /organisation/billing-details`
pub async fn change_billing_details(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<TypedDetails>,
) -> Result<Response, PageError> {
    let TypedDetails { billing_name: name, billing_address: address, billing_tax_id: tax_id } = typed;
    let new = BillingDetails { name, address, tax_id };
    match invoices::change_billing_details(&app, customer.organisation(), &new, &customer.actor).await {
        Ok(()) => {
            let sentence = "The next invoices are made out like this.";
            Ok(redirect_with(&app, "/organisation/settings#billing", FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(of_billing(error))?;
            let details = DetailsForm { name: new.name, address: new.address, tax_id: new.tax_id, errors };
            let name = customer.session.organisation.name.clone();
            let page = page(&app, &customer, &Notice::default(), name, FormErrors::none(), Some(details)).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// The organisation has a name in another form of the page.
fn of_billing(error: Error) -> Error {
    let Error::Invalid(problems) = error else { return error };
    let typed = |problem: Problem| Problem::new(format!("billing_{}", problem.field), problem.problem);
    Error::Invalid(problems.into_iter().map(typed).collect())
}
