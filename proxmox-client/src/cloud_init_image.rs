//! The cloud-init image of a virtual machine: what waits to be written to it, writing it, and
//! reading it. The options themselves are part of the configuration.

use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::text_enum;
use crate::pending_config::PendingOption;
use crate::request::{Parameters, vm_path};

text_enum! {
    /// A file of the image.
    CloudInitFile {
        /// The user data. Has the password's hash in it.
        User = "user",
        /// The network configuration.
        Network = "network",
        /// The metadata.
        Meta = "meta",
    }
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/cloudinit`. Needs VM.Audit. The cloud-init options, and what
    /// of them is not in the attached image yet. It is written at every start.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pending_cloud_init(&self, node: &str, vmid: u32) -> Result<Vec<PendingOption>, Error> {
        self.get(vm_path(node, vmid, "/cloudinit")?, Parameters::new()).await
    }

    /// `PUT …/cloudinit`. Needs VM.Config.Cloudinit. Writes the image now; the guest reads it when
    /// it starts next. Refused with [`crate::Refusal::is_locked`],
    /// [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn regenerate_cloud_init(&self, node: &str, vmid: u32) -> Result<(), Error> {
        let _: IgnoredAny = self.put(vm_path(node, vmid, "/cloudinit")?, Parameters::new()).await?;
        Ok(())
    }

    /// `GET …/cloudinit/dump?type=`. Needs VM.Audit. A file as the options make it. Keep the user
    /// data out of logs.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::CloudInitFile;
    /// println!("{}", client.dump_cloud_init("pve1", 101, &CloudInitFile::Network).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn dump_cloud_init(&self, node: &str, vmid: u32, file: &CloudInitFile) -> Result<String, Error> {
        self.get(vm_path(node, vmid, "/cloudinit/dump")?, Parameters::new().with("type", file)).await
    }
}
