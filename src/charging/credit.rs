//! Credit given by an admin.

use anyhow::Context;
use billing::{Money, Posting};
use serde::Deserialize;
use serde_json::json;

use super::{by_hand, resume};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::ledger::{self, Cause};

/// What an admin types to add credit.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct NewCredit {
    /// How much, as a decimal.
    #[schema(value_type = Money)]
    pub amount: String,
    /// Why; the customer reads it.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
    /// Makes a double submit one credit.
    #[serde(default)]
    #[schema(max_length = 200)]
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
    let movement = by_hand::checked(&new.amount, &new.reason, new.order.as_deref())?;
    let (amount, reason, now) = (movement.amount, movement.reason, app.clock.now());
    let source = format!("credit:{organisation}:{}", movement.order);
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let posting = Posting::manual_credit(organisation, amount).context("the credit cannot be posted")?;
    let cause = Cause { source: &source, at: now, memo: reason, created_by: actor.user() };
    if !ledger::post(&mut transaction, &posting, &cause).await? {
        // The same form was sent twice; the first one did it.
        by_hand::repeated(ledger::amount_of(&mut transaction, &source).await?, amount)?;
        return Ok(Credited { amount, started: 0, repeated: true });
    }
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "amount": amount, "reason": reason });
    audit::record(&mut transaction, now, actor, Some(organisation), Event::CreditAdded, subject, detail).await?;
    let started = resume::receive(app, &mut transaction, organisation, now).await?;
    transaction.commit().await?;
    Ok(Credited { amount, started, repeated: false })
}
