//! The SQL of users.

pub(super) mod limits;
pub(super) mod links;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{PlatformRole, User, UserState};
use crate::error::{Error, OnConstraint, Result};
use crate::ids::UserId;

pub(super) struct Known {
    pub user: User,
    pub password_hash: String,
    /// Whether somebody logged in as this person from this network and with this device before.
    pub knows_network: bool,
    pub knows_device: bool,
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    user: &User,
    password_hash: &str,
    has_password: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into users (id, email, name, password_hash, platform_role, created_at, email_verified_at, has_password)
         values ($1, $2, $3, $4, $5, $6, case when $7 then $6::timestamptz end, $8)",
        user.id.uuid(),
        user.email,
        user.name,
        password_hash,
        user.platform_role.map(|role| role.to_string()),
        now,
        user.is_verified,
        has_password,
    )
    .execute(connection)
    .await
    .on_constraint("users_email_once", || {
        Error::invalid("email", "There is already an account with this e-mail address. Log in instead.")
    })?;
    Ok(())
}

struct Row {
    id: UserId,
    number: i64,
    email: String,
    name: String,
    platform_role: Option<String>,
    state: String,
    is_verified: bool,
    epoch: i32,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            number: row.number,
            email: row.email,
            name: row.name,
            platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
            state: UserState::parse(&row.state),
            is_verified: row.is_verified,
            epoch: row.epoch,
        }
    }
}

pub(super) async fn select(connection: &mut PgConnection, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: UserId", number, email, name, platform_role, state, email_verified_at is not null as "is_verified!", epoch
           from users where id = $1"#,
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(User::from))
}

/// The person, locked for the rest of the transaction: whoever ends his logins or changes what proves who he is does so alone.
pub(super) async fn lock(connection: &mut PgConnection, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: UserId", number, email, name, platform_role, state, email_verified_at is not null as "is_verified!", epoch
           from users where id = $1 for update"#,
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(User::from))
}

/// The person with this address, and whether he logged in from these places before.
pub(super) async fn select_by_email(
    connection: &mut PgConnection,
    email: &str,
    network: &[u8],
    device: &[u8],
) -> Result<Option<Known>> {
    let row = sqlx::query!(
        r#"select id as "id: UserId", number, email, name, platform_role, state, email_verified_at is not null as "is_verified!", epoch,
                  password_hash,
                  exists (select 1 from known_places where user_id = u.id and place = $2) as "knows_network!",
                  exists (select 1 from known_places where user_id = u.id and place = $3) as "knows_device!"
           from users u where lower(email) = lower($1)"#,
        email,
        network,
        device,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Known {
        user: User {
            id: row.id,
            number: row.number,
            email: row.email,
            name: row.name,
            platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
            state: UserState::parse(&row.state),
            is_verified: row.is_verified,
            epoch: row.epoch,
        },
        password_hash: row.password_hash,
        knows_network: row.knows_network,
        knows_device: row.knows_device,
    }))
}

pub(super) async fn select_password(connection: &mut PgConnection, id: UserId) -> Result<Option<String>> {
    Ok(sqlx::query_scalar!("select password_hash from users where id = $1", id.uuid())
        .fetch_optional(connection)
        .await?)
}

/// Whether a person has a password that somebody knows; not when there is no such person.
pub(super) async fn select_has_password(connection: &mut PgConnection, id: UserId) -> Result<bool> {
    let has = sqlx::query_scalar!("select has_password from users where id = $1", id.uuid());
    Ok(has.fetch_optional(connection).await?.unwrap_or(false))
}

/// Stores the same password under other parameters, unless it was changed meanwhile.
pub(super) async fn update_hash(connection: &mut PgConnection, id: UserId, before: &str, after: &str) -> Result<()> {
    sqlx::query!("update users set password_hash = $3 where id = $1 and password_hash = $2", id.uuid(), before, after)
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores another password.
pub(super) async fn update_password(connection: &mut PgConnection, id: UserId, hash: &str) -> Result<()> {
    sqlx::query!("update users set password_hash = $2, has_password = true where id = $1", id.uuid(), hash)
        .execute(connection)
        .await?;
    Ok(())
}

/// From now on nobody comes in who began to log in before.
pub(super) async fn update_epoch(connection: &mut PgConnection, id: UserId) -> Result<i32> {
    Ok(sqlx::query_scalar!("update users set epoch = epoch + 1 where id = $1 returning epoch", id.uuid())
        .fetch_one(connection)
        .await?)
}

pub(super) async fn update_name(connection: &mut PgConnection, id: UserId, name: &str) -> Result<()> {
    sqlx::query!("update users set name = $2 where id = $1", id.uuid(), name).execute(connection).await?;
    Ok(())
}

/// Confirms the address that a person has, once.
pub(super) async fn update_verified(connection: &mut PgConnection, id: UserId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update users set email_verified_at = coalesce(email_verified_at, $2) where id = $1", id.uuid(), now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores an address that its owner has just confirmed.
pub(super) async fn update_email(
    connection: &mut PgConnection,
    id: UserId,
    email: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("update users set email = $2, email_verified_at = $3 where id = $1", id.uuid(), email, now)
        .execute(connection)
        .await
        .on_constraint("users_email_once", || {
            Error::conflict("Another account has this address by now. Choose another one.")
        })?;
    Ok(())
}

/// Whether a person has confirmed his address; none when there is no such person.
pub(super) async fn select_verified(connection: &mut PgConnection, id: UserId) -> Result<Option<bool>> {
    Ok(sqlx::query_scalar!(
        r#"select email_verified_at is not null as "is_verified!" from users where id = $1"#,
        id.uuid()
    )
    .fetch_optional(connection)
    .await?)
}
