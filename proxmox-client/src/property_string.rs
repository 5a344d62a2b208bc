//! Property strings, Proxmox VE's `value,key=value,key=value` notation inside one option. Parsing,
//! changing and printing; what the keys mean is not known here.

use std::collections::BTreeMap;
use std::fmt;

/// A parsed property string. The order of the keys is kept for printing and ignored when
/// comparing: the server prints them in an order of its own.
#[derive(Clone, Default)]
pub struct PropertyString {
    /// The key a bare value belongs to; empty when the caller did not say.
    default_key: String,
    pairs: Vec<(String, String)>,
}

/// Why a text is not a property string, or a value cannot be in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyStringError {
    /// A key, or the bare value, occurs twice.
    #[error("the key '{0}' occurs twice")]
    Twice(String),
    /// A key or value has a comma or a control character, which the notation cannot carry, or the
    /// key is empty.
    #[error("the value of '{0}' cannot stand in a property string")]
    Unprintable(String),
}

impl PropertyString {
    /// Parses a text. A bare value is kept under the empty key.
    ///
    /// # Errors
    /// When a key or the bare value occurs twice.
    pub fn parse(text: &str) -> Result<Self, PropertyStringError> {
        Self::parse_with_default(text, "")
    }

    /// Parses a text whose bare value belongs to `default_key`, so that `1` and `enabled=1` are
    /// the same.
    ///
    /// # Errors
    /// When a key or the bare value occurs twice.
    pub fn parse_with_default(text: &str, default_key: &str) -> Result<Self, PropertyStringError> {
        let mut parsed = Self { default_key: String::from(default_key), pairs: Vec::new() };
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) if !key.is_empty() => (key, value),
                _ => (default_key, part),
            };
            if parsed.get(key).is_some() {
                return Err(PropertyStringError::Twice(String::from(key)));
            }
            parsed.pairs.push((String::from(key), String::from(value)));
        }
        Ok(parsed)
    }

    /// The value of `key`. The bare value has the default key, or the empty key without one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Sets `key`, in its place if it has one, else at the end.
    ///
    /// # Errors
    /// When key or value cannot be written in this notation (a comma, a control character).
    pub fn set(&mut self, key: &str, value: impl fmt::Display) -> Result<(), PropertyStringError> {
        let value = value.to_string();
        let unprintable = |text: &str| text.contains(|letter: char| letter == ',' || letter.is_control());
        let is_bare = key == self.default_key;
        if unprintable(key)
            || unprintable(&value)
            || key.contains('=')
            || value.trim().is_empty()
            || (key.is_empty() && (!is_bare || value.contains('=')))
        {
            return Err(PropertyStringError::Unprintable(String::from(key)));
        }
        match self.pairs.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.pairs.push((String::from(key), value)),
        }
        Ok(())
    }

    /// Takes `key` out and gives its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(name, _)| name == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// Keys and values in their order; the bare value under the default key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn as_map(&self) -> BTreeMap<&str, &str> {
        self.iter().collect()
    }
}

impl PartialEq for PropertyString {
    fn eq(&self, other: &Self) -> bool {
        self.as_map() == other.as_map()
    }
}

impl Eq for PropertyString {}

impl fmt::Display for PropertyString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.get(&self.default_key);
        let mut separator = "";
        if let Some(value) = default {
            // A value with an equals sign would be read as a key, so it needs its own.
            if value.contains('=') && !self.default_key.is_empty() {
                write!(formatter, "{}={value}", self.default_key)?;
            } else {
                formatter.write_str(value)?;
            }
            separator = ",";
        }
        for (key, value) in self.iter().filter(|(key, _)| *key != self.default_key) {
            write!(formatter, "{separator}{key}={value}")?;
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for PropertyString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PropertyString({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::proptest;

    use super::{PropertyString, PropertyStringError};

    #[test]
    fn the_default_key_comes_first_and_bare() {
        let disk = PropertyString::parse_with_default("size=32G,file=local:vm-1-disk-0", "file");
        assert_eq!(disk.unwrap().to_string(), "local:vm-1-disk-0,size=32G");
        let agent = PropertyString::parse_with_default("enabled=1,type=virtio", "enabled").unwrap();
        assert_eq!(agent, PropertyString::parse_with_default("1,type=virtio", "enabled").unwrap());
        assert_eq!(agent.get("enabled"), Some("1"));
    }

    #[test]
    fn order_is_kept_and_does_not_matter() {
        let text = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,rate=12.5";
        let net = PropertyString::parse(text).unwrap();
        assert_eq!(net.to_string(), text);
        let other = "bridge=vmbr0,rate=12.5,virtio=BC:24:11:00:00:01,firewall=1";
        assert_eq!(net, PropertyString::parse(other).unwrap());
        assert_ne!(net, PropertyString::parse("bridge=vmbr0").unwrap());
    }

    #[test]
    fn twice_the_same_key_is_an_error() {
        assert_eq!(PropertyString::parse("a=1,a=2"), Err(PropertyStringError::Twice(String::from("a"))));
        assert!(PropertyString::parse("one,two").is_err());
        assert!(PropertyString::parse_with_default("1,enabled=0", "enabled").is_err());
    }

    #[test]
    fn a_value_may_hold_equals_signs_but_no_comma() {
        let smbios = PropertyString::parse("uuid=1-2,manufacturer=UVc9PQ==,base64=1").unwrap();
        assert_eq!(smbios.get("manufacturer"), Some("UVc9PQ=="));
        let mut net = PropertyString::parse("virtio,bridge=vmbr0").unwrap();
        assert!(net.set("bridge", "vmbr0,tag=5").is_err());
        assert!(net.set("bridge", "vmbr0\ntag=5").is_err());
        net.set("bridge", "vmbr1").unwrap();
        net.set("rate", 12).unwrap();
        assert_eq!(net.to_string(), "virtio,bridge=vmbr1,rate=12");
        assert_eq!(net.remove("rate").as_deref(), Some("12"));
        assert_eq!(net.remove("rate"), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            bare in "[a-z0-9:/=.-]{1,12}",
            pairs in btree_map("[a-z][a-z0-9_]{0,6}", "[A-Za-z0-9:/=.+ ]{0,10}[A-Za-z0-9]", 0..6),
        ) {
            let mut property = PropertyString { default_key: String::from("Default"), pairs: vec![] };
            for (key, value) in &pairs {
                property.set(key, value).unwrap();
            }
            property.set("Default", &bare).unwrap();
            let read = PropertyString::parse_with_default(&property.to_string(), "Default").unwrap();
            assert_eq!(read, property);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            if let Ok(parsed) = PropertyString::parse(&text) {
                let _ = parsed.to_string();
            }
        }
    }
}
