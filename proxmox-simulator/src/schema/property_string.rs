//! Property strings (`virtio,bridge=vmbr0`): read by the rules of a format and printed the way Proxmox prints them
//! back. What the values mean is for those who asked.

use std::collections::BTreeMap;

use super::{Kind, Properties, check};

/// Reads `text`; `path` names the parameter in nested errors.
///
/// # Errors
/// Proxmox's text, without its last line feed.
pub(crate) fn parse(properties: &Properties, text: &str, path: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    let default_key = properties.iter().find(|(_, property)| property.default_key).map(|(name, _)| name.clone());
    let mut bare_seen = false;
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                add_pair(properties, &mut values, key, value)?;
            }
            Some(_) => return Err("missing key in comma-separated list property".to_owned()),
            None => {
                let Some(key) = &default_key else {
                    return Err("value without key, but schema does not define a default key".to_owned());
                };
                if bare_seen || values.contains_key(key) {
                    return Err(format!("duplicate key in comma-separated list property: {key}"));
                }
                bare_seen = true;
                values.insert(key.clone(), part.to_owned());
            }
        }
    }
    let errors = check::check_object(path, properties, &values);
    if errors.is_empty() {
        return Ok(values);
    }
    let lines: Vec<String> = errors.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    Err(format!("format error\n{}", lines.join("\n")))
}

fn add_pair(
    properties: &Properties,
    values: &mut BTreeMap<String, String>,
    key: &str,
    value: &str,
) -> Result<(), String> {
    if values.contains_key(key) {
        return Err(format!("duplicate key in comma-separated list property: {key}"));
    }
    let mut name = key;
    let mut property = properties.get(key);
    if let Some(alias) = property.and_then(|property| property.alias.as_deref()) {
        if let Some(key_alias) = property.and_then(|property| property.key_alias.as_deref()) {
            if values.contains_key(key_alias) {
                return Err(format!("key alias '{key_alias}' is already defined"));
            }
            values.insert(key_alias.to_owned(), key.to_owned());
        }
        name = alias;
        property = properties.get(alias);
    }
    let Some(property) = property else {
        return Err(format!("invalid key in comma-separated list property: {name}"));
    };
    let value = if property.kind == Kind::Boolean { boolean(value) } else { value };
    values.insert(name.to_owned(), value.to_owned());
    Ok(())
}

/// Inside property strings booleans may also be words.
fn boolean(value: &str) -> &str {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => "1",
        "0" | "off" | "no" | "false" => "0",
        _ => value,
    }
}

/// Prints values back: the default key bare (or the `model=MAC` pair), then required keys, then the others sorted.
pub(crate) fn print(properties: &Properties, values: &BTreeMap<String, String>) -> String {
    let mut parts = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    let pair =
        properties.values().find_map(|property| Some((property.alias.as_deref()?, property.key_alias.as_deref()?)));
    if let Some((value_key, name_key)) = pair
        && let (Some(value), Some(name)) = (values.get(value_key), values.get(name_key))
    {
        parts.push(format!("{name}={value}"));
        done.extend([value_key, name_key]);
    }
    let default_key = properties.iter().find(|(_, property)| property.default_key).map(|(name, _)| name.as_str());
    if let Some(key) = default_key.filter(|key| !done.contains(key))
        && let Some(value) = values.get(key)
    {
        parts.push(value.clone());
        done.push(key);
    }
    for required in [true, false] {
        for (name, value) in values {
            let is_required = properties.get(name).is_some_and(|property| !property.optional);
            if is_required == required && !done.contains(&name.as_str()) {
                parts.push(format!("{name}={value}"));
            }
        }
    }
    parts.join(",")
}
