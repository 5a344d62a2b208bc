//! What the guest agent tells about a running machine. The guest writes these answers: believe
//! nothing in them that matters to others. Nothing is done to the guest here.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::request::{Parameters, vm_path};

/// An address of a guest's network interface.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestAddress {
    /// As the guest wrote it; see [`GuestAddress::ip`].
    #[serde(rename = "ip-address", default)]
    pub address: String,
    /// The prefix length.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub prefix: Option<u32>,
}

impl GuestAddress {
    /// The address, without the zone some guests append (`fe80::1%eth0`).
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.split('%').next()?.trim().parse().ok()
    }
}

/// A network interface as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestInterface {
    /// Its name in the guest; the loopback interface is listed too.
    #[serde(default)]
    pub name: String,
    /// Its MAC address, usually in small letters; compare with [`GuestInterface::has_mac`].
    #[serde(rename = "hardware-address", default, deserialize_with = "lenient::optional_text")]
    pub mac: Option<String>,
    /// Its addresses, link-local ones included.
    #[serde(rename = "ip-addresses", default)]
    pub addresses: Vec<GuestAddress>,
}

impl GuestInterface {
    /// Whether this is the interface with the MAC address a configuration has.
    #[must_use]
    pub fn has_mac(&self, mac: &str) -> bool {
        self.mac.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(mac))
    }
}

/// The operating system of a guest. A guest fills in what it has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestSystem {
    /// Such as `debian` or `mswindows`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub id: Option<String>,
    /// Such as `Debian GNU/Linux`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub name: Option<String>,
    /// Such as `Debian GNU/Linux 12 (bookworm)`.
    #[serde(rename = "pretty-name", default, deserialize_with = "lenient::optional_text")]
    pub pretty_name: Option<String>,
    /// Such as `12`.
    #[serde(rename = "version-id", default, deserialize_with = "lenient::optional_text")]
    pub version_id: Option<String>,
    /// The kernel.
    #[serde(rename = "kernel-release", default, deserialize_with = "lenient::optional_text")]
    pub kernel_release: Option<String>,
    /// The processor's kind, such as `x86_64`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub machine: Option<String>,
}

/// A mounted file system of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestFileSystem {
    /// Its device.
    #[serde(default)]
    pub name: String,
    /// Where it is mounted.
    #[serde(default)]
    pub mountpoint: String,
    /// Such as `ext4`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Its size, bytes, if the agent tells.
    #[serde(rename = "total-bytes", default, deserialize_with = "lenient::optional_whole")]
    pub total_bytes: Option<u64>,
    /// Bytes in use, if the agent tells.
    #[serde(rename = "used-bytes", default, deserialize_with = "lenient::optional_whole")]
    pub used_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct HostName {
    #[serde(rename = "host-name")]
    name: String,
}

#[derive(Deserialize)]
struct AgentAnswer<T> {
    result: T,
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces`. Needs VM.GuestAgent.Audit,
    /// before version 9 VM.Monitor. Refused with [`crate::Refusal::is_agent_not_ready`] while the
    /// guest starts; each such try blocks a worker of the node for 3 s, so ask slowly.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// for interface in client.agent_network_interfaces("pve1", 101).await? {
    ///     println!("{interface:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_network_interfaces(&self, node: &str, vmid: u32) -> Result<Vec<GuestInterface>, Error> {
        self.ask_agent(node, vmid, "network-get-interfaces").await
    }

    /// `GET …/agent/get-osinfo`. Privileges and refusals as [`Client::agent_network_interfaces`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_system(&self, node: &str, vmid: u32) -> Result<GuestSystem, Error> {
        self.ask_agent(node, vmid, "get-osinfo").await
    }

    /// `GET …/agent/get-host-name`. Privileges and refusals as
    /// [`Client::agent_network_interfaces`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_host_name(&self, node: &str, vmid: u32) -> Result<String, Error> {
        let host: HostName = self.ask_agent(node, vmid, "get-host-name").await?;
        Ok(host.name)
    }

    /// `GET …/agent/get-fsinfo`. Privileges and refusals as [`Client::agent_network_interfaces`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_file_systems(&self, node: &str, vmid: u32) -> Result<Vec<GuestFileSystem>, Error> {
        self.ask_agent(node, vmid, "get-fsinfo").await
    }

    async fn ask_agent<T: DeserializeOwned>(&self, node: &str, vmid: u32, question: &str) -> Result<T, Error> {
        let path = vm_path(node, vmid, &format!("/agent/{question}"))?;
        let answer: AgentAnswer<T> = self.get(path, Parameters::new()).await?;
        Ok(answer.result)
    }
}
