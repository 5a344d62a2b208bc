//! Changing what is on a storage: removing and protecting volumes, downloading images, and asking
//! which backups a rule would remove. Listing is in `storage.rs`; nothing is uploaded or pruned here.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::{Error, NeverSentCause};
use crate::lenient::{self, text_enum};
use crate::request::{Parameters, node_path, segment};
use crate::upid::Upid;

/// An image to be downloaded by a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    content: String,
    filename: String,
    url: String,
    checksum: Option<(String, String)>,
    compression: Option<String>,
    verify_certificates: Option<bool>,
}

impl Download {
    /// This URL as this file; `content` is `iso`, `vztmpl` or (8.3 or later) `import`.
    #[must_use]
    pub fn new(content: &str, filename: &str, url: &str) -> Self {
        Self {
            content: String::from(content),
            filename: String::from(filename),
            url: String::from(url),
            checksum: None,
            compression: None,
            verify_certificates: None,
        }
    }

    /// The checksum, `sha256` or `sha512` and so on with its hexadecimal digits. With it a file that
    /// is there already is no failure if it is the same.
    #[must_use]
    pub fn checksum(mut self, algorithm: &str, digits: &str) -> Self {
        self.checksum = Some((String::from(algorithm), String::from(digits)));
        self
    }

    /// How it is to be unpacked: `gz`, `lzo`, `zst` or `bz2`; only for `iso`.
    #[must_use]
    pub fn compression(mut self, compression: &str) -> Self {
        self.compression = Some(String::from(compression));
        self
    }

    /// Whether the server's certificate is checked; unset it is.
    #[must_use]
    pub fn verify_certificates(mut self, verify: bool) -> Self {
        self.verify_certificates = Some(verify);
        self
    }
}

text_enum! {
    /// What a rule would do with a backup.
    PruneMark {
        /// It stays.
        Keep = "keep",
        /// It would be removed.
        Remove = "remove",
        /// It stays, being protected.
        Protected = "protected",
        /// It stays, not having the name of a backup.
        Renamed = "renamed",
    }
}

/// A backup and what a rule would do with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PruneEntry {
    /// The volume.
    pub volid: String,
    /// What would happen to it.
    pub mark: PruneMark,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub ctime: Option<u64>,
    /// The guest number it is of.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub vmid: Option<u32>,
}

/// The path of a volume such as `local:backup/x.vma.zst`. Its slashes stay: the rest of this path is
/// the volume's name.
fn volume_path(node: &str, volid: &str) -> Result<String, Error> {
    let Some((storage, _)) = volid.split_once(':') else {
        let detail = "the name of a volume begins with its storage and a colon";
        return Err(Error::never_sent("the request", NeverSentCause::Argument, detail));
    };
    let storage = segment("storage", storage)?;
    let parts: Result<Vec<String>, Error> = volid.split('/').map(|part| segment("volume", part)).collect();
    node_path(node, &format!("/storage/{storage}/content/{}", parts?.join("/")))
}

impl Client {
    /// `DELETE /nodes/{node}/storage/{storage}/content/{volume}`, of the storage the name begins
    /// with. Needs Datastore.AllocateSpace and VM.Backup for a backup, Datastore.Allocate otherwise.
    /// Waits up to `wait_seconds` (1 to 30) for the end: `None` then; a task if it takes longer or
    /// without a wait. A protected backup is refused (500); a base image in use fails the task.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_volume(
        &self,
        node: &str,
        volid: &str,
        wait_seconds: Option<u32>,
    ) -> Result<Option<Upid>, Error> {
        self.delete(volume_path(node, volid)?, Parameters::new().maybe("delay", wait_seconds)).await
    }

    /// `PUT …/content/{volume}`. Needs what removing it needs. Changes the notes of a backup, or
    /// whether it is protected. Refused (500) when the storage cannot, or holds as many protected
    /// ones as it may.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn mark_backup(
        &self,
        node: &str,
        volid: &str,
        notes: Option<&str>,
        protected: Option<bool>,
    ) -> Result<(), Error> {
        let parameters = Parameters::new().maybe("notes", notes).flag("protected", protected);
        let _: IgnoredAny = self.put(volume_path(node, volid)?, parameters).await?;
        Ok(())
    }

    /// `POST /nodes/{node}/storage/{storage}/download-url`. Needs Datastore.AllocateTemplate on the
    /// storage and Sys.AccessNetwork on the node (or Sys.Audit and Sys.Modify on `/`). A file of
    /// that name fails the task unless the checksum says it is the same.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::Download;
    /// let url = "https://cloud.example/debian-12.qcow2";
    /// let task = client.download("pve1", "local", &Download::new(url, "import", "debian-12.qcow2")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn download(&self, node: &str, storage: &str, download: &Download) -> Result<Upid, Error> {
        let storage = segment("storage", storage)?;
        let path = node_path(node, &format!("/storage/{storage}/download-url"))?;
        let checksum = download.checksum.as_ref();
        let parameters = Parameters::new()
            .with("content", &download.content)
            .with("filename", &download.filename)
            .with("url", &download.url)
            .maybe("checksum-algorithm", checksum.map(|(algorithm, _)| algorithm))
            .maybe("checksum", checksum.map(|(_, digits)| digits))
            .maybe("compression", download.compression.as_deref())
            .flag("verify-certificates", download.verify_certificates);
        self.post(path, parameters).await
    }

    /// `GET /nodes/{node}/storage/{storage}/prunebackups`. Needs Datastore.Audit or
    /// Datastore.AllocateSpace. What a rule such as `keep-last=3,keep-weekly=4` would do with the
    /// backups of machines, or of one; nothing is removed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn preview_prune(
        &self,
        node: &str,
        storage: &str,
        rule: &str,
        vmid: Option<u32>,
    ) -> Result<Vec<PruneEntry>, Error> {
        let storage = segment("storage", storage)?;
        let path = node_path(node, &format!("/storage/{storage}/prunebackups"))?;
        let parameters = Parameters::new().with("prune-backups", rule).with("type", "qemu").maybe("vmid", vmid);
        self.get(path, parameters).await
    }
}
