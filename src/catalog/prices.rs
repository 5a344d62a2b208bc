//! What a plan costs in which state at which time. A price has a beginning and perhaps an end; looking one up never guesses.

use std::collections::HashMap;

use billing::{Money, Piece, Rate};
use chrono::{DateTime, Utc};

use crate::ids::{PlanId, PriceId};

/// What a machine is charged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PowerState {
    /// Its guest runs.
    Running,
    /// Its guest is off; disk and address are kept.
    Stopped,
}

impl PowerState {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "running" => Some(Self::Running),
            "stopped" => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// A price with its time.
#[derive(Debug, Clone, Copy)]
pub struct Price {
    /// Its id.
    pub id: PriceId,
    /// Valid from here.
    pub from: DateTime<Utc>,
    /// Valid until here; none: until it is changed.
    pub to: Option<DateTime<Utc>>,
    /// Per hour.
    pub rate: Rate,
    /// Per month; none: no limit.
    pub monthly_cap: Option<Money>,
}

/// No price covers some time of a plan: nothing can be charged for it until there is one.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("plan {plan} has no price for {state:?} at {at}")]
pub struct PriceMissing {
    /// The plan.
    pub plan: PlanId,
    /// The state.
    pub state: PowerState,
    /// The first instant without a price.
    pub at: DateTime<Utc>,
}

/// All prices, by plan and state.
#[derive(Debug, Clone, Default)]
pub struct PriceBook {
    prices: HashMap<(PlanId, PowerState), Vec<Price>>,
}

impl PriceBook {
    /// Adds a price; those of one plan and state come in the order of time.
    pub fn add(&mut self, plan: PlanId, state: PowerState, price: Price) {
        self.prices.entry((plan, state)).or_default().push(price);
    }

    /// The price at an instant.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(&self, plan: PlanId, state: PowerState, at: DateTime<Utc>) -> Result<&Price, PriceMissing> {
        self.prices
            .get(&(plan, state))
            .and_then(|prices| prices.iter().rev().find(|price| price.from <= at && price.to.is_none_or(|to| at < to)))
            .ok_or(PriceMissing { plan, state, at })
    }

    /// Cuts `[from, to)` into pieces of constant price and appends them.
    ///
    /// # Errors
    /// When some of the time has no price.
    pub fn cut(
        &self,
        plan: PlanId,
        state: PowerState,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        pieces: &mut Vec<Piece>,
        prices: &mut Vec<PriceId>,
    ) -> Result<(), PriceMissing> {
        let mut at = from;
        while at < to {
            let price = self.at(plan, state, at)?;
            let until = price.to.map_or(to, |end| end.min(to));
            pieces.push(Piece { from: at, to: until, rate: price.rate, cap: price.monthly_cap });
            prices.push(price.id);
            at = until;
        }
        Ok(())
    }
}
