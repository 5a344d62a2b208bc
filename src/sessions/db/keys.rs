//! The SQL of the keys that sign access tokens.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::database::EncryptedColumn;
use crate::error::Result;

/// Where the keys are kept.
pub const SECRETS: EncryptedColumn = EncryptedColumn {
    name: "token_keys.secret_encrypted",
    select: "select id, secret_encrypted from token_keys where id > $1 order by id limit $2 for update",
    update: "update token_keys set secret_encrypted = $2 where id = $1",
};

pub(in crate::sessions) struct Row {
    pub id: Uuid,
    pub secret_encrypted: String,
    pub created_at: DateTime<Utc>,
}

/// All keys, newest first.
pub(in crate::sessions) async fn select(pool: &PgPool) -> Result<Vec<Row>> {
    Ok(sqlx::query_as!(
        Row,
        "select id, secret_encrypted, created_at from token_keys order by created_at desc, id desc"
    )
    .fetch_all(pool)
    .await?)
}

/// Makes everybody who makes a key wait for who is making one.
pub(in crate::sessions) async fn lock(connection: &mut PgConnection) -> Result<Option<DateTime<Utc>>> {
    sqlx::query!("lock table token_keys in share row exclusive mode").execute(&mut *connection).await?;
    Ok(sqlx::query_scalar!("select max(created_at) from token_keys").fetch_one(connection).await?)
}

pub(in crate::sessions) async fn insert(
    connection: &mut PgConnection,
    id: Uuid,
    encrypted: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("insert into token_keys (id, secret_encrypted, created_at) values ($1, $2, $3)", id, encrypted, now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes keys that have had a successor since before `then`.
pub(in crate::sessions) async fn delete_superseded(connection: &mut PgConnection, then: DateTime<Utc>) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from token_keys where created_at < (select max(created_at) from token_keys where created_at <= $1)",
        then
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Removes all keys but one.
pub(in crate::sessions) async fn delete_others(connection: &mut PgConnection, keep: Uuid) -> Result<u64> {
    Ok(sqlx::query!("delete from token_keys where id <> $1", keep).execute(connection).await?.rows_affected())
}
