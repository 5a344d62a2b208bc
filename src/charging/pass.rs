//! A pass: every wallet that is due is charged through the last full hour, or to the instant at which its credit ended.

use std::collections::BTreeMap;

use anyhow::Context;
use billing::{Money, WalletMeter};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;

use super::db::{self, DueWallet};
use super::zero;
use crate::app::App;
use crate::catalog::{self, PriceBook};
use crate::error::Result;
use crate::fault;
use crate::ids::{OrganisationId, PriceId, TransferId};
use crate::ledger::{self, BulkTransfers, BulkWallets};
use crate::live;
use crate::metering::{self, BulkCharges, BulkMeters, Unsettled};
use crate::runway::Standing;

/// How many wallets one transaction charges. It bounds memory and how long their rows are locked.
pub const WALLETS_PER_BATCH: i64 = 1_000;
/// How many batches one pass runs before it lets its caller look around.
const BATCHES_MAX: usize = 10_000;
/// When a wallet that could not be charged is tried again.
const RETRY_MINUTES: i64 = 15;

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Wallets looked at.
    pub wallets: usize,
    /// Charges written.
    pub charges: usize,
    /// What was charged.
    pub amount: Money,
    /// Wallets that ran out.
    pub ran_out: usize,
    /// Wallets that could not be charged and are tried again later.
    pub failed: usize,
}

/// Charges every wallet that is due.
///
/// # Errors
/// When PostgreSQL fails; what was committed until then stays, and the next pass goes on from there.
pub async fn run(app: &App) -> Result<Pass> {
    let mut pass = Pass::default();
    for _ in 0..BATCHES_MAX {
        let batch = run_batch(app).await?;
        pass.wallets += batch.wallets;
        pass.charges += batch.charges;
        pass.amount += batch.amount;
        pass.ran_out += batch.ran_out;
        pass.failed += batch.failed;
        if batch.wallets == 0 {
            break;
        }
    }
    Ok(pass)
}

/// When the next wallet is due, if any is.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn next_due(app: &App) -> Result<Option<DateTime<Utc>>> {
    db::select_next_due(&app.pool).await
}

/// A wallet's charges, computed and not yet written.
struct Charged {
    wallet: DueWallet,
    /// Where the cursor goes.
    through: DateTime<Utc>,
    ran_out: bool,
    meters: Vec<Unsettled>,
    charges: Vec<(usize, (PriceId, i64), billing::Charge)>,
}

async fn run_batch(app: &App) -> Result<Pass> {
    let now = app.clock.now();
    let zone = app.settings.time_zone;
    let mut pass = Pass::default();
    let mut transaction = app.pool.begin().await?;
    let due = db::claim_due(&mut transaction, now, WALLETS_PER_BATCH).await?;
    pass.wallets = due.len();
    if due.is_empty() {
        return Ok(pass);
    }
    let book = catalog::price_book(&mut transaction).await?;
    let organisations: Vec<_> = due.iter().map(|wallet| wallet.organisation.uuid()).collect();
    let mut unsettled = metering::unsettled(&mut transaction, &book, &organisations).await?;
    fault::point("charging.claimed");

    let mut columns = Columns::default();
    let mut ran_out = Vec::new();
    for wallet in due {
        let organisation = wallet.organisation;
        let meters = unsettled.remove(&organisation).unwrap_or_default();
        match charge(wallet, meters, &book, now, zone).and_then(|charged| columns.add(charged, &book, zone)) {
            Ok(added) => {
                pass.charges += added.charges;
                pass.amount += added.amount;
                ran_out.extend(added.ran_out);
            }
            Err(error) => {
                // One wallet's trouble stays its own: the others are charged, this one is shown to an operator.
                tracing::error!(%organisation, error = ?error, "a wallet could not be charged");
                db::postpone(
                    &mut transaction,
                    organisation,
                    now + TimeDelta::minutes(RETRY_MINUTES),
                    &format!("{error:?}"),
                )
                .await?;
                pass.failed += 1;
            }
        }
    }
    metering::bulk_charge(&mut transaction, &columns.charges, &columns.meters).await?;
    fault::point("charging.charged");
    ledger::bulk_post(&mut transaction, &columns.transfers, &columns.wallets).await?;
    fault::point("charging.posted");
    for (organisation, at) in ran_out {
        zero::ran_out(app, &mut transaction, organisation, at, now).await?;
        pass.ran_out += 1;
    }
    live::announce(&mut transaction, None, "wallet").await?;
    fault::point("charging.before_commit");
    transaction.commit().await?;
    fault::point("charging.committed");
    Ok(pass)
}

/// Rates what a wallet has run up, and cuts it at the instant the balance ended.
fn charge(
    wallet: DueWallet,
    mut meters: Vec<Unsettled>,
    book: &PriceBook,
    now: DateTime<Utc>,
    zone: Tz,
) -> Result<Charged> {
    let from = wallet.charged_through;
    let running_out = wallet.runs_out_at.is_some_and(|at| at <= now);
    let mut through = if running_out { now } else { billing::hour_floor(now) }.max(from);

    let mut cut = pieces(&meters, book, from, through)?;
    let views: Vec<_> =
        meters.iter().zip(&cut).map(|(meter, (pieces, _))| WalletMeter { state: meter.state, pieces }).collect();
    let end = billing::run_out_instant(&views, wallet.balance + wallet.credit_limit, from, through, zone)
        .context("while looking for the run-out")?;
    if let Some(end) = end {
        through = end;
        cut = pieces(&meters, book, from, through)?;
    }

    let mut charges = Vec::with_capacity(meters.len());
    for (index, (meter, (pieces, prices))) in meters.iter_mut().zip(&cut).enumerate() {
        billing::rate_pieces(&mut meter.state, pieces, zone, |charge| {
            charges.push((index, prices[charge.piece], charge))
        })
        .context("while rating")?;
    }
    Ok(Charged { wallet, through, ran_out: end.is_some(), meters, charges })
}

type Cut = (Vec<billing::Piece>, Vec<(PriceId, i64)>);

fn pieces(meters: &[Unsettled], book: &PriceBook, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Cut>> {
    let cut: std::result::Result<Vec<_>, _> = meters.iter().map(|meter| meter.pieces(book, from, to)).collect();
    Ok(cut.context("while looking up prices")?)
}

/// Everything a batch writes, as columns.
#[derive(Default)]
struct Columns {
    charges: BulkCharges,
    meters: BulkMeters,
    transfers: BulkTransfers,
    wallets: BulkWallets,
}

struct Added {
    charges: usize,
    amount: Money,
    ran_out: Option<(OrganisationId, DateTime<Utc>)>,
}

impl Columns {
    /// Adds one wallet; on an error nothing of it is added.
    fn add(&mut self, charged: Charged, book: &PriceBook, zone: Tz) -> Result<Added> {
        let Charged { wallet, through, ran_out, meters, charges } = charged;
        let total: Money = charges.iter().map(|(_, _, charge)| charge.amount).sum();
        let balance = wallet.balance - total;
        let outlook = Standing::after_charging(balance + wallet.credit_limit, book, &meters, through)?.outlook(zone);
        let accrued: std::result::Result<Vec<_>, _> =
            meters.iter().map(|meter| meter.state.accrued.to_decimal()).collect();
        let accrued = accrued.context("a meter's sum does not fit its column")?;

        let organisation = wallet.organisation.uuid();
        let mut hours: BTreeMap<DateTime<Utc>, (Money, DateTime<Utc>)> = BTreeMap::new();
        for (index, (price, quantity), charge) in &charges {
            self.charges.meters.push(meters[*index].meter.uuid());
            self.charges.organisations.push(organisation);
            self.charges.from.push(charge.from);
            self.charges.to.push(charge.to);
            self.charges.quantities.push(*quantity);
            self.charges.prices.push(price.uuid());
            self.charges.rates.push(charge.rate.to_decimal());
            self.charges.amounts.push(charge.amount.to_decimal());
            let hour = hours.entry(billing::hour_floor(charge.from)).or_insert((Money::ZERO, charge.to));
            hour.0 += charge.amount;
            hour.1 = hour.1.max(charge.to);
        }
        for (hour, (amount, to)) in hours.into_iter().filter(|(_, (amount, _))| amount.is_positive()) {
            // A wallet's cursor only moves forward, so the place where its charge begins is a key for it.
            let from = hour.max(wallet.charged_through);
            self.transfers.ids.push(TransferId::new().uuid());
            self.transfers.accounts.push(wallet.account.uuid());
            self.transfers.amounts.push(amount.to_decimal());
            self.transfers.sources.push(format!(
                "charge:{}:{}",
                wallet.organisation,
                from.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            ));
            self.transfers.at.push(to);
            self.transfers.memos.push(format!("VMs, {}–{} UTC", from.format("%-d %b %H:%M"), to.format("%H:%M")));
        }
        for (meter, accrued) in meters.iter().zip(accrued) {
            self.meters.meters.push(meter.meter.uuid());
            self.meters.months.push(meter.state.month.first_day());
            self.meters.accrued.push(accrued);
            self.meters.caps.push(meter.state.cap.map(Money::to_decimal));
            self.meters
                .settled
                .extend(meter.spans.iter().filter(|span| span.to.is_some_and(|to| to <= through)).map(|span| span.id));
        }
        self.wallets.organisations.push(organisation);
        self.wallets.balances.push(balance.to_decimal());
        self.wallets.charged_through.push(through);
        self.wallets.burns.push(outlook.burn_per_hour.to_decimal());
        self.wallets.runs_out_at.push(outlook.runs_out_at);
        self.wallets.due_at.push(outlook.due_at);
        Ok(Added { charges: charges.len(), amount: total, ran_out: ran_out.then_some((wallet.organisation, through)) })
    }
}
