//! The 24 hours of burn a wallet must carry: to create a machine, and to start again what was stopped for lack of credit.
//! Holds are decided here and kept elsewhere; this writes nothing.

use crate::accrued::Accrued;
use crate::money::Money;
use crate::rate::Rate;

/// How many hours of burn must be in the wallet to create or resume a machine.
pub const HOLD_HOURS: i64 = 24;

/// What must be available to create or resume a machine of this rate: [`HOLD_HOURS`] of it, rounded once. The monthly cap
/// does not lower it.
pub fn hold_for(rate: Rate) -> Money {
    rate.for_hours(HOLD_HOURS)
}

/// Whether an amount carries a burn for [`HOLD_HOURS`], compared exactly. An amount below zero carries nothing, not even what
/// is free.
pub(crate) fn carries(available: Money, burn: Rate) -> bool {
    burn.over_hours(HOLD_HOURS) <= Accrued::worth(available)
}

/// Which of the machines stopped for lack of credit start again.
///
/// In the given order, the customer's, each that the available amount carries for [`HOLD_HOURS`] together with those in front
/// of it and with `burning`, what runs up charges already, per hour. The first that it does not carry ends the list, even if
/// a cheaper one behind it would fit: what stands first must not wait longer because of what stands last. The rate of a
/// candidate is what it costs per hour on top of what it costs stopped, as that is part of `burning`. `available` is the
/// balance and how far below zero it may go, less all holds.
pub fn resumable<Id: Clone>(available: Money, burning: Rate, candidates: &[(Id, Rate)]) -> Vec<Id> {
    let mut burn = burning;
    candidates
        .iter()
        .take_while(|(_, rate)| {
            burn = burn + *rate;
            carries(available, burn)
        })
        .map(|(id, _)| id.clone())
        .collect()
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

    #[test]
    fn a_hold_is_24_hours_of_the_rate() {
        assert_eq!(hold_for(rate("0.0083")), money("0.1992"));
        assert_eq!(hold_for(Rate::ZERO), Money::ZERO);
    }

    #[test]
    fn machines_resume_in_order_as_far_as_the_credit_carries() {
        let candidates = [("mail", rate("1")), ("web", rate("2")), ("test", rate("1"))];

        assert_eq!(resumable(money("96"), Rate::ZERO, &candidates), ["mail", "web", "test"]);
        assert_eq!(resumable(money("95.999999"), Rate::ZERO, &candidates), ["mail", "web"]);
        assert_eq!(resumable(money("72"), Rate::ZERO, &candidates), ["mail", "web"]);
        assert!(resumable(money("23.999999"), Rate::ZERO, &candidates).is_empty());
    }

    #[test]
    fn what_runs_on_is_carried_first() {
        let candidates = [("mail", rate("1")), ("web", rate("2"))];

        assert_eq!(resumable(money("96"), rate("1"), &candidates), ["mail", "web"]);
        assert_eq!(resumable(money("95.999999"), rate("1"), &candidates), ["mail"]);
        assert!(resumable(money("96"), rate("3.0000000001"), &candidates).is_empty());
    }

    #[test]
    fn a_cheaper_machine_does_not_overtake() {
        let candidates = [("mail", rate("1")), ("web", rate("5")), ("test", rate("1"))];

        assert_eq!(resumable(money("100"), Rate::ZERO, &candidates), ["mail"]);
    }

    #[test]
    fn a_debt_resumes_nothing_not_even_what_is_free() {
        let candidates = [("free", Rate::ZERO)];

        assert_eq!(resumable(Money::ZERO, Rate::ZERO, &candidates), ["free"]);
        assert!(resumable(money("-0.000001"), Rate::ZERO, &candidates).is_empty());
    }
}
