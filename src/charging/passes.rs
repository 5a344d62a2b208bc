//! Passes: what is foreseen before anything is written, and what is unlike the usual and waits for a person. What that person
//! decides is in `decide`, charging itself in `pass`.

use billing::{Breaker, BreakerRules, HoldReason, Money, ProjectedPass};
use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use super::decide::{Decision, decide};

use super::db::{self, passes};
use super::rated;
use crate::app::App;
use crate::error::Result;
use crate::fault;
use crate::ids::PassId;
use crate::live;
use crate::platform_settings::{self, PlatformSettings};

/// Of how many passes the median is what is usual: a week of hours.
const USUAL_PASSES: i64 = 168;
/// How many months ahead there are partitions for charges.
const MONTHS_AHEAD: u32 = 2;
/// How many months of missed time a pass makes partitions for, which is as far as charging reaches back.
const MONTHS_BACK_MAX: u32 = 600;
/// How many passes a page shows.
pub const PAGE_MAX: i64 = 100;

/// What a pass is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = PassKind)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A full hour of every wallet.
    Hourly,
    /// The ends of several wallets' credit between two full hours.
    RunOuts,
    /// Time that was missed for longer than is caught up without a person.
    CatchUp,
}

impl Kind {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::RunOuts => "run_outs",
            Self::CatchUp => "catch_up",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hourly, Self::RunOuts, Self::CatchUp].into_iter().find(|kind| kind.name() == text)
    }
}

/// How far a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = PassStatus)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Wallets are being charged.
    Running,
    /// All of them are.
    Done,
    /// It waits for a person; nothing is written.
    Held,
    /// A person let it go on.
    Approved,
    /// A person said that it must not go on as it is; nothing is written until one approves.
    Refused,
    /// A person let its time go by without a charge.
    Waived,
}

impl Status {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Held => "held",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Waived => "waived",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Held, Self::Approved, Self::Refused, Self::Waived]
            .into_iter()
            .find(|status| status.name() == text)
    }

    /// Whether it waits for a person.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Held | Self::Refused)
    }
}

/// Why a pass is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reason {
    /// It is unlike the usual.
    Breaker(HoldReason),
    /// It reaches back further than is charged without a person.
    Missed {
        /// How many hours it reaches back.
        missed_hours: i64,
        /// How many are caught up without a person.
        limit_hours: i32,
    },
}

/// What a pass is going to do.
///
/// The amount is computed from each wallet's burn (what its meters cost per hour as they were when it was last looked at,
/// less those at their cap) times the time since its cursor, and at most its credit. That is exact for every machine that
/// was not changed since, as long as no cap was reached and no price changed; a price that began inside the time makes the
/// pass rate everything instead, which costs as much as charging does and is exact.
#[derive(Debug, Clone, Copy)]
pub struct Foreseen {
    /// The oldest cursor.
    pub from: DateTime<Utc>,
    /// How many wallets.
    pub wallets: i64,
    /// How many of them run out.
    pub ending: i64,
    /// What is going to be charged.
    pub amount: Money,
    /// How many running machines belong to the wallets that run out: no more than these are stopped.
    pub stops: i64,
    /// How many run at all; at least so many that they can be called few or not, while no wallet runs out.
    pub running: i64,
}

/// A pass as it is written down.
#[derive(Debug, Clone)]
pub struct PassRecord {
    /// Its id.
    pub id: PassId,
    /// What it is about.
    pub kind: Kind,
    /// The oldest cursor of its wallets.
    pub from: DateTime<Utc>,
    /// The instant through which it charges.
    pub through: DateTime<Utc>,
    /// How many hours that are.
    pub hours: i32,
    /// How far it is.
    pub status: Status,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was done.
    pub finished_at: Option<DateTime<Utc>>,
    /// Wallets charged.
    pub wallets: i64,
    /// Charges written.
    pub charges: i64,
    /// What was charged.
    pub amount: Money,
    /// Wallets that ran out.
    pub ran_out: i64,
    /// Wallets that could not be charged.
    pub failed: i64,
    /// How many wallets were foreseen.
    pub projected_wallets: i64,
    /// What was foreseen to be charged.
    pub projected_amount: Money,
    /// How many machines were foreseen to stop.
    pub projected_stops: i64,
    /// How many ran.
    pub running_vms: i64,
    /// What was usual for an hour.
    pub usual_amount: Option<Money>,
    /// Why it is or was held.
    pub reasons: Vec<Reason>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
}

/// A pass that charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sweep {
    /// Its id.
    pub id: PassId,
    /// The full hour through which it charges.
    pub hour: DateTime<Utc>,
    /// A person let it go on, however far it reaches back.
    pub is_approved: bool,
    /// How many wallets were foreseen.
    pub wallets: i64,
}

/// What the passes allow just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Wallets are charged, and it is written down at this pass.
    Sweep(Sweep),
    /// The hour is done.
    Done,
    /// The hour is held for what it would charge; the ends of credit go on.
    OnlyRunOuts,
    /// The hour is held for what it would stop: nothing goes on.
    Nothing,
}

/// What is allowed now. Opens the pass of the last full hour if nobody has.
pub(super) async fn gate(app: &App, now: DateTime<Utc>) -> Result<Gate> {
    let hour = billing::hour_floor(now);
    let latest = passes::select_latest_hourly(&app.pool).await?;
    if let Some(gate) = known(latest.as_ref(), hour) {
        return Ok(gate);
    }
    for month in months(app, now).await? {
        db::ensure_partition(&app.pool, month).await?;
    }
    // What a held pass waits for is not missed: it is decided with that pass.
    if !latest.is_some_and(|latest| latest.status.is_waiting()) {
        hold_behind(app, now).await?;
    }
    let mut transaction = app.pool.begin().await?;
    passes::lock(&mut transaction).await?;
    let latest = passes::select_latest_hourly(&mut *transaction).await?;
    if let Some(gate) = known(latest.as_ref(), hour) {
        return Ok(gate);
    }
    let settings = platform_settings::read(&mut transaction).await?;
    let mut foreseen = passes::foresee_hour(&mut transaction, hour, settings.breaker_vms_min.into()).await?;
    if foreseen.wallets > 0 && passes::is_price_change_within(&mut transaction, foreseen.from, hour).await? {
        foreseen.amount = rated::total(&mut transaction, hour, app.settings.time_zone).await?;
    }
    let hours = hours_between(foreseen.from, hour);
    if let Some(held) = latest.filter(|latest| latest.status.is_waiting()) {
        passes::update_foreseen(&mut transaction, held.id, hour, hours, &foreseen).await?;
        transaction.commit().await?;
        return Ok(held.gate());
    }
    let last = passes::select_last_amounts(&mut transaction, USUAL_PASSES).await?;
    let reasons = judge(&settings, &foreseen, hours, &last);
    let status = match (reasons.is_empty(), foreseen.wallets) {
        (true, 0) => Status::Done,
        (true, _) => Status::Running,
        (false, _) => Status::Held,
    };
    let pass = passes::NewPass {
        id: PassId::new(),
        kind: Kind::Hourly,
        through: hour,
        hours,
        status,
        at: now,
        foreseen: &foreseen,
        usual: billing::usual_amount(&last),
        reasons: json!(reasons),
    };
    passes::insert(&mut transaction, &pass).await?;
    if status == Status::Held {
        tracing::error!(pass = %pass.id, through = %hour, amount = %foreseen.amount, stops = foreseen.stops, "a billing pass is held for a person");
        live::announce(&mut transaction, None, "exceptions").await?;
    }
    transaction.commit().await?;
    fault::point("charging.opened");
    Ok(match status {
        Status::Running => Gate::Sweep(Sweep { id: pass.id, hour, is_approved: false, wallets: foreseen.wallets }),
        Status::Held => held_gate(&reasons),
        _ => Gate::Done,
    })
}

/// What the latest pass of an hour allows; none when the hour has no pass yet, or one that must be computed anew.
fn known(latest: Option<&PassRecord>, hour: DateTime<Utc>) -> Option<Gate> {
    let latest = latest?;
    match latest.status {
        Status::Running | Status::Approved => {
            let is_approved = latest.status == Status::Approved;
            Some(Gate::Sweep(Sweep {
                id: latest.id,
                hour: latest.through,
                is_approved,
                wallets: latest.projected_wallets,
            }))
        }
        Status::Held | Status::Refused if latest.through >= hour => Some(latest.gate()),
        Status::Done | Status::Waived if latest.through >= hour => Some(Gate::Done),
        Status::Held | Status::Refused | Status::Done | Status::Waived => None,
    }
}

impl PassRecord {
    fn gate(&self) -> Gate {
        held_gate(&self.reasons)
    }

    /// Whether its time can go by without a charge: only what was missed.
    #[must_use]
    pub fn may_waive(&self) -> bool {
        self.kind == Kind::CatchUp
    }
}

fn held_gate(reasons: &[Reason]) -> Gate {
    let stops = |reason: &Reason| matches!(reason, Reason::Breaker(HoldReason::Stops { .. }));
    if reasons.iter().any(stops) { Gate::Nothing } else { Gate::OnlyRunOuts }
}

fn hours_between(from: DateTime<Utc>, to: DateTime<Utc>) -> i32 {
    let seconds = (to - from).num_seconds().max(0);
    i32::try_from((seconds + 3599) / 3600).unwrap_or(i32::MAX).max(1)
}

fn judge(settings: &PlatformSettings, foreseen: &Foreseen, hours: i32, last: &[Money]) -> Vec<Reason> {
    let positive = |number: i32| u32::try_from(number).unwrap_or(0);
    let whole = |number: i64| u64::try_from(number).unwrap_or(0);
    // On a platform with few machines one order is more than the usual, several times over.
    let is_small = foreseen.running < i64::from(settings.breaker_vms_min);
    let rules = BreakerRules {
        factor_hundredths: positive(settings.breaker_factor_hundredths),
        stop_percent: positive(settings.breaker_stop_percent),
        vms_min: u64::from(positive(settings.breaker_vms_min)),
    };
    let pass = ProjectedPass {
        amount: foreseen.amount,
        hours: positive(hours),
        // The end of one customer's credit is his own affair, however large he is.
        stopping: if foreseen.ending > 1 { whole(foreseen.stops) } else { 0 },
        running: whole(foreseen.running),
    };
    match rules.judge(&pass, if is_small { &[] } else { last }) {
        Breaker::Go => Vec::new(),
        Breaker::Hold(reasons) => reasons.into_iter().map(Reason::Breaker).collect(),
    }
}

/// The months whose partitions must be there: from the oldest cursor to the month after next.
async fn months(app: &App, now: DateTime<Utc>) -> Result<Vec<NaiveDate>> {
    let oldest = passes::select_oldest_cursor(&app.pool).await?;
    let first = first_day(oldest.map_or(now, |oldest| oldest.min(now)));
    let last = first_day(now).checked_add_months(Months::new(MONTHS_AHEAD));
    let month = |number| first.checked_add_months(Months::new(number));
    Ok((0..MONTHS_BACK_MAX).map_while(month).take_while(|month| last.is_some_and(|last| *month <= last)).collect())
}

/// The first day of an instant's month, in UTC: that of the partition in which its charges lie.
pub(super) fn first_day(at: DateTime<Utc>) -> NaiveDate {
    let date = at.date_naive();
    date.with_day(1).unwrap_or(date)
}

/// Holds the wallets that are further behind than the limit, in a pass of their own. Says whether there are any.
pub(super) async fn hold_behind(app: &App, now: DateTime<Utc>) -> Result<bool> {
    let through = billing::hour_floor(now);
    let mut transaction = app.pool.begin().await?;
    let limit_hours = platform_settings::read(&mut transaction).await?.catch_up_hours;
    let nothing = Foreseen { from: through, wallets: 0, ending: 0, amount: Money::ZERO, stops: 0, running: 0 };
    let mut pass = passes::NewPass {
        id: PassId::new(),
        kind: Kind::CatchUp,
        through,
        hours: 1,
        status: Status::Held,
        at: now,
        foreseen: &nothing,
        usual: None,
        reasons: json!([]),
    };
    passes::insert(&mut transaction, &pass).await?;
    let Some(behind) = passes::hold_behind(&mut transaction, pass.id, through, limit_hours).await? else {
        // Rolled back: there is no such pass.
        return Ok(false);
    };
    pass.hours = hours_between(behind.from, through);
    let reason = Reason::Missed { missed_hours: i64::from(pass.hours), limit_hours };
    passes::set_held(&mut transaction, pass.id, &behind, pass.hours, &json!([reason])).await?;
    tracing::error!(pass = %pass.id, wallets = behind.wallets, from = %behind.from, "missed time is held for a person");
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    Ok(true)
}

/// Holds the run-outs that are due if they would stop more than is usual. Says whether it did. What a person has let stop by
/// approving the hour is not asked about again.
pub(super) async fn hold_run_outs(app: &App, now: DateTime<Utc>, gate: Gate) -> Result<bool> {
    let ends = passes::Ends {
        now,
        while_held: gate == Gate::OnlyRunOuts,
        seen: match gate {
            Gate::Sweep(sweep) if sweep.is_approved => Some(sweep.hour),
            Gate::Sweep(_) | Gate::Done | Gate::OnlyRunOuts | Gate::Nothing => None,
        },
    };
    let mut transaction = app.pool.begin().await?;
    // The end of one customer's credit is his own affair, however large he is.
    if passes::select_ended(&mut transaction, &ends).await?.len() < 2 {
        return Ok(false);
    }
    // Another process may be about to hold them.
    passes::lock(&mut transaction).await?;
    let ended = passes::select_ended(&mut transaction, &ends).await?;
    if ended.len() < 2 {
        return Ok(false);
    }
    let foreseen = passes::foresee_run_outs(&mut transaction, &ended, now).await?;
    let settings = platform_settings::read(&mut transaction).await?;
    // The amount is no matter here: nobody pays more than he has, and the hour is judged as a whole.
    let reasons = judge(&settings, &Foreseen { amount: Money::ZERO, ..foreseen }, 1, &[]);
    if reasons.is_empty() {
        return Ok(false);
    }
    let pass = passes::NewPass {
        id: PassId::new(),
        kind: Kind::RunOuts,
        through: now,
        hours: hours_between(foreseen.from, now),
        status: Status::Held,
        at: now,
        foreseen: &foreseen,
        usual: None,
        reasons: json!(reasons),
    };
    passes::insert(&mut transaction, &pass).await?;
    if passes::hold_run_outs(&mut transaction, pass.id, &ended, now).await? == 0 {
        // Rolled back: somebody works on all of them, and there is no such pass.
        return Ok(false);
    }
    tracing::error!(pass = %pass.id, wallets = foreseen.wallets, stops = foreseen.stops, "run-outs are held for a person");
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    Ok(true)
}

/// The latest passes, those that wait for a person first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App) -> Result<Vec<PassRecord>> {
    passes::select_list(&app.pool, PAGE_MAX).await
}

/// The passes that wait for a person, longest waiting first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn held(app: &App) -> Result<Vec<PassRecord>> {
    passes::select_held(&app.pool, PAGE_MAX).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_an_hour_counts_as_one() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let hour = at("2026-11-20T13:00:00Z");

        assert_eq!(hours_between(hour, hour), 1);
        assert_eq!(hours_between(at("2026-11-20T12:00:00Z"), hour), 1);
        assert_eq!(hours_between(at("2026-11-20T11:59:59Z"), hour), 2);
    }

    #[test]
    fn reasons_are_read_as_they_are_written() {
        let reasons = vec![
            Reason::Breaker(HoldReason::Stops { stopping: 3, running: 10, at_most: 2 }),
            Reason::Missed { missed_hours: 960, limit_hours: 48 },
        ];
        let text = serde_json::to_string(&reasons).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Reason>>(&text).unwrap(), reasons);
    }
}
