//! Laws of stopping and starting for lack of credit: what runs is carried for a day, the customer's order decides, and no machine
//! stops or waits without need.

use billing::{Accrued, HOLD_HOURS, Money, Rate, Stoppable, resumable, to_stop};
use proptest::prelude::*;

use crate::draw;

/// Machines of prices that are often equal, sometimes free, and sometimes dearer stopped than running.
fn machines() -> impl Strategy<Value = Vec<Stoppable<usize>>> {
    let small = || (0_i128..6).prop_map(|units| Rate::try_from_units(units * 1_000_000_000).expect("a rate"));
    let rate = move || prop_oneof![3 => small(), 1 => draw::rate()];
    prop::collection::vec((rate(), rate(), any::<bool>()), 0..8).prop_map(|rates| {
        let machine = |(id, (one, other, free)): (usize, (Rate, Rate, bool))| Stoppable {
            id,
            running: one,
            stopped: if free { Rate::ZERO } else { other },
        };
        rates.into_iter().enumerate().map(machine).collect()
    })
}

fn available() -> impl Strategy<Value = Money> {
    prop_oneof![4 => -1_000_000_i128..60_000_000, 1 => Just(0_i128), 1 => (0_i128..24).prop_map(|units| units * 2_400_000)]
        .prop_map(Money::from_micros)
}

fn standing() -> impl Strategy<Value = Rate> {
    prop_oneof![2 => Just(Rate::ZERO), 1 => draw::rate()]
}

fn burn(standing: Rate, machines: &[Stoppable<usize>], stopped: &[usize]) -> Rate {
    let rate =
        |machine: &Stoppable<usize>| if stopped.contains(&machine.id) { machine.stopped } else { machine.running };
    standing + machines.iter().map(rate).sum()
}

fn carried(available: Money, burn: Rate) -> bool {
    burn.over_hours(HOLD_HOURS) <= Accrued::worth(available)
}

proptest! {
    #[test]
    fn what_is_left_running_is_carried_or_all_that_costs_stops(
        available in available(),
        standing in standing(),
        machines in machines(),
    ) {
        let stopped = to_stop(available, standing, &machines);

        let costing: Vec<_> =
            machines.iter().rev().filter(|machine| !machine.running.is_zero()).map(|machine| machine.id).collect();
        prop_assert!(carried(available, burn(standing, &machines, &stopped)) || stopped == costing);
        prop_assert!(stopped.iter().all(|id| costing.contains(id)));
        prop_assert!(stopped.is_sorted_by(|one, other| one > other), "the least important first");
    }

    #[test]
    fn starting_any_one_of_the_stopped_again_would_break_the_rule(
        available in available(),
        standing in standing(),
        machines in machines(),
    ) {
        let stopped = to_stop(available, standing, &machines);

        for spared in &stopped {
            let others: Vec<_> = stopped.iter().copied().filter(|id| id != spared).collect();
            prop_assert!(!carried(available, burn(standing, &machines, &others)));
        }
        let none_needed = carried(available, burn(standing, &machines, &[]));
        prop_assert!(!none_needed || stopped.is_empty());
    }

    #[test]
    fn a_machine_stops_only_if_the_more_important_leave_no_room_for_it(
        available in available(),
        standing in standing(),
        machines in machines(),
    ) {
        let stopped = to_stop(available, standing, &machines);

        for id in &stopped {
            // With it and all that is more important and kept, and nothing that could be stopped behind it.
            let behind = machines[id + 1..].iter().filter(|machine| machine.running > machine.stopped).map(|machine| machine.id);
            let others: Vec<_> = stopped.iter().copied().filter(|other| other < id).chain(behind).collect();
            prop_assert!(!carried(available, burn(standing, &machines, &others)));
        }
    }

    #[test]
    fn at_zero_everything_that_costs_something_stops(standing in standing(), mut machines in machines()) {
        machines.iter_mut().for_each(|machine| machine.stopped = Rate::ZERO);

        let stopped = to_stop(Money::ZERO, standing, &machines);

        prop_assert_eq!(burn(Rate::ZERO, &machines, &stopped), Rate::ZERO);
        prop_assert!(stopped.iter().all(|id| !machines[*id].running.is_zero()));
    }

    #[test]
    fn a_machine_resumes_only_if_it_is_carried_with_all_that_runs_and_in_order(
        rates in prop::collection::vec(draw::rate(), 0..8),
        burning in standing(),
        available in available(),
    ) {
        let candidates: Vec<_> = rates.into_iter().enumerate().collect();
        let burn = |count: usize| burning + candidates[..count].iter().map(|(_, rate)| *rate).sum();

        let resumed = resumable(available, burning, &candidates);

        prop_assert_eq!(&resumed, &(0..resumed.len()).collect::<Vec<_>>());
        prop_assert!(resumed.is_empty() || carried(available, burn(resumed.len())));
        prop_assert!(resumed.len() == candidates.len() || !carried(available, burn(resumed.len() + 1)));
    }

    #[test]
    fn what_has_just_resumed_is_not_stopped_again(available in available(), standing in standing(), machines in machines()) {
        let machines: Vec<_> = machines.into_iter().filter(|machine| machine.running >= machine.stopped).collect();
        let burning = machines.iter().map(|machine| machine.stopped).sum::<Rate>() + standing;
        let candidates: Vec<_> = machines
            .iter()
            .map(|machine| (machine.id, machine.running.checked_sub(machine.stopped).expect("it costs more running")))
            .collect();

        let resumed = resumable(available, burning, &candidates);

        let (running, off): (Vec<_>, Vec<_>) = machines.into_iter().partition(|machine| resumed.contains(&machine.id));
        let standing = off.iter().map(|machine| machine.stopped).sum::<Rate>() + standing;
        prop_assert!(to_stop(available, standing, &running).is_empty());
    }
}
