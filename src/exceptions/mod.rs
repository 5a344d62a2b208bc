//! What needs a person of the operator just now. It only reads: each thing is mended where it belongs, and is no exception
//! any more when it is well.

use chrono::{DateTime, TimeDelta, Utc};

use crate::app::App;
use crate::charging::passes::PassRecord;
use crate::charging::{self, StuckShutdown};
use crate::clusters::{self, Cluster, NodeAway};
use crate::error::Result;
use crate::jobs::{self, Filter, Job, Status};
use crate::ledger::{self, Outlook, Uncharged};
use crate::mail;
use crate::vms::{self, LookFailure};

/// How long a failed job is told of, in days. A parked one is told of until somebody decides.
const FAILED_DAYS: i64 = 3;
/// From how much before its end a wallet is told of, in hours.
const ENDING_HOURS: i64 = 24;

/// What needs a person.
#[derive(Debug)]
pub struct Exceptions {
    /// Jobs that wait for a decision, newest first, at most a page of them.
    pub parked: Vec<Job>,
    /// Jobs that failed in the last days, newest first, at most a page of them.
    pub failed: Vec<Job>,
    /// Clusters that do not answer.
    pub silent: Vec<Cluster>,
    /// Nodes that are away though their cluster answers, with machines of ours on them.
    pub nodes: Vec<NodeAway>,
    /// Wallets that could not be charged.
    pub uncharged: Vec<Uncharged>,
    /// Passes of charging that wait for a decision.
    pub passes: Vec<PassRecord>,
    /// Machines that run on an ended credit, because their shutdown waits behind a parked job.
    pub stuck: Vec<StuckShutdown>,
    /// Guests that are not what is sold.
    pub drifts: i64,
    /// Machines of which the change that a look found could not be written.
    pub unwritten: Vec<LookFailure>,
    /// Mails that could not be sent.
    pub mails: mail::Trouble,
    /// Empty wallets of which machines are deleted soon, or would be.
    pub deletions: Vec<charging::Waiting>,
    /// All wallets together; those that end or have ended.
    pub wallets: Outlook,
}

impl Exceptions {
    /// How many things there are to look at. The wallets that end are one, and so are those that have ended, and so are all
    /// guests that are not what is sold, and all mails.
    #[must_use]
    pub fn count(&self) -> usize {
        let wallets = usize::from(self.wallets.ending > 0) + usize::from(self.wallets.empty > 0);
        let drifts = usize::from(self.drifts > 0);
        let mails = usize::from(self.mails.is_any());
        let jobs = self.parked.len() + self.failed.len();
        jobs + self.deletions.len()
            + self.silent.len()
            + self.nodes.len()
            + self.passes.len()
            + self.stuck.len()
            + self.uncharged.len()
            + self.unwritten.len()
            + drifts
            + mails
            + wallets
    }
}

/// Until when a wallet must end to be told of.
#[must_use]
pub fn ending_before(app: &App) -> DateTime<Utc> {
    app.clock.now() + TimeDelta::hours(ENDING_HOURS)
}

/// Looks at everything that can need a person.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn current(app: &App) -> Result<Exceptions> {
    let parked = Filter { statuses: Some(vec![Status::Parked]), ..Filter::default() };
    let recently = app.clock.now() - TimeDelta::days(FAILED_DAYS);
    let failed = Filter { statuses: Some(vec![Status::Failed]), finished_since: Some(recently), ..Filter::default() };
    let mut silent = clusters::list(app).await?;
    silent.retain(|cluster| cluster.unreachable_since.is_some());
    Ok(Exceptions {
        parked: jobs::list(app, &parked, jobs::PAGE_MAX).await?,
        failed: jobs::list(app, &failed, jobs::PAGE_MAX).await?,
        silent,
        nodes: clusters::nodes_away(app).await?,
        uncharged: ledger::uncharged(app).await?,
        passes: charging::passes::held(app).await?,
        stuck: charging::stuck_shutdowns(app).await?,
        drifts: vms::drift::count(app).await?,
        unwritten: vms::look_failures(app).await?,
        mails: mail::trouble(app).await?,
        deletions: charging::waiting(app).await?,
        wallets: ledger::outlook(app, ending_before(app)).await?,
    })
}
