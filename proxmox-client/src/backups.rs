//! Backing up a guest with vzdump, and making a machine of a backup. Backups themselves are volumes:
//! listing, protecting and removing them is in `storage.rs` and `storage_content.rs`.

use serde::Deserialize;

use crate::client::Client;
use crate::config_change::ConfigChange;
use crate::error::{Error, MaybeDoneCause};
use crate::lenient::text_enum;
use crate::request::{Parameters, node_path};
use crate::upid::Upid;

text_enum! {
    /// What happens to a running guest during its backup.
    BackupMode {
        /// It runs on.
        Snapshot = "snapshot",
        /// It is paused for a while.
        Suspend = "suspend",
        /// It is shut down and started again.
        Stop = "stop",
    }
}

/// What a backup shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackUp {
    vmid: u32,
    storage: String,
    mode: BackupMode,
    compress: Option<String>,
    notes: Option<String>,
    protected: bool,
    prune: bool,
}

impl BackUp {
    /// A backup of this guest to this storage while it runs, compressed with zstd; older ones stay.
    #[must_use]
    pub fn new(vmid: u32, storage: &str) -> Self {
        Self {
            vmid,
            storage: String::from(storage),
            mode: BackupMode::Snapshot,
            compress: Some(String::from("zstd")),
            notes: None,
            protected: false,
            prune: false,
        }
    }

    /// What happens to the guest meanwhile.
    #[must_use]
    pub fn mode(mut self, mode: BackupMode) -> Self {
        self.mode = mode;
        self
    }

    /// The compression: `0`, `gzip`, `lzo` or `zstd`; a Proxmox Backup Server has its own.
    #[must_use]
    pub fn compress(mut self, compression: &str) -> Self {
        self.compress = Some(String::from(compression));
        self
    }

    /// The notes; `{{guestname}}`, `{{vmid}}`, `{{node}}` and `{{cluster}}` are filled in. Up to
    /// 1024 letters.
    #[must_use]
    pub fn notes(mut self, template: &str) -> Self {
        self.notes = Some(String::from(template));
        self
    }

    /// Whether it is protected against removal.
    #[must_use]
    pub fn protected(mut self, protected: bool) -> Self {
        self.protected = protected;
        self
    }

    /// Whether older backups of the guest are removed by the storage's own rules afterwards.
    #[must_use]
    pub fn prune(mut self, prune: bool) -> Self {
        self.prune = prune;
        self
    }
}

/// A machine to be made of a backup.
#[derive(Debug, Clone)]
pub struct RestoreVm {
    vmid: u32,
    archive: String,
    storage: Option<String>,
    overwrite: bool,
    unique: bool,
    options: ConfigChange,
    pool: Option<String>,
}

impl RestoreVm {
    /// The machine with this number from this volume, such as
    /// `local:backup/vzdump-qemu-100-2026_01_31-12_00_00.vma.zst`.
    #[must_use]
    pub fn new(vmid: u32, archive: &str) -> Self {
        Self {
            vmid,
            archive: String::from(archive),
            storage: None,
            overwrite: false,
            unique: false,
            options: ConfigChange::new(),
            pool: None,
        }
    }

    /// The storage of all its disks, instead of those they were on.
    #[must_use]
    pub fn storage(mut self, storage: &str) -> Self {
        self.storage = Some(String::from(storage));
        self
    }

    /// Whether a machine of that number is destroyed first. It has to be stopped and unprotected.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Whether it gets MAC addresses of its own, for a second machine beside the first.
    #[must_use]
    pub fn unique(mut self, unique: bool) -> Self {
        self.unique = unique;
        self
    }

    /// Options instead of those in the backup; none for a disk. Everything else comes back as it
    /// was: name, tags, cloud-init, start with the node.
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
}

#[derive(Deserialize)]
#[serde(untagged)]
enum BackupAnswer {
    Task(Upid),
    Word(String),
}

impl Client {
    /// `POST /nodes/{node}/vzdump`. Needs VM.Backup on the guest and Datastore.AllocateSpace on the
    /// storage, to prune Datastore.Allocate. `None` when the guest is not on that node: nothing was
    /// backed up. One at a time runs per node; the others wait in their task, up to three hours. The
    /// guest has the lock `backup`, and a stopped one shows as running meanwhile. A missing storage
    /// and a lock fail the task, often with `job errors`; the reason is then in its log, and so is
    /// the name of the new volume.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::{BackUp, BackupMode};
    /// let task = client.back_up("pve1", &BackUp::new(101, "backups")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn back_up(&self, node: &str, back_up: &BackUp) -> Result<Option<Upid>, Error> {
        let parameters = Parameters::new()
            .with("vmid", back_up.vmid)
            .with("storage", &back_up.storage)
            .with("mode", &back_up.mode)
            .maybe("compress", back_up.compress.as_deref())
            .maybe("notes-template", back_up.notes.as_deref())
            .flag("protected", back_up.protected.then_some(true))
            .flag("remove", Some(back_up.prune));
        let path = node_path(node, "/vzdump")?;
        match self.post(path.clone(), parameters).await? {
            BackupAnswer::Task(upid) => Ok(Some(upid)),
            BackupAnswer::Word(word) if word == "OK" => Ok(None),
            BackupAnswer::Word(_) => {
                let detail = "the answer is neither a task nor OK";
                Err(Error::maybe_done(format_args!("POST {path}"), MaybeDoneCause::Unreadable, detail))
            }
        }
    }

    /// `GET /nodes/{node}/vzdump/extractconfig?volume=`. Needs VM.Backup on the machine the backup is of
    /// and Datastore.AllocateSpace on the storage. The configuration in a backup, as the text of a
    /// configuration file: what a restore brings back, without its disks. Refused (500) for a volume
    /// that is not there or no backup.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn backup_config(&self, node: &str, volume: &str) -> Result<String, Error> {
        self.get(node_path(node, "/vzdump/extractconfig")?, Parameters::new().with("volume", volume)).await
    }

    /// `POST /nodes/{node}/qemu` with `archive`. Needs what [`Client::create_vm`] needs and VM.Backup
    /// or Datastore.AllocateSpace for the volume; to overwrite, VM.Backup on the machine is enough.
    /// Refused with [`crate::Refusal::is_already_exists`] without [`RestoreVm::overwrite`],
    /// [`crate::Refusal::is_running`], [`crate::Refusal::is_protected`]. A failed task leaves a
    /// broken machine without a lock behind.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn restore_vm(&self, node: &str, restore: &RestoreVm) -> Result<Upid, Error> {
        let parameters = Parameters::new().with("vmid", restore.vmid).with("archive", &restore.archive);
        let parameters = restore
            .options
            .options(parameters)
            .maybe("storage", restore.storage.as_deref())
            .flag("force", restore.overwrite.then_some(true))
            .flag("unique", restore.unique.then_some(true))
            .maybe("pool", restore.pool.as_deref());
        self.post(node_path(node, "/qemu")?, parameters).await
    }
}
