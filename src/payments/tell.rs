//! The mails that say that a payment has arrived or went back, written in the transaction that records it. They go to the members
//! who may see what the organisation pays.

use billing::Money;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Payment, ReturnKind, db, way};
use crate::app::App;
use crate::error::Result;
use crate::notifications::{Letter, write_to_members};
use crate::permissions::Permission;

/// Where the portal shows what moved.
const LINK: &str = "/wallet";

/// A payment has arrived.
pub(super) async fn received(app: &App, connection: &mut PgConnection, payment: &Payment) -> Result<()> {
    let amount = amount(app, payment.amount);
    let letter = Letter {
        key: &format!("payment:{}", payment.id),
        kind: "payment",
        subject: format!("Your payment of {amount} has arrived"),
        body: format!(
            "Your payment of {amount} by {} has arrived and is in your wallet.\n\nIt has the reference {}.",
            way(payment.provider),
            payment.reference,
        ),
        link: Some(LINK),
        readers: Some(Permission::BillingView),
    };
    write_to_members(app, connection, payment.organisation, &letter, payment.created_at).await
}

/// A payment, or a part of it, goes back.
pub(super) async fn returned(
    app: &App,
    connection: &mut PgConnection,
    payment: &Payment,
    back: &db::NewReturn<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    let (back_amount, whole) = (amount(app, back.amount), amount(app, payment.amount));
    let by = way(payment.provider);
    let (subject, first) = match back.kind {
        ReturnKind::Refund => (
            format!("We refund {back_amount}"),
            format!("{back_amount} of your payment of {whole} is on its way back to you by {by}."),
        ),
        ReturnKind::Chargeback => (
            format!("{back_amount} was charged back"),
            format!("{back_amount} of your payment of {whole} by {by} was charged back by your bank."),
        ),
    };
    let letter = Letter {
        key: &format!("payment_return:{}", back.id),
        kind: "payment",
        subject,
        body: format!(
            "{first} It is no longer in your wallet.\n\nThe payment has the reference {}. The reason: {}",
            payment.reference, back.reason,
        ),
        link: Some(LINK),
        readers: Some(Permission::BillingView),
    };
    write_to_members(app, connection, payment.organisation, &letter, now).await
}

fn amount(app: &App, amount: Money) -> String {
    let amount = amount.to_decimal().normalize();
    // Whole amounts stand alone, others with their cents: 12.50.
    let places = if amount.scale() == 0 { 0 } else { usize::try_from(amount.scale()).unwrap_or(0).max(2) };
    format!("{amount:.places$} {}", app.settings.currency)
}
