//! What a meter has accrued in a month, before any division, and the one function that rounds it to money.
//! It adds nothing up by itself: caps and months are the rating's part.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::fixed::{self, DecimalError, OutOfRange, serde_as_text};
use crate::money::Money;

/// How many accrued units make one micro of money: 3,600 seconds an hour × 10^6 microseconds a second × 10^4 units of a rate
/// in a micro.
const UNITS_PER_MICRO: i128 = 3_600 * 1_000_000 * 10_000;

/// How many bits the digits of a `Decimal` have.
const DECIMAL_BITS: u32 = 96;

/// An exact sum of rate × time, in units of 10^-10 of the currency per hour × microseconds.
///
/// As a decimal it is in currency × seconds per hour (the amount times 3,600) with sixteen places, so that nothing has been
/// divided and nothing lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accrued(i128);

impl Accrued {
    /// Nothing accrued yet.
    pub const ZERO: Self = Self(0);
    /// How many decimal places the sum has as a decimal.
    pub const PLACES: u32 = 16;

    /// A sum from units of 10^-10 of the currency per hour × microseconds.
    pub const fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// The sum in units of 10^-10 of the currency per hour × microseconds.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// The sum that is worth exactly this amount; a monthly cap in accrued units. Beyond 10^24 micros, which is 10^4 times
    /// the range of an amount's column, it stays at the largest sum.
    pub const fn worth(amount: Money) -> Self {
        Self(amount.micros().saturating_mul(UNITS_PER_MICRO))
    }

    /// The sum as a `Decimal` of scale sixteen, in currency × seconds per hour. An error beyond the 96 bits of a `Decimal`,
    /// at 7.9 × 10^12 (an amount of 2.2 × 10^9 of the currency); never rounded.
    pub fn to_decimal(self) -> Result<Decimal, OutOfRange> {
        Decimal::try_from_i128_with_scale(self.0, Self::PLACES).map_err(|_| OutOfRange)
    }

    /// The sum from a decimal in currency × seconds per hour. An error if it has more than sixteen places or
    /// is too large for [`Accrued::to_decimal`]; never rounded.
    pub fn try_from_decimal(decimal: Decimal) -> Result<Self, DecimalError> {
        in_range(fixed::from_decimal(decimal, Self::PLACES)?)
    }
}

/// A sum that `to_decimal` can give back.
fn in_range(units: i128) -> Result<Accrued, DecimalError> {
    if units.unsigned_abs() >> DECIMAL_BITS == 0 { Ok(Accrued(units)) } else { Err(DecimalError::OutOfRange) }
}

impl Add for Accrued {
    type Output = Self;

    /// Panics when an `i128` overflows, which is 10^9 times beyond what a `Decimal` holds.
    fn add(self, other: Self) -> Self {
        let units = self.0.checked_add(other.0);
        Self(units.expect("accrued sums stay far below 10^38 units"))
    }
}

impl TryFrom<Decimal> for Accrued {
    type Error = DecimalError;

    fn try_from(decimal: Decimal) -> Result<Self, DecimalError> {
        Self::try_from_decimal(decimal)
    }
}

impl FromStr for Accrued {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        in_range(fixed::parse(text, Self::PLACES)?)
    }
}

impl fmt::Display for Accrued {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fixed::write(formatter, self.0, Self::PLACES, true)
    }
}

serde_as_text!(Accrued);

/// The one rounding of charging: an accrued sum as money, half to even at six places.
///
/// A charge is the difference of two of these, so that the charges of a month add up to one rounding of its exact sum.
pub const fn round6(accrued: Accrued) -> Money {
    Money::from_micros(half_even(accrued.0, UNITS_PER_MICRO))
}

/// Divides by a positive number and rounds half to even.
pub(crate) const fn half_even(numerator: i128, denominator: i128) -> i128 {
    let below = numerator.div_euclid(denominator);
    let remainder = numerator - below * denominator;
    let to_next = denominator - remainder;
    if remainder > to_next {
        below + 1
    } else if remainder == to_next {
        below + (below & 1)
    } else {
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_goes_to_the_even_neighbour() {
        let quotients: Vec<i128> = (-8..=8).map(|numerator| half_even(numerator, 4)).collect();

        assert_eq!(quotients, [-2, -2, -2, -1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn an_amount_is_worth_itself() {
        for micros in [-3, 0, 1, 5_600_000, Money::MAX.micros()] {
            let amount = Money::from_micros(micros);
            assert_eq!(round6(Accrued::worth(amount)), amount);
        }
    }

    #[test]
    fn one_unit_beside_the_half_decides() {
        let half = UNITS_PER_MICRO / 2;
        let micros = |units| round6(Accrued::from_units(units)).micros();

        assert_eq!(micros(half - 1), 0);
        assert_eq!(micros(half), 0);
        assert_eq!(micros(half + 1), 1);
        assert_eq!(micros(UNITS_PER_MICRO + half - 1), 1);
        assert_eq!(micros(UNITS_PER_MICRO + half), 2);
    }

    #[test]
    fn a_decimal_comes_and_goes_or_is_an_error() {
        let sum: Accrued = "18.72".parse().expect("a written sum");
        let decimal = sum.to_decimal().expect("it is small");
        assert_eq!(decimal.scale(), 16);
        assert_eq!(Accrued::try_from_decimal(decimal), Ok(sum));
        assert_eq!(round6(sum).to_string(), "0.005200");

        let largest = (1_i128 << 96) - 1;
        assert!(Accrued::from_units(largest).to_decimal().is_ok());
        assert_eq!(Accrued::from_units(largest + 1).to_decimal(), Err(OutOfRange));
        assert_eq!(
            Accrued::try_from_decimal(Decimal::from_i128_with_scale(largest, 15)),
            Err(DecimalError::OutOfRange)
        );
        assert_eq!(
            Accrued::try_from_decimal(Decimal::from_i128_with_scale(1, 17)),
            Err(DecimalError::TooPrecise { places: 16 })
        );
    }

    #[test]
    fn json_holds_a_string() {
        let json = serde_json::to_string(&Accrued::from_units(-1)).expect("a string");
        assert_eq!(json, "\"-0.0000000000000001\"");
        assert_eq!(serde_json::from_str::<Accrued>(&json).ok(), Some(Accrued::from_units(-1)));
    }
}
