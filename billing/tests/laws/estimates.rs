//! Laws of estimates: what is foreseen for a month is what will be charged, and other prices are rated as the real ones are.

use billing::{
    Accrued, BurnLine, ESTIMATE_MONTH_HOURS, Estimate, MeterState, Money, Month, Piece, WhatIf, rate_pieces, what_if,
};
use chrono::TimeDelta;
use proptest::prelude::*;

use crate::draw;

fn charged(state: MeterState, pieces: &[Piece], zone: chrono_tz::Tz) -> Money {
    let (mut state, mut total) = (state, Money::ZERO);
    rate_pieces(&mut state, pieces, zone, |charge| total += charge.amount).expect("ordered pieces");
    total
}

/// The pieces with each cut in two at this part of its length.
fn cut(pieces: &[Piece], thousandths: i32) -> Vec<Piece> {
    let halves = |piece: &Piece| {
        let middle = piece.from + (piece.to - piece.from) / 1_000 * thousandths;
        [Piece { to: middle, ..*piece }, Piece { from: middle, ..*piece }]
    };
    pieces.iter().flat_map(halves).collect()
}

fn life() -> impl Strategy<Value = Vec<Piece>> {
    draw::late_in_a_month().prop_flat_map(draw::life)
}

proptest! {
    #[test]
    fn what_is_foreseen_until_the_months_end_is_what_is_charged(
        at in draw::late_in_a_month(),
        zone in draw::zone(),
        accrued in 0_i128..20_000_000,
        highest in draw::cap(),
        rate in draw::rate(),
        cap in draw::cap(),
    ) {
        let month = Month::of(at, zone);
        let state =
            MeterState { accrued: Accrued::worth(Money::from_micros(accrued)), cap: highest, ..MeterState::new(month) };

        let estimate = Estimate::of(&BurnLine { state, rate, cap }, at, zone).expect("the same month");

        let rest = [Piece { from: at, to: month.end(zone), rate, cap }];
        prop_assert_eq!(estimate.until_month_end, charged(state, &rest, zone));
    }

    #[test]
    fn no_estimate_of_a_new_meter_is_above_its_cap_or_below_a_shorter_one(
        at in draw::late_in_a_month(),
        zone in draw::zone(),
        rate in draw::rate(),
        cap in draw::cap(),
    ) {
        let estimate = Estimate::of_new(rate, cap, at, zone);

        prop_assert!(estimate.hour <= estimate.day && estimate.day <= estimate.month);
        for amount in [estimate.hour, estimate.day, estimate.month, estimate.until_month_end] {
            prop_assert!(!amount.is_negative() && cap.is_none_or(|cap| amount <= cap));
        }
        let uncapped = Estimate::of_new(rate, None, at, zone);
        prop_assert_eq!(uncapped.month, rate.for_hours(ESTIMATE_MONTH_HOURS));
        prop_assert!(estimate.month <= uncapped.month && estimate.until_month_end <= uncapped.until_month_end);
    }

    #[test]
    fn under_its_own_prices_a_life_costs_what_was_charged_in_any_cut(
        pieces in life(),
        thousandths in 0_i32..=1_000,
        zone in draw::zone(),
    ) {
        let own = |_: usize, piece: &Piece| (piece.rate, piece.cap);
        let total = charged(MeterState::new(Month::of(pieces[0].from, zone)), &pieces, zone);

        prop_assert_eq!(what_if(&pieces, zone, own), Ok(WhatIf { is: total, would_be: total }));
        prop_assert_eq!(what_if(&cut(&pieces, thousandths), zone, own), Ok(WhatIf { is: total, would_be: total }));
    }

    #[test]
    fn higher_prices_and_caps_never_cost_less(
        pieces in life(),
        more in draw::rate(),
        more_cap in prop::option::of(0_i128..30_000_000),
        zone in draw::zone(),
    ) {
        let what_if = what_if(&pieces, zone, |_, piece| {
            let cap = piece.cap.zip(more_cap).map(|(cap, more)| cap + Money::from_micros(more));
            (piece.rate + more, cap)
        });

        prop_assert!(!what_if.expect("ordered pieces").difference().is_negative());
    }

    #[test]
    fn other_prices_are_rated_as_if_they_had_been_the_prices(
        pieces in life(),
        prices in prop::collection::vec((draw::rate(), draw::cap()), 6),
        zone in draw::zone(),
    ) {
        let priced: Vec<_> = pieces
            .iter()
            .zip(&prices)
            .map(|(piece, (rate, cap))| Piece { rate: *rate, cap: *cap, ..*piece })
            .collect();

        let what_if = what_if(&pieces, zone, |index, _| prices[index]).expect("ordered pieces");

        let state = MeterState::new(Month::of(pieces[0].from, zone));
        prop_assert_eq!(what_if.would_be, charged(state, &priced, zone));
        prop_assert_eq!(what_if.is, charged(state, &pieces, zone));
        prop_assert_eq!(what_if.difference(), what_if.would_be - what_if.is);
    }

    #[test]
    fn estimates_add_up(
        at in draw::late_in_a_month(),
        prices in prop::collection::vec((draw::rate(), draw::cap()), 0..5),
        zone in draw::zone(),
    ) {
        let estimates: Vec<_> = prices
            .iter()
            .map(|(rate, cap)| Estimate::of_new(*rate, *cap, at, zone))
            .collect();

        let all: Estimate = estimates.iter().copied().sum();

        prop_assert_eq!(all.day, estimates.iter().map(|estimate| estimate.day).sum::<Money>());
        prop_assert_eq!(all.hour, estimates.iter().map(|estimate| estimate.hour).sum::<Money>());
        prop_assert_eq!(all.month, estimates.iter().map(|estimate| estimate.month).sum::<Money>());
        let pieces = |(rate, cap): &(billing::Rate, Option<Money>)| {
            [Piece { from: at, to: Month::of(at, zone).end(zone).max(at + TimeDelta::microseconds(1)), rate: *rate, cap: *cap }]
        };
        let state = MeterState::new(Month::of(at, zone));
        let charges = prices.iter().map(|price| charged(state, &pieces(price), zone)).sum::<Money>();
        prop_assert_eq!(all.until_month_end, charges);
    }
}
