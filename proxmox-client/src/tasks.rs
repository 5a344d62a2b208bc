//! Tasks: their state, their log, and waiting for their end. A task that failed is not a failed
//! call, and a failed look at a task says nothing about the task.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::request::{Parameters, node_path, segment};
use crate::upid::Upid;
use crate::words::{Words, ask_words};

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStatus {
    /// It is at work.
    Running,
    /// It has ended.
    Ended(TaskEnd),
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// Well.
    Ok,
    /// Well, with so many warnings in its log. A removal with warnings may have left volumes.
    Warnings(u32),
    /// Not well. `unexpected status` when the worker died.
    Failed(TaskError),
}

impl TaskEnd {
    pub(crate) fn read(exit_status: &str) -> Self {
        let exit_status = exit_status.trim();
        if exit_status == "OK" {
            return Self::Ok;
        }
        let warnings = exit_status.strip_prefix("WARNINGS:").and_then(|count| count.trim().parse().ok());
        match warnings {
            Some(count) => Self::Warnings(count),
            None => Self::Failed(TaskError(String::from(exit_status))),
        }
    }
}

/// The error text of a failed task, with the same questions as a [`crate::Refusal`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TaskError(pub String);

impl TaskError {
    /// The text Proxmox VE gave.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The text, to be asked.
    pub fn texts(&self) -> impl Iterator<Item = Words<'_>> {
        std::iter::once(Words(&self.0))
    }

    /// The worker ended without a word: killed, or the node went down. What it did is unknown.
    #[must_use]
    pub fn is_worker_lost(&self) -> bool {
        self.0 == "unexpected status"
    }
}

ask_words!(TaskError);

/// One line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskLogLine {
    /// Its number, from 1.
    #[serde(rename = "n", deserialize_with = "lenient::whole")]
    pub number: u64,
    /// Its text.
    #[serde(rename = "t", default)]
    pub text: String,
}

/// A piece of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLog {
    /// The lines asked for; none while nothing was written.
    pub lines: Vec<TaskLogLine>,
    /// How many lines the whole log has.
    pub total: u64,
}

/// The longest wait for a task; a longer deadline is cut to it.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The line Proxmox puts in place of an empty log.
const EMPTY_LOG: &str = "no content";

#[derive(Deserialize)]
struct StatusAnswer {
    status: String,
    #[serde(default, deserialize_with = "lenient::optional_text")]
    exitstatus: Option<String>,
}

/// How to wait for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskWait {
    /// How long in all, up to seven days.
    pub deadline: Duration,
    /// The pause before the first look; it doubles from look to look.
    pub first_pause: Duration,
    /// The longest pause between looks.
    pub longest_pause: Duration,
    /// How many looks in a row may fail.
    pub failed_looks: u32,
}

impl TaskWait {
    /// Up to `deadline`, with a look after 1 s and then at growing pauses of up to 5 s; five failed
    /// looks in a row end the wait.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self { deadline, first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(5), failed_looks: 5 }
    }
}

/// Why waiting ended without the task's end. The task may still be at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitError {
    /// The deadline passed.
    TimedOut {
        /// The task.
        upid: Upid,
    },
    /// Looking failed too often, or in a way that does not pass (a refused token).
    Lost {
        /// The task.
        upid: Upid,
        /// The last failure.
        error: Error,
    },
}

impl fmt::Display for WaitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { upid } => write!(formatter, "{upid} did not end in time"),
            Self::Lost { upid, error } => {
                write!(formatter, "the state of {upid} cannot be read: {error}")
            }
        }
    }
}

impl std::error::Error for WaitError {}

pub(crate) fn task_path(upid: &Upid, rest: &str) -> Result<String, Error> {
    let name = segment("task", upid.as_str())?;
    node_path(upid.node(), &format!("/tasks/{name}{rest}"))
}

impl Client {
    /// `GET /nodes/{node}/tasks/{upid}/status`, of the node the name has. A token sees its own
    /// tasks; others need Sys.Audit on the node. Refused with
    /// [`crate::Refusal::is_unknown_task`], which directly after the start may be transient.
    ///
    /// # Errors
    /// See [`Error`]. A task that failed is no error of this call.
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, Error> {
        let answer: StatusAnswer = self.get(task_path(upid, "/status")?, Parameters::new()).await?;
        Ok(match (answer.exitstatus, answer.status.as_str()) {
            (Some(exit_status), _) => TaskStatus::Ended(TaskEnd::read(&exit_status)),
            (None, "stopped") => TaskStatus::Ended(TaskEnd::read("unexpected status")),
            (None, _) => TaskStatus::Running,
        })
    }

    /// `GET /nodes/{node}/tasks/{upid}/log?start=&limit=`. Privileges as [`Client::task_status`].
    /// `start` counts from 0; a `limit` of 0 is everything. The error is in the last line, so for a
    /// long log ask from `total` minus some.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let task = client.start("pve1", 101).await?;
    /// for line in client.task_log(&task, 0, 0).await?.lines {
    ///     println!("{}", line.text);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<TaskLog, Error> {
        let parameters = Parameters::new().with("start", start).with("limit", limit);
        let envelope =
            self.request::<Vec<TaskLogLine>>(reqwest::Method::GET, task_path(upid, "/log")?, &parameters).await?;
        let lines = envelope.data;
        if let [only] = lines.as_slice()
            && only.text == EMPTY_LOG
        {
            return Ok(TaskLog { lines: Vec::new(), total: 0 });
        }
        let last = lines.last().map_or(0, |line| line.number);
        Ok(TaskLog { lines, total: envelope.total.unwrap_or(last) })
    }

    /// Looks at a task until it has ended. A task the node does not know (yet) counts as a failed
    /// look.
    ///
    /// # Errors
    /// [`WaitError`] when its end was not seen; the task may still be at work.
    pub async fn wait_for_task(&self, upid: &Upid, wait: &TaskWait) -> Result<TaskEnd, WaitError> {
        let end = Instant::now() + wait.deadline.min(LONGEST_WAIT);
        let mut pause = wait.first_pause;
        let mut failed = 0;
        loop {
            match tokio::time::timeout_at(end, self.task_status(upid)).await {
                Ok(Ok(TaskStatus::Ended(how))) => return Ok(how),
                Ok(Ok(TaskStatus::Running)) => failed = 0,
                Ok(Err(error)) => {
                    failed += 1;
                    let is_final =
                        error.refusal().is_some_and(|refusal| refusal.is_unauthenticated() || refusal.is_forbidden());
                    if is_final || failed > wait.failed_looks {
                        let upid = upid.clone();
                        return Err(WaitError::Lost { upid, error });
                    }
                }
                Err(_) => return Err(WaitError::TimedOut { upid: upid.clone() }),
            }
            if end.saturating_duration_since(Instant::now()) <= pause {
                tokio::time::sleep_until(end).await;
                return Err(WaitError::TimedOut { upid: upid.clone() });
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(wait.longest_pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TaskEnd, TaskError};

    #[test]
    fn three_outcomes() {
        assert_eq!(TaskEnd::read("OK"), TaskEnd::Ok);
        assert_eq!(TaskEnd::read("WARNINGS: 3"), TaskEnd::Warnings(3));
        for text in ["unexpected status", "VM is locked (backup)", "WARNINGS: x", "", "ok"] {
            assert_eq!(TaskEnd::read(text), TaskEnd::Failed(TaskError(String::from(text))));
        }
        assert!(TaskError(String::from("unexpected status")).is_worker_lost());
    }
}
