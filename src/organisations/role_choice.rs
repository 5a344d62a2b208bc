//! Which role somebody has or is to have: one that every organisation has, or one of its own. In forms and in the API it is the
//! name of the former or the id of the latter.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::ids::RoleId;
use crate::permissions::Role;

/// One of the roles that can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChoice {
    /// One that every organisation has.
    Standard(Role),
    /// One that the organisation made.
    Own(RoleId),
    /// What is stored is not known to this version; it allows nothing.
    Unknown,
}

impl RoleChoice {
    /// From the two columns in which it is stored.
    pub(super) fn stored(role: Option<&str>, own: Option<RoleId>) -> Self {
        match (role.and_then(Role::parse), own) {
            (Some(role), _) => Self::Standard(role),
            (None, Some(own)) => Self::Own(own),
            (None, None) => Self::Unknown,
        }
    }

    /// How to call it, from what is stored.
    pub(super) fn name(role: Option<&str>, own_name: Option<String>) -> String {
        own_name.or_else(|| role.map(str::to_owned)).unwrap_or_default()
    }

    /// Whether it owns the organisation.
    #[must_use]
    pub fn is_owner(self) -> bool {
        self == Self::Standard(Role::Owner)
    }

    pub(super) fn standard_name(self) -> Option<&'static str> {
        match self {
            Self::Standard(role) => Some(role.name()),
            Self::Own(_) | Self::Unknown => None,
        }
    }

    pub(super) fn own_id(self) -> Option<Uuid> {
        match self {
            Self::Own(id) => Some(id.uuid()),
            Self::Standard(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Display for RoleChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(role) => f.write_str(role.name()),
            Self::Own(id) => id.fmt(f),
            Self::Unknown => Ok(()),
        }
    }
}

impl FromStr for RoleChoice {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        match Role::parse(text) {
            Some(role) => Ok(Self::Standard(role)),
            None => text.parse().map(Self::Own).map_err(|_| ()),
        }
    }
}

impl Serialize for RoleChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
