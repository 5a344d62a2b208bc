//! The SQL of mails. Every write of a carrier names its lease.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::send::{Claimed, Vain};
use super::transport::Letter;
use super::{Mail, NewMail, Status, Trouble};
use crate::database::EncryptedColumn;
use crate::error::Result;
use crate::ids::{MailId, OrganisationId, UserId};

/// Where what only a recipient may read is kept, until the mail has left.
pub const SECRETS: EncryptedColumn = EncryptedColumn {
    name: "mails.secret_encrypted",
    select: "select id, secret_encrypted from mails where id > $1 and secret_encrypted is not null order by id limit $2 for update",
    update: "update mails set secret_encrypted = $2 where id = $1",
};

/// Which mails to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this one.
    pub id: Option<MailId>,
    /// Only those that stand here.
    pub status: Option<Status>,
    /// Only those before this one.
    pub after: Option<MailId>,
}

/// How many mails stand where.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Waiting for a try.
    pub pending: i64,
    /// Taken by the mail server.
    pub sent: i64,
    /// Refused.
    pub failed: i64,
    /// Without a server.
    pub unsent: i64,
    /// Withdrawn.
    pub withdrawn: i64,
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    id: MailId,
    new: &NewMail,
    now: DateTime<Utc>,
) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into mails (id, key, kind, organisation_id, user_id, to_address, to_name, subject, body, created_at, secret_encrypted)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict on constraint mails_key_once do nothing",
        id.uuid(),
        new.key,
        new.kind,
        new.organisation.map(OrganisationId::uuid),
        new.to.user.map(UserId::uuid),
        new.to.address,
        new.to.name,
        new.subject,
        new.body,
        now,
        new.secret,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn update_withdrawn(
    connection: &mut PgConnection,
    key_prefix: &str,
    now: DateTime<Utc>,
) -> Result<u64> {
    // The last character there is ends the range of what begins so.
    let updated = sqlx::query!(
        "update mails set status = 'withdrawn', withdrawn_at = $2, secret_encrypted = null
         where key >= $1 and key < $1 || chr(1114111) and status in ('pending', 'failed', 'unsent')",
        key_prefix,
        now,
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

pub(super) async fn select_delivered(
    connection: &mut PgConnection,
    keys: &[String],
) -> Result<HashMap<String, DateTime<Utc>>> {
    let rows =
        sqlx::query!(r#"select key, sent_at as "sent_at!" from mails where key = any($1) and status = 'sent'"#, keys)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.sent_at)).collect())
}

pub(super) async fn select_first_delivered(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    stems: &[String],
) -> Result<HashMap<String, DateTime<Utc>>> {
    let rows = sqlx::query!(
        r#"select wanted.stem as "stem!", min(m.sent_at) as "sent_at!"
           from unnest($2::text[]) as wanted(stem)
           join mails m on m.organisation_id = $1 and m.status = 'sent' and m.key = wanted.stem || ':' || m.user_id::text
           group by wanted.stem"#,
        organisation.uuid(),
        stems,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.stem, row.sent_at)).collect())
}

/// Claims what is due and not leased, and counts the attempt before it is made.
pub(super) async fn claim(
    pool: &PgPool,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Claimed>> {
    let rows = sqlx::query!(
        r#"with due as (
               select id from mails
               where status = 'pending' and (next_attempt_at is null or next_attempt_at <= $1)
                 and (leased_until is null or leased_until <= $1)
               order by next_attempt_at nulls first, id limit $3 for update skip locked)
           update mails m set leased_until = $2, lease = gen_random_uuid(), attempts = m.attempts + 1
           from due where m.id = due.id
           returning m.id as "id: MailId", m.lease as "lease!", m.attempts, m.deferrals, m.to_address, m.to_name, m.subject, m.body,
                     m.secret_encrypted"#,
        now,
        leased_until,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let claimed = rows.into_iter().map(|row| Claimed {
        letter: Letter {
            id: row.id,
            to_address: row.to_address,
            to_name: row.to_name,
            subject: row.subject,
            body: row.body,
        },
        secret: row.secret_encrypted,
        lease: row.lease,
        attempts: row.attempts,
        deferrals: row.deferrals,
    });
    Ok(claimed.collect())
}

pub(super) async fn select_next_due(pool: &PgPool) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "select min(coalesce(greatest(next_attempt_at, leased_until), to_timestamp(0))) from mails where status = 'pending'"
    )
    .fetch_one(pool)
    .await?)
}

/// What left is sent, even when it was withdrawn while it was on the wire. What only the recipient may read goes with it, unless
/// the mail stayed here.
pub(super) async fn update_sent(
    pool: &PgPool,
    id: MailId,
    lease: Uuid,
    is_kept: bool,
    now: DateTime<Utc>,
) -> Result<bool> {
    let updated = sqlx::query!(
        "update mails set status = 'sent', sent_at = $3, error = null, next_attempt_at = null, leased_until = null, lease = null,
                          secret_encrypted = case when $4 then secret_encrypted end
         where id = $1 and lease = $2",
        id.uuid(),
        lease,
        now,
        is_kept,
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn update_vain(pool: &PgPool, id: MailId, lease: Uuid, vain: &Vain) -> Result<()> {
    sqlx::query!(
        "update mails set status = case when status = 'pending' and $4::timestamptz is null then 'failed' else status end,
                          deferrals = deferrals + $5, error = $3, next_attempt_at = $4, leased_until = null, lease = null
         where id = $1 and lease = $2",
        id.uuid(),
        lease,
        vain.error,
        vain.again_at,
        i32::from(vain.is_deferral),
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn update_unsent(pool: &PgPool, error: &str) -> Result<u64> {
    let updated = sqlx::query!(
        "update mails set status = 'unsent', error = $1, next_attempt_at = null, leased_until = null, lease = null where status = 'pending'",
        error
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected())
}

pub(super) async fn update_retried(connection: &mut PgConnection, id: MailId) -> Result<bool> {
    let updated = sqlx::query!(
        "update mails set status = 'pending', attempts = 0, deferrals = 0, error = null, next_attempt_at = null
         where id = $1 and status in ('failed', 'unsent')",
        id.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn select(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<Mail>> {
    let rows = sqlx::query!(
        r#"select m.id as "id: MailId", m.key, m.kind, m.organisation_id as "organisation_id: OrganisationId",
                  o.name as "organisation_name?", m.to_address, m.to_name, m.subject, m.body, m.status, m.attempts,
                  m.next_attempt_at, m.error, m.created_at, m.sent_at, m.withdrawn_at, m.secret_encrypted
           from mails m left join organisations o on o.id = m.organisation_id
           where ($1::uuid is null or m.id = $1) and ($2::text is null or m.status = $2) and ($3::uuid is null or m.id < $3)
           order by m.id desc limit $4"#,
        filter.id.map(MailId::uuid),
        filter.status.map(Status::name),
        filter.after.map(MailId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Mail {
                id: row.id,
                key: row.key,
                kind: row.kind,
                organisation_id: row.organisation_id,
                organisation_name: row.organisation_name,
                to_address: row.to_address,
                to_name: row.to_name,
                subject: row.subject,
                body: row.body,
                status: Status::parse(&row.status).context("a mail has an unknown status")?,
                attempts: row.attempts,
                next_attempt_at: row.next_attempt_at,
                error: row.error,
                created_at: row.created_at,
                sent_at: row.sent_at,
                withdrawn_at: row.withdrawn_at,
                secret: row.secret_encrypted,
            })
        })
        .collect()
}

pub(super) async fn select_counts(pool: &PgPool) -> Result<Counts> {
    let counts = sqlx::query_as!(
        Counts,
        r#"select count(*) filter (where status = 'pending') as "pending!", count(*) filter (where status = 'sent') as "sent!",
                  count(*) filter (where status = 'failed') as "failed!", count(*) filter (where status = 'unsent') as "unsent!",
                  count(*) filter (where status = 'withdrawn') as "withdrawn!"
           from mails"#
    )
    .fetch_one(pool)
    .await?;
    Ok(counts)
}

pub(super) async fn select_trouble(pool: &PgPool) -> Result<Trouble> {
    let trouble = sqlx::query_as!(
        Trouble,
        r#"select count(*) filter (where status = 'failed') as "failed!", count(*) filter (where status = 'unsent') as "unsent!",
                  count(*) filter (where status = 'pending') as "waiting!", min(created_at) as since,
                  (array_agg(error order by id desc))[1] as words
           from mails where status in ('failed', 'unsent') or (status = 'pending' and error is not null)"#
    )
    .fetch_one(pool)
    .await?;
    Ok(trouble)
}
