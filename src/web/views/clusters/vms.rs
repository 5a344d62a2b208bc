//! The machines of a cluster.

use askama::Template;

use crate::web::format;
use crate::web::views::frame::AdminFrame;
use crate::web::views::markup;
use crate::web::views::vms::VmStatus;

/// A machine as the staff sees it on its cluster.
#[derive(Clone, Debug)]
pub struct ClusterVm {
    /// State, step, reason.
    pub status: VmStatus,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub organisation: String,
    /// The owner's id.
    pub organisation_id: String,
    /// `S · 2 vCPU · 4 GiB`
    pub plan: String,
    /// Where it is.
    pub node: String,
    /// Its VMID; none before the clone.
    pub vmid: Option<i32>,
    /// Whether it can be moved now.
    pub can_move: bool,
}

/// `GET /admin/clusters/{id}/vms?after=`.
#[derive(Debug, Template)]
#[template(path = "clusters/vms.html")]
pub struct ClusterVmsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Its name.
    pub cluster: String,
    /// Id in URLs.
    pub cluster_id: String,
    /// Newest first.
    pub rows: Vec<ClusterVm>,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// Back to the newest, when this is not them.
    pub newest_url: Option<String>,
    /// This page itself, for its live part.
    pub url: String,
}
