//! Tax rates, the places of a currency, and the two figures of an invoice that are rounded: an amount and a tax.
//! Which lines there are, and what is done with the differences, is `invoice`.

use std::fmt;
use std::str::FromStr;

use crate::accrued::half_even;
use crate::fixed::{self, DecimalError, serde_as_text};
use crate::money::Money;

/// How many of a tax rate's units are the whole amount: 100 percent with four places.
const WHOLE: i128 = 1_000_000;

/// A tax rate in percent with up to four decimal places: 19, 5.5, 8.875. From 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaxRate(u32);

impl TaxRate {
    /// No tax.
    pub const ZERO: Self = Self(0);
    /// How many decimal places a tax rate has.
    pub const PLACES: u32 = 4;

    /// A rate from units of a ten-thousandth of a percent, which are millionths of the amount.
    ///
    /// # Errors
    /// Above 100 percent.
    pub const fn try_from_units(units: u32) -> Result<Self, DecimalError> {
        if units as i128 > WHOLE { Err(DecimalError::OutOfRange) } else { Ok(Self(units)) }
    }

    /// The rate in ten-thousandths of a percent.
    pub const fn units(self) -> u32 {
        self.0
    }
}

impl FromStr for TaxRate {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let units = fixed::parse(text, Self::PLACES)?;
        if units < 0 {
            return Err(DecimalError::Negative);
        }
        Self::try_from_units(u32::try_from(units).map_err(|_| DecimalError::OutOfRange)?)
    }
}

impl fmt::Display for TaxRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fixed::write(formatter, i128::from(self.0), Self::PLACES, true)
    }
}

serde_as_text!(TaxRate);

/// How many decimal places the figures of an invoice have: none in yen, two in euros, four at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CurrencyPlaces(u32);

impl CurrencyPlaces {
    /// The most places a currency has.
    pub const MAX: u32 = 4;

    /// So many places; `None` above [`CurrencyPlaces::MAX`].
    pub const fn new(places: u32) -> Option<Self> {
        if places <= Self::MAX { Some(Self(places)) } else { None }
    }

    /// How many.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The smallest amount that can be paid.
    pub const fn unit(self) -> Money {
        Money::from_micros(self.unit_micros())
    }

    /// An amount in these places, rounded half to even.
    pub fn round(self, amount: Money) -> Money {
        self.divide(amount.micros(), 1)
    }

    /// The tax that comes on top of a net amount, rounded half to even once.
    ///
    /// # Panics
    /// For an amount of more than 10^9 times the column `numeric(20,6)`.
    pub fn tax_on(self, net: Money, rate: TaxRate) -> Money {
        let rate = i128::from(rate.0);
        self.divide(times(net, rate), WHOLE)
    }

    /// The tax that is contained in a gross amount, rounded half to even once.
    ///
    /// # Panics
    /// As [`CurrencyPlaces::tax_on`].
    pub fn tax_in(self, gross: Money, rate: TaxRate) -> Money {
        let rate = i128::from(rate.0);
        self.divide(times(gross, rate), WHOLE + rate)
    }

    const fn unit_micros(self) -> i128 {
        10_i128.pow(Money::PLACES - self.0)
    }

    /// A fraction of a micro, rounded to whole units.
    fn divide(self, numerator: i128, denominator: i128) -> Money {
        let unit = self.unit_micros();
        Money::from_micros(half_even(numerator, denominator * unit) * unit)
    }
}

fn times(amount: Money, rate: i128) -> i128 {
    amount.micros().checked_mul(rate).expect("an amount of a column times a tax rate is an i128")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn rate(text: &str) -> TaxRate {
        text.parse().expect("a written tax rate")
    }

    fn places(places: u32) -> CurrencyPlaces {
        CurrencyPlaces::new(places).expect("at most four")
    }

    #[test]
    fn a_tax_rate_is_written_and_read() {
        for text in ["0", "19", "5.5", "8.875", "0.0001", "100"] {
            assert_eq!(rate(text).to_string(), text);
        }
        assert_eq!(rate("19").units(), 190_000);
        assert_eq!("100.0001".parse::<TaxRate>(), Err(DecimalError::OutOfRange));
        assert_eq!("-1".parse::<TaxRate>(), Err(DecimalError::Negative));
        assert_eq!("1.00001".parse::<TaxRate>(), Err(DecimalError::TooPrecise { places: 4 }));
        assert_eq!("99999999999999".parse::<TaxRate>(), Err(DecimalError::OutOfRange));
    }

    #[test]
    fn tax_is_added_to_a_net_and_taken_out_of_a_gross() {
        assert_eq!(places(2).tax_on(money("100"), rate("19")), money("19"));
        assert_eq!(places(2).tax_in(money("119"), rate("19")), money("19"));
        assert_eq!(places(2).tax_in(money("100"), rate("19")), money("15.97"));
        assert_eq!(places(0).tax_on(money("1005"), rate("10")), money("100"), "100.5 goes to the even 100");
        assert_eq!(places(2).tax_on(money("0.50"), rate("5")), money("0.02"), "0.025 goes to the even 0.02");
        assert_eq!(places(2).tax_on(money("-0.50"), rate("5")), money("-0.02"));
        assert_eq!(places(2).tax_on(money("0.30"), rate("5")), money("0.02"), "0.015 goes to the even 0.02");
    }

    #[test]
    fn a_currency_has_at_most_four_places() {
        assert_eq!(CurrencyPlaces::new(5), None);
        assert_eq!(places(0).unit(), money("1"));
        assert_eq!(places(4).unit(), money("0.0001"));
        assert_eq!(places(2).round(money("2.345")), money("2.34"));
    }
}
