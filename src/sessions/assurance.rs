//! How sure we are of who somebody is, beyond that he logged in: whether he has the second factor that is demanded of him,
//! and when he last proved that it is still him.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::ids::{ApiKeyId, SessionId};

/// How long a proof of who one is carries dangerous acts.
pub const CONFIRMED_MINUTES: i64 = 10;

/// In which login somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// A browser's.
    Session(SessionId),
    /// A program's: the family of its tokens.
    Tokens(Uuid),
    /// A program's that has a key and no login.
    Key(ApiKeyId),
}

/// What is known of a login when a door asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Assurance {
    /// The organisation demands a second factor of its members, and he has none.
    pub missing_for_organisation: bool,
    /// The platform demands one of its staff, and he has none.
    pub missing_for_platform: bool,
    /// When he last proved who he is, by password or by factor. None where that cannot be done.
    pub confirmed_at: Option<DateTime<Utc>>,
}

impl Assurance {
    /// Whether he proved a moment ago who he is.
    #[must_use]
    pub fn is_confirmed(&self, now: DateTime<Utc>) -> bool {
        self.confirmed_at.is_some_and(|at| now < at + TimeDelta::minutes(CONFIRMED_MINUTES))
    }
}
