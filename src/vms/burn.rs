//! What a machine runs up, line by line: itself, disk beyond its plan, addresses, a licence. One function answers for machines
//! that are there and for those that are only asked about, so that an estimate, a hold and a charge count the same lines.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::catalog::{Metering, PowerState, PriceBook};
use crate::error::{Error, Result};
use crate::ids::{PlanId, PriceId, PriceListId, VmId};
use crate::ledger::Wallet;
use crate::metering::{self, Metered};

/// A line of what a machine runs up.
#[derive(Debug, Clone, Copy)]
pub struct BurnLine {
    /// What it is, and how many.
    pub what: Metering,
    /// The price; none where it is free because it has none.
    pub price: Option<PriceId>,
    /// The number of the list's version that the price is of.
    pub version: Option<i32>,
    /// Per hour and unit.
    pub unit_rate: Rate,
    /// Per hour for all units.
    pub rate: Rate,
    /// The most per month for all units; none: no limit.
    pub cap: Option<Money>,
}

/// What a machine runs up.
#[derive(Debug, Clone, Default)]
pub struct Burn {
    /// Itself first.
    pub lines: Vec<BurnLine>,
}

impl Burn {
    /// Per hour, all lines together.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.lines.iter().map(|line| line.rate).sum()
    }

    /// The most per month, all lines together; none when one has no limit.
    #[must_use]
    pub fn cap(&self) -> Option<Money> {
        self.lines.iter().map(|line| line.cap).sum()
    }
}

/// What these lines run up by the prices of an instant.
///
/// # Errors
/// When something that must have a price has none then.
pub fn burn_of(book: &PriceBook, lines: &[Metering], at: DateTime<Utc>) -> Result<Burn> {
    let line = |what: &Metering| {
        let (rate, cap) = book.burn(*what, at).map_err(anyhow::Error::new)?;
        let price = book.price(what.list, what.item, at);
        Ok(BurnLine {
            what: *what,
            price: price.map(|price| price.id),
            version: price.map(|price| price.version),
            unit_rate: price.map_or(Rate::ZERO, |price| price.rate),
            rate,
            cap,
        })
    };
    let lines: Result<Vec<_>> = lines.iter().map(line).collect();
    Ok(Burn { lines: lines? })
}

/// Everything that a machine is metered as on a list, as one of a plan and in a state.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn lines_of(
    connection: &mut PgConnection,
    list: PriceListId,
    vm: VmId,
    plan: PlanId,
    state: PowerState,
) -> Result<Vec<Metering>> {
    Ok(metering::parts(connection, Metered { vm, plan, state }).await?.on(list))
}

/// Whether the wallet carries an hour of this.
///
/// # Errors
/// `NotEnoughCredit` with what is missing.
pub(super) fn check_hour(wallet: &Wallet, burn: &Burn) -> Result<()> {
    let hour = burn.rate().for_hours(1);
    if wallet.exhausted_at.is_some() || hour > wallet.available() {
        return Err(Error::NotEnoughCredit { short_by: hour - wallet.available() });
    }
    Ok(())
}
