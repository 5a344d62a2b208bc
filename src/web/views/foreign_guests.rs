//! Guests on the clusters that are not ours, the form that takes one over, and those that were taken over.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::{FormErrors, SelectOption};
use super::frame::AdminFrame;
use super::markup;
use crate::web::format;

/// A guest that is not ours.
#[derive(Clone, Debug)]
pub struct GuestRow {
    /// Its VMID.
    pub vmid: i32,
    /// Its name.
    pub name: String,
    /// Running or not.
    pub status: String,
    /// It cannot be adopted.
    pub template: bool,
    /// The cluster's name.
    pub cluster: String,
    /// Its node.
    pub node: String,
    /// Processors, memory, disk.
    pub size: String,
    /// Its tags, separated by commas.
    pub tags: String,
    /// The look that saw it first.
    pub first_seen_at: DateTime<Utc>,
    /// Where it is adopted.
    pub url: String,
}

/// A machine that was taken over.
#[derive(Clone, Debug)]
pub struct AdoptedRow {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose.
    pub organisation: String,
    /// Id of the organisation in URLs.
    pub organisation_id: String,
    /// Its plan.
    pub plan: String,
    /// Where it stands.
    pub state: String,
    /// Cluster, node and VMID.
    pub place: String,
    /// When it was taken over.
    pub adopted_at: DateTime<Utc>,
    /// Whether it can be let go.
    pub may_release: bool,
}

/// `GET /admin/foreign-guests?cluster=&search=`.
#[derive(Debug, Template)]
#[template(path = "foreign_guests/list.html")]
pub struct ForeignGuestsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// What was searched for, or empty.
    pub search: String,
    /// The chosen cluster, or empty.
    pub cluster: String,
    /// The clusters to choose from.
    pub clusters: Vec<SelectOption>,
    /// By cluster and VMID.
    pub rows: Vec<GuestRow>,
    /// Where there are more.
    pub more_url: Option<String>,
    /// Newest first.
    pub adopted: Vec<AdoptedRow>,
}

impl ForeignGuestsPage {
    fn is_filtered(&self) -> bool {
        !self.search.is_empty() || !self.cluster.is_empty()
    }
}

/// What was typed to adopt a guest.
#[derive(Clone, Debug, Default)]
pub struct AdoptForm {
    /// The organisation's id.
    pub organisation: String,
    /// The plan's id.
    pub plan: String,
    /// The image's id.
    pub image: String,
    /// The name.
    pub name: String,
    /// The address.
    pub address: String,
    /// Which organisations are looked for.
    pub find: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// `GET /admin/foreign-guests/{cluster}/{vmid}`, and `POST` when it was refused.
#[derive(Debug, Template)]
#[template(path = "foreign_guests/adopt.html")]
pub struct AdoptPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The guest.
    pub guest: GuestRow,
    /// What was typed.
    pub form: AdoptForm,
    /// The organisations to choose from.
    pub organisations: Vec<SelectOption>,
    /// The plans to choose from.
    pub plans: Vec<SelectOption>,
    /// The images to choose from.
    pub images: Vec<SelectOption>,
}
