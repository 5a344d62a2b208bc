//! Making a virtual machine from options, and making a template of one. Clones are in
//! `vm_lifecycle.rs`; nothing here chooses a number or looks whether it is free.

use crate::client::Client;
use crate::config_change::ConfigChange;
use crate::error::Error;
use crate::request::{Parameters, node_path, vm_path};
use crate::upid::Upid;

/// What a new virtual machine shall be.
#[derive(Debug, Clone)]
pub struct CreateVm {
    vmid: u32,
    options: ConfigChange,
    pool: Option<String>,
    start: bool,
}

impl CreateVm {
    /// A machine with this number, 100 to 999999999, and no option.
    #[must_use]
    pub fn new(vmid: u32) -> Self {
        Self { vmid, options: ConfigChange::new(), pool: None, start: false }
    }

    /// Its options; what they take away and their digest mean nothing here. A new disk is
    /// `STORAGE:GIB` (`scsi0=local-lvm:32`, without a unit), an imported one
    /// `STORAGE:0,import-from=VOLUME`, a cloud-init drive `STORAGE:cloudinit`. Give the cloud-init
    /// password as a crypt hash: unlike a change, a creation may store it as it is.
    #[must_use]
    pub fn options(mut self, options: ConfigChange) -> Self {
        self.options = options;
        self
    }

    /// The pool it joins at the end of the task.
    #[must_use]
    pub fn pool(mut self, pool: &str) -> Self {
        self.pool = Some(String::from(pool));
        self
    }

    /// Whether it is started at the end. That this failed is only a line of the task's log:
    /// [`Client::start`] tells more.
    #[must_use]
    pub fn start(mut self, start: bool) -> Self {
        self.start = start;
        self
    }
}

impl Client {
    /// `POST /nodes/{node}/qemu`. Needs VM.Allocate on the number or the pool,
    /// Datastore.AllocateSpace per storage, SDN.Use per bridge and VM.Config.* per option. Refused
    /// with [`crate::Refusal::is_already_exists`], [`crate::Refusal::missing_privilege`], or 400
    /// with the option in `errors`. A missing volume or a full storage fail the task, which then
    /// removes what it made. Never repeat it blindly: after [`Error::MaybeDone`] look for the number
    /// and for a mark of your own in it.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::{ConfigChange, CreateVm};
    /// let options = ConfigChange::new().cores(1).set("scsi0", "local-lvm:8");
    /// let task = client.create_vm("pve1", &CreateVm::new(101).options(options)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_vm(&self, node: &str, create: &CreateVm) -> Result<Upid, Error> {
        let parameters = create
            .options
            .options(Parameters::new().with("vmid", create.vmid))
            .maybe("pool", create.pool.as_deref())
            .flag("start", create.start.then_some(true));
        self.post(node_path(node, "/qemu")?, parameters).await
    }

    /// `POST /nodes/{node}/qemu/{vmid}/template`. Needs VM.Allocate. Makes a template of a stopped
    /// machine without snapshots; there is no way back. A template never starts. A running machine
    /// or one with snapshots is refused (500) or fails the task; a lock is
    /// [`crate::Refusal::is_locked`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn make_template(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.post(vm_path(node, vmid, "/template")?, Parameters::new()).await
    }
}
