//! Laws of time: months of every zone follow each other without gap or overlap, and cuts are hours or month starts.

use billing::{Month, hour_ceil, hour_floor, hours};
use chrono::{TimeDelta, Timelike};
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

proptest! {
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
