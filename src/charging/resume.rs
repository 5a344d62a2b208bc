//! Credit has arrived, from whatever source: metering begins again, and what was shut down for lack of credit starts again,
//! in its owner's order, as far as the credit carries a day of it with all that runs already.

use billing::Money;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::zero;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::{self, PowerState};
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::ledger::Wallet;
use crate::metering::Metered;
use crate::{ledger, live, metering, runway, vms};

/// What follows from any credit that has been posted, whatever its source: metering begins again, what the credit carries
/// is started, the outlook is computed and open pages are told. Answers how many machines are being started. The wallet is
/// locked in this transaction, and whose credit it was is in the audit log already.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn receive(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<usize> {
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    let mut ended = None;
    if wallet.exhausted_at.is_some() && has_recovered(app, &mut *connection, &wallet, now).await? {
        ended = zero::over(&mut *connection, organisation, now).await?;
        begin_again(app, &mut *connection, &wallet, now).await?;
    }
    runway::recompute(app, &mut *connection, organisation, now).await?;
    let counts = start_again(app, &mut *connection, organisation, now).await?;
    if let Some(ended) = ended {
        zero::tell_resumed(app, &mut *connection, organisation, &ended, counts, now).await?;
    }
    live::announce(connection, Some(organisation), "wallet").await?;
    Ok(counts.0)
}

/// Whether an empty wallet has credit again: more than it owes, with what its stopped machines cost since the last charge.
pub(super) async fn has_recovered(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    now: DateTime<Utc>,
) -> Result<bool> {
    let limit = ledger::credit_limit_of(&mut *connection, wallet.organisation).await?;
    let left = runway::read_standing(app, connection, wallet, now).await?.left();
    // That counts with the limit of the wallet, which a charged grace has raised.
    let left = Money::from_micros(left.micros() - wallet.credit_limit.micros() + limit.micros());
    Ok(left.is_positive())
}

/// The books begin again here: nothing was charged since the credit ended, except where the grace is.
async fn begin_again(app: &App, connection: &mut PgConnection, before: &Wallet, now: DateTime<Utc>) -> Result<()> {
    let organisation = before.organisation;
    if !before.metered {
        ledger::set_charged_through(&mut *connection, organisation, now).await?;
    }
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    for vm in vms::made(&mut *connection, organisation).await?.into_iter().filter(|vm| vm.seen) {
        // What is to be started again is off until it has started.
        let state = if vm.stopped_for_credit { PowerState::Stopped } else { vm.power_state };
        metering::open(app, &mut *connection, &wallet, Metered { vm: vm.id, plan: vm.plan, state }, now).await?;
    }
    Ok(())
}

/// Starts what was shut down for lack of credit, as far as the available credit carries a day of it with what runs already.
/// Answers how many machines start, and how many do not.
async fn start_again(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<(usize, usize)> {
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    let book = catalog::price_book_for(&mut *connection, organisation).await?;
    let mut candidates = Vec::new();
    for vm in vms::made(&mut *connection, organisation).await?.into_iter().filter(|vm| vm.stopped_for_credit) {
        let rate = |state| book.at(vm.plan, state, now).map(|price| price.rate).map_err(anyhow::Error::new);
        let (running, stopped) = (rate(PowerState::Running)?, rate(PowerState::Stopped)?);
        // What it costs stopped is part of what runs on.
        candidates.push((vm.id, running.checked_sub(stopped).unwrap_or(billing::Rate::ZERO)));
    }
    let spendable = runway::read_standing(app, &mut *connection, &wallet, now).await?.left();
    let spendable = Money::from_micros(spendable.micros() - wallet.held.micros());
    let resumed = billing::resumable(spendable, wallet.burn_per_hour, &candidates);
    if wallet.exhausted_at.is_some() || resumed.is_empty() {
        return Ok((0, candidates.len()));
    }
    for vm in &resumed {
        vms::start_after_credit(app, &mut *connection, organisation, *vm).await?;
    }
    let left_off = candidates.len() - resumed.len();
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "vms": resumed.len(), "left_off": left_off });
    audit::record(connection, now, &Actor::system(), Some(organisation), Event::CreditResumed, subject, detail).await?;
    Ok((resumed.len(), left_off))
}
