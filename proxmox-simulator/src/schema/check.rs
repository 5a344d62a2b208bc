//! Checks the parameters of a call as Proxmox's JSONSchema.pm does: the same order, the same words, all errors at once.

use std::collections::BTreeMap;

use super::{Format, Kind, Properties, Property, formats, property_string};
use crate::parameters::{Given, Parameters};

const MISSING: &str = "property is missing and it is not optional";
const UNKNOWN: &str = "property is not defined in schema and the schema does not allow additional properties";

/// Errors by parameter name.
pub(super) type Errors = BTreeMap<String, String>;

impl super::Route {
    /// Checks `parameters` and brings them into their final form.
    ///
    /// # Errors
    /// The errors map of Proxmox's 400.
    pub(crate) fn check(&self, parameters: &mut Parameters) -> Result<(), Errors> {
        let mut errors = Errors::new();
        for (name, property) in &self.parameters {
            bring_into_form(parameters, name, property);
            match parameters.get(name) {
                None if !property.optional => {
                    errors.insert(name.clone(), MISSING.to_owned());
                }
                None => {}
                Some(given) => property.check(name, given, &mut errors),
            }
        }
        for (name, _) in parameters.iter() {
            match self.parameters.get(name) {
                None => {
                    errors.insert(name.clone(), UNKNOWN.to_owned());
                }
                Some(property) => {
                    let Some(required) = &property.requires else { continue };
                    if parameters.get(required).is_none() {
                        errors.insert(required.clone(), format!("missing property required by '{name}'"));
                    }
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// Proxmox's leniency: a scalar for an array is wrapped, an array for a `-list` string is joined.
fn bring_into_form(parameters: &mut Parameters, name: &str, property: &Property) {
    let changed = match (parameters.get(name), property.kind, &property.format) {
        (Some(Given::Text(text)), Kind::Array, _) => Given::List(vec![text.clone()]),
        (Some(Given::List(list)), Kind::Text, Format::Named(format)) if format.ends_with("-list") => {
            Given::Text(list.join(","))
        }
        _ => return,
    };
    parameters.set(name, changed);
}

/// Checks the sub-keys of a property string.
pub(super) fn check_object(path: &str, properties: &Properties, values: &BTreeMap<String, String>) -> Errors {
    let mut errors = Errors::new();
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, property) in properties {
        match values.get(name) {
            None if !property.optional && property.alias.is_none() => {
                errors.insert(join(name), MISSING.to_owned());
            }
            None => {}
            Some(value) => property.check(&join(name), &Given::Text(value.clone()), &mut errors),
        }
    }
    for name in values.keys() {
        if !properties.contains_key(name) {
            errors.insert(join(name), UNKNOWN.to_owned());
        }
    }
    errors
}

impl Property {
    /// Checks one value; adds at most one error under `path`.
    pub(super) fn check(&self, path: &str, given: &Given, errors: &mut Errors) {
        if let Err(text) = self.check_value(path, given) {
            errors.insert(path.to_owned(), text);
        }
    }

    fn check_value(&self, path: &str, given: &Given) -> Result<(), String> {
        let value = match given {
            Given::Text(text) => text,
            Given::List(_) if self.kind == Kind::Array => return Ok(()),
            Given::List(_) => return Err(wrong_type(self.kind, "ARRAY")),
            Given::Object => return Err(wrong_type(self.kind, "HASH")),
        };
        let numeric = is_number(value);
        let right = match self.kind {
            Kind::Text | Kind::Array => true,
            Kind::Boolean => value == "0" || value == "1",
            Kind::Integer => {
                let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            Kind::Number => numeric,
        };
        if !right {
            return Err(wrong_type(self.kind, value));
        }
        match &self.format {
            Format::None => {}
            Format::Named(name) => {
                formats::check(name, value).map_err(|text| format!("invalid format - {text}\n"))?;
            }
            Format::Object(properties) => {
                property_string::parse(properties, value, path).map_err(|text| format!("invalid format - {text}\n"))?;
            }
        }
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(value)) {
            return Err("value does not match the regex pattern".to_owned());
        }
        let length = value.chars().count();
        if let Some(longest) = self.max_length.filter(|longest| length > *longest) {
            return Err(format!("value may only be {longest} characters long"));
        }
        if let Some(shortest) = self.min_length.filter(|shortest| length < *shortest) {
            return Err(format!("value must be at least {shortest} characters long"));
        }
        if let Some(number) = value.parse::<f64>().ok().filter(|_| numeric) {
            if self.maximum.is_some_and(|maximum| number > maximum) {
                return Err(format!("value must have a maximum value of {}", self.maximum_text));
            }
            if self.minimum.is_some_and(|minimum| number < minimum) {
                return Err(format!("value must have a minimum value of {}", self.minimum_text));
            }
        }
        if !self.enumeration.is_empty() && !self.enumeration.contains(value) {
            return Err(format!(
                "value '{value}' does not have a value in the enumeration '{}'",
                self.enumeration.join(", ")
            ));
        }
        Ok(())
    }
}

fn wrong_type(kind: Kind, got: &str) -> String {
    let name = match kind {
        Kind::Text => "string",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::Array => "array",
    };
    format!("type check ('{name}') failed - got '{got}'")
}

/// Perl's idea of a number: digits, a point, an exponent; no `inf`, no blanks.
fn is_number(value: &str) -> bool {
    let starts = value.strip_prefix(['+', '-']).unwrap_or(value);
    starts.starts_with(|first: char| first.is_ascii_digit() || first == '.') && value.parse::<f64>().is_ok()
}
