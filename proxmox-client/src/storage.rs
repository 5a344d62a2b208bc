//! Storages of a node and what is on them. A dead network storage makes these calls slow for
//! everybody on the node: keep them out of the path of user requests.

use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::request::{Parameters, node_path, segment};

/// A storage as one node sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Storage {
    /// Its name.
    pub storage: String,
    /// Its type, such as `lvmthin`, `zfspool` or `dir`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it may hold, separated by commas, such as `images,rootdir`.
    pub content: String,
    /// Whether it is switched on in the configuration.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub enabled: bool,
    /// Whether the node can use it right now.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: bool,
    /// Whether all nodes see the same data.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub shared: bool,
    /// Bytes in all.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub total: Option<u64>,
    /// Bytes in use.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub used: Option<u64>,
    /// Bytes free. Thin storages promise more than they have.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub avail: Option<u64>,
}

impl Storage {
    /// Whether it may hold this kind of content, such as `images`.
    #[must_use]
    pub fn holds(&self, content: &str) -> bool {
        self.content.split(',').any(|kind| kind.trim() == content)
    }
}

/// A volume on a storage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// Its name, such as `local-lvm:vm-101-disk-0`.
    pub volid: String,
    /// What it is: `images`, `iso`, `backup` and so on.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub content: Option<String>,
    /// Its format, such as `raw` or `qcow2`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub format: Option<String>,
    /// Size, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub size: Option<u64>,
    /// Bytes in use, where the storage can tell.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub used: Option<u64>,
    /// The guest number it belongs to. It outlives the guest, and then belongs to the next guest
    /// of that number.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub vmid: Option<u32>,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub ctime: Option<u64>,
    /// Of a linked clone: the volume it depends on.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub parent: Option<String>,
    /// Of a backup: its notes.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub notes: Option<String>,
    /// Of a backup: whether it is protected against removal.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub protected: bool,
}

/// What a listing of volumes is limited to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentFilter {
    content: Option<String>,
    vmid: Option<u32>,
}

impl ContentFilter {
    /// No limit.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only this kind: `images`, `iso`, `backup`, `import` (8.3 or later) and so on.
    #[must_use]
    pub fn content(mut self, kind: &str) -> Self {
        self.content = Some(String::from(kind));
        self
    }

    /// Only the volumes of this guest number.
    #[must_use]
    pub fn vmid(mut self, vmid: u32) -> Self {
        self.vmid = Some(vmid);
        self
    }
}

impl Client {
    /// `GET /nodes/{node}/storage`. Needs Datastore.Audit or Datastore.AllocateSpace per storage;
    /// others are left out silently.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let free: u64 = client.storages("pve1").await?.iter().filter_map(|storage| storage.avail).sum();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn storages(&self, node: &str) -> Result<Vec<Storage>, Error> {
        self.get(node_path(node, "/storage")?, Parameters::new()).await
    }

    /// `GET /nodes/{node}/storage/{storage}/content`. Needs Datastore.Audit or
    /// Datastore.AllocateSpace on the storage; disks are listed only with VM.Config.Disk on their
    /// guest. An unknown storage is refused with 400 and `errors.storage`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn storage_content(
        &self,
        node: &str,
        storage: &str,
        filter: &ContentFilter,
    ) -> Result<Vec<Volume>, Error> {
        let storage = segment("storage", storage)?;
        let path = node_path(node, &format!("/storage/{storage}/content"))?;
        let parameters = Parameters::new().maybe("content", filter.content.as_deref()).maybe("vmid", filter.vmid);
        self.get(path, parameters).await
    }
}
