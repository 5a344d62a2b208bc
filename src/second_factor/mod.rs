//! The second proof of who somebody is, beside his password: codes of an app, and codes on paper for the day when the app is
//! lost. It keeps the login that waits for such a proof, counts wrong codes, and holds what organisations and the platform
//! demand. Passkeys are a room of their own, `passkeys`.

mod codes;
mod confirm;
mod db;
mod demand;
mod pending;
mod recovery;
mod tell;
mod totp;

use sqlx::PgConnection;

pub use codes::{FAILURES_MAX, Method};
pub(crate) use confirm::note;
pub use confirm::{Evidence, confirm};
pub use db::SECRETS;
pub use demand::{demand, is_demanded};
pub use pending::{PENDING_MINUTES, begin, find, finish};
pub(crate) use pending::{end_unfinished, take};
pub use recovery::{RECOVERY_CODES, make_anew};
pub(crate) use tell::Factor;
pub use totp::{Setup, add, remove, shown, start};

use crate::app::App;
use crate::audit::Actor;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::users::User;
use tell::{Change, tell};

/// What a person has set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Factors {
    /// Codes of an app.
    pub totp: bool,
    /// How many passkeys.
    pub passkeys: i64,
    /// How many recovery codes are left.
    pub recovery_codes_left: i64,
    /// An organisation that he belongs to, or the platform, demands a second factor of him.
    pub required: bool,
}

impl Factors {
    /// Whether a login of his needs more than the password.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.totp || self.passkeys > 0
    }
}

/// What a person has set up.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn factors(app: &App, user: UserId) -> Result<Factors> {
    db::select_factors(&mut *app.pool.acquire().await?, user).await
}

/// What follows when a person got a factor, in somebody's transaction: with his first one, logins that never showed any end,
/// also those that are just coming in, and he gets recovery codes. Answers with these; they are shown once. He is told by mail.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn after_adding(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    login: crate::sessions::Login,
    (factor, had_any): (Factor<'_>, bool),
    actor: &Actor,
) -> Result<Option<Vec<String>>> {
    tell(app, &mut *connection, user, Change::Added { factor, is_first: !had_any }, actor).await?;
    if had_any {
        return Ok(None);
    }
    crate::users::begin_epoch(&mut *connection, user.id).await?;
    crate::sessions::end_others(app, &mut *connection, user.id, login).await?;
    db::delete_pending_of(&mut *connection, user.id).await?;
    Ok(Some(recovery::replace(app, connection, user.id).await?))
}

/// What must be before a person gives up a factor, and what follows, in somebody's transaction: the last one stays where it
/// is demanded, and recovery codes go with it. `left` is what he has without it. He is told by mail.
///
/// # Errors
/// `Conflict` when it is demanded of him.
pub(crate) async fn after_removing(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    (factor, left): (Factor<'_>, Factors),
    actor: &Actor,
) -> Result<()> {
    tell(app, &mut *connection, user, Change::Removed { factor, was_last: !left.any() }, actor).await?;
    if left.any() {
        return Ok(());
    }
    if left.required {
        return Err(Error::conflict(
            "A second factor is required of you. Set up another one first, then remove this one.",
        ));
    }
    db::delete_recovery_codes(connection, user.id).await
}

/// Takes all factors of a person, and his recovery codes, because he has lost them, in somebody's transaction. He is told by
/// mail, with the reason. Answers with what he had.
///
/// # Errors
/// `Conflict` when he has none.
pub(crate) async fn reset(app: &App, connection: &mut PgConnection, user: &User, reason: &str) -> Result<Factors> {
    let before = lock_factors(&mut *connection, user.id).await?;
    if !before.any() {
        return Err(Error::conflict("This person has no second factor: a password is enough."));
    }
    forget_all(&mut *connection, user.id).await?;
    tell::of_reset(app, connection, user, reason).await?;
    Ok(before)
}

/// Forgets all factors of a person, in somebody's transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn forget_all(connection: &mut PgConnection, user: UserId) -> Result<()> {
    db::delete_totp(&mut *connection, user).await?;
    db::delete_passkeys(&mut *connection, user).await?;
    db::delete_recovery_codes(&mut *connection, user).await?;
    db::delete_pending_of(connection, user).await
}

/// Removes what has expired, and says how much that was.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn purge(app: &App) -> Result<u64> {
    db::delete_expired(&app.pool, app.clock.machine_now()).await
}

/// What a person has, for other rooms that change it in their transaction. Locks him against another change of his factors.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn lock_factors(connection: &mut PgConnection, user: UserId) -> Result<Factors> {
    db::lock_user(&mut *connection, user).await?;
    db::select_factors(connection, user).await
}

/// The same, before he gets another one: not when all his logins were ended after this one was looked at.
///
/// # Errors
/// `Unauthenticated`.
pub(crate) async fn lock_unended(connection: &mut PgConnection, user: &User) -> Result<Factors> {
    let factors = lock_factors(&mut *connection, user.id).await?;
    let epoch = crate::users::find(connection, user.id).await?.map(|user| user.epoch);
    if epoch == Some(user.epoch) { Ok(factors) } else { Err(Error::Unauthenticated(crate::sessions::OVERTAKEN)) }
}
