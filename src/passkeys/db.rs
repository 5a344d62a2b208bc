//! The SQL of passkeys.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Passkey, Purpose};
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{PasskeyId, UserId};

pub(super) async fn select(pool: &PgPool, user: UserId) -> Result<Vec<Passkey>> {
    let passkeys = sqlx::query_as!(
        Passkey,
        r#"select id as "id: PasskeyId", name, created_at, last_used_at from passkeys where user_id = $1 order by id"#,
        user.uuid(),
    )
    .fetch_all(pool)
    .await?;
    Ok(passkeys)
}

pub(super) async fn select_credentials(connection: &mut PgConnection, user: UserId) -> Result<Vec<(PasskeyId, Value)>> {
    let rows = sqlx::query!(
        r#"select id as "id: PasskeyId", credential from passkeys where user_id = $1 order by id for update"#,
        user.uuid()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.credential)).collect())
}

/// A passkey that was just made.
pub(super) struct NewPasskey<'a> {
    pub id: PasskeyId,
    pub user: UserId,
    pub name: &'a str,
    pub credential_id: &'a [u8],
    pub credential: Value,
    pub created_at: DateTime<Utc>,
}

pub(super) async fn insert(connection: &mut PgConnection, new: NewPasskey<'_>) -> Result<()> {
    sqlx::query!(
        "insert into passkeys (id, user_id, name, credential_id, credential, created_at) values ($1, $2, $3, $4, $5, $6)",
        new.id.uuid(),
        new.user.uuid(),
        new.name,
        new.credential_id,
        new.credential,
        new.created_at,
    )
    .execute(connection)
    .await
    .on_constraint("passkeys_once", || Error::conflict("This passkey is set up already."))?;
    Ok(())
}

pub(super) async fn delete(connection: &mut PgConnection, user: UserId, id: PasskeyId) -> Result<Option<String>> {
    let name = sqlx::query_scalar!(
        "delete from passkeys where user_id = $1 and id = $2 returning name",
        user.uuid(),
        id.uuid()
    );
    Ok(name.fetch_optional(connection).await?)
}

pub(super) async fn update_used(
    connection: &mut PgConnection,
    id: PasskeyId,
    credential: Value,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("update passkeys set credential = $2, last_used_at = $3 where id = $1", id.uuid(), credential, now)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_ceremony(
    connection: &mut PgConnection,
    id: Uuid,
    user: Option<UserId>,
    purpose: Purpose,
    state: Value,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into passkey_ceremonies (id, user_id, purpose, state, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)",
        id,
        user.map(UserId::uuid),
        purpose.name(),
        state,
        now,
        expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes the oldest of a person, or of nobody yet, beyond the newest `most`.
pub(super) async fn trim_ceremonies(connection: &mut PgConnection, user: Option<UserId>, most: i64) -> Result<()> {
    sqlx::query!(
        "delete from passkey_ceremonies where id in
            (select id from passkey_ceremonies where user_id is not distinct from $1 order by id desc offset $2)",
        user.map(UserId::uuid),
        most,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes a ceremony of a person, or of nobody yet, so that it is answered once.
pub(super) async fn take_ceremony(
    connection: &mut PgConnection,
    id: Uuid,
    purpose: Purpose,
    user: Option<UserId>,
    now: DateTime<Utc>,
) -> Result<Option<Value>> {
    let state = sqlx::query_scalar!(
        "delete from passkey_ceremonies
         where id = $1 and purpose = $2 and user_id is not distinct from $3 and expires_at > $4 returning state",
        id,
        purpose.name(),
        user.map(UserId::uuid),
        now,
    );
    Ok(state.fetch_optional(connection).await?)
}
