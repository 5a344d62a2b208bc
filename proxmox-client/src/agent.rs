//! What the guest agent tells about a running machine. The guest writes these answers: believe
//! nothing in them that matters to others.

use std::net::IpAddr;

use serde::Deserialize;

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

#[derive(Deserialize)]
struct AgentAnswer<T> {
    result: T,
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces`. Needs VM.GuestAgent.Audit,
    /// before version 9 VM.Monitor. Refused with [`crate::Refusal::is_agent_not_ready`] while the
    /// guest starts; each such try blocks a worker of the node for 3 s, so ask slowly.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_network_interfaces(&self, node: &str, vmid: u32) -> Result<Vec<GuestInterface>, Error> {
        let path = vm_path(node, vmid, "/agent/network-get-interfaces")?;
        let answer: AgentAnswer<Vec<GuestInterface>> = self.get(path, Parameters::new()).await?;
        Ok(answer.result)
    }
}
