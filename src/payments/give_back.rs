//! A payment goes back, whole or in part: refunded by us, or charged back by the customer's bank.

use anyhow::Context;
use billing::{Money, Posting};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::{Payment, RETURNS_MAX, db, find, record, tell, way};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::charging::by_hand;
use crate::error::{Error, Result};
use crate::ids::{PaymentId, PaymentReturnId};
use crate::ledger::{self, Cause, Wallet};
use crate::{live, runway};

/// By whom a return was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReturnKind {
    /// We gave it back. No more than what the wallet has.
    Refund,
    /// The provider took it back, because the customer said so to his bank. The wallet may fall below zero.
    Chargeback,
}

impl ReturnKind {
    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Refund, Self::Chargeback].into_iter().find(|kind| kind.name() == text)
    }

    const fn event(self) -> Event {
        match self {
            Self::Refund => Event::PaymentRefunded,
            Self::Chargeback => Event::PaymentChargedBack,
        }
    }

    fn memo(self, payment: &Payment, reason: &str) -> String {
        let what = match self {
            Self::Refund => "Refund of the payment",
            Self::Chargeback => "Charge-back of the payment",
        };
        format!("{what} by {}, {}: {reason}", way(payment.provider), payment.reference)
    }
}

/// What an admin says of a payment that goes back.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[schema(as = NewPaymentReturn)]
pub struct NewReturn {
    /// How much of it, as a decimal with no more places than the currency has.
    #[schema(value_type = Money)]
    pub amount: String,
    /// Why; the customer reads it.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
    /// Makes a double submit one return.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub order: Option<String>,
}

/// What a return did.
#[derive(Debug, Clone, Copy)]
pub struct Returned {
    /// How much went back.
    pub amount: Money,
    /// The balance is below zero now.
    pub below_zero: bool,
    /// The same order was sent before: it was that one that did it.
    pub repeated: bool,
}

/// Takes a payment, or a part of it, out of its wallet and back to who paid it. This moves the books; the money itself is sent
/// by the bank or the provider. The same order returns once. When nothing is left for what runs, the wallet is due at once and
/// runs out like any other.
///
/// # Errors
/// `Invalid` for an amount that is not above zero, more than is left of the payment or, of a refund, more than the wallet has, or a
/// missing reason; `NotFound` without such a payment; `Conflict` when it went back in too many parts.
pub async fn give_back(app: &App, id: PaymentId, kind: ReturnKind, new: &NewReturn, actor: &Actor) -> Result<Returned> {
    let movement = by_hand::checked(&new.amount, &new.reason, new.order.as_deref())?;
    let amount = record::paid_amount(app, &new.amount).await?.map_err(|problem| Error::invalid("amount", problem))?;
    let (organisation, now) = (find(app, id).await?.organisation, app.clock.now());
    let mut transaction = app.pool.begin().await?;
    // Whoever returns a payment has locked its wallet, so what is left of it is read after all others.
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let payment = db::select_one(&mut *transaction, id).await?.ok_or(Error::NotFound("payment"))?;
    if let Some(before) = db::select_return_of_order(&mut transaction, id, kind, &movement.order).await? {
        by_hand::repeated(Some(before), amount)?;
        return Ok(Returned { amount, below_zero: wallet.balance.is_negative(), repeated: true });
    }
    if db::count_returns(&mut transaction, id).await? >= RETURNS_MAX {
        return Err(Error::conflict(format!("A payment goes back in at most {RETURNS_MAX} parts.")));
    }
    let below_zero = check_amount(app, &mut transaction, (&payment, &wallet), kind, amount, now).await?;
    let taken = PaymentReturnId::new();
    let row = db::NewReturn { id: taken, kind, amount, reason: movement.reason, order: &movement.order };
    db::insert_return(&mut transaction, id, &row, actor.user(), now).await?;
    let post = match kind {
        ReturnKind::Refund => Posting::refund,
        ReturnKind::Chargeback => Posting::chargeback,
    };
    let posting = post(organisation, payment.provider, amount, &[]).context("the return cannot be posted")?;
    let (source, memo) = (format!("{}:{taken}", kind.name()), kind.memo(&payment, movement.reason));
    let cause = Cause { source: &source, at: now, memo: &memo, created_by: actor.user() };
    ledger::post(&mut transaction, &posting, &cause).await?;
    let detail = json!({ "amount": amount, "reason": movement.reason, "below_zero": below_zero });
    audit::record(&mut transaction, now, actor, Some(organisation), kind.event(), payment.subject(), detail).await?;
    tell::returned(app, &mut transaction, &payment, &row, now).await?;
    runway::recompute(app, &mut transaction, organisation, now).await?;
    live::announce(&mut transaction, Some(organisation), "wallet").await?;
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    Ok(Returned { amount, below_zero, repeated: false })
}

/// Whether the wallet goes below zero by it.
async fn check_amount(
    app: &App,
    connection: &mut PgConnection,
    (payment, wallet): (&Payment, &Wallet),
    kind: ReturnKind,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<bool> {
    let plain = |amount: Money| amount.to_decimal().normalize();
    if amount > payment.left() {
        let sentence = match payment.left() {
            left if left.is_zero() => "All of it went back already.".to_owned(),
            left => format!("At most {} of it has not gone back.", plain(left)),
        };
        return Err(Error::invalid("amount", sentence));
    }
    let left = runway::left(app, connection, wallet, now).await?;
    if kind == ReturnKind::Refund && amount > left {
        let sentence = if left.is_positive() {
            format!("The wallet has {} left, with what was used since the last charge taken off.", plain(left))
        } else {
            "The wallet has nothing left to give back.".to_owned()
        };
        return Err(Error::invalid("amount", sentence));
    }
    Ok(amount > left)
}
