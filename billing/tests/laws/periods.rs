//! Laws of time: months of every zone follow each other without gap or overlap, and cuts are hours or month starts.

use billing::{Accrued, MeterState, Money, Month, Piece, hour_ceil, hour_floor, hours, rate_pieces};
use chrono::{Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use proptest::prelude::*;

use crate::draw::{self, ZONES};

#[test]
fn months_of_all_zones_tile_time() {
    let microsecond = TimeDelta::microseconds(1);
    for zone in ZONES {
        let mut month = Month::new(1890, 1).expect("a month");
        let end = Month::new(2110, 1).expect("a month");
        while month < end {
            let (start, stop) = (month.start(zone), month.end(zone));

            assert_eq!(month.next().start(zone), stop, "{month} {zone}");
            assert_eq!(Month::of(start, zone), month, "{month} {zone}");
            assert_eq!(Month::of(stop - microsecond, zone), month, "{month} {zone}");
            assert_eq!(Month::of(stop, zone), month.next(), "{month} {zone}");
            let hours = (stop - start).num_hours();
            // A year's clock change moves an end by hours; a change of the date line by a day.
            assert!((26 * 24..=32 * 24 + 1).contains(&hours), "{month} {zone}: {hours} hours");
            month = month.next();
        }
    }
}

/// How long the hours and parts of hours are into which charging cuts a month, by length, and their sum.
fn cut_month(month: Month, zone: Tz) -> (Vec<TimeDelta>, TimeDelta) {
    let (start, end) = (month.start(zone), month.end(zone));
    let mut cuts: Vec<_> = hours(start, end, zone).collect();
    cuts.insert(0, start);
    cuts.push(end);
    let parts: Vec<_> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let sum = parts.iter().sum();
    (parts, sum)
}

#[test]
fn the_hours_of_months_with_28_to_31_days_and_clock_changes_add_up_to_their_real_length() {
    for (month, zone, real_hours) in [
        ("2026-02", Tz::Europe__Paris, 28 * 24),
        ("2028-02", Tz::Europe__Paris, 29 * 24),
        ("2026-04", Tz::Europe__Paris, 30 * 24),
        ("2026-03", Tz::Europe__Paris, 31 * 24 - 1),
        ("2026-10", Tz::Europe__Paris, 31 * 24 + 1),
        ("2026-12", Tz::Europe__Paris, 31 * 24),
        ("2026-03", Tz::America__New_York, 31 * 24 - 1),
        ("2026-11", Tz::America__New_York, 30 * 24 + 1),
        ("2028-02", Tz::America__New_York, 29 * 24),
        // Clocks go forward at midnight, and back at the midnight that ends the last Thursday of October.
        ("2026-04", Tz::Africa__Cairo, 30 * 24 - 1),
        ("2026-10", Tz::Africa__Cairo, 31 * 24 + 1),
        // Summer time in the south; and the day left out when Samoa changed sides of the date line.
        ("2012-04", Tz::Pacific__Apia, 30 * 24 + 1),
        ("2012-09", Tz::Pacific__Apia, 30 * 24 - 1),
        ("2011-12", Tz::Pacific__Apia, 30 * 24),
    ] {
        let (_, sum) = cut_month(month.parse().expect("a written month"), zone);
        assert_eq!(sum, TimeDelta::hours(real_hours), "{month} {zone}");
    }
}

proptest! {
    #[test]
    fn a_month_costs_its_days_of_24_hours_and_what_its_clocks_were_changed_by(at in draw::instant(), zone in draw::zone()) {
        let month = Month::of(at, zone);
        let (start, end) = (month.start(zone), month.end(zone));

        let (parts, sum) = cut_month(month, zone);

        prop_assert!(parts.iter().all(|part| TimeDelta::zero() < *part && *part <= TimeDelta::hours(1)));
        prop_assert_eq!(sum, end - start);
        // The calendar's side: what clocks on the wall show at both ends, and how far they were put forward in between.
        let offset = |at: &chrono::DateTime<chrono::Utc>| {
            TimeDelta::seconds(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into())
        };
        let shown = |at: &chrono::DateTime<chrono::Utc>| at.naive_utc() + offset(at);
        prop_assert_eq!(sum, shown(&end) - shown(&start) - (offset(&end) - offset(&start)));

        let one_an_hour = Piece { from: start, to: end, rate: "1".parse().expect("a written rate"), cap: None };
        let mut state = MeterState::new(month);
        let mut total = Money::ZERO;
        rate_pieces(&mut state, &[one_an_hour], zone, |charge| total += charge.amount).expect("one piece");
        let micros = i128::from(sum.num_microseconds().expect("a month"));
        prop_assert_eq!(state.accrued, Accrued::from_units(micros * 10_000_000_000));
        prop_assert_eq!(total, billing::round6(state.accrued));
    }

    #[test]
    fn every_instant_is_in_one_month(at in draw::instant(), zone in draw::zone()) {
        let month = Month::of(at, zone);

        prop_assert!(month.start(zone) <= at && at < month.end(zone));
        prop_assert_eq!(month.to_string().parse(), Ok(month));
        prop_assert_eq!(Month::from(month.first_day()), month);
    }

    #[test]
    fn a_month_start_is_the_first_instant_of_its_first_day(at in draw::instant(), zone in draw::zone()) {
        let month = Month::of(at, zone);
        let start = month.start(zone);
        let day = |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&zone).date_naive();

        prop_assert_eq!(day(start), month.first_day());
        prop_assert!(day(start - TimeDelta::microseconds(1)) < month.first_day());
    }

    #[test]
    fn an_hour_encloses_its_instants(at in draw::instant()) {
        let (floor, ceil) = (hour_floor(at), hour_ceil(at));

        prop_assert!(floor <= at && at <= ceil);
        prop_assert_eq!((floor.minute(), floor.second(), floor.nanosecond()), (0, 0, 0));
        prop_assert_eq!(ceil - floor, if floor == at { TimeDelta::zero() } else { TimeDelta::hours(1) });
    }

    #[test]
    fn cuts_are_all_hours_and_month_starts_and_nothing_else(
        from in draw::instant(),
        micros in 0_i64..(3 * 86_400 * 1_000_000),
        zone in draw::zone(),
    ) {
        let to = from + TimeDelta::microseconds(micros);

        let cuts: Vec<_> = hours(from, to, zone).collect();

        let mut expected = std::collections::BTreeSet::from([Month::of(from, zone).end(zone)]);
        let mut hour = hour_floor(from);
        while hour < to {
            expected.insert(hour);
            hour += TimeDelta::hours(1);
        }
        expected.retain(|cut| from < *cut && *cut < to);
        prop_assert_eq!(cuts, expected.into_iter().collect::<Vec<_>>());
    }
}
