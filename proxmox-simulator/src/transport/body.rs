//! Gathers the parameters of a request: query string, form or JSON body. What they may be is the schema's business.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::parameters::{Given, Parameters};

/// Splits at `&` and `;`, as Proxmox does: an unencoded `;` ends a value.
pub(crate) fn add_encoded(parameters: &mut Parameters, text: &str) {
    for pair in text.split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.add(decode(name), decode(value));
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Reads a JSON object. Null values count as not given.
///
/// # Errors
/// The text of the plain 500 for anything else.
pub(crate) fn add_json(parameters: &mut Parameters, body: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("malformed JSON string: {error}"))?;
    let Value::Object(object) = value else { return Err("Not a HASH reference".to_owned()) };
    for (name, value) in object {
        let given = match value {
            Value::Null => continue,
            Value::Object(_) => Given::Object,
            Value::Array(values) => Given::List(values.iter().map(scalar).collect()),
            other => Given::Text(scalar(&other)),
        };
        parameters.set(name, given);
    }
    Ok(())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(flag) => i32::from(*flag).to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_split_at_ampersand_and_semicolon_and_repeat_into_lists() {
        let mut parameters = Parameters::default();
        add_encoded(&mut parameters, "tags=a;b&c=1+2&c=%2B&d=x%3By");
        assert_eq!(parameters.text("tags"), Some("a"));
        assert_eq!(parameters.text("b"), Some(""));
        assert_eq!(parameters.get("c"), Some(&Given::List(vec!["1 2".to_owned(), "+".to_owned()])));
        assert_eq!(parameters.text("d"), Some("x;y"));
    }

    #[test]
    fn json_booleans_are_digits_and_arrays_of_documents_are_refused() {
        let mut parameters = Parameters::default();
        assert_eq!(add_json(&mut parameters, br#"{"full":true,"newid":101,"n":null}"#), Ok(()));
        assert_eq!(parameters.text("full"), Some("1"));
        assert_eq!(parameters.text("newid"), Some("101"));
        assert_eq!(parameters.get("n"), None);
        assert!(add_json(&mut parameters, b"[1]").is_err());
    }
}
