//! Credit given to a customer and taken from him by hand, on his page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::super::frames::{self, Notice, decimal, form_errors, redirect_with};
use super::super::quotas::Typed;
use super::zero::ZeroForms;
use super::{Place, customer_page};
use crate::app::App;
use crate::charging::{self, Credited, NewCredit, NewDebit};
use crate::error::{Error, Problem, Result};
use crate::ids::OrganisationId;
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::customers::{CreditForm, DebitForm};
use crate::web::views::form::FormErrors;
use crate::web::views::frame::FlashKind;

/// The forms on the page.
pub(super) struct Forms {
    pub credit: CreditForm,
    pub debit: DebitForm,
    pub zero: ZeroForms,
    /// What was typed, if it was refused.
    pub quotas: Option<(Typed, FormErrors)>,
}

impl Forms {
    /// As they are before anything was typed.
    pub(super) fn empty() -> Self {
        let order = || uuid::Uuid::now_v7().to_string();
        Self {
            credit: CreditForm { order: order(), ..CreditForm::default() },
            debit: DebitForm { order: order(), ..DebitForm::default() },
            zero: ZeroForms::default(),
            quotas: None,
        }
    }
}

/// `POST /admin/customers/{id}/credits`
pub async fn add_credit(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<NewCredit>,
) -> Result<Response, PageError> {
    match charging::add_credit(&app, id, &typed, &staff.actor).await {
        Ok(credited) => Ok(moved(&app, id, credited_words(&app, credited))),
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(error)?;
            let credit = CreditForm {
                amount: typed.amount,
                reason: typed.reason,
                order: typed.order.unwrap_or_default(),
                errors,
            };
            let forms = Forms { credit, ..Forms::empty() };
            let page = customer_page(&app, &staff, &Notice::default(), id, &Place::default(), forms).await?;
            Ok((status, frames::render(&page)).into_response())
        }
    }
}

/// What was typed to take credit.
#[derive(Debug, Deserialize)]
pub struct TypedDebit {
    #[serde(default)]
    amount: String,
    #[serde(default)]
    reason: String,
    /// Only sent when it is ticked.
    below_zero: Option<String>,
    #[serde(default)]
    order: String,
}

/// `POST /admin/customers/{id}/debits`
pub async fn take_credit(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<TypedDebit>,
) -> Result<Response, PageError> {
    let TypedDebit { amount, reason, below_zero, order } = typed;
    let new = NewDebit { amount, reason, below_zero: below_zero.is_some(), order: Some(order) };
    match charging::take_credit(&app, id, &new, &staff.actor).await {
        Ok(debited) => {
            let amount = format::money(&decimal(debited.amount), &app.settings.currency);
            let sentence = match (debited.repeated, debited.below_zero) {
                (true, _) => format!("{amount} had been taken already: the form was sent twice."),
                (false, true) => format!("{amount} taken: more than there was."),
                (false, false) => format!("{amount} taken."),
            };
            Ok(moved(&app, id, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(at_its_own_fields(error))?;
            let debit = DebitForm {
                amount: new.amount,
                reason: new.reason,
                below_zero: new.below_zero,
                order: new.order.unwrap_or_default(),
                errors,
            };
            let forms = Forms { debit, ..Forms::empty() };
            let page = customer_page(&app, &staff, &Notice::default(), id, &Place::default(), forms).await?;
            Ok((status, frames::render(&page)).into_response())
        }
    }
}

/// Both forms stand on one page; their fields there have names of their own.
fn at_its_own_fields(error: Error) -> Error {
    match error {
        Error::Invalid(problems) => Error::Invalid(
            problems.into_iter().map(|at| Problem::new(format!("debit_{}", at.field), at.problem)).collect(),
        ),
        other => other,
    }
}

fn moved(app: &App, id: OrganisationId, sentence: String) -> Response {
    redirect_with(app, &format!("/admin/customers/{id}"), FlashKind::Success, sentence)
}

fn credited_words(app: &App, credited: Credited) -> String {
    let amount = format::money(&decimal(credited.amount), &app.settings.currency);
    match (credited.repeated, u64::try_from(credited.started).unwrap_or(u64::MAX)) {
        (true, _) => format!("{amount} had been added already: the form was sent twice."),
        (false, 0) => format!("{amount} added."),
        (false, started) => format!("{amount} added; {} being started.", format::count(&started, "VM is", "VMs are")),
    }
}
