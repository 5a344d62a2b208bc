//! The SQL of refresh tokens and of the families they form. Whoever ends a family and whoever follows one of its tokens lock its
//! row first.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::ids::UserId;

pub(in crate::sessions) struct NewFamily {
    pub id: Uuid,
    pub user: UserId,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// The person's, when he proved who he is.
    pub epoch: i32,
}

/// Answers false when all logins of the person were ended since he proved who he is, or he was banned. Whoever ends them waits
/// for this transaction, or this one for his.
pub(in crate::sessions) async fn insert_family(connection: &mut PgConnection, new: &NewFamily) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into token_families (id, user_id, address, user_agent, created_at, last_seen_at, expires_at)
         select $1, u.id, $3, $4, $5, $5, $6 from users u where u.id = $2 and u.epoch = $7 and u.state <> 'banned' for share",
        new.id,
        new.user.uuid(),
        new.address,
        new.user_agent,
        new.created_at,
        new.expires_at,
        new.epoch,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(in crate::sessions) async fn select_family_of(
    connection: &mut PgConnection,
    token_hash: &[u8],
) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar!("select family from refresh_tokens where token_hash = $1", token_hash)
        .fetch_optional(connection)
        .await?)
}

/// The owner of a family that was not ended, locked.
pub(in crate::sessions) async fn lock_family(connection: &mut PgConnection, family: Uuid) -> Result<Option<UserId>> {
    Ok(sqlx::query_scalar!(
        r#"select user_id as "user: UserId" from token_families where id = $1 and ended_at is null for update"#,
        family
    )
    .fetch_optional(connection)
    .await?)
}

pub(in crate::sessions) struct FoundRefreshToken {
    pub id: Uuid,
    pub expires_at: DateTime<Utc>,
    pub is_used: bool,
    /// When the login proved who it is.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// A token, to be read with its family locked.
pub(in crate::sessions) async fn select_refresh_token(
    connection: &mut PgConnection,
    token_hash: &[u8],
) -> Result<Option<FoundRefreshToken>> {
    Ok(sqlx::query_as!(
        FoundRefreshToken,
        r#"select id, expires_at, used_at is not null as "is_used!", confirmed_at from refresh_tokens where token_hash = $1"#,
        token_hash,
    )
    .fetch_optional(connection)
    .await?)
}

pub(in crate::sessions) async fn mark_used(connection: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update refresh_tokens set used_at = $2 where id = $1", id, now).execute(connection).await?;
    Ok(())
}

/// What the list shows of a program.
pub(in crate::sessions) async fn update_family_seen(
    connection: &mut PgConnection,
    family: Uuid,
    address: Option<&str>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update token_families set last_seen_at = $3, expires_at = $4, address = coalesce($2, address) where id = $1",
        family,
        address,
        now,
        expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::sessions) async fn end_family(
    connection: &mut PgConnection,
    family: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("update token_families set ended_at = $2 where id = $1 and ended_at is null", family, now)
        .execute(connection)
        .await?;
    Ok(())
}

pub(in crate::sessions) async fn insert_refresh_token(
    connection: &mut PgConnection,
    (user, family): (UserId, Uuid),
    token_hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_tokens (id, family, user_id, token_hash, created_at, expires_at, confirmed_at) values ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        family,
        user.uuid(),
        token_hash,
        now,
        expires_at,
        confirmed_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
