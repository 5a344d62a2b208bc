//! Credit given by an admin.

use anyhow::Context;
use billing::{Money, Posting};
use serde::Deserialize;
use serde_json::json;

use super::resume;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::OrganisationId;
use crate::ledger::{self, Cause};
use crate::live;

/// The longest reason, in characters.
const REASON_CHARACTERS_MAX: usize = 200;
/// The longest key that makes a double submit one credit, in bytes.
const ORDER_BYTES_MAX: usize = 200;
/// The most one credit may be: a slip of the finger should not be a fortune.
const CREDIT_MAX: Money = Money::from_micros(1_000_000_000_000);

/// What an admin types to add credit.
#[derive(Debug, Clone, Deserialize)]
pub struct NewCredit {
    /// How much, as a decimal.
    pub amount: String,
    /// Why; the customer reads it.
    pub reason: String,
    /// Makes a double submit one credit.
    #[serde(default)]
    pub order: Option<String>,
}

/// What a credit did.
#[derive(Debug, Clone, Copy)]
pub struct Credited {
    /// How much was added.
    pub amount: Money,
    /// How many machines are being started again.
    pub started: usize,
    /// The same order was sent before: it was that one that did it.
    pub repeated: bool,
}

/// Adds credit to a wallet and resumes what it carries. The same order adds once.
///
/// # Errors
/// `Invalid` for an amount that is not above zero or a missing reason, `NotFound` without such an organisation.
pub async fn add_credit(app: &App, organisation: OrganisationId, new: &NewCredit, actor: &Actor) -> Result<Credited> {
    let mut problems = Vec::new();
    let amount = match new.amount.trim().parse::<Money>() {
        Ok(amount) if !amount.is_positive() => Err("More than zero."),
        Ok(amount) if amount > CREDIT_MAX => Err("At most 1,000,000 at once."),
        Ok(amount) => Ok(amount),
        Err(_) => Err("An amount such as 25 or 12.50, with at most six decimals."),
    };
    if let Err(problem) = amount {
        problems.push(Problem::new("amount", problem));
    }
    let reason = new.reason.trim();
    if reason.is_empty() {
        problems.push(Problem::new("reason", "Say why: the customer reads it beside the credit."));
    } else if reason.chars().count() > REASON_CHARACTERS_MAX {
        problems.push(Problem::new("reason", format!("At most {REASON_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(reason) {
        problems.push(Problem::new("reason", NOT_A_PLAIN_LINE));
    }
    let order = new.order.as_deref().map(str::trim).filter(|order| !order.is_empty());
    if order.is_some_and(|order| order.len() > ORDER_BYTES_MAX || !is_plain_line(order)) {
        problems.push(Problem::new("order", format!("At most {ORDER_BYTES_MAX} characters on one line.")));
    }
    let (Ok(amount), true) = (amount, problems.is_empty()) else { return Err(Error::Invalid(problems)) };

    let now = app.clock.now();
    let order = order.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
    let source = format!("credit:{organisation}:{order}");
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let posting = Posting::manual_credit(organisation, amount).context("the credit cannot be posted")?;
    let cause = Cause { source: &source, at: now, memo: reason, created_by: actor.user };
    if !ledger::post(&mut transaction, &posting, &cause).await? {
        // The same form was sent twice; the first one did it. Another amount is another order.
        if ledger::amount_of(&mut transaction, &source).await? != Some(amount) {
            return Err(Error::conflict(
                "This order was sent before with another amount. Reload the page and try again.",
            ));
        }
        return Ok(Credited { amount, started: 0, repeated: true });
    }
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "amount": amount, "reason": reason });
    audit::record(&mut transaction, now, actor, Some(organisation), Event::CreditAdded, subject, detail).await?;
    let started = resume::credited(app, &mut transaction, organisation, now).await?;
    live::announce(&mut transaction, Some(organisation), "wallet").await?;
    transaction.commit().await?;
    Ok(Credited { amount, started, repeated: false })
}
