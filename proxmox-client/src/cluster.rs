//! Calls about the whole cluster: version, membership, the list of resources and free guest
//! numbers. Lists are filtered by the token's privileges: what is absent need not be gone.

use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::Parameters;
use crate::tags::Tags;

/// The version of the answering node; nodes differ during an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Such as `9.2.11`.
    pub version: String,
    /// Such as `9.2`.
    pub release: String,
    /// The build.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub repoid: Option<String>,
}

impl Version {
    /// The first number of the version, such as 9.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }
}

text_enum! {
    /// What an entry of the cluster's status is about.
    ClusterEntryKind {
        /// The cluster itself; absent on a single node.
        Cluster = "cluster",
        /// A node.
        Node = "node",
    }
}

/// One entry of the cluster's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterEntry {
    /// Cluster or node.
    #[serde(rename = "type")]
    pub kind: ClusterEntryKind,
    /// The name of the cluster or node.
    pub name: String,
    /// Of a cluster: whether it has a majority and accepts changes.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub quorate: Option<bool>,
    /// Of a cluster: how many nodes it has.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub nodes: Option<u32>,
    /// Of a node: whether it is a reachable member.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub online: Option<bool>,
    /// Of a node: whether it is the one that answers.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub local: bool,
    /// Of a node: its address in the cluster network.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub ip: Option<String>,
}

text_enum! {
    /// What the list of resources can be limited to.
    ResourceFilter {
        /// Virtual machines and containers.
        Vm = "vm",
        /// Storages, one entry per node.
        Storage = "storage",
        /// Nodes.
        Node = "node",
        /// Software-defined networks.
        Sdn = "sdn",
    }
}

text_enum! {
    /// What a resource is.
    ResourceKind {
        /// A virtual machine.
        Qemu = "qemu",
        /// A container.
        Lxc = "lxc",
        /// A storage on one node.
        Storage = "storage",
        /// A node.
        Node = "node",
        /// A pool.
        Pool = "pool",
        /// A software-defined network zone.
        Sdn = "sdn",
    }
}

/// One entry of the list of resources. Which fields there are depends on the kind and on the
/// token's privileges; numbers are up to 10 s old.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Resource {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ResourceKind,
    /// Its path-like name, such as `qemu/100` or `storage/pve1/local`.
    pub id: String,
    /// The node it is on.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub node: Option<String>,
    /// Of a guest: its number.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub vmid: Option<u32>,
    /// Of a guest: its name; missing for the first seconds of its life.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub name: Option<String>,
    /// Of a guest `running`, `stopped`, `paused` and so on, of a node `online` or `offline`, of a
    /// storage `available`; `unknown` where nothing was reported for 300 s.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub status: Option<String>,
    /// Of a guest: whether it is a template.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
    /// Of a guest: its configuration lock.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub lock: Option<String>,
    /// Of a guest: its tags.
    #[serde(default)]
    pub tags: Tags,
    /// The pool, if the token may see it.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub pool: Option<String>,
    /// Seconds since the guest's process or the node started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub uptime: Option<u64>,
    /// Load as a share of `maxcpu`: 0 to about 1.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub cpu: Option<f64>,
    /// Processors.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub maxcpu: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub mem: Option<u64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub maxmem: Option<u64>,
    /// Disk space in use, bytes; 0 for virtual machines.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub disk: Option<u64>,
    /// Disk space, bytes; of a virtual machine the boot disk only.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub maxdisk: Option<u64>,
    /// Bytes to the guest since its process started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub netin: Option<u64>,
    /// Bytes from the guest since its process started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub netout: Option<u64>,
    /// Of a storage: its name. A shared storage has one entry per node.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub storage: Option<String>,
    /// Of a storage: what it may hold, separated by commas.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub content: Option<String>,
    /// Of a storage: its type, such as `lvmthin`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub plugintype: Option<String>,
    /// Of a storage: whether all its nodes see the same data.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub shared: bool,
}

#[derive(Deserialize)]
struct GuestNumber(#[serde(deserialize_with = "lenient::guest_number")] u32);

impl Client {
    /// `GET /version`. Any token; a good first call to see whether the token is known
    /// ([`crate::Refusal::is_unauthenticated`] after 3 s if not).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn version(&self) -> Result<Version, Error> {
        self.get(String::from("/version"), Parameters::new()).await
    }

    /// `GET /cluster/status`. Needs Sys.Audit on `/`; refused with
    /// [`crate::Refusal::missing_privilege`] otherwise.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cluster_status(&self) -> Result<Vec<ClusterEntry>, Error> {
        self.get(String::from("/cluster/status"), Parameters::new()).await
    }

    /// `GET /cluster/resources?type=`. Any token; only what it may see is listed, silently, so an
    /// absent guest is not proven gone ([`Client::vmid_is_free`] tells).
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::ResourceFilter;
    /// let running = client.resources(Some(ResourceFilter::Vm)).await?;
    /// let running = running.iter().filter(|machine| machine.status.as_deref() == Some("running")).count();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resources(&self, filter: Option<ResourceFilter>) -> Result<Vec<Resource>, Error> {
        let parameters = Parameters::new().maybe("type", filter);
        self.get(String::from("/cluster/resources"), parameters).await
    }

    /// `GET /cluster/nextid`. Any token. The lowest free guest number of the datacenter's range.
    /// Nothing is reserved: two callers get the same.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_id(&self) -> Result<u32, Error> {
        let number: GuestNumber = self.get(String::from("/cluster/nextid"), Parameters::new()).await?;
        Ok(number.0)
    }

    /// `GET /cluster/nextid?vmid=`. Any token; sees all guests of the cluster whatever the token
    /// may see, so this is the test of existence. A number below 100 is refused (400).
    ///
    /// # Errors
    /// See [`Error`]; that the number is taken is no error.
    pub async fn vmid_is_free(&self, vmid: u32) -> Result<bool, Error> {
        let parameters = Parameters::new().with("vmid", vmid);
        let answer: Result<GuestNumber, Error> = self.get(String::from("/cluster/nextid"), parameters).await;
        match answer {
            Ok(_) => Ok(true),
            Err(Error::Refused(refusal)) if refusal.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
