//! What an organisation should know: the bell in the header, the list, and the urgent ones above the machines.

use askama::Template;
use chrono::{DateTime, Utc};

use super::frame::PortalFrame;
use super::markup::{self, Markup};
use crate::web::format;

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Something will happen.
    Warning,
    /// It happens now.
    Urgent,
}

impl NoticeLevel {
    fn mark(self) -> &'static str {
        match self {
            Self::Info => "mark-work",
            Self::Warning => "mark-warning",
            Self::Urgent => "mark-bad",
        }
    }

    fn icon(self) -> Markup {
        match self {
            Self::Info => markup::icon("bell"),
            Self::Warning | Self::Urgent => markup::icon("alert-triangle"),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Info => "Good to know",
            Self::Warning => "Warning",
            Self::Urgent => "Urgent",
        }
    }
}

/// A notice.
#[derive(Clone, Debug)]
pub struct NoticeView {
    /// Id in URLs.
    pub id: String,
    /// How much it matters.
    pub level: NoticeLevel,
    /// One line.
    pub title: String,
    /// Its paragraphs.
    pub paragraphs: Vec<String>,
    /// Where it leads.
    pub link: Option<String>,
    /// When it was told.
    pub told_at: DateTime<Utc>,
    /// When it was read.
    pub read_at: Option<DateTime<Utc>>,
}

/// `GET /notifications`.
#[derive(Debug, Template)]
#[template(path = "notifications/list.html")]
pub struct NotificationsPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Newest first.
    pub notices: Vec<NoticeView>,
    /// Whether he who looks may mark them as read.
    pub may_read: bool,
    /// How many are not read.
    pub unread: u64,
    /// Where this page is.
    pub url: String,
    /// Where older ones are.
    pub older_url: Option<String>,
}

/// The urgent ones that nobody has read; also the answer to `GET /notifications/urgent`.
#[derive(Clone, Debug, Template)]
#[template(path = "notifications/urgent.html")]
pub struct UrgentNotices {
    /// Newest first.
    pub notices: Vec<NoticeView>,
    /// Whether he who looks may mark them as read.
    pub may_read: bool,
    /// Token for the forms.
    pub csrf: String,
}
