//! What a thing costs on which list at which time. A price has a beginning and perhaps an end; looking one up never guesses.

use std::collections::HashMap;

use billing::{Money, Piece, Rate};
use chrono::{DateTime, Utc};

use super::items::{Item, PowerState};
use crate::ids::{PlanId, PriceId, PriceListId};

/// A price with its time.
#[derive(Debug, Clone, Copy)]
pub struct Price {
    /// Its id.
    pub id: PriceId,
    /// The number of its version on its list.
    pub version: i32,
    /// In force from here.
    pub from: DateTime<Utc>,
    /// In force until here; none: until a later version of the list.
    pub to: Option<DateTime<Utc>>,
    /// Per hour and unit.
    pub rate: Rate,
    /// Per month and unit; none: no limit.
    pub monthly_cap: Option<Money>,
}

/// Why something has no price that could be charged: nothing can be charged for it until it has one.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum PriceError {
    /// No price covers some time of something that must have one.
    #[error("price list {list} has no price for {item} at {at}")]
    Missing {
        /// The list.
        list: PriceListId,
        /// What should cost something.
        item: Item,
        /// The first instant without a price.
        at: DateTime<Utc>,
    },
    /// So many at that price is more than an amount can be.
    #[error("{quantity} times the price of {item} on price list {list} is out of range")]
    OutOfRange {
        /// The list.
        list: PriceListId,
        /// What it is.
        item: Item,
        /// How many.
        quantity: i64,
    },
}

/// So many of a thing, on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metering {
    /// The price list.
    pub list: PriceListId,
    /// What it is.
    pub item: Item,
    /// How many units of it.
    pub quantity: i64,
}

impl Metering {
    /// The whole quantity's rate and cap.
    fn times(self, price: &Price) -> Result<(Rate, Option<Money>), PriceError> {
        let Self { list, item, quantity } = self;
        let too_much = || PriceError::OutOfRange { list, item, quantity };
        let rate = price.rate.times(quantity).map_err(|_| too_much())?;
        let cap = price.monthly_cap.map(|cap| cap.times(quantity)).transpose().map_err(|_| too_much())?;
        Ok((rate, cap))
    }
}

/// All prices of all lists, as one customer sees them: questions without a list are about his.
#[derive(Debug, Clone)]
pub struct PriceBook {
    list: PriceListId,
    prices: HashMap<(PriceListId, Item), Vec<Price>>,
    /// After this instant no price changes any more.
    last_change: Option<DateTime<Utc>>,
}

impl PriceBook {
    /// An empty book of which this is the customer's list.
    #[must_use]
    pub fn new(list: PriceListId) -> Self {
        Self { list, prices: HashMap::new(), last_change: None }
    }

    /// The customer's list.
    #[must_use]
    pub fn list(&self) -> PriceListId {
        self.list
    }

    /// The same prices, seen by a customer of another list.
    #[must_use]
    pub fn seen_from(mut self, list: PriceListId) -> Self {
        self.list = list;
        self
    }

    /// Adds a price; those of one list and item come in the order of time.
    pub fn add(&mut self, list: PriceListId, item: Item, price: Price) {
        self.last_change = self.last_change.max(Some(price.from)).max(price.to);
        self.prices.entry((list, item)).or_default().push(price);
    }

    /// The kinds that cost something at some time on some list, by their stored names.
    #[must_use]
    pub fn priced_kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.prices.keys().map(|(_, item)| item.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// What a machine of a plan costs a customer of this book's list at an instant.
    ///
    /// # Errors
    /// When it has no price then.
    pub fn at(&self, plan: PlanId, state: PowerState, at: DateTime<Utc>) -> Result<&Price, PriceError> {
        let item = Item::Vm(plan, state);
        self.price(self.list, item, at).ok_or(PriceError::Missing { list: self.list, item, at })
    }

    /// The price of an item on a list at an instant, if it has one.
    #[must_use]
    pub fn price(&self, list: PriceListId, item: Item, at: DateTime<Utc>) -> Option<&Price> {
        let prices = self.prices.get(&(list, item))?;
        prices.iter().rev().find(|price| price.from <= at && price.to.is_none_or(|to| at < to))
    }

    /// What something costs per hour and per month at an instant, whatever its quantity. What need not have a price and
    /// has none is free.
    ///
    /// # Errors
    /// When it must have a price and has none then.
    pub fn burn(&self, what: Metering, at: DateTime<Utc>) -> Result<(Rate, Option<Money>), PriceError> {
        let Metering { list, item, .. } = what;
        match self.price(list, item, at) {
            Some(price) => what.times(price),
            None if item.may_be_free() => Ok((Rate::ZERO, Some(Money::ZERO))),
            None => Err(PriceError::Missing { list, item, at }),
        }
    }

    /// The instants after `after` at which the price of any of these changes, in the order of time.
    #[must_use]
    pub fn changes(&self, whats: impl IntoIterator<Item = Metering>, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        // Asked for every wallet of a pass, and nearly always there is nothing to come.
        if self.last_change.is_none_or(|last| last <= after) {
            return Vec::new();
        }
        let prices = whats.into_iter().filter_map(|what| self.prices.get(&(what.list, what.item))).flatten();
        let mut changes: Vec<_> =
            prices.flat_map(|price| [Some(price.from), price.to]).flatten().filter(|at| *at > after).collect();
        changes.sort_unstable();
        changes.dedup();
        changes
    }

    /// Cuts `[from, to)` into pieces of constant price and appends them, with the price and the quantity of each. Time in which something is free has no piece.
    ///
    /// # Errors
    /// When some of the time has no price and must have one.
    pub fn cut(
        &self,
        what: Metering,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        pieces: &mut Vec<Piece>,
        prices: &mut Vec<(PriceId, i64)>,
    ) -> Result<(), PriceError> {
        let Metering { list, item, .. } = what;
        let known = self.prices.get(&(list, item)).map_or(&[][..], Vec::as_slice);
        let mut at = from;
        while at < to {
            let Some(price) = known.iter().rev().find(|price| price.from <= at && price.to.is_none_or(|end| at < end))
            else {
                if !item.may_be_free() {
                    return Err(PriceError::Missing { list, item, at });
                }
                let next = known.iter().map(|price| price.from).filter(|from| *from > at).min();
                at = next.map_or(to, |begins| begins.min(to));
                continue;
            };
            let until = price.to.map_or(to, |end| end.min(to));
            let (rate, cap) = what.times(price)?;
            pieces.push(Piece { from: at, to: until, rate, cap });
            prices.push((price.id, what.quantity));
            at = until;
        }
        Ok(())
    }
}
