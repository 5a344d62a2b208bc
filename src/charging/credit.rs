//! Credit given by an admin: as a gift, for charges that are given back, for a debt that is given up.

use anyhow::Context;
use billing::{Money, Posting, PostingError};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;

use super::{by_hand, resume};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::OrganisationId;
use crate::ledger::{self, Cause, Wallet};

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

/// What credit is given for. Each has an account of its own, so that the books tell gifts, refunds and lost debts apart.
struct Giving {
    /// What the sources of its transfers begin with.
    source: &'static str,
    posting: fn(OrganisationId, Money) -> Result<Posting<OrganisationId>, PostingError>,
    event: Event,
    /// How much there can be at most.
    most: Most,
}

/// How much of it there can be.
enum Most {
    /// As much as somebody likes.
    Any,
    /// What was charged and not refunded.
    Charged,
    /// What the wallet owes.
    Owed,
}

const CREDIT: Giving =
    Giving { source: "credit", posting: Posting::manual_credit, event: Event::CreditAdded, most: Most::Any };
const REFUND_OF_CHARGES: Giving = Giving {
    source: "refund_of_charges",
    posting: Posting::refund_of_charges,
    event: Event::ChargesRefunded,
    most: Most::Charged,
};
const WRITE_OFF: Giving =
    Giving { source: "write_off", posting: Posting::write_off, event: Event::DebtWrittenOff, most: Most::Owed };

/// Adds credit to a wallet and resumes what it carries. The same order adds once.
///
/// # Errors
/// `Invalid` for an amount that is not above zero or a missing reason, `NotFound` without such an organisation.
pub async fn add_credit(app: &App, organisation: OrganisationId, new: &NewCredit, actor: &Actor) -> Result<Credited> {
    give(app, organisation, &CREDIT, new, actor).await
}

/// Gives back to a wallet what it was charged, as after an outage of ours, and resumes what that carries. Charges and invoices
/// stay as they are: the refund stands beside them. The same order gives back once.
///
/// # Errors
/// As for [`add_credit`]; `Invalid` also for more than was charged and not given back.
pub async fn refund_charges(
    app: &App,
    organisation: OrganisationId,
    new: &NewCredit,
    actor: &Actor,
) -> Result<Credited> {
    give(app, organisation, &REFUND_OF_CHARGES, new, actor).await
}

/// Gives up what a wallet below zero owes, or a part of it. The same order does so once.
///
/// # Errors
/// As for [`add_credit`]; `Invalid` also for more than the wallet owes.
pub async fn write_off(app: &App, organisation: OrganisationId, new: &NewCredit, actor: &Actor) -> Result<Credited> {
    give(app, organisation, &WRITE_OFF, new, actor).await
}

async fn give(
    app: &App,
    organisation: OrganisationId,
    giving: &Giving,
    new: &NewCredit,
    actor: &Actor,
) -> Result<Credited> {
    let movement = by_hand::checked(&new.amount, &new.reason, new.order.as_deref())?;
    let (amount, reason, now) = (movement.amount, movement.reason, app.clock.now());
    let source = format!("{}:{organisation}:{}", giving.source, movement.order);
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    if let Some(before) = ledger::amount_of(&mut transaction, &source).await? {
        // The same form was sent twice; the first one did it.
        by_hand::repeated(Some(before), amount)?;
        return Ok(Credited { amount, started: 0, repeated: true });
    }
    check_most(&mut transaction, &giving.most, &wallet, amount).await?;
    let posting = (giving.posting)(organisation, amount).context("the credit cannot be posted")?;
    let cause = Cause { source: &source, at: now, memo: reason, created_by: actor.user() };
    ledger::post(&mut transaction, &posting, &cause).await?;
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "amount": amount, "reason": reason });
    audit::record(&mut transaction, now, actor, Some(organisation), giving.event, subject, detail).await?;
    let started = resume::receive(app, &mut transaction, organisation, now).await?;
    transaction.commit().await?;
    Ok(Credited { amount, started, repeated: false })
}

async fn check_most(connection: &mut PgConnection, most: &Most, wallet: &Wallet, amount: Money) -> Result<()> {
    let (most, nothing, words) = match most {
        Most::Any => return Ok(()),
        Most::Charged => {
            let charged = ledger::charged_and_not_refunded(connection, wallet.account).await?;
            (charged, "Nothing was charged that was not given back.", "was charged and not given back")
        }
        Most::Owed => (-wallet.balance, "This wallet owes nothing.", "is owed"),
    };
    if !most.is_positive() {
        return Err(Error::invalid("amount", nothing));
    }
    if amount > most {
        return Err(Error::invalid("amount", format!("At most {} {words}.", most.to_decimal().normalize())));
    }
    Ok(())
}
