//! High availability: which guests the cluster keeps in a wanted state, and what it is doing about
//! it. A task that ends well says only that the state was asked for.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::Parameters;

text_enum! {
    /// The state a guest is to be kept in.
    WantedState {
        /// Running, on another node if need be.
        Started = "started",
        /// Stopped, moved away from a dead node too.
        Stopped = "stopped",
        /// Stopped and left where it is; also takes it out of an error.
        Disabled = "disabled",
        /// Not looked after.
        Ignored = "ignored",
    }
}

/// A guest that is looked after.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HaResource {
    /// Its name, such as `vm:100`.
    pub sid: String,
    /// The wanted state; started if missing.
    #[serde(default)]
    pub state: Option<WantedState>,
    /// The group, before version 9.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub group: Option<String>,
    /// Tries to start it again on its node.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub max_restart: Option<u32>,
    /// Tries on other nodes.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub max_relocate: Option<u32>,
}

/// One line of the state of high availability.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HaStatus {
    /// Its name, such as `quorum`, `lrm:pve1` or `service:vm:100`.
    pub id: String,
    /// `quorum`, `master`, `lrm`, `service` or `fencing`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The state in words.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub status: Option<String>,
    /// The node.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub node: Option<String>,
    /// Of a guest: its name, such as `vm:100`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub sid: Option<String>,
    /// Of a guest: what the cluster is at, such as `started`, `migrate`, `fence` or `error`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub state: Option<String>,
    /// Of a guest: the wanted state.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub request_state: Option<String>,
}

const RESOURCES: &str = "/cluster/ha/resources";

fn resource_path(vmid: u32) -> String {
    format!("{RESOURCES}/vm:{vmid}")
}

impl Client {
    /// `GET /cluster/ha/resources`. Needs Sys.Audit on `/`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ha_resources(&self) -> Result<Vec<HaResource>, Error> {
        self.get(String::from(RESOURCES), Parameters::new()).await
    }

    /// `GET /cluster/ha/status/current`. Needs Sys.Audit on `/`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ha_status(&self) -> Result<Vec<HaStatus>, Error> {
        self.get(String::from("/cluster/ha/status/current"), Parameters::new()).await
    }

    /// `POST /cluster/ha/resources`. Needs Sys.Console on `/`. Has the cluster look after a machine.
    /// One it looks after already is refused (500).
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::WantedState;
    /// client.add_ha_resource(101, &WantedState::Started).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn add_ha_resource(&self, vmid: u32, state: &WantedState) -> Result<(), Error> {
        let parameters = Parameters::new().with("sid", format_args!("vm:{vmid}")).with("state", state);
        let _: IgnoredAny = self.post(String::from(RESOURCES), parameters).await?;
        Ok(())
    }

    /// `PUT /cluster/ha/resources/{sid}`. Needs Sys.Console on `/`. Changes the wanted state. A
    /// machine nobody looks after is refused (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_ha_state(&self, vmid: u32, state: &WantedState) -> Result<(), Error> {
        let _: IgnoredAny = self.put(resource_path(vmid), Parameters::new().with("state", state)).await?;
        Ok(())
    }

    /// `DELETE /cluster/ha/resources/{sid}`. Needs Sys.Console on `/`. The machine stays as it is.
    /// One nobody looks after is refused (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_ha_resource(&self, vmid: u32) -> Result<(), Error> {
        let _: IgnoredAny = self.delete(resource_path(vmid), Parameters::new()).await?;
        Ok(())
    }
}
