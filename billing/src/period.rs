//! Billing months of a time zone and charging hours in UTC.
//! It knows how time is cut and nothing about what a part of it costs.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

use crate::fixed::serde_as_text;

/// A charging hour in microseconds.
const HOUR_MICROS: i64 = 3_600 * 1_000_000;

/// A billing month of the calendar, such as `2026-11`. Its time zone is given with each question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u8,
}

impl Month {
    /// A month by its year and its number from 1 to 12. Years from 1 to 9999, as four digits write them.
    pub fn new(year: i32, month: u8) -> Option<Self> {
        ((1..=9999).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// The month an instant belongs to: the one with `start <= instant < end`.
    ///
    /// # Panics
    /// Outside the months 0001-01 to 9999-11.
    pub fn of(instant: DateTime<Utc>, zone: Tz) -> Self {
        MonthSpan::of(instant.timestamp_micros(), zone).month
    }

    /// The year.
    pub fn year(self) -> i32 {
        self.year
    }

    /// The number of the month, from 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The first day, as a `date` column keeps a month.
    pub fn first_day(self) -> NaiveDate {
        NaiveDate::from_ymd_opt(self.year, u32::from(self.month), 1)
            .expect("every month of the years 1 to 9999 has a first day")
    }

    /// The month after this one.
    ///
    /// # Panics
    /// After 9999-12.
    pub fn next(self) -> Self {
        let (year, month) = match self.month {
            12 => (self.year + 1, 1),
            month => (self.year, month + 1),
        };
        Self::new(year, month).expect("months are counted up to 9999-12")
    }

    /// The instant at which the month begins in a time zone: local midnight of its first day.
    ///
    /// Where clocks are put back over that midnight and it comes twice, the first one. Where clocks are put forward over it
    /// and it never comes, the first instant after the gap. So it is always the earliest instant of the month.
    pub fn start(self, zone: Tz) -> DateTime<Utc> {
        let midnight = self.first_day().and_time(NaiveTime::MIN);
        match zone.from_local_datetime(&midnight) {
            LocalResult::Single(instant) => instant.to_utc(),
            LocalResult::Ambiguous(one, other) => one.min(other).to_utc(),
            LocalResult::None => {
                let (gap, offset_before) = GapInfo::new(&midnight, &zone)
                    .and_then(|gap| gap.begin)
                    .expect("a local time that does not exist lies in a gap between two offsets");
                (gap - offset_before.fix()).and_utc()
            }
        }
    }

    /// The instant at which the month is over: the start of the next one.
    ///
    /// # Panics
    /// For 9999-12.
    pub fn end(self, zone: Tz) -> DateTime<Utc> {
        self.next().start(zone)
    }
}

/// The month a day is in.
///
/// # Panics
/// Outside the years 1 to 9999.
impl From<NaiveDate> for Month {
    fn from(day: NaiveDate) -> Self {
        u8::try_from(day.month())
            .ok()
            .and_then(|month| Self::new(day.year(), month))
            .expect("months are counted from 0001-01 to 9999-12")
    }
}

impl fmt::Display for Month {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{:04}-{:02}", self.year, self.month))
    }
}

/// The text is not a month such as `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a month such as 2026-11")]
pub struct NotAMonth;

impl FromStr for Month {
    type Err = NotAMonth;

    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        let (year, month) = text.split_once('-').ok_or(NotAMonth)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(NotAMonth);
        }
        let year = year.parse().map_err(|_| NotAMonth)?;
        let month = month.parse().map_err(|_| NotAMonth)?;
        Self::new(year, month).ok_or(NotAMonth)
    }
}

serde_as_text!(Month);

/// A month with its end in microseconds since 1970, so that the time zone is asked once and not for every part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MonthSpan {
    pub(crate) month: Month,
    pub(crate) end: i64,
}

impl MonthSpan {
    /// The month that contains this microsecond.
    pub(crate) fn of(at: i64, zone: Tz) -> Self {
        let day = zone.from_utc_datetime(&instant(at).naive_utc()).date_naive();
        let month = Month::from(day);
        let shown = Self { month, end: month.end(zone).timestamp_micros() };
        // Clocks put back shortly after midnight show the last evening of the old month once more. The month has begun
        // nevertheless, so its end decides and not the date shown.
        if at >= shown.end { shown.next(zone) } else { shown }
    }

    /// The month after this one.
    pub(crate) fn next(self, zone: Tz) -> Self {
        let month = self.month.next();
        Self { month, end: month.end(zone).timestamp_micros() }
    }

    /// This month, the next one or a later one: that which contains a microsecond not before this month.
    pub(crate) fn forward_to(self, at: i64, zone: Tz) -> Self {
        if at < self.end {
            return self;
        }
        let next = self.next(zone);
        if at < next.end { next } else { Self::of(at, zone) }
    }

    /// Where the part that begins at this microsecond of the month ends at the latest: at the full UTC hour or with the
    /// month, whichever comes first.
    pub(crate) fn cut_after(&self, at: i64) -> i64 {
        let next_hour = (at.div_euclid(HOUR_MICROS) + 1) * HOUR_MICROS;
        next_hour.min(self.end)
    }
}

/// The instant a number of microseconds after 1970.
pub(crate) fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).expect("microseconds between two instants of the calendar are an instant")
}

/// The full UTC hour at or before an instant.
pub fn hour_floor(at: DateTime<Utc>) -> DateTime<Utc> {
    instant(at.timestamp_micros().div_euclid(HOUR_MICROS) * HOUR_MICROS)
}

/// The full UTC hour at or after an instant.
pub fn hour_ceil(at: DateTime<Utc>) -> DateTime<Utc> {
    let floor = hour_floor(at);
    if floor == at { at } else { instant(floor.timestamp_micros() + HOUR_MICROS) }
}

/// The instants strictly between `from` and `to` at which charging cuts time: full UTC hours, and month starts of the zone.
/// In a zone whose offset is not whole hours (Kathmandu: 5:45) a month starts inside a UTC hour.
pub fn hours(from: DateTime<Utc>, to: DateTime<Utc>, zone: Tz) -> Hours {
    let at = from.timestamp_micros();
    Hours { at, to: to.timestamp_micros(), month: MonthSpan::of(at, zone), zone }
}

/// The iterator behind [`hours`].
#[derive(Clone, Debug)]
pub struct Hours {
    at: i64,
    to: i64,
    month: MonthSpan,
    zone: Tz,
}

impl Iterator for Hours {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        self.month = self.month.forward_to(self.at, self.zone);
        let cut = self.month.cut_after(self.at);
        if cut >= self.to {
            return None;
        }
        self.at = cut;
        Some(instant(cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn month(text: &str) -> Month {
        text.parse().expect("a written month")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a written instant")
    }

    #[test]
    fn a_month_is_written_and_read() {
        assert_eq!(month("2026-11").to_string(), "2026-11");
        assert_eq!(month("2026-12").next(), month("2027-01"));
        assert_eq!(Month::from(month("2026-11").first_day()), month("2026-11"));
        for text in ["", "2026", "2026-13", "2026-00", "2026-1", "+026-11", "2026-11-01"] {
            assert_eq!(text.parse::<Month>(), Err(NotAMonth), "{text:?}");
        }
        let json = serde_json::to_string(&month("2026-11")).expect("a string");
        assert_eq!(json, "\"2026-11\"");
        assert_eq!(serde_json::from_str::<Month>(&json).ok(), Some(month("2026-11")));
    }

    #[test]
    fn a_month_follows_daylight_saving_time() {
        let march = month("2026-03");

        assert_eq!(march.start(Tz::Europe__Paris), at("2026-02-28T23:00:00Z"));
        assert_eq!(march.end(Tz::Europe__Paris), at("2026-03-31T22:00:00Z"));
        assert_eq!(march.end(Tz::Europe__Paris) - march.start(Tz::Europe__Paris), TimeDelta::hours(31 * 24 - 1));
        assert_eq!(Month::of(at("2026-03-31T22:00:00Z"), Tz::Europe__Paris), month("2026-04"));
        assert_eq!(Month::of(at("2026-03-31T21:59:59.999999Z"), Tz::Europe__Paris), march);
    }

    #[test]
    fn a_leap_february_has_29_days() {
        let days = |text| (month(text).end(Tz::UTC) - month(text).start(Tz::UTC)).num_days();

        assert_eq!(days("2024-02"), 29);
        assert_eq!(days("2026-02"), 28);
        assert_eq!(days("2026-04"), 30);
        assert_eq!(days("2026-12"), 31);
    }

    #[test]
    fn a_skipped_midnight_starts_the_month_after_the_gap() {
        // Clocks went from 00:00 to 01:00 on the first of the month.
        assert_eq!(month("2017-10").start(Tz::America__Asuncion), at("2017-10-01T04:00:00Z"));
        assert_eq!(month("1949-12").start(Tz::America__Sao_Paulo), at("1949-12-01T03:00:00Z"));
        assert_eq!(Month::of(at("2017-10-01T03:59:59.999999Z"), Tz::America__Asuncion), month("2017-09"));
    }

    #[test]
    fn a_midnight_that_comes_twice_starts_the_month_at_the_first() {
        // Clocks went back from 00:01 to 23:01 of the last day of October.
        let zone = Tz::America__St_Johns;
        let start = month("2009-11").start(zone);
        assert_eq!(start, at("2009-11-01T02:30:00Z"));

        let last_evening_again = at("2009-11-01T03:00:00Z");
        assert_eq!(last_evening_again.with_timezone(&zone).day(), 31);
        assert_eq!(Month::of(last_evening_again, zone), month("2009-11"));
    }

    #[test]
    fn hours_are_cut_in_utc() {
        let noon = at("2026-11-20T12:00:00Z");

        assert_eq!(hour_floor(noon), noon);
        assert_eq!(hour_ceil(noon), noon);
        assert_eq!(hour_floor(at("2026-11-20T12:59:59.999999Z")), noon);
        assert_eq!(hour_ceil(at("2026-11-20T11:00:00.000000001Z")), noon);
        assert_eq!(hour_floor(at("1969-12-31T23:59:00Z")), at("1969-12-31T23:00:00Z"));
    }

    #[test]
    fn a_month_start_cuts_inside_an_hour_where_the_offset_is_not_whole() {
        let cuts: Vec<_> = hours(at("2026-10-31T17:30:00Z"), at("2026-10-31T20:00:00Z"), Tz::Asia__Kathmandu).collect();

        assert_eq!(cuts, [at("2026-10-31T18:00:00Z"), at("2026-10-31T18:15:00Z"), at("2026-10-31T19:00:00Z"),]);
    }

    #[test]
    fn an_empty_window_has_no_cuts() {
        let noon = at("2026-11-20T12:00:00Z");

        assert_eq!(hours(noon, noon, Tz::UTC).count(), 0);
        assert_eq!(hours(noon, noon + TimeDelta::hours(1), Tz::UTC).count(), 0);
        assert_eq!(hours(noon, noon - TimeDelta::hours(5), Tz::UTC).count(), 0);
    }
}
