//! What a test does to tasks from outside: freeze and thaw them, let them fail half-way, or die and leave their locks.

use super::{KILLED, Phase};
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::simulator::Simulator;

/// Things that can be frozen at a time; the oldest thaws when there are more.
const FROZEN_MAX: usize = 1_000;

impl Simulator {
    /// Holds every task with this UPID or of this type (`vzdump`, `qmigrate`, …), now and later: it begins and takes
    /// its locks, but does not come to its end before [`Simulator::thaw_task`].
    pub fn freeze_task(&self, what: &str) {
        self.settled().freeze_task(what);
    }

    /// Lets what was frozen go on; what is overdue ends now. False when it was not frozen.
    pub fn thaw_task(&self, what: &str) -> bool {
        let now = self.now();
        let mut cluster = self.settled();
        let thawed = cluster.thaw_task(what, now);
        cluster.settle(now);
        thawed
    }

    /// Fails the running tasks with this UPID or of this type: they end with `text` and clean up as Proxmox does then.
    /// Returns how many there were.
    pub fn fail_task(&self, what: &str, text: &str) -> usize {
        let now = self.now();
        let mut cluster = self.settled();
        let failed = cluster.fail_tasks(what, now, text);
        cluster.settle(now);
        failed
    }

    /// Kills the running tasks with this UPID or of this type: they end as `unexpected status` and leave their locks
    /// and half-made things behind. Returns how many there were.
    pub fn kill_task(&self, what: &str) -> usize {
        let now = self.now();
        let mut cluster = self.settled();
        let killed = cluster.kill_tasks(what, now);
        cluster.settle(now);
        killed
    }
}

impl ClusterState {
    pub(crate) fn freeze_task(&mut self, what: &str) {
        let frozen = &mut self.tasks.frozen;
        if frozen.iter().any(|known| known == what) {
            return;
        }
        if frozen.len() >= FROZEN_MAX {
            frozen.remove(0);
        }
        frozen.push(what.to_owned());
    }

    pub(crate) fn thaw_task(&mut self, what: &str, now: Micros) -> bool {
        let before = self.tasks.frozen.len();
        self.tasks.frozen.retain(|known| known != what);
        for upid in std::mem::take(&mut self.tasks.held) {
            if self.tasks.is_frozen(&upid) {
                self.tasks.held.push(upid);
            } else {
                self.tasks.schedule(now, &upid);
            }
        }
        self.tasks.frozen.len() < before
    }

    pub(crate) fn fail_tasks(&mut self, what: &str, now: Micros, text: &str) -> usize {
        let running = self.running(what);
        for upid in &running {
            self.fail_task(upid, now, text);
        }
        running.len()
    }

    pub(crate) fn kill_tasks(&mut self, what: &str, now: Micros) -> usize {
        let running = self.running(what);
        for upid in &running {
            self.kill_task(upid, now);
        }
        running.len()
    }

    fn running(&self, what: &str) -> Vec<String> {
        let tasks = self.tasks.by_upid.values().filter(|task| task.ended().is_none());
        let named = tasks.filter(|task| task.upid == what || task.kind == what);
        let mut running: Vec<String> = named.map(|task| task.upid.clone()).collect();
        running.sort();
        running
    }

    fn fail_task(&mut self, upid: &str, at: Micros, text: &str) {
        let Some(task) = self.tasks.by_upid.get_mut(upid) else { return };
        let begun = matches!(task.phase, Phase::Working(_));
        if let Some(work) = task.work.take().filter(|_| begun) {
            work.abandon(self);
        }
        self.leave_queue(upid);
        self.end_task(upid, at, Err(text.to_owned()));
    }

    /// Until when another `vzdump` of the node is at work, if one is: only one runs at a time.
    pub(crate) fn other_vzdump(&self, node: &str, own_marker: u64) -> Option<Micros> {
        self.tasks.of_node(node).find_map(|task| match (&task.phase, &task.work) {
            (Phase::Working(until), Some(work)) if work.backs_up(own_marker) => Some(*until),
            _ => None,
        })
    }
}

/// The worker that is lost without a word.
pub(crate) fn lost() -> String {
    KILLED.to_owned()
}
