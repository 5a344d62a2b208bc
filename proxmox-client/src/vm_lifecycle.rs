//! Cloning and deleting a virtual machine. Each is a task, and neither may be repeated blindly:
//! after [`Error::MaybeDone`] look for what it made.

use crate::client::Client;
use crate::error::Error;
use crate::request::{Parameters, vm_path};
use crate::upid::Upid;

/// What a clone shall be. Everything not named here comes from the source: tags, protection,
/// start with the node, cloud-init options and the firewall file too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneVm {
    newid: u32,
    name: Option<String>,
    description: Option<String>,
    full: Option<bool>,
    storage: Option<String>,
    format: Option<String>,
    target: Option<String>,
    pool: Option<String>,
}

impl CloneVm {
    /// A clone with this number, 100 to 999999999.
    #[must_use]
    pub fn new(newid: u32) -> Self {
        Self { newid, name: None, description: None, full: None, storage: None, format: None, target: None, pool: None }
    }

    /// Its name, a DNS name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(String::from(name));
        self
    }

    /// Its description.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        self.description = Some(String::from(text));
        self
    }

    /// A full copy, or one that depends on the template. Unset: linked for a template.
    #[must_use]
    pub fn full(mut self, full: bool) -> Self {
        self.full = Some(full);
        self
    }

    /// The storage of its disks; only for a full copy.
    #[must_use]
    pub fn storage(mut self, storage: &str) -> Self {
        self.storage = Some(String::from(storage));
        self
    }

    /// The format of its disks, `raw`, `qcow2` or `vmdk`; only for a full copy on a file storage.
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.format = Some(String::from(format));
        self
    }

    /// The node of the clone; only when all disks are on shared storages.
    #[must_use]
    pub fn target(mut self, node: &str) -> Self {
        self.target = Some(String::from(node));
        self
    }

    /// The pool it joins at the end of the task.
    #[must_use]
    pub fn pool(mut self, pool: &str) -> Self {
        self.pool = Some(String::from(pool));
        self
    }
}

impl Client {
    /// `POST /nodes/{node}/qemu/{vmid}/clone`. Needs VM.Clone on the source, VM.Allocate on the new
    /// number or the pool, Datastore.AllocateSpace on the storage and SDN.Use on the bridges. The
    /// task's id is the *source*. Refused with [`crate::Refusal::is_already_exists`],
    /// [`crate::Refusal::is_missing_guest`] (the source), [`crate::Refusal::is_locked`]; a busy
    /// source fails the task with [`crate::TaskError::is_busy`], and so may a taken number.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::CloneVm;
    /// let clone = CloneVm::new(101).name("web-1").full(true).storage("local-lvm");
    /// let task = client.clone_vm("pve1", 9000, &clone).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clone_vm(&self, node: &str, source_vmid: u32, clone: &CloneVm) -> Result<Upid, Error> {
        let parameters = Parameters::new()
            .with("newid", clone.newid)
            .maybe("name", clone.name.as_deref())
            .maybe("description", clone.description.as_deref())
            .flag("full", clone.full)
            .maybe("storage", clone.storage.as_deref())
            .maybe("format", clone.format.as_deref())
            .maybe("target", clone.target.as_deref())
            .maybe("pool", clone.pool.as_deref());
        self.post(vm_path(node, source_vmid, "/clone")?, parameters).await
    }

    /// `DELETE /nodes/{node}/qemu/{vmid}`. Needs VM.Allocate. Destroys the machine and its disks.
    /// `purge` also takes it out of backup jobs, replication and high availability;
    /// `destroy_unreferenced_disks` also destroys volumes of that number no option names. Backups
    /// stay. Refused with [`crate::Refusal::is_running`], [`crate::Refusal::is_protected`],
    /// [`crate::Refusal::is_missing_guest`]; a lock fails the task. A task that ends with warnings
    /// may have left volumes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_vm(
        &self,
        node: &str,
        vmid: u32,
        purge: bool,
        destroy_unreferenced_disks: bool,
    ) -> Result<Upid, Error> {
        let parameters = Parameters::new()
            .flag("purge", Some(purge))
            .flag("destroy-unreferenced-disks", Some(destroy_unreferenced_disks));
        self.delete(vm_path(node, vmid, "")?, parameters).await
    }
}
