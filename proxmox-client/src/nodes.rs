//! The list of nodes. What runs on them is in the other areas.

use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::{Parameters, node_path};

text_enum! {
    /// Whether a node is there.
    NodeStatus {
        /// A reachable member.
        Online = "online",
        /// Not reachable.
        Offline = "offline",
        /// Nothing reported yet.
        Unknown = "unknown",
    }
}

/// A node. Numbers are missing without Sys.Audit on it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: String,
    /// Whether it is there.
    pub status: NodeStatus,
    /// Load as a share of `maxcpu`: 0 to 1.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub cpu: Option<f64>,
    /// Processors.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub maxcpu: Option<u32>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub mem: Option<u64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub maxmem: Option<u64>,
    /// Root file system in use, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub disk: Option<u64>,
    /// Root file system, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub maxdisk: Option<u64>,
    /// Seconds since the node started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub uptime: Option<u64>,
    /// The fingerprint of the node's certificate, `AA:BB:…`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub ssl_fingerprint: Option<String>,
}

/// Memory or disk space of a node, bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Space {
    /// All of it.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub total: Option<u64>,
    /// What is in use.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub used: Option<u64>,
    /// What is free.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub free: Option<u64>,
}

/// A node from near.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeDetails {
    /// Such as `pve-manager/9.2.11/0123456789abcdef`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub pveversion: Option<String>,
    /// Load as a share of all processors: 0 to 1.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub cpu: Option<f64>,
    /// Seconds since the node started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub uptime: Option<u64>,
    /// Processes that run or wait, over 1, 5 and 15 minutes.
    #[serde(default)]
    pub loadavg: Vec<String>,
    /// Memory.
    #[serde(default)]
    pub memory: Space,
    /// The root file system.
    #[serde(default)]
    pub rootfs: Space,
}

impl Client {
    /// `GET /nodes/{node}/status`. Needs Sys.Audit on the node. An unknown node is refused (500); one
    /// that does not answer gives [`Error::is_node_out_of_reach`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node_details(&self, node: &str) -> Result<NodeDetails, Error> {
        self.get(node_path(node, "/status")?, Parameters::new()).await
    }

    /// `GET /nodes`. Any token; numbers only with Sys.Audit on the node.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// for node in client.nodes().await? {
    ///     println!("{} is {:?}", node.node, node.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.get(String::from("/nodes"), Parameters::new()).await
    }
}
