//! Rating: what a meter's pieces of constant rate and cap cost, hour by hour, under the monthly cap.
//! It is given the pieces and the running sum; it neither finds prices nor writes charges.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::accrued::{Accrued, round6};
use crate::money::Money;
use crate::period::{Month, MonthSpan, instant};
use crate::rate::Rate;

/// The longest time rated in one go, in hours: fifty years. It bounds the number of charges a call can make.
pub const WINDOW_HOURS_MAX: i64 = 50 * 366 * 24;

const WINDOW_MICROS_MAX: i64 = WINDOW_HOURS_MAX * 3_600 * 1_000_000;

/// What a meter has accrued in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterState {
    /// The billing month the sum belongs to.
    pub month: Month,
    /// The exact sum, after the cap.
    pub accrued: Accrued,
    /// The highest monthly cap the meter has had in this month; `None` once it has had a time without a cap, which makes the
    /// whole month unlimited.
    pub cap: Option<Money>,
}

impl MeterState {
    /// A meter at the beginning of a month: nothing accrued, and no cap seen yet, which is written as a cap of zero because
    /// any cap it meets is at least that high.
    pub const fn new(month: Month) -> Self {
        Self { month, accrued: Accrued::ZERO, cap: Some(Money::ZERO) }
    }

    /// How many accrued units still fit in this month if the meter also has this cap; `None` is without limit.
    pub(crate) fn room(&self, cap: Option<Money>) -> Option<i128> {
        let cap = higher_cap(self.cap, cap)?;
        let room = Accrued::worth(cap).units().saturating_sub(self.accrued.units());
        Some(room.max(0))
    }

    /// Lets time pass at a constant rate and cap inside the state's month. Says whether the cap cut something off.
    pub(crate) fn accrue(&mut self, micros: i64, rate: Rate, cap: Option<Money>) -> bool {
        let wanted = rate.over_micros(micros).units();
        let granted = self.room(cap).map_or(wanted, |room| wanted.min(room));
        self.cap = higher_cap(self.cap, cap);
        self.accrued = self.accrued + Accrued::from_units(granted);
        granted < wanted
    }

    /// Begins anew at zero if time has come to another month.
    pub(crate) fn enter(&mut self, month: Month) {
        if self.month != month {
            *self = Self::new(month);
        }
    }
}

fn higher_cap(one: Option<Money>, other: Option<Money>) -> Option<Money> {
    Some(one?.max(other?))
}

/// A time `[from, to)` in which a meter's rate and cap are constant. Instants count in whole microseconds; what is finer is
/// cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The instant after the last.
    pub to: DateTime<Utc>,
    /// What it costs per hour.
    pub rate: Rate,
    /// The most the meter may cost per month by this price. `None` is unlimited, and makes the month unlimited.
    pub cap: Option<Money>,
}

impl Piece {
    pub(crate) fn bounds(&self) -> (i64, i64) {
        (self.from.timestamp_micros(), self.to.timestamp_micros())
    }
}

/// What a part of a piece costs: a part lies within one UTC hour and one billing month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The instant after the last.
    pub to: DateTime<Utc>,
    /// The length in microseconds.
    pub micros: i64,
    /// The rate of the piece.
    pub rate: Rate,
    /// The amount, which may be zero.
    pub amount: Money,
    /// Whether the monthly cap made it less than rate × time.
    pub capped: bool,
    /// The index of the piece it is a part of.
    pub piece: usize,
}

/// Why pieces cannot be rated. Nothing has been changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// A piece ends before it begins.
    #[error("piece {piece} ends before it begins")]
    Backwards {
        /// The index of the piece.
        piece: usize,
    },
    /// A piece begins before the one in front of it ends.
    #[error("piece {piece} begins before the piece in front of it ends")]
    Overlap {
        /// The index of the later piece.
        piece: usize,
    },
    /// The first piece begins in a month before that of the meter's sum, which is closed.
    #[error("the first piece begins before the month of the meter's sum")]
    ClosedMonth,
    /// The window is longer than [`WINDOW_HOURS_MAX`].
    #[error("the window is longer than {WINDOW_HOURS_MAX} hours")]
    TooLong,
}

/// Rates a meter's pieces and moves its state to the end of the last one.
///
/// Time is cut at the pieces' ends, at full UTC hours and at month starts of the zone. In each part
/// `accrued' = min(accrued + rate × time, cap)` with the highest cap the meter has had in the month, and the charge is
/// [`round6`]`(accrued') - round6(accrued)`. A sum that is already above the cap stays as it is: it neither grows nor pays
/// back. A new month begins at zero and with no cap seen.
///
/// `out` gets one charge per part, in order, zero amounts included; nothing is allocated. However time is cut into calls,
/// the charges add up to the same.
///
/// # Errors
/// If the pieces are not ordered, overlap, begin in a closed month or span too much time; `state` is untouched then and `out`
/// has not been called.
pub fn rate_pieces(
    state: &mut MeterState,
    pieces: &[Piece],
    zone: Tz,
    mut out: impl FnMut(Charge),
) -> Result<(), RatingError> {
    check_pieces(pieces)?;
    let Some(first) = pieces.first() else {
        return Ok(());
    };
    let mut month = MonthSpan::of(first.from.timestamp_micros(), zone);
    check_month(state, &month)?;

    for (index, piece) in pieces.iter().enumerate() {
        let (mut at, to) = piece.bounds();
        while at < to {
            month = month.forward_to(at, zone);
            state.enter(month.month);
            let cut = month.cut_after(at).min(to);

            let before = round6(state.accrued);
            let capped = state.accrue(cut - at, piece.rate, piece.cap);
            out(Charge {
                from: instant(at),
                to: instant(cut),
                micros: cut - at,
                rate: piece.rate,
                amount: round6(state.accrued) - before,
                capped,
                piece: index,
            });
            at = cut;
        }
    }
    Ok(())
}

/// Moves a meter's state to the end of its last piece, as [`rate_pieces`] does, without a charge for any of it: for time that
/// is charged already. Months that are over by then are stepped over, so it takes as long for years as for a day.
///
/// A sum that was written down long ago and the pieces since are the sum of today; it need not be written every hour.
///
/// # Errors
/// If the pieces are not ordered, overlap or begin in a closed month; `state` is untouched then. However long they are, they
/// are not too long.
pub fn accrue_pieces(state: &mut MeterState, pieces: &[Piece], zone: Tz) -> Result<(), RatingError> {
    check_order(pieces)?;
    let Some(first) = pieces.first() else { return Ok(()) };
    if first.from < state.month.start(zone) {
        return Err(RatingError::ClosedMonth);
    }
    let Some((_, end)) = pieces.iter().map(Piece::bounds).rfind(|(from, to)| from < to) else { return Ok(()) };
    let month = MonthSpan::of(end - 1, zone).month;
    state.enter(month);
    let start = month.start(zone).timestamp_micros();
    for piece in pieces {
        let (from, to) = piece.bounds();
        let micros = to - from.max(start);
        if micros > 0 {
            state.accrue(micros, piece.rate, piece.cap);
        }
    }
    Ok(())
}

/// Refuses pieces that are not ordered, overlap or span too much time.
pub(crate) fn check_pieces(pieces: &[Piece]) -> Result<(), RatingError> {
    check_order(pieces)?;
    match (pieces.first(), pieces.last()) {
        (Some(first), Some(last)) => check_window(first.bounds().0, last.bounds().1),
        _ => Ok(()),
    }
}

/// Refuses pieces that are not ordered or overlap.
fn check_order(pieces: &[Piece]) -> Result<(), RatingError> {
    let mut end = i64::MIN;
    for (index, piece) in pieces.iter().enumerate() {
        let (from, to) = piece.bounds();
        if to < from {
            return Err(RatingError::Backwards { piece: index });
        }
        if from < end {
            return Err(RatingError::Overlap { piece: index });
        }
        end = to;
    }
    Ok(())
}

/// Refuses a window longer than [`WINDOW_HOURS_MAX`].
pub(crate) fn check_window(from: i64, to: i64) -> Result<(), RatingError> {
    if to.saturating_sub(from) > WINDOW_MICROS_MAX {
        return Err(RatingError::TooLong);
    }
    Ok(())
}

/// Refuses to rate a month before that of the sum.
pub(crate) fn check_month(state: &MeterState, month: &MonthSpan) -> Result<(), RatingError> {
    if month.month < state.month {
        return Err(RatingError::ClosedMonth);
    }
    Ok(())
}

/// The charges of checked pieces inside `[from, to)`, without cutting at hours: within a month the roundings in between cancel
/// out. `month` is the one that contains `from`.
pub(crate) fn charged_between(
    mut state: MeterState,
    pieces: &[Piece],
    (from, to): (i64, i64),
    mut month: MonthSpan,
    zone: Tz,
) -> Money {
    let mut total = Money::ZERO;
    for piece in pieces {
        let (piece_from, piece_to) = piece.bounds();
        let mut at = piece_from.max(from);
        let end = piece_to.min(to);
        while at < end {
            month = month.forward_to(at, zone);
            state.enter(month.month);
            let cut = month.end.min(end);
            let before = round6(state.accrued);
            state.accrue(cut - at, piece.rate, piece.cap);
            total += round6(state.accrued) - before;
            at = cut;
        }
    }
    total
}

#[cfg(test)]
mod tests;
