//! Wallets that could not be charged, and shutdowns that wait for a person: what an operator does about them.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Result, is_plain_line};
use crate::ids::{JobId, OrganisationId, VmId};
use crate::{ledger, live};

/// The longest reason of a decision, in characters.
const REASON_CHARACTERS_MAX: usize = 200;
/// The longest error kept on a wallet, in characters.
const ERROR_CHARACTERS_MAX: usize = 2_000;
/// How many shutdowns that wait are told of.
const STUCK_MAX: i64 = 100;

/// An error as it is kept on a wallet.
pub(super) fn words(error: &Error) -> String {
    let text = match error {
        Error::Internal(cause) => format!("{cause:#}"),
        other => other.to_string(),
    };
    text.chars().take(ERROR_CHARACTERS_MAX).collect()
}

/// Checks the reason that somebody typed for a decision.
pub(super) fn reason(why: &str, is_required: bool) -> Result<String> {
    let why = why.trim();
    if is_required && why.is_empty() {
        return Err(Error::invalid("reason", "Say why: it is kept with the decision."));
    }
    if why.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Error::invalid("reason", format!("At most {REASON_CHARACTERS_MAX} characters.")));
    }
    if !is_plain_line(why) {
        return Err(Error::invalid("reason", NOT_A_PLAIN_LINE));
    }
    Ok(why.to_owned())
}

/// Lets a wallet that could not be charged be tried again at once.
///
/// # Errors
/// `NotFound` without such an organisation, `Conflict` when its wallet was charged meanwhile.
pub async fn try_again(app: &App, organisation: OrganisationId, actor: &Actor) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    if !db::unpark(&mut transaction, organisation, now).await? {
        return Err(Error::conflict("This wallet is charged again already."));
    }
    let subject = Subject::new("wallet", organisation, "Wallet");
    audit::record(&mut transaction, now, actor, Some(organisation), Event::ChargingRetried, subject, json!({})).await?;
    live::wake_billing(&mut transaction).await?;
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    Ok(())
}

/// A machine that runs on though its owner's credit has ended: its shutdown waits behind a job that waits for a person.
#[derive(Debug, Clone)]
pub struct StuckShutdown {
    /// The machine.
    pub vm: VmId,
    /// Its name.
    pub vm_name: String,
    /// The organisation's name.
    pub organisation_name: String,
    /// The job that is in the way.
    pub job: JobId,
    /// Since when the credit has ended: what runs since then is not charged.
    pub since: DateTime<Utc>,
}

/// Shutdowns for lack of credit that wait behind a parked job of the same machine, longest waiting first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn stuck_shutdowns(app: &App) -> Result<Vec<StuckShutdown>> {
    db::select_stuck_shutdowns(&app.pool, STUCK_MAX).await
}
