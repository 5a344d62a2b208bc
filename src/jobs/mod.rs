//! Durable work. A job is enqueued in the transaction of the change that wants it, claimed with a lease, run step by step,
//! and never dropped: what cannot go on is parked where an operator sees it. What the steps do is the business of the noun.

mod db;
mod kind;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

pub use db::{Counts, Filter, SECRETS};
pub use kind::{Kind, Step};

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{JobId, OrganisationId, UserId, VmId};
use crate::live;

/// How long a runner may be silent before another takes its job.
pub const LEASE_SECONDS: i64 = 30;
/// How often a runner renews its lease.
pub const LEASE_RENEWAL_SECONDS: u64 = 10;
/// How often a step is tried when Proxmox answers that it is busy or leaves open what it did.
pub const ATTEMPTS_MAX: i32 = 8;
/// The longest pause between two attempts.
const PAUSE_SECONDS_MAX: i64 = 60;
/// The longest line of a log, in characters.
const LOG_LINE_CHARACTERS_MAX: usize = 4_000;
/// The most lines of a log that are shown.
const LOG_LINES_MAX: i64 = 500;
/// The most unfinished jobs of one organisation that are looked at.
const UNFINISHED_MAX: i64 = 10_000;
/// The mark in a resize's payload that it grows the disk.
pub const GROWS_DISK: &str = "grows_disk";
/// What a job waits for while its cluster cannot be asked.
pub const CLUSTER_AWAY: &str = "the cluster does not answer";
/// The most jobs one page shows.
pub const PAGE_MAX: i64 = 50;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = JobStatus)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits to be claimed, for the first time or again.
    Pending,
    /// A runner has it.
    Running,
    /// Done.
    Completed,
    /// Could not be done; what it had done is undone where that is possible.
    Failed,
    /// Undone because somebody asked for it.
    Cancelled,
    /// Cannot go on by itself: an operator must look.
    Parked,
}

impl Status {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Parked => "parked",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Parked]
            .into_iter()
            .find(|status| status.name() == text)
    }

    /// Whether it will change no more by itself.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Parked => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its short number.
    pub number: i64,
    /// What it does.
    pub kind: Kind,
    /// Whose.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub organisation_name: String,
    /// On which machine.
    pub vm: VmId,
    /// The machine's name.
    pub vm_name: String,
    /// Where it stands.
    pub status: Status,
    /// The index of its step.
    pub step: usize,
    /// Whether it goes backwards.
    pub undoing: bool,
    /// Whether somebody asked it to go back.
    pub cancel_requested: bool,
    /// What the current step remembers.
    pub scratch: Map<String, Value>,
    /// What it was told.
    pub payload: Map<String, Value>,
    /// How often the current step was tried in vain.
    pub attempts: i32,
    /// What went wrong last, in Proxmox's own words where it spoke.
    pub error: Option<String>,
    /// What it waits for, in words.
    pub waiting_for: Option<String>,
    /// When it was asked for, by the books.
    pub created_at: DateTime<Utc>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
    /// Names this runner; every write of it names the lease.
    pub lease: Option<Uuid>,
}

impl Job {
    /// The step it is at; none when all are done.
    #[must_use]
    pub fn current(&self) -> Option<&'static Step> {
        self.kind.steps().get(self.step)
    }

    /// Whether what it has done so far can be undone.
    #[must_use]
    pub fn can_go_back(&self) -> bool {
        self.kind.can_go_back(self.step)
    }

    /// Whether somebody may have it undone, just so. A disk that has grown never shrinks: who ordered it keeps the plan that
    /// pays for it. A resize that fails goes back all the same.
    #[must_use]
    pub fn can_be_called_off(&self) -> bool {
        let grows = self.payload.get(GROWS_DISK) == Some(&Value::Bool(true));
        self.can_go_back() && !(grows && self.kind.has_grown_disk(self.step))
    }

    /// Whether it waits until its cluster can be asked again.
    #[must_use]
    pub fn waits_for_cluster(&self) -> bool {
        self.waiting_for.as_deref() == Some(CLUSTER_AWAY)
    }

    /// Whether an operator may tell it to try its step again.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.status == Status::Parked
    }

    /// Whether somebody may still ask it to undo what it has done.
    #[must_use]
    pub fn may_undo(&self) -> bool {
        self.can_be_called_off() && !self.status.is_over() && !self.undoing && !self.cancel_requested
    }

    /// From 0 to 100.
    #[must_use]
    pub fn progress(&self) -> u8 {
        if self.status == Status::Completed {
            return 100;
        }
        u8::try_from(self.step * 100 / self.kind.steps().len().max(1)).unwrap_or(100).min(99)
    }
}

/// A line of a job's log.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = JobLogLine)]
pub struct LogLine {
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// In which step.
    pub step: String,
    /// What happened.
    pub message: String,
}

/// A job to enqueue.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// What it does.
    pub kind: Kind,
    /// Whose.
    pub organisation: OrganisationId,
    /// On which machine. Jobs of one machine run one after the other.
    pub vm: VmId,
    /// What it is told.
    pub payload: Map<String, Value>,
    /// Who asked.
    pub requested_by: Option<UserId>,
}

/// Enqueues a job in somebody's transaction; it is seen by runners at commit.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn enqueue(app: &App, connection: &mut PgConnection, new: NewJob) -> Result<JobId> {
    let id = JobId::new();
    db::insert(&mut *connection, id, &new, app.clock.now(), app.clock.machine_now()).await?;
    live::announce_all(connection, topics(new.organisation, new.vm, id), true).await?;
    Ok(id)
}

/// Gives a job that was just enqueued a secret, encrypted. It is forgotten when the job is over.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn entrust(app: &App, connection: &mut PgConnection, job: JobId, secret: &SecretString) -> Result<()> {
    db::set_secret(connection, job, &app.settings.vault.encrypt(secret)).await
}

/// The secret of a job, if it has one.
///
/// # Errors
/// When no key decrypts it, or PostgreSQL fails.
pub async fn secret(app: &App, job: JobId) -> Result<Option<SecretString>> {
    let encrypted = db::select_secret(&app.pool, job).await?;
    Ok(encrypted.map(|text| app.settings.vault.decrypt(&text)).transpose()?)
}

/// Who must hear of a change of a job.
fn topics(organisation: OrganisationId, vm: VmId, job: JobId) -> [(Option<OrganisationId>, String); 3] {
    [(Some(organisation), format!("job:{job}")), (Some(organisation), format!("vm:{vm}")), (None, "jobs".to_owned())]
}

/// The unfinished job of a machine that comes first, if any. Parked ones count: they hold the machine.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn unfinished_of_vm(connection: &mut PgConnection, vm: VmId) -> Result<Option<Job>> {
    db::select_unfinished(connection, vm).await
}

/// Claims jobs that are due, at most `limit`, and leases them to this runner.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn claim(app: &App, limit: i64) -> Result<Vec<Job>> {
    let now = app.clock.machine_now();
    db::claim(&app.pool, now, now + TimeDelta::seconds(LEASE_SECONDS), limit).await
}

/// When the next job is due by the machinery's time, if any waits.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn next_due(app: &App) -> Result<Option<DateTime<Utc>>> {
    db::select_next_due(&app.pool).await
}

/// Keeps a claimed job for another while. Answers false when somebody else has it now.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn renew(app: &App, job: &Job) -> Result<bool> {
    db::update_lease(&app.pool, job, app.clock.machine_now() + TimeDelta::seconds(LEASE_SECONDS)).await
}

/// Writes down where a job stands and keeps the lease. Answers false when somebody else has it now: then stop.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn save(app: &App, job: &Job) -> Result<bool> {
    let mut connection = app.pool.acquire().await?;
    let leased_until = app.clock.machine_now() + TimeDelta::seconds(LEASE_SECONDS);
    let ours = db::update_progress(&mut connection, job, leased_until).await?;
    announce_soon(app, job);
    Ok(ours)
}

/// Writes down that a step is over, in the job and in its log, in one transaction; keeps the lease. `step` is the name of the
/// step that is over. Answers false when somebody else has the job now: then stop.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn advance(app: &App, job: &Job, step: &str, message: &str) -> Result<bool> {
    let mut transaction = app.pool.begin().await?;
    let leased_until = app.clock.machine_now() + TimeDelta::seconds(LEASE_SECONDS);
    if !db::update_progress(&mut transaction, job, leased_until).await? {
        return Ok(false);
    }
    db::insert_log(&mut *transaction, job.id, app.clock.now(), step, message).await?;
    transaction.commit().await?;
    announce_soon(app, job);
    Ok(true)
}

/// Writes down where a job stands and lets go of it until `pause` has passed.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn release(app: &App, job: &Job, pause: Duration) -> Result<()> {
    let mut connection = app.pool.acquire().await?;
    let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
    db::update_released(&mut connection, job, app.clock.machine_now() + pause).await?;
    announce_soon(app, job);
    app.hub.jobs.notify_one();
    Ok(())
}

fn announce_soon(app: &App, job: &Job) {
    for (organisation, topic) in topics(job.organisation, job.vm, job.id) {
        app.hub.announce_soon(organisation, topic);
    }
}

/// Whether this runner still has its job, for what it writes besides the job in somebody's transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn is_ours(connection: &mut PgConnection, job: &Job) -> Result<bool> {
    db::lock_leased(connection, job).await
}

/// Ends a job in somebody's transaction, together with what its end means. Answers false when somebody else has it now, or
/// when it would be completed though somebody has asked to undo it: then roll back.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn finish(app: &App, connection: &mut PgConnection, job: &Job, status: Status) -> Result<bool> {
    let ours = db::update_finished(&mut *connection, job, status, app.clock.now()).await?;
    let exceptions = (None, "exceptions".to_owned());
    // The next job of the same machine may begin.
    live::announce_all(connection, topics(job.organisation, job.vm, job.id).into_iter().chain([exceptions]), true)
        .await?;
    Ok(ours)
}

/// Adds a line to a job's log.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn log(app: &App, job: &Job, message: &str) -> Result<()> {
    let step = job.current().map_or("end", |step| step.name);
    // What a cluster says may hold anything, and be of any length.
    let message: String = message.replace('\0', "\u{fffd}").chars().take(LOG_LINE_CHARACTERS_MAX).collect();
    db::insert_log(&app.pool, job.id, app.clock.now(), step, &message).await
}

/// The pause after the `attempts`-th vain attempt: one second, doubled each time, at most a minute.
#[must_use]
pub fn pause(attempts: i32) -> Duration {
    let seconds = 1_i64 << attempts.clamp(0, 6);
    Duration::from_secs(seconds.min(PAUSE_SECONDS_MAX).unsigned_abs())
}

/// A job of an organisation.
///
/// # Errors
/// `NotFound` when there is none, or it is somebody else's.
pub async fn find(app: &App, organisation: Option<OrganisationId>, id: JobId) -> Result<Job> {
    let filter = Filter { organisation, id: Some(id), ..Filter::default() };
    db::select(&app.pool, &filter, 1).await?.pop().ok_or(Error::NotFound("job"))
}

/// Jobs, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, filter: &Filter, limit: i64) -> Result<Vec<Job>> {
    db::select(&app.pool, filter, limit.clamp(1, PAGE_MAX + 1)).await
}

/// How many jobs stand where.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn counts(app: &App) -> Result<Counts> {
    db::select_counts(&app.pool).await
}

/// The log of a job, oldest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn log_of(app: &App, id: JobId) -> Result<Vec<LogLine>> {
    db::select_log(&app.pool, id, LOG_LINES_MAX).await
}

/// When each of these jobs last said something, by the books.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn last_said(app: &App, ids: &[JobId]) -> Result<HashMap<JobId, DateTime<Utc>>> {
    db::select_last_said(&app.pool, ids).await
}

/// The e-mail address of the person who asked for a job; none when the platform did.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn asked_for_by(app: &App, id: JobId) -> Result<Option<String>> {
    db::select_asked_for_by(&app.pool, id).await
}

/// Tells a parked job to try its step again from now on.
///
/// # Errors
/// `Conflict` when it is not parked.
pub async fn retry(app: &App, id: JobId, actor: &Actor) -> Result<()> {
    let job = find(app, None, id).await?;
    if go_on(app, &job, false, Event::JobRetried, actor).await? {
        return Ok(());
    }
    Err(Error::conflict("Only a parked job can be told to try again."))
}

/// Asks a job that can go back to undo what it has done. It does so before its next step.
///
/// # Errors
/// `Conflict` when it is over or cannot go back.
pub async fn cancel(app: &App, organisation: Option<OrganisationId>, id: JobId, actor: &Actor) -> Result<()> {
    let job = find(app, organisation, id).await?;
    // Somebody who asks for an organisation is its member.
    let may = organisation.is_none() || !job.kind.is_for_operators();
    if may && job.can_be_called_off() && go_on(app, &job, true, Event::JobCancelled, actor).await? {
        return Ok(());
    }
    Err(Error::conflict("This job can no longer be undone."))
}

/// Lets a job go on at once, in its direction or backwards. Answers false when it stands where that cannot be.
async fn go_on(app: &App, job: &Job, backwards: bool, event: Event, actor: &Actor) -> Result<bool> {
    let mut transaction = app.pool.begin().await?;
    if !db::unpark(&mut transaction, job.id, backwards, app.clock.machine_now()).await? {
        return Ok(false);
    }
    let subject = Subject::new("job", job.id, format!("{} {}", job.kind.title(), job.vm_name));
    let (now, organisation) = (app.clock.now(), Some(job.organisation));
    audit::record(&mut transaction, now, actor, organisation, event, subject, serde_json::json!({})).await?;
    let exceptions = (None, "exceptions".to_owned());
    let told = topics(job.organisation, job.vm, job.id).into_iter().chain([exceptions]);
    live::announce_all(&mut transaction, told, true).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The unfinished jobs of an organisation, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn unfinished_of_organisation(app: &App, organisation: OrganisationId) -> Result<Vec<Job>> {
    let statuses = Some(vec![Status::Pending, Status::Running, Status::Parked]);
    let filter = Filter { organisation: Some(organisation), statuses, ..Filter::default() };
    db::select(&app.pool, &filter, UNFINISHED_MAX).await
}
