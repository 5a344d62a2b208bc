//! How long a wallet lasts, written down at each change of burn or balance, so that the engine can sleep until the next
//! wallet runs out. What happens then is the business of `charging`.

mod detail;
use std::collections::HashMap;

use anyhow::Context;
use billing::{BurnLine, Money, Rate, RunsOut};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;

use crate::app::App;
use crate::catalog::{self, PriceBook};
use crate::error::Result;
use crate::ids::{OrganisationId, VmId};
use crate::ledger::{self, Wallet};
use crate::metering::{self, Unsettled};

pub use detail::{BurnOfVm, Detail, detail, seconds_left};

/// The shortest time between two looks at a wallet that is about to run out: rounding may leave it a last micro that lasts
/// less than any clock can show.
const RECHECK_SECONDS_MIN: i64 = 1;

/// What is foreseen for a wallet.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    /// What runs up charges now, per hour.
    pub burn_per_hour: Rate,
    /// When the credit runs out, if it does within the horizon.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// When to look again; none while nothing runs up charges.
    pub due_at: Option<DateTime<Utc>>,
}

impl Outlook {
    /// When to look, unless that is at a full hour, when every wallet is looked at.
    #[must_use]
    pub fn wakes_at(&self) -> Option<DateTime<Utc>> {
        self.due_at.filter(|due| *due != billing::hour_floor(*due))
    }
}

/// Where a wallet stands at an instant, and what runs up charges from there on.
#[derive(Debug, Clone)]
pub struct Standing {
    at: DateTime<Utc>,
    balance: Money,
    lines: Vec<BurnLine>,
    /// Whose the lines are, in their order, and whether they are the machine itself.
    vms: Vec<(VmId, bool)>,
    /// Since when something has run up that no pass has charged yet, even if nothing goes on.
    uncharged_since: Option<DateTime<Utc>>,
}

impl Standing {
    /// Counts what has run up since the last charge, so that a change of burn in the middle of an hour is foreseen exactly.
    ///
    /// # Errors
    /// When a price is missing.
    pub fn reach(
        wallet: &Wallet,
        book: &PriceBook,
        mut meters: Vec<Unsettled>,
        now: DateTime<Utc>,
        zone: Tz,
    ) -> Result<Self> {
        let at = now.max(wallet.charged_through);
        let mut balance = wallet.credit();
        for meter in &mut meters {
            let (pieces, _) = meter.pieces(book, wallet.charged_through, at).context("while looking ahead")?;
            billing::rate_pieces(&mut meter.state, &pieces, zone, |charge| balance = balance - charge.amount)
                .context("while looking ahead")?;
        }
        let uncharged = meters.iter().any(|meter| meter.going_on(wallet.charged_through).is_some());
        let uncharged_since = uncharged.then_some(wallet.charged_through);
        Ok(Self { uncharged_since, ..Self::after_charging(balance, book, &meters, at)? })
    }

    /// A wallet whose meters' sums stand at `at`.
    ///
    /// # Errors
    /// When a price is missing.
    pub fn after_charging(balance: Money, book: &PriceBook, meters: &[Unsettled], at: DateTime<Utc>) -> Result<Self> {
        let mut lines = Vec::with_capacity(meters.len() + 1);
        let mut vms = Vec::with_capacity(meters.len());
        for meter in meters {
            if let Some(span) = meter.going_on(at) {
                let (rate, cap) = book.burn(span.what, at.max(span.from)).context("while looking ahead")?;
                lines.push(BurnLine { state: meter.state, rate, cap });
                vms.push((meter.vm, meter.is_machine()));
            }
        }
        Ok(Self { at, balance, lines, vms, uncharged_since: None })
    }

    /// The same with one more machine of this rate and cap.
    fn with(mut self, rate: Rate, cap: Option<Money>, zone: Tz) -> Self {
        let state = billing::MeterState::new(billing::Month::of(self.at, zone));
        self.lines.push(BurnLine { state, rate, cap });
        self
    }

    /// The same with another rate and cap for one machine. One that runs up no charges now changes nothing.
    fn changed(mut self, vm: VmId, rate: Rate, cap: Option<Money>) -> Self {
        for (line, _) in self.lines.iter_mut().zip(&self.vms).filter(|(_, whose)| **whose == (vm, true)) {
            (line.rate, line.cap) = (rate, cap);
        }
        self
    }

    /// What is left until the credit has run out, with what has run up since the last charge taken off.
    #[must_use]
    pub fn left(&self) -> Money {
        self.balance
    }

    /// What each machine with all that it has beside costs per hour now; nothing for what has reached its monthly cap.
    #[must_use]
    pub fn burn_by_vm(&self, zone: Tz) -> HashMap<VmId, Rate> {
        let mut burns = HashMap::new();
        for (line, (vm, _)) in self.lines.iter().zip(&self.vms) {
            let burn = burns.entry(*vm).or_insert(Rate::ZERO);
            *burn = *burn + billing::burn(std::slice::from_ref(line), self.at, zone);
        }
        burns
    }

    /// What is foreseen if everything goes on as it is.
    #[must_use]
    pub fn outlook(&self, zone: Tz) -> Outlook {
        let runs_out_at = match billing::runs_out_at(self.balance, &self.lines, self.at, zone) {
            RunsOut::At(instant) => Some(instant.max(self.at + TimeDelta::seconds(RECHECK_SECONDS_MIN))),
            RunsOut::Never | RunsOut::Beyond(_) => None,
        };
        // An hour that is over and not charged is due, however often the wallet changes before a pass comes to it.
        let next_hour = billing::hour_floor(self.uncharged_since.unwrap_or(self.at)) + TimeDelta::hours(1);
        let due_at = if self.lines.is_empty() && self.uncharged_since.is_none() {
            None
        } else {
            Some(runs_out_at.map_or(next_hour, |instant| instant.min(next_hour)))
        };
        Outlook { burn_per_hour: billing::burn(&self.lines, self.at, zone), runs_out_at, due_at }
    }
}

/// What of a balance is left, without any credit limit, when everything that has run up until now is taken off. The wallet is
/// locked in this transaction.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn left(app: &App, connection: &mut PgConnection, wallet: &Wallet, now: DateTime<Utc>) -> Result<Money> {
    Ok(read_standing(app, connection, wallet, now).await?.balance - wallet.credit_limit)
}

/// Computes a wallet's outlook anew and writes it down. The wallet must be locked in this transaction.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn recompute(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<Outlook> {
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    let mut outlook = read_standing(app, &mut *connection, &wallet, now).await?.outlook(app.settings.time_zone);
    if wallet.charged_through < billing::hour_floor(now) {
        // The pass of this hour may have gone by already.
        outlook.due_at = outlook.due_at.map(|due| due.min(now));
    }
    ledger::set_outlook(&mut *connection, organisation, outlook.burn_per_hour, outlook.runs_out_at, outlook.due_at)
        .await?;
    crate::live::wake_billing(&mut *connection).await?;
    crate::live::announce(connection, Some(organisation), "wallet").await?;
    Ok(outlook)
}

/// When the credit runs out now, and when it would with one more machine of this rate and cap. Nothing is written.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn before_and_after(
    app: &App,
    wallet: &Wallet,
    rate: Rate,
    cap: Option<Money>,
) -> Result<(Outlook, Outlook)> {
    let zone = app.settings.time_zone;
    let mut connection = app.pool.acquire().await?;
    let standing = read_standing(app, &mut connection, wallet, app.clock.now()).await?;
    let before = standing.outlook(zone);
    Ok((before, standing.with(rate, cap, zone).outlook(zone)))
}

/// When the credit runs out now, and when it would with each of these rates and caps for a machine that is there. Nothing is
/// written.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn before_and_after_change(
    app: &App,
    wallet: &Wallet,
    vm: VmId,
    prices: &[(Rate, Option<Money>)],
) -> Result<(Outlook, Vec<Outlook>)> {
    let zone = app.settings.time_zone;
    let mut connection = app.pool.acquire().await?;
    let standing = read_standing(app, &mut connection, wallet, app.clock.now()).await?;
    let after = prices.iter().map(|(rate, cap)| standing.clone().changed(vm, *rate, *cap).outlook(zone)).collect();
    Ok((standing.outlook(zone), after))
}

/// Where a wallet stands now. Nothing is written.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn read_standing(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    now: DateTime<Utc>,
) -> Result<Standing> {
    let book = catalog::price_book(&mut *connection).await?;
    let organisation = wallet.organisation;
    let meters =
        metering::unsettled(connection, &book, &[organisation.uuid()]).await?.remove(&organisation).unwrap_or_default();
    Standing::reach(wallet, &book, meters, now, app.settings.time_zone)
}
