//! The SQL of second factors.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Factors;
use crate::database::EncryptedColumn;
use crate::error::Result;
use crate::ids::{OrganisationId, UserId};
use crate::users::User;

/// The secrets of this room, for the rotation of keys.
pub const SECRETS: EncryptedColumn = EncryptedColumn {
    name: "totp_secrets.secret_encrypted",
    select: "select user_id, secret_encrypted from totp_secrets where user_id > $1 order by user_id limit $2 for update",
    update: "update totp_secrets set secret_encrypted = $2 where user_id = $1",
};

pub(super) async fn lock_user(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("select id from users where id = $1 for no key update", user.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(())
}

pub(super) async fn select_factors(connection: &mut PgConnection, user: UserId) -> Result<Factors> {
    let factors = sqlx::query_as!(
        Factors,
        r#"select exists (select 1 from totp_secrets where user_id = u.id and confirmed_at is not null) as "totp!",
                  (select count(*) from passkeys where user_id = u.id) as "passkeys!",
                  (select count(*) from recovery_codes where user_id = u.id and used_at is null) as "recovery_codes_left!",
                  (exists (select 1 from members m join organisations o on o.id = m.organisation_id where m.user_id = u.id and o.second_factor_required)
                   or (u.platform_role is not null and (select staff_second_factor from settings))) as "required!"
           from users u where u.id = $1"#,
        user.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(factors.unwrap_or(Factors { totp: false, passkeys: 0, recovery_codes_left: 0, required: false }))
}

/// The secret of a person's app.
pub(super) struct StoredTotp {
    pub secret_encrypted: String,
    pub confirmed: bool,
}

pub(super) async fn select_totp(connection: &mut PgConnection, user: UserId) -> Result<Option<StoredTotp>> {
    let found = sqlx::query_as!(
        StoredTotp,
        r#"select secret_encrypted, confirmed_at is not null as "confirmed!" from totp_secrets where user_id = $1"#,
        user.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}

/// Keeps a secret that no code has confirmed yet; answers whether one is confirmed already, which stays.
pub(super) async fn upsert_totp(
    connection: &mut PgConnection,
    user: UserId,
    secret_encrypted: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let written = sqlx::query!(
        "insert into totp_secrets (user_id, secret_encrypted, created_at) values ($1, $2, $3)
         on conflict (user_id) do update set secret_encrypted = $2, created_at = $3, last_step = 0 where totp_secrets.confirmed_at is null",
        user.uuid(),
        secret_encrypted,
        now,
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 0)
}

pub(super) async fn confirm_totp(connection: &mut PgConnection, user: UserId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update totp_secrets set confirmed_at = $2 where user_id = $1", user.uuid(), now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes the step of a code; answers whether it is later than that of every code before.
pub(super) async fn use_step(connection: &mut PgConnection, user: UserId, step: i64) -> Result<bool> {
    let used =
        sqlx::query!("update totp_secrets set last_step = $2 where user_id = $1 and last_step < $2", user.uuid(), step)
            .execute(connection)
            .await?;
    Ok(used.rows_affected() == 1)
}

pub(super) async fn delete_totp(connection: &mut PgConnection, user: UserId) -> Result<bool> {
    let deleted = sqlx::query!("delete from totp_secrets where user_id = $1", user.uuid()).execute(connection).await?;
    Ok(deleted.rows_affected() == 1)
}

pub(super) async fn delete_unconfirmed_totp(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from totp_secrets where user_id = $1 and confirmed_at is null", user.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn delete_ceremonies_of(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from passkey_ceremonies where user_id = $1", user.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn delete_passkeys(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from passkeys where user_id = $1", user.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn delete_recovery_codes(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from recovery_codes where user_id = $1", user.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn insert_recovery_codes(
    connection: &mut PgConnection,
    user: UserId,
    hashes: &[Vec<u8>],
    now: DateTime<Utc>,
) -> Result<()> {
    let ids: Vec<Uuid> = hashes.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "insert into recovery_codes (id, user_id, code_hash, created_at) select id, $2, code_hash, $4 from unnest($1::uuid[], $3::bytea[]) as new (id, code_hash)",
        &ids,
        user.uuid(),
        hashes,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Uses a recovery code up; answers whether it was one, and how many are left.
pub(super) async fn use_recovery_code(
    connection: &mut PgConnection,
    user: UserId,
    hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<i64>> {
    let used = sqlx::query!(
        "update recovery_codes set used_at = $3 where user_id = $1 and code_hash = $2 and used_at is null",
        user.uuid(),
        hash,
        now,
    )
    .execute(&mut *connection)
    .await?;
    if used.rows_affected() == 0 {
        return Ok(None);
    }
    let left = sqlx::query_scalar!(
        r#"select count(*) as "left!" from recovery_codes where user_id = $1 and used_at is null"#,
        user.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(left))
}

/// Wrong codes of a person since his last right one.
pub(super) struct Tries {
    pub failures: i32,
    pub failed_at: DateTime<Utc>,
    pub blocked_until: Option<DateTime<Utc>>,
}

/// Locks them, so that codes of one person are looked at one after the other.
pub(super) async fn lock_tries(connection: &mut PgConnection, user: UserId, now: DateTime<Utc>) -> Result<Tries> {
    sqlx::query!(
        "insert into second_factor_tries (user_id, failures, failed_at) values ($1, 0, $2) on conflict (user_id) do nothing",
        user.uuid(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    let tries = sqlx::query_as!(
        Tries,
        "select failures, failed_at, blocked_until from second_factor_tries where user_id = $1 for update",
        user.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(tries)
}

pub(super) async fn update_tries(connection: &mut PgConnection, user: UserId, tries: &Tries) -> Result<()> {
    sqlx::query!(
        "update second_factor_tries set failures = $2, failed_at = $3, blocked_until = $4 where user_id = $1",
        user.uuid(),
        tries.failures,
        tries.failed_at,
        tries.blocked_until,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Answers false when all logins of the person were ended since he gave his password, or he was banned.
pub(super) async fn insert_pending(
    connection: &mut PgConnection,
    user: &User,
    token_hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into pending_logins (id, user_id, token_hash, created_at, expires_at)
         select $1, u.id, $3, $4, $5 from users u where u.id = $2 and u.epoch = $6 and u.state <> 'banned' for share",
        Uuid::now_v7(),
        user.id.uuid(),
        token_hash,
        now,
        expires_at,
        user.epoch,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

/// Removes what has expired of a person, and what is more than `most` of the newest.
pub(super) async fn trim_pending(
    connection: &mut PgConnection,
    user: UserId,
    now: DateTime<Utc>,
    most: i64,
) -> Result<()> {
    sqlx::query!(
        "delete from pending_logins where user_id = $1 and (expires_at <= $2 or id not in
            (select id from pending_logins where user_id = $1 order by id desc limit $3))",
        user.uuid(),
        now,
        most,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn delete_pending_of(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from pending_logins where user_id = $1", user.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn select_pending(pool: &PgPool, token_hash: &[u8], now: DateTime<Utc>) -> Result<Option<UserId>> {
    let user = sqlx::query_scalar!(
        r#"select user_id as "user: UserId" from pending_logins where token_hash = $1 and expires_at > $2"#,
        token_hash,
        now,
    )
    .fetch_optional(pool)
    .await?;
    Ok(user)
}

/// Locks a login that waits, so that it is finished once.
pub(super) async fn lock_pending(
    connection: &mut PgConnection,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<(Uuid, UserId)>> {
    let row = sqlx::query!(
        r#"select id, user_id as "user: UserId" from pending_logins where token_hash = $1 and expires_at > $2 for update"#,
        token_hash,
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.id, row.user)))
}

pub(super) async fn delete_pending(connection: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query!("delete from pending_logins where id = $1", id).execute(connection).await?;
    Ok(())
}

pub(super) async fn delete_expired(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    let pending =
        sqlx::query!("delete from pending_logins where expires_at <= $1", now).execute(pool).await?.rows_affected();
    let ceremonies =
        sqlx::query!("delete from passkey_ceremonies where expires_at <= $1", now).execute(pool).await?.rows_affected();
    Ok(pending + ceremonies)
}

/// Sets what an organisation demands; answers with its name when that is a change.
pub(super) async fn set_demand(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    required: bool,
) -> Result<Option<String>> {
    let name = sqlx::query_scalar!(
        "update organisations set second_factor_required = $2 where id = $1 and second_factor_required <> $2 returning name",
        organisation.uuid(),
        required,
    )
    .fetch_optional(connection)
    .await?;
    Ok(name)
}

pub(super) async fn select_demand(pool: &PgPool, organisation: OrganisationId) -> Result<bool> {
    let required =
        sqlx::query_scalar!("select second_factor_required from organisations where id = $1", organisation.uuid())
            .fetch_optional(pool)
            .await?;
    Ok(required.unwrap_or(false))
}
