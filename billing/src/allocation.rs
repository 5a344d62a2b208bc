//! Shares of an amount that add up to it: a refund over the lines of an invoice, a discount over machines.

use crate::money::Money;
use crate::tax::CurrencyPlaces;

/// Why an amount cannot be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// The amount is not a whole number of the currency's units.
    #[error("the amount has more places than the currency")]
    NotInUnits,
    /// A weight is below zero.
    #[error("a weight is below zero")]
    NegativeWeight,
    /// All weights are zero, or there is none, but there is something to share.
    #[error("there is nobody to share with")]
    NoWeight,
    /// The amount times a weight is beyond what can be computed exactly.
    #[error("out of range")]
    OutOfRange,
}

/// Shares an amount by weights, in units of the currency, by largest remainder.
///
/// Each share is its exact part cut to whole units; the units that are left go to those of which most was cut off, and among
/// equals to those in front. So the shares add up to the whole, none is a unit or more beside its exact part, and a weight of
/// zero gets nothing. A negative amount is shared as its positive mirror.
///
/// # Errors
/// If the amount has more places than the currency, a weight is negative, no weight is above zero, or the numbers are too
/// large: beyond 10^38 for the units of the amount times the micros of the weights' sum.
pub fn allocate(whole: Money, weights: &[Money], places: CurrencyPlaces) -> Result<Vec<Money>, AllocationError> {
    let unit = places.unit().micros();
    if whole.micros() % unit != 0 {
        return Err(AllocationError::NotInUnits);
    }
    if weights.iter().any(|weight| weight.is_negative()) {
        return Err(AllocationError::NegativeWeight);
    }
    let sum = weights
        .iter()
        .try_fold(0_i128, |sum, weight| sum.checked_add(weight.micros()))
        .ok_or(AllocationError::OutOfRange)?;
    if whole.is_zero() {
        return Ok(vec![Money::ZERO; weights.len()]);
    }
    if sum == 0 {
        return Err(AllocationError::NoWeight);
    }

    let units = whole.micros() / unit;
    units.checked_abs().and_then(|units| units.checked_mul(sum)).ok_or(AllocationError::OutOfRange)?;
    let parts = weights.iter().map(|weight| units.abs() * weight.micros());
    let mut shares: Vec<i128> = parts.clone().map(|part| part / sum).collect();
    let mut by_remainder: Vec<(usize, i128)> = parts.map(|part| part % sum).enumerate().collect();
    // A stable sort: among equal remainders the order stays.
    by_remainder.sort_by_key(|(_, remainder)| -remainder);
    let mut left = units.abs() - shares.iter().sum::<i128>();
    for (index, _) in by_remainder {
        if left == 0 {
            break;
        }
        shares[index] += 1;
        left -= 1;
    }
    Ok(shares.into_iter().map(|share| Money::from_micros(share * unit * units.signum())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn shared(whole: &str, weights: &[&str]) -> Result<Vec<String>, AllocationError> {
        let weights: Vec<_> = weights.iter().map(|weight| money(weight)).collect();
        let cents = CurrencyPlaces::new(2).expect("at most four");
        let shares = allocate(money(whole), &weights, cents)?;
        Ok(shares.into_iter().map(|share| share.rounded_to(2).to_string()).collect())
    }

    #[test]
    fn what_cannot_be_divided_goes_to_the_largest_remainders() {
        assert_eq!(shared("1.00", &["1", "1", "1"]).expect("shares"), ["0.34", "0.33", "0.33"]);
        assert_eq!(shared("-1.00", &["1", "1", "1"]).expect("shares"), ["-0.34", "-0.33", "-0.33"]);
        assert_eq!(shared("0.10", &["0.1", "0.3", "0"]).expect("shares"), ["0.03", "0.07", "0.00"]);
        assert_eq!(shared("0.05", &["1", "2"]).expect("shares"), ["0.02", "0.03"]);
    }

    #[test]
    fn what_cannot_be_shared_is_refused() {
        assert_eq!(shared("1.001", &["1"]), Err(AllocationError::NotInUnits));
        assert_eq!(shared("1", &["1", "-1"]), Err(AllocationError::NegativeWeight));
        assert_eq!(shared("1", &[]), Err(AllocationError::NoWeight));
        assert_eq!(shared("1", &["0"]), Err(AllocationError::NoWeight));
        assert_eq!(shared("0", &["0", "0"]).expect("shares"), ["0.00", "0.00"]);
        assert_eq!(
            shared("99999999999999", &["99999999999999", "99999999999999"]),
            Ok(vec!["49999999999999.50".into(), "49999999999999.50".into()])
        );
        let largest = [Money::MAX; 3];
        let fine = CurrencyPlaces::new(4).expect("at most four");
        assert_eq!(allocate(money("99999999999999"), &largest, fine), Err(AllocationError::OutOfRange));
    }
}
