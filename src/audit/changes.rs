//! What a change made of something: what was before, and what is after. Types that hold secrets do not serialise, so none can
//! get in here.

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Result;

/// Fields that differ, each with what was before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(Map<String, Value>);

impl Changes {
    /// What differs between two states of the same thing, field by field.
    ///
    /// # Errors
    /// When they are no objects: a mistake of ours.
    pub fn between<T: Serialize>(before: &T, after: &T) -> Result<Self> {
        let (before, after) = (fields(before)?, fields(after)?);
        let mut changes = Self::default();
        for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
            changes.note(name, before.get(name).cloned(), after.get(name).cloned());
        }
        Ok(changes)
    }

    /// One field by its name.
    ///
    /// # Errors
    /// When a value cannot be written down: a mistake of ours.
    pub fn of<T: Serialize>(name: &str, before: &T, after: &T) -> Result<Self> {
        Self::default().and(name, before, after)
    }

    /// One more field by its name.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn and<T: Serialize>(mut self, name: &str, before: &T, after: &T) -> Result<Self> {
        self.note(name, Some(value(before)?), Some(value(after)?));
        Ok(self)
    }

    /// A field that is not to be written down: only that it is another now.
    #[must_use]
    pub fn and_hidden(mut self, name: &str, differs: bool) -> Self {
        if differs {
            self.0.insert(name.to_owned(), json!("changed"));
        }
        self
    }

    fn note(&mut self, name: &str, before: Option<Value>, after: Option<Value>) {
        let [before, after] = [before, after].map(Option::unwrap_or_default);
        if before != after {
            self.0.insert(name.to_owned(), json!({ "before": before, "after": after }));
        }
    }

    /// Whether this field differs.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Together with what else is worth knowing.
    #[must_use]
    pub fn with(self, facts: Value) -> Detail {
        Detail { facts, changes: self }
    }

    pub(super) fn stored(&self) -> Option<Value> {
        (!self.is_empty()).then(|| Value::Object(self.0.clone()))
    }
}

fn value<T: Serialize>(of: &T) -> Result<Value> {
    Ok(serde_json::to_value(of).context("while writing down what a change was")?)
}

fn fields<T: Serialize>(of: &T) -> Result<Map<String, Value>> {
    match value(of)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(anyhow::anyhow!("what has no fields cannot be compared field by field").into()),
    }
}

/// What an event says beside who, what and when. Never a secret.
#[derive(Debug, Clone)]
pub struct Detail {
    pub(super) facts: Value,
    pub(super) changes: Changes,
}

impl From<Value> for Detail {
    fn from(facts: Value) -> Self {
        Self { facts, changes: Changes::default() }
    }
}

impl From<Changes> for Detail {
    fn from(changes: Changes) -> Self {
        changes.with(json!({}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Plan {
        name: &'static str,
        disk_gib: i32,
        note: Option<&'static str>,
    }

    #[test]
    fn only_what_differs_is_written_down() {
        let before = Plan { name: "S", disk_gib: 10, note: None };
        let after = Plan { name: "S", disk_gib: 20, note: Some("more") };

        let changes = Changes::between(&before, &after).unwrap();

        let expected =
            json!({ "disk_gib": { "before": 10, "after": 20 }, "note": { "before": null, "after": "more" } });
        assert_eq!(changes.stored(), Some(expected));
        assert!(Changes::between(&after, &after).unwrap().is_empty());
        assert!(Changes::between(&1, &2).is_err());
    }

    #[test]
    fn what_is_not_to_be_read_is_only_said_to_differ() {
        let changes = Changes::of("name", &"a", &"b").unwrap().and_hidden("token", true).and_hidden("key", false);
        let expected = json!({ "name": { "before": "a", "after": "b" }, "token": "changed" });
        assert_eq!(changes.stored(), Some(expected));
    }
}
