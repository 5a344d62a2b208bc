//! The tags of a guest as a set. Proxmox VE sorts, deduplicates and may lower-case them, so they
//! are compared as a set and never as text.

use std::collections::BTreeSet;
use std::fmt;

/// A set of tags. Reads any of Proxmox' separators (`,`, `;`, blank) and prints `;`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(BTreeSet<String>);

impl Tags {
    /// Reads a `tags` option.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.split([',', ';', ' ', '\t', '\n', '\r', '\0']).collect()
    }

    /// Whether `tag` is in the set, letter case included.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.0.contains(tag)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Adds a tag; blank ones are left out.
    pub fn insert(&mut self, tag: &str) {
        let tag = tag.trim();
        if !tag.is_empty() {
            self.0.insert(String::from(tag));
        }
    }

    /// Takes a tag out; says whether it was there.
    pub fn remove(&mut self, tag: &str) -> bool {
        self.0.remove(tag)
    }
}

impl<T: AsRef<str>> FromIterator<T> for Tags {
    fn from_iter<I: IntoIterator<Item = T>>(tags: I) -> Self {
        let mut set = Self::default();
        for tag in tags {
            set.insert(tag.as_ref());
        }
        set
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tag) in self.iter().enumerate() {
            formatter.write_str(if index == 0 { "" } else { ";" })?;
            formatter.write_str(tag)?;
        }
        Ok(())
    }
}

impl<'de> serde::Deserialize<'de> for Tags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(crate::lenient::optional_text(deserializer)?.map(|text| Self::parse(&text)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Tags;

    #[test]
    fn separators_order_and_doubles_do_not_matter() {
        let tags = Tags::parse("b, a;c a");
        assert_eq!(tags, ["c", "b", "a"].into_iter().collect());
        assert_eq!(tags.to_string(), "a;b;c");
        assert!(tags.contains("b") && !tags.contains("B"));
        assert!(Tags::parse(" ;, ").is_empty());
        assert_eq!(Tags::default().to_string(), "");
    }
}
