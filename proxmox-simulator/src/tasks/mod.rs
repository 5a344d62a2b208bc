//! Worker tasks: UPIDs, the file locks they queue for, when they end, their logs. Nothing runs in the background:
//! each access first settles everything that fell due, at the moment it fell due. What a task does is in `work`.

mod calls;
mod console;
mod control;
mod work;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use calls::{cluster_list, list, log, status, stop};
pub(crate) use control::lost;
pub(crate) use work::Work;

use crate::clock::{Micros, micros, seconds};
use crate::cluster::ClusterState;
use crate::cluster::guest::FileLock;
use crate::failure::lock_timeout;

/// Finished tasks kept per node; the oldest go first.
const KEPT_PER_NODE_MAX: usize = 2_000;
/// How long a worker waits for a config file's lock.
pub(crate) const FILE_LOCK_WAIT: Duration = Duration::from_secs(10);
/// First process id of a worker.
const PID_FIRST: u32 = 0x0000_0500;
/// Process ids start again here.
const PID_MAX: u32 = 4_194_304;
/// How much of a killed task's exit status is known.
pub(crate) const KILLED: &str = "unexpected status";

/// All tasks of the cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tasks {
    by_upid: HashMap<String, Task>,
    /// UPIDs of each node, newest first.
    by_node: BTreeMap<String, VecDeque<String>>,
    last_pid: u32,
    #[serde(skip)]
    due: BinaryHeap<Reverse<(Micros, u64, String)>>,
    #[serde(skip)]
    queued: u64,
    /// What is frozen: task types, ids or UPIDs.
    #[serde(skip)]
    frozen: Vec<String>,
    /// Frozen tasks that would have come to their end.
    #[serde(skip)]
    held: Vec<String>,
}

/// One task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) upid: String,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) pstart: u32,
    pub(crate) started: Micros,
    pub(crate) kind: String,
    pub(crate) id: String,
    /// User with token, as in the UPID.
    pub(crate) owner: String,
    pub(crate) log: Vec<String>,
    phase: Phase,
    /// The guest whose config file it locks.
    #[serde(skip)]
    locks: Option<u32>,
    #[serde(skip)]
    work: Option<Work>,
    /// An exit text a test asked for.
    #[serde(skip)]
    fault: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Phase {
    /// Waits for the file lock until then.
    Waiting(Micros),
    /// May begin.
    Ready,
    /// Ends then.
    Working(Micros),
    Ended {
        at: Micros,
        exit: String,
    },
}

/// What starts a task.
pub(crate) struct NewTask {
    pub(crate) node: String,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) locks: Option<u32>,
    pub(crate) work: Work,
    pub(crate) fault: Option<String>,
}

impl Task {
    /// The end and the exit text, once there is one.
    pub(crate) fn ended(&self) -> Option<(Micros, &str)> {
        match &self.phase {
            Phase::Ended { at, exit } => Some((*at, exit)),
            Phase::Waiting(_) | Phase::Ready | Phase::Working(_) => None,
        }
    }
}

impl Tasks {
    /// A process id nobody has.
    pub(crate) fn next_pid(&mut self) -> u32 {
        self.last_pid =
            if self.last_pid < PID_FIRST || self.last_pid >= PID_MAX { PID_FIRST } else { self.last_pid + 1 };
        self.last_pid
    }

    pub(crate) fn get(&self, upid: &str) -> Option<&Task> {
        self.by_upid.get(upid)
    }

    /// Tasks of a node, newest first.
    pub(crate) fn of_node(&self, node: &str) -> impl Iterator<Item = &Task> {
        self.by_node.get(node).into_iter().flatten().filter_map(|upid| self.by_upid.get(upid))
    }

    pub(crate) fn schedule(&mut self, at: Micros, upid: &str) {
        self.queued += 1;
        self.due.push(Reverse((at, self.queued, upid.to_owned())));
    }

    fn is_frozen(&self, upid: &str) -> bool {
        let Some(task) = self.by_upid.get(upid) else { return false };
        self.frozen.iter().any(|what| *what == task.upid || *what == task.kind)
    }

    fn forget_oldest(&mut self, node: &str) {
        let Some(upids) = self.by_node.get_mut(node) else { return };
        while upids.len() > KEPT_PER_NODE_MAX {
            let ended = upids.back().and_then(|upid| self.by_upid.get(upid)).is_some_and(|task| task.ended().is_some());
            if !ended {
                return;
            }
            if let Some(upid) = upids.pop_back() {
                self.by_upid.remove(&upid);
            }
        }
    }
}

impl ClusterState {
    /// Starts a task and returns its UPID. With instant timing it has ended when this returns.
    pub(crate) fn spawn(&mut self, task: NewTask, now: Micros) -> String {
        let pid = self.tasks.next_pid();
        let booted = self.node(&task.node).map_or(now, |node| node.booted);
        let pstart = u32::try_from(now.saturating_sub(booted) / 10_000).unwrap_or(u32::MAX);
        let NewTask { node, kind, id, owner, locks, work, fault } = task;
        let upid = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{:08X}:{kind}:{id}:{owner}:", seconds(now));
        let waits = locks.and_then(|vmid| self.guests.get_mut(&vmid)).filter(|guest| guest.file_lock.is_some());
        let phase = match waits {
            Some(guest) => {
                guest.waiting.push_back(upid.clone());
                Phase::Waiting(now.saturating_add(micros(FILE_LOCK_WAIT)))
            }
            None => Phase::Ready,
        };
        let first_look = match phase {
            Phase::Waiting(until) => until,
            _ => now,
        };
        let task = Task {
            upid: upid.clone(),
            node: node.clone(),
            pid,
            pstart,
            started: now,
            kind: kind.to_owned(),
            id,
            owner,
            log: Vec::new(),
            phase,
            locks,
            work: Some(work),
            fault,
        };
        self.tasks.by_upid.insert(upid.clone(), task);
        self.tasks.by_node.entry(node.clone()).or_default().push_front(upid.clone());
        self.tasks.forget_oldest(&node);
        self.tasks.schedule(first_look, &upid);
        self.touch();
        self.settle(now);
        upid
    }

    /// Brings everything that fell due by `now` to its end, and lets the high availability manager act.
    pub(crate) fn settle(&mut self, now: Micros) {
        self.settle_tasks(now);
        self.settle_ha(now);
        self.settle_tasks(now);
    }

    /// As `settle`, tasks only.
    pub(crate) fn settle_tasks(&mut self, now: Micros) {
        while self.tasks.due.peek().is_some_and(|Reverse((at, _, _))| *at <= now) {
            let Some(Reverse((at, _, upid))) = self.tasks.due.pop() else { return };
            self.advance(&upid, at);
        }
    }

    /// Ends all tasks now, with their effects: what a snapshot shows. What is frozen thaws for that.
    pub(crate) fn settle_all(&mut self, now: Micros) {
        self.end_consoles(now);
        self.tasks.frozen.clear();
        for upid in std::mem::take(&mut self.tasks.held) {
            self.tasks.schedule(now, &upid);
        }
        while let Some(Reverse((at, _, upid))) = self.tasks.due.pop() {
            self.advance_as(&upid, at, at.min(now));
        }
    }

    fn advance(&mut self, upid: &str, at: Micros) {
        self.advance_as(upid, at, at);
    }

    fn advance_as(&mut self, upid: &str, at: Micros, stamp: Micros) {
        let Some(task) = self.tasks.by_upid.get(upid) else { return };
        match task.phase {
            Phase::Waiting(until) if until <= at => {
                let text = task.locks.map(lock_timeout).unwrap_or_default();
                self.leave_queue(upid);
                self.end_task(upid, stamp, Err(text));
            }
            Phase::Ready => self.begin(upid, stamp),
            Phase::Working(until) if until <= at && self.tasks.is_frozen(upid) => {
                self.tasks.held.push(upid.to_owned());
            }
            Phase::Working(until) if until <= at => self.finish(upid, stamp),
            Phase::Waiting(_) | Phase::Working(_) | Phase::Ended { .. } => {}
        }
    }

    fn begin(&mut self, upid: &str, at: Micros) {
        let Some(task) = self.tasks.by_upid.get_mut(upid) else { return };
        let Some(mut work) = task.work.take() else { return };
        let (pid, locks) = (task.pid, task.locks);
        let mut log = std::mem::take(&mut task.log);
        let begun = work.begin(self, at, &mut log);
        let keeps_file_lock = work.keeps_file_lock();
        if let Some(task) = self.tasks.by_upid.get_mut(upid) {
            task.log = log;
            task.work = Some(work.clone());
        }
        match begun {
            Err(text) => {
                work.abandon(self);
                self.end_task(upid, at, Err(text));
            }
            Ok(duration) => {
                let until = at.saturating_add(spread(micros(duration), pid, self.timing().spread_percent));
                if !keeps_file_lock {
                    self.release(upid, at);
                } else if let Some(guest) = locks.and_then(|vmid| self.guests.get_mut(&vmid)) {
                    guest.file_lock = Some(FileLock { upid: upid.to_owned(), until });
                }
                if let Some(task) = self.tasks.by_upid.get_mut(upid) {
                    task.phase = Phase::Working(until);
                }
                self.tasks.schedule(until, upid);
            }
        }
    }

    fn finish(&mut self, upid: &str, at: Micros) {
        let Some(task) = self.tasks.by_upid.get_mut(upid) else { return };
        let Some(mut work) = task.work.take() else { return };
        let fault = task.fault.take();
        let pid = task.pid;
        let mut log = std::mem::take(&mut task.log);
        let goes_on = fault.as_ref().is_none_or(|text| text.starts_with("WARNINGS"));
        if goes_on && let Some(duration) = work.proceed(self, at, &mut log) {
            let until = at.saturating_add(spread(micros(duration), pid, self.timing().spread_percent));
            if let Some(task) = self.tasks.by_upid.get_mut(upid) {
                (task.log, task.work, task.fault, task.phase) = (log, Some(work), fault, Phase::Working(until));
            }
            self.tasks.schedule(until, upid);
            return;
        }
        let result = match fault {
            Some(text) if !text.starts_with("WARNINGS") => {
                work.abandon(self);
                Err(text)
            }
            Some(text) => work.finish(self, at, &mut log).map(|_| text),
            None => work.finish(self, at, &mut log).map(|warnings| match warnings {
                0 => "OK".to_owned(),
                count => format!("WARNINGS: {count}"),
            }),
        };
        if let Some(task) = self.tasks.by_upid.get_mut(upid) {
            task.log = log;
        }
        self.end_task(upid, at, result);
    }

    fn end_task(&mut self, upid: &str, at: Micros, result: Result<String, String>) {
        let Some(task) = self.tasks.by_upid.get_mut(upid) else { return };
        let exit = match result {
            Ok(exit) => {
                task.log.push(format!("TASK {exit}"));
                exit
            }
            // The worker is gone before it could say so.
            Err(text) if text == KILLED => text,
            Err(text) => {
                task.log.push(format!("TASK ERROR: {text}"));
                text.replace('\n', " ")
            }
        };
        task.phase = Phase::Ended { at, exit };
        task.work = None;
        self.release(upid, at);
        self.touch();
    }

    /// Kills a task as Proxmox does: no end line, no clean-up, the config lock stays.
    pub(crate) fn kill_task(&mut self, upid: &str, at: Micros) {
        let Some(task) = self.tasks.by_upid.get_mut(upid) else { return };
        if task.ended().is_some() {
            return;
        }
        task.phase = Phase::Ended { at, exit: KILLED.to_owned() };
        task.work = None;
        self.leave_queue(upid);
        self.release(upid, at);
        self.touch();
    }

    fn leave_queue(&mut self, upid: &str) {
        let locks = self.tasks.by_upid.get(upid).and_then(|task| task.locks);
        if let Some(guest) = locks.and_then(|vmid| self.guests.get_mut(&vmid)) {
            guest.waiting.retain(|waiting| waiting != upid);
        }
    }

    /// Gives the file lock to the next in the queue.
    fn release(&mut self, upid: &str, at: Micros) {
        let Some(vmid) = self.tasks.by_upid.get(upid).and_then(|task| task.locks) else { return };
        let next = match self.guests.get_mut(&vmid) {
            Some(guest) => {
                if guest.file_lock.as_ref().is_some_and(|lock| lock.upid == upid) {
                    guest.file_lock = None;
                }
                if guest.file_lock.is_some() { None } else { guest.waiting.pop_front() }
            }
            None => None,
        };
        let Some(next) = next else { return };
        if let Some(task) = self.tasks.by_upid.get_mut(&next) {
            task.phase = Phase::Ready;
        }
        self.tasks.schedule(at, &next);
    }

    /// Lets tasks that waited for a guest that is gone find that out.
    pub(crate) fn wake_waiting(&mut self, waiting: VecDeque<String>, at: Micros) {
        for upid in waiting {
            if let Some(task) = self.tasks.by_upid.get_mut(&upid) {
                task.phase = Phase::Ready;
            }
            self.tasks.schedule(at, &upid);
        }
    }
}

/// `duration` up to `percent` longer or shorter, always the same for one process id.
fn spread(duration: Micros, pid: u32, percent: u32) -> Micros {
    let range = duration / 100 * u64::from(percent);
    if range == 0 {
        return duration;
    }
    let step = u64::from(pid.wrapping_mul(2_654_435_761)) % 201;
    (duration - range) + range * step / 100
}
