//! Power of a virtual machine: its state, and the calls that change it. Every change is a task;
//! that a call answers with one says only that it was accepted.

use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::{Parameters, vm_path};
use crate::tags::Tags;
use crate::upid::Upid;

text_enum! {
    /// Whether a guest has a process.
    PowerState {
        /// It has one; it may be paused ([`VmStatus::qmpstatus`]).
        Running = "running",
        /// It has none.
        Stopped = "stopped",
    }
}

/// The high-availability part of a status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct HighAvailability {
    /// Whether the cluster keeps the guest in its wanted state by itself. Power tasks then end
    /// before anything has happened.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub managed: bool,
    /// The wanted state.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub state: Option<String>,
}

/// The state of a virtual machine right now.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VmStatus {
    /// Its number.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub vmid: Option<u32>,
    /// Its name; `VM 100` when none is set.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub name: Option<String>,
    /// Running or stopped.
    pub status: PowerState,
    /// QEMU's own word: `running`, `paused`, `prelaunch`, `io-error` and so on.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub qmpstatus: Option<String>,
    /// Seconds since the process started; 0 when stopped.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub uptime: Option<u64>,
    /// Load as a share of the processors; 0 at a first look, so not for metering.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub cpu: Option<f64>,
    /// Processors.
    #[serde(default, deserialize_with = "lenient::optional_float")]
    pub cpus: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub mem: Option<u64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub maxmem: Option<u64>,
    /// The size of the boot disk, bytes.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub maxdisk: Option<u64>,
    /// Bytes to the guest since its process started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub netin: Option<u64>,
    /// Bytes from the guest since its process started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub netout: Option<u64>,
    /// Bytes read from disks since its process started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub diskread: Option<u64>,
    /// Bytes written to disks since its process started.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub diskwrite: Option<u64>,
    /// The configuration lock.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub lock: Option<String>,
    /// The tags.
    #[serde(default)]
    pub tags: Tags,
    /// Whether it is a template.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
    /// Whether the agent is switched on in the configuration.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub agent: bool,
    /// High availability.
    #[serde(default)]
    pub ha: HighAvailability,
}

impl VmStatus {
    /// Whether its processors stand still while its process runs.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.status == PowerState::Running && self.qmpstatus.as_deref() == Some("paused")
    }
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/status/current`. Needs VM.Audit. Refused with
    /// [`crate::Refusal::is_missing_guest`] when the machine is not on that node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn vm_status(&self, node: &str, vmid: u32) -> Result<VmStatus, Error> {
        self.get(vm_path(node, vmid, "/status/current")?, Parameters::new()).await
    }

    /// `POST …/status/start`. Needs VM.PowerMgmt. A missing, running or locked machine is not
    /// refused: the task fails ([`crate::TaskError::is_missing_guest`],
    /// [`crate::TaskError::is_already_running`], [`crate::TaskError::is_locked`]).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.power(node, vmid, "start", Parameters::new()).await
    }

    /// `POST …/status/shutdown`. Needs VM.PowerMgmt. Asks the guest, through the agent or ACPI,
    /// and waits up to `timeout_seconds`; then, with `force_stop`, pulls the plug, else the task
    /// fails ([`crate::TaskError::is_shutdown_ignored`]). The task of a stopped machine ends well.
    /// A paused machine is refused.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let task = client.shutdown("pve1", 101, 60, true).await?; // after 60 s the plug is pulled
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shutdown(&self, node: &str, vmid: u32, timeout_seconds: u32, force_stop: bool) -> Result<Upid, Error> {
        let parameters =
            Parameters::new().with("timeout", timeout_seconds).flag("forceStop", force_stop.then_some(true));
        self.power(node, vmid, "shutdown", parameters).await
    }

    /// `POST …/status/stop`. Needs VM.PowerMgmt. Pulls the plug. The task of a stopped machine
    /// ends well; while a shutdown task waits, it fails with [`crate::TaskError::is_busy`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stop(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.power(node, vmid, "stop", Parameters::new()).await
    }

    /// `POST …/status/stop` with `overrule-shutdown`. Needs VM.PowerMgmt. As [`Client::stop`], but
    /// ends the shutdown task of the machine that waits, if there is one the token may end, and so
    /// is not busy. Old versions do not know it and refuse it (400).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stop_overruling_shutdown(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.power(node, vmid, "stop", Parameters::new().flag("overrule-shutdown", Some(true))).await
    }

    /// `POST …/status/suspend`. Needs VM.PowerMgmt. Stops the processors; memory and process stay,
    /// so the status is running and `qmpstatus` paused. Refused with
    /// [`crate::Refusal::is_not_running`] or, when it is not on that node,
    /// [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn suspend(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.power(node, vmid, "suspend", Parameters::new()).await
    }

    /// `POST …/status/suspend` with `todisk`. Needs VM.PowerMgmt, VM.Config.Disk and
    /// Datastore.AllocateSpace. Writes the memory to a volume, on `storage` or the configured one,
    /// and ends the process; the machine has the lock `suspended` until it is started. Refused as
    /// [`Client::suspend`], and (500) under high availability or with devices of the node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn suspend_to_disk(&self, node: &str, vmid: u32, storage: Option<&str>) -> Result<Upid, Error> {
        let parameters = Parameters::new().flag("todisk", Some(true)).maybe("statestorage", storage);
        self.power(node, vmid, "suspend", parameters).await
    }

    /// `POST …/status/resume`. Needs VM.PowerMgmt. Lets a paused machine go on, and starts one that
    /// was suspended to disk. Refused with [`crate::Refusal::is_not_running`] or, when it is not on
    /// that node, [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resume(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.power(node, vmid, "resume", Parameters::new()).await
    }

    /// `POST …/status/reboot`. Needs VM.PowerMgmt. Shuts down and starts again, which brings
    /// waiting changes into force. Refused with [`crate::Refusal::is_not_running`] or, when it is
    /// not on that node, [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reboot(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.power(node, vmid, "reboot", Parameters::new()).await
    }

    /// `POST …/status/reset`. Needs VM.PowerMgmt. Presses the reset button; waiting changes go on
    /// waiting. Refused with [`crate::Refusal::is_not_running`] or, when it is not on that node,
    /// [`crate::Refusal::is_missing_guest`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reset(&self, node: &str, vmid: u32) -> Result<Upid, Error> {
        self.power(node, vmid, "reset", Parameters::new()).await
    }

    async fn power(&self, node: &str, vmid: u32, verb: &str, parameters: Parameters) -> Result<Upid, Error> {
        let path = vm_path(node, vmid, &format!("/status/{verb}"))?;
        self.post(path, parameters).await
    }
}
