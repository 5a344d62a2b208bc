//! The SQL of notices. Every statement names the organisation.

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::{Notice, Notification, Severity};
use crate::error::Result;
use crate::ids::{NotificationId, OrganisationId};

pub(super) async fn insert(
    connection: &mut PgConnection,
    id: NotificationId,
    organisation: OrganisationId,
    notice: &Notice,
    now: DateTime<Utc>,
) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into notifications (id, organisation_id, key, kind, severity, title, body, link, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict on constraint notifications_key_once do nothing",
        id.uuid(),
        organisation.uuid(),
        notice.key,
        notice.kind,
        notice.severity.name(),
        notice.title,
        notice.body,
        notice.link,
        now,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn update_withdrawn(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key_prefix: &str,
    now: DateTime<Utc>,
) -> Result<u64> {
    // The last character there is ends the range of what begins so.
    let updated = sqlx::query!(
        "update notifications set withdrawn_at = $3
         where organisation_id = $1 and key >= $2 and key < $2 || chr(1114111) and withdrawn_at is null",
        organisation.uuid(),
        key_prefix,
        now,
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

struct Row {
    id: NotificationId,
    kind: String,
    severity: String,
    title: String,
    body: String,
    link: Option<String>,
    created_at: DateTime<Utc>,
    read_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Notification {
    type Error = crate::error::Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            kind: row.kind,
            severity: Severity::parse(&row.severity).context("a notice has an unknown severity")?,
            title: row.title,
            body: row.body,
            link: row.link,
            created_at: row.created_at,
            read_at: row.read_at,
        })
    }
}

pub(super) async fn select(
    pool: &PgPool,
    organisation: OrganisationId,
    after: Option<NotificationId>,
    limit: i64,
) -> Result<Vec<Notification>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: NotificationId", kind, severity, title, body, link, created_at, read_at from notifications
           where organisation_id = $1 and withdrawn_at is null and ($2::uuid is null or id < $2)
           order by id desc limit $3"#,
        organisation.uuid(),
        after.map(NotificationId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Notification::try_from).collect()
}

pub(super) async fn select_urgent(
    pool: &PgPool,
    organisation: OrganisationId,
    limit: i64,
) -> Result<Vec<Notification>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: NotificationId", kind, severity, title, body, link, created_at, read_at from notifications
           where organisation_id = $1 and withdrawn_at is null and read_at is null and severity = 'urgent'
           order by id desc limit $2"#,
        organisation.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Notification::try_from).collect()
}

pub(super) async fn count_unread(pool: &PgPool, organisation: OrganisationId) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from notifications where organisation_id = $1 and withdrawn_at is null and read_at is null"#,
        organisation.uuid(),
    );
    Ok(count.fetch_one(pool).await?)
}

pub(super) struct Found {
    pub title: String,
    pub is_read: bool,
}

pub(super) async fn lock(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: NotificationId,
) -> Result<Option<Found>> {
    let found = sqlx::query_as!(
        Found,
        r#"select title, read_at is not null as "is_read!" from notifications
           where organisation_id = $1 and id = $2 and withdrawn_at is null for update"#,
        organisation.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}

pub(super) async fn update_read(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    only: Option<NotificationId>,
    now: DateTime<Utc>,
) -> Result<u64> {
    let updated = sqlx::query!(
        "update notifications set read_at = $3
         where organisation_id = $1 and ($2::uuid is null or id = $2) and withdrawn_at is null and read_at is null",
        organisation.uuid(),
        only.map(NotificationId::uuid),
        now,
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}
