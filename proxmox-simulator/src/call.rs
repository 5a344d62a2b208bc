//! One call on its way: who asks, for what, in which cluster, at what time. Handlers take it and answer; how the
//! request came is not their concern.

use std::sync::Arc;

use crate::access::Access;
use crate::auth::Caller;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::failure::Failure;
use crate::parameters::Parameters;
use crate::tasks::{NewTask, Work};

/// Everything a handler needs.
pub(crate) struct Call<'a> {
    pub(crate) cluster: &'a mut ClusterState,
    pub(crate) caller: &'a Caller,
    pub(crate) parameters: Parameters,
    pub(crate) now: Micros,
    /// The path as the schema writes it, such as `/nodes/{node}/status`.
    pub(crate) template: &'a str,
    /// Exit text the task started by this call is to have.
    pub(crate) task_fault: Option<String>,
}

impl Call<'_> {
    /// A parameter the schema insists on.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.parameters.text(name).unwrap_or_default()
    }

    /// Users, roles and pools, to change them.
    pub(crate) fn access_mut(&mut self) -> &mut Access {
        self.cluster.touch();
        Arc::make_mut(&mut self.cluster.access)
    }

    /// The node in the path.
    pub(crate) fn node(&self) -> &str {
        self.text("node")
    }

    /// The VMID in the path or body, checked before.
    pub(crate) fn vmid(&self) -> u32 {
        self.parameters.number("vmid").unwrap_or_default()
    }

    /// Starts a worker on the node of the call; returns its UPID.
    pub(crate) fn spawn(&mut self, kind: &'static str, locks: Option<u32>, work: Work) -> String {
        let id = self.vmid().to_string();
        self.spawn_as(kind, id, locks, work)
    }

    /// As `spawn`, for a task whose id is not the VMID of the call.
    pub(crate) fn spawn_as(&mut self, kind: &'static str, id: String, locks: Option<u32>, work: Work) -> String {
        let task = NewTask {
            node: self.node().to_owned(),
            kind,
            id,
            owner: self.caller.id().to_owned(),
            locks,
            work,
            fault: self.task_fault.take(),
        };
        let now = self.now;
        self.cluster.spawn(task, now)
    }

    /// `skiplock` is for root itself, which no token is.
    pub(crate) fn refuse_skiplock(&self) -> Result<(), Failure> {
        match self.parameters.flag("skiplock") {
            Some(true) if !self.caller.is_root() => {
                Err(Failure::parameter("skiplock", "Only root may use this option."))
            }
            _ => Ok(()),
        }
    }
}
