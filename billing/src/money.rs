//! Amounts of the platform's one currency, exact to six decimal places.
//! It knows no currency code and no exchange rate, and it never rounds except to show an invoice figure.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::accrued::half_even;
use crate::fixed::{self, DecimalError, OutOfRange, TWENTY_DIGITS, serde_as_text};

/// An amount of money in millionths ("micros") of the platform's currency.
///
/// What comes from outside (`TryFrom<Decimal>`, `FromStr`, serde) is checked against the column `numeric(20,6)`. The plain
/// operators are for sums of such amounts: they panic only when an `i128` overflows, which takes more than 10^18 amounts of
/// the largest size. Before an amount is written, [`Money::checked_add`] and [`Money::checked_sub`] say whether it still
/// fits the column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount the column `numeric(20,6)` holds.
    pub const MAX: Self = Self(TWENTY_DIGITS - 1);
    /// The lowest amount the column `numeric(20,6)` holds.
    pub const MIN: Self = Self(1 - TWENTY_DIGITS);
    /// How many decimal places an amount has.
    pub const PLACES: u32 = 6;

    /// An amount from millionths of the currency. Not checked against the column's range.
    pub const fn from_micros(micros: i128) -> Self {
        Self(micros)
    }

    /// The amount in millionths of the currency.
    pub const fn micros(self) -> i128 {
        self.0
    }

    /// Whether there is something: more than zero.
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Whether it is less than zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is exactly zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The amount as a `Decimal` of scale six, as the column `numeric(20,6)` holds it.
    ///
    /// # Panics
    /// Beyond 7.9 × 10^22 of the currency, which is 10^8 times the column's range.
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.0, Self::PLACES)
    }

    /// The amount rounded half to even for an invoice, as a `Decimal` of scale `places`. More than six places give six:
    /// there is nothing to show behind them.
    ///
    /// # Panics
    /// As [`Money::to_decimal`].
    pub fn rounded_to(self, places: u32) -> Decimal {
        let places = places.min(Self::PLACES);
        let unit = 10_i128.pow(Self::PLACES - places);
        Decimal::from_i128_with_scale(half_even(self.0, unit), places)
    }

    /// The sum, if it still fits the column `numeric(20,6)`.
    pub fn checked_add(self, other: Self) -> Result<Self, OutOfRange> {
        self.0.checked_add(other.0).map_or(Err(OutOfRange), in_range)
    }

    /// The amount so many times: the monthly cap of a quantity, exactly.
    ///
    /// # Errors
    /// If the product no longer fits the column `numeric(20,6)`.
    pub fn times(self, quantity: i64) -> Result<Self, OutOfRange> {
        self.0.checked_mul(i128::from(quantity)).map_or(Err(OutOfRange), in_range)
    }

    /// The difference, if it still fits the column `numeric(20,6)`.
    pub fn checked_sub(self, other: Self) -> Result<Self, OutOfRange> {
        self.0.checked_sub(other.0).map_or(Err(OutOfRange), in_range)
    }
}

fn in_range(micros: i128) -> Result<Money, OutOfRange> {
    if (Money::MIN.0..=Money::MAX.0).contains(&micros) { Ok(Money(micros)) } else { Err(OutOfRange) }
}

impl TryFrom<Decimal> for Money {
    type Error = DecimalError;

    fn try_from(decimal: Decimal) -> Result<Self, DecimalError> {
        Ok(in_range(fixed::from_decimal(decimal, Self::PLACES)?)?)
    }
}

impl FromStr for Money {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Ok(in_range(fixed::parse(text, Self::PLACES)?)?)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fixed::write(formatter, self.0, Self::PLACES, false)
    }
}

serde_as_text!(Money);

const OVERFLOW: &str = "a sum of amounts stays far below 10^38 micros";

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect(OVERFLOW))
    }
}

impl Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.checked_sub(other.0).expect(OVERFLOW))
    }
}

impl Neg for Money {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.checked_neg().expect(OVERFLOW))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    #[test]
    fn an_amount_is_shown_with_six_places() {
        assert_eq!(money("12.345678").to_string(), "12.345678");
        assert_eq!(money("-0.5").to_string(), "-0.500000");
        assert_eq!(Money::ZERO.to_string(), "0.000000");
        assert_eq!(format!("{:>12}|", money("1.5")), "    1.500000|");
    }

    #[test]
    fn the_column_is_the_limit() {
        assert_eq!(money("99999999999999.999999"), Money::MAX);
        assert_eq!("100000000000000".parse::<Money>(), Err(DecimalError::OutOfRange));
        assert_eq!(Money::MAX.checked_add(Money::from_micros(1)), Err(OutOfRange));
        assert_eq!(Money::MIN.checked_sub(Money::from_micros(1)), Err(OutOfRange));
        assert_eq!(Money::from_micros(i128::MAX).checked_add(Money::from_micros(1)), Err(OutOfRange));
        assert_eq!(Money::MAX.checked_sub(Money::MAX), Ok(Money::ZERO));
        assert_eq!(Money::try_from(Decimal::from_i128_with_scale(TWENTY_DIGITS, 6)), Err(DecimalError::OutOfRange));
    }

    #[test]
    fn an_amount_is_multiplied_exactly_or_refused() {
        assert_eq!(money("5.60").times(40), Ok(money("224")));
        assert_eq!(money("-0.000001").times(3), Ok(money("-0.000003")));
        assert_eq!(Money::MAX.times(0), Ok(Money::ZERO));
        assert_eq!(Money::MAX.times(2), Err(OutOfRange));
        assert_eq!(Money::from_micros(i128::MAX).times(i64::MAX), Err(OutOfRange));
    }

    #[test]
    fn a_decimal_of_six_places_comes_and_goes() {
        let decimal = Decimal::from_i128_with_scale(-1_234_500, 6);
        assert_eq!(Money::try_from(decimal).map(Money::to_decimal), Ok(decimal));
        assert_eq!(money("1.5").to_decimal().scale(), 6);
    }

    #[test]
    fn an_invoice_figure_is_rounded_half_to_even() {
        for (amount, cents) in [
            ("0.005", "0.00"),
            ("0.015", "0.02"),
            ("0.025", "0.02"),
            ("0.025001", "0.03"),
            ("-0.015", "-0.02"),
            ("-0.025", "-0.02"),
        ] {
            assert_eq!(money(amount).rounded_to(2).to_string(), cents, "{amount}");
        }
        assert_eq!(money("2.5").rounded_to(0).to_string(), "2");
        assert_eq!(money("1.234567").rounded_to(9).to_string(), "1.234567");
    }

    #[test]
    fn json_holds_a_string_and_refuses_a_number() {
        let amount = money("0.1");
        let json = serde_json::to_string(&amount).expect("a string");
        assert_eq!(json, "\"0.100000\"");
        assert_eq!(serde_json::from_str::<Money>(&json).ok(), Some(amount));
        assert!(serde_json::from_str::<Money>("0.1").is_err());
    }
}
