//! Measurements of a virtual machine or a node over time. Rates here are per second, unlike the counters of a
//! status; nothing is added up.

use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::{Parameters, node_path, vm_path};

text_enum! {
    /// How far back measurements go, and so how far apart they are.
    Timeframe {
        /// An hour, every minute.
        Hour = "hour",
        /// A day, every minute; before version 9 every 30 minutes.
        Day = "day",
        /// A week.
        Week = "week",
        /// A month.
        Month = "month",
        /// A year.
        Year = "year",
    }
}

text_enum! {
    /// What stands for the measurements of one step.
    Consolidation {
        /// Their average.
        Average = "AVERAGE",
        /// The largest.
        Maximum = "MAX",
    }
}

/// The measurements of one step. What was not measured is missing; the newest step may have nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sample {
    /// When, in seconds since 1970. Go by it: after an upgrade steps of two lengths are mixed.
    #[serde(deserialize_with = "lenient::whole")]
    pub time: u64,
    /// Load as a share of `maxcpu`: 0 to about 1.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub cpu: Option<f64>,
    /// Processors.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub maxcpu: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub mem: Option<f64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub maxmem: Option<f64>,
    /// The boot disk, bytes.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub maxdisk: Option<f64>,
    /// Bytes per second to the guest.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub netin: Option<f64>,
    /// Bytes per second from the guest.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub netout: Option<f64>,
    /// Bytes per second read from disks.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub diskread: Option<f64>,
    /// Bytes per second written to disks.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub diskwrite: Option<f64>,
}

/// The measurements of one step of a node. What was not measured is missing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeSample {
    /// When, in seconds since 1970.
    #[serde(deserialize_with = "lenient::whole")]
    pub time: u64,
    /// Load as a share of all processors: 0 to 1.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub cpu: Option<f64>,
    /// Share of the time that processors waited for disks: 0 to 1.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub iowait: Option<f64>,
    /// Processes that run or wait.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub loadavg: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub memused: Option<f64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub memtotal: Option<f64>,
    /// Bytes per second to the node.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub netin: Option<f64>,
    /// Bytes per second from the node.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub netout: Option<f64>,
}

impl Client {
    /// `GET /nodes/{node}/rrddata?timeframe=&cf=`. Needs Sys.Audit on the node. Answered by the
    /// endpoint for every node. Of an unknown node empty, or refused (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node_history(
        &self,
        node: &str,
        timeframe: &Timeframe,
        consolidation: &Consolidation,
    ) -> Result<Vec<NodeSample>, Error> {
        let parameters = Parameters::new().with("timeframe", timeframe).with("cf", consolidation);
        self.get(node_path(node, "/rrddata")?, parameters).await
    }

    /// `GET /nodes/{node}/qemu/{vmid}/rrddata?timeframe=&cf=`. Needs VM.Audit. Of a new machine
    /// empty, or refused (500). A number that was used before has the old guest's history too.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::{Consolidation, Timeframe};
    /// let samples = client.vm_history("pve1", 101, &Timeframe::Hour, &Consolidation::Average).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn vm_history(
        &self,
        node: &str,
        vmid: u32,
        timeframe: &Timeframe,
        consolidation: &Consolidation,
    ) -> Result<Vec<Sample>, Error> {
        let parameters = Parameters::new().with("timeframe", timeframe).with("cf", consolidation);
        self.get(vm_path(node, vmid, "/rrddata")?, parameters).await
    }
}
