//! Laws of quantities: forty units of a thing accrue forty times what one does, under forty times its cap, and are rounded once.

use billing::{MeterState, Money, Month, Piece, Rate, rate_pieces};
use chrono_tz::Tz;
use proptest::prelude::*;

use crate::draw;

/// As many units of what the pieces are.
fn many(pieces: &[Piece], quantity: i64) -> Vec<Piece> {
    let times = |piece: &Piece| Piece {
        rate: piece.rate.times(quantity).expect("an ordinary rate"),
        cap: piece.cap.map(|cap| cap.times(quantity).expect("an ordinary cap")),
        ..*piece
    };
    pieces.iter().map(times).collect()
}

fn rated(pieces: &[Piece], zone: Tz) -> (MeterState, Money) {
    let mut state = MeterState::new(Month::of(pieces[0].from, zone));
    let mut total = Money::ZERO;
    rate_pieces(&mut state, pieces, zone, |charge| total += charge.amount).expect("ordered pieces");
    (state, total)
}

fn months(pieces: &[Piece], zone: Tz) -> i128 {
    let mut month = Month::of(pieces[0].from, zone);
    let mut count = 1;
    while month.end(zone) < pieces[pieces.len() - 1].to {
        month = month.next();
        count += 1;
    }
    count
}

proptest! {
    #[test]
    fn a_quantity_accrues_what_as_many_meters_of_one_unit_accrue(
        pieces in draw::late_in_a_month().prop_flat_map(draw::life),
        quantity in 0_i64..10_000,
        zone in draw::zone(),
    ) {
        let (one, charged_one) = rated(&pieces, zone);
        let (all, charged_all) = rated(&many(&pieces, quantity), zone);

        prop_assert_eq!(all.accrued.units(), one.accrued.units() * i128::from(quantity));
        prop_assert_eq!(all.cap, one.cap.map(|cap| cap.times(quantity).expect("an ordinary cap")));
        // Each month of each unit is rounded by half a micro at most, and so is each month of the whole.
        let slack = (i128::from(quantity) + 1) * months(&pieces, zone);
        let difference = (charged_all - charged_one.times(quantity).expect("an ordinary sum")).micros().abs();
        prop_assert!(2 * difference <= slack, "{} micros", difference);
    }

    #[test]
    fn a_quantity_split_in_two_costs_per_hour_what_the_whole_does(
        rate in draw::rate(),
        one in 0_i64..100_000,
        other in 0_i64..100_000,
    ) {
        let times = |quantity| rate.times(quantity).expect("an ordinary rate");

        prop_assert_eq!(times(one) + times(other), times(one + other));
        prop_assert_eq!(times(one).times(other), rate.times(one * other));
    }

    #[test]
    fn more_of_a_thing_never_costs_less(rate in draw::rate(), quantity in 0_i64..1_000, more in 0_i64..1_000) {
        prop_assert!(rate.times(quantity).expect("ordinary") <= rate.times(quantity + more).expect("ordinary"));
        prop_assert!(quantity > 0 || rate.times(quantity) == Ok(Rate::ZERO));
    }
}
