//! Laws of running out: the balance pays to the instant found and not a microsecond further, and the prediction says the same
//! but for the roundings.

use billing::{
    Accrued, BurnLine, HORIZON_MONTHS, MeterState, Money, Month, Piece, RunsOut, WalletMeter, burn, run_out_instant,
    runs_out_at, total_through,
};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use crate::draw;

const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);

fn wallet() -> impl Strategy<Value = Vec<Vec<Piece>>> {
    prop::collection::vec(draw::late_in_a_month().prop_flat_map(draw::life), 1..4)
}

/// Lives that begin at different times, some of them after the next month has begun.
fn births() -> impl Strategy<Value = Vec<Vec<Piece>>> {
    let birth = (draw::late_in_a_month(), 0..20_i64).prop_map(|(at, days)| at + TimeDelta::days(days));
    prop::collection::vec(birth.prop_flat_map(draw::life), 1..4)
}

fn lines(month: Month) -> impl Strategy<Value = Vec<BurnLine>> {
    let line =
        (0_i128..20_000_000, draw::cap(), draw::rate(), draw::cap()).prop_map(move |(accrued, highest, rate, cap)| {
            BurnLine {
                state: MeterState {
                    accrued: Accrued::worth(Money::from_micros(accrued)),
                    cap: highest,
                    ..MeterState::new(month)
                },
                rate,
                cap,
            }
        });
    prop::collection::vec(line, 0..5)
}

fn go_on(lines: &[BurnLine], from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<[Piece; 1]> {
    lines.iter().map(|line| [Piece { from, to, rate: line.rate, cap: line.cap }]).collect()
}

fn meters<'pieces>(lines: &[BurnLine], pieces: &'pieces [[Piece; 1]]) -> Vec<WalletMeter<'pieces>> {
    lines.iter().zip(pieces).map(|(line, pieces)| WalletMeter { state: line.state, pieces }).collect()
}

fn months_touched(from: DateTime<Utc>, to: DateTime<Utc>, zone: Tz) -> i128 {
    let mut month = Month::of(from, zone);
    let mut count = 1;
    while month.end(zone) < to {
        month = month.next();
        count += 1;
    }
    count
}

/// What the lines accrue in `[from, to)`, unrounded, by rating them month by month.
fn grown(lines: &[BurnLine], from: DateTime<Utc>, to: DateTime<Utc>, zone: Tz) -> i128 {
    let mut units = 0;
    for line in lines {
        let mut state = line.state;
        let mut at = from;
        while at < to {
            let month = Month::of(at, zone);
            if state.month != month {
                state = MeterState::new(month);
            }
            let before = state.accrued.units();
            let cut = month.end(zone).min(to);
            let piece = Piece { from: at, to: cut, rate: line.rate, cap: line.cap };
            billing::rate_pieces(&mut state, &[piece], zone, |_| {}).expect("one piece");
            units += state.accrued.units() - before;
            at = cut;
        }
    }
    units
}

proptest! {
    #[test]
    fn a_balance_pays_to_the_run_out_and_not_further(
        lives in wallet(),
        zone in draw::zone(),
        thousandths in -1_i128..=1_100,
    ) {
        let from = lives.iter().map(|pieces| pieces[0].from).min().expect("a life");
        let to = lives.iter().map(|pieces| pieces[pieces.len() - 1].to).max().expect("a life");
        let state = MeterState::new(Month::of(from, zone));
        let meters: Vec<_> = lives.iter().map(|pieces| WalletMeter { state, pieces }).collect();
        let total = |to| total_through(&meters, from, to, zone).expect("ordered pieces");
        let balance = Money::from_micros(total(to).micros() * thousandths / 1_000);

        match run_out_instant(&meters, balance, from, to, zone).expect("ordered pieces") {
            None => prop_assert!(total(to) <= balance),
            Some(at) if balance.is_negative() => prop_assert_eq!(at, from),
            Some(at) => {
                prop_assert!(from <= at && at < to);
                prop_assert!(total(at) <= balance);
                prop_assert!(balance < total(at + MICROSECOND));
            }
        }
    }

    #[test]
    fn a_meter_born_in_the_window_is_charged_from_its_birth(
        lives in births(),
        zone in draw::zone(),
        thousandths in -1_i128..=1_100,
    ) {
        // Each begins with a sum of the month it was born in, whatever the month in which the window begins.
        let from = lives.iter().map(|pieces| pieces[0].from).min().expect("a life");
        let to = lives.iter().map(|pieces| pieces[pieces.len() - 1].to).max().expect("a life");
        let born = |pieces: &[Piece]| MeterState::new(Month::of(pieces[0].from, zone));
        let meters: Vec<_> = lives.iter().map(|pieces| WalletMeter { state: born(pieces), pieces }).collect();
        // What rating says of the parts before an instant, without any search.
        let rated = |to: DateTime<Utc>| {
            let mut total = Money::ZERO;
            for pieces in &lives {
                let before: Vec<_> = pieces
                    .iter()
                    .map(|piece| Piece { to: piece.to.min(to), ..*piece })
                    .filter(|piece| piece.from < piece.to)
                    .collect();
                billing::rate_pieces(&mut born(pieces), &before, zone, |charge| total += charge.amount).expect("ordered pieces");
            }
            total
        };
        let all = rated(to);
        prop_assert_eq!(total_through(&meters, from, to, zone), Ok(all));
        let balance = Money::from_micros(all.micros() * thousandths / 1_000);

        match run_out_instant(&meters, balance, from, to, zone).expect("ordered pieces") {
            None => prop_assert!(all <= balance),
            Some(at) if balance.is_negative() => prop_assert_eq!(at, from),
            Some(at) => {
                prop_assert!(from <= at && at < to);
                prop_assert!(rated(at) <= balance);
                prop_assert!(balance < rated(at + MICROSECOND));
            }
        }
    }

    #[test]
    fn the_prediction_is_the_run_out_but_for_roundings(
        (from, zone, lines) in (draw::late_in_a_month(), draw::zone())
            .prop_flat_map(|(from, zone)| (Just(from), Just(zone), lines(Month::of(from, zone)))),
        micros in 0_i128..100_000_000,
    ) {
        let balance = Money::from_micros(micros);

        match runs_out_at(balance, &lines, from, zone) {
            RunsOut::At(at) => {
                prop_assert!(at > from);
                let to = at + TimeDelta::days(1);
                let pieces = go_on(&lines, from, to);
                let meters = meters(&lines, &pieces);
                let total = |to| total_through(&meters, from, to, zone).expect("ordered pieces");
                // One micro per line for the first month's two roundings, half a one for each further month.
                let months = months_touched(from, to, zone);
                let slack = Money::from_micros(lines.len() as i128 * (months + 1) / 2);

                prop_assert!(total(at - MICROSECOND) <= balance + slack);
                prop_assert!(total(at) + slack >= balance);
                let run_out = |balance| {
                    run_out_instant(&meters, balance, from, to, zone).expect("ordered pieces").unwrap_or(to)
                };
                prop_assert!(run_out(balance - slack) <= at);
                prop_assert!(run_out(balance + slack) + MICROSECOND >= at);
            }
            RunsOut::Never => {
                // It was said after a whole month without burn; neither does anything burn a year after that.
                let next = Month::of(from, zone).end(zone);
                let pieces = go_on(&lines, from, next + TimeDelta::days(365));
                let meters = meters(&lines, &pieces);
                let total = |to| total_through(&meters, from, to, zone).expect("ordered pieces");
                prop_assert_eq!(total(next), total(next + TimeDelta::days(365)));
            }
            RunsOut::Beyond(horizon) => {
                let pieces = go_on(&lines, from, horizon);
                let meters = meters(&lines, &pieces);
                let slack = Money::from_micros(lines.len() as i128 * i128::from(HORIZON_MONTHS));
                let total = total_through(&meters, from, horizon, zone).expect("ordered pieces");
                prop_assert!(total <= balance + slack);
            }
        }
    }

    #[test]
    fn the_prediction_is_the_first_microsecond_above_the_balance(
        (from, zone, lines) in (draw::late_in_a_month(), draw::zone())
            .prop_flat_map(|(from, zone)| (Just(from), Just(zone), lines(Month::of(from, zone)))),
        micros in 0_i128..100_000_000,
    ) {
        let balance = Money::from_micros(micros);
        let enough = Accrued::worth(balance).units();

        match runs_out_at(balance, &lines, from, zone) {
            RunsOut::At(at) => {
                prop_assert!(grown(&lines, from, at, zone) > enough);
                prop_assert!(grown(&lines, from, at - MICROSECOND, zone) <= enough);
            }
            RunsOut::Never => {
                let next = Month::of(from, zone).end(zone);
                prop_assert!(grown(&lines, from, next, zone) <= enough);
                prop_assert_eq!(grown(&lines, next, next + TimeDelta::days(40), zone), 0);
            }
            RunsOut::Beyond(horizon) => prop_assert!(grown(&lines, from, horizon, zone) <= enough),
        }
    }

    #[test]
    fn more_money_never_runs_out_earlier_and_caps_only_help(
        (from, zone, lines) in (draw::late_in_a_month(), draw::zone())
            .prop_flat_map(|(from, zone)| (Just(from), Just(zone), lines(Month::of(from, zone)))),
        micros in 0_i128..100_000_000,
        more in 0_i128..100_000_000,
    ) {
        let far = from + TimeDelta::days(365 * 10);
        let when = |balance, lines: &[BurnLine]| match runs_out_at(balance, lines, from, zone) {
            RunsOut::At(at) => at,
            RunsOut::Beyond(horizon) => horizon,
            RunsOut::Never => far,
        };
        let balance = Money::from_micros(micros);
        let uncapped: Vec<_> = lines.iter().map(|line| BurnLine { cap: None, ..*line }).collect();

        prop_assert!(when(balance, &lines) <= when(balance + Money::from_micros(more), &lines));
        prop_assert!(when(balance, &uncapped) <= when(balance, &lines));
    }

    #[test]
    fn what_burns_now_is_what_the_next_moment_accrues(
        (from, zone, lines) in (draw::late_in_a_month(), draw::zone())
            .prop_flat_map(|(from, zone)| (Just(from), Just(zone), lines(Month::of(from, zone)))),
    ) {
        let rate = burn(&lines, from, zone);

        let mut accrued = 0;
        for (line, pieces) in lines.iter().zip(go_on(&lines, from, from + MICROSECOND)) {
            let mut state = line.state;
            billing::rate_pieces(&mut state, &pieces, zone, |_| {}).expect("one piece");
            accrued += state.accrued.units() - line.state.accrued.units();
        }
        // A line may reach its cap within this microsecond, but it cannot burn more than its rate.
        prop_assert!(accrued <= rate.units());
        prop_assert_eq!(accrued == 0, rate.is_zero());
    }
}
