//! Durable work as the staff sees it: lists by state, and one job with its steps and log.
//! Retry and undo are offered where the state allows them; the handler says where.

use askama::Template;
use chrono::{DateTime, Utc};

use super::frame::{AdminFrame, Link};
use super::markup;
use super::vms::Progress;
use super::vms::show::StepView;
use crate::web::format;

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not begun, or waiting for its next try.
    Waiting,
    /// Being worked on.
    Running,
    /// Given up, and undone where it could be.
    Failed,
    /// Given up until somebody decides.
    Parked,
    /// Finished well.
    Done,
    /// Taken back.
    Undone,
}

impl JobState {
    /// Will it change no more by itself or by a person?
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Failed | Self::Done | Self::Undone)
    }

    /// The word on the pill.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Running => "Running",
            Self::Failed => "Failed",
            Self::Parked => "Parked",
            Self::Done => "Done",
            Self::Undone => "Undone",
        }
    }

    /// The colour of the pill.
    pub fn class(self) -> &'static str {
        match self {
            Self::Waiting | Self::Undone => "pill-quiet",
            Self::Running => "pill-work",
            Self::Failed => "pill-bad",
            Self::Parked => "pill-warning",
            Self::Done => "pill-good",
        }
    }
}

/// The tab of the list that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobTab {
    /// Not begun, or waiting for the next try.
    Waiting,
    /// Being worked on.
    Running,
    /// Given up and undone.
    Failed,
    /// Given up until somebody decides.
    Parked,
    /// Every job.
    All,
}

impl JobTab {
    /// All of them, in order.
    pub const EVERY: [Self; 5] = [Self::Waiting, Self::Running, Self::Failed, Self::Parked, Self::All];

    /// Its value in `?status=`.
    pub fn value(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::All => "all",
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Running => "Running",
            Self::Failed => "Failed",
            Self::Parked => "Parked",
            Self::All => "All",
        }
    }
}

/// How many jobs stand how.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobCounts {
    /// Not begun, or waiting for the next try.
    pub waiting: u64,
    /// Being worked on.
    pub running: u64,
    /// Given up and undone.
    pub failed: u64,
    /// Given up until somebody decides.
    pub parked: u64,
    /// Every job.
    pub all: u64,
}

impl JobCounts {
    /// The number of a tab.
    pub fn of(&self, tab: &JobTab) -> u64 {
        match tab {
            JobTab::Waiting => self.waiting,
            JobTab::Running => self.running,
            JobTab::Failed => self.failed,
            JobTab::Parked => self.parked,
            JobTab::All => self.all,
        }
    }
}

/// A job in the list.
#[derive(Clone, Debug, Template)]
#[template(path = "jobs/row.html")]
pub struct JobRow {
    /// Id in URLs.
    pub id: String,
    /// What it does: `Create VM`, `Shut down VM`.
    pub kind: String,
    /// On what.
    pub subject: Option<Link>,
    /// Whose.
    pub organisation: Option<Link>,
    /// How it stands.
    pub state: JobState,
    /// Where it is.
    pub progress: Option<Progress>,
    /// Tries of the present step that failed.
    pub attempts: u32,
    /// Since when it stands so.
    pub since: DateTime<Utc>,
    /// What it waits for.
    pub waiting_for: Option<String>,
    /// It takes back what it has done.
    pub undoing: bool,
    /// What went wrong last, in the words in which it was said.
    pub error: Option<String>,
}

/// The list under the tabs; also the answer to `GET /admin/jobs/rows?status=`.
#[derive(Clone, Debug, Template)]
#[template(path = "jobs/rows.html")]
pub struct JobRows {
    /// The open tab.
    pub tab: JobTab,
    /// The number on each tab.
    pub counts: JobCounts,
    /// Where these rows are: the page that is open keeps its place when it is refreshed.
    pub rows_url: String,
    /// Newest first.
    pub rows: Vec<JobRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
}

/// `GET /admin/jobs?status=`.
#[derive(Debug, Template)]
#[template(path = "jobs/list.html")]
pub struct JobsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Tabs and list.
    pub list: JobRows,
}

/// A line of a job's log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// When.
    pub at: DateTime<Utc>,
    /// What was said.
    pub text: String,
    /// Is it about something going wrong?
    pub is_error: bool,
}

/// `GET /admin/jobs/{id}`.
#[derive(Debug, Template)]
#[template(path = "jobs/show.html")]
pub struct JobPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The job.
    pub job: JobRow,
    /// All its steps.
    pub steps: Vec<StepView>,
    /// Oldest first.
    pub log: Vec<LogLine>,
    /// The Proxmox task it waits for or that failed.
    pub upid: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Who asked for it.
    pub created_by: String,
    /// Offer to try again.
    pub may_retry: bool,
    /// Offer to take it back.
    pub may_undo: bool,
}
