//! The SQL of notices and of ends of the credit.

use std::str::FromStr;

use anyhow::Context;
use billing::{Given, Money, Notice};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{DeletionNotice, Exhausted, Waiting};
use crate::error::Result;
use crate::ids::{OrganisationId, VmId};
use crate::ledger::money;

/// Notices with how long before the end each is due, and after how long it may be given again, in seconds.
pub(super) struct Leads {
    names: Vec<String>,
    leads: Vec<i64>,
    quiet: Vec<i64>,
}

impl Leads {
    pub(super) fn all() -> Self {
        let names = Notice::ALL.iter().map(|notice| notice.as_str().to_owned()).collect();
        let leads: Vec<i64> = Notice::ALL.iter().map(|notice| notice.lead().num_seconds()).collect();
        let quiet = Notice::ALL.iter().map(|notice| notice.quiet().num_seconds()).collect();
        Self { names, leads, quiet }
    }
}

/// Organisations of which a notice is due, or stands and is no longer true.
pub(super) async fn select_to_notify(
    pool: &PgPool,
    leads: &Leads,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<OrganisationId>> {
    let found = sqlx::query_scalar!(
        r#"with leads as (select notice, make_interval(secs => lead) as lead, make_interval(secs => quiet) as quiet
                          from unnest($2::text[], $3::bigint[], $4::bigint[]) as l (notice, lead, quiet))
           select w.organisation_id as "id!: OrganisationId" from wallets w join leads l on w.runs_out_at <= $1::timestamptz + l.lead
           where w.exhausted_at is null and w.runs_out_at > $1
             and not exists (select 1 from credit_notices n where n.organisation_id = w.organisation_id and n.notice = l.notice
                             and (n.withdrawn_at is null or n.given_at > $1 - l.quiet))
           union
           select n.organisation_id from credit_notices n join leads l on l.notice = n.notice join wallets w on w.organisation_id = n.organisation_id
           where n.withdrawn_at is null and (w.runs_out_at is null or w.runs_out_at > $1 + l.lead)
           limit $5"#,
        now,
        &leads.names,
        &leads.leads,
        &leads.quiet,
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(found)
}

/// When the next notice is due of wallets that reach one before `until`.
pub(super) async fn select_next_notice(
    pool: &PgPool,
    leads: &Leads,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let next = sqlx::query_scalar!(
        r#"select min(w.runs_out_at - make_interval(secs => l.lead)) from wallets w, unnest($3::bigint[]) as l (lead)
           where w.exhausted_at is null and w.runs_out_at > $1::timestamptz + make_interval(secs => l.lead)
             and w.runs_out_at <= $2::timestamptz + make_interval(secs => l.lead)"#,
        now,
        until,
        &leads.leads,
    )
    .fetch_one(pool)
    .await?;
    Ok(next)
}

/// The last notice of each kind.
pub(super) async fn select_given(connection: &mut PgConnection, organisation: OrganisationId) -> Result<Vec<Given>> {
    let rows = sqlx::query!(
        r#"select distinct on (notice) notice, given_at, withdrawn_at is not null as "withdrawn!" from credit_notices
           where organisation_id = $1 order by notice, given_at desc, id desc"#,
        organisation.uuid()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let notice = Notice::from_str(&row.notice).context("a notice is of an unknown kind")?;
            Ok(Given { notice, at: row.given_at, withdrawn: row.withdrawn })
        })
        .collect()
}

pub(super) async fn insert_notice(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    notice: Notice,
    now: DateTime<Utc>,
    sent: bool,
) -> Result<i64> {
    let id = sqlx::query_scalar!(
        "insert into credit_notices (organisation_id, notice, given_at, sent) values ($1, $2, $3, $4) returning id",
        organisation.uuid(),
        notice.as_str(),
        now,
        sent
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// The notices that stand and were sent.
pub(super) async fn select_standing(connection: &mut PgConnection, organisation: OrganisationId) -> Result<Vec<i64>> {
    let ids = sqlx::query_scalar!(
        "select id from credit_notices where organisation_id = $1 and withdrawn_at is null and sent",
        organisation.uuid()
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

/// Withdraws what stands of these kinds. Answers with what had been sent.
pub(super) async fn withdraw_notices(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    notices: &[Notice],
    now: DateTime<Utc>,
) -> Result<Vec<i64>> {
    let names: Vec<String> = notices.iter().map(|notice| notice.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        "update credit_notices set withdrawn_at = $3 where organisation_id = $1 and notice = any($2) and withdrawn_at is null returning id, sent",
        organisation.uuid(),
        &names,
        now
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter(|row| row.sent).map(|row| row.id).collect())
}

struct ExhaustedRow {
    id: i64,
    at: DateTime<Utc>,
    grace_days: i32,
    rescued_at: Option<DateTime<Utc>>,
    rescue_until: Option<DateTime<Utc>>,
    rescued_vms: Vec<Uuid>,
    capped_until: Option<DateTime<Utc>>,
    deletion_at: Option<DateTime<Utc>>,
    look_at: DateTime<Utc>,
}

impl From<ExhaustedRow> for Exhausted {
    fn from(row: ExhaustedRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            grace_days: row.grace_days,
            rescued_at: row.rescued_at,
            rescue_until: row.rescue_until,
            rescued_vms: row.rescued_vms.into_iter().map(VmId::from).collect(),
            capped_until: row.capped_until,
            deletion_at: row.deletion_at,
            look_at: row.look_at,
        }
    }
}

/// The end of the credit that lasts, if the wallet has run out.
pub(super) async fn select_exhausted(
    executor: impl sqlx::PgExecutor<'_>,
    organisation: OrganisationId,
) -> Result<Option<Exhausted>> {
    let row = sqlx::query_as!(
        ExhaustedRow,
        "select id, at, grace_days, rescued_at, rescue_until, rescued_vms, capped_until, deletion_at, look_at
         from exhaustions where organisation_id = $1 and ended_at is null",
        organisation.uuid()
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Exhausted::from))
}

pub(super) async fn insert_exhausted(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: DateTime<Utc>,
    grace_days: i32,
    capped_until: Option<DateTime<Utc>>,
) -> Result<i64> {
    // It is looked at at once; what comes next is decided then.
    let id = sqlx::query_scalar!(
        "insert into exhaustions (organisation_id, at, grace_days, capped_until, look_at) values ($1, $2, $3, $4, $2) returning id",
        organisation.uuid(),
        at,
        grace_days,
        capped_until,
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

pub(super) async fn update_exhausted(
    connection: &mut PgConnection,
    known: &Exhausted,
    waits: Option<&str>,
) -> Result<()> {
    let rescued: Vec<Uuid> = known.rescued_vms.iter().map(|vm| vm.uuid()).collect();
    sqlx::query!(
        "update exhaustions set grace_days = $2, rescued_at = $3, rescue_until = $4, rescued_vms = $5, capped_until = $6, deletion_at = $7, look_at = $8,
                deletion_waits = $9 where id = $1",
        known.id,
        known.grace_days,
        known.rescued_at,
        known.rescue_until,
        &rescued,
        known.capped_until,
        known.deletion_at,
        known.look_at,
        waits,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn end_exhausted(connection: &mut PgConnection, id: i64, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update exhaustions set ended_at = $2 where id = $1", id, now).execute(connection).await?;
    Ok(())
}

pub(super) async fn select_due(pool: &PgPool, now: DateTime<Utc>, limit: i64) -> Result<Vec<OrganisationId>> {
    let found = sqlx::query_scalar!(
        r#"select organisation_id as "id: OrganisationId" from exhaustions where ended_at is null and look_at <= $1 order by look_at limit $2"#,
        now,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(found)
}

pub(super) async fn select_next_look(pool: &PgPool) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!("select min(look_at) from exhaustions where ended_at is null").fetch_one(pool).await?)
}

/// Puts one off that could not be looked at.
pub(super) async fn postpone(pool: &PgPool, organisation: OrganisationId, until: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update exhaustions set look_at = $2 where organisation_id = $1 and ended_at is null",
        organisation.uuid(),
        until
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Has every end of the credit that lasts looked at again.
pub(super) async fn look_at_all(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update exhaustions set look_at = $1 where ended_at is null", now).execute(connection).await?;
    Ok(())
}

pub(super) async fn select_deletion_notices(connection: &mut PgConnection, id: i64) -> Result<Vec<DeletionNotice>> {
    let found = sqlx::query_as!(
        DeletionNotice,
        "select number, told_at, deletion_on from deletion_notices where exhaustion_id = $1 order by number",
        id
    )
    .fetch_all(connection)
    .await?;
    Ok(found)
}

pub(super) async fn insert_deletion_notice(
    connection: &mut PgConnection,
    id: i64,
    notice: &DeletionNotice,
) -> Result<()> {
    sqlx::query!(
        "insert into deletion_notices (exhaustion_id, number, told_at, deletion_on) values ($1, $2, $3, $4)",
        id,
        notice.number,
        notice.told_at,
        notice.deletion_on
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Wallets of which machines will be deleted before `until`, or would be if nothing were in the way; the next one first.
pub(super) async fn select_waiting(pool: &PgPool, until: DateTime<Utc>, limit: i64) -> Result<Vec<Waiting>> {
    let rows = sqlx::query!(
        r#"select e.organisation_id as "organisation: OrganisationId", o.name, e.at, e.at + make_interval(days => e.grace_days) as "grace_until!", e.deletion_waits, e.deletion_at,
                  (select max(n.deletion_on) from deletion_notices n where n.exhaustion_id = e.id) as deletion_on,
                  (select count(*) from vms v where v.organisation_id = e.organisation_id and v.state in ('running', 'stopped') and not v.protected) as "vms!",
                  (select count(*) from vms v where v.organisation_id = e.organisation_id and v.state in ('running', 'stopped') and v.protected) as "protected!"
           from exhaustions e join organisations o on o.id = e.organisation_id
           where e.ended_at is null and e.at + make_interval(days => e.grace_days) <= $1
             and exists (select 1 from vms v where v.organisation_id = e.organisation_id and v.state in ('running', 'stopped'))
           order by 4, e.id limit $2"#,
        until,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Waiting {
            organisation: row.organisation,
            organisation_name: row.name,
            exhausted_at: row.at,
            deletion_on: row.deletion_on.map_or(row.grace_until, |on| on.max(row.grace_until)),
            deletion_at: row.deletion_at,
            waits: row.deletion_waits,
            vms: row.vms,
            protected: row.protected,
        })
        .collect())
}

/// What is set for one organisation: its own answers, where it has any.
pub(super) async fn select_own(
    executor: impl sqlx::PgExecutor<'_>,
    organisation: OrganisationId,
) -> Result<Option<(Option<bool>, Option<Money>)>> {
    let row = sqlx::query!("select auto_shutdown, credit_limit from organisations where id = $1", organisation.uuid())
        .fetch_optional(executor)
        .await?;
    row.map(|row| Ok((row.auto_shutdown, row.credit_limit.map(money).transpose()?))).transpose()
}

pub(super) async fn update_own(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    auto_shutdown: Option<bool>,
    credit_limit: Option<Money>,
) -> Result<()> {
    sqlx::query!(
        "update organisations set auto_shutdown = $2, credit_limit = $3 where id = $1",
        organisation.uuid(),
        auto_shutdown,
        credit_limit.map(Money::to_decimal)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The longest that anything is put off, so that no instant leaves the calendar.
pub(super) const FAR: TimeDelta = TimeDelta::days(1);
