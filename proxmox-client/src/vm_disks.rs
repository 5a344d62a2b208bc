//! Disks of a virtual machine after its making: growing, moving to another storage, detaching.
//! Attaching is a change of the configuration.

use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::{Error, NeverSentCause};
use crate::request::{Parameters, vm_path};
use crate::upid::Upid;

/// Where a disk shall go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveDisk {
    disk: String,
    storage: String,
    format: Option<String>,
    delete_source: bool,
    digest: Option<String>,
}

impl MoveDisk {
    /// The disk with this option (`scsi0`) to this storage. The old volume stays as `unusedN`.
    #[must_use]
    pub fn new(disk: &str, storage: &str) -> Self {
        Self {
            disk: String::from(disk),
            storage: String::from(storage),
            format: None,
            delete_source: false,
            digest: None,
        }
    }

    /// The format of the copy, `raw`, `qcow2` or `vmdk`; only on a file storage.
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.format = Some(String::from(format));
        self
    }

    /// Whether the old volume is destroyed once the copy is in use.
    #[must_use]
    pub fn delete_source(mut self, delete: bool) -> Self {
        self.delete_source = delete;
        self
    }

    /// Only if the configuration still has this digest.
    #[must_use]
    pub fn digest(mut self, digest: &str) -> Self {
        self.digest = Some(String::from(digest));
        self
    }
}

impl Client {
    /// `PUT /nodes/{node}/qemu/{vmid}/resize`. Needs VM.Config.Disk and Datastore.AllocateSpace.
    /// Grows `disk` (such as `scsi0`) to `size_gib` GiB in all; the same size is fine, so this may
    /// be repeated. A smaller size, a missing disk or a lock fail the task. `None` from versions
    /// before 8, which do it before they answer.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let task = client.resize_disk("pve1", 101, "scsi0", 40).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resize_disk(&self, node: &str, vmid: u32, disk: &str, size_gib: u64) -> Result<Option<Upid>, Error> {
        self.resize(node, vmid, disk, size_gib, None).await
    }

    /// As [`Client::resize_disk`], but only if the configuration still has this digest; otherwise
    /// refused, or the task failed, with `is_changed_meanwhile`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resize_disk_if_unchanged(
        &self,
        node: &str,
        vmid: u32,
        disk: &str,
        size_gib: u64,
        digest: &str,
    ) -> Result<Option<Upid>, Error> {
        self.resize(node, vmid, disk, size_gib, Some(digest)).await
    }

    async fn resize(
        &self,
        node: &str,
        vmid: u32,
        disk: &str,
        size_gib: u64,
        digest: Option<&str>,
    ) -> Result<Option<Upid>, Error> {
        let path = vm_path(node, vmid, "/resize")?;
        if size_gib == 0 {
            let detail = "a disk cannot have the size 0";
            return Err(Error::never_sent(format_args!("PUT {path}"), NeverSentCause::Argument, detail));
        }
        let parameters =
            Parameters::new().with("disk", disk).with("size", format_args!("{size_gib}G")).maybe("digest", digest);
        self.put(path, parameters).await
    }

    /// `POST /nodes/{node}/qemu/{vmid}/move_disk`. Needs VM.Config.Disk and Datastore.AllocateSpace
    /// on the storage. Works on a running machine too. Refused (500) when it is there already in
    /// that format, with [`crate::Refusal::is_changed_meanwhile`] and
    /// [`crate::Refusal::is_missing_guest`]; a lock refuses it or fails the task.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn move_disk(&self, node: &str, vmid: u32, change: &MoveDisk) -> Result<Upid, Error> {
        let parameters = Parameters::new()
            .with("disk", &change.disk)
            .with("storage", &change.storage)
            .maybe("format", change.format.as_deref())
            .flag("delete", change.delete_source.then_some(true))
            .maybe("digest", change.digest.as_deref());
        self.post(vm_path(node, vmid, "/move_disk")?, parameters).await
    }

    /// `PUT /nodes/{node}/qemu/{vmid}/unlink`. Needs VM.Config.Disk. Detaches the disks with these
    /// options (`scsi1`): each becomes an `unusedN`. With `destroy`, or for an `unusedN`, the volume
    /// is destroyed. A disk that is not there is no error. Refused with
    /// [`crate::Refusal::is_locked`], [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`]; an empty list is not sent.
    pub async fn unlink_disks(&self, node: &str, vmid: u32, disks: &[&str], destroy: bool) -> Result<(), Error> {
        let path = vm_path(node, vmid, "/unlink")?;
        if disks.is_empty() {
            let detail = "there is no disk to detach";
            return Err(Error::never_sent(format_args!("PUT {path}"), NeverSentCause::Argument, detail));
        }
        let parameters = Parameters::new().with("idlist", disks.join(",")).flag("force", destroy.then_some(true));
        let _: IgnoredAny = self.put(path, parameters).await?;
        Ok(())
    }
}
