//! Proxmox clusters as the staff sees them: list, add with a connection test, one in detail.
//! The token's secret goes in and never comes out again.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::{FormErrors, SelectOption};
use super::frame::AdminFrame;
use super::markup;
use crate::clusters::privileges;
use crate::web::format;

pub mod page;
pub mod settings;
pub mod vms;

/// Whether a cluster answers.
#[derive(Clone, Debug)]
pub enum ClusterHealth {
    /// Not asked yet.
    Unasked,
    /// It answers.
    Answering,
    /// It does not: since when, and what was said.
    Silent {
        /// Since when.
        since: DateTime<Utc>,
        /// What went wrong, in a sentence.
        words: String,
        /// When it is asked again.
        next_look: Option<DateTime<Utc>>,
    },
}

/// A cluster in the list.
#[derive(Clone, Debug)]
pub struct ClusterRow {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of the location.
    pub location: String,
    /// Address of its API.
    pub endpoint: String,
    /// Whether it answers.
    pub health: ClusterHealth,
    /// Version of Proxmox VE, once known.
    pub version: Option<String>,
    /// How many nodes.
    pub nodes: u64,
    /// How many guests of ours.
    pub guests: u64,
    /// When it was last asked.
    pub looked_at: Option<DateTime<Utc>>,
    /// Takes no new machines.
    pub maintenance: bool,
    /// Memory of all nodes.
    pub memory: page::Gauge,
}

impl ClusterRow {
    /// Does it not answer? Then nobody knows how its nodes are.
    fn is_silent(&self) -> bool {
        matches!(self.health, ClusterHealth::Silent { .. })
    }
}

/// `GET /admin/clusters`.
#[derive(Debug, Template)]
#[template(path = "clusters/list.html")]
pub struct ClustersPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// By name.
    pub rows: Vec<ClusterRow>,
}

/// A node found by the test.
#[derive(Clone, Debug)]
pub struct NodeFound {
    /// Its name.
    pub name: String,
    /// Processors; zero when it is offline.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
}

/// A storage found by the test.
#[derive(Clone, Debug)]
pub struct StorageFound {
    /// Its name.
    pub name: String,
    /// Do all nodes see the same data?
    pub shared: bool,
}

/// A template found by the test.
#[derive(Clone, Debug)]
pub struct TemplateFound {
    /// Its VMID.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// The node it stands on.
    pub node: String,
}

/// A privilege the token lacks.
#[derive(Clone, Debug)]
pub struct MissingPrivilege {
    /// Proxmox's name: `VM.Clone`.
    pub privilege: String,
    /// Where it is needed: `/vms`.
    pub path: String,
    /// What we need it for.
    pub why: String,
    /// The command that grants it.
    pub command: String,
}

/// What a connection test found.
#[derive(Clone, Debug)]
pub enum ConnectionTest {
    /// It could not be tested.
    Failed {
        /// What went wrong, in a sentence, and what to do.
        sentence: String,
        /// The certificate it showed (SHA-256, colons), when that was the matter.
        fingerprint_seen: Option<String>,
    },
    /// It answered.
    Answered {
        /// Version of Proxmox VE.
        version: String,
        /// Its nodes.
        nodes: Vec<NodeFound>,
        /// Its storages.
        storages: Vec<StorageFound>,
        /// Its templates.
        templates: Vec<TemplateFound>,
        /// What the token may not do; empty when all is well.
        missing: Vec<MissingPrivilege>,
    },
}

/// The card of a test's result.
#[derive(Clone, Debug, Template)]
#[template(path = "clusters/test.html")]
pub struct ConnectionTestCard {
    /// What was found.
    pub test: ConnectionTest,
    /// When.
    pub at: DateTime<Utc>,
    /// Of a cluster that is there already: the way to trust another certificate.
    pub certificate: Option<CertificateForm>,
}

/// Trusting another certificate of a cluster. Fields: `fingerprint`, `compared`.
#[derive(Clone, Debug)]
pub struct CertificateForm {
    /// Id of the cluster.
    pub cluster: String,
    /// The token of the page's forms.
    pub csrf: String,
    /// The certificate that is pinned now.
    pub pinned: Option<String>,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// What was typed to add a cluster.
/// Fields: `name`, `location`, `endpoint`, `token_id`, `secret`, `fingerprint`, `storage`, `bridge`, `vmid_from`, `vmid_to`.
#[derive(Clone, Debug, Default)]
pub struct ClusterForm {
    /// Its name.
    pub name: String,
    /// Id of the location.
    pub location: String,
    /// `https://host:8006`
    pub endpoint: String,
    /// `user@realm!id`
    pub token_id: String,
    /// SHA-256, or empty.
    pub fingerprint: String,
    /// Where disks go.
    pub storage: String,
    /// What network cards are tied to.
    pub bridge: String,
    /// First VMID we may use.
    pub vmid_from: String,
    /// Last VMID we may use.
    pub vmid_to: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// `GET /admin/clusters/new`; `POST /admin/clusters/test`; `POST /admin/clusters` when it was refused.
#[derive(Debug, Template)]
#[template(path = "clusters/new.html")]
pub struct ClusterNewPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// What was typed.
    pub form: ClusterForm,
    /// Locations to choose from.
    pub locations: Vec<SelectOption>,
    /// What the test found, after one.
    pub test: Option<ConnectionTestCard>,
}

impl ClusterNewPage {
    /// The commands that make a token with the privileges our calls need, and no others.
    fn token_recipe(&self) -> String {
        token_recipe(RELEASE_NEW)
    }
}

/// The release that the commands are written for.
const RELEASE_NEW: &str = "9";

/// What an operator types on a node to make a role, a user and a token. The token has a right only where both have it.
fn token_recipe(release: &str) -> String {
    let role = privileges::ROLE;
    format!(
        "pveum role add {role} --privs \"{}\"\npveum user add uni-manager@pve\npveum user token add uni-manager@pve panel --privsep 1\n\
         pveum acl modify / --users uni-manager@pve --roles {role}\npveum acl modify / --tokens 'uni-manager@pve!panel' --roles {role}",
        privileges::role(release).join(" ")
    )
}
