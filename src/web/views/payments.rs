//! Payments as the staff sees them: a list to look in, the form that records one, and one with what went back of it.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::form::FormErrors;
use super::frame::AdminFrame;
use super::markup;
use super::movement::MovementForm;
use crate::web::format;

/// A payment in a list.
#[derive(Clone, Debug)]
pub struct PaymentRow {
    /// Id in URLs.
    pub id: String,
    /// What the provider calls it.
    pub reference: String,
    /// Who paid: the id and the name of the organisation.
    pub organisation: (String, String),
    /// By which way it came.
    pub way: &'static str,
    /// How much was paid.
    pub amount: Decimal,
    /// How much of it went back.
    pub returned: Decimal,
    /// Who recorded it.
    pub created_by: String,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}

/// `GET /admin/payments`.
#[derive(Debug, Template)]
#[template(path = "payments/list.html")]
pub struct PaymentsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The part of references that was looked for, or empty.
    pub search: String,
    /// Whose payments these are, when they are those of one customer: the number or id that was asked for.
    pub customer: String,
    /// What is wrong with it.
    pub errors: FormErrors,
    /// Newest first.
    pub rows: Vec<PaymentRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// Back to the newest.
    pub newest_url: Option<String>,
}

/// What was typed to record a payment. Fields: `customer`, `provider`, `amount`, `reference`.
#[derive(Clone, Debug, Default)]
pub struct PaymentForm {
    /// The number or id of who paid.
    pub customer: String,
    /// By which way.
    pub provider: String,
    /// How much.
    pub amount: String,
    /// What the provider calls it.
    pub reference: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// `GET /admin/payments/new`, and `POST /admin/payments` when it was refused.
#[derive(Debug, Template)]
#[template(path = "payments/new.html")]
pub struct NewPaymentPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// What was typed.
    pub form: PaymentForm,
    /// The name of the customer who is meant, where it is known.
    pub organisation: Option<String>,
}

/// A part of a payment that went back.
#[derive(Clone, Debug)]
pub struct ReturnRow {
    /// `Refund` or `Charge-back`.
    pub word: &'static str,
    /// Why.
    pub reason: String,
    /// How much.
    pub amount: Decimal,
    /// Who recorded it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// `GET /admin/payments/{id}`, and `POST …/refunds` and `…/chargebacks` when they were refused.
#[derive(Debug, Template)]
#[template(path = "payments/show.html")]
pub struct PaymentPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The payment.
    pub payment: PaymentRow,
    /// What of it has not gone back.
    pub left: Decimal,
    /// What went back, latest first.
    pub returns: Vec<ReturnRow>,
    /// The form that refunds it.
    pub refund: MovementForm,
    /// The form that says that it was charged back.
    pub chargeback: MovementForm,
}
