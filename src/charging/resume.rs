//! Credit has arrived, from whatever source: metering begins again, and what was shut down for lack of credit starts again,
//! in the order it was made, as far as the credit carries a day.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::{self, PowerState};
use crate::error::Result;
use crate::ids::OrganisationId;
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
    let started = resume(app, &mut *connection, organisation, now).await?;
    live::announce(connection, Some(organisation), "wallet").await?;
    Ok(started)
}

async fn resume(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<usize> {
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    if wallet.exhausted_at.is_some() && wallet.balance.is_positive() {
        ledger::set_exhausted(&mut *connection, organisation, None).await?;
        // Nothing was charged since the run-out; the books begin again here.
        ledger::set_charged_through(&mut *connection, organisation, now).await?;
        let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
        for vm in vms::made(&mut *connection, organisation).await?.into_iter().filter(|vm| vm.seen) {
            // What is to be started again is off until it has started.
            let state = if vm.stopped_for_credit { PowerState::Stopped } else { vm.power_state };
            metering::open(app, &mut *connection, &wallet, Metered { vm: vm.id, plan: vm.plan, state }, now).await?;
        }
    }
    let started = start_again(app, &mut *connection, organisation, now).await?;
    runway::recompute(app, connection, organisation, now).await?;
    Ok(started)
}

/// Starts what was shut down for lack of credit, as far as the available credit carries a day of it.
async fn start_again(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<usize> {
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    let book = catalog::price_book_for(&mut *connection, organisation).await?;
    let mut candidates = Vec::new();
    for vm in vms::made(&mut *connection, organisation).await? {
        if vm.stopped_for_credit {
            let price = book.at(vm.plan, PowerState::Running, now).map_err(anyhow::Error::new)?;
            candidates.push((vm.id, price.rate));
        }
    }
    let resumed = billing::resumable(wallet.available(), wallet.burn_per_hour, &candidates);
    if wallet.exhausted_at.is_some() || resumed.is_empty() {
        return Ok(0);
    }
    for vm in &resumed {
        vms::start_after_credit(app, &mut *connection, organisation, *vm).await?;
    }
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "vms": resumed.len(), "left_off": candidates.len() - resumed.len() });
    audit::record(connection, now, &Actor::system(), Some(organisation), Event::CreditResumed, subject, detail).await?;
    Ok(resumed.len())
}
