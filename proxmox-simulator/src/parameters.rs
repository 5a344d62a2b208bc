//! The parameters of one call after they were gathered from path, query and body. Checking them is the schema's work.

use std::collections::BTreeMap;

/// One value as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// A scalar; JSON booleans are `1` and `0` here, numbers their digits.
    Text(String),
    /// A repeated key or a JSON array.
    List(Vec<String>),
    /// A JSON object, which no implemented parameter accepts.
    Object,
}

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(BTreeMap<String, Given>);

impl Parameters {
    /// Sets a value, replacing what was there.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: Given) {
        self.0.insert(name.into(), value);
    }

    /// Adds a value; a repeated name becomes a list.
    pub(crate) fn add(&mut self, name: String, value: String) {
        match self.0.remove(&name) {
            None | Some(Given::Object) => self.0.insert(name, Given::Text(value)),
            Some(Given::Text(first)) => self.0.insert(name, Given::List(vec![first, value])),
            Some(Given::List(mut list)) => {
                list.push(value);
                self.0.insert(name, Given::List(list))
            }
        };
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Given> {
        self.0.remove(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Given)> {
        self.0.iter()
    }

    /// The scalar `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Given::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The boolean `name`; checked before to be 0 or 1.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).map(|text| text == "1")
    }

    /// The integer `name`, when it fits.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.text(name).and_then(|text| text.trim_start_matches('+').parse().ok())
    }
}
