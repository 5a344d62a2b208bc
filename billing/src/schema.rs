//! What programs are told about the text of each number. The API describes itself with these; nothing here is computed with.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{Accrued, Money, Month, Rate};

/// Describes a type whose serde form is a text.
macro_rules! describe {
    ($type:ident, $pattern:literal, $example:literal, $description:literal) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some($pattern));
                text.description(Some($description)).examples([$example]).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($type))
            }
        }
    };
}

describe!(
    Money,
    r"^-?\d{1,14}(\.\d{1,6})?$",
    "12.345678",
    "An amount in the platform's currency: a decimal as a text, never a number, with at most six places."
);
describe!(
    Rate,
    r"^\d{1,10}(\.\d{1,10})?$",
    "0.0083",
    "A price per hour in the platform's currency: a decimal as a text, never a number, with at most ten places."
);
describe!(
    Accrued,
    r"^-?\d+(\.\d{1,16})?$",
    "18.72",
    "Currency × seconds, exactly: a decimal as a text; divided by 3,600 and rounded it is an amount."
);
describe!(Month, r"^\d{4}-(0[1-9]|1[0-2])$", "2026-11", "A billing month.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_is_what_is_written() {
        let pattern = |schema: RefOr<Schema>| serde_json::to_value(schema).expect("JSON")["pattern"].clone();
        assert_eq!(pattern(Money::schema()), r"^-?\d{1,14}(\.\d{1,6})?$");
        assert_eq!(serde_json::to_value(Money::schema()).expect("JSON")["examples"][0], "12.345678");
        assert_eq!("12.345678".parse::<Money>().map(|money| money.to_string()), Ok("12.345678".into()));
        assert_eq!(Money::MIN.to_string(), "-99999999999999.999999", "fourteen digits before the point");
        assert!("2026-11".parse::<Month>().is_ok() && "0.0083".parse::<Rate>().is_ok());
    }
}
