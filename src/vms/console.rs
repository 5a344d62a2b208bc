//! The console of a machine: whether it may be opened now, and opening it on the cluster. The only thing a request waits
//! for Proxmox for, because a console is of use only while it is being looked at. What goes through it is the door's matter.

use proxmox_client::{ConsoleSocket, VmConfig};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::{State, Vm};
use crate::app::App;
use crate::clusters::Trouble;
use crate::error::{Error, Result};

/// The serial line that machines are made with.
pub(super) const SERIAL: &str = "serial0";
/// What makes a serial line one that can be looked at.
pub(super) const SERIAL_KIND: &str = "socket";

/// What of a machine is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConsoleKind {
    /// Its screen, with keyboard and pointer.
    #[default]
    Screen,
    /// Its first serial line, as text.
    Serial,
}

impl ConsoleKind {
    /// The name in addresses and in the audit log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::Serial => "serial",
        }
    }
}

/// A console that the cluster has opened and that waits a few seconds for its WebSocket.
#[derive(Debug)]
pub struct Console {
    /// How to connect.
    pub socket: ConsoleSocket,
    /// What to prove there: the password of the screen, or the first line of the serial console.
    pub secret: SecretString,
}

/// Whether a console of this machine makes sense now, as far as we know without asking anybody.
///
/// # Errors
/// `Conflict` when it does not run, `Unavailable` when its cluster does not answer; each with a sentence.
pub fn check_console(vm: &Vm) -> Result<()> {
    if let Some(unknown) = &vm.unknown {
        return Err(Error::Unavailable(format!("The console of {} cannot be opened: {}.", vm.name, unknown.why)));
    }
    let sentence = match vm.state {
        State::Running => return Ok(()),
        State::Stopped => format!("{} is stopped. Start it to open its console.", vm.name),
        State::Provisioning => format!("{} is still being made. Its console opens when it runs.", vm.name),
        State::Failed => format!("{} could not be made, so it has no console.", vm.name),
        State::Deleting | State::Deleted => format!("{} is being deleted.", vm.name),
    };
    Err(Error::Conflict(sentence))
}

/// Whether it has a serial line besides its screen. Asks the cluster, and that the guest is ours.
///
/// # Errors
/// As [`open_console`].
pub async fn has_serial_console(app: &App, vm: &Vm) -> Result<bool> {
    check_console(vm)?;
    let (_, _, config) = guest(app, vm).await?;
    Ok(has_serial(&config))
}

/// Opens a console. Nothing is opened unless uuid and tag of the guest name this machine.
///
/// # Errors
/// `Conflict` when it does not run, has no such console or is not ours, `Unavailable` when its cluster does not answer.
pub async fn open_console(app: &App, vm: &Vm, kind: ConsoleKind) -> Result<Console> {
    check_console(vm)?;
    let (machine, node, config) = guest(app, vm).await?;
    let vmid = machine.vmid().map_err(|trouble| sorry(vm, trouble))?;
    let failed = |error: proxmox_client::Error| sorry(vm, error.into());
    let running = machine.client.vm_status(&node, vmid).await.map_err(failed)?;
    if running.status != proxmox_client::PowerState::Running {
        return Err(Error::Conflict(format!("{} is stopped. Start it to open its console.", vm.name)));
    }
    match kind {
        ConsoleKind::Screen => {
            let console = machine.client.open_vnc(&node, vmid).await.map_err(failed)?;
            let socket = machine.client.console_socket(&node, vmid, console.port, &console.ticket).map_err(failed)?;
            Ok(Console { socket, secret: console.password })
        }
        ConsoleKind::Serial if !has_serial(&config) => {
            Err(Error::Conflict(format!("{} has no serial console. Its screen can be opened.", vm.name)))
        }
        ConsoleKind::Serial => {
            let console = machine.client.open_terminal(&node, vmid, Some(0)).await.map_err(failed)?;
            let socket = machine.client.console_socket(&node, vmid, console.port, &console.ticket).map_err(failed)?;
            Ok(Console { socket, secret: console.greeting() })
        }
    }
}

async fn guest(app: &App, vm: &Vm) -> Result<(Machine, String, VmConfig)> {
    let machine = Machine::load(app, vm.id).await.map_err(|trouble| sorry(vm, trouble))?;
    let (node, config) = machine.our_guest(app).await.map_err(|trouble| sorry(vm, trouble))?;
    Ok((machine, node, config))
}

pub(super) fn has_serial(config: &VmConfig) -> bool {
    config.raw.get(SERIAL).is_some_and(|kind| kind == SERIAL_KIND)
}

/// What the cluster said goes to the operator's log; the customer reads a sentence.
fn sorry(vm: &Vm, trouble: Trouble) -> Error {
    match trouble {
        Trouble::Ours(error) => error,
        Trouble::Away(words) => {
            tracing::warn!(vm = %vm.id, words, "a console could not be opened: the cluster does not answer");
            Error::Unavailable(format!(
                "The location of {} is not answering, so its console cannot be opened. Try again in a moment.",
                vm.name
            ))
        }
        Trouble::Busy(words) | Trouble::Locked(words) => {
            tracing::info!(vm = %vm.id, words, "a console could not be opened: the guest is busy");
            Error::Conflict(format!("{} is busy just now. Try again in a moment.", vm.name))
        }
        Trouble::Refused(words) => {
            tracing::warn!(vm = %vm.id, words, "a console could not be opened: refused");
            Error::Conflict(format!(
                "{} was not found where it should be, so nothing was opened. The operator sees why.",
                vm.name
            ))
        }
    }
}
