//! Prices per hour, exact to ten decimal places.
//! A rate says nothing about caps or months: that is the rating's part.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use chrono::TimeDelta;
use rust_decimal::Decimal;

use crate::accrued::{Accrued, round6};
use crate::fixed::{self, DecimalError, TWENTY_DIGITS, serde_as_text};
use crate::money::Money;

/// A price per hour in units of 10^-10 of the currency, never negative.
///
/// What comes from outside is checked against the column `numeric(20,10)`; the sum of several rates may be larger. That a
/// rate is never negative is what makes "a later end never costs less" true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i128);

impl Rate {
    /// Free.
    pub const ZERO: Self = Self(0);
    /// How many decimal places a rate has.
    pub const PLACES: u32 = 10;

    /// A rate from 10^-10 of the currency per hour, if it fits the column `numeric(20,10)` and is not negative.
    pub const fn try_from_units(units: i128) -> Result<Self, DecimalError> {
        if units < 0 {
            Err(DecimalError::Negative)
        } else if units >= TWENTY_DIGITS {
            Err(DecimalError::OutOfRange)
        } else {
            Ok(Self(units))
        }
    }

    /// The rate in 10^-10 of the currency per hour.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// Whether it costs nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The rate as a `Decimal` of scale ten, as the column `numeric(20,10)` holds it.
    ///
    /// # Panics
    /// Beyond 7.9 × 10^18 of the currency per hour, which only a sum of 10^8 rates of the largest size reaches.
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.0, Self::PLACES)
    }

    /// What so many units of a thing cost per hour, each at this rate: 40 GiB of a disk, three addresses. Exact.
    ///
    /// A meter of a quantity is rated at this rate and at the cap of [`Money::times`]: it accrues what as many meters of one
    /// unit would, and is rounded once instead of once for each.
    ///
    /// # Errors
    /// [`DecimalError::Negative`] for a quantity below zero, [`DecimalError::OutOfRange`] if the product no longer fits the
    /// column `numeric(20,10)`.
    pub const fn times(self, quantity: i64) -> Result<Self, DecimalError> {
        match self.0.checked_mul(quantity as i128) {
            Some(units) if quantity >= 0 => Self::try_from_units(units),
            Some(_) => Err(DecimalError::Negative),
            None => Err(DecimalError::OutOfRange),
        }
    }

    /// How much more per hour this is than another rate; `None` if it is less.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        if self.0 >= other.0 { Some(Self(self.0 - other.0)) } else { None }
    }

    /// What this rate accrues in a duration, exactly. Parts below a microsecond do not count.
    ///
    /// # Panics
    /// When the product exceeds an `i128`: the largest rate over more than 50,000 years.
    pub fn over(self, duration: TimeDelta) -> Accrued {
        let micros = duration.num_microseconds();
        self.over_micros(micros.expect("a duration is less than 50,000 years"))
    }

    /// What this rate accrues in whole hours, exactly.
    ///
    /// # Panics
    /// As [`Rate::over`].
    pub fn over_hours(self, hours: i64) -> Accrued {
        self.over(TimeDelta::try_hours(hours).expect("a duration is less than 50,000 years"))
    }

    /// As [`Rate::over`], for a number of microseconds.
    pub(crate) fn over_micros(self, micros: i64) -> Accrued {
        let units = self.0.checked_mul(i128::from(micros));
        Accrued::from_units(units.expect("a rate times 50,000 years is an i128"))
    }

    /// What this rate costs for a duration, rounded once, half to even at six places. For estimates and holds; what is
    /// charged comes from [`rate_pieces`](crate::rate_pieces).
    ///
    /// # Panics
    /// As [`Rate::over`].
    pub fn for_duration(self, duration: TimeDelta) -> Money {
        round6(self.over(duration))
    }

    /// What this rate costs for whole hours, rounded as in [`Rate::for_duration`].
    ///
    /// # Panics
    /// As [`Rate::over`].
    pub fn for_hours(self, hours: i64) -> Money {
        round6(self.over_hours(hours))
    }
}

impl TryFrom<Decimal> for Rate {
    type Error = DecimalError;

    fn try_from(decimal: Decimal) -> Result<Self, DecimalError> {
        Self::try_from_units(fixed::from_decimal(decimal, Self::PLACES)?)
    }
}

impl FromStr for Rate {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Self::try_from_units(fixed::parse(text, Self::PLACES)?)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fixed::write(formatter, self.0, Self::PLACES, true)
    }
}

serde_as_text!(Rate);

impl Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("a sum of rates stays far below 10^38 units"))
    }
}

impl Sum for Rate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a written rate")
    }

    #[test]
    fn a_rate_is_shown_without_trailing_zeros() {
        assert_eq!(rate("0.0083000000").to_string(), "0.0083");
        assert_eq!(rate("10").to_string(), "10");
        assert_eq!(rate("0.0000000001").to_string(), "0.0000000001");
        assert_eq!(Rate::ZERO.to_string(), "0");
    }

    #[test]
    fn a_rate_is_never_negative_too_fine_or_too_large() {
        assert_eq!("-0.01".parse::<Rate>(), Err(DecimalError::Negative));
        assert_eq!("0.00000000001".parse::<Rate>(), Err(DecimalError::TooPrecise { places: 10 }));
        assert_eq!("10000000000".parse::<Rate>(), Err(DecimalError::OutOfRange));
        assert_eq!(rate("9999999999.9999999999").units(), TWENTY_DIGITS - 1);
    }

    #[test]
    fn a_decimal_of_ten_places_comes_and_goes() {
        let decimal = Decimal::from_i128_with_scale(83_000_000, 10);
        assert_eq!(Rate::try_from(decimal), Ok(rate("0.0083")));
        assert_eq!(rate("0.0083").to_decimal(), decimal);
        assert_eq!(rate("0.0083").to_decimal().scale(), 10);
    }

    #[test]
    fn a_quantity_multiplies_exactly_or_is_refused() {
        assert_eq!(rate("0.0000000001").times(40), Ok(rate("0.000000004")));
        assert_eq!(rate("0.0083").times(1), Ok(rate("0.0083")));
        assert_eq!(rate("0.0083").times(0), Ok(Rate::ZERO));
        assert_eq!(rate("0.0083").times(-1), Err(DecimalError::Negative));
        assert_eq!(Rate::ZERO.times(-1), Err(DecimalError::Negative));
        assert_eq!(rate("5000000000").times(2), Err(DecimalError::OutOfRange));
        assert_eq!(rate("9999999999.9999999999").times(i64::MAX), Err(DecimalError::OutOfRange));
    }

    #[test]
    fn a_duration_is_rounded_once() {
        assert_eq!(rate("0.0083").for_hours(24).to_string(), "0.199200");
        assert_eq!(
            rate("0.0000003").for_duration(TimeDelta::minutes(100)),
            Money::ZERO,
            "0.0000005 is halfway and goes to the even zero"
        );
        assert_eq!(
            rate("0.0000009").for_duration(TimeDelta::minutes(100)),
            Money::from_micros(2),
            "0.0000015 is halfway and goes to the even two"
        );
    }

    #[test]
    fn json_holds_a_string() {
        let json = serde_json::to_string(&rate("0.0083")).expect("a string");
        assert_eq!(json, "\"0.0083\"");
        assert_eq!(serde_json::from_str::<Rate>(&json).ok(), Some(rate("0.0083")));
        assert!(serde_json::from_str::<Rate>("\"-1\"").is_err());
    }
}
