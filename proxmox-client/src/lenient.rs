//! Reading of Proxmox VE's loosely typed JSON: a flag may be `1`, `"1"`, `true` or `""`, a number
//! a string or a float with an exponent. Decoders for `#[serde(deserialize_with)]`; nothing here
//! writes.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// The largest float that converts to a `u64` without saturating is below this (2^64).
const ABOVE_U64: f64 = 18_446_744_073_709_551_616.0;

/// A boolean from any of Proxmox' forms; `None` when the value is not one.
pub(crate) fn as_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Value::String(text) => word_as_bool(text),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A boolean as text, as it stands inside a property string.
pub(crate) fn word_as_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" | "" => Some(false),
        _ => None,
    }
}

/// A whole number that is not negative, from a number, a string or a float with an exponent. A
/// fraction is cut off.
pub(crate) fn as_u64(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(float_as_u64)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(float_as_u64))
        }
        Value::Bool(flag) => Some(u64::from(*flag)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn float_as_u64(number: f64) -> Option<u64> {
    // The cast cuts the fraction; the range makes sure that it does nothing else.
    (0.0..ABOVE_U64).contains(&number).then_some(number as u64)
}

/// A finite float from a number or a string.
pub(crate) fn as_f64(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
    .filter(|number| number.is_finite())
}

/// Text from a string or a number; a boolean as `1` or `0`, a list or map as JSON.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(String::from(if *flag { "1" } else { "0" })),
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &str,
    convert: fn(&Value) -> Option<T>,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    convert(&value).ok_or_else(|| D::Error::custom(format!("expected {expected}, got {value}")))
}

fn read_optional<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &str,
    convert: fn(&Value) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if is_absent(&value) {
        return Ok(None);
    }
    convert(&value).map(Some).ok_or_else(|| D::Error::custom(format!("expected {expected}, got {value}")))
}

/// A flag; a missing value, null and `""` are false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    read(deserializer, "a boolean", as_bool)
}

/// A flag that may be unknown: null is `None`, `""` is false.
pub(crate) fn optional_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    as_bool(&value).map(Some).ok_or_else(|| D::Error::custom(format!("expected a boolean, got {value}")))
}

/// A whole number.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    read(deserializer, "a whole number", as_u64)
}

/// A whole number that may be missing, null or `""`.
pub(crate) fn optional_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    read_optional(deserializer, "a whole number", as_u64)
}

/// A guest number.
pub(crate) fn guest_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read(deserializer, "a guest number", as_u32)
}

/// A guest number that may be missing.
pub(crate) fn optional_u32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    read_optional(deserializer, "a number", as_u32)
}

/// As [`as_u64`], for numbers that fit 32 bits.
pub(crate) fn as_u32(value: &Value) -> Option<u32> {
    as_u64(value).and_then(|number| u32::try_from(number).ok())
}

/// A whole number that may be missing or negative.
pub(crate) fn optional_signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    read_optional(deserializer, "a whole number", |value| match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// A TCP port.
pub(crate) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    read(deserializer, "a port", |value| as_u64(value).and_then(|number| u16::try_from(number).ok()))
}

/// A measurement that may be missing.
pub(crate) fn optional_float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    read_optional(deserializer, "a number", as_f64)
}

/// Text that may be missing, or may have come as a number. `""` stays `Some("")`.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?))
}

/// Declares an enum of Proxmox words that keeps a word it does not know as text.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A word this crate does not name, as Proxmox wrote it.
            Other(String),
        }

        impl $name {
            /// The word as Proxmox writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(String::from(other)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Ok(Self::from(text.as_str()))
            }
        }
    };
}

pub(crate) use text_enum;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::{as_bool, as_f64, as_u64};

    #[test]
    fn all_forms_of_a_flag() {
        for value in [json!(1), json!("1"), json!(true), json!("true"), json!(1.0), json!("on")] {
            assert_eq!(as_bool(&value), Some(true), "{value}");
        }
        for value in [json!(0), json!("0"), json!(false), json!(""), json!(null), json!("no")] {
            assert_eq!(as_bool(&value), Some(false), "{value}");
        }
        for value in [json!(2), json!("maybe"), json!([]), json!({})] {
            assert_eq!(as_bool(&value), None, "{value}");
        }
    }

    #[test]
    fn numbers_that_are_none() {
        for value in [json!(-1), json!("-1"), json!("x"), json!("NaN"), json!("1e99"), json!([1])] {
            assert_eq!(as_u64(&value), None, "{value}");
        }
        assert_eq!(as_f64(&json!("inf")), None);
        assert_eq!(as_f64(&json!("")), None);
    }

    #[test]
    fn exponents_and_fractions() {
        assert_eq!(as_u64(&json!("1e+06")), Some(1_000_000));
        assert_eq!(as_u64(&json!("1.5e+12")), Some(1_500_000_000_000));
        assert_eq!(as_u64(&serde_json::from_str::<Value>("1e+06").expect("JSON")), Some(1_000_000));
        assert_eq!(as_u64(&json!(12.9)), Some(12));
        assert_eq!(as_u64(&json!(" 7 ")), Some(7));
    }

    proptest! {
        #[test]
        fn a_whole_number_reads_the_same_in_every_form(number in any::<u64>()) {
            assert_eq!(as_u64(&json!(number)), Some(number));
            assert_eq!(as_u64(&json!(number.to_string())), Some(number));
        }

        #[test]
        fn a_number_exact_in_a_float_reads_the_same_with_an_exponent(number in any::<u32>()) {
            let text = format!("{:e}", f64::from(number));
            assert_eq!(as_u64(&json!(text)), Some(u64::from(number)));
            assert_eq!(as_u64(&json!(f64::from(number))), Some(u64::from(number)));
            assert_eq!(as_f64(&json!(text)), Some(f64::from(number)));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in any::<String>()) {
            let value = json!(text);
            let _ = (as_bool(&value), as_u64(&value), as_f64(&value));
        }
    }
}
