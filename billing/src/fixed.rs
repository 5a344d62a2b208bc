//! Decimal numbers as whole numbers of a fixed unit: their text, their serde form and their way from `Decimal`.
//! Nothing here rounds: what does not fit is an error.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::de::{self, Visitor};

/// The longest text read as a number, in bytes. The widest number we hold needs 40.
const TEXT_BYTES_MAX: usize = 64;

/// A column of twenty digits (`numeric(20,6)`, `numeric(20,10)`) holds less than this many of its smallest unit.
pub(crate) const TWENTY_DIGITS: i128 = 10_i128.pow(20);

/// Why a number cannot become money, a rate or an accrued sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is not digits with an optional leading minus and an optional decimal point between digits.
    #[error("not a decimal number")]
    NotADecimal,
    /// There are digits behind the last place the type keeps; they would be lost.
    #[error("more than {places} decimal places")]
    TooPrecise {
        /// How many decimal places the type keeps.
        places: u32,
    },
    /// The number is too large for its database column.
    #[error("out of range")]
    OutOfRange,
    /// The number is negative where only zero and more make sense.
    #[error("must not be negative")]
    Negative,
}

/// The result of a calculation does not fit its database column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of range")]
pub struct OutOfRange;

impl From<OutOfRange> for DecimalError {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

/// Reads a text such as `-12.5` as a whole number of 10^-`places`.
pub(crate) fn parse(text: &str, places: u32) -> Result<i128, DecimalError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(DecimalError::OutOfRange);
    }
    let (negative, number) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(DecimalError::NotADecimal),
        Some(parts) => parts,
        None => (number, ""),
    };
    if whole.is_empty() {
        return Err(DecimalError::NotADecimal);
    }

    let mut units: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return Err(DecimalError::NotADecimal);
        }
    }
    let fraction = fraction.trim_end_matches('0');
    let missing_places = u32::try_from(fraction.len())
        .ok()
        .and_then(|length| places.checked_sub(length))
        .ok_or(DecimalError::TooPrecise { places })?;
    for digit in whole.bytes().chain(fraction.bytes()) {
        units = units
            .checked_mul(10)
            .and_then(|units| units.checked_add(i128::from(digit - b'0')))
            .ok_or(DecimalError::OutOfRange)?;
    }
    let units = 10_i128
        .checked_pow(missing_places)
        .and_then(|factor| units.checked_mul(factor))
        .ok_or(DecimalError::OutOfRange)?;
    Ok(if negative { -units } else { units })
}

/// Takes a `Decimal` as a whole number of 10^-`places`.
pub(crate) fn from_decimal(decimal: Decimal, places: u32) -> Result<i128, DecimalError> {
    let decimal = decimal.normalize();
    let missing_places = places.checked_sub(decimal.scale()).ok_or(DecimalError::TooPrecise { places })?;
    10_i128
        .checked_pow(missing_places)
        .and_then(|factor| decimal.mantissa().checked_mul(factor))
        .ok_or(DecimalError::OutOfRange)
}

/// Writes `units` of 10^-`places` with all its places, or without trailing zeros when `trimmed`.
pub(crate) fn write(formatter: &mut fmt::Formatter<'_>, units: i128, places: u32, trimmed: bool) -> fmt::Result {
    let unit = 10_u128.pow(places);
    let magnitude = units.unsigned_abs();
    let width = places as usize;
    let mut text = format!("{}.{:0width$}", magnitude / unit, magnitude % unit);
    if trimmed {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    formatter.pad_integral(units >= 0, "", &text)
}

/// Reads a serde string by the type's own `FromStr`. A JSON number is refused: it may have been through a float.
pub(crate) struct TextVisitor<T>(pub(crate) PhantomData<T>);

impl<T> Visitor<'_> for TextVisitor<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Gives a type with `Display` and `FromStr` the serde form of a string.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::fixed::TextVisitor(std::marker::PhantomData::<Self>))
            }
        }
    };
}
pub(crate) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_exactly() {
        assert_eq!(parse("12.345678", 6), Ok(12_345_678));
        assert_eq!(parse("-0.000001", 6), Ok(-1));
        assert_eq!(parse("7", 6), Ok(7_000_000));
        assert_eq!(parse("1.50000000000000000000", 6), Ok(1_500_000));
        assert_eq!(parse("-0", 6), Ok(0));
    }

    #[test]
    fn text_that_is_no_number_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "+1", "1e3", "1,5", " 1", "1.2.3", "--1", "0x1", "١", "1.-5"] {
            assert_eq!(parse(text, 6), Err(DecimalError::NotADecimal), "{text:?}");
        }
    }

    #[test]
    fn text_is_never_rounded_or_wrapped() {
        assert_eq!(parse("0.0000001", 6), Err(DecimalError::TooPrecise { places: 6 }));
        assert_eq!(parse(&"9".repeat(39), 6), Err(DecimalError::OutOfRange));
        assert_eq!(parse(&"9".repeat(34), 6), Err(DecimalError::OutOfRange));
        assert_eq!(parse(&"0".repeat(65), 6), Err(DecimalError::OutOfRange));
    }

    #[test]
    fn a_decimal_with_too_many_digits_is_refused() {
        let hair = Decimal::from_i128_with_scale(1, 7);
        assert_eq!(from_decimal(hair, 6), Err(DecimalError::TooPrecise { places: 6 }));
        assert_eq!(from_decimal(Decimal::MAX, 16), Err(DecimalError::OutOfRange));
        assert_eq!(from_decimal(Decimal::from_i128_with_scale(-1_500, 3), 6), Ok(-1_500_000));
    }
}
