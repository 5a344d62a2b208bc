//! Figures for operators: what was charged by day and plan, and which wallets end soon. It only reads.

mod db;

use billing::{Money, Month, Rate};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use crate::app::App;
use crate::catalog::Resource;
use crate::error::Result;
use crate::ids::{OrganisationId, PlanId};

/// Further ahead than any run-out that is foreseen, in days.
const HORIZON_DAYS: i64 = 3_660;
/// The most wallets one page shows.
pub const WALLETS_MAX: i64 = 100;

/// What was sold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sold {
    /// Which line of machines.
    pub resource: Resource,
    /// The plan, of machines themselves.
    pub plan: Option<PlanId>,
    /// The plan's name; empty for what machines have beside themselves.
    pub plan_name: String,
}

/// What was charged for one thing on one day.
#[derive(Debug, Clone)]
pub struct Part {
    /// The day, in the platform's time zone.
    pub day: NaiveDate,
    /// What was sold.
    pub sold: Sold,
    /// All of it.
    pub amount: Money,
}

/// What all customers were charged for the time of a month.
#[derive(Debug, Clone)]
pub struct Revenue {
    /// The month.
    pub month: Month,
    /// By day and plan, in the order of days.
    pub parts: Vec<Part>,
    /// All of it.
    pub total: Money,
    /// All of the month before.
    pub total_before: Money,
    /// Of the month before, what was charged for the same time of it; none when the month is over or was not yet.
    pub before_by_now: Option<Money>,
}

/// What all customers were charged for the time of a month, by day and plan.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_month(app: &App, month: Month) -> Result<Revenue> {
    let zone = app.settings.time_zone;
    let (from, to, now) = (month.start(zone), month.end(zone), app.clock.now());
    let parts = db::select_parts(&app.pool, from, to, zone.name()).await?;
    let total = parts.iter().map(|part| part.amount).sum();
    let before = month_before(month);
    let total_before = match before {
        Some(before) => db::select_total(&app.pool, before.start(zone), from).await?,
        None => Money::ZERO,
    };
    let before_by_now = match before.filter(|_| (from..to).contains(&now)) {
        Some(before) => {
            let began = before.start(zone);
            Some(db::select_total(&app.pool, began, (began + (now - from)).min(from)).await?)
        }
        None => None,
    };
    Ok(Revenue { month, parts, total, total_before, before_by_now })
}

/// The month before, if the calendar has one.
#[must_use]
pub fn month_before(month: Month) -> Option<Month> {
    month.first_day().pred_opt().filter(|day| day.year() >= 1).map(Month::from)
}

/// Which wallets an operator looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// All that run out within the horizon, next first.
    #[default]
    Any,
    /// Within an hour.
    Hour,
    /// Within a day.
    Day,
    /// Within a week.
    Week,
    /// Those that have run out, longest ago first.
    RunOut,
    /// Those below zero.
    BelowZero,
    /// Those that a pass could not charge, longest waiting first.
    Parked,
}

impl Ending {
    /// Every choice.
    pub const ALL: [Self; 7] =
        [Self::Any, Self::Hour, Self::Day, Self::Week, Self::RunOut, Self::BelowZero, Self::Parked];

    /// Its name in URLs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::RunOut => "run_out",
            Self::BelowZero => "below_zero",
            Self::Parked => "parked",
        }
    }

    /// Reads its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.name() == text)
    }

    /// Before which instant those must run out that are asked for by it.
    fn before(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Hour => Some(now + TimeDelta::hours(1)),
            Self::Day => Some(now + TimeDelta::hours(24)),
            Self::Week => Some(now + TimeDelta::days(7)),
            Self::Any => Some(now + TimeDelta::days(HORIZON_DAYS)),
            Self::RunOut | Self::BelowZero | Self::Parked => None,
        }
    }
}

/// A wallet as operators see it among others.
#[derive(Debug, Clone)]
pub struct WalletLine {
    /// Whose.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub name: String,
    /// Credits less debits.
    pub balance: Money,
    /// How far below zero it may go.
    pub credit_limit: Money,
    /// What runs up charges now, per hour.
    pub burn_per_hour: Rate,
    /// When the credit runs out.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// Since when it has run out.
    pub exhausted_at: Option<DateTime<Utc>>,
    /// Everything before this instant is charged.
    pub charged_through: DateTime<Utc>,
    /// Why the last pass could not charge it, for operators.
    pub charging_error: Option<String>,
}

/// The wallets an operator asks for, after the one of `after` in their order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn wallets(app: &App, ending: Ending, after: Option<OrganisationId>, limit: i64) -> Result<Vec<WalletLine>> {
    let limit = limit.clamp(1, WALLETS_MAX + 1);
    match (ending, ending.before(app.clock.now())) {
        (_, Some(before)) => db::select_ending(&app.pool, before, after, limit).await,
        (Ending::RunOut, None) => db::select_run_out(&app.pool, after, limit).await,
        (Ending::Parked, None) => db::select_parked(&app.pool, after, limit).await,
        (_, None) => db::select_below_zero(&app.pool, after, limit).await,
    }
}

/// How many wallets there are of each kind, and what all of them burn.
#[derive(Debug, Clone, Copy, serde::Serialize, utoipa::ToSchema)]
pub struct WalletCounts {
    /// Those that run out within the horizon.
    pub any: i64,
    /// Within an hour.
    pub hour: i64,
    /// Within a day.
    pub day: i64,
    /// Within a week.
    pub week: i64,
    /// Those that have run out.
    pub run_out: i64,
    /// Those below zero.
    pub below_zero: i64,
    /// Those that a pass could not charge.
    pub parked: i64,
    /// What all wallets burn per hour.
    pub burn_per_hour: Rate,
    /// What is in all wallets above zero: what customers have paid for and not used.
    pub credit: Money,
    /// What all wallets are below zero together, as an amount above zero.
    pub debt: Money,
}

/// Counts all wallets.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn count_wallets(app: &App) -> Result<WalletCounts> {
    let now = app.clock.now();
    let before = |ending: Ending| ending.before(now).unwrap_or(now);
    db::select_counts(&app.pool, [before(Ending::Hour), before(Ending::Day), before(Ending::Week)]).await
}
