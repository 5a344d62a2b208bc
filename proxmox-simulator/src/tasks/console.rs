//! Tasks of consoles: each waits for its WebSocket, runs as long as that is open, and ends with it.

use super::Phase;
use crate::clock::Micros;
use crate::cluster::ClusterState;

impl ClusterState {
    /// Waits until exactly then; other tasks take a little more or less.
    pub(crate) fn console_waits(&mut self, upid: &str, until: Micros) {
        if let Some(task) = self.tasks.by_upid.get_mut(upid)
            && let Phase::Working(end) = &mut task.phase
        {
            *end = until;
            self.tasks.schedule(until, upid);
        }
    }

    /// Its WebSocket is there: from now on it runs without end. False when it waits no more, or has one already.
    pub(crate) fn console_connected(&mut self, upid: &str) -> bool {
        let Some(task) = self.tasks.by_upid.get_mut(upid) else { return false };
        let waits = matches!(task.phase, Phase::Working(until) if until != Micros::MAX);
        if waits {
            task.phase = Phase::Working(Micros::MAX);
        }
        waits
    }

    /// Its WebSocket is gone.
    pub(crate) fn console_closed(&mut self, upid: &str, at: Micros, result: Result<(), String>) {
        if self.runs(upid) {
            self.end_task(upid, at, result.map(|()| "OK".to_owned()));
        }
    }

    /// Forgets those that were opened before then and whose task has ended.
    pub(crate) fn forget_consoles(&mut self, before: Micros) {
        let tasks = &self.tasks;
        let runs = |upid: &str| tasks.get(upid).is_some_and(|task| task.ended().is_none());
        self.consoles.keep(|console| console.opened > before || runs(&console.upid));
    }

    /// Does the task still run?
    pub(crate) fn runs(&self, upid: &str) -> bool {
        self.tasks.get(upid).is_some_and(|task| task.ended().is_none())
    }

    /// Ends all consoles: a saved state has no connections.
    pub(super) fn end_consoles(&mut self, at: Micros) {
        for upid in self.consoles.upids() {
            self.console_closed(&upid, at, Ok(()));
        }
    }
}
