//! The settings of a cluster, to be changed.

use askama::Template;

use super::ClusterRow;
use crate::web::format;
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::AdminFrame;
use crate::web::views::markup;

/// What was typed. Fields: `name`, `endpoint`, `token_id`, `secret`, `bridge`, `memory_percent`, `cpu_percent`,
/// `disk_percent`, `node_reserve_mib`, `iso_storage`.
#[derive(Clone, Debug, Default)]
pub struct SettingsForm {
    /// Its name.
    pub name: String,
    /// `https://host:8006`
    pub endpoint: String,
    /// `user@realm!id`
    pub token_id: String,
    /// What network cards are tied to.
    pub bridge: String,
    /// Percent.
    pub memory_percent: String,
    /// Percent.
    pub cpu_percent: String,
    /// Percent.
    pub disk_percent: String,
    /// MiB.
    pub node_reserve_mib: String,
    /// Where CD images are, or empty.
    pub iso_storage: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// `GET` and `POST /admin/clusters/{id}/settings`.
#[derive(Debug, Template)]
#[template(path = "clusters/settings.html")]
pub struct ClusterSettingsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The cluster.
    pub cluster: ClusterRow,
    /// The pinned certificate, if any.
    pub fingerprint: Option<String>,
    /// What was typed.
    pub form: SettingsForm,
    /// Storages that may hold CD images.
    pub iso_storages: Vec<SelectOption>,
    /// Why it cannot be removed just now.
    pub remove_refusal: Option<String>,
}
