//! What happens behind a client's back: nodes that die and come back, guests that somebody else moves, removes or
//! switches off, credentials that expire. Each is a method of the state; over HTTP an [`Action`] names one.

use std::sync::Arc;

use serde::Deserialize;

use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::build::carry_volumes;
use crate::qemu::agent_state::AgentState;
use crate::qemu::{create, process, snapshots};

/// What `POST /simulator/{action}` does; its fields are the JSON body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Action {
    Advance { seconds: u64 },
    ExpireTickets {},
    ExpireTokens { expired: bool },
    KillNode { node: String },
    ReviveNode { node: String },
    MoveVm { vmid: u32, node: String },
    DeleteVm { vmid: u32 },
    PowerOffVm { vmid: u32 },
    SetLock { vmid: u32, lock: Option<String> },
    SetAgent { vmid: u32, agent: AgentState },
    IgnorePowerButton { vmid: u32, ignores: bool },
    FreezeTask { task: String },
    ThawTask { task: String },
    FailTask { task: String, text: String },
    KillTask { task: String },
}

impl ClusterState {
    /// Does what an action says. False when its guest, node or task does not exist.
    pub(crate) fn perform(&mut self, action: Action, now: Micros) -> bool {
        match action {
            // The clock is not part of the state; whoever holds it has moved it.
            Action::Advance { .. } => true,
            Action::ExpireTickets {} => {
                Arc::make_mut(&mut self.access).renew_key();
                self.touch();
                true
            }
            Action::ExpireTokens { expired } => {
                Arc::make_mut(&mut self.access).tokens_expired = expired;
                self.touch();
                true
            }
            Action::KillNode { node } => self.kill_node(&node, now),
            Action::ReviveNode { node } => self.revive_node(&node, now),
            Action::MoveVm { vmid, node } => self.move_guest(vmid, &node, now),
            Action::DeleteVm { vmid } => self.remove_guest_by_hand(vmid, now),
            Action::PowerOffVm { vmid } => self.power_off_from_inside(vmid, now),
            Action::SetLock { vmid, lock } => self.set_lock(vmid, lock.as_deref()),
            Action::SetAgent { vmid, agent } => self.change_guest(vmid, |guest| guest.inside.agent = agent),
            Action::IgnorePowerButton { vmid, ignores } => {
                self.change_guest(vmid, |guest| guest.ignores_power_button = ignores)
            }
            Action::FreezeTask { task } => {
                self.freeze_task(&task);
                true
            }
            Action::ThawTask { task } => self.thaw_task(&task, now),
            Action::FailTask { task, text } => self.fail_tasks(&task, now, &text) > 0,
            Action::KillTask { task } => self.kill_tasks(&task, now) > 0,
        }
    }

    fn change_guest(&mut self, vmid: u32, change: impl FnOnce(&mut crate::cluster::guest::Guest)) -> bool {
        let Some(guest) = self.guests.get_mut(&vmid) else { return false };
        change(guest);
        self.touch();
        true
    }

    /// A node loses its power: its guests' processes and its tasks end, its config files stay.
    fn kill_node(&mut self, name: &str, now: Micros) -> bool {
        let Some(node) = self.nodes.iter_mut().find(|node| node.name == name) else { return false };
        if node.offline_since.is_some() {
            return true;
        }
        node.offline_since = Some(now);
        let running: Vec<String> =
            self.tasks.of_node(name).filter(|task| task.ended().is_none()).map(|task| task.upid.clone()).collect();
        for upid in running {
            self.kill_task(&upid, now);
        }
        for guest in self.guests.values_mut().filter(|guest| guest.node == name) {
            guest.process = None;
        }
        self.touch();
        true
    }

    /// The node boots again, and starts the guests that are to start with it.
    fn revive_node(&mut self, name: &str, now: Micros) -> bool {
        let Some(node) = self.nodes.iter_mut().find(|node| node.name == name) else { return false };
        if node.offline_since.take().is_none() {
            return true;
        }
        node.booted = now;
        let on_boot: Vec<u32> = self
            .guests
            .values()
            .filter(|guest| guest.node == name && guest.config.flag("onboot") && !guest.is_template())
            .map(|guest| guest.vmid)
            .collect();
        for vmid in on_boot {
            process::start(self, vmid, now);
        }
        self.touch();
        true
    }

    /// A guest goes to another node with its local volumes; its new process counts from zero.
    pub(crate) fn move_guest(&mut self, vmid: u32, node: &str, now: Micros) -> bool {
        if self.node(node).is_none() || self.guest(vmid).is_none() {
            return false;
        }
        carry_volumes(self, vmid, node);
        let pid = self.tasks.next_pid();
        self.change_guest(vmid, |guest| {
            node.clone_into(&mut guest.node);
            if let Some(process) = &mut guest.process {
                (process.pid, process.started) = (pid, now);
            }
        })
    }

    fn remove_guest_by_hand(&mut self, vmid: u32, now: Micros) -> bool {
        let Some(guest) = self.remove_guest(vmid) else { return false };
        create::free_all(self, &guest.node, vmid, &guest.config);
        snapshots::free_all(self, &guest);
        self.forget_rights_of(vmid);
        self.wake_waiting(guest.waiting, now);
        true
    }

    fn power_off_from_inside(&mut self, vmid: u32, now: Micros) -> bool {
        let running = self.guest(vmid).is_some_and(|guest| guest.process.is_some());
        if running {
            process::end(self, vmid, now);
        }
        running
    }

    fn set_lock(&mut self, vmid: u32, lock: Option<&str>) -> bool {
        self.change_guest(vmid, |guest| match lock {
            Some(lock) => guest.config.set("lock", lock),
            None => drop(guest.config.remove("lock")),
        })
    }

    /// Are more than half of the nodes there?
    pub(crate) fn is_quorate(&self) -> bool {
        let online = self.nodes.iter().filter(|node| node.offline_since.is_none()).count();
        online * 2 > self.nodes.len()
    }
}
