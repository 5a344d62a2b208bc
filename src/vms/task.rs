//! Following a Proxmox task that a job has started, across interruptions; and waiting for work on a guest that is not ours.

use std::time::Duration;

use chrono::{DateTime, Utc};
use proxmox_client::{Client, Error as ProxmoxError, TaskEnd, TaskStatus, Upid};
use serde_json::{Value, json};

use super::machine::{Progress, Step};
use crate::app::App;
use crate::clusters::Trouble;
use crate::fault;
use crate::jobs::{self, Job};

const TASK: &str = "upid";
const TASK_SINCE: &str = "upid_since";
/// Marks that undoing has started the task itself.
const TASK_OF_UNDO: &str = "upid_of_undo";

/// Where a Proxmox task stands that a job has started.
pub(super) enum Task {
    /// None was started, or nobody knows it any more: look what is, and start one if it is needed.
    None,
    /// It is at work: wait that long.
    Running(Duration),
    /// It has ended.
    Ended(TaskEnd),
}

/// Writes down the task that a call has started, before anything else is done: whoever goes on after a crash follows it.
pub(super) async fn remember(app: &App, job: &mut Job, upid: &Upid) -> Result<(), Trouble> {
    let step = job.current().map_or("end", |step| step.name);
    let way = if job.undoing { "undo_" } else { "" };
    fault::point(&format!("{}.{step}.{way}sent", job.kind.name()));
    job.scratch.insert(TASK.into(), json!(upid));
    job.scratch.insert(TASK_SINCE.into(), json!(app.clock.machine_now()));
    job.scratch.insert(TASK_OF_UNDO.into(), json!(job.undoing));
    if !jobs::save(app, job).await? {
        return Err(Trouble::Busy("another runner has this job now".into()));
    }
    fault::point(&format!("{}.{step}.{way}remembered", job.kind.name()));
    Ok(())
}

/// Asks for the task that the job remembers. An ended one is forgotten.
pub(super) async fn follow(app: &App, client: &Client, job: &mut Job) -> Result<Task, Trouble> {
    let Some(upid) = remembered(job) else { return Ok(Task::None) };
    match client.task_status(&upid).await {
        Ok(TaskStatus::Running) => Ok(Task::Running(pause(app, job))),
        Ok(TaskStatus::Ended(end)) => {
            forget(job);
            if let TaskEnd::Failed(error) = &end {
                jobs::log(app, job, &format!("Proxmox: {}", error.text())).await?;
            }
            Ok(Task::Ended(end))
        }
        // Just started and not listed yet, or long ago and rotated away.
        Err(ProxmoxError::Refused(refusal)) if refusal.is_unknown_task() => {
            if task_age(app, job) < UNKNOWN_TASK_SECONDS_MAX {
                return Ok(Task::Running(pause(app, job)));
            }
            forget(job);
            Ok(Task::None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits for a task that a step began before it was told to go back. How it ends does not matter; nothing may be undone under
/// its hands. Answers how long to wait, or nothing when there is none. Tasks of the undoing itself are followed where they are
/// started.
pub(super) async fn outlast(app: &App, client: &Client, job: &mut Job) -> Result<Option<Duration>, Trouble> {
    if job.scratch.get(TASK_OF_UNDO) == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    match follow(app, client, job).await? {
        Task::Running(pause) => Ok(Some(pause)),
        Task::Ended(_) | Task::None => Ok(None),
    }
}

fn remembered(job: &Job) -> Option<Upid> {
    job.scratch.get(TASK).and_then(Value::as_str).and_then(|text| text.parse().ok())
}

/// How long Proxmox may not know a task that it has just started, in seconds.
const UNKNOWN_TASK_SECONDS_MAX: i64 = 10;

fn forget(job: &mut Job) {
    job.scratch.remove(TASK);
    job.scratch.remove(TASK_SINCE);
    job.scratch.remove(TASK_OF_UNDO);
}

fn task_age(app: &App, job: &Job) -> i64 {
    let since =
        job.scratch.get(TASK_SINCE).and_then(|value| serde_json::from_value::<DateTime<Utc>>(value.clone()).ok());
    since.map_or(0, |since| (app.clock.machine_now() - since).num_milliseconds() / 1000)
}

/// Often at first, when most tasks end; seldom later, for every question occupies a worker of the node.
fn pause(app: &App, job: &Job) -> Duration {
    match task_age(app, job) {
        ..=1 => Duration::from_millis(150),
        2..=5 => Duration::from_millis(500),
        6..=30 => Duration::from_secs(1),
        _ => Duration::from_secs(3),
    }
}

/// How long a guest may be locked or being made with nothing of ours at work on it, in seconds. A task that died leaves its
/// lock behind for ever; a copy of a large disk may take long.
const LOCKED_SECONDS_MAX: i64 = 3600;
const LOCKED_SINCE: &str = "locked_since";

/// How long to wait before a guest that somebody else's work holds is tried again.
const LOCK_PAUSE: Duration = Duration::from_secs(15);

/// Waits for the lock that a call ran into, such as that of a backup, but not for ever.
///
/// # Errors
/// `Refused` with what an operator has to do, when it has been there for an hour.
pub fn wait_for_lock(app: &App, job: &mut Job) -> Step {
    outwait(app, job, LOCK_PAUSE, "somebody else's work on the VM")
}

/// A parked job waits for a lock anew when it is told to try again.
pub fn forget_lock(job: &mut Job) {
    job.scratch.remove(LOCKED_SINCE);
}

/// Waits for somebody else's work on the guest, but not for ever.
pub(super) fn outwait(app: &App, job: &mut Job, pause: Duration, what: &'static str) -> Step {
    let now = app.clock.machine_now();
    let since = job.scratch.get(LOCKED_SINCE);
    let since = since.and_then(|value| serde_json::from_value::<DateTime<Utc>>(value.clone()).ok()).unwrap_or(now);
    if (now - since).num_seconds() >= LOCKED_SECONDS_MAX {
        return Err(Trouble::Refused(format!(
            "the guest has been locked for {} min while no task of ours works on it: a task that died leaves its lock. Look at \
             its tasks, take the lock off on its node with `qm unlock`, then retry",
            LOCKED_SECONDS_MAX / 60
        )));
    }
    job.scratch.insert(LOCKED_SINCE.into(), json!(since));
    Ok(Progress::Wait(pause, what))
}
