//! Guests that are not what is sold, each with what was expected, what was found, and what can be decided about it.

use askama::Template;
use chrono::{DateTime, Utc};

use super::frame::AdminFrame;
use super::markup;
use crate::web::format;

/// A plan that can be chosen.
#[derive(Clone, Debug)]
pub struct PlanOption {
    /// What is sent.
    pub value: String,
    /// Its name, size and what it does to the bill.
    pub text: String,
    /// Chosen beforehand: it fits exactly.
    pub selected: bool,
}

/// Something that can be decided.
#[derive(Clone, Debug)]
pub struct ChoiceView {
    /// Its word on the button.
    pub name: &'static str,
    /// What it does, or why it is not offered.
    pub words: String,
    /// What it does to the bill.
    pub bill: String,
    /// The question before it is sent.
    pub question: String,
    /// Whether it is not offered.
    pub refused: bool,
    /// Where it is sent.
    pub url: String,
    /// It takes something away.
    pub is_danger: bool,
    /// It follows a missing guest.
    pub follow: bool,
    /// The plans to choose from; empty: none is needed.
    pub plans: Vec<PlanOption>,
}

impl ChoiceView {
    /// Whether no plan is chosen beforehand.
    fn must_choose(&self) -> bool {
        self.plans.iter().all(|plan| !plan.selected)
    }
}

/// A difference.
#[derive(Clone, Debug)]
pub struct DriftRow {
    /// Id in URLs.
    pub id: String,
    /// What it is.
    pub title: String,
    /// The VM's name.
    pub vm: String,
    /// Whose it is.
    pub organisation: String,
    /// Id of the organisation in URLs.
    pub organisation_id: String,
    /// Cluster, node and VMID.
    pub place: String,
    /// What is sold.
    pub expected: String,
    /// What the cluster listed.
    pub found: String,
    /// The look that saw it first.
    pub since: DateTime<Utc>,
    /// A job is at work on the VM.
    pub busy: bool,
    /// What can be decided.
    pub choices: Vec<ChoiceView>,
}

/// `GET /admin/drift`.
#[derive(Debug, Template)]
#[template(path = "drift/list.html")]
pub struct DriftPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Longest first.
    pub rows: Vec<DriftRow>,
}
