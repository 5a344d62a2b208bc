//! What customers have paid, by the name that the bank or the provider has for it, and what of it went back. Each payment is
//! recorded once, adds its amount to a wallet and resumes what that carries, as any credit does.

mod db;
mod give_back;
mod proof;
mod record;
mod tell;

use billing::{Money, Provider};
use chrono::{DateTime, Utc};
use serde::Serialize;

pub use give_back::{NewReturn, ReturnKind, Returned, give_back};
pub use proof::first_difference;
pub use record::{NewPayment, REFERENCE_CHARACTERS_MAX, Recorded, record};

use crate::app::App;
use crate::audit::Subject;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, PaymentId, PaymentReturnId};

/// The most payments one page shows.
pub const PAGE_MAX: i64 = 100;
/// The most returns of one payment that are shown, and that there can be.
pub const RETURNS_MAX: i64 = 100;

/// A payment, as operators see it.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Whose wallet it was for.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub organisation_name: String,
    /// By which way it came.
    pub provider: Provider,
    /// What the provider calls it.
    pub reference: String,
    /// How much was paid.
    pub amount: Money,
    /// How much of it went back.
    pub returned: Money,
    /// Who recorded it.
    pub created_by: Option<String>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}

impl Payment {
    /// What has not gone back.
    #[must_use]
    pub fn left(&self) -> Money {
        self.amount - self.returned
    }

    /// It as the subject of an audit event.
    fn subject(&self) -> Subject {
        Subject::new("payment", self.id, &self.reference)
    }
}

/// The way of a payment in a sentence: `by bank transfer`.
#[must_use]
pub const fn way(provider: Provider) -> &'static str {
    match provider {
        Provider::Bank => "bank transfer",
        Provider::Stripe => "Stripe",
    }
}

/// A part of a payment that went back.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PaymentReturn {
    /// Its id.
    pub id: PaymentReturnId,
    /// By whom it was begun.
    pub kind: ReturnKind,
    /// How much.
    pub amount: Money,
    /// Why; the customer reads it.
    pub reason: String,
    /// Who recorded it.
    pub created_by: Option<String>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}

/// Which payments to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those of one organisation.
    pub organisation: Option<OrganisationId>,
    /// Only those whose reference contains this, whatever its case.
    pub reference: Option<String>,
    /// Only those before this one.
    pub after: Option<PaymentId>,
}

/// Payments, newest first, at most `limit` of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, filter: &Filter, limit: i64) -> Result<Vec<Payment>> {
    db::select(&app.pool, filter, limit.clamp(1, PAGE_MAX + 1)).await
}

/// One payment.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn find(app: &App, id: PaymentId) -> Result<Payment> {
    db::select_one(&app.pool, id).await?.ok_or(Error::NotFound("payment"))
}

/// What of a payment went back, latest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn returns(app: &App, id: PaymentId) -> Result<Vec<PaymentReturn>> {
    db::select_returns(&app.pool, id, RETURNS_MAX).await
}
