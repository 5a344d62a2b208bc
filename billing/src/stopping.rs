//! Which machines stop when the credit ends: in the customer's order, and no more of them than needed.
//! It decides; shutting down, and what is charged meanwhile, are elsewhere.

use crate::hold::carries;
use crate::money::Money;
use crate::rate::Rate;

/// A machine that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stoppable<Id> {
    /// Whose it is.
    pub id: Id,
    /// What it costs per hour as long as it runs.
    pub running: Rate,
    /// What it goes on costing per hour when it is stopped: its disk, if that is charged meanwhile.
    pub stopped: Rate,
}

/// Which of the running machines stop, the least important first.
///
/// `machines` are in the customer's order, the most important first. `available` is the balance and how far below zero it may
/// go; `standing` is what costs something whether machines run or not, per hour. What is left running, what the stopped go on
/// costing and `standing` must together be carried by `available` for [`HOLD_HOURS`](crate::HOLD_HOURS).
///
/// If it is not carried with everything running, machines are kept in the customer's order, each that is carried together
/// with those kept in front of it and with everything else stopped. So a machine stops only if those more important leave no
/// room for it, and starting any one of the stopped again would break the rule. If it is not even carried with everything
/// stopped, all stop. At exactly zero nothing is carried, so everything that costs something stops. What costs nothing always
/// runs on, and so does, as long as the rest is carried, what would cost no less stopped.
pub fn to_stop<Id: Clone>(available: Money, standing: Rate, machines: &[Stoppable<Id>]) -> Vec<Id> {
    let at_least = machines.iter().map(|machine| machine.running.min(machine.stopped)).sum::<Rate>() + standing;
    let hopeless = !carries(available, at_least);
    let mut burn = at_least;
    let mut stop = Vec::new();
    for machine in machines {
        let kept = match machine.running.checked_sub(machine.stopped) {
            _ if machine.running.is_zero() => true,
            _ if hopeless => false,
            None => true,
            Some(more) => {
                let kept = carries(available, burn + more);
                if kept {
                    burn = burn + more;
                }
                kept
            }
        };
        if !kept {
            stop.push(machine.id.clone());
        }
    }
    stop.reverse();
    stop
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn rate(text: &str) -> Rate {
        text.parse().expect("a written rate")
    }

    fn machine(id: &'static str, running: &str, stopped: &str) -> Stoppable<&'static str> {
        Stoppable { id, running: rate(running), stopped: rate(stopped) }
    }

    #[test]
    fn what_is_carried_runs_on() {
        let machines = [machine("mail", "1", "0.5"), machine("web", "2", "0")];

        assert!(to_stop(money("72"), Rate::ZERO, &machines).is_empty());
        assert_eq!(to_stop(money("71.999999"), Rate::ZERO, &machines), ["web"]);
        assert_eq!(to_stop(money("72"), rate("0.0000000001"), &machines), ["web"]);
    }

    #[test]
    fn the_least_important_stops_first_and_no_more_than_needed() {
        let machines = [machine("mail", "1", "0"), machine("web", "1", "0"), machine("test", "1", "0")];

        assert_eq!(to_stop(money("71"), Rate::ZERO, &machines), ["test"]);
        assert_eq!(to_stop(money("47"), Rate::ZERO, &machines), ["test", "web"]);
        assert_eq!(to_stop(money("23"), Rate::ZERO, &machines), ["test", "web", "mail"]);
    }

    #[test]
    fn what_fits_beside_a_machine_that_is_too_dear_runs_on() {
        let machines = [machine("mail", "5", "0"), machine("web", "3", "0"), machine("test", "1", "0")];

        assert_eq!(to_stop(money("96"), Rate::ZERO, &machines), ["mail"]);
    }

    #[test]
    fn what_the_stopped_go_on_costing_counts() {
        let machines = [machine("mail", "2", "1"), machine("web", "2", "1")];

        assert_eq!(to_stop(money("72"), Rate::ZERO, &machines), ["web"]);
        assert_eq!(to_stop(money("71.999999"), Rate::ZERO, &machines), ["web", "mail"]);
    }

    #[test]
    fn at_zero_all_that_costs_stops_and_what_is_free_runs_on() {
        let machines = [machine("mail", "1", "0"), machine("free", "0", "0"), machine("same", "1", "1")];

        assert_eq!(to_stop(Money::ZERO, Rate::ZERO, &machines), ["same", "mail"]);
        assert_eq!(to_stop(money("-5"), Rate::ZERO, &machines), ["same", "mail"]);
        assert_eq!(to_stop(money("24"), Rate::ZERO, &machines), ["mail"]);
        assert!(to_stop(Money::ZERO, Rate::ZERO, &[machine("free", "0", "0")]).is_empty());
    }
}
