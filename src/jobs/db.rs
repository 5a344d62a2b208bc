//! The SQL of jobs and their logs. Every write of a runner names its lease.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Job, Kind, LogLine, NewJob, Status};
use crate::database::EncryptedColumn;
use crate::error::Result;
use crate::ids::{JobId, OrganisationId, UserId, VmId};

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this one.
    pub id: Option<JobId>,
    /// Only those of one organisation.
    pub organisation: Option<OrganisationId>,
    /// Only those of one machine.
    pub vm: Option<VmId>,
    /// Only those that stand here.
    pub statuses: Option<Vec<Status>>,
    /// Only those that were over at this instant or later.
    pub finished_since: Option<DateTime<Utc>>,
    /// Only those before this one.
    pub after: Option<JobId>,
}

/// How many jobs stand where.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Waiting to be claimed.
    pub pending: i64,
    /// Claimed.
    pub running: i64,
    /// Failed.
    pub failed: i64,
    /// Parked.
    pub parked: i64,
    /// All there are.
    pub all: i64,
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    id: JobId,
    new: &NewJob,
    now: DateTime<Utc>,
    run_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into jobs (id, kind, organisation_id, vm_id, status, payload, requested_by, created_at, run_at)
         values ($1, $2, $3, $4, 'pending', $5, $6, $7, $8)",
        id.uuid(),
        new.kind.name(),
        new.organisation.uuid(),
        new.vm.uuid(),
        Value::Object(new.payload.clone()),
        new.requested_by.map(UserId::uuid),
        now,
        run_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

struct JobRow {
    id: JobId,
    number: i64,
    kind: String,
    organisation: OrganisationId,
    organisation_name: String,
    vm: VmId,
    vm_name: String,
    status: String,
    step: i32,
    undoing: bool,
    cancel_requested: bool,
    scratch: Value,
    payload: Value,
    attempts: i32,
    error: Option<String>,
    waiting_for: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    lease: Option<Uuid>,
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl TryFrom<JobRow> for Job {
    type Error = crate::error::Error;
    fn try_from(row: JobRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            number: row.number,
            kind: Kind::parse(&row.kind).with_context(|| format!("job {} has an unknown kind", row.id))?,
            organisation: row.organisation,
            organisation_name: row.organisation_name,
            vm: row.vm,
            vm_name: row.vm_name,
            status: Status::parse(&row.status).context("a job has an unknown status")?,
            step: usize::try_from(row.step).context("a job has a negative step")?,
            undoing: row.undoing,
            cancel_requested: row.cancel_requested,
            scratch: object(row.scratch),
            payload: object(row.payload),
            attempts: row.attempts,
            error: row.error,
            waiting_for: row.waiting_for,
            created_at: row.created_at,
            finished_at: row.finished_at,
            lease: row.lease,
        })
    }
}

/// Claims what is due and not leased. Of one machine only the job that comes first, so that they run one after the other.
pub(super) async fn claim(
    pool: &PgPool,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Job>> {
    let rows = sqlx::query_as!(
        JobRow,
        r#"with due as (
               select j.id from jobs j
               where j.status in ('pending', 'running') and j.run_at <= $1 and (j.leased_until is null or j.leased_until <= $1)
                 and not exists (select 1 from jobs e where e.vm_id = j.vm_id and e.number < j.number and e.status in ('pending', 'running', 'parked'))
               order by j.run_at limit $3 for update of j skip locked),
           claimed as (
               update jobs j set status = 'running', leased_until = $2, lease = gen_random_uuid() from due where j.id = due.id returning j.*)
           select j.id as "id!: JobId", j.number as "number!", j.kind as "kind!", j.organisation_id as "organisation!: OrganisationId",
                  o.name as "organisation_name!", j.vm_id as "vm!: VmId", v.name as "vm_name!", j.status as "status!", j.step as "step!",
                  j.undoing as "undoing!", j.cancel_requested as "cancel_requested!", j.scratch as "scratch!", j.payload as "payload!",
                  j.attempts as "attempts!", j.error, j.waiting_for, j.created_at as "created_at!", j.finished_at, j.lease
           from claimed j join organisations o on o.id = j.organisation_id join vms v on v.id = j.vm_id"#,
        now,
        leased_until,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Job::try_from).collect()
}

pub(super) async fn select_next_due(pool: &PgPool) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "select min(greatest(run_at, leased_until)) from jobs where status in ('pending', 'running')"
    )
    .fetch_one(pool)
    .await?)
}

pub(super) async fn select_unfinished(connection: &mut PgConnection, vm: VmId) -> Result<Option<Job>> {
    let filter = Filter {
        vm: Some(vm),
        statuses: Some(vec![Status::Pending, Status::Running, Status::Parked]),
        ..Filter::default()
    };
    // Newest first: the last of the list is the one that comes first.
    Ok(select(connection, &filter, 100).await?.pop())
}

pub(super) async fn select(executor: impl sqlx::PgExecutor<'_>, filter: &Filter, limit: i64) -> Result<Vec<Job>> {
    let statuses = filter
        .statuses
        .as_ref()
        .map(|statuses| statuses.iter().map(|status| status.name().to_owned()).collect::<Vec<_>>());
    let rows = sqlx::query_as!(
        JobRow,
        r#"select j.id as "id: JobId", j.number, j.kind, j.organisation_id as "organisation!: OrganisationId", o.name as organisation_name,
                  j.vm_id as "vm!: VmId", v.name as vm_name, j.status, j.step, j.undoing, j.cancel_requested, j.scratch, j.payload, j.attempts,
                  j.error, j.waiting_for, j.created_at, j.finished_at, j.lease
           from jobs j join organisations o on o.id = j.organisation_id join vms v on v.id = j.vm_id
           where ($1::uuid is null or j.id = $1) and ($2::uuid is null or j.organisation_id = $2) and ($3::uuid is null or j.vm_id = $3)
             and ($4::text[] is null or j.status = any($4)) and ($5::uuid is null or j.id < $5)
             and ($7::timestamptz is null or j.finished_at >= $7)
           order by j.id desc limit $6"#,
        filter.id.map(JobId::uuid),
        filter.organisation.map(OrganisationId::uuid),
        filter.vm.map(VmId::uuid),
        statuses as Option<Vec<String>>,
        filter.after.map(JobId::uuid),
        limit,
        filter.finished_since,
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Job::try_from).collect()
}

pub(super) async fn select_counts(pool: &PgPool) -> Result<Counts> {
    let counts = sqlx::query_as!(
        Counts,
        r#"select count(*) filter (where status = 'pending') as "pending!", count(*) filter (where status = 'running') as "running!",
                  count(*) filter (where status = 'failed') as "failed!", count(*) filter (where status = 'parked') as "parked!", count(*) as "all!"
           from jobs"#
    )
    .fetch_one(pool)
    .await?;
    Ok(counts)
}

/// Whether a runner still has its job; the row stays locked, so that nobody takes it over before the commit.
pub(super) async fn lock_leased(connection: &mut PgConnection, job: &Job) -> Result<bool> {
    let locked =
        sqlx::query_scalar!("select id from jobs where id = $1 and lease = $2 for update", job.id.uuid(), job.lease)
            .fetch_optional(connection)
            .await?;
    Ok(locked.is_some())
}

pub(super) async fn update_lease(pool: &PgPool, job: &Job, leased_until: DateTime<Utc>) -> Result<bool> {
    let updated = sqlx::query!(
        "update jobs set leased_until = $3 where id = $1 and lease = $2",
        job.id.uuid(),
        job.lease,
        leased_until
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected() == 1)
}

fn step_of(job: &Job) -> i32 {
    i32::try_from(job.step).unwrap_or(i32::MAX)
}

pub(super) async fn update_progress(
    connection: &mut PgConnection,
    job: &Job,
    leased_until: DateTime<Utc>,
) -> Result<bool> {
    let updated = sqlx::query!(
        "update jobs set step = $3, undoing = $4, scratch = $5, attempts = $6, error = $7, waiting_for = $8, leased_until = $9
         where id = $1 and lease = $2",
        job.id.uuid(),
        job.lease,
        step_of(job),
        job.undoing,
        Value::Object(job.scratch.clone()),
        job.attempts,
        job.error,
        job.waiting_for,
        leased_until,
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn update_released(connection: &mut PgConnection, job: &Job, run_at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update jobs set status = 'pending', step = $3, undoing = $4, scratch = $5, attempts = $6, error = $7, waiting_for = $8,
                         run_at = $9, leased_until = null, lease = null
         where id = $1 and lease = $2",
        job.id.uuid(),
        job.lease,
        step_of(job),
        job.undoing,
        Value::Object(job.scratch.clone()),
        job.attempts,
        job.error,
        job.waiting_for,
        run_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_finished(
    connection: &mut PgConnection,
    job: &Job,
    status: Status,
    now: DateTime<Utc>,
) -> Result<bool> {
    let updated = sqlx::query!(
        "update jobs set status = $3, step = $4, undoing = $5, scratch = $6, attempts = $7, error = $8, waiting_for = null,
                         finished_at = case when $3 = 'parked' then null else $9::timestamptz end, leased_until = null, lease = null,
                         secret_encrypted = case when $3 = 'parked' then secret_encrypted end
         where id = $1 and lease = $2 and ($3 <> 'completed' or not cancel_requested or not $10)",
        job.id.uuid(),
        job.lease,
        status.name(),
        step_of(job),
        job.undoing,
        Value::Object(job.scratch.clone()),
        job.attempts,
        job.error,
        now,
        job.can_be_called_off(),
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Lets a job go on: a parked one again from its step, or any unfinished one backwards.
pub(super) async fn unpark(
    connection: &mut PgConnection,
    id: JobId,
    backwards: bool,
    run_at: DateTime<Utc>,
) -> Result<bool> {
    let updated = sqlx::query!(
        "update jobs set status = case when status = 'parked' then 'pending' else status end, cancel_requested = cancel_requested or $2, attempts = 0, run_at = $3
         where id = $1 and (status = 'parked' or ($2 and status in ('pending', 'running') and not undoing))",
        id.uuid(),
        backwards,
        run_at,
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn insert_log(
    executor: impl sqlx::PgExecutor<'_>,
    job: JobId,
    at: DateTime<Utc>,
    step: &str,
    message: &str,
) -> Result<()> {
    sqlx::query!(
        "insert into job_logs (job_id, at, step, message) values ($1, $2, $3, $4)",
        job.uuid(),
        at,
        step,
        message
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub(super) async fn select_log(pool: &PgPool, id: JobId, limit: i64) -> Result<Vec<LogLine>> {
    let lines = sqlx::query_as!(
        LogLine,
        "select at, step, message from job_logs where job_id = $1 order by id limit $2",
        id.uuid(),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(lines)
}

pub(super) async fn select_last_said(pool: &PgPool, ids: &[JobId]) -> Result<HashMap<JobId, DateTime<Utc>>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select job_id as "job: JobId", max(at) as "at!" from job_logs where job_id = any($1) group by job_id"#,
        &ids
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.job, row.at)).collect())
}

pub(super) async fn select_asked_for_by(pool: &PgPool, id: JobId) -> Result<Option<String>> {
    let email = sqlx::query_scalar!(
        "select u.email from jobs j join users u on u.id = j.requested_by where j.id = $1",
        id.uuid()
    );
    Ok(email.fetch_optional(pool).await?)
}

/// The secrets of this room, for the rotation of keys.
pub const SECRETS: EncryptedColumn = EncryptedColumn {
    name: "jobs.secret_encrypted",
    select: "select id, secret_encrypted from jobs where id > $1 and secret_encrypted is not null order by id limit $2 for update",
    update: "update jobs set secret_encrypted = $2 where id = $1",
};

pub(super) async fn set_secret(connection: &mut PgConnection, id: JobId, encrypted: &str) -> Result<()> {
    sqlx::query!("update jobs set secret_encrypted = $2 where id = $1", id.uuid(), encrypted)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn select_secret(pool: &PgPool, id: JobId) -> Result<Option<String>> {
    let secret =
        sqlx::query_scalar!("select secret_encrypted from jobs where id = $1", id.uuid()).fetch_optional(pool).await?;
    Ok(secret.flatten())
}
