//! How long a balance will last if everything stays as it is, caps and month starts included.
//! A prediction: what is charged comes from `rating`, and to which instant a balance has paid from `run_out`.

use std::ops::Add;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::accrued::Accrued;
use crate::money::Money;
use crate::period::{Month, MonthSpan, instant};
use crate::rate::Rate;
use crate::rating::MeterState;

/// How many billing months a prediction looks ahead, the current one included.
pub const HORIZON_MONTHS: u32 = 24;

/// A meter that goes on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurnLine {
    /// What the meter has accrued. A state of another month than the one asked about counts as nothing accrued.
    pub state: MeterState,
    /// What it costs per hour from now on.
    pub rate: Rate,
    /// Its monthly cap from now on; in the current month the highest cap it has had counts.
    pub cap: Option<Money>,
}

impl BurnLine {
    /// How many units the line can still accrue in a month; `None` is without limit.
    fn room(&self, month: Month) -> Option<i128> {
        if self.state.month == month { self.state.room(self.cap) } else { MeterState::new(month).room(self.cap) }
    }

    /// What the line accrues in some microseconds of a month.
    fn accrues(&self, month: Month, micros: i64) -> Accrued {
        let wanted = self.rate.over_micros(micros).units();
        let granted = self.room(month).map_or(wanted, |room| wanted.min(room));
        Accrued::from_units(granted)
    }
}

/// When a balance runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsOut {
    /// At this instant: the first microsecond at which more has accrued than the balance.
    At(DateTime<Utc>),
    /// Not at all: nothing burns.
    Never,
    /// Not before this instant, [`HORIZON_MONTHS`] months ahead; nothing has been computed behind it.
    Beyond(DateTime<Utc>),
}

/// Predicts when a balance runs out if all lines go on from `from` as they are.
///
/// Each line burns until its monthly cap, then nothing until the next month starts. The law: `At(t)` is the first whole
/// microsecond at which the exact sum of what the lines accrue in `[from, t)` exceeds the balance. Charges differ from the
/// exact sum by their roundings: by at most one micro of money per line, and half a micro more per line for each further
/// month. So [`run_out_instant`](crate::run_out_instant) of the same meters lies between the predictions for a balance that
/// much smaller and that much larger. A balance below zero has run out at `from`.
///
/// # Panics
/// Less than [`HORIZON_MONTHS`] before the end of the year 9999.
pub fn runs_out_at(balance: Money, lines: &[BurnLine], from: DateTime<Utc>, zone: Tz) -> RunsOut {
    let at = from.timestamp_micros();
    if balance.is_negative() {
        return RunsOut::At(instant(at));
    }
    runs_out_from(Accrued::worth(balance), lines, at, zone)
}

/// What the lines cost from an instant on: a rate and a cap for each, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChange {
    /// From here on.
    pub at: DateTime<Utc>,
    /// Of each line.
    pub prices: Vec<(Rate, Option<Money>)>,
}

/// As [`runs_out_at`], if the lines go on and their prices change at known instants, which come in the order of time. A change
/// at `from` or before holds from `from` on. The same law holds for the exact sum under the prices of each time.
///
/// # Panics
/// As [`runs_out_at`].
pub fn runs_out_at_with_changes(
    balance: Money,
    lines: &[BurnLine],
    changes: &[PriceChange],
    from: DateTime<Utc>,
    zone: Tz,
) -> RunsOut {
    let mut at = from.timestamp_micros();
    if balance.is_negative() {
        return RunsOut::At(instant(at));
    }
    let horizon = HorizonEnd::of(at, zone);
    let mut left = Accrued::worth(balance);
    let mut lines = lines.to_vec();
    for change in changes {
        let until = change.at.timestamp_micros().min(horizon.0);
        match pass_until(left, &mut lines, at, until, zone) {
            Ok(rest) => left = rest,
            Err(ended) => return RunsOut::At(ended),
        }
        at = at.max(until);
        for (line, (rate, cap)) in lines.iter_mut().zip(&change.prices) {
            (line.rate, line.cap) = (*rate, *cap);
        }
    }
    runs_out_from(left, &lines, at, zone)
}

/// The end of the months that a prediction looks at, in microseconds.
struct HorizonEnd(i64);

impl HorizonEnd {
    fn of(at: i64, zone: Tz) -> Self {
        let mut month = MonthSpan::of(at, zone);
        for _ in 1..HORIZON_MONTHS {
            month = month.next(zone);
        }
        Self(month.end)
    }
}

/// Lets the lines go on until an instant, month by month. Answers with what is left then, or when it ran out.
fn pass_until(
    mut left: Accrued,
    lines: &mut [BurnLine],
    mut at: i64,
    until: i64,
    zone: Tz,
) -> Result<Accrued, DateTime<Utc>> {
    while at < until {
        let month = MonthSpan::of(at, zone);
        let micros = month.end.min(until) - at;
        let accrued = accrued_by(lines, month.month, micros);
        if accrued > left {
            return Err(instant(at + first_above(lines, month.month, micros, left)));
        }
        left = Accrued::from_units(left.units() - accrued.units());
        for line in lines.iter_mut() {
            line.state.enter(month.month);
            line.state.accrue(micros, line.rate, line.cap);
        }
        at += micros;
    }
    Ok(left)
}

fn runs_out_from(mut left: Accrued, lines: &[BurnLine], mut at: i64, zone: Tz) -> RunsOut {
    let mut month = MonthSpan::of(at, zone);
    for passed in 0..HORIZON_MONTHS {
        let rest = month.end - at;
        let accrued = accrued_by(lines, month.month, rest);
        if accrued > left {
            let micros = first_above(lines, month.month, rest, left);
            return RunsOut::At(instant(at + micros));
        }
        // A whole month in which nothing accrues is like every later one. The current month is not: a line may be at its cap.
        if accrued == Accrued::ZERO && passed > 0 {
            return RunsOut::Never;
        }
        left = Accrued::from_units(left.units() - accrued.units());
        at = month.end;
        month = month.next(zone);
    }
    RunsOut::Beyond(instant(at))
}

/// What is burnt per hour at an instant: the sum of the rates of all lines that are not at their cap.
///
/// # Panics
/// Outside the months 0001-01 to 9999-11.
pub fn burn(lines: &[BurnLine], at: DateTime<Utc>, zone: Tz) -> Rate {
    let month = Month::of(at, zone);
    lines.iter().filter(|line| line.room(month) != Some(0)).map(|line| line.rate).sum()
}

fn accrued_by(lines: &[BurnLine], month: Month, micros: i64) -> Accrued {
    lines.iter().map(|line| line.accrues(month, micros)).fold(Accrued::ZERO, Add::add)
}

/// The first number of microseconds after which more than `left` has accrued, given that it has after `rest`. What accrues
/// never falls, so halving finds it in at most 42 rounds: a month has fewer than 2^42 microseconds.
fn first_above(lines: &[BurnLine], month: Month, rest: i64, left: Accrued) -> i64 {
    let (mut within, mut above) = (0, rest);
    while above - within > 1 {
        let middle = within + (above - within) / 2;
        if accrued_by(lines, month, middle) > left {
            above = middle;
        } else {
            within = middle;
        }
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a written instant")
    }

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn line(accrued: &str, rate: &str, cap: Option<&str>) -> BurnLine {
        let month = "2026-11".parse().expect("a written month");
        BurnLine {
            state: MeterState { accrued: Accrued::worth(money(accrued)), ..MeterState::new(month) },
            rate: rate.parse().expect("a written rate"),
            cap: cap.map(money),
        }
    }

    const ZONE: Tz = Tz::UTC;

    #[test]
    fn a_balance_lasts_balance_by_burn_without_caps() {
        let noon = at("2026-11-20T12:00:00Z");
        let lines = [line("0", "0.5", None), line("3", "1.5", None)];

        assert_eq!(burn(&lines, noon, ZONE).to_string(), "2");
        assert_eq!(
            runs_out_at(money("20"), &lines, noon, ZONE),
            RunsOut::At(noon + TimeDelta::hours(10) + TimeDelta::microseconds(1)),
            "at ten hours it is just paid, a microsecond later it is not"
        );
    }

    #[test]
    fn a_capped_line_rests_until_the_next_month() {
        let noon = at("2026-11-20T12:00:00Z");
        // Two more of currency until the cap, thus two hours; then nothing until December, then five hours.
        let lines = [line("8", "1", Some("10"))];

        assert_eq!(
            runs_out_at(money("7"), &lines, noon, ZONE),
            RunsOut::At(at("2026-12-01T05:00:00Z") + TimeDelta::microseconds(1))
        );
        assert_eq!(burn(&lines, noon, ZONE).to_string(), "1");
        assert_eq!(burn(&[line("10", "1", Some("10"))], noon, ZONE), Rate::ZERO);
        assert_eq!(burn(&[line("10", "1", Some("10"))], at("2026-12-01T00:00:00Z"), ZONE).to_string(), "1");
    }

    #[test]
    fn a_month_keeps_the_highest_cap_it_had() {
        let noon = at("2026-11-20T12:00:00Z");
        let mut lowered = line("8", "1", Some("5"));
        lowered.state.cap = Some(money("10"));

        assert_eq!(
            runs_out_at(money("3"), &[lowered], noon, ZONE),
            RunsOut::At(at("2026-12-01T01:00:00Z") + TimeDelta::microseconds(1))
        );
    }

    #[test]
    fn nothing_burnt_lasts_for_ever() {
        let noon = at("2026-11-20T12:00:00Z");

        assert_eq!(runs_out_at(Money::ZERO, &[], noon, ZONE), RunsOut::Never);
        assert_eq!(runs_out_at(Money::ZERO, &[line("0", "0", None)], noon, ZONE), RunsOut::Never);
        let mut last_paid_month = line("1", "1", Some("0"));
        last_paid_month.state.cap = Some(money("2"));
        assert_eq!(runs_out_at(money("1"), &[last_paid_month], noon, ZONE), RunsOut::Never);
    }

    #[test]
    fn a_debt_has_run_out_already() {
        let noon = at("2026-11-20T12:00:00Z");

        assert_eq!(runs_out_at(money("-1"), &[], noon, ZONE), RunsOut::At(noon));
        assert_eq!(
            runs_out_at(Money::ZERO, &[line("0", "1", None)], noon, ZONE),
            RunsOut::At(noon + TimeDelta::microseconds(1))
        );
    }

    #[test]
    fn the_horizon_is_24_months() {
        let noon = at("2026-11-20T12:00:00Z");
        let lines = [line("0", "0.01", None)];

        assert_eq!(runs_out_at(money("100000"), &lines, noon, ZONE), RunsOut::Beyond(at("2028-11-01T00:00:00Z")));
    }

    #[test]
    fn a_price_that_will_rise_is_counted_from_its_instant_on() {
        let noon = at("2026-11-20T12:00:00Z");
        let lines = [line("0", "1", None)];
        let change = |hours, rate: &str, cap: Option<&str>| PriceChange {
            at: noon + TimeDelta::hours(hours),
            prices: vec![(rate.parse().expect("a written rate"), cap.map(money))],
        };

        // Four hours at 1, then two at 3.
        let rises = [change(4, "3", None)];
        assert_eq!(
            runs_out_at_with_changes(money("10"), &lines, &rises, noon, ZONE),
            RunsOut::At(noon + TimeDelta::hours(6) + TimeDelta::microseconds(1))
        );
        // Run out before it: the change is not reached.
        assert_eq!(
            runs_out_at_with_changes(money("3"), &lines, &rises, noon, ZONE),
            runs_out_at(money("3"), &lines, noon, ZONE)
        );
        // A change that has begun holds at once, and a later one follows it.
        assert_eq!(
            runs_out_at_with_changes(money("10"), &lines, &[change(-1, "2", None), change(1, "4", None)], noon, ZONE),
            RunsOut::At(noon + TimeDelta::hours(3) + TimeDelta::microseconds(1))
        );
        // From free to a price, and what had accrued counts against the new cap.
        assert_eq!(
            runs_out_at_with_changes(money("1"), &[line("0", "0", None)], &[change(5, "1", None)], noon, ZONE),
            RunsOut::At(noon + TimeDelta::hours(6) + TimeDelta::microseconds(1))
        );
        assert_eq!(
            runs_out_at_with_changes(
                money("13"),
                &[line("8", "1", Some("10"))],
                &[change(1, "2", Some("12"))],
                noon,
                ZONE
            ),
            RunsOut::At(at("2026-12-01T04:30:00Z") + TimeDelta::microseconds(1)),
            "one at the old price, three to the new cap, nine in December"
        );
    }
}
