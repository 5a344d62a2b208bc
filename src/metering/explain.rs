//! One charge, explained: the intervals it comes from and why they changed, the price with its list and version, and each step
//! of the arithmetic, so that whoever pays can do it again by hand. Nothing is taken from the charge itself: the month of the
//! meter is rated anew from its intervals, and whether that gives the same amount is part of the answer.

use anyhow::Context;
use billing::{Accrued, MeterState, Money, Month, Piece, Rate, round6};
use chrono::{DateTime, TimeDelta, Utc};

use super::db;
use super::history::{ChargeKey, ChargeLine};
use crate::app::App;
use crate::catalog::{self, Item, Metering, PowerState, PriceBook};
use crate::error::{Error, Result};
use crate::ids::OrganisationId;

/// How many intervals of a meter's month are read at most; one for each time a machine is started or stopped.
const INTERVALS_MAX: i64 = 50_000;

/// The price a charge was made by.
#[derive(Debug, Clone)]
pub struct PriceOfCharge {
    /// The name of the list.
    pub list: String,
    /// The number of its version.
    pub version: i32,
    /// When that version came into force.
    pub effective_from: DateTime<Utc>,
    /// Per hour and unit.
    pub rate: Rate,
    /// Per month and unit; none: no limit.
    pub monthly_cap: Option<Money>,
}

/// An interval as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub what: Metering,
    pub item_name: Option<String>,
    pub list_name: String,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
}

/// Why an interval began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Nothing was metered before.
    Began,
    /// Nothing was metered for a while: the credit had run out, or the machine could not be seen.
    Resumed,
    /// The machine was started.
    Started,
    /// The machine was stopped.
    Stopped,
    /// The plan was changed.
    Resized,
    /// There was more or less of it.
    Quantity,
    /// The organisation got another price list.
    List,
    /// What is licensed is another image.
    Image,
}

impl Changed {
    fn between(before: Option<&Stored>, after: &Stored) -> Self {
        let Some(before) = before else { return Self::Began };
        if before.to != Some(after.from) {
            return Self::Resumed;
        }
        match (before.what.item, after.what.item) {
            (Item::Vm(_, PowerState::Stopped), Item::Vm(_, PowerState::Running)) => Self::Started,
            (Item::Vm(_, PowerState::Running), Item::Vm(_, PowerState::Stopped)) => Self::Stopped,
            (Item::Vm(one, _), Item::Vm(other, _)) if one != other => Self::Resized,
            (one, other) if one != other => Self::Image,
            _ if before.what.quantity != after.what.quantity => Self::Quantity,
            _ if before.what.list != after.what.list => Self::List,
            _ => Self::Resumed,
        }
    }
}

/// What a meter was for a while.
#[derive(Debug, Clone)]
pub struct Was {
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here; none: it goes on.
    pub to: Option<DateTime<Utc>>,
    /// What it was.
    pub item: Item,
    /// The name of the plan or the image.
    pub item_name: Option<String>,
    /// How many units.
    pub quantity: i64,
    /// The name of the price list.
    pub list: String,
    /// Why it began.
    pub changed: Changed,
}

/// A charge with everything it follows from.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The charge as it is in the books.
    pub charge: ChargeLine,
    /// Its price.
    pub price: PriceOfCharge,
    /// The intervals that it is a part of.
    pub intervals: Vec<Was>,
    /// The billing month.
    pub month: Month,
    /// When that month began.
    pub month_start: DateTime<Utc>,
    /// How long the charged time is, in microseconds.
    pub micros: i64,
    /// What the rate comes to in that time, before any cap, in currency × seconds.
    pub ran_up: Accrued,
    /// What the meter had accrued in the month before it.
    pub before: Accrued,
    /// What it has accrued with it: never more than the cap is worth.
    pub after: Accrued,
    /// The highest monthly cap the meter had had in the month; none: no limit.
    pub cap: Option<Money>,
    /// Whether the cap made it less than rate × time.
    pub is_capped: bool,
    /// What was accrued before, rounded.
    pub rounded_before: Money,
    /// What is accrued with it, rounded.
    pub rounded_after: Money,
}

impl Explanation {
    /// What the arithmetic comes to.
    #[must_use]
    pub fn amount(&self) -> Money {
        self.rounded_after - self.rounded_before
    }

    /// Whether that is what was charged.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.amount() == self.charge.amount
    }
}

/// Explains a charge of an organisation.
///
/// # Errors
/// `NotFound` when the organisation has no such charge.
pub async fn explain(app: &App, organisation: OrganisationId, key: ChargeKey) -> Result<Explanation> {
    let (charge, price) =
        db::history::select_charge(&app.pool, organisation, key).await?.ok_or(Error::NotFound("charge"))?;
    let zone = app.settings.time_zone;
    let month = Month::of(key.from, zone);
    let month_start = month.start(zone);
    let stored = db::history::select_intervals(&app.pool, key.meter, month_start, charge.to, INTERVALS_MAX).await?;
    let mut connection = app.pool.acquire().await?;
    let book = catalog::price_book(&mut connection).await?;
    drop(connection);

    let mut state = MeterState::new(month);
    let rate = |state: &mut MeterState, from, to| -> Result<()> {
        let pieces = pieces(&book, &stored, from, to)?;
        Ok(billing::rate_pieces(state, &pieces, zone, |_| {}).context("while explaining a charge")?)
    };
    rate(&mut state, month_start, key.from)?;
    let before = state.accrued;
    rate(&mut state, key.from, charge.to)?;

    let lasted = charge.to - key.from;
    let ran_up = charge.rate.over(lasted);
    let explanation = Explanation {
        intervals: intervals(&stored, key.from, charge.to),
        price,
        month,
        month_start,
        micros: lasted.num_microseconds().unwrap_or(TimeDelta::MAX.num_seconds()),
        ran_up,
        before,
        after: state.accrued,
        cap: state.cap,
        is_capped: before + ran_up > state.accrued,
        rounded_before: round6(before),
        rounded_after: round6(state.accrued),
        charge,
    };
    if !explanation.is_proved() {
        tracing::error!(%organisation, meter = %key.meter, from = %key.from, "a charge is not what its intervals come to");
    }
    Ok(explanation)
}

fn pieces(book: &PriceBook, stored: &[Stored], from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Piece>> {
    let (mut pieces, mut prices) = (Vec::new(), Vec::new());
    for interval in stored {
        let until = interval.to.map_or(to, |end| end.min(to));
        book.cut(interval.what, interval.from.max(from), until, &mut pieces, &mut prices)
            .context("while explaining a charge")?;
    }
    Ok(pieces)
}

fn intervals(stored: &[Stored], from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Was> {
    let mut found = Vec::new();
    for (index, interval) in stored.iter().enumerate() {
        if interval.from < to && interval.to.is_none_or(|end| end > from) {
            let before = index.checked_sub(1).and_then(|index| stored.get(index));
            found.push(Was {
                from: interval.from,
                to: interval.to,
                item: interval.what.item,
                item_name: interval.item_name.clone(),
                quantity: interval.what.quantity,
                list: interval.list_name.clone(),
                changed: Changed::between(before, interval),
            });
        }
    }
    found
}
