//! Snapshots of a virtual machine. A rollback brings the old configuration back too; putting the
//! options of today into it is the caller's work.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::request::{Parameters, segment, vm_path};
use crate::upid::Upid;

/// The name of the entry that stands for the machine as it is now.
const NOW: &str = "current";
/// Passwords stand unmasked in a snapshot's configuration.
const SECRET: &str = "cipassword";

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub description: Option<String>,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub snaptime: Option<u64>,
    /// Whether the memory was saved too.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub vmstate: bool,
    /// The snapshot it was made after.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub parent: Option<String>,
    /// `prepare` or `delete` when its making or removal broke off: remove it with `force`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub snapstate: Option<String>,
}

/// The snapshots of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshots {
    /// All of them, in no particular order.
    pub all: Vec<Snapshot>,
    /// The one the machine's present state follows.
    pub parent: Option<String>,
}

/// What a new snapshot shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSnapshot {
    name: String,
    description: Option<String>,
    with_memory: bool,
}

impl CreateSnapshot {
    /// A snapshot of the disks with this name: a letter, then letters, digits, `-` and `_`, up to
    /// 40 in all; not `current` nor `pending`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: String::from(name), description: None, with_memory: false }
    }

    /// Its description.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        self.description = Some(String::from(text));
        self
    }

    /// Whether the memory of a running machine is saved too; takes as much space as it has.
    #[must_use]
    pub fn with_memory(mut self, with: bool) -> Self {
        self.with_memory = with;
        self
    }
}

fn snapshot_path(node: &str, vmid: u32, name: &str, rest: &str) -> Result<String, Error> {
    let name = segment("snapshot", name)?;
    vm_path(node, vmid, &format!("/snapshot/{name}{rest}"))
}

#[derive(Deserialize)]
struct Feature {
    #[serde(rename = "hasFeature", default, deserialize_with = "lenient::flag")]
    has: bool,
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/snapshot`. Needs VM.Audit. The entry Proxmox adds for the
    /// present state is not among them. Refused with [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn snapshots(&self, node: &str, vmid: u32) -> Result<Snapshots, Error> {
        let mut all: Vec<Snapshot> = self.get(vm_path(node, vmid, "/snapshot")?, Parameters::new()).await?;
        let now = all.iter().position(|snapshot| snapshot.name == NOW).map(|at| all.remove(at));
        Ok(Snapshots { all, parent: now.and_then(|now| now.parent) })
    }

    /// `GET /nodes/{node}/qemu/{vmid}/feature?feature=snapshot`. Needs VM.Audit. Whether all disks are
    /// on storages that can take snapshots. Refused with [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn can_snapshot(&self, node: &str, vmid: u32) -> Result<bool, Error> {
        let path = vm_path(node, vmid, "/feature")?;
        let feature: Feature = self.get(path, Parameters::new().with("feature", "snapshot")).await?;
        Ok(feature.has)
    }

    /// `POST …/snapshot`. Needs VM.Snapshot. A reserved name is refused with 500, an impossible one
    /// with `errors.snapname` (400). A name that is taken, a storage that cannot, and a lock fail
    /// the task.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::CreateSnapshot;
    /// let task = client.create_snapshot("pve1", 101, &CreateSnapshot::new("before-upgrade")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_snapshot(&self, node: &str, vmid: u32, create: &CreateSnapshot) -> Result<Upid, Error> {
        let parameters = Parameters::new()
            .with("snapname", &create.name)
            .maybe("description", create.description.as_deref())
            .flag("vmstate", create.with_memory.then_some(true));
        self.post(vm_path(node, vmid, "/snapshot")?, parameters).await
    }

    /// `POST …/snapshot/{name}/rollback`. Needs VM.Snapshot or VM.Snapshot.Rollback, to start also
    /// VM.PowerMgmt. Stops the machine and brings disks *and configuration* back: size, network,
    /// cloud-init and tags are those of then. It runs again if the memory was saved or with `start`.
    /// A missing snapshot, one that is not the newest where the storage needs that, and a lock fail
    /// the task.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rollback_snapshot(&self, node: &str, vmid: u32, name: &str, start: bool) -> Result<Upid, Error> {
        let parameters = Parameters::new().flag("start", start.then_some(true));
        self.post(snapshot_path(node, vmid, name, "/rollback")?, parameters).await
    }

    /// `DELETE …/snapshot/{name}`. Needs VM.Snapshot. With `force` the entry goes even if a disk's
    /// snapshot cannot be removed. A missing snapshot and a lock fail the task.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_snapshot(&self, node: &str, vmid: u32, name: &str, force: bool) -> Result<Upid, Error> {
        let parameters = Parameters::new().flag("force", force.then_some(true));
        self.delete(snapshot_path(node, vmid, name, "")?, parameters).await
    }

    /// `GET …/snapshot/{name}/config`. Needs VM.Snapshot, VM.Snapshot.Rollback or VM.Audit. The
    /// options as text; the cloud-init password, which Proxmox does not mask here, is left out.
    /// Refused (500) when there is no such snapshot.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn snapshot_config(&self, node: &str, vmid: u32, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let path = snapshot_path(node, vmid, name, "/config")?;
        let options: BTreeMap<String, Value> = self.get(path, Parameters::new()).await?;
        let shown = options.into_iter().filter(|(key, _)| key != SECRET);
        Ok(shown.filter_map(|(key, value)| lenient::as_text(&value).map(|text| (key, text))).collect())
    }

    /// `PUT …/snapshot/{name}/config`. Needs VM.Snapshot. Changes the description, nothing else.
    /// Refused (500) when there is no such snapshot.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_snapshot(&self, node: &str, vmid: u32, name: &str, description: &str) -> Result<(), Error> {
        let path = snapshot_path(node, vmid, name, "/config")?;
        let _: IgnoredAny = self.put(path, Parameters::new().with("description", description)).await?;
        Ok(())
    }
}
