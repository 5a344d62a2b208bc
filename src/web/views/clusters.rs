//! Proxmox clusters as the staff sees them: list, add with a connection test, one in detail.
//! The token's secret goes in and never comes out again.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::{FormErrors, SelectOption};
use super::frame::AdminFrame;
use super::markup;
use crate::web::format;

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

/// A node, as it was last seen.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Is it online?
    pub online: bool,
    /// Processors.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Of it in use, MiB.
    pub memory_used_mib: u64,
    /// Memory of our guests on it, running or not, MiB.
    pub memory_sold_mib: u64,
}

impl NodeRow {
    fn memory_used_percent(&self) -> u8 {
        format::percentage(self.memory_used_mib, self.memory_mib)
    }

    fn memory_sold_percent(&self) -> u8 {
        format::percentage(self.memory_sold_mib, self.memory_mib)
    }
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

/// Which template an image is cloned from here.
#[derive(Clone, Debug)]
pub struct ImageTemplate {
    /// Id of the image; the field is named `template_<id>`.
    pub image_id: String,
    /// Its name.
    pub image: String,
    /// VMID of the template, or empty.
    pub vmid: String,
}

/// `GET /admin/clusters/{id}`, and `POST …/templates` when it was refused.
#[derive(Debug, Template)]
#[template(path = "clusters/show.html")]
pub struct ClusterPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The cluster.
    pub cluster: ClusterRow,
    /// `user@realm!id`
    pub token_id: String,
    /// The pinned certificate, if any.
    pub fingerprint: Option<String>,
    /// Where disks go.
    pub storage: String,
    /// What network cards are tied to.
    pub bridge: String,
    /// First VMID we may use.
    pub vmid_from: u32,
    /// Last VMID we may use.
    pub vmid_to: u32,
    /// As last seen.
    pub nodes: Vec<NodeRow>,
    /// The last test, if one was made.
    pub test: Option<ConnectionTestCard>,
    /// One per image.
    pub images: Vec<ImageTemplate>,
    /// Templates known on the cluster, to choose from; none: a number is typed.
    pub templates: Vec<TemplateFound>,
    /// Fields: `template_<image id>`.
    pub errors: FormErrors,
}

impl ClusterNewPage {
    /// The commands that make a token with the privileges our calls need, and no others.
    fn token_recipe(&self) -> &'static str {
        TOKEN_RECIPE
    }
}

impl ClusterPage {
    fn template_field(&self, image: &ImageTemplate) -> String {
        format!("template_{}", image.image_id)
    }

    fn is_chosen(&self, template: &TemplateFound, image: &ImageTemplate) -> bool {
        template.vmid.to_string() == image.vmid
    }
}

/// What an operator types on a node. `SDN.Use` is asked for by a clone that keeps a network card
/// on a bridge; the rest follows the permissions in Proxmox's own API schema. `VM.GuestAgent.Audit` came with
/// Proxmox VE 9 in place of `VM.Monitor`.
const TOKEN_RECIPE: &str = "\
pveum role add UniManager -privs \"VM.Allocate VM.Audit VM.Clone VM.Config.CPU VM.Config.Cloudinit \
VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options \
VM.Console VM.GuestAgent.Audit VM.PowerMgmt \
Datastore.AllocateSpace Datastore.Audit SDN.Use Sys.Audit\"
pveum user add uni@pve
pveum acl modify / -user uni@pve -role UniManager
pveum user token add uni@pve manager -privsep 0";
