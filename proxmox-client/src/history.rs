//! Measurements of a virtual machine over time. Rates here are per second, unlike the counters of a
//! status; nothing is added up.

use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::{Parameters, vm_path};

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

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/rrddata?timeframe=&cf=`. Needs VM.Audit. Of a new machine
    /// empty, or refused (500). A number that was used before has the old guest's history too.
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
