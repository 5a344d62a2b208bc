//! What an organisation was charged, from the month down to the single charge: by day, by machine and line, and line by line.
//! A day is one of the platform's time zone, as a month is, so that the days of a month add up to it. Each question is about
//! one month at most and reads one range of one organisation.

use std::fmt;
use std::str::FromStr;

use billing::{Money, Month, Rate};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::{db, midnight_of};
use crate::app::App;
use crate::catalog::{Item, Resource};
use crate::error::Result;
use crate::ids::{MeterId, OrganisationId, VmId};

/// How many charges one page has at most.
pub const CHARGES_MAX: i64 = 500;

/// What names a charge of an organisation, and its place in the order of charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChargeKey {
    /// When the charged time begins.
    pub from: DateTime<Utc>,
    /// What was metered.
    pub meter: MeterId,
}

impl fmt::Display for ChargeKey {
    /// As a cursor: microseconds since 1970 and the meter.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.from.timestamp_micros(), self.meter)
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of charges")]
pub struct NotACursor;

impl FromStr for ChargeKey {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (micros, meter) = text.split_once('.').ok_or(NotACursor)?;
        let from = micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(NotACursor)?;
        let meter = meter.parse::<Uuid>().map_err(|_| NotACursor)?;
        Ok(Self { from, meter: meter.into() })
    }
}

/// A charge as its payer sees it.
#[derive(Debug, Clone)]
pub struct ChargeLine {
    /// What names it.
    pub key: ChargeKey,
    /// The machine.
    pub vm: VmId,
    /// Its name.
    pub vm_name: String,
    /// Whether it is gone.
    pub is_deleted: bool,
    /// Charged until here.
    pub to: DateTime<Utc>,
    /// What for.
    pub item: Item,
    /// The name of the plan of a machine, of the image of a licence.
    pub item_name: Option<String>,
    /// How many units of it.
    pub quantity: i64,
    /// Per hour, for all units.
    pub rate: Rate,
    /// How much.
    pub amount: Money,
}

/// Which charges.
#[derive(Debug, Clone, Copy)]
pub struct LinesFilter {
    /// Of time that begins here or later.
    pub from: DateTime<Utc>,
    /// Of time that begins before this instant.
    pub to: DateTime<Utc>,
    /// Only of this machine.
    pub vm: Option<VmId>,
    /// Those before this one.
    pub after: Option<ChargeKey>,
}

/// The charges of an organisation that a filter leaves, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn charge_lines(
    app: &App,
    organisation: OrganisationId,
    filter: &LinesFilter,
    limit: i64,
) -> Result<Vec<ChargeLine>> {
    db::history::select_lines(&app.pool, organisation, filter, limit).await
}

/// What was charged for the time of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTotal {
    /// The day, in the platform's time zone.
    pub day: NaiveDate,
    /// All charges of it.
    pub amount: Money,
}

/// What an organisation was charged on each day of a month on which it was charged anything, latest day first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn days_of(app: &App, organisation: OrganisationId, month: Month) -> Result<Vec<DayTotal>> {
    let zone = app.settings.time_zone;
    db::history::select_days(&app.pool, organisation, month.start(zone), month.end(zone), zone.name()).await
}

/// What a line of a machine was charged in a time.
#[derive(Debug, Clone)]
pub struct LineTotal {
    /// The machine.
    pub vm: VmId,
    /// Its name.
    pub vm_name: String,
    /// Whether it is gone.
    pub is_deleted: bool,
    /// The line.
    pub resource: Resource,
    /// How much.
    pub amount: Money,
}

/// What each line of each machine of an organisation was charged in `[from, to)`, machine by machine in the order of their
/// names.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn totals_by_line(
    app: &App,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<LineTotal>> {
    db::history::select_totals(&app.pool, organisation, from, to).await
}

/// The first and last-but-one instant of a day in a time zone; a day on which clocks change has 23 or 25 hours.
#[must_use]
pub fn span_of_day(day: NaiveDate, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
    (midnight_of(day, zone), midnight_of(day + chrono::Days::new(1), zone))
}

/// The month of the platform that it is.
#[must_use]
pub fn month_of(app: &App, at: DateTime<Utc>) -> Month {
    Month::of(at, app.settings.time_zone)
}
