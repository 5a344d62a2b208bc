//! A payment that has arrived is recorded, added to its wallet, and what it carries is resumed.

use anyhow::Context;
use billing::{Money, Posting, Provider};
use serde::Deserialize;
use serde_json::json;

use super::{Payment, db, tell, way};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::charging;
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{OrganisationId, PaymentId};
use crate::ledger::{self, Cause};
use crate::{invoices, organisations};

/// The longest reference, in characters.
pub const REFERENCE_CHARACTERS_MAX: usize = 100;

/// What an admin says of a payment that has arrived.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct NewPayment {
    /// Whose wallet it is for.
    pub organisation: OrganisationId,
    /// By which way it came.
    #[schema(pattern = "^(bank|stripe)$", example = "bank")]
    pub provider: String,
    /// How much, as a decimal with no more places than the currency has.
    #[schema(value_type = Money)]
    pub amount: String,
    /// What the bank or the provider calls it. A payment of this name is recorded once.
    #[schema(min_length = 1, max_length = 100, example = "RF18 5390 0754 7034")]
    pub reference: String,
}

/// What recording a payment did.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The payment.
    pub payment: Payment,
    /// How many machines are being started again.
    pub started: usize,
    /// It was recorded before: it was then that its amount was added.
    pub repeated: bool,
}

/// Records a payment, adds it to its wallet and resumes what it carries. A provider's reference is recorded once, so that a
/// form sent twice, or a line of a statement entered by two people, adds once.
///
/// # Errors
/// `Invalid` for an unknown provider, an amount that is not above zero or has more places than the currency, a missing
/// reference, or one that was recorded with another amount or for another customer; `NotFound` without such an organisation.
pub async fn record(app: &App, new: &NewPayment, actor: &Actor) -> Result<Recorded> {
    let (provider, amount, reference) = checked(app, new).await?;
    let (organisation, now) = (new.organisation, app.clock.now());
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let payment = Payment {
        id: PaymentId::new(),
        organisation,
        organisation_name: organisations::name_of(&mut transaction, organisation).await?,
        provider,
        reference: reference.to_owned(),
        amount,
        returned: Money::ZERO,
        created_by: None,
        created_at: now,
    };
    if !db::insert(&mut transaction, &payment, actor.user()).await? {
        let before = db::select_by_reference(&mut transaction, provider, reference).await?;
        return repeated(before.context("a payment that was there is gone")?, &payment);
    }
    let memo = format!("Payment by {}, {reference}", way(provider));
    let posting = Posting::payment(organisation, provider, amount, &[]).context("the payment cannot be posted")?;
    let source = format!("payment:{}", payment.id);
    let cause = Cause { source: &source, at: now, memo: &memo, created_by: actor.user() };
    ledger::post(&mut transaction, &posting, &cause).await?;
    let detail = json!({ "amount": amount, "provider": provider.as_str(), "reference": reference });
    let event = Event::PaymentRecorded;
    audit::record(&mut transaction, now, actor, Some(organisation), event, payment.subject(), detail).await?;
    tell::received(app, &mut transaction, &payment).await?;
    let started = charging::receive(app, &mut transaction, organisation, now).await?;
    transaction.commit().await?;
    Ok(Recorded { payment, started, repeated: false })
}

/// The reference was recorded before. Only the same payment may be sent again.
fn repeated(before: Payment, new: &Payment) -> Result<Recorded> {
    if before.organisation == new.organisation && before.amount == new.amount {
        return Ok(Recorded { payment: before, started: 0, repeated: true });
    }
    let sentence = format!(
        "This payment was recorded on {} for {}, with an amount of {}.",
        before.created_at.format("%Y-%m-%d"),
        before.organisation_name,
        before.amount.to_decimal().normalize(),
    );
    Err(Error::invalid("reference", sentence))
}

async fn checked<'a>(app: &App, new: &'a NewPayment) -> Result<(Provider, Money, &'a str)> {
    let mut problems = Vec::new();
    let provider: Option<Provider> = new.provider.parse().ok();
    if provider.is_none() {
        problems.push(Problem::new("provider", "One of bank and stripe."));
    }
    let amount = paid_amount(app, &new.amount).await?;
    if let Err(problem) = &amount {
        problems.push(Problem::new("amount", problem.clone()));
    }
    let reference = new.reference.trim();
    if reference.is_empty() {
        problems.push(Problem::new("reference", "Needed: it keeps a payment from being recorded twice."));
    } else if reference.chars().count() > REFERENCE_CHARACTERS_MAX {
        problems.push(Problem::new("reference", format!("At most {REFERENCE_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(reference) {
        problems.push(Problem::new("reference", NOT_A_PLAIN_LINE));
    }
    match (provider, amount, problems.is_empty()) {
        (Some(provider), Ok(amount), true) => Ok((provider, amount, reference)),
        _ => Err(Error::Invalid(problems)),
    }
}

/// An amount that somebody can have paid: above zero, and in the places of the currency.
pub(super) async fn paid_amount(app: &App, text: &str) -> Result<Result<Money, String>> {
    let places = invoices::current_settings(app).await?.places()?;
    Ok(match charging::typed_amount(text) {
        Ok(amount) if places.round(amount) != amount => {
            Err(format!("{} has at most {} decimals.", app.settings.currency, places.get()))
        }
        Ok(amount) => Ok(amount),
        Err(problem) => Err(problem.to_owned()),
    })
}
