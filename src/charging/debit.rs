//! Credit taken by an admin. What has been used up since the last charge is not there to be taken: the next pass charges it.

use anyhow::Context;
use billing::{Money, Posting};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::by_hand;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::OrganisationId;
use crate::ledger::{self, Cause};
use crate::{live, runway};

/// What an admin types to take credit.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct NewDebit {
    /// How much, as a decimal.
    #[schema(value_type = Money)]
    pub amount: String,
    /// Why; the customer reads it.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
    /// Whether more may be taken than there is.
    #[serde(default)]
    pub below_zero: bool,
    /// Makes a double submit one debit.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub order: Option<String>,
}

/// What a debit did.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Debited {
    /// How much was taken.
    pub amount: Money,
    /// The balance is below zero now.
    pub below_zero: bool,
    /// The same order was sent before: it was that one that did it.
    pub repeated: bool,
}

/// Takes credit from a wallet. The same order takes once. When nothing is left for what runs, the wallet is due at once and
/// runs out like any other.
///
/// # Errors
/// `Invalid` for an amount that is not above zero or more than there is, or a missing reason; `NotFound` without such an
/// organisation.
pub async fn take_credit(app: &App, organisation: OrganisationId, new: &NewDebit, actor: &Actor) -> Result<Debited> {
    let movement = by_hand::checked(&new.amount, &new.reason, new.order.as_deref())?;
    let (amount, reason, now) = (movement.amount, movement.reason, app.clock.now());
    let source = format!("debit:{organisation}:{}", movement.order);
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    if let Some(before) = ledger::amount_of(&mut transaction, &source).await? {
        by_hand::repeated(Some(before), amount)?;
        return Ok(Debited { amount, below_zero: wallet.balance.is_negative(), repeated: true });
    }
    let left = runway::left(app, &mut transaction, &wallet, now).await?;
    if amount > left && !new.below_zero {
        return Err(Error::invalid("amount", too_much(left)));
    }
    let posting = Posting::manual_debit(organisation, amount).context("the debit cannot be posted")?;
    let cause = Cause { source: &source, at: now, memo: reason, created_by: actor.user() };
    ledger::post(&mut transaction, &posting, &cause).await?;
    let below_zero = amount > left;
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "amount": amount, "reason": reason, "below_zero": below_zero });
    audit::record(&mut transaction, now, actor, Some(organisation), Event::CreditTaken, subject, detail).await?;
    runway::recompute(app, &mut transaction, organisation, now).await?;
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    Ok(Debited { amount, below_zero, repeated: false })
}

fn too_much(left: Money) -> String {
    if left.is_positive() {
        format!(
            "At most {} is left, with what has been used up since the last charge taken off.",
            left.to_decimal().normalize()
        )
    } else {
        "Nothing is left to take.".into()
    }
}
