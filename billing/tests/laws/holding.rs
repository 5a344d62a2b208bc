//! Laws of holding back: every hour is charged once whatever the clock does, what is held stays held until somebody has looked,
//! and a pass is held exactly when it passes a limit.

use billing::{
    Breaker, BreakerRules, CatchUp, HoldReason, Money, ProjectedPass, USUAL_PASSES_MIN, catch_up, hour_floor,
    usual_amount,
};
use chrono::TimeDelta;
use proptest::prelude::*;

use crate::draw;

fn rules() -> impl Strategy<Value = BreakerRules> {
    (110_u32..2_000, 1_u32..=100, 1_u64..200).prop_map(|(factor_hundredths, stop_percent, vms_min)| BreakerRules {
        factor_hundredths,
        stop_percent,
        vms_min,
    })
}

fn amounts(length: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Money>> {
    prop::collection::vec(prop_oneof![1 => Just(0_i128), 5 => 0_i128..1_000_000].prop_map(Money::from_micros), length)
}

proptest! {
    #[test]
    fn every_hour_is_charged_once_whatever_the_clock_does(
        start in draw::instant(),
        limit_hours in 1_u32..100,
        jumps in prop::collection::vec((-50_i64..120, 0_i64..3_600, any::<bool>()), 1..40),
    ) {
        let (mut cursor, mut now, mut approved, mut held) = (start, start, None, None);
        for (hours, seconds, approve) in jumps {
            now += TimeDelta::hours(hours) + TimeDelta::seconds(seconds);
            match catch_up(cursor, approved, now, limit_hours) {
                CatchUp::Nothing => prop_assert!(hour_floor(now) <= cursor),
                CatchUp::Charge { through } => {
                    // The next charge begins where the last ended, and none is of the future.
                    prop_assert!(cursor < through && through <= hour_floor(now));
                    let by_itself = through - approved.map_or(cursor, |approved: chrono::DateTime<_>| approved.max(cursor));
                    prop_assert!(by_itself <= TimeDelta::hours(i64::from(limit_hours)));
                    cursor = through;
                    held = None;
                }
                CatchUp::Hold { from, through } => {
                    prop_assert_eq!((from, through), (cursor, hour_floor(now)));
                    prop_assert!(through - cursor > TimeDelta::hours(i64::from(limit_hours)));
                    held = Some(through);
                    if approve {
                        approved = held;
                        let released = catch_up(cursor, approved, now, limit_hours);
                        prop_assert_eq!(released, CatchUp::Charge { through });
                    }
                }
            }
        }
        prop_assert!(held.is_none_or(|held| cursor < held));
    }

    #[test]
    fn what_is_held_stays_held_until_an_operator_lets_it_through(
        cursor in draw::instant(),
        limit_hours in 1_u32..100,
        hours in 0_i64..1_000,
        more_hours in 0_i64..1_000,
    ) {
        let now = cursor + TimeDelta::hours(hours);
        let later = now + TimeDelta::hours(more_hours);

        let held = matches!(catch_up(cursor, None, now, limit_hours), CatchUp::Hold { .. });
        prop_assert_eq!(held, hour_floor(now) - cursor > TimeDelta::hours(i64::from(limit_hours)));
        if held {
            let still_held = matches!(catch_up(cursor, None, later, limit_hours), CatchUp::Hold { .. });
            prop_assert!(still_held);
            prop_assert_eq!(catch_up(cursor, Some(cursor), now, limit_hours), catch_up(cursor, None, now, limit_hours));
        }
    }

    #[test]
    fn a_pass_is_held_exactly_when_it_is_beyond_a_limit(
        rules in rules(),
        beside in prop_oneof![2 => -1_i128..=1, 1 => -20_000_000_i128..20_000_000],
        hours in 0_u32..50,
        (running, stopping) in (0_u64..500).prop_flat_map(|running| (Just(running), 0..=running)),
        last in amounts(0..60),
    ) {
        let limit = usual_amount(&last).unwrap_or(Money::ZERO).micros() * i128::from(rules.factor_hundredths) / 100;
        let amount = limit * i128::from(hours.max(1)) + beside;
        let pass = ProjectedPass { amount: Money::from_micros(amount), hours, stopping, running };

        let reasons = match rules.judge(&pass, &last) {
            Breaker::Go => Vec::new(),
            Breaker::Hold(reasons) => reasons,
        };

        let too_much = usual_amount(&last).is_some_and(|usual| {
            amount * 100 > usual.micros() * i128::from(rules.factor_hundredths) * i128::from(hours.max(1))
        });
        let too_many = running >= rules.vms_min && stopping * 100 > running * u64::from(rules.stop_percent);
        prop_assert_eq!(reasons.iter().any(|reason| matches!(reason, HoldReason::Amount { .. })), too_much);
        prop_assert_eq!(reasons.iter().any(|reason| matches!(reason, HoldReason::Stops { .. })), too_many);
        prop_assert_eq!(reasons.len(), usize::from(too_much) + usize::from(too_many));
    }

    #[test]
    fn the_usual_is_in_the_middle_of_the_last_passes(
        (last, shuffled) in amounts(USUAL_PASSES_MIN..80).prop_flat_map(|last| (Just(last.clone()), Just(last).prop_shuffle())),
    ) {
        let usual = usual_amount(&last).unwrap_or(Money::ZERO);

        prop_assert!(2 * last.iter().filter(|amount| **amount < usual).count() < last.len());
        prop_assert!(2 * last.iter().filter(|amount| **amount > usual).count() <= last.len());
        prop_assert_eq!(usual_amount(&shuffled), usual_amount(&last));
    }
}
