//! Laws of rating: cutting changes nothing, later never costs less, caps hold, and a month is one rounding of its exact sum.

use std::collections::BTreeMap;

use billing::{
    Accrued, Charge, MeterState, Money, Month, Piece, WalletMeter, accrue_pieces, rate_pieces, round6, total_through,
};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::draw;

fn fresh(pieces: &[Piece], zone: Tz) -> MeterState {
    MeterState::new(Month::of(pieces[0].from, zone))
}

fn rate_all(state: &mut MeterState, pieces: &[Piece], zone: Tz) -> Vec<Charge> {
    let mut charges = Vec::new();
    rate_pieces(state, pieces, zone, |charge| charges.push(charge)).expect("ordered pieces");
    charges
}

fn total(charges: &[Charge]) -> Money {
    charges.iter().map(|charge| charge.amount).sum()
}

/// The parts of pieces in `[from, to)`, as a pass between two cursors reads them.
fn window(pieces: &[Piece], from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Piece> {
    pieces
        .iter()
        .map(|piece| Piece { from: piece.from.max(from), to: piece.to.min(to), ..*piece })
        .filter(|piece| piece.from < piece.to)
        .collect()
}

fn by_hour(charges: &[Charge]) -> BTreeMap<DateTime<Utc>, Money> {
    let mut hours = BTreeMap::new();
    for charge in charges {
        *hours.entry(billing::hour_floor(charge.from)).or_insert(Money::ZERO) += charge.amount;
    }
    hours
}

fn life() -> impl Strategy<Value = Vec<Piece>> {
    draw::late_in_a_month().prop_flat_map(draw::life)
}

/// A life and some instants, as thousandths of its length, at which ticks happen.
fn life_and_ticks() -> impl Strategy<Value = (Vec<Piece>, Vec<i32>)> {
    (life(), prop::collection::vec(0..=1000, 0..6))
}

fn span(pieces: &[Piece]) -> (DateTime<Utc>, DateTime<Utc>) {
    (pieces[0].from, pieces[pieces.len() - 1].to)
}

fn instant_in(pieces: &[Piece], thousandths: i32) -> DateTime<Utc> {
    let (from, to) = span(pieces);
    let micros = (to - from).num_microseconds().expect("some weeks");
    from + TimeDelta::microseconds(micros / 1000 * i64::from(thousandths))
}

proptest! {
    #[test]
    fn ticks_late_early_split_or_merged_change_nothing((pieces, ticks) in life_and_ticks(), zone in draw::zone()) {
        let mut at_once = fresh(&pieces, zone);
        let charges_at_once = rate_all(&mut at_once, &pieces, zone);

        let (from, to) = span(&pieces);
        let mut cursors: Vec<_> = ticks.iter().map(|tick| instant_in(&pieces, *tick)).collect();
        cursors.extend([from, to]);
        cursors.sort_unstable();
        let mut in_parts = fresh(&pieces, zone);
        let mut charges_in_parts = Vec::new();
        for pair in cursors.windows(2) {
            charges_in_parts.extend(rate_all(&mut in_parts, &window(&pieces, pair[0], pair[1]), zone));
        }

        prop_assert_eq!(at_once, in_parts);
        prop_assert_eq!(total(&charges_at_once), total(&charges_in_parts));
        prop_assert_eq!(by_hour(&charges_at_once), by_hour(&charges_in_parts));
    }

    #[test]
    fn a_sum_written_long_ago_and_the_pieces_since_are_the_sum_of_today((pieces, ticks) in life_and_ticks(), zone in draw::zone()) {
        let (from, to) = span(&pieces);
        let mut written = vec![from, to];
        written.extend(ticks.iter().map(|tick| instant_in(&pieces, *tick)));
        written.sort_unstable();
        for (older, newer) in written.iter().zip(&written[1..]) {
            let mut hourly = fresh(&pieces, zone);
            rate_all(&mut hourly, &window(&pieces, from, *older), zone);
            let mut at_once = hourly;

            rate_all(&mut hourly, &window(&pieces, *older, *newer), zone);
            accrue_pieces(&mut at_once, &window(&pieces, *older, *newer), zone).expect("ordered pieces");

            prop_assert_eq!(at_once, hourly);
        }
    }

    #[test]
    fn charges_tile_the_pieces(pieces in life(), zone in draw::zone()) {
        let charges = rate_all(&mut fresh(&pieces, zone), &pieces, zone);

        let mut rest = charges.as_slice();
        for (index, piece) in pieces.iter().enumerate() {
            let mut at = piece.from;
            while let Some((charge, behind)) = rest.split_first().filter(|(charge, _)| charge.piece == index) {
                prop_assert_eq!(charge.from, at);
                prop_assert_eq!(charge.rate, piece.rate);
                prop_assert_eq!(Some(charge.micros), (charge.to - charge.from).num_microseconds());
                prop_assert!(charge.to <= billing::hour_floor(charge.from) + TimeDelta::hours(1));
                prop_assert!(charge.to <= Month::of(charge.from, zone).end(zone));
                at = charge.to;
                rest = behind;
            }
            prop_assert_eq!(at, piece.to);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn later_never_costs_less((pieces, ticks) in life_and_ticks(), zone in draw::zone()) {
        let (from, to) = span(&pieces);
        let meters = [WalletMeter { state: fresh(&pieces, zone), pieces: &pieces }];
        let mut ends: Vec<_> = ticks.iter().map(|tick| instant_in(&pieces, *tick)).collect();
        ends.extend([from, to]);
        ends.sort_unstable();

        let totals: Vec<_> = ends
            .iter()
            .map(|end| total_through(&meters, from, *end, zone).expect("ordered pieces"))
            .collect();

        prop_assert_eq!(totals[0], Money::ZERO);
        prop_assert!(totals.is_sorted(), "{:?}", totals);
        prop_assert_eq!(totals[totals.len() - 1], total(&rate_all(&mut fresh(&pieces, zone), &pieces, zone)));
    }

    #[test]
    fn no_charge_is_negative_or_above_rate_by_time(pieces in life(), zone in draw::zone()) {
        for charge in rate_all(&mut fresh(&pieces, zone), &pieces, zone) {
            let uncapped = charge.rate.for_duration(charge.to - charge.from);

            prop_assert!(!charge.amount.is_negative());
            // The difference of two roundings may be one micro beside the rounding of the difference.
            prop_assert!(charge.amount <= uncapped + Money::from_micros(1));
            prop_assert!(charge.capped || charge.amount >= uncapped - Money::from_micros(1));
        }
    }

    #[test]
    fn a_month_never_costs_more_than_its_highest_cap(pieces in life(), zone in draw::zone()) {
        let charges = rate_all(&mut fresh(&pieces, zone), &pieces, zone);

        let mut months: BTreeMap<Month, (Money, Option<Money>)> = BTreeMap::new();
        for charge in &charges {
            let month = months
                .entry(Month::of(charge.from, zone))
                .or_insert((Money::ZERO, Some(Money::ZERO)));
            month.0 += charge.amount;
            month.1 = match (month.1, pieces[charge.piece].cap) {
                (Some(one), Some(other)) => Some(one.max(other)),
                _ => None,
            };
        }
        for (month, (charged, cap)) in months {
            prop_assert!(cap.is_none_or(|cap| charged <= cap), "{} charged {} over {:?}", month, charged, cap);
        }
    }

    #[test]
    fn a_cap_reached_stays_reached_over_stop_and_start(
        start in draw::late_in_a_month(),
        cap_micros in 1_i128..1_000_000,
        stops in prop::collection::vec((1_i64..48, 1_i64..48), 1..5),
    ) {
        // A rate that reaches the cap within the first hour; then stopped and started again within the same month.
        let cap = Some(Money::from_micros(cap_micros));
        let running: billing::Rate = "1".parse().expect("a written rate");
        let mut at = Month::of(start, Tz::UTC).start(Tz::UTC);
        let mut pieces = vec![Piece { from: at, to: at + TimeDelta::hours(1), rate: running, cap }];
        at += TimeDelta::hours(1);
        for (stopped, started) in stops {
            for (hours, rate) in [(stopped, billing::Rate::ZERO), (started, running)] {
                pieces.push(Piece { from: at, to: at + TimeDelta::hours(hours), rate, cap });
                at += TimeDelta::hours(hours);
            }
        }

        let charges = rate_all(&mut fresh(&pieces, Tz::UTC), &pieces, Tz::UTC);

        prop_assert_eq!(charges[0].amount, Money::from_micros(cap_micros));
        prop_assert_eq!(total(&charges[1..]), Money::ZERO);
    }

    #[test]
    fn a_resize_charges_only_what_comes_after_it(
        free_hours in 1_i64..200,
        small_micros in 1_i128..1_000_000,
        more_micros in 1_i128..100_000_000,
        rate in draw::rate(),
        hours in 1_i64..48,
    ) {
        let start: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().expect("a written instant");
        let small = Money::from_micros(small_micros);
        let large = small + Money::from_micros(more_micros);
        let full = start + TimeDelta::hours(1);
        let resized = full + TimeDelta::hours(free_hours);
        let pieces = [
            Piece { from: start, to: resized, rate: "1".parse().expect("a written rate"), cap: Some(small) },
            Piece { from: resized, to: resized + TimeDelta::hours(hours), rate, cap: Some(large) },
            Piece {
                from: resized + TimeDelta::hours(hours),
                to: resized + TimeDelta::hours(2 * hours),
                rate,
                cap: Some(small),
            },
        ];

        let charges = rate_all(&mut fresh(&pieces, Tz::UTC), &pieces, Tz::UTC);

        // Free hours stay free: the month's sum is the small cap plus what the time after the resize accrues, up to the
        // large cap, which going back to the small plan does not lower.
        let exact = Accrued::worth(small) + rate.over(TimeDelta::hours(2 * hours));
        let expected = large.min(round6(exact));
        prop_assert_eq!(total(&charges), expected);
    }

    #[test]
    fn a_month_is_one_rounding_of_its_exact_capped_sum(pieces in life(), zone in draw::zone()) {
        let charges = rate_all(&mut fresh(&pieces, zone), &pieces, zone);

        // The sum once more, in decimals of currency × seconds and by months instead of hours.
        let mut months: BTreeMap<Month, (Decimal, Option<Decimal>)> = BTreeMap::new();
        for piece in &pieces {
            let mut at = piece.from;
            while at < piece.to {
                let month = Month::of(at, zone);
                let cut = piece.to.min(month.end(zone));
                let micros = (cut - at).num_microseconds().expect("some weeks");
                let (sum, cap) = months.entry(month).or_insert((Decimal::ZERO, Some(Decimal::ZERO)));
                *cap = cap
                    .zip(piece.cap)
                    .map(|(cap, new)| cap.max(new.to_decimal() * Decimal::from(3_600)));
                *sum += piece.rate.to_decimal() * Decimal::from_i128_with_scale(i128::from(micros), 6);
                if let Some(cap) = cap {
                    *sum = (*sum).min(*cap);
                }
                at = cut;
            }
        }
        for (month, (sum, _)) in months {
            let charged: Money = charges
                .iter()
                .filter(|charge| Month::of(charge.from, zone) == month)
                .map(|charge| charge.amount)
                .sum();
            let exact = Accrued::try_from_decimal(sum).expect("sixteen places");
            prop_assert_eq!(charged, round6(exact));
            // Compared by multiplication: a quotient of decimals would be rounded before it is rounded.
            let difference = (charged.to_decimal() * Decimal::from(3_600) - sum).abs();
            prop_assert!(difference <= Decimal::from_i128_with_scale(1_800, 6));
        }
    }

    #[test]
    fn without_cap_a_charge_agrees_with_another_implementation(
        at in draw::late_in_a_month(),
        rate in draw::rate(),
        seconds in 1_i64..3_600,
    ) {
        let from = billing::hour_floor(at);
        let piece = Piece { from, to: from + TimeDelta::seconds(seconds), rate, cap: None };

        let charges = rate_all(&mut fresh(&[piece], Tz::UTC), &[piece], Tz::UTC);

        // A `Decimal` keeps 28 digits. A quotient that is halfway ends at the seventh place and is exact; any other is at least
        // 10^-14 beside the half and stays on its side.
        let exact = rate.to_decimal() * Decimal::from(seconds) / Decimal::from(3_600);
        let expected = exact.round_dp_with_strategy(6, RoundingStrategy::MidpointNearestEven);
        prop_assert_eq!(total(&charges).to_decimal(), expected);
    }

    #[test]
    fn the_order_of_meters_does_not_matter(
        start in draw::late_in_a_month(),
        seeds in prop::collection::vec(0_u32..1000, 2..4),
        lives in prop::collection::vec(life(), 2..4),
        zone in draw::zone(),
    ) {
        let from = start.min(lives.iter().map(|pieces| pieces[0].from).min().expect("two lives"));
        let to = lives.iter().map(|pieces| span(pieces).1).max().expect("two lives");
        let mut meters: Vec<_> = lives
            .iter()
            .map(|pieces| WalletMeter { state: MeterState::new(Month::of(from, zone)), pieces })
            .collect();
        let together = total_through(&meters, from, to, zone);
        let each: Money = lives.iter().map(|pieces| total(&rate_all(&mut fresh(pieces, zone), pieces, zone))).sum();

        for seed in seeds {
            let places = meters.len();
            meters.swap(seed as usize % places, 0);
            prop_assert_eq!(total_through(&meters, from, to, zone), together);
        }
        prop_assert_eq!(together, Ok(each));
    }

    #[test]
    fn meters_in_any_groups_and_any_order_cost_the_same(
        (lives, shuffled) in prop::collection::vec(life(), 1..6)
            .prop_flat_map(|lives| (Just(lives.clone()), Just(lives).prop_shuffle())),
        groups in prop::collection::vec(0_usize..3, 6),
        zone in draw::zone(),
    ) {
        let from = lives.iter().map(|pieces| pieces[0].from).min().expect("a life");
        let to = lives.iter().map(|pieces| span(pieces).1).max().expect("a life");
        let state = MeterState::new(Month::of(from, zone));
        let cost = |lives: &[&Vec<Piece>]| {
            let meters: Vec<_> = lives.iter().map(|pieces| WalletMeter { state, pieces: pieces.as_slice() }).collect();
            total_through(&meters, from, to, zone).expect("ordered pieces")
        };

        let together = cost(&lives.iter().collect::<Vec<_>>());

        let in_groups: Money = (0..3)
            .map(|group| {
                let members: Vec<_> =
                    shuffled.iter().zip(&groups).filter(|(_, of)| **of == group).map(|(pieces, _)| pieces).collect();
                cost(&members)
            })
            .sum();
        prop_assert_eq!(in_groups, together);
    }

    #[test]
    fn intervals_fed_in_any_groups_cost_the_same(
        pieces in life(),
        ends in prop::collection::vec(any::<bool>(), 6),
        zone in draw::zone(),
    ) {
        let mut at_once = fresh(&pieces, zone);
        let whole = total(&rate_all(&mut at_once, &pieces, zone));

        let mut in_groups = fresh(&pieces, zone);
        let (mut sum, mut group) = (Money::ZERO, Vec::new());
        for (piece, ends) in pieces.iter().zip(ends) {
            group.push(*piece);
            if ends {
                sum += total(&rate_all(&mut in_groups, &std::mem::take(&mut group), zone));
            }
        }
        sum += total(&rate_all(&mut in_groups, &group, zone));

        prop_assert_eq!(sum, whole);
        prop_assert_eq!(in_groups, at_once);
    }
}
