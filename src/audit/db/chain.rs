//! The SQL of the chain.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::Result;

/// Everything that an event says, as it is stored.
pub struct Row {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub organisation_id: Option<Uuid>,
    pub actor_kind: String,
    pub actor_user_id: Option<Uuid>,
    pub actor: String,
    pub actor_key_id: Option<Uuid>,
    pub actor_key: Option<String>,
    pub on_behalf_user_id: Option<Uuid>,
    pub on_behalf: Option<String>,
    pub event: String,
    pub subject_kind: String,
    pub subject_id: String,
    pub subject_name: String,
    /// As PostgreSQL writes it, so that not a digit is lost by reading it.
    pub detail: String,
    pub changes: Option<String>,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

/// A day's chain as it stands.
#[derive(Debug, Clone)]
pub struct Head {
    pub day: NaiveDate,
    pub began: Vec<u8>,
    pub events: i64,
    pub hash: Vec<u8>,
}

/// A link with the event that it is of, if that is there.
pub struct Link {
    pub day: NaiveDate,
    pub sequence: i64,
    pub event_id: Uuid,
    pub at: DateTime<Utc>,
    pub hash: Vec<u8>,
    pub row: Option<Row>,
}

/// Nobody else seals until the transaction ends. False when somebody does.
pub async fn try_lock(connection: &mut PgConnection) -> Result<bool> {
    let locked = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('audit_seals')) as "locked!""#);
    Ok(locked.fetch_one(connection).await?)
}

/// As [`try_lock`], waiting for who does.
pub async fn lock(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('audit_seals'))").execute(connection).await?;
    Ok(())
}

/// The head of the last day.
pub async fn select_last_head(connection: &mut PgConnection) -> Result<Option<Head>> {
    let head = sqlx::query_as!(Head, "select day, began, events, hash from audit_days order by day desc limit 1");
    Ok(head.fetch_optional(connection).await?)
}

/// The oldest events that wait for their link.
pub async fn select_unsealed(connection: &mut PgConnection, limit: i64) -> Result<Vec<Row>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select e.id, e.at, e.organisation_id, e.actor_kind, e.actor_user_id, e.actor, e.actor_key_id, e.actor_key, e.on_behalf_user_id, e.on_behalf,
                  e.event, e.subject_kind, e.subject_id, e.subject_name, e.detail::text as "detail!", e.changes::text, e.address, e.user_agent, e.request_id
           from (select at, event_id from audit_unsealed order by at, event_id limit $1) u
           join audit_events e on e.id = u.event_id and e.at = u.at
           order by e.at, e.id"#,
        limit,
    );
    Ok(rows.fetch_all(connection).await?)
}

/// The links of events, in order, in columns.
#[derive(Default)]
pub struct NewLinks {
    pub days: Vec<NaiveDate>,
    pub sequences: Vec<i64>,
    pub events: Vec<Uuid>,
    pub times: Vec<DateTime<Utc>>,
    pub hashes: Vec<Vec<u8>>,
}

pub async fn insert_links(connection: &mut PgConnection, new: &NewLinks, heads: &[Head]) -> Result<()> {
    sqlx::query!(
        "insert into audit_seals (day, sequence, event_id, at, hash)
         select * from unnest($1::date[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::bytea[])",
        &new.days,
        &new.sequences,
        &new.events,
        &new.times,
        &new.hashes,
    )
    .execute(&mut *connection)
    .await?;
    for head in heads {
        sqlx::query!(
            "insert into audit_days (day, began, events, hash) values ($1, $2, $3, $4)
             on conflict (day) do update set events = excluded.events, hash = excluded.hash",
            head.day,
            head.began,
            head.events,
            head.hash,
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        "delete from audit_unsealed u using unnest($1::timestamptz[], $2::uuid[]) done (at, event_id) where u.at = done.at and u.event_id = done.event_id",
        &new.times,
        &new.events,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The head of the last day before this one.
pub async fn select_head_before(connection: &mut PgConnection, day: NaiveDate) -> Result<Option<Head>> {
    let head = sqlx::query_as!(
        Head,
        "select day, began, events, hash from audit_days where day < $1 order by day desc limit 1",
        day
    );
    Ok(head.fetch_optional(connection).await?)
}

/// The first head from a day on, until and with another.
pub async fn select_head_from(connection: &mut PgConnection, from: NaiveDate, to: NaiveDate) -> Result<Option<Head>> {
    let head = sqlx::query_as!(
        Head,
        "select day, began, events, hash from audit_days where day >= $1 and day <= $2 order by day limit 1",
        from,
        to,
    );
    Ok(head.fetch_optional(connection).await?)
}

/// The next links of a day, with their events.
pub async fn select_links(connection: &mut PgConnection, day: NaiveDate, after: i64, limit: i64) -> Result<Vec<Link>> {
    let rows = sqlx::query!(
        r#"select s.sequence, s.event_id, s.at as sealed_at, s.hash,
                  e.id as "id?", e.at as "at?", e.organisation_id, e.actor_kind as "actor_kind?", e.actor_user_id, e.actor as "actor?", e.actor_key_id, e.actor_key,
                  e.on_behalf_user_id, e.on_behalf, e.event as "event?", e.subject_kind as "subject_kind?", e.subject_id as "subject_id?", e.subject_name as "subject_name?",
                  e.detail::text as "detail?", e.changes::text as "changes?", e.address, e.user_agent, e.request_id
           from (select * from audit_seals where day = $1 and sequence > $2 order by sequence limit $3) s
           left join audit_events e on e.id = s.event_id and e.at = s.at
           order by s.sequence"#,
        day,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let links = rows.into_iter().map(|row| {
        let found = match (row.id, row.at, row.actor_kind, row.actor, row.event, row.subject_kind) {
            (Some(id), Some(at), Some(actor_kind), Some(actor), Some(event), Some(subject_kind)) => Some(Row {
                id,
                at,
                organisation_id: row.organisation_id,
                actor_kind,
                actor_user_id: row.actor_user_id,
                actor,
                actor_key_id: row.actor_key_id,
                actor_key: row.actor_key,
                on_behalf_user_id: row.on_behalf_user_id,
                on_behalf: row.on_behalf,
                event,
                subject_kind,
                subject_id: row.subject_id.unwrap_or_default(),
                subject_name: row.subject_name.unwrap_or_default(),
                detail: row.detail.unwrap_or_default(),
                changes: row.changes,
                address: row.address,
                user_agent: row.user_agent,
                request_id: row.request_id,
            }),
            _ => None,
        };
        Link { day, sequence: row.sequence, event_id: row.event_id, at: row.sealed_at, hash: row.hash, row: found }
    });
    Ok(links.collect())
}

/// A link of a day that has no head.
pub async fn select_headless(
    connection: &mut PgConnection,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Option<NaiveDate>> {
    let day = sqlx::query_scalar!(
        "select s.day from audit_seals s where s.day >= $1 and s.day <= $2
         and not exists (select from audit_days d where d.day = s.day) order by s.day limit 1",
        from,
        to,
    );
    Ok(day.fetch_optional(connection).await?)
}

/// An event that neither has a link nor waits for one.
pub async fn select_unlinked(
    connection: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<(Uuid, DateTime<Utc>)>> {
    let found = sqlx::query!(
        "select e.id, e.at from audit_events e
         left join audit_seals s on s.event_id = e.id and s.at = e.at
         left join audit_unsealed u on u.event_id = e.id and u.at = e.at
         where e.at >= $1 and e.at < $2 and s.event_id is null and u.event_id is null order by e.at, e.id limit 1",
        from,
        to,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|row| (row.id, row.at)))
}

/// An event that waits for its link and is not there.
pub async fn select_lost(connection: &mut PgConnection) -> Result<Option<(Uuid, DateTime<Utc>)>> {
    let found = sqlx::query!(
        "select u.event_id, u.at from audit_unsealed u
         where not exists (select from audit_events e where e.id = u.event_id and e.at = u.at) order by u.at, u.event_id limit 1",
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|row| (row.event_id, row.at)))
}

/// The months whose events were dropped.
pub async fn select_dropped(connection: &mut PgConnection) -> Result<Vec<(NaiveDate, DateTime<Utc>)>> {
    let months = sqlx::query!("select month, dropped_at from audit_dropped_months order by month");
    Ok(months.fetch_all(connection).await?.into_iter().map(|row| (row.month, row.dropped_at)).collect())
}

/// Makes the partitions of a month if they are not there. Whoever holds the table up is waited for no longer than two seconds.
pub async fn ensure_partition(pool: &PgPool, month: NaiveDate) -> Result<bool> {
    let mut transaction = pool.begin().await?;
    sqlx::query!("set local lock_timeout = '2s'").execute(&mut *transaction).await?;
    let made = sqlx::query_scalar!(r#"select ensure_audit_partition($1) as "made!""#, month);
    let made = made.fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(made)
}

/// The months that have partitions.
pub async fn select_months(pool: &PgPool) -> Result<Vec<NaiveDate>> {
    let months = sqlx::query_scalar!(
        r#"select to_date(right(c.relname, 7), 'YYYY_MM') as "month!" from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'audit_events'::regclass and c.relname ~ '^audit_events_\d{4}_\d{2}$' order by 1"#
    );
    Ok(months.fetch_all(pool).await?)
}

/// How many events a month holds.
pub async fn count_between(connection: &mut PgConnection, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<i64> {
    let count =
        sqlx::query_scalar!(r#"select count(*) as "count!" from audit_events where at >= $1 and at < $2"#, from, to);
    Ok(count.fetch_one(connection).await?)
}

/// Drops a month, and says whether it was there.
pub async fn drop_partition(connection: &mut PgConnection, month: NaiveDate, now: DateTime<Utc>) -> Result<bool> {
    sqlx::query!("set local lock_timeout = '2s'").execute(&mut *connection).await?;
    let dropped = sqlx::query_scalar!(r#"select drop_audit_partition($1, $2) as "dropped!""#, month, now);
    Ok(dropped.fetch_one(connection).await?)
}
