//! How long a wallet lasts, written down at each change of burn or balance, so that the engine can sleep until the next
//! wallet runs out. What happens then is the business of `charging`.

mod detail;
use std::collections::HashMap;

use anyhow::Context;
use billing::{BurnLine, Money, PriceChange, Rate, RunsOut, WalletMeter};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;

use crate::app::App;
use crate::catalog::{self, Metering, PriceBook, PriceError};
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
    lines: Vec<Line>,
    /// Prices of the lines that are known to change.
    changes: Vec<PriceChange>,
    /// Since when something has run up that no pass has charged yet, even if nothing goes on.
    uncharged_since: Option<DateTime<Utc>>,
}

/// Something that goes on running up charges.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Whose it is; none for a machine that is only asked about.
    vm: Option<VmId>,
    what: Metering,
    burn: BurnLine,
}

/// What a machine would be metered as from now on: one that is there, or a further one.
#[derive(Debug, Clone)]
pub struct WouldBe {
    /// The machine; none for a further one.
    pub vm: Option<VmId>,
    /// Everything that would be metered of it.
    pub lines: Vec<Metering>,
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
        let mut lines = Vec::with_capacity(meters.len());
        for meter in meters {
            if let Some(span) = meter.going_on(at) {
                let (rate, cap) = book.burn(span.what, at.max(span.from)).context("while looking ahead")?;
                let burn = BurnLine { state: meter.state, rate, cap };
                lines.push(Line { vm: Some(meter.vm), what: span.what, burn });
            }
        }
        let standing = Self { at, balance, lines, changes: Vec::new(), uncharged_since: None };
        standing.knowing(book)
    }

    /// Looks up when the prices of what goes on change, and to what.
    fn knowing(mut self, book: &PriceBook) -> Result<Self> {
        let instants = book.changes(self.lines.iter().map(|line| line.what), self.at);
        let change = |at: DateTime<Utc>| -> Result<PriceChange, PriceError> {
            let prices: Result<_, PriceError> = self.lines.iter().map(|line| book.burn(line.what, at)).collect();
            Ok(PriceChange { at, prices: prices? })
        };
        let changes: Result<Vec<_>, _> = instants.into_iter().map(change).collect();
        self.changes = changes.context("while looking ahead")?;
        Ok(self)
    }

    /// The same with machines that are there metered as these, and with further ones. What of a machine goes on keeps its sums.
    fn changed(mut self, book: &PriceBook, machines: &[WouldBe], zone: Tz) -> Result<Self> {
        let fresh = billing::MeterState::new(billing::Month::of(self.at, zone));
        for machine in machines {
            let (known, mut lines): (Vec<_>, Vec<_>) =
                self.lines.into_iter().partition(|line| machine.vm.is_some() && line.vm == machine.vm);
            for what in &machine.lines {
                let (rate, cap) = book.burn(*what, self.at).context("while looking ahead")?;
                let resource = what.item.resource();
                let going_on = known.iter().find(|line| line.what.item.resource() == resource);
                let state = going_on.map_or(fresh, |line| line.burn.state);
                lines.push(Line { vm: machine.vm, what: *what, burn: BurnLine { state, rate, cap } });
            }
            self.lines = lines;
        }
        self.knowing(book)
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
        for line in &self.lines {
            let Some(vm) = line.vm else { continue };
            let burn = burns.entry(vm).or_insert(Rate::ZERO);
            *burn = *burn + billing::burn(std::slice::from_ref(&line.burn), self.at, zone);
        }
        burns
    }

    /// What is foreseen if everything goes on as it is, by the prices that are known of any time.
    #[must_use]
    pub fn outlook(&self, zone: Tz) -> Outlook {
        let lines: Vec<_> = self.lines.iter().map(|line| line.burn).collect();
        let runs_out_at = match billing::runs_out_at_with_changes(self.balance, &lines, &self.changes, self.at, zone) {
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
        Outlook { burn_per_hour: billing::burn(&lines, self.at, zone), runs_out_at, due_at }
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

/// What a wallet is charged from where it is charged to until an instant, exactly, if everything goes on as it is by the prices
/// that are known of any time. The wallet is locked in this transaction.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn cost_until(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    until: DateTime<Utc>,
) -> Result<Money> {
    let (from, zone) = (wallet.charged_through, app.settings.time_zone);
    let book = catalog::price_book(&mut *connection).await?;
    let meters = metering::unsettled(connection, &book, wallet, zone).await?;
    let pieces: Result<Vec<_>, _> = meters.iter().map(|meter| meter.pieces(&book, from, until)).collect();
    let pieces = pieces.context("while looking ahead")?;
    let views: Vec<_> =
        meters.iter().zip(&pieces).map(|(meter, (pieces, _))| WalletMeter { state: meter.state, pieces }).collect();
    Ok(billing::total_through(&views, from, until, zone).context("while looking ahead")?)
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

/// What is foreseen now, and what would be if machines were metered so: an answer for each of the changes. Nothing is written.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn before_and_after(
    app: &App,
    wallet: &Wallet,
    book: &PriceBook,
    changes: &[Vec<WouldBe>],
) -> Result<(Outlook, Vec<Outlook>)> {
    let zone = app.settings.time_zone;
    let mut connection = app.pool.acquire().await?;
    let standing = standing(app, &mut connection, wallet, book, app.clock.now()).await?;
    let outlook = |machines: &Vec<WouldBe>| Ok(standing.clone().changed(book, machines, zone)?.outlook(zone));
    let after: Result<Vec<_>> = changes.iter().map(outlook).collect();
    Ok((standing.outlook(zone), after?))
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
    standing(app, connection, wallet, &book, now).await
}

async fn standing(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    book: &PriceBook,
    now: DateTime<Utc>,
) -> Result<Standing> {
    let zone = app.settings.time_zone;
    let meters = metering::unsettled(connection, book, wallet, zone).await?;
    Standing::reach(wallet, book, meters, now, zone)
}
