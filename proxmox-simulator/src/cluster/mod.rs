//! The state of a simulated cluster: nodes, storages, volumes, guests, tasks. It knows no requests; calls and tasks
//! change it through the methods here.

pub mod archive;
pub(crate) mod build;
pub(crate) mod dates;
pub(crate) mod drive;
pub mod guest;
pub(crate) mod picture;
pub(crate) mod sizes;
pub mod snapshot;
pub mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::clock::Micros;
use crate::console::Consoles;
use crate::failure::Failure;
use crate::firewall::Firewall;
use crate::ha::Ha;
use crate::options::{Release, Timing};
use crate::schema::Schema;
use crate::tasks::Tasks;
use guest::Guest;
use storage::{Storage, Volume, Volumes};

/// First id that `/cluster/nextid` gives.
const VMID_FIRST: u32 = 100;
/// Version of the snapshot's form.
pub(crate) const SNAPSHOT_FORMAT: u32 = 1;

/// Everything there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterState {
    pub(crate) format: u32,
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) bridges: Vec<String>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) volumes: Volumes,
    pub(crate) guests: BTreeMap<u32, Guest>,
    pub(crate) tasks: Tasks,
    #[serde(default, with = "crate::access")]
    pub(crate) access: Arc<Access>,
    #[serde(default)]
    pub(crate) firewall: Firewall,
    #[serde(default)]
    pub(crate) ha: Ha,
    /// Backup jobs by id.
    #[serde(default)]
    pub(crate) backup_jobs: BTreeMap<String, crate::backups::jobs::Job>,
    /// Datacenter options somebody set.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) next_free: u32,
    pub(crate) changes: u64,
    /// Files that were received and wait for their call, by temporary name.
    #[serde(skip)]
    pub(crate) received: BTreeMap<String, crate::storage_files::Received>,
    #[serde(skip)]
    pub(crate) picture: picture::Picture,
    #[serde(skip)]
    pub(crate) consoles: Consoles,
    #[serde(skip)]
    pub(crate) settings: Arc<Settings>,
}

/// What does not belong to the state but decides how it behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) release: Release,
    pub(crate) timing: Timing,
    /// How old the picture behind `/cluster/resources` may be.
    pub(crate) resources_lag: Duration,
    pub(crate) fingerprint: String,
    pub(crate) certificate: String,
    pub(crate) address: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            release: Release::default(),
            timing: Timing::instant(),
            resources_lag: Duration::ZERO,
            fingerprint: String::new(),
            certificate: String::new(),
            address: "127.0.0.1".to_owned(),
        }
    }
}

/// One node of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Processor threads.
    pub cores: u32,
    /// When it booted, in microseconds since the epoch.
    pub booted: Micros,
    /// Since when it is down, in microseconds since the epoch.
    #[serde(default)]
    pub offline_since: Option<Micros>,
}

impl ClusterState {
    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All guests by VMID.
    pub fn guests(&self) -> &BTreeMap<u32, Guest> {
        &self.guests
    }

    /// A guest, wherever it is.
    pub fn guest(&self, vmid: u32) -> Option<&Guest> {
        self.guests.get(&vmid)
    }

    /// All volumes of a storage as seen from a node.
    pub fn volumes(&self, storage: &str, node: &str) -> Vec<Volume> {
        self.storage(storage).map(|storage| self.volumes.on(storage, node).cloned().collect()).unwrap_or_default()
    }

    /// The schema of the release this cluster runs.
    pub(crate) fn schema(&self) -> &'static Schema {
        Schema::of(self.settings.release)
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.settings.timing
    }

    /// Notes a change, so that somebody who saves the state knows.
    pub(crate) fn touch(&mut self) {
        self.changes += 1;
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The storage `id`.
    pub(crate) fn storage(&self, id: &str) -> Result<&Storage, Failure> {
        let found = self.storages.iter().find(|storage| storage.id == id);
        found.ok_or_else(|| Failure::died(format!("storage '{id}' does not exist")))
    }

    /// The guest whose config file lies on `node`.
    pub(crate) fn guest_on(&self, node: &str, vmid: u32) -> Option<&Guest> {
        self.guests.get(&vmid).filter(|guest| guest.node == node)
    }

    /// `load_config`: the guest, or Proxmox's words for its absence.
    pub(crate) fn load(&self, node: &str, vmid: u32) -> Result<&Guest, Failure> {
        self.guest_on(node, vmid).ok_or_else(|| Failure::died(no_config_file(node, vmid)))
    }

    /// As `load`, to change it.
    pub(crate) fn load_mut(&mut self, node: &str, vmid: u32) -> Result<&mut Guest, Failure> {
        let guest = self.guests.get_mut(&vmid).filter(|guest| guest.node == node);
        guest.ok_or_else(|| Failure::died(no_config_file(node, vmid)))
    }

    /// `assert_config_exists_on_node`: the other words for the same absence.
    pub(crate) fn assert_on_node(&self, node: &str, vmid: u32) -> Result<&Guest, Failure> {
        self.guest_on(node, vmid)
            .ok_or_else(|| Failure::died(format!("unable to find configuration file for VM {vmid} on node '{node}'")))
    }

    /// Adds a guest.
    pub(crate) fn add_guest(&mut self, guest: Guest) {
        self.guests.insert(guest.vmid, guest);
        self.touch();
    }

    /// Takes a guest's config file away. Its volumes stay.
    pub(crate) fn remove_guest(&mut self, vmid: u32) -> Option<Guest> {
        let guest = self.guests.remove(&vmid)?;
        if vmid >= VMID_FIRST {
            self.next_free = self.next_free.min(vmid);
        }
        self.touch();
        Some(guest)
    }

    /// The lowest free id; nothing is reserved by asking.
    pub(crate) fn next_id(&mut self) -> u32 {
        while self.guests.contains_key(&self.next_free) {
            self.next_free += 1;
        }
        self.next_free
    }

    /// Splits a volume id and looks the storage up.
    pub(crate) fn parse_volume_id<'a>(&self, volid: &'a str) -> Result<(&Storage, &'a str), Failure> {
        let (storage, name) =
            volid.split_once(':').ok_or_else(|| Failure::died(format!("unable to parse volume ID '{volid}'")))?;
        Ok((self.storage(storage)?, name))
    }

    /// The volume `volid` as seen from `node`.
    pub(crate) fn volume(&self, node: &str, volid: &str) -> Result<&Volume, Failure> {
        let (storage, name) = self.parse_volume_id(volid)?;
        let volume = self.volumes.get(storage, node, name);
        volume.ok_or_else(|| Failure::died(format!("volume '{volid}' does not exist")))
    }

    pub(crate) fn insert_volume(&mut self, node: &str, volume: Volume) -> Result<(), Failure> {
        let storage = self.storage(&volume.storage)?.clone();
        self.volumes.insert(&storage, node, volume);
        Ok(())
    }

    pub(crate) fn free_volume(&mut self, node: &str, volid: &str) -> Option<Volume> {
        let (storage, name) = self.parse_volume_id(volid).ok()?;
        let (storage, name) = (storage.clone(), name.to_owned());
        self.volumes.remove(&storage, node, &name)
    }
}

/// `load_config`'s text for a missing file.
pub(crate) fn no_config_file(node: &str, vmid: u32) -> String {
    format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
}
