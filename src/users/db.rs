//! The SQL of users.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{PlatformRole, User, UserState};
use crate::error::{Error, OnConstraint, Result};
use crate::ids::UserId;

pub(super) struct Known {
    pub user: User,
    pub password_hash: String,
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    user: &User,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into users (id, email, name, password_hash, platform_role, created_at) values ($1, $2, $3, $4, $5, $6)",
        user.id.uuid(),
        user.email,
        user.name,
        password_hash,
        user.platform_role.map(|role| role.to_string()),
        now,
    )
    .execute(connection)
    .await
    .on_constraint("users_email_once", || {
        Error::invalid("email", "There is already an account with this e-mail address. Log in instead.")
    })?;
    Ok(())
}

pub(super) async fn select(connection: &mut PgConnection, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query!("select number, email, name, platform_role, state from users where id = $1", id.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| User {
        id,
        number: row.number,
        email: row.email,
        name: row.name,
        platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
        state: UserState::parse(&row.state),
    }))
}

pub(super) async fn select_by_email(connection: &mut PgConnection, email: &str) -> Result<Option<Known>> {
    let row = sqlx::query!(
        r#"select id as "id: UserId", number, email, name, platform_role, state, password_hash from users where lower(email) = lower($1)"#,
        email
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
        },
        password_hash: row.password_hash,
    }))
}
