//! Payments for operators: a list to look in, recording one that has arrived, and what goes back of one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::customers::prefixed;
use super::exceptions::count;
use super::frames::{self, Notice, cut, decimal, form_errors, redirect_with, render, render_with};
use super::invoices::customer_asked;
use crate::app::App;
use crate::error::{Error, Problem, Result};
use crate::ids::PaymentId;
use crate::organisations;
use crate::payments::{self, Filter, NewPayment, NewReturn, PAGE_MAX, Payment, PaymentReturn, Recorded, ReturnKind};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::movement::MovementForm;
use crate::web::views::payments::{NewPaymentPage, PaymentForm, PaymentPage, PaymentRow, PaymentsPage, ReturnRow};

const UNKNOWN_CUSTOMER: &str = "No customer has this number or id.";

/// Which payments are looked for.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    search: String,
    #[serde(default)]
    customer: String,
    after: Option<PaymentId>,
}

/// `GET /admin/payments?search=&customer=&after=`
pub async fn list(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let (search, customer) = (wanted.search.trim(), wanted.customer.trim());
    let organisation = customer_asked(&app, customer).await?;
    let mut errors = FormErrors::none();
    let mut found = if !customer.is_empty() && organisation.is_none() {
        errors.add("customer", UNKNOWN_CUSTOMER);
        Vec::new()
    } else {
        let reference = Some(search.to_owned()).filter(|search| !search.is_empty());
        payments::list(&app, &Filter { organisation, reference, after: wanted.after }, PAGE_MAX + 1).await?
    };
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let url = format!("/admin/payments?search={}&customer={}", encoded(search), encoded(customer));
    let page = PaymentsPage {
        frame: frames::admin(&app, &staff, "Payments", AdminSection::Payments, count(&app).await?, &notice),
        search: search.to_owned(),
        customer: customer.to_owned(),
        errors,
        older_url: cut(&mut found, PAGE_MAX).map(|last| format!("{url}&after={}", last.id)),
        newest_url: wanted.after.map(|_| url),
        rows: found.into_iter().map(payment_row).collect(),
    };
    Ok(render_with(&app, &notice, &page))
}

fn payment_row(payment: Payment) -> PaymentRow {
    PaymentRow {
        id: payment.id.to_string(),
        reference: payment.reference,
        organisation: (payment.organisation.to_string(), payment.organisation_name),
        way: payments::way(payment.provider),
        amount: decimal(payment.amount),
        returned: decimal(payment.returned),
        created_by: payment.created_by.unwrap_or_else(|| "Uni-Manager".to_owned()),
        created_at: payment.created_at,
    }
}

/// Who has paid, where that is known.
#[derive(Debug, Deserialize)]
pub struct Of {
    #[serde(default)]
    customer: String,
}

/// `GET /admin/payments/new?customer=`
pub async fn new(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(of): Query<Of>,
) -> Result<Response, PageError> {
    let form = PaymentForm { customer: of.customer.trim().to_owned(), ..PaymentForm::default() };
    Ok(render_with(&app, &notice, &new_page(&app, &staff, &notice, form).await?))
}

async fn new_page(app: &App, staff: &Staff, notice: &Notice, form: PaymentForm) -> Result<NewPaymentPage> {
    let title = "Record a payment";
    let known = customer_asked(app, form.customer.trim()).await?;
    let organisation = match known {
        Some(id) => Some(organisations::line(app, id).await?.name),
        None => None,
    };
    let frame = frames::admin(app, staff, title, AdminSection::Payments, count(app).await?, notice);
    Ok(NewPaymentPage { frame, form, organisation })
}

/// What was typed of a payment.
#[derive(Debug, Deserialize)]
pub struct Typed {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    reference: String,
}

/// `POST /admin/payments`
pub async fn record(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    match recorded(&app, &staff, &typed).await {
        Ok(recorded) => {
            let to = format!("/admin/payments/{}", recorded.payment.id);
            let kind = if recorded.repeated { FlashKind::Info } else { FlashKind::Success };
            Ok(redirect_with(&app, &to, kind, recorded_words(&app, &recorded)))
        }
        Err(error) => {
            let status = status(&error);
            let Typed { customer, provider, amount, reference } = typed;
            let form = PaymentForm { customer, provider, amount, reference, errors: form_errors(error)? };
            let page = new_page(&app, &staff, &Notice::default(), form).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

async fn recorded(app: &App, staff: &Staff, typed: &Typed) -> Result<Recorded> {
    let unknown = || Error::Invalid(vec![Problem::new("customer", UNKNOWN_CUSTOMER)]);
    let organisation = customer_asked(app, typed.customer.trim()).await?.ok_or_else(unknown)?;
    let new = NewPayment {
        organisation,
        provider: typed.provider.clone(),
        amount: typed.amount.clone(),
        reference: typed.reference.clone(),
    };
    payments::record(app, &new, &staff.actor).await
}

fn recorded_words(app: &App, recorded: &Recorded) -> String {
    let amount = format::money(&decimal(recorded.payment.amount), &app.settings.currency);
    let whose = &recorded.payment.organisation_name;
    match (recorded.repeated, u64::try_from(recorded.started).unwrap_or(u64::MAX)) {
        (true, _) => {
            let at = format::time(&recorded.payment.created_at);
            format!("This payment was recorded already: {amount} were added to the wallet of {whose} on {at} UTC.")
        }
        (false, 0) => format!("{amount} added to the wallet of {whose}."),
        (false, started) => {
            let vms = format::count(&started, "VM is", "VMs are");
            format!("{amount} added to the wallet of {whose}; {vms} being started.")
        }
    }
}

/// `GET /admin/payments/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<PaymentId>,
) -> Result<Response, PageError> {
    let page = payment_page(&app, &staff, &notice, id, None).await?;
    Ok(render_with(&app, &notice, &page))
}

/// The page, with a form as it was typed when it was refused.
async fn payment_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    id: PaymentId,
    refused: Option<(ReturnKind, MovementForm)>,
) -> Result<PaymentPage> {
    let payment = payments::find(app, id).await?;
    let returns = payments::returns(app, id).await?;
    let form = |kind: ReturnKind| match &refused {
        Some((refused, form)) if *refused == kind => form.clone(),
        _ => {
            let amount = payment.left().to_decimal().normalize().to_string();
            MovementForm { amount, ..return_form(kind, id) }
        }
    };
    let title = format!("Payment {}", payment.reference);
    Ok(PaymentPage {
        frame: frames::admin(app, staff, title, AdminSection::Payments, count(app).await?, notice),
        left: decimal(payment.left()),
        returns: returns.into_iter().map(return_row).collect(),
        refund: form(ReturnKind::Refund),
        chargeback: form(ReturnKind::Chargeback),
        payment: payment_row(payment),
    })
}

fn return_row(back: PaymentReturn) -> ReturnRow {
    ReturnRow {
        word: match back.kind {
            ReturnKind::Refund => "Refund",
            ReturnKind::Chargeback => "Charge-back",
        },
        reason: back.reason,
        amount: decimal(back.amount),
        by: back.created_by.unwrap_or_else(|| "Uni-Manager".to_owned()),
        at: back.created_at,
    }
}

fn return_form(kind: ReturnKind, id: PaymentId) -> MovementForm {
    let (path, prefix, button, hint) = match kind {
        ReturnKind::Refund => (
            "refunds",
            "refund_",
            "Refund",
            "Taken out of the wallet, at most what is there. Send the money by your bank or Stripe: this moves the books.",
        ),
        ReturnKind::Chargeback => (
            "chargebacks",
            "chargeback_",
            "Record the charge-back",
            "The customer’s bank has taken it back. The wallet may go below zero; what runs is shut down then.",
        ),
    };
    MovementForm {
        action: format!("/admin/payments/{id}/{path}"),
        prefix,
        button,
        hint,
        order: uuid::Uuid::now_v7().to_string(),
        ..MovementForm::default()
    }
}

/// What was typed of a payment that goes back.
#[derive(Debug, Deserialize)]
pub struct TypedReturn {
    #[serde(default)]
    amount: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    order: String,
}

/// `POST /admin/payments/{id}/refunds`
pub async fn refund(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PaymentId>,
    CsrfForm(typed): CsrfForm<TypedReturn>,
) -> Result<Response, PageError> {
    give_back(&app, &staff, id, ReturnKind::Refund, typed).await
}

/// `POST /admin/payments/{id}/chargebacks`
pub async fn charge_back(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PaymentId>,
    CsrfForm(typed): CsrfForm<TypedReturn>,
) -> Result<Response, PageError> {
    give_back(&app, &staff, id, ReturnKind::Chargeback, typed).await
}

async fn give_back(
    app: &App,
    staff: &Staff,
    id: PaymentId,
    kind: ReturnKind,
    typed: TypedReturn,
) -> Result<Response, PageError> {
    let TypedReturn { amount, reason, order } = typed;
    let new = NewReturn { amount, reason, order: Some(order) };
    match payments::give_back(app, id, kind, &new, &staff.actor).await {
        Ok(returned) => {
            let amount = format::money(&decimal(returned.amount), &app.settings.currency);
            let done = match kind {
                ReturnKind::Refund => "refunded",
                ReturnKind::Chargeback => "recorded as charged back",
            };
            let sentence = match (returned.repeated, returned.below_zero) {
                (true, _) => format!("{amount} had been {done} already: the form was sent twice."),
                (false, true) => format!("{amount} {done}: more than the wallet had."),
                (false, false) => format!("{amount} {done}."),
            };
            Ok(redirect_with(app, &format!("/admin/payments/{id}"), FlashKind::Success, sentence))
        }
        Err(error) => {
            let status: StatusCode = status(&error);
            let form = return_form(kind, id);
            let form = MovementForm {
                errors: form_errors(prefixed(form.prefix, error))?,
                amount: new.amount,
                reason: new.reason,
                order: new.order.unwrap_or_default(),
                ..form
            };
            let page = payment_page(app, staff, &Notice::default(), id, Some((kind, form))).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}
