//! Changes of a configuration that wait for the next stop and start, and the asynchronous way to
//! change one. The usual way is in `config_change.rs`.

use serde::Deserialize;

use crate::client::Client;
use crate::config_change::ConfigChange;
use crate::error::{Error, NeverSentCause};
use crate::lenient;
use crate::request::{Parameters, vm_path};
use crate::upid::Upid;

/// An option with its value in force and what waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PendingOption {
    /// The option.
    pub key: String,
    /// Its value in force; missing when it is not set yet. Passwords are masked.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub value: Option<String>,
    /// The value that waits.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub pending: Option<String>,
    /// Not 0 when the option's removal waits; 2 when its volume is to be destroyed with it.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub delete: Option<u32>,
}

impl PendingOption {
    /// Whether something waits for the next stop and start.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some() || self.is_going()
    }

    /// Whether the option's removal waits.
    #[must_use]
    pub fn is_going(&self) -> bool {
        self.delete.is_some_and(|delete| delete != 0)
    }
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/pending`. Needs VM.Audit. All options; ask each whether it
    /// [`PendingOption::is_waiting`]. Refused with [`crate::Refusal::is_missing_guest`].
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let waits_for_a_reboot = !client.pending_config("pve1", 101).await?.is_empty();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pending_config(&self, node: &str, vmid: u32) -> Result<Vec<PendingOption>, Error> {
        self.get(vm_path(node, vmid, "/pending")?, Parameters::new()).await
    }

    /// `POST /nodes/{node}/qemu/{vmid}/config`. As [`Client::set_vm_config`], but as a task, for
    /// changes that allocate or remove disks and so take long. `None` when it was done before the
    /// answer.
    ///
    /// # Errors
    /// See [`Error`]; an empty change is not sent.
    pub async fn set_vm_config_as_task(
        &self,
        node: &str,
        vmid: u32,
        change: &ConfigChange,
    ) -> Result<Option<Upid>, Error> {
        let path = vm_path(node, vmid, "/config")?;
        if change.is_empty() {
            let detail = "there is nothing to change";
            return Err(Error::never_sent(format_args!("POST {path}"), NeverSentCause::Argument, detail));
        }
        self.post(path, change.parameters()).await
    }
}
