//! One meter, rated again: its intervals and their prices say which charges there must be, and the charges must say the same.

use std::collections::HashMap;

use anyhow::Context;
use billing::{MeterState, Money, Month, Piece, rate_pieces};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Scope, Stop, differs, during, instant};
use crate::error::Result;
use crate::ledger::db::proof::{Priced, ProvedCharge, ProvedInterval, ProvedMeter, ProvedPrice};

/// All prices of all lists, each thing's in the order of time.
pub(super) struct Prices(HashMap<Priced, Vec<ProvedPrice>>);

impl Prices {
    pub(super) fn of(prices: Vec<(Priced, ProvedPrice)>) -> Self {
        let mut of: HashMap<Priced, Vec<ProvedPrice>> = HashMap::new();
        for (what, price) in prices {
            of.entry(what).or_default().push(price);
        }
        Self(of)
    }

    /// The price in force at an instant or, without one, the next that comes.
    fn at_or_after(&self, what: &Priced, at: DateTime<Utc>) -> Option<&ProvedPrice> {
        self.0.get(what)?.iter().find(|price| price.to.is_none_or(|to| to > at))
    }
}

/// A time of a meter that must be charged, at one price.
struct Due<'a> {
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
    price: &'a ProvedPrice,
    quantity: i64,
}

/// A meter on its way through its charges.
pub(super) struct Meter {
    pub id: Uuid,
    pub organisation: Uuid,
    /// What is written down of it, until it was compared, and until where that is.
    stored: Option<MeterState>,
    through: DateTime<Utc>,
    scope: Scope,
    intervals: Vec<ProvedInterval>,
    /// The interval at which the charges stand.
    index: usize,
    /// Until where there were charges.
    charged: DateTime<Utc>,
    state: Option<MeterState>,
}

impl Meter {
    pub(super) fn new(meter: ProvedMeter, scope: Scope) -> Self {
        let ProvedMeter { organisation, id, state, through } = meter;
        let charged = scope.since();
        Self {
            id,
            organisation,
            stored: Some(state),
            through,
            scope,
            intervals: Vec::new(),
            index: 0,
            charged,
            state: None,
        }
    }

    /// Adds an interval; they come in the order of time, and one ends before the next begins.
    pub(super) fn add(&mut self, interval: ProvedInterval) -> Result<(), Stop> {
        if let Some(last) = self.intervals.last().filter(|last| last.to.is_none_or(|to| to > interval.from)) {
            return differs(format!(
                "intervals {} and {} of meter {} overlap at {}",
                last.id,
                interval.id,
                self.id,
                instant(interval.from)
            ));
        }
        self.intervals.push(interval);
        Ok(())
    }

    /// The first time that is not charged yet and must be, if it begins before `end`.
    fn due<'a>(&mut self, prices: &'a Prices, end: DateTime<Utc>) -> Result<Option<Due<'a>>, Stop> {
        while let Some(interval) = self.intervals.get(self.index) {
            let from = interval.from.max(self.charged);
            if from >= end {
                return Ok(None);
            }
            if interval.to.is_none_or(|to| from < to) {
                let next = prices.at_or_after(&interval.what, from);
                // Only machines must have a price; what they have beside is free where it has none.
                if interval.what.kind.starts_with("vm_") && next.is_none_or(|price| price.from > from) {
                    return differs(format!(
                        "interval {} of meter {} has no price at {}",
                        interval.id,
                        self.id,
                        instant(from)
                    ));
                }
                if let Some(price) = next
                    && interval.to.is_none_or(|to| price.from < to)
                {
                    let from = from.max(price.from);
                    let to = [interval.to, price.to].into_iter().flatten().min();
                    return Ok((from < end).then_some(Due { from, to, price, quantity: interval.quantity }));
                }
            }
            self.index += 1;
        }
        Ok(None)
    }

    /// Proves the next charge.
    pub(super) fn prove(&mut self, charge: &ProvedCharge, cursor: DateTime<Utc>, prices: &Prices) -> Result<(), Stop> {
        let zone = self.scope.zone;
        if charge.from >= self.through {
            self.compare_sums()?;
        }
        let what = during(charge.meter, charge.from, charge.to);
        if charge.from < self.charged {
            return differs(format!("{what} is charged twice: it was charged until {} before", instant(self.charged)));
        }
        if charge.to > cursor {
            return differs(format!("{what} is charged beyond {}, up to which its wallet is", instant(cursor)));
        }
        let Some(due) = self.due(prices, charge.to)?.filter(|due| due.from <= charge.from) else {
            return differs(format!("{what} is charged, but nothing that costs was metered then"));
        };
        if due.from < charge.from {
            let until = due.to.map_or(charge.from, |to| to.min(charge.from));
            return differs(format!("{} was metered and not charged", during(self.id, due.from, until)));
        }
        if let Some(to) = due.to.filter(|to| *to < charge.to) {
            return differs(format!("{what} is one charge, but its interval or its price ended at {}", instant(to)));
        }
        if (charge.price, charge.quantity) != (due.price.id, due.quantity) {
            return differs(format!(
                "{what} is charged as {} at price {}, but it was {} at price {}",
                charge.quantity, charge.price, due.quantity, due.price.id
            ));
        }
        let rate = due.price.rate.times(due.quantity).context("a rate is out of range")?;
        if charge.rate != rate {
            return differs(format!("{what} is charged at {} an hour, but its price is {rate}", charge.rate));
        }
        let cap = due.price.cap.map(|cap| cap.times(due.quantity)).transpose().context("a cap is out of range")?;
        let piece = Piece { from: charge.from, to: charge.to, rate, cap };
        let (mut parts, mut amount) = (0, Money::ZERO);
        let state = self.state.get_or_insert_with(|| MeterState::new(Month::of(charge.from, zone)));
        rate_pieces(state, &[piece], zone, |part| {
            parts += 1;
            amount += part.amount;
        })
        .context("while rating again")?;
        if parts != 1 {
            return differs(format!("{what} is one charge over the end of an hour or a month"));
        }
        if charge.amount != amount {
            return differs(format!("{what} is charged {}, rated again it costs {amount}", charge.amount));
        }
        self.charged = charge.to;
        Ok(())
    }

    /// Proves that nothing is missing before the cursor, and that the meter's own sums are those of its charges.
    pub(super) fn finish(&mut self, cursor: DateTime<Utc>, prices: &Prices) -> Result<(), Stop> {
        if let Some(due) = self.due(prices, cursor)? {
            let until = due.to.map_or(cursor, |to| to.min(cursor));
            return differs(format!("{} was metered and not charged", during(self.id, due.from, until)));
        }
        self.compare_sums()?;
        // Charging adds what is not settled to the sums, from where they are.
        let (through, settled_until) = (self.through, self.through.min(cursor));
        if let Some(lost) = self.intervals.iter().find(|one| one.settled && one.to.is_none_or(|to| to > settled_until))
        {
            return differs(format!(
                "interval {} of meter {} is marked as charged, but goes on after {}",
                lost.id,
                self.id,
                instant(settled_until)
            ));
        }
        if let Some(skipped) = self.intervals.iter().find(|one| through > cursor && one.from < through) {
            return differs(format!(
                "meter {} says it has accrued until {}, but interval {} is not charged beyond {}",
                self.id,
                instant(through),
                skipped.id,
                instant(cursor)
            ));
        }
        Ok(())
    }

    /// Proves the sums that are written down, once the charges stand where they are.
    fn compare_sums(&mut self) -> Result<(), Stop> {
        let Some(stored) = self.stored.take() else { return Ok(()) };
        // They are of a month before those that are proved.
        if self.state.is_none() && self.scope.from.is_some_and(|first| stored.month < first) {
            return Ok(());
        }
        let state = self.state.unwrap_or_else(|| MeterState::new(stored.month));
        if state != stored {
            return differs(format!(
                "meter {} says it has accrued {} in {} until {}, its intervals say {} in {}",
                self.id,
                stored.accrued,
                stored.month,
                instant(self.through),
                state.accrued,
                state.month
            ));
        }
        Ok(())
    }
}
