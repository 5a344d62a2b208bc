//! Lists of tasks, and ending one. The state of a single task is in `tasks.rs`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::request::{Parameters, node_path};
use crate::tasks::{TaskEnd, task_path};
use crate::upid::Upid;

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskEntry {
    /// Its name.
    pub upid: Upid,
    /// When it ended, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::optional_whole")]
    pub endtime: Option<u64>,
    /// How it ended, as text; see [`TaskEntry::end`].
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub status: Option<String>,
}

impl TaskEntry {
    /// How it ended; `None` while it is at work.
    #[must_use]
    pub fn end(&self) -> Option<TaskEnd> {
        self.endtime?;
        self.status.as_deref().map(TaskEnd::read)
    }
}

/// Which tasks of a node are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFilter {
    source: &'static str,
    vmid: Option<u32>,
    kind: Option<String>,
    since: Option<u64>,
    errors: bool,
    limit: u32,
}

impl TaskFilter {
    /// The newest tasks, running ones included, so many at most.
    #[must_use]
    pub fn newest(limit: u32) -> Self {
        Self { source: "all", vmid: None, kind: None, since: None, errors: false, limit }
    }

    /// Only those at work.
    #[must_use]
    pub fn running(mut self) -> Self {
        self.source = "active";
        self
    }

    /// Only those of this guest; a clone is of its *source*.
    #[must_use]
    pub fn vmid(mut self, vmid: u32) -> Self {
        self.vmid = Some(vmid);
        self
    }

    /// Only of this kind, such as `qmclone`.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        self.kind = Some(String::from(kind));
        self
    }

    /// Only those begun since, in seconds since 1970.
    #[must_use]
    pub fn since(mut self, seconds: u64) -> Self {
        self.since = Some(seconds);
        self
    }

    /// Only those that failed.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.errors = true;
        self
    }
}

impl Client {
    /// `GET /cluster/tasks`. Any token, about its own tasks; others need Sys.Audit on their node.
    /// The newest of all nodes, a few seconds late.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cluster_tasks(&self) -> Result<Vec<TaskEntry>, Error> {
        self.get(String::from("/cluster/tasks"), Parameters::new()).await
    }

    /// `GET /nodes/{node}/tasks`. Privileges as [`Client::cluster_tasks`]. Newest first.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::TaskFilter;
    /// let failed = client.node_tasks("pve1", &TaskFilter::newest(50).failed()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node_tasks(&self, node: &str, filter: &TaskFilter) -> Result<Vec<TaskEntry>, Error> {
        let parameters = Parameters::new()
            .with("source", filter.source)
            .with("limit", filter.limit)
            .maybe("vmid", filter.vmid)
            .maybe("typefilter", filter.kind.as_deref())
            .maybe("since", filter.since)
            .flag("errors", filter.errors.then_some(true));
        self.get(node_path(node, "/tasks")?, parameters).await
    }

    /// `DELETE /nodes/{node}/tasks/{upid}`. The own task, else Sys.Modify on the node. Asks it to
    /// end; what it has done so far stays, a lock may too. One that has ended is no error.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stop_task(&self, upid: &Upid) -> Result<(), Error> {
        let _: IgnoredAny = self.delete(task_path(upid, "")?, Parameters::new()).await?;
        Ok(())
    }
}
