//! Inputs to draw from: rates, caps, zones, and the life of a meter as pieces of time.

use billing::{Money, Piece, Rate};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

/// Zones with and without daylight saving time, with offsets of quarters and halves of an hour, with clocks that are changed at
/// midnight, and one that left out a day.
pub const ZONES: [Tz; 10] = [
    Tz::UTC,
    Tz::Europe__Paris,
    Tz::America__New_York,
    Tz::Africa__Cairo,
    Tz::America__Sao_Paulo,
    Tz::Asia__Kathmandu,
    Tz::Australia__Lord_Howe,
    Tz::America__St_Johns,
    Tz::America__Asuncion,
    Tz::Pacific__Apia,
];

pub fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(ZONES.as_slice())
}

/// Any instant between 1900 and 2100, to the microsecond.
pub fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (-2_208_988_800_000_000_i64..4_102_444_800_000_000)
        .prop_map(|micros| DateTime::from_timestamp_micros(micros).expect("between 1900 and 2100"))
}

/// Ordinary prices, free ones and very fine ones.
pub fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        1 => Just(0_i128),
        4 => 1_i128..5_000_000_000,
        2 => 1_i128..1_000,
        1 => 1_i128..100_000_000_000_000,
    ]
    .prop_map(|units| Rate::try_from_units(units).expect("in range"))
}

/// Caps that ordinary prices reach within some days, and none.
pub fn cap() -> impl Strategy<Value = Option<Money>> {
    prop_oneof![
        1 => Just(None),
        6 => (0_i128..30_000_000).prop_map(|micros| Some(Money::from_micros(micros))),
    ]
}

/// Lengths from a microsecond to some weeks.
fn length() -> impl Strategy<Value = TimeDelta> {
    prop_oneof![1_i64..2_000, 1_i64..7_200_000_000, 1_i64..(20 * 86_400 * 1_000_000),].prop_map(TimeDelta::microseconds)
}

/// The life of a meter: pieces one after another, now and then with a gap.
pub fn life(start: DateTime<Utc>) -> impl Strategy<Value = Vec<Piece>> {
    let step = (length(), rate(), cap(), prop::option::weighted(0.2, length()));
    prop::collection::vec(step, 1..6).prop_map(move |steps| {
        let mut at = start;
        let mut pieces = Vec::new();
        for (length, rate, cap, gap) in steps {
            let from = at + gap.unwrap_or_default();
            at = from + length;
            pieces.push(Piece { from, to: at, rate, cap });
        }
        pieces
    })
}

/// An instant near a month's end, so that a life of some days often crosses it.
pub fn late_in_a_month() -> impl Strategy<Value = DateTime<Utc>> {
    let first: DateTime<Utc> = "2026-10-20T00:00:00Z".parse().expect("a written instant");
    (0_i64..(12 * 86_400 * 1_000_000)).prop_map(move |micros| first + TimeDelta::microseconds(micros))
}
