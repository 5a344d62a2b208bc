//! What the inside of a guest knows as far as its agent shows it: users with their passwords, files, started commands,
//! frozen file systems. The calls are in `agent_exec`, `agent_files` and `agent_facts`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::Secret;
use crate::clock::Micros;

/// Commands whose result is kept; the oldest goes first.
const COMMANDS_MAX: usize = 200;
/// First process id of a command.
const PID_FIRST: u32 = 325;

/// How the agent inside a guest behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It answers once the guest has booted, if the guest's `agent` option is on.
    #[default]
    Ready,
    /// It is not installed or was stopped.
    NotRunning,
    /// It answers this many seconds after the guest began to boot.
    ReadyAfter(u32),
}

/// The inside of a guest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Inside {
    pub(crate) agent: AgentState,
    /// Passwords somebody set, by user.
    pub(crate) passwords: BTreeMap<String, Secret>,
    /// Files somebody wrote, by path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Commands whose result nobody fetched yet, by process id.
    pub(crate) commands: BTreeMap<u32, Command>,
    pub(crate) last_pid: u32,
    pub(crate) frozen: bool,
}

/// A command that was started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Command {
    /// When it ends.
    pub(crate) ends: Micros,
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Inside {
    /// Remembers a command; returns its process id.
    pub(crate) fn start(&mut self, command: Command) -> u32 {
        self.last_pid = self.last_pid.max(PID_FIRST - 1) + 1;
        if self.commands.len() >= COMMANDS_MAX {
            self.commands.pop_first();
        }
        self.commands.insert(self.last_pid, command);
        self.last_pid
    }
}
