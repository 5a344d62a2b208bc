//! Credit moved by hand on the page of a customer: given, taken, given back for charges, given up as a debt.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use billing::Money;
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
use crate::web::views::form::FormErrors;
use crate::web::views::frame::FlashKind;
use crate::web::views::movement::MovementForm;

/// What is done by hand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hand {
    Credit,
    Debit,
    Refund,
    WriteOff,
}

impl Hand {
    /// The form as it is before anything was typed.
    pub(super) fn form(self, id: OrganisationId) -> MovementForm {
        let (path, prefix, button, hint) = match self {
            Self::Credit => ("credits", "", "Add credit", "A gift: a payment that has arrived is recorded as one."),
            Self::Debit => {
                let hint = "When nothing is left, what runs is shut down as when credit runs out.";
                ("debits", "debit_", "Take credit", hint)
            }
            Self::Refund => {
                let hint = "After an outage or a mistake of ours. Charges and invoices stay as they are.";
                ("refunds", "refund_", "Give back", hint)
            }
            Self::WriteOff => ("write-offs", "write_off_", "Write off", "The customer owes as much less."),
        };
        MovementForm {
            action: format!("/admin/customers/{id}/{path}"),
            prefix,
            button,
            hint,
            is_main: self == Self::Credit,
            below_zero: (self == Self::Debit).then_some(false),
            order: uuid::Uuid::now_v7().to_string(),
            ..MovementForm::default()
        }
    }
}

/// The forms on the page.
#[derive(Default)]
pub(super) struct Forms {
    /// One that moves credit, if it was refused.
    pub moved: Option<(Hand, MovementForm)>,
    pub zero: ZeroForms,
    /// What was typed, if it was refused.
    pub quotas: Option<(Typed, FormErrors)>,
}

impl Forms {
    /// The form of one movement: as it was typed, or empty.
    pub(super) fn of(&self, hand: Hand, id: OrganisationId) -> MovementForm {
        match &self.moved {
            Some((moved, form)) if *moved == hand => form.clone(),
            _ => hand.form(id),
        }
    }

    /// The form that adds credit; to a wallet that has run out it says what follows.
    pub(super) fn credit(&self, id: OrganisationId, ran_out: bool) -> MovementForm {
        let form = self.of(Hand::Credit, id);
        let hint = "Machines stopped for lack of credit start again, as far as it carries them.";
        if ran_out { MovementForm { hint, ..form } } else { form }
    }

    /// The form that gives up a debt, with all of it, when the wallet is below zero.
    pub(super) fn write_off(&self, id: OrganisationId, balance: Money) -> Option<MovementForm> {
        let form = self.of(Hand::WriteOff, id);
        if !form.errors.is_empty() {
            return Some(form);
        }
        let owed = balance.is_negative().then(|| (-balance).to_decimal().normalize().to_string());
        owed.map(|amount| MovementForm { amount, ..form })
    }
}

/// What was typed to move credit.
#[derive(Debug, Deserialize)]
pub struct TypedMovement {
    #[serde(default)]
    amount: String,
    #[serde(default)]
    reason: String,
    /// Only sent when it is ticked.
    below_zero: Option<String>,
    #[serde(default)]
    order: String,
}

/// `POST /admin/customers/{id}/credits`
pub async fn add_credit(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<TypedMovement>,
) -> Result<Response, PageError> {
    move_by_hand(&app, &staff, id, Hand::Credit, typed).await
}

/// `POST /admin/customers/{id}/debits`
pub async fn take_credit(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<TypedMovement>,
) -> Result<Response, PageError> {
    move_by_hand(&app, &staff, id, Hand::Debit, typed).await
}

/// `POST /admin/customers/{id}/refunds`
pub async fn refund_charges(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<TypedMovement>,
) -> Result<Response, PageError> {
    move_by_hand(&app, &staff, id, Hand::Refund, typed).await
}

/// `POST /admin/customers/{id}/write-offs`
pub async fn write_off(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<TypedMovement>,
) -> Result<Response, PageError> {
    move_by_hand(&app, &staff, id, Hand::WriteOff, typed).await
}

async fn move_by_hand(
    app: &App,
    staff: &Staff,
    id: OrganisationId,
    hand: Hand,
    typed: TypedMovement,
) -> Result<Response, PageError> {
    match moved(app, staff, id, hand, &typed).await {
        Ok(sentence) => Ok(redirect_with(app, &format!("/admin/customers/{id}"), FlashKind::Success, sentence)),
        Err(error) => {
            let status = status(&error);
            let form = hand.form(id);
            let form = MovementForm {
                below_zero: form.below_zero.map(|_| typed.below_zero.is_some()),
                amount: typed.amount,
                reason: typed.reason,
                order: typed.order,
                errors: form_errors(prefixed(form.prefix, error))?,
                ..form
            };
            let forms = Forms { moved: Some((hand, form)), ..Forms::default() };
            let page = customer_page(app, staff, &Notice::default(), id, &Place::default(), forms).await?;
            Ok((status, frames::render(&page)).into_response())
        }
    }
}

/// Does it, and says what was done.
async fn moved(app: &App, staff: &Staff, id: OrganisationId, hand: Hand, typed: &TypedMovement) -> Result<String> {
    let TypedMovement { amount, reason, order, .. } = typed;
    let actor = &staff.actor;
    if hand == Hand::Debit {
        let below_zero = typed.below_zero.is_some();
        let (amount, reason, order) = (amount.clone(), reason.clone(), Some(order.clone()));
        let debited = charging::take_credit(app, id, &NewDebit { amount, reason, below_zero, order }, actor).await?;
        let amount = format::money(&decimal(debited.amount), &app.settings.currency);
        return Ok(match (debited.repeated, debited.below_zero) {
            (true, _) => format!("{amount} had been taken already: the form was sent twice."),
            (false, true) => format!("{amount} taken: more than there was."),
            (false, false) => format!("{amount} taken."),
        });
    }
    let new = NewCredit { amount: amount.clone(), reason: reason.clone(), order: Some(order.clone()) };
    let (credited, done) = match hand {
        Hand::Refund => (charging::refund_charges(app, id, &new, actor).await?, "given back"),
        Hand::WriteOff => (charging::write_off(app, id, &new, actor).await?, "written off"),
        Hand::Credit | Hand::Debit => (charging::add_credit(app, id, &new, actor).await?, "added"),
    };
    Ok(credited_words(app, credited, done))
}

fn credited_words(app: &App, credited: Credited, done: &str) -> String {
    let amount = format::money(&decimal(credited.amount), &app.settings.currency);
    match (credited.repeated, u64::try_from(credited.started).unwrap_or(u64::MAX)) {
        (true, _) => format!("{amount} had been {done} already: the form was sent twice."),
        (false, 0) => format!("{amount} {done}."),
        (false, started) => format!("{amount} {done}; {} being started.", format::count(&started, "VM is", "VMs are")),
    }
}

/// Several forms stand on one page; their fields there have names of their own.
pub(in crate::web::pages) fn prefixed(prefix: &str, error: Error) -> Error {
    match error {
        Error::Invalid(problems) => Error::Invalid(
            problems.into_iter().map(|at| Problem::new(format!("{prefix}{}", at.field), at.problem)).collect(),
        ),
        other => other,
    }
}
