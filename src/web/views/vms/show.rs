//! The page of one machine, and the page that confirms its deletion.
//! Everything that changes while one looks stands in the panel, which is replaced as a whole.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{VmActions, VmState, VmStatus};
use crate::permissions::{Permission, Permissions};
use crate::web::format;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::PortalFrame;
use crate::web::views::markup::{self, Markup};

/// How a step of a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Behind us.
    Done,
    /// At it now.
    Current,
    /// Still to come.
    Waiting,
    /// It failed.
    Failed,
}

impl StepState {
    /// The word for a screen reader.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Current => "in progress",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }

    /// The class of the step.
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "step-done",
            Self::Current => "step-current",
            Self::Waiting => "step-waiting",
            Self::Failed => "step-failed",
        }
    }

    /// The drawing of the step.
    pub fn icon(self) -> Markup {
        match self {
            Self::Done => markup::icon("circle-check"),
            Self::Current => markup::icon("loader-2"),
            Self::Waiting => markup::icon("circle"),
            Self::Failed => markup::icon("circle-x"),
        }
    }
}

/// A step of a job, in words.
#[derive(Clone, Debug)]
pub struct StepView {
    /// What it does.
    pub name: String,
    /// How it stands.
    pub state: StepState,
    /// When it ended, or how long it took, or what it waits for.
    pub detail: Option<String>,
}

/// How work in several steps goes: making the machine, removing it, giving it another size or another system.
#[derive(Clone, Debug)]
pub struct Provisioning {
    /// What is being done, or could not be.
    pub title: &'static str,
    /// What became of the machine, when it could not be done.
    pub outcome: Option<String>,
    /// All steps, in order.
    pub steps: Vec<StepView>,
    /// Of the whole, 0 to 100.
    pub percent: u8,
}

/// What the machine has cost this month.
#[derive(Clone, Debug)]
pub struct MonthView {
    /// Charged so far.
    pub charged: Decimal,
    /// The most a month costs; none: no limit.
    pub cap: Option<Decimal>,
    /// Seconds running.
    pub seconds_running: i64,
    /// Seconds stopped.
    pub seconds_stopped: i64,
}

/// What a line of the timeline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineKind {
    /// An hour was charged.
    Charge,
    /// Power was changed.
    Power,
    /// It was made.
    Created,
    /// Something failed.
    Failure,
    /// The credit ran out or came back.
    Credit,
    /// Anything else somebody did.
    Event,
}

impl TimelineKind {
    /// The class that colours the drawing.
    pub fn class(self) -> &'static str {
        match self {
            Self::Charge => "mark-good",
            Self::Power | Self::Created => "mark-work",
            Self::Failure => "mark-bad",
            Self::Credit => "mark-warning",
            Self::Event => "mark-quiet",
        }
    }

    /// The drawing.
    pub fn icon(self) -> Markup {
        match self {
            Self::Charge => markup::icon("coin"),
            Self::Power => markup::icon("power"),
            Self::Created => markup::icon("server"),
            Self::Failure => markup::icon("alert-triangle"),
            Self::Credit => markup::icon("wallet"),
            Self::Event => markup::icon("history"),
        }
    }
}

/// A line of the timeline.
#[derive(Clone, Debug)]
pub struct TimelineEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub kind: TimelineKind,
    /// What happened, in words.
    pub text: String,
    /// Who did it, when a person did.
    pub who: Option<String>,
    /// What it cost.
    pub amount: Option<Decimal>,
}

/// What happened to a machine, newest first.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/timeline.html")]
pub struct VmTimeline {
    /// Newest first.
    pub events: Vec<TimelineEvent>,
    /// ISO 4217 code.
    pub currency: String,
}

/// Which part of a machine's pages is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// How it is and what happened to it.
    Overview,
    /// What it is called and who gets in.
    Settings,
    /// Another plan.
    Resize,
    /// Another system, or the rescue system.
    Rebuild,
}

/// What stands above every page of a machine: its name, how it is, what can be done, and the way to the other pages.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/head.html")]
pub struct VmHead {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of the location.
    pub location: String,
    /// Name of the plan.
    pub plan: String,
    /// `2 vCPU · 4 GiB · 40 GiB`
    pub plan_detail: String,
    /// Name of the image.
    pub image: String,
    /// What its owner marks it with.
    pub tags: Vec<String>,
    /// It starts from this CD, not from its disk.
    pub starts_from: Option<String>,
    /// State, step, reason.
    pub status: VmStatus,
    /// What can be done.
    pub actions: VmActions,
    /// Whether there is a guest that has settings.
    pub is_made: bool,
    /// What its reader may do: where he may not go, nothing leads.
    pub may: Permissions,
    /// The page that is open.
    pub tab: Tab,
}

/// The whole live part of the page; also the answer to `GET /vms/{id}/panel`.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/panel.html")]
pub struct VmPanel {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What stands above.
    pub head: VmHead,
    /// The short number, for people.
    pub number: i64,
    /// Neither deleted nor rebuilt.
    pub protected: bool,
    /// What its reader may do.
    pub may: Permissions,
    /// The CD in its drive.
    pub cd: Option<String>,
    /// When it was taken over, if it was not made here.
    pub adopted_at: Option<DateTime<Utc>>,
    /// VMs of this group are kept apart.
    pub placement_group: Option<String>,
    /// Length of its user data, in bytes, if it was made with any.
    pub user_data_bytes: Option<i32>,
    /// Name of the image.
    pub image: String,
    /// What can be done.
    pub actions: VmActions,
    /// IPv4, once known.
    pub address: Option<String>,
    /// Login name of the image, for the `ssh` line.
    pub login: Option<String>,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// Names of the keys in it.
    pub ssh_keys: Vec<String>,
    /// Price while running.
    pub running_per_hour: Decimal,
    /// Price while stopped.
    pub stopped_per_hour: Decimal,
    /// What it has cost this month.
    pub month: MonthView,
    /// While work in several steps goes on, or when it failed.
    pub provisioning: Option<Provisioning>,
    /// What happened to it.
    pub timeline: VmTimeline,
    /// ISO 4217 code.
    pub currency: String,
}

/// `GET /vms/{id}`.
#[derive(Debug, Template)]
#[template(path = "vms/show.html")]
pub struct VmPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The machine.
    pub panel: VmPanel,
}

/// `GET /vms/{id}/delete`, and `POST` to it when the name was not repeated.
#[derive(Debug, Template)]
#[template(path = "vms/delete.html")]
pub struct VmDeletePage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Id in URLs.
    pub id: String,
    /// Its name, to be typed.
    pub name: String,
    /// Goes with it; none for one that was never made.
    pub disk: Option<String>,
    /// Goes with it.
    pub address: Option<String>,
    /// What is no longer charged per hour.
    pub saves_per_hour: Decimal,
    /// What was typed.
    pub typed: String,
    /// Field: `name`.
    pub errors: FormErrors,
}

impl VmPanel {
    fn ssh_line(&self, login: &str, address: &str) -> String {
        format!("ssh {login}@{address}")
    }
}
