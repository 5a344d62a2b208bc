//! What something would cost: a price over usual lengths of time, and known pieces of time under other prices.
//! Nothing here is charged.

use std::iter::Sum;
use std::ops::Add;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::money::Money;
use crate::period::MonthSpan;
use crate::rate::Rate;
use crate::rating::{MeterState, Piece, RatingError, charged_between, check_month, check_pieces};
use crate::runway::BurnLine;

/// The hours of a month in estimates, as everybody quotes it: a twelfth of a year. Months that are charged have their real
/// length.
pub const ESTIMATE_MONTH_HOURS: i64 = 730;

/// What a price comes to. Estimates of several meters add up, as their charges do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// An hour.
    pub hour: Money,
    /// 24 hours.
    pub day: Money,
    /// [`ESTIMATE_MONTH_HOURS`], at most the monthly cap.
    pub month: Money,
    /// From the instant asked about to the end of its billing month, exactly as it would be charged, with what the meter has
    /// accrued and the highest cap it has had taken into account.
    pub until_month_end: Money,
}

impl Estimate {
    /// What a line costs if it goes on as it is from an instant. `hour`, `day` and `month` are those of a fresh meter, none of
    /// them above the monthly cap.
    ///
    /// # Errors
    /// [`RatingError::ClosedMonth`] if the line's sum belongs to a month after the instant's.
    ///
    /// # Panics
    /// Outside the months 0001-01 to 9999-11.
    pub fn of(line: &BurnLine, at: DateTime<Utc>, zone: Tz) -> Result<Self, RatingError> {
        let month = MonthSpan::of(at.timestamp_micros(), zone);
        check_month(&line.state, &month)?;
        Ok(Self::within(month, line, at, zone))
    }

    /// What a meter that begins at an instant costs.
    ///
    /// # Panics
    /// As [`Estimate::of`].
    pub fn of_new(rate: Rate, cap: Option<Money>, at: DateTime<Utc>, zone: Tz) -> Self {
        let month = MonthSpan::of(at.timestamp_micros(), zone);
        Self::within(month, &BurnLine { state: MeterState::new(month.month), rate, cap }, at, zone)
    }

    fn within(month: MonthSpan, line: &BurnLine, at: DateTime<Utc>, zone: Tz) -> Self {
        let capped = |hours| {
            let cost = line.rate.for_hours(hours);
            line.cap.map_or(cost, |cap| cost.min(cap))
        };
        let rest = [Piece { from: at, to: month.month.end(zone), rate: line.rate, cap: line.cap }];
        Self {
            hour: capped(1),
            day: capped(24),
            month: capped(ESTIMATE_MONTH_HOURS),
            until_month_end: charged_between(line.state, &rest, (at.timestamp_micros(), month.end), month, zone),
        }
    }
}

impl Add for Estimate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hour: self.hour + other.hour,
            day: self.day + other.day,
            month: self.month + other.month,
            until_month_end: self.until_month_end + other.until_month_end,
        }
    }
}

impl Sum for Estimate {
    fn sum<I: Iterator<Item = Self>>(estimates: I) -> Self {
        estimates.fold(Self::default(), Add::add)
    }
}

/// What a meter's pieces cost and would have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhatIf {
    /// Under the prices they have.
    pub is: Money,
    /// Under the other prices.
    pub would_be: Money,
}

impl WhatIf {
    /// What the other prices would cost more; negative if less.
    pub fn difference(&self) -> Money {
        self.would_be - self.is
    }
}

/// Rates a meter's pieces twice, under their own prices and under those that `other` gives for each.
///
/// Both begin with a fresh meter, as no sum under other prices is known, so the pieces should begin with a month. If the other
/// prices change within a piece, cut it first: cutting changes nothing. What has been charged stays as it is.
///
/// # Errors
/// As [`rate_pieces`](crate::rate_pieces).
pub fn what_if(
    pieces: &[Piece],
    zone: Tz,
    mut other: impl FnMut(usize, &Piece) -> (Rate, Option<Money>),
) -> Result<WhatIf, RatingError> {
    let others: Vec<_> = pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| {
            let (rate, cap) = other(index, piece);
            Piece { rate, cap, ..*piece }
        })
        .collect();
    Ok(WhatIf { is: fresh_total(pieces, zone)?, would_be: fresh_total(&others, zone)? })
}

/// What a fresh meter is charged for its pieces, exactly as [`rate_pieces`](crate::rate_pieces) charges it.
fn fresh_total(pieces: &[Piece], zone: Tz) -> Result<Money, RatingError> {
    check_pieces(pieces)?;
    let Some((first, last)) = pieces.first().zip(pieces.last()) else {
        return Ok(Money::ZERO);
    };
    let (from, to) = (first.from.timestamp_micros(), last.to.timestamp_micros());
    let month = MonthSpan::of(from, zone);
    Ok(charged_between(MeterState::new(month.month), pieces, (from, to), month, zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accrued::Accrued;
    use chrono::TimeDelta;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a written instant")
    }

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn rate(text: &str) -> Rate {
        text.parse().expect("a written rate")
    }

    #[test]
    fn a_plan_is_shown_by_hour_day_month_and_rest_of_the_month() {
        let estimate = Estimate::of_new(rate("0.0083"), Some(money("5.60")), at("2026-11-20T00:00:00Z"), Tz::UTC);

        // 730 hours would be 6.059; eleven days are 264 hours.
        assert_eq!(
            estimate,
            Estimate {
                hour: money("0.0083"),
                day: money("0.1992"),
                month: money("5.60"),
                until_month_end: money("2.1912"),
            }
        );
    }

    #[test]
    fn what_has_accrued_counts_until_the_month_ends() {
        let state = MeterState {
            accrued: Accrued::worth(money("4")),
            cap: Some(money("5.60")),
            ..MeterState::new("2026-11".parse().expect("a written month"))
        };
        let line = BurnLine { state, rate: rate("1"), cap: Some(money("3")) };

        let estimate = Estimate::of(&line, at("2026-11-20T00:00:00Z"), Tz::UTC).expect("this month");
        assert_eq!((estimate.month, estimate.until_month_end), (money("3"), money("1.60")));
        assert_eq!(Estimate::of(&line, at("2026-10-20T00:00:00Z"), Tz::UTC), Err(RatingError::ClosedMonth));
    }

    #[test]
    fn a_month_under_another_price_list() {
        let start = at("2026-11-01T00:00:00Z");
        let piece = |day: i64, days: i64, price: &str| Piece {
            from: start + TimeDelta::days(day),
            to: start + TimeDelta::days(day + days),
            rate: rate(price),
            cap: Some(money("20")),
        };
        let pieces = [piece(0, 10, "0.01"), piece(10, 10, "0.10")];

        let what_if = what_if(&pieces, Tz::UTC, |index, piece| (rate(["0.02", "0.05"][index]), piece.cap));

        assert_eq!(what_if, Ok(WhatIf { is: money("20"), would_be: money("16.80") }));
        assert_eq!(what_if.map(|what_if| what_if.difference()), Ok(money("-3.20")));
        assert_eq!(super::what_if(&[], Tz::UTC, |_, piece| (piece.rate, piece.cap)), Ok(WhatIf::default()));
        let disorder = [pieces[1], pieces[0]];
        assert!(super::what_if(&disorder, Tz::UTC, |_, piece| (piece.rate, piece.cap)).is_err());
    }
}
