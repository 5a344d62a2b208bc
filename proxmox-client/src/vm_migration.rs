//! Moving a virtual machine to another node, and asking beforehand what stands in the way. After a
//! move the machine is under another node in every path; this file does not follow it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::request::{Parameters, vm_path};
use crate::upid::Upid;

/// Where a machine shall go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrateVm {
    target: String,
    online: bool,
    with_local_disks: bool,
    target_storage: Option<String>,
}

impl MigrateVm {
    /// To this node, stopped, with all disks on shared storages.
    #[must_use]
    pub fn new(target: &str) -> Self {
        Self { target: String::from(target), online: false, with_local_disks: false, target_storage: None }
    }

    /// Whether a running machine goes on running; without it a running machine is refused.
    #[must_use]
    pub fn online(mut self, online: bool) -> Self {
        self.online = online;
        self
    }

    /// Whether disks on storages of the node are copied; without it they make the task fail.
    #[must_use]
    pub fn with_local_disks(mut self, with: bool) -> Self {
        self.with_local_disks = with;
        self
    }

    /// The storage of copied disks: one name, pairs `from:to` separated by commas, or `1` for the
    /// same names. Needs VM.Config.Disk and Datastore.AllocateSpace.
    #[must_use]
    pub fn target_storage(mut self, storage: &str) -> Self {
        self.target_storage = Some(String::from(storage));
        self
    }
}

/// A disk on a storage that other nodes do not see.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LocalDisk {
    /// The volume.
    pub volid: String,
    /// Its size, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub size: Option<u64>,
    /// The option it is attached to, such as `scsi0`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub drivename: Option<String>,
    /// Whether it is a CD; a cloud-init drive is one too.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub cdrom: bool,
    /// Whether no option uses it.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub is_unused: bool,
}

/// What a migration would meet.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MigrationCheck {
    /// Whether the machine runs.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub running: bool,
    /// The nodes a stopped machine can go to. Missing for a running one in some versions.
    #[serde(default)]
    pub allowed_nodes: Option<Vec<String>>,
    /// The nodes it cannot go to, with Proxmox' reasons as they came.
    #[serde(default)]
    pub not_allowed_nodes: BTreeMap<String, Value>,
    /// Disks that would have to be copied.
    #[serde(default)]
    pub local_disks: Vec<LocalDisk>,
    /// Devices of the node that bind the machine to it.
    #[serde(default)]
    pub local_resources: Vec<String>,
    /// Mapped devices; they bind a running machine.
    #[serde(rename = "mapped-resources", default)]
    pub mapped_resources: Vec<String>,
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/migrate?target=`. Needs VM.Migrate. Changes nothing. Refused
    /// with [`crate::Refusal::is_missing_guest`] when the machine is not on that node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn check_migration(&self, node: &str, vmid: u32, target: Option<&str>) -> Result<MigrationCheck, Error> {
        self.get(vm_path(node, vmid, "/migrate")?, Parameters::new().maybe("target", target)).await
    }

    /// `POST /nodes/{node}/qemu/{vmid}/migrate`. Needs VM.Migrate. The node it is on is refused with
    /// `errors.target` (400), an unknown one and a running machine without
    /// [`MigrateVm::online`] with 500; a lock fails the task. Under high availability the task
    /// (`hamigrate`) only asks for the move: look where the machine is. The machine's counters start
    /// again at 0.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::MigrateVm;
    /// let task = client.migrate_vm("pve1", 101, &MigrateVm::new("pve2")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn migrate_vm(&self, node: &str, vmid: u32, migrate: &MigrateVm) -> Result<Upid, Error> {
        let parameters = Parameters::new()
            .with("target", &migrate.target)
            .flag("online", migrate.online.then_some(true))
            .flag("with-local-disks", migrate.with_local_disks.then_some(true))
            .maybe("targetstorage", migrate.target_storage.as_deref());
        self.post(vm_path(node, vmid, "/migrate")?, parameters).await
    }
}
