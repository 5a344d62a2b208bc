//! A quota that does not carry what was asked for, in numbers and in a sentence.

use std::fmt;

use super::Quota;

/// A quota that does not carry what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub quota: Quota,
    /// How much of it is used.
    pub used: i64,
    /// How much there may be.
    pub limit: i64,
    /// How much more was asked for.
    pub asked: i64,
    /// Where to ask for more: an e-mail address or an `https://` address.
    pub contact: Option<String>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.quota.unit();
        let space = if unit.is_empty() { "" } else { " " };
        write!(
            f,
            "The quota of this organisation does not carry this. {}: {} of {}{space}{unit} are in use, and {} more would be needed. ",
            self.quota.title(),
            self.used,
            self.limit,
            self.asked
        )?;
        match &self.contact {
            Some(contact) => write!(f, "Ask for more at {contact}."),
            None => f.write_str("Ask the operator for more."),
        }
    }
}
