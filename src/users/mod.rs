//! People: registering, and proving who they are. Staying logged in is the business of `sessions`.

mod authenticate;
mod db;
mod password;
mod register;

use sqlx::PgConnection;

pub use authenticate::authenticate;
pub use register::{NewUser, create_admin, register};

pub use crate::permissions::PlatformRole;

use crate::audit::Named;
use crate::error::Result;
use crate::ids::UserId;
use crate::permissions::Permissions;

/// The shortest password that is accepted, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 10;
/// The longest, so that hashing has a bounded cost.
pub const PASSWORD_CHARACTERS_MAX: usize = 256;

/// What a person may still do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserState {
    /// Everything that the roles allow.
    Active,
    /// Looks and changes nothing.
    Suspended,
    /// Does not come in.
    Banned,
}

impl UserState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Active, Self::Suspended, Self::Banned];

    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Banned => "banned",
        }
    }

    /// Reads the stored name. What is not known is banned.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.iter().copied().find(|state| state.name() == text).unwrap_or(Self::Banned)
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
    /// Whether he may change things, or come in at all.
    pub state: UserState,
}

impl User {
    /// What he may do on the whole platform.
    #[must_use]
    pub fn platform_permissions(&self) -> Permissions {
        self.platform_role.map_or(Permissions::NONE, PlatformRole::permissions)
    }
}

impl From<&User> for Named {
    fn from(user: &User) -> Self {
        Self::new(user.id, &user.email)
    }
}

/// A person by id.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn find(connection: &mut PgConnection, id: UserId) -> Result<Option<User>> {
    db::select(connection, id).await
}
