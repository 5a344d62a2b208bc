//! The circuit breaker: whether a pass of charging is so unlike the usual that a person should look at it first.
//! It compares; computing what a pass would do, holding it and letting it through are elsewhere.

use serde::{Deserialize, Serialize};

use crate::money::Money;

/// How many passes there must have been before their median is what is usual: a day of hours. A platform in its first day has
/// no usual amount.
pub const USUAL_PASSES_MIN: usize = 24;

/// What an operator has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// A pass waits that would charge more than this many times the usual, in hundredths.
    pub factor_hundredths: u32,
    /// So does one that would stop more than this share of all running machines, in percent.
    pub stop_percent: u32,
    /// Below this number of running machines their share says nothing.
    pub vms_min: u64,
}

/// What a pass would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectedPass {
    /// What it would charge.
    pub amount: Money,
    /// How many hours it would charge for; more than one after downtime. Zero counts as one.
    pub hours: u32,
    /// How many machines it would stop.
    pub stopping: u64,
    /// How many machines run now, those it would stop included.
    pub running: u64,
}

/// The answer of the breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// The pass goes on.
    Go,
    /// A person has to look first, for these reasons; there is at least one.
    Hold(Vec<HoldReason>),
}

/// Why a pass is held, with the numbers a person needs to judge it. Its serde form is an object with a `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum HoldReason {
    /// It would charge more than so many times the usual.
    Amount {
        /// What it would charge.
        projected: Money,
        /// What is usual for one hour.
        usual: Money,
        /// The most that goes through for as many hours as the pass has, rounded down.
        at_most: Money,
    },
    /// It would stop more than its share of all running machines.
    Stops {
        /// How many it would stop.
        stopping: u64,
        /// How many run.
        running: u64,
        /// How many stops go through, rounded down.
        at_most: u64,
    },
}

/// What passes of one hour usually charge: the median of the last ones, of an even number the lower of the two in the middle.
/// `None` for fewer than [`USUAL_PASSES_MIN`], and if it is not above zero: no multiple of nothing is unusual.
pub fn usual_amount(last: &[Money]) -> Option<Money> {
    if last.len() < USUAL_PASSES_MIN {
        return None;
    }
    let mut sorted = last.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() - 1) / 2).copied().filter(|usual| usual.is_positive())
}

impl BreakerRules {
    /// Judges a pass by what the last passes of one hour charged, given in any order.
    ///
    /// At exactly the limit a pass still goes.
    pub fn judge(&self, pass: &ProjectedPass, last: &[Money]) -> Breaker {
        let reasons: Vec<_> = [self.amount(pass, last), self.stops(pass)].into_iter().flatten().collect();
        if reasons.is_empty() { Breaker::Go } else { Breaker::Hold(reasons) }
    }

    fn amount(&self, pass: &ProjectedPass, last: &[Money]) -> Option<HoldReason> {
        let usual = usual_amount(last)?;
        let hundredths = i128::from(self.factor_hundredths) * i128::from(pass.hours.max(1));
        let at_most = Money::from_micros(usual.micros().saturating_mul(hundredths) / 100);
        (pass.amount > at_most).then_some(HoldReason::Amount { projected: pass.amount, usual, at_most })
    }

    fn stops(&self, pass: &ProjectedPass) -> Option<HoldReason> {
        let at_most = u128::from(pass.running) * u128::from(self.stop_percent) / 100;
        let at_most = u64::try_from(at_most).unwrap_or(u64::MAX);
        (pass.running >= self.vms_min && pass.stopping > at_most).then_some(HoldReason::Stops {
            stopping: pass.stopping,
            running: pass.running,
            at_most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn pass(amount: &str, hours: u32, stopping: u64, running: u64) -> ProjectedPass {
        ProjectedPass { amount: money(amount), hours, stopping, running }
    }

    const RULES: BreakerRules = BreakerRules { factor_hundredths: 300, stop_percent: 20, vms_min: 10 };

    #[test]
    fn more_than_three_times_the_usual_is_held() {
        let last = vec![money("10"); 24];

        assert_eq!(RULES.judge(&pass("30", 1, 0, 100), &last), Breaker::Go);
        let held = HoldReason::Amount { projected: money("30.000001"), usual: money("10"), at_most: money("30") };
        assert_eq!(RULES.judge(&pass("30.000001", 1, 0, 100), &last), Breaker::Hold(vec![held]));
        assert_eq!(
            RULES.judge(&pass("90", 3, 0, 100), &last),
            Breaker::Go,
            "three missed hours cost three times as much"
        );
    }

    #[test]
    fn without_a_usual_amount_none_is_too_much() {
        assert_eq!(RULES.judge(&pass("1000", 1, 0, 100), &[money("1"); 23]), Breaker::Go);
        assert_eq!(RULES.judge(&pass("1000", 1, 0, 100), &[Money::ZERO; 48]), Breaker::Go);
        assert_eq!(usual_amount(&[]), None);
    }

    #[test]
    fn a_fifth_of_all_machines_may_stop_and_not_more() {
        assert_eq!(RULES.judge(&pass("0", 1, 20, 100), &[]), Breaker::Go);
        let held = HoldReason::Stops { stopping: 21, running: 100, at_most: 20 };
        assert_eq!(RULES.judge(&pass("0", 1, 21, 100), &[]), Breaker::Hold(vec![held]));
        assert_eq!(RULES.judge(&pass("0", 1, 9, 9), &[]), Breaker::Go, "nine are too few to say anything");
        assert!(matches!(RULES.judge(&pass("0", 1, 3, 10), &[]), Breaker::Hold(_)));
    }

    #[test]
    fn both_reasons_are_told() {
        let Breaker::Hold(reasons) = RULES.judge(&pass("31", 1, 21, 100), &[money("10"); 24]) else {
            panic!("both limits are passed");
        };
        let json = serde_json::to_string(&reasons).expect("two objects");
        assert_eq!(
            json,
            r#"[{"reason":"amount","projected":"31.000000","usual":"10.000000","at_most":"30.000000"},{"reason":"stops","stopping":21,"running":100,"at_most":20}]"#
        );
        assert_eq!(serde_json::from_str::<Vec<HoldReason>>(&json).ok(), Some(reasons));
    }

    #[test]
    fn one_odd_hour_is_not_the_usual() {
        let mut last = vec![money("10"); 24];
        last[3] = money("100000");
        assert_eq!(usual_amount(&last), Some(money("10")));
    }
}
