//! Mails as operators see them: by state, and one with its text. What may be sent again is decided by the handler.

use askama::Template;
use chrono::{DateTime, Utc};

use super::frame::{AdminFrame, Link};
use super::markup;
use crate::web::format;

/// How a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailState {
    /// Waits for its first or next try.
    Waiting,
    /// The mail server took it.
    Sent,
    /// The mail server refused it.
    Failed,
    /// There was no mail server.
    Unsent,
    /// It was no longer true.
    Withdrawn,
}

impl MailState {
    /// All of them, in the order of the tabs.
    pub const EVERY: [Self; 5] = [Self::Waiting, Self::Sent, Self::Failed, Self::Unsent, Self::Withdrawn];

    /// Its value in `?status=`.
    pub fn value(self) -> &'static str {
        match self {
            Self::Waiting => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The word on the pill.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Sent => "Sent",
            Self::Failed => "Failed",
            Self::Unsent => "Unsent",
            Self::Withdrawn => "Withdrawn",
        }
    }

    /// The colour of the pill.
    pub fn class(self) -> &'static str {
        match self {
            Self::Waiting => "pill-work",
            Self::Sent => "pill-good",
            Self::Failed => "pill-bad",
            Self::Unsent => "pill-warning",
            Self::Withdrawn => "pill-quiet",
        }
    }
}

/// A tab: a state, or all of them.
#[derive(Clone, Debug)]
pub struct MailTab {
    /// What is read.
    pub word: &'static str,
    /// Its value in `?status=`.
    pub value: &'static str,
    /// How many mails are under it.
    pub count: u64,
    /// Whether it is open.
    pub is_open: bool,
}

/// A mail in the list.
#[derive(Clone, Debug)]
pub struct MailRow {
    /// Id in URLs.
    pub id: String,
    /// What it is about, in one line.
    pub subject: String,
    /// Where it goes.
    pub to: String,
    /// About whom.
    pub organisation: Option<Link>,
    /// How it stands.
    pub state: MailState,
    /// Why, where there is something to say.
    pub error: Option<String>,
    /// When it was written.
    pub written_at: DateTime<Utc>,
}

/// Tabs and list; also the answer to `GET /admin/mails/rows?status=`.
#[derive(Clone, Debug, Template)]
#[template(path = "mails/rows.html")]
pub struct MailRows {
    /// The tabs.
    pub tabs: Vec<MailTab>,
    /// Where these rows are: the page that is open keeps its place when it is refreshed.
    pub rows_url: String,
    /// Newest first.
    pub rows: Vec<MailRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
}

/// `GET /admin/mails?status=`.
#[derive(Debug, Template)]
#[template(path = "mails/list.html")]
pub struct MailsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// No mail server is set up.
    pub has_no_server: bool,
    /// Mails are kept here and go nowhere: a demo.
    pub is_kept: bool,
    /// Tabs and list.
    pub list: MailRows,
}

/// `GET /admin/mails/{id}`.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "mails/show.html")]
pub struct MailPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The mail.
    pub mail: MailRow,
    /// Its text.
    pub body: String,
    /// What it is about, for programs.
    pub kind: String,
    /// Its cause.
    pub key: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, by the machine's time.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the mail server took it.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was withdrawn.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// Offer to send it again.
    pub may_retry: bool,
}
