//! Claims jobs, runs their steps, and decides what a step's outcome means: on, again later, back, or to an operator.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::JOBS_AT_ONCE;
use crate::app::App;
use crate::clusters::Trouble;
use crate::error::Result;
use crate::jobs::{self, ATTEMPTS_MAX, Job, LEASE_RENEWAL_SECONDS, Status};
use crate::vms;
use crate::{fault, vms::Progress};

/// The longest sleep: a message that was lost costs no more than this.
const SLEEP_SECONDS_MAX: u64 = 5;
/// The pause after the database failed.
const RETRY_SECONDS: u64 = 2;
/// How many steps one claim may run before the job is put back, so that nothing runs for ever.
const STEPS_PER_CLAIM_MAX: usize = 64;
/// In a job's scratch: how often the current step found the cluster away.
const LOOKS_AWAY: &str = "looks_away";
/// How many rounds [`run_due_jobs`] makes.
const ROUNDS_MAX: usize = 10_000;

/// Runs jobs until the task is dropped.
pub async fn run_jobs(app: Arc<App>) {
    let slots = Arc::new(Semaphore::new(JOBS_AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let free = slots.available_permits();
        let claimed =
            if free == 0 { Ok(Vec::new()) } else { jobs::claim(&app, i64::try_from(free).unwrap_or(1)).await };
        let sleep = match claimed {
            Err(error) => {
                tracing::error!(?error, "claiming jobs failed");
                Duration::from_secs(RETRY_SECONDS)
            }
            Ok(claimed) => {
                let full = claimed.len() == free;
                for job in claimed {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { break };
                    let app = Arc::clone(&app);
                    running.spawn(async move {
                        run_job(&app, job).await;
                        drop(slot);
                        app.hub.jobs.notify_one();
                    });
                }
                if full { Duration::from_secs(SLEEP_SECONDS_MAX) } else { until_next(&app).await }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = app.hub.jobs.notified() => {}
        }
    }
}

async fn until_next(app: &App) -> Duration {
    let most = Duration::from_secs(SLEEP_SECONDS_MAX);
    match jobs::next_due(app).await {
        Ok(Some(at)) => {
            (at - app.clock.machine_now()).to_std().unwrap_or(Duration::ZERO).clamp(Duration::from_millis(5), most)
        }
        Ok(None) => most,
        Err(error) => {
            tracing::error!(?error, "looking for the next job failed");
            Duration::from_secs(RETRY_SECONDS)
        }
    }
}

/// Runs every job that is due now, one after the other, until none is. For tests, which move the clock themselves.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn run_due_jobs(app: &App) -> Result<usize> {
    let mut ran = 0;
    for _ in 0..ROUNDS_MAX {
        let claimed = jobs::claim(app, 1).await?;
        if claimed.is_empty() {
            break;
        }
        for job in claimed {
            run_job(app, job).await;
            ran += 1;
        }
    }
    Ok(ran)
}

/// Runs a claimed job as far as it goes, keeping its lease meanwhile.
async fn run_job(app: &App, job: Job) {
    let (id, kind) = (job.id, job.kind.name());
    let keeper = job.clone();
    let outcome = tokio::select! {
        outcome = run_steps(app, job) => outcome,
        () = keep_lease(app, &keeper) => {
            tracing::warn!(job = %id, kind, "the lease was lost: somebody else runs this job now");
            return;
        }
    };
    if let Err(error) = outcome {
        // The lease runs out by itself, and the job is tried again.
        tracing::error!(job = %id, kind, ?error, "running a job failed");
    }
}

/// Returns when the lease is lost.
async fn keep_lease(app: &App, job: &Job) {
    loop {
        tokio::time::sleep(Duration::from_secs(LEASE_RENEWAL_SECONDS)).await;
        if let Ok(false) = jobs::renew(app, job).await {
            return;
        }
    }
}

async fn run_steps(app: &App, mut job: Job) -> Result<()> {
    for _ in 0..STEPS_PER_CLAIM_MAX {
        if job.cancel_requested
            && !job.undoing
            && job.can_be_called_off()
            && !go_back(app, &mut job, "Somebody asked to undo it.").await?
        {
            return Ok(());
        }
        let Some(step) = job.current() else { return finish(app, &job).await };
        let outcome =
            if job.undoing { vms::undo_step(app, &mut job).await } else { vms::run_step(app, &mut job).await };
        fault::point(&format!("{}.{}.{}", job.kind.name(), step.name, if job.undoing { "undone" } else { "done" }));
        match outcome {
            Ok(Progress::Done) => {
                job.attempts = 0;
                job.waiting_for = None;
                job.scratch.clear();
                let said =
                    if job.undoing { format!("Undone: {}", step.title) } else { format!("Done: {}", step.title) };
                if job.undoing {
                    if job.step == 0 {
                        jobs::log(app, &job, &said).await?;
                        return end_undone(app, &job).await;
                    }
                    job.step -= 1;
                } else {
                    job.error = None;
                    job.step += 1;
                }
                if !jobs::advance(app, &job, step.name, &said).await? {
                    return Ok(());
                }
                fault::point(&format!("{}.{}.saved", job.kind.name(), step.name));
            }
            Ok(Progress::Wait(pause, what)) => {
                job.waiting_for = Some(what.to_owned());
                if !pause.is_zero() {
                    return jobs::release(app, &job, pause).await;
                }
            }
            Err(trouble) => {
                if !in_trouble(app, &mut job, trouble).await? {
                    return Ok(());
                }
            }
        }
    }
    jobs::release(app, &job, Duration::from_secs(1)).await
}

/// Decides what trouble means. Answers whether the job goes on at once (backwards).
async fn in_trouble(app: &App, job: &mut Job, trouble: Trouble) -> Result<bool> {
    let words = match &trouble {
        Trouble::Ours(error) => format!("{error:?}"),
        Trouble::Away(words) | Trouble::Busy(words) | Trouble::Locked(words) | Trouble::Refused(words) => words.clone(),
    };
    let known = job.error.as_deref() == Some(words.as_str());
    job.error = Some(words.clone());
    if !known {
        jobs::log(app, job, &words).await?;
    }
    if let Trouble::Away(_) = trouble {
        // Nothing is lost while a cluster is away: the job says so and waits as long as it takes. That is no attempt: a
        // node that has just come back often answers that it is busy, and must find all of them left.
        let looks = job.scratch.get(LOOKS_AWAY).and_then(serde_json::Value::as_i64).unwrap_or(0).saturating_add(1);
        job.scratch.insert(LOOKS_AWAY.into(), looks.into());
        job.waiting_for = Some(jobs::CLUSTER_AWAY.into());
        jobs::release(app, job, jobs::pause(i32::try_from(looks).unwrap_or(i32::MAX))).await?;
        return Ok(false);
    }
    if let Trouble::Locked(_) = trouble {
        // A backup may hold a guest for long, and that is no attempt either. Nothing else can be done to a locked guest, so
        // there is no going back: the job stays where it is until the lock is off.
        match vms::wait_for_lock(app, job) {
            Ok(Progress::Wait(pause, what)) => {
                job.waiting_for = Some(what.to_owned());
                jobs::release(app, job, pause).await?;
            }
            Ok(Progress::Done) => jobs::release(app, job, Duration::ZERO).await?,
            Err(stuck) => {
                let words = format!("{words}: {stuck}");
                jobs::log(app, job, &words).await?;
                job.error = Some(words);
                park(app, job).await?;
            }
        }
        return Ok(false);
    }
    job.attempts = job.attempts.saturating_add(1);
    match trouble {
        Trouble::Busy(_) | Trouble::Ours(_) if job.attempts < ATTEMPTS_MAX => {
            job.waiting_for = Some("another attempt".into());
            jobs::release(app, job, jobs::pause(job.attempts)).await?;
            Ok(false)
        }
        Trouble::Away(_) | Trouble::Busy(_) | Trouble::Locked(_) | Trouble::Ours(_) | Trouble::Refused(_) => {
            if job.can_go_back() && !job.undoing {
                return go_back(app, job, "It cannot go on: undoing what was done.").await;
            }
            give_up(app, job).await?;
            Ok(false)
        }
    }
}

/// Turns a job around. Answers false when somebody else has it now.
async fn go_back(app: &App, job: &mut Job, why: &str) -> Result<bool> {
    jobs::log(app, job, why).await?;
    job.undoing = true;
    job.attempts = 0;
    // A task of the step may still be at work; undoing follows it to its end first.
    job.step = job.step.min(job.kind.steps().len().saturating_sub(1));
    jobs::save(app, job).await
}

async fn finish(app: &App, job: &Job) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    vms::complete(app, &mut transaction, job).await?;
    fault::point(&format!("{}.before_commit", job.kind.name()));
    if jobs::finish(app, &mut transaction, job, Status::Completed).await? {
        transaction.commit().await?;
        fault::point(&format!("{}.committed", job.kind.name()));
        return Ok(());
    }
    // Asked to undo it since this runner claimed it, or claimed by another: in the first case it is claimed again at once.
    transaction.rollback().await?;
    jobs::release(app, job, Duration::ZERO).await
}

async fn end_undone(app: &App, job: &Job) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let status = vms::give_up(app, &mut transaction, job).await?;
    fault::point(&format!("{}.undone.before_commit", job.kind.name()));
    if jobs::finish(app, &mut transaction, job, status).await? {
        transaction.commit().await?;
        fault::point(&format!("{}.undone.committed", job.kind.name()));
    }
    Ok(())
}

async fn give_up(app: &App, job: &mut Job) -> Result<()> {
    // An undo that is stuck has left something behind: a person must look.
    if job.undoing {
        return park(app, job).await;
    }
    vms::forget_lock(job);
    let mut transaction = app.pool.begin().await?;
    let status = vms::give_up(app, &mut transaction, job).await?;
    fault::point(&format!("{}.given_up.before_commit", job.kind.name()));
    if jobs::finish(app, &mut transaction, job, status).await? {
        transaction.commit().await?;
    }
    Ok(())
}

/// Leaves a job where it is until an operator says what becomes of it.
async fn park(app: &App, job: &mut Job) -> Result<()> {
    vms::forget_lock(job);
    let mut transaction = app.pool.begin().await?;
    if jobs::finish(app, &mut transaction, job, Status::Parked).await? {
        transaction.commit().await?;
    }
    Ok(())
}
