//! The SQL of counted tries and of known places.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::ids::UserId;
use crate::users::limits::Count;

struct Row {
    key: Vec<u8>,
    failures: i32,
    window_ends_at: DateTime<Utc>,
    level: i32,
    blocked_until: Option<DateTime<Utc>>,
    forget_at: DateTime<Utc>,
}

fn by_key(rows: Vec<Row>) -> HashMap<Vec<u8>, Count> {
    let count = |row: &Row| Count {
        failures: row.failures,
        window_ends_at: row.window_ends_at,
        level: row.level,
        blocked_until: row.blocked_until,
        forget_at: row.forget_at,
    };
    rows.into_iter().map(|row| (row.key.clone(), count(&row))).collect()
}

/// What is not forgotten.
pub(in crate::users) async fn select(
    pool: &PgPool,
    keys: &[Vec<u8>],
    now: DateTime<Utc>,
) -> Result<HashMap<Vec<u8>, Count>> {
    let rows = sqlx::query_as!(
        Row,
        "select key, failures, window_ends_at, level, blocked_until, forget_at from login_limits where key = any($1) and forget_at > $2",
        keys,
        now,
    )
    .fetch_all(pool)
    .await?;
    Ok(by_key(rows))
}

/// Makes the rows that are missing and locks all, in the order of their keys.
pub(in crate::users) async fn lock(
    connection: &mut PgConnection,
    keys: &[Vec<u8>],
    now: DateTime<Utc>,
) -> Result<HashMap<Vec<u8>, Count>> {
    sqlx::query!(
        "insert into login_limits (key, failures, window_ends_at, level, forget_at)
         select key, 0, $2, 0, $2 from unnest($1::bytea[]) as wanted(key) order by key on conflict do nothing",
        keys,
        now,
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select key, failures, window_ends_at, level, blocked_until, forget_at from login_limits where key = any($1) order by key for update",
        keys,
    )
    .fetch_all(connection)
    .await?;
    Ok(by_key(rows))
}

pub(in crate::users) async fn update(connection: &mut PgConnection, key: &[u8], count: &Count) -> Result<()> {
    sqlx::query!(
        "update login_limits set failures = $2, window_ends_at = $3, level = $4, blocked_until = $5, forget_at = $6 where key = $1",
        key,
        count.failures,
        count.window_ends_at,
        count.level,
        count.blocked_until,
        count.forget_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Begins to count under a key, unless that was done already.
pub(in crate::users) async fn insert(
    connection: &mut PgConnection,
    key: &[u8],
    count: &Count,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into login_limits as known (key, failures, window_ends_at, level, blocked_until, forget_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (key) do update set failures = excluded.failures, window_ends_at = excluded.window_ends_at, level = excluded.level,
             blocked_until = excluded.blocked_until, forget_at = excluded.forget_at where known.forget_at <= $7",
        key,
        count.failures,
        count.window_ends_at,
        count.level,
        count.blocked_until,
        count.forget_at,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::users) async fn delete(pool: &PgPool, key: &[u8]) -> Result<()> {
    sqlx::query!("delete from login_limits where key = $1", key).execute(pool).await?;
    Ok(())
}

pub(in crate::users) async fn delete_forgotten(
    pool: &PgPool,
    now: DateTime<Utc>,
    known_before: DateTime<Utc>,
) -> Result<u64> {
    let counts = sqlx::query!("delete from login_limits where forget_at <= $1", now).execute(pool).await?;
    let places = sqlx::query!("delete from known_places where last_login_at < $1", known_before).execute(pool).await?;
    Ok(counts.rows_affected() + places.rows_affected())
}

/// Remembers that somebody logged in from there; written at most once a day.
pub(in crate::users) async fn remember(
    connection: &mut PgConnection,
    user: UserId,
    place: &[u8],
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into known_places as known (user_id, place, last_login_at) values ($1, $2, $3)
         on conflict (user_id, place) do update set last_login_at = excluded.last_login_at
             where known.last_login_at < excluded.last_login_at - interval '1 day'",
        user.uuid(),
        place,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether the person of an address has logged in with a device before; no, when there is no such person.
pub(in crate::users) async fn select_knows_device(pool: &PgPool, email: &str, device: &[u8]) -> Result<bool> {
    let known = sqlx::query_scalar!(
        r#"select exists (select 1 from users u join known_places p on p.user_id = u.id
                          where lower(u.email) = lower($1) and p.place = $2) as "known!""#,
        email,
        device,
    );
    Ok(known.fetch_one(pool).await?)
}

pub(in crate::users) async fn forget_places(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from known_places where user_id = $1", user.uuid()).execute(connection).await?;
    Ok(())
}
