//! The SQL of a person's own list of where he is logged in.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgQueryResult;
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::ids::{SessionId, UserId};

pub(in crate::sessions) struct Row {
    pub id: SessionId,
    pub is_browser: bool,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
}

pub(in crate::sessions) async fn select(
    pool: &PgPool,
    user: UserId,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Row>> {
    Ok(sqlx::query_as!(
        Row,
        r#"select id as "id!: SessionId", is_browser as "is_browser!", address, user_agent, created_at as "created_at!", last_seen_at as "last_seen_at!"
           from (select id, true as is_browser, address, user_agent, created_at, coalesce(last_seen_at, created_at) as last_seen_at
                 from sessions where user_id = $1 and expires_at > $2
                 union all
                 select id, false, address, user_agent, created_at, last_seen_at
                 from token_families where user_id = $1 and ended_at is null and expires_at > $2) logins
           order by last_seen_at desc, id desc limit $3"#,
        user.uuid(),
        now,
        limit,
    )
    .fetch_all(pool)
    .await?)
}

/// Ends one, of either kind. Answers with what it called itself, when there was one.
pub(in crate::sessions) async fn end_one(
    connection: &mut PgConnection,
    user: UserId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<(bool, Option<String>)>> {
    let browser = sqlx::query!(
        "delete from sessions where id = $1 and user_id = $2 and expires_at > $3 returning user_agent",
        id.uuid(),
        user.uuid(),
        now
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(browser) = browser {
        return Ok(Some((true, browser.user_agent)));
    }
    let program = sqlx::query!(
        "update token_families set ended_at = $3 where id = $1 and user_id = $2 and ended_at is null and expires_at > $3 returning user_agent",
        id.uuid(),
        user.uuid(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(program.map(|program| (false, program.user_agent)))
}

/// Ends all but one, and says how many.
pub(in crate::sessions) async fn end_all(
    connection: &mut PgConnection,
    user: UserId,
    keep: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<u64> {
    let keep = keep.map(SessionId::uuid);
    let browsers =
        sqlx::query!("delete from sessions where user_id = $1 and id is distinct from $2", user.uuid(), keep)
            .execute(&mut *connection)
            .await?;
    let programs = sqlx::query!(
        "update token_families set ended_at = $3 where user_id = $1 and id is distinct from $2 and ended_at is null",
        user.uuid(),
        keep,
        now,
    )
    .execute(connection)
    .await?;
    Ok([browsers, programs].iter().map(PgQueryResult::rows_affected).sum())
}
