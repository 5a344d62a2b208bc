//! People: registering, and proving who they are. Staying logged in is the business of `sessions`.

mod authenticate;
mod db;
mod password;
mod register;

use std::fmt;

use sqlx::PgConnection;

pub use authenticate::authenticate;
pub use register::{NewUser, create_admin, register};

use crate::error::Result;
use crate::ids::UserId;

/// The shortest password that is accepted, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 10;
/// The longest, so that hashing has a bounded cost.
pub const PASSWORD_CHARACTERS_MAX: usize = 256;

/// What staff may do on the whole platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformRole {
    /// Everything.
    Admin,
    /// Runs clusters and machines.
    Operator,
    /// Looks and explains.
    Support,
}

impl PlatformRole {
    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "admin" => Some(Self::Admin),
            "operator" => Some(Self::Operator),
            "support" => Some(Self::Support),
            _ => None,
        }
    }
}

impl fmt::Display for PlatformRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Support => "support",
        })
    }
}

/// A person.
#[derive(Debug, Clone)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The short number, for people.
    pub number: i64,
    /// The e-mail address as typed at registration.
    pub email: String,
    /// The name.
    pub name: String,
    /// Set for staff.
    pub platform_role: Option<PlatformRole>,
}

/// A person by id.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(connection: &mut PgConnection, id: UserId) -> Result<Option<User>> {
    db::select(connection, id).await
}
