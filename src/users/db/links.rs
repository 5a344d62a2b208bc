//! The SQL of links that are sent by mail.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::Result;
use crate::ids::UserId;

pub(in crate::users) struct NewLink<'a> {
    pub id: Uuid,
    pub user: UserId,
    pub purpose: &'static str,
    pub email: &'a str,
    pub token_hash: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub(in crate::users) async fn insert(connection: &mut PgConnection, new: &NewLink<'_>) -> Result<()> {
    sqlx::query!(
        "insert into account_links (id, user_id, purpose, email, token_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7)",
        new.id,
        new.user.uuid(),
        new.purpose,
        new.email,
        new.token_hash,
        new.created_at,
        new.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::users) struct Used {
    pub purpose: String,
    pub email: String,
}

pub(in crate::users) async fn select_owner(connection: &mut PgConnection, token_hash: &[u8]) -> Result<Option<UserId>> {
    Ok(sqlx::query_scalar!(r#"select user_id as "user: UserId" from account_links where token_hash = $1"#, token_hash)
        .fetch_optional(connection)
        .await?)
}

pub(in crate::users) async fn is_open(
    connection: &mut PgConnection,
    token_hash: &[u8],
    purposes: &[String],
    now: DateTime<Utc>,
) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select 1 from account_links where token_hash = $1 and purpose = any($2) and used_at is null and expires_at > $3) as "is_open!""#,
        token_hash,
        purposes,
        now,
    )
    .fetch_one(connection)
    .await?)
}

/// One statement, so that of two who try at once one finds it used.
pub(in crate::users) async fn use_up(
    connection: &mut PgConnection,
    token_hash: &[u8],
    purposes: &[String],
    now: DateTime<Utc>,
) -> Result<Option<Used>> {
    Ok(sqlx::query_as!(
        Used,
        r#"update account_links set used_at = $3 where token_hash = $1 and purpose = any($2) and used_at is null and expires_at > $3
           returning purpose, email"#,
        token_hash,
        purposes,
        now,
    )
    .fetch_optional(connection)
    .await?)
}

pub(in crate::users) async fn void(
    connection: &mut PgConnection,
    user: UserId,
    purposes: &[String],
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update account_links set used_at = $3 where user_id = $1 and purpose = any($2) and used_at is null",
        user.uuid(),
        purposes,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::users) async fn count_since(
    connection: &mut PgConnection,
    user: UserId,
    purpose: &str,
    since: DateTime<Utc>,
) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from account_links where user_id = $1 and purpose = $2 and created_at > $3"#,
        user.uuid(),
        purpose,
        since,
    )
    .fetch_one(connection)
    .await?)
}

pub(in crate::users) async fn select_open_address(
    connection: &mut PgConnection,
    user: UserId,
    purpose: &str,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    Ok(sqlx::query_scalar!(
        "select email from account_links where user_id = $1 and purpose = $2 and used_at is null and expires_at > $3 order by id desc limit 1",
        user.uuid(),
        purpose,
        now,
    )
    .fetch_optional(connection)
    .await?)
}

pub(in crate::users) async fn delete_expired(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    let deleted = sqlx::query!("delete from account_links where expires_at <= $1", now).execute(pool).await?;
    Ok(deleted.rows_affected())
}
