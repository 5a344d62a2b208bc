//! Faults on demand: what can go wrong between a client and a cluster, for the next calls that match. They do not
//! change the state by themselves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Faults waiting at a time.
const WAITING_MAX: usize = 1_000;

/// A fault for the next matching calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The method it is for; every method when not given.
    #[serde(default)]
    pub method: Option<String>,
    /// Part of the path and query it is for, such as `/clone`; every path when empty.
    #[serde(default, rename = "path")]
    pub path_contains: String,
    /// How many calls it spoils.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub kind: FaultKind,
}

fn once() -> u32 {
    1
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answered with this status and message; nothing is done.
    Refuse {
        /// HTTP status.
        status: u16,
        /// Message, without line feed.
        message: String,
    },
    /// Answered properly, but this much later (in milliseconds over HTTP).
    Delay(#[serde(deserialize_with = "milliseconds", serialize_with = "as_milliseconds")] Duration),
    /// The connection is cut; nothing is done.
    DropBefore,
    /// The work is done, then the connection is cut.
    DropAfter,
    /// 595: the node's API could not be reached; nothing is done.
    Proxy595,
    /// 596: the work is done, but the proxy did not wait for the answer.
    Proxy596AfterWork,
    /// 596: the proxy did not get an answer; nothing is done.
    Proxy596,
    /// 599: the proxy gave up for another reason; nothing is done.
    Proxy599,
    /// The work is done, but only the first half of the answer's JSON arrives, as if it were all.
    TruncatedJson,
    /// The work is done, but the answer says it is longer than it is, and the connection ends.
    WrongContentLength,
    /// The task the call starts ends with this exit text; `WARNINGS: 1` does the work, anything else does not.
    TaskFails(String),
    /// A web page instead of an answer, as a misconfigured proxy sends it; nothing is done.
    Html,
}

fn milliseconds<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn as_milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
}

impl Fault {
    /// A fault for the next call with this method and this in its path.
    pub fn once(method: &str, path_contains: &str, kind: FaultKind) -> Self {
        Self { method: Some(method.to_owned()), path_contains: path_contains.to_owned(), times: 1, kind }
    }
}

/// The faults that wait for their calls.
#[derive(Debug, Default)]
pub struct Faults {
    waiting: Mutex<Vec<Fault>>,
}

impl Faults {
    /// Adds a fault. The oldest is forgotten when a thousand wait.
    pub fn inject(&self, fault: Fault) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            waiting.remove(0);
        }
        if fault.times > 0 {
            waiting.push(fault);
        }
    }

    /// Forgets all faults that still wait.
    pub fn clear(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many faults still wait.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The faults that still wait, oldest first.
    pub fn list(&self) -> Vec<Fault> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fault for this call, used up by one.
    pub(crate) fn take(&self, method: &str, path: &str) -> Option<FaultKind> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let index = waiting.iter().position(|fault| {
            fault.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && path.contains(&fault.path_contains)
        })?;
        let kind = waiting[index].kind.clone();
        waiting[index].times -= 1;
        if waiting[index].times == 0 {
            waiting.remove(index);
        }
        Some(kind)
    }
}
