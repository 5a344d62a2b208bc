//! How a call is refused, and what it answers when it is not: the two outcomes every handler has. How they look on
//! the wire is the transport's matter.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Micros;
use crate::console::Console;

/// A refusal in Proxmox's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// HTTP status.
    pub(crate) status: u16,
    /// Full text, with the trailing line feed Perl's `die` leaves.
    pub(crate) message: String,
    /// Per-parameter texts of a 400.
    pub(crate) errors: Option<BTreeMap<String, String>>,
    /// The config file is held by a task: worth trying again at this moment.
    pub(crate) busy_until: Option<Micros>,
}

impl Failure {
    /// `die "…\n"`: Proxmox's general no.
    pub(crate) fn died(text: impl std::fmt::Display) -> Self {
        Self::with_status(500, text)
    }

    /// 403 with `Permission check failed…`.
    pub(crate) fn forbidden(text: impl std::fmt::Display) -> Self {
        Self::with_status(403, text)
    }

    pub(crate) fn with_status(status: u16, text: impl std::fmt::Display) -> Self {
        Self { status, message: format!("{text}\n"), errors: None, busy_until: None }
    }

    /// 400 `Parameter verification failed.` about one parameter.
    pub(crate) fn parameter(name: &str, text: impl Into<String>) -> Self {
        Self::parameters(BTreeMap::from([(name.to_owned(), text.into())]))
    }

    /// 400 `Parameter verification failed.` about several parameters.
    pub(crate) fn parameters(errors: BTreeMap<String, String>) -> Self {
        Self { errors: Some(errors), ..Self::with_status(400, "Parameter verification failed.") }
    }

    /// The config file of a guest is held until `until` by a running task.
    pub(crate) fn busy(vmid: u32, until: Micros) -> Self {
        Self { busy_until: Some(until), ..Self::died(lock_timeout(vmid)) }
    }

    /// The text without its trailing line feed, as it stands in a task's exit status.
    pub(crate) fn text(&self) -> &str {
        self.message.trim_end_matches('\n')
    }
}

/// The text of a config file lock that was not had in time.
pub(crate) fn lock_timeout(vmid: u32) -> String {
    format!("can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
}

/// What a call answers.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The `data` of the envelope.
    pub(crate) data: Value,
    /// `total` beside the data, for logs and task lists.
    pub(crate) total: Option<usize>,
    /// Time the work would have taken before the answer was written.
    pub(crate) delay: Duration,
    /// The console whose WebSocket this call opens.
    pub(crate) console: Option<Console>,
}

impl Reply {
    pub(crate) fn data(data: impl Into<Value>) -> Self {
        Self { data: data.into(), total: None, delay: Duration::ZERO, console: None }
    }

    pub(crate) fn null() -> Self {
        Self::data(Value::Null)
    }
}

/// The result of every call.
pub(crate) type Outcome = Result<Reply, Failure>;
