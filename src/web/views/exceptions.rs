//! The admin's home: what needs a person, each with its buttons, and four figures after.
//! What counts as an exception is decided elsewhere; this shows it.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::frame::AdminFrame;
use super::markup::{self, Markup};
use crate::web::format;

/// What kind of thing needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionKind {
    /// A job that failed and was undone, or could not be.
    JobFailed,
    /// A job that was given up until somebody decides.
    JobParked,
    /// A cluster that does not answer.
    ClusterAway,
    /// A node that is not online.
    NodeAway,
    /// A pass of charging that waits for a decision.
    PassHeld,
    /// A machine that runs on an ended credit.
    ShutdownStuck,
    /// A wallet that could not be charged.
    Uncharged,
    /// What a look saw of a machine could not be written.
    Unwritten,
    /// Machines that are deleted soon.
    Deletion,
    /// Mails that were not delivered.
    Mails,
    /// Guests that are not what is sold.
    Drift,
    /// Wallets near their end.
    WalletsRunningOut,
    /// Wallets at zero.
    WalletsEmpty,
}

impl ExceptionKind {
    fn class(self) -> &'static str {
        match self {
            Self::JobFailed => "mark-bad",
            Self::JobParked | Self::ShutdownStuck => "mark-warning",
            Self::PassHeld | Self::ClusterAway | Self::NodeAway | Self::Uncharged | Self::Unwritten => "mark-bad",
            Self::Mails | Self::Drift | Self::Deletion => "mark-warning",
            Self::WalletsRunningOut => "mark-warning",
            Self::WalletsEmpty => "mark-quiet",
        }
    }

    fn icon(self) -> Markup {
        match self {
            Self::JobFailed => markup::icon("alert-triangle"),
            Self::JobParked => markup::icon("player-stop"),
            Self::ClusterAway | Self::NodeAway => markup::icon("server-off"),
            Self::PassHeld => markup::icon("player-pause"),
            Self::ShutdownStuck => markup::icon("power"),
            Self::Uncharged => markup::icon("coin"),
            Self::Unwritten => markup::icon("alert-triangle"),
            Self::Deletion => markup::icon("trash"),
            Self::Mails => markup::icon("mail"),
            Self::Drift => markup::icon("arrows-diff"),
            Self::WalletsRunningOut => markup::icon("hourglass"),
            Self::WalletsEmpty => markup::icon("wallet"),
        }
    }
}

/// Where a button leads.
#[derive(Clone, Debug)]
pub enum ButtonTarget {
    /// A page.
    Open(String),
    /// A form sent to this path.
    Post(String),
}

/// How a button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonLook {
    /// The one thing to do.
    Primary,
    /// One of several.
    Plain,
    /// It takes something away.
    Danger,
}

impl ButtonLook {
    fn class(self) -> &'static str {
        match self {
            Self::Primary => "btn-primary",
            Self::Plain => "",
            Self::Danger => "btn-outline-danger",
        }
    }
}

/// A button of an exception.
#[derive(Clone, Debug)]
pub struct ExceptionButton {
    /// Its word.
    pub text: String,
    /// Where it leads.
    pub target: ButtonTarget,
    /// How it looks.
    pub look: ButtonLook,
    /// A question asked before, where a script can.
    pub confirm: Option<String>,
}

/// Something that needs a person.
#[derive(Clone, Debug)]
pub struct Exception {
    /// What kind.
    pub kind: ExceptionKind,
    /// What it is.
    pub title: String,
    /// What it means.
    pub text: String,
    /// What went wrong, in the words in which it was said.
    pub words: Option<String>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// What can be done.
    pub buttons: Vec<ExceptionButton>,
}

/// How many machines are in a state.
#[derive(Clone, Debug)]
pub struct StateCount {
    /// The state's word.
    pub word: String,
    /// How many.
    pub machines: u64,
}

/// The four figures.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Charged since midnight.
    pub charged_today: Decimal,
    /// Whose midnight: `Europe/Berlin`.
    pub time_zone: String,
    /// All burn per hour.
    pub burn_per_hour: Decimal,
    /// All machines.
    pub machines: u64,
    /// By state, without empty ones.
    pub by_state: Vec<StateCount>,
    /// Clusters that answer.
    pub clusters_answering: u64,
    /// All clusters.
    pub clusters: u64,
}

/// The exceptions and the figures; also the answer to `GET /admin/exceptions/list`.
#[derive(Clone, Debug, Template)]
#[template(path = "exceptions/list.html")]
pub struct ExceptionList {
    /// Worst first.
    pub items: Vec<Exception>,
    /// The figures.
    pub figures: Figures,
    /// Token for the forms.
    pub csrf: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// `GET /admin`.
#[derive(Debug, Template)]
#[template(path = "exceptions/home.html")]
pub struct ExceptionsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Exceptions and figures.
    pub list: ExceptionList,
}
