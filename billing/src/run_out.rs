//! To which instant a balance pays what a wallet's meters are known to have been.
//! It looks back at known pieces; what the future holds is `runway`.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::money::Money;
use crate::period::{MonthSpan, instant};
use crate::rating::{MeterState, Piece, RatingError, charged_between, check_month, check_pieces, check_window};

/// A meter of a wallet: its sum at the wallet's cursor and what it has been since.
#[derive(Clone, Copy, Debug)]
pub struct WalletMeter<'pieces> {
    /// The sum at the instant from which is rated.
    pub state: MeterState,
    /// What the meter was, in order. Parts before the instant from which is rated are left out: they are in the sum.
    pub pieces: &'pieces [Piece],
}

/// What the meters are charged in `[from, to)`, exactly as [`rate_pieces`](crate::rate_pieces) charges it in any number of
/// passes.
///
/// # Errors
/// As [`rate_pieces`](crate::rate_pieces), for any of the meters.
pub fn total_through(
    meters: &[WalletMeter<'_>],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    zone: Tz,
) -> Result<Money, RatingError> {
    let window = Window::checked(meters, from, to, zone)?;
    Ok(window.total(to.timestamp_micros()))
}

/// The instant to which the balance pays: the last whole microsecond `t` in `[from, to]` with a total charge of `[from, t)`
/// of at most the balance. `None` if it pays for all of `[from, to)`.
///
/// A balance below zero pays for nothing; the answer is `from` then.
///
/// # Errors
/// As [`rate_pieces`](crate::rate_pieces), for any of the meters.
pub fn run_out_instant(
    meters: &[WalletMeter<'_>],
    balance: Money,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    zone: Tz,
) -> Result<Option<DateTime<Utc>>, RatingError> {
    let window = Window::checked(meters, from, to, zone)?;
    let mut above = to.timestamp_micros();
    if window.total(above) <= balance {
        return Ok(None);
    }

    // Rates are not negative, so the total never falls with time: halving finds the step over the balance. A window of fifty
    // years is at most 2^51 microseconds, so there are at most 51 rounds.
    let mut paid = window.from;
    while above - paid > 1 {
        let middle = paid + (above - paid) / 2;
        if window.total(middle) <= balance {
            paid = middle;
        } else {
            above = middle;
        }
    }
    Ok(Some(instant(paid)))
}

/// Checked meters and the month in which their window begins.
struct Window<'meters> {
    meters: &'meters [WalletMeter<'meters>],
    from: i64,
    month: MonthSpan,
    zone: Tz,
}

impl<'meters> Window<'meters> {
    fn checked(
        meters: &'meters [WalletMeter<'meters>],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        zone: Tz,
    ) -> Result<Self, RatingError> {
        let from = from.timestamp_micros();
        let month = MonthSpan::of(from, zone);
        check_window(from, to.timestamp_micros())?;
        for meter in meters {
            check_pieces(meter.pieces)?;
            // One that was born in the window, perhaps in a later month than that in which the window begins, has nothing before.
            if let Some(first) = first_instant(meter.pieces, from) {
                check_month(&meter.state, &month.forward_to(first, zone))?;
            }
        }
        Ok(Self { meters, from, month, zone })
    }

    fn total(&self, to: i64) -> Money {
        self.meters
            .iter()
            .map(|meter| {
                let window = (self.from, to);
                charged_between(meter.state, meter.pieces, window, self.month, self.zone)
            })
            .sum()
    }
}

/// Where the rating of checked pieces begins if it begins at `from` at the earliest; none if all of them lie before.
fn first_instant(pieces: &[Piece], from: i64) -> Option<i64> {
    let reaches = |(begins, ends): (i64, i64)| (begins < ends && from < ends).then_some(begins.max(from));
    pieces.iter().map(Piece::bounds).find_map(reaches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::Month;
    use chrono::TimeDelta;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a written instant")
    }

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn piece(from: DateTime<Utc>, hours: i64, rate: &str, cap: Option<&str>) -> Piece {
        Piece {
            from,
            to: from + TimeDelta::hours(hours),
            rate: rate.parse().expect("a written rate"),
            cap: cap.map(money),
        }
    }

    fn november() -> MeterState {
        MeterState::new("2026-11".parse().expect("a written month"))
    }

    #[test]
    fn a_balance_pays_to_the_last_microsecond_it_covers() {
        let noon = at("2026-11-20T12:00:00Z");
        let pieces = [piece(noon, 2, "3600", None)];
        let meters = [WalletMeter { state: november(), pieces: &pieces }];

        let end = noon + TimeDelta::hours(2);
        let run_out = run_out_instant(&meters, money("1.5"), noon, end, Tz::UTC);

        // One micro of money a microsecond: exactly a second and a half.
        assert_eq!(run_out, Ok(Some(noon + TimeDelta::milliseconds(1_500))));
    }

    #[test]
    fn a_balance_that_pays_for_all_has_no_run_out() {
        let noon = at("2026-11-20T12:00:00Z");
        let pieces = [piece(noon, 2, "0.5", None)];
        let meters = [WalletMeter { state: november(), pieces: &pieces }];
        let end = noon + TimeDelta::hours(2);

        assert_eq!(total_through(&meters, noon, end, Tz::UTC), Ok(money("1")));
        assert_eq!(run_out_instant(&meters, money("1"), noon, end, Tz::UTC), Ok(None));
        assert!(
            run_out_instant(&meters, money("0.999999"), noon, end, Tz::UTC)
                .is_ok_and(|run_out| run_out.is_some_and(|instant| instant < end))
        );
    }

    #[test]
    fn a_debt_pays_for_nothing() {
        let noon = at("2026-11-20T12:00:00Z");

        assert_eq!(run_out_instant(&[], money("-0.000001"), noon, noon, Tz::UTC), Ok(Some(noon)));
        assert_eq!(run_out_instant(&[], Money::ZERO, noon, noon, Tz::UTC), Ok(None));
    }

    #[test]
    fn what_lies_before_the_cursor_is_not_charged_again() {
        let noon = at("2026-11-20T12:00:00Z");
        let pieces = [piece(noon, 2, "0.5", None)];
        let mut state = november();
        let first = [Piece { to: noon + TimeDelta::hours(1), ..pieces[0] }];
        crate::rate_pieces(&mut state, &first, Tz::UTC, |_| {}).expect("one piece");

        let meters = [WalletMeter { state, pieces: &pieces }];
        let cursor = noon + TimeDelta::hours(1);

        assert_eq!(total_through(&meters, cursor, noon + TimeDelta::hours(2), Tz::UTC), Ok(money("0.5")));
    }

    #[test]
    fn a_meter_that_is_born_in_the_next_month_is_charged_from_its_birth() {
        // In India November begins at half past an hour, in the middle of what a pass charges.
        let zone = Tz::Asia__Kolkata;
        let (from, to) = (at("2026-10-31T18:00:00Z"), at("2026-10-31T19:00:00Z"));
        let october = MeterState::new("2026-10".parse().expect("a written month"));
        let old = [piece(from - TimeDelta::hours(1), 2, "3600", None)];
        let new = [Piece { to, ..piece(at("2026-10-31T18:40:00Z"), 1, "7200", None) }];
        let meters = [WalletMeter { state: october, pieces: &old }, WalletMeter { state: november(), pieces: &new }];

        assert_eq!(total_through(&meters, from, to, zone), Ok(money("6000")));
        // 2,400 are charged at its birth, and three for each second from there on.
        let end = run_out_instant(&meters, money("3600"), from, to, zone);
        assert_eq!(end, Ok(Some(at("2026-10-31T18:46:40Z"))));
    }

    #[test]
    fn a_closed_month_and_disorder_are_refused() {
        let noon = at("2026-11-20T12:00:00Z");
        let pieces = [piece(noon, 2, "1", None), piece(noon, 1, "1", None)];
        let end = noon + TimeDelta::hours(2);
        let meter = |state, pieces| [WalletMeter { state, pieces }];
        let december = MeterState::new(Month::new(2026, 12).expect("a month"));

        assert_eq!(total_through(&meter(december, &pieces[..1]), noon, end, Tz::UTC), Err(RatingError::ClosedMonth));
        assert_eq!(
            total_through(&meter(november(), &pieces), noon, end, Tz::UTC),
            Err(RatingError::Overlap { piece: 1 })
        );
        assert_eq!(total_through(&[], noon, at("2226-11-20T12:00:00Z"), Tz::UTC), Err(RatingError::TooLong));
    }
}
