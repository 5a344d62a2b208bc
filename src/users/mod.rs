//! People: registering, and proving who they are. Staying logged in is the business of `sessions`; what a person changes of his
//! own account is that of `accounts`.

pub(crate) mod asked;
mod authenticate;
mod db;
mod devices;
mod limits;
pub(crate) mod links;
mod password;
mod register;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

pub(crate) use authenticate::BANNED;
pub use authenticate::{authenticate, confirm_password, has_password};
pub use devices::remember_device;
pub use limits::Place;
pub use register::{NewUser, create_admin, register};
pub(crate) use register::{prepare, register_vouched};

pub use crate::permissions::PlatformRole;

use crate::app::App;
use crate::audit::{Actor, Named};
use crate::error::{Error, Problem, Result, is_plain_line};
use crate::ids::UserId;
use crate::mail::Mailer;
use crate::permissions::Permissions;

/// The shortest password that is accepted, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 10;
/// The longest, so that hashing has a bounded cost.
pub const PASSWORD_CHARACTERS_MAX: usize = 256;

/// Said to who is suspended and asks for a change.
pub(crate) const SUSPENDED: &str =
    "Your account is suspended: you can look at everything, and change nothing. Ask the operator why.";

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
    /// Whether he has confirmed his address.
    pub is_verified: bool,
    /// Goes up when all his logins end: who was found before that comes in no more.
    pub epoch: i32,
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

/// A person by id, locked for the rest of somebody's transaction.
///
/// # Errors
/// `NotFound` when there is none.
pub(crate) async fn lock(connection: &mut PgConnection, id: UserId) -> Result<User> {
    db::lock(connection, id).await?.ok_or(Error::NotFound("account"))
}

/// Hashes a new password, after a look at it.
///
/// # Errors
/// `Invalid` at `field` when it is too short or too long; `Unavailable` when too many are being hashed.
pub(crate) async fn hash_new_password(field: &'static str, password: SecretString) -> Result<String> {
    check_new_password(field, &password)?;
    password::hash(password).await
}

/// Looks at a new password.
///
/// # Errors
/// `Invalid` at `field` when it is too short or too long.
pub(crate) fn check_new_password(field: &'static str, password: &SecretString) -> Result<()> {
    password_problem(field, password).map_or(Ok(()), |problem| Err(Error::Invalid(vec![problem])))
}

/// What is wrong with a new password.
fn password_problem(field: &'static str, password: &SecretString) -> Option<Problem> {
    let characters = password.expose_secret().chars().count();
    if characters < PASSWORD_CHARACTERS_MIN {
        Some(Problem::new(field, format!("At least {PASSWORD_CHARACTERS_MIN} characters.")))
    } else if characters > PASSWORD_CHARACTERS_MAX {
        Some(Problem::new(field, format!("At most {PASSWORD_CHARACTERS_MAX} characters.")))
    } else {
        None
    }
}

/// Stores a new password that was hashed, and forgets from where the person has logged in.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn set_password(connection: &mut PgConnection, id: UserId, hash: &str) -> Result<()> {
    db::update_password(&mut *connection, id, hash).await?;
    db::limits::forget_places(connection, id).await
}

/// Begins a new epoch: who is just logging in with what was good until now does not come in. Answers with its number.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn begin_epoch(connection: &mut PgConnection, id: UserId) -> Result<i32> {
    db::update_epoch(connection, id).await
}

/// Stores another name.
///
/// # Errors
/// `Invalid` when it is not a name.
pub(crate) async fn set_name(connection: &mut PgConnection, id: UserId, name: &str) -> Result<()> {
    const NAME_CHARACTERS_MAX: usize = 80;
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || !is_plain_line(name) {
        return Err(Error::invalid("name", format!("One line of 1 to {NAME_CHARACTERS_MAX} characters.")));
    }
    db::update_name(connection, id, name).await
}

/// Stores an address that its owner has just confirmed, by the books' time.
///
/// # Errors
/// `Conflict` when another account has it by now.
pub(crate) async fn set_email(
    connection: &mut PgConnection,
    id: UserId,
    email: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    db::update_email(connection, id, email, now).await
}

/// Writes down that somebody reads the mails of his address, unless that is known, by the books' time.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn confirm_email(connection: &mut PgConnection, id: UserId, now: DateTime<Utc>) -> Result<()> {
    db::update_verified(connection, id, now).await
}

/// The person with an e-mail address.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn find_by_email(connection: &mut PgConnection, email: &str) -> Result<Option<User>> {
    Ok(db::select_by_email(connection, email, &[], &[]).await?.map(|known| known.user))
}

/// Whether people must confirm their address before they order anything. Not where no mail can reach them, and not in a demo,
/// whose mails stay in it.
#[must_use]
pub fn must_verify(app: &App) -> bool {
    !app.settings.demo && !matches!(app.settings.mailer, Mailer::None)
}

/// Refuses who has not confirmed his address where that is asked for.
///
/// # Errors
/// `Forbidden`.
pub async fn require_verified(app: &App, actor: &Actor) -> Result<()> {
    let Some(user) = actor.user().filter(|_| must_verify(app)) else { return Ok(()) };
    match db::select_verified(&mut *app.pool.acquire().await?, user).await? {
        Some(false) => Err(Error::Forbidden(
            "Confirm your e-mail address first: follow the link in the mail that we sent you, or have it sent again on your account's page.",
        )),
        Some(true) | None => Ok(()),
    }
}

/// Removes links, counted tries and known places whose time is over, and says how many.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn purge(app: &App) -> Result<u64> {
    Ok(limits::purge(app).await? + links::purge(app).await?)
}
