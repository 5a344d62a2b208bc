//! The SQL of sessions and refresh tokens.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Session;
use crate::error::Result;
use crate::ids::{OrganisationId, SessionId, UserId};
use crate::organisations::Organisation;
use crate::users::{PlatformRole, User};

pub(super) struct NewSession {
    pub id: SessionId,
    pub user: UserId,
    pub organisation: OrganisationId,
    pub token_hash: Vec<u8>,
    pub csrf_token: String,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub(super) async fn insert_session(connection: &mut PgConnection, new: NewSession) -> Result<()> {
    sqlx::query!(
        "insert into sessions (id, user_id, organisation_id, token_hash, csrf_token, address, user_agent, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new.id.uuid(),
        new.user.uuid(),
        new.organisation.uuid(),
        new.token_hash,
        new.csrf_token,
        new.address,
        new.user_agent,
        new.created_at,
        new.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One query for who is asking: session, person, and that he still belongs to the organisation.
pub(super) async fn select_session(pool: &PgPool, token_hash: &[u8], now: DateTime<Utc>) -> Result<Option<Session>> {
    let row = sqlx::query!(
        r#"select s.id as "id: SessionId", s.csrf_token, u.id as "user_id: UserId", u.number as user_number, u.email, u.name as user_name, u.platform_role,
                  o.id as "organisation_id: OrganisationId", o.number, o.name, o.created_at
           from sessions s
           join users u on u.id = s.user_id
           join members m on m.user_id = s.user_id and m.organisation_id = s.organisation_id
           join organisations o on o.id = s.organisation_id
           where s.token_hash = $1 and s.expires_at > $2"#,
        token_hash,
        now,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Session {
        id: row.id,
        csrf_token: row.csrf_token,
        user: User {
            id: row.user_id,
            number: row.user_number,
            email: row.email,
            name: row.user_name,
            platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
        },
        organisation: Organisation {
            id: row.organisation_id,
            number: row.number,
            name: row.name,
            created_at: row.created_at,
        },
    }))
}

pub(super) async fn delete_session(connection: &mut PgConnection, id: SessionId) -> Result<()> {
    sqlx::query!("delete from sessions where id = $1", id.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) struct FoundRefreshToken {
    pub id: Uuid,
    pub family: Uuid,
    pub user: UserId,
    pub expires_at: DateTime<Utc>,
    pub used: bool,
    pub revoked: bool,
}

pub(super) async fn lock_refresh_token(
    connection: &mut PgConnection,
    token_hash: &[u8],
) -> Result<Option<FoundRefreshToken>> {
    let found = sqlx::query_as!(
        FoundRefreshToken,
        r#"select id, family, user_id as "user: UserId", expires_at, used_at is not null as "used!", revoked_at is not null as "revoked!"
           from refresh_tokens where token_hash = $1 for update"#,
        token_hash,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}

pub(super) async fn mark_used(connection: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update refresh_tokens set used_at = $2 where id = $1", id, now).execute(connection).await?;
    Ok(())
}

pub(super) async fn revoke_family(connection: &mut PgConnection, family: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update refresh_tokens set revoked_at = $2 where family = $1 and revoked_at is null", family, now)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_refresh_token(
    connection: &mut PgConnection,
    user: UserId,
    family: Uuid,
    token_hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_tokens (id, family, user_id, token_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)",
        Uuid::now_v7(),
        family,
        user.uuid(),
        token_hash,
        now,
        expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The person of an access token, unless the token's family was ended.
pub(super) async fn select_user_of_family(pool: &PgPool, user: UserId, family: Uuid) -> Result<Option<User>> {
    let row = sqlx::query!(
        "select number, email, name, platform_role from users
         where id = $1 and exists (select 1 from refresh_tokens where family = $2 and user_id = $1 and revoked_at is null)",
        user.uuid(),
        family,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| User {
        id: user,
        number: row.number,
        email: row.email,
        name: row.name,
        platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
    }))
}

pub(super) async fn delete_expired(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    let sessions =
        sqlx::query!("delete from sessions where expires_at <= $1", now).execute(pool).await?.rows_affected();
    let tokens =
        sqlx::query!("delete from refresh_tokens where expires_at <= $1", now).execute(pool).await?.rows_affected();
    Ok(sessions + tokens)
}
