//! Machines of customers: ordering, provisioning, power, deletion, and what their cluster says about them. Every change is a
//! job; a request only writes down what is wanted.

pub mod adopt;
mod burn;
mod configure;
mod console;
mod create;
mod db;
mod delete;
mod disk;
pub mod drift;
mod enforce;
mod estimate;
mod identity;
mod importance;
mod machine;
mod migrate;
mod password;
mod power;
mod provision;
mod rebuild;
mod reconcile;
mod resize;
mod run;
mod seed;
mod task;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use burn::{Burn, BurnLine, burn_of, lines_of};
pub use configure::{Boot, Changes, TAG_CHARACTERS_MAX, TAGS_MAX, boot, configure};
pub use console::{Console, ConsoleKind, check_console, has_serial_console, open_console};
pub use create::{NewKey, NewVm, Ordered, create, whole_machine};
pub use delete::{delete, delete_within};
pub use estimate::{
    Cost, CostLine, ESTIMATED_VMS_MAX, Estimate, EstimatedVms, ManyEstimate, ResizeEstimate, burn_now, estimate,
    estimate_all, estimate_many, estimate_power, estimate_rebuild, estimate_resize, estimate_resizes,
};
pub use importance::{IMPORTANCE_MAX, Place, Ranked, move_in_order, order, set_order};
pub use machine::Progress;
pub use migrate::migrate;
pub use password::{PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN, set_password};
pub use power::{Power, is_for_credit, power, shut_down_for_credit, start_after_credit};
pub use rebuild::{Rebuild, rebuild};
pub use reconcile::{LookFailure, Reconciled, follow, look_failures, reconcile};
pub use resize::{NewSize, resize, why_not};
pub use run::{complete, give_up, run_step, undo_step};
pub use seed::USER_DATA_BYTES_MAX;
pub use task::{forget_lock, wait_for_lock};

use crate::app::App;
use crate::catalog::PowerState;
use crate::error::{Error, Result};
use crate::ids::{ClusterId, ImageId, IsoImageId, LocationId, OrganisationId, PlanId, VmId};
use crate::jobs::{self, Job};

/// The most machines one page shows.
pub const PAGE_MAX: i64 = 100;

/// Where a machine stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being made.
    Provisioning,
    /// Its guest runs.
    Running,
    /// Its guest is off.
    Stopped,
    /// Could not be made; everything was undone.
    Failed,
    /// Being deleted.
    Deleting,
    /// Gone.
    Deleted,
}

impl State {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Provisioning, Self::Running, Self::Stopped, Self::Failed, Self::Deleting, Self::Deleted]
            .into_iter()
            .find(|state| state.name() == text)
    }
}

/// Why and since when nobody knows how a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, as a sentence for the customer.
    pub why: &'static str,
}

/// A machine.
#[derive(Debug, Clone)]
pub struct Vm {
    /// Its id, which is also the SMBIOS uuid of its guest.
    pub id: VmId,
    /// Its short number.
    pub number: i64,
    /// Whose.
    pub organisation: OrganisationId,
    /// Its name, which is also the host name.
    pub name: String,
    /// Where it stands, as far as we know.
    pub state: State,
    /// Since when.
    pub state_since: DateTime<Utc>,
    /// Why it failed.
    pub state_reason: Option<String>,
    /// Set when nobody can know its power state just now.
    pub unknown: Option<Unknown>,
    /// Since when it is off for lack of credit.
    pub stopped_for_credit_at: Option<DateTime<Utc>>,
    /// Its address.
    pub address: Option<String>,
    /// Its plan.
    pub plan: PlanId,
    /// The plan's name.
    pub plan_name: String,
    /// Virtual processors.
    pub vcpu: i32,
    /// Memory in MiB.
    pub memory_mib: i32,
    /// Disk in GiB.
    pub disk_gib: i32,
    /// Its image.
    pub image: ImageId,
    /// The image's name.
    pub image_name: String,
    /// The user that has the SSH keys.
    pub login: String,
    /// Its location.
    pub location: LocationId,
    /// The location's name.
    pub location_name: String,
    /// Its cluster; never shown to customers.
    pub cluster: ClusterId,
    /// Its node; never shown to customers.
    pub node: String,
    /// Its VMID; never shown to customers.
    pub vmid: Option<i32>,
    /// The keys it was made with, one per line.
    pub authorized_keys: String,
    /// The SMBIOS uuid of its guest.
    pub guest_uuid: Uuid,
    /// What its owner marks it with, in order.
    pub tags: Vec<String>,
    /// Neither deleted nor rebuilt until this is taken away.
    pub protected: bool,
    /// When the credit ends the least important stop first, and of equals the newest; at most [`IMPORTANCE_MAX`].
    pub importance: i32,
    /// Since when its processors stand still, if they do; it is charged as running.
    pub paused_at: Option<DateTime<Utc>>,
    /// The CD in its drive.
    pub iso_image: Option<IsoImageId>,
    /// It starts from the CD, not from its disk.
    pub boot_from_iso: bool,
    /// Machines of the organisation with the same group are never on one node.
    pub placement_group: Option<String>,
    /// How long its user data is, in bytes, if it was made with any.
    pub user_data_bytes: Option<i32>,
    /// When it was taken over, if it was not made by us.
    pub adopted_at: Option<DateTime<Utc>>,
    /// The plan that a job at work on it will give it.
    pub next_plan: Option<PlanId>,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// Per hour in its present state; zero while nothing is charged.
    pub rate: billing::Rate,
    /// The most it costs per month.
    pub monthly_cap: Option<billing::Money>,
    /// The job that is at work on it.
    pub job: Option<Box<Job>>,
}

impl Vm {
    /// Whether there is a guest that something can be done with.
    ///
    /// # Errors
    /// `Conflict` with a sentence.
    fn check_exists(&self) -> Result<()> {
        if matches!(self.state, State::Running | State::Stopped) {
            return Ok(());
        }
        Err(Error::conflict(format!("{} is {}: this cannot be done.", self.name, self.state.name())))
    }

    /// Whether its owner has not put it under protection.
    ///
    /// # Errors
    /// `Conflict` with a sentence.
    fn check_unprotected(&self) -> Result<()> {
        if self.protected {
            return Err(Error::conflict(format!("{} is protected. Take the protection away first.", self.name)));
        }
        Ok(())
    }

    /// Whether it can be told to do something now, and if not, why not.
    ///
    /// # Errors
    /// `Conflict` with a sentence.
    fn check_free(&self) -> Result<()> {
        match &self.job {
            None => Ok(()),
            Some(job) => Err(Error::conflict(format!(
                "{} is busy: “{}” is not finished. Wait until it is.",
                self.name,
                job.kind.title()
            ))),
        }
    }
}

/// The machines of an organisation, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, organisation: OrganisationId, after: Option<VmId>, limit: i64) -> Result<Vec<Vm>> {
    list_tagged(app, organisation, None, after, limit).await
}

/// The machines of an organisation that have a tag, newest first; without a tag all of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list_tagged(
    app: &App,
    organisation: OrganisationId,
    tag: Option<&str>,
    after: Option<VmId>,
    limit: i64,
) -> Result<Vec<Vm>> {
    let tag = tag.map(|tag| tag.trim().to_ascii_lowercase());
    let filter = db::Filter { organisation: Some(organisation), tag, after, ..db::Filter::default() };
    with_jobs(app, db::select(&app.pool, &filter, limit.clamp(1, PAGE_MAX + 1), app.clock.now()).await?).await
}

/// The machines of a cluster, of whatever organisation, newest first; for operators.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list_of_cluster(app: &App, cluster: ClusterId, after: Option<VmId>, limit: i64) -> Result<Vec<Vm>> {
    let filter = db::Filter { cluster: Some(cluster), after, ..db::Filter::default() };
    with_jobs(app, db::select(&app.pool, &filter, limit.clamp(1, PAGE_MAX + 1), app.clock.now()).await?).await
}

/// A machine of an organisation.
///
/// # Errors
/// `NotFound` when there is none, or it is somebody else's, or it is gone.
pub async fn find(app: &App, organisation: OrganisationId, id: VmId) -> Result<Vm> {
    let filter = db::Filter { organisation: Some(organisation), vm: Some(id), ..db::Filter::default() };
    let found = db::select(&app.pool, &filter, 1, app.clock.now()).await?;
    with_jobs(app, found).await?.pop().ok_or(Error::NotFound("VM"))
}

/// The user data that a machine of an organisation was made with. It may hold secrets of its owner, so operators are not
/// shown it.
///
/// # Errors
/// `NotFound` when there is no such machine, it is somebody else's, or it was made without user data.
pub async fn user_data(app: &App, organisation: OrganisationId, id: VmId) -> Result<String> {
    db::select_user_data(&app.pool, organisation, id).await?.ok_or(Error::NotFound("user data"))
}

/// A machine of any organisation, for operators.
///
/// # Errors
/// `NotFound` when there is none, or it is gone.
pub async fn find_for_staff(app: &App, id: VmId) -> Result<Vm> {
    let filter = db::Filter { vm: Some(id), ..db::Filter::default() };
    let found = db::select(&app.pool, &filter, 1, app.clock.now()).await?;
    with_jobs(app, found).await?.pop().ok_or(Error::NotFound("VM"))
}

/// A machine of an organisation without its job, read in somebody's transaction: who holds a connection and asks the pool
/// for a second one stops everybody when enough do it at once.
///
/// # Errors
/// As [`find`].
async fn find_within(app: &App, connection: &mut PgConnection, organisation: OrganisationId, id: VmId) -> Result<Vm> {
    let filter = db::Filter { organisation: Some(organisation), vm: Some(id), ..db::Filter::default() };
    let found = db::select(&mut *connection, &filter, 1, app.clock.now()).await?.pop();
    let mut vm = found.ok_or(Error::NotFound("VM"))?;
    vm.job = jobs::unfinished_of_vm(connection, id).await?.map(Box::new);
    Ok(vm)
}

async fn with_jobs(app: &App, mut vms: Vec<Vm>) -> Result<Vec<Vm>> {
    // One, but for the lists of operators.
    let organisations: HashSet<OrganisationId> = vms.iter().map(|vm| vm.organisation).collect();
    let mut unfinished = Vec::new();
    for organisation in organisations {
        unfinished.extend(jobs::unfinished_of_organisation(app, organisation).await?);
    }
    for vm in &mut vms {
        // Newest first: the last one found is the one that is at work.
        vm.job = unfinished.iter().rfind(|job| job.vm == vm.id).cloned().map(Box::new);
    }
    Ok(vms)
}

/// A machine that exists on its cluster, for the books.
#[derive(Debug, Clone)]
pub struct Made {
    /// The machine.
    pub id: VmId,
    /// Its plan.
    pub plan: PlanId,
    /// Running or stopped.
    pub power_state: PowerState,
    /// Whether it is off because the credit ran out.
    pub stopped_for_credit: bool,
    /// Whether its owner keeps it from being deleted.
    pub protected: bool,
    /// Its name.
    pub name: String,
    /// Whether its cluster answers and lists it: only then it is metered.
    pub seen: bool,
}

/// The machines of an organisation that exist on their clusters, the most important first, and of equals the oldest.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn made(connection: &mut PgConnection, organisation: OrganisationId) -> Result<Vec<Made>> {
    db::select_made(connection, organisation).await
}

/// How many machines an organisation has, and how many of them run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// All that are not gone.
    pub all: i64,
    /// Those that run.
    pub running: i64,
    /// Those that are off because the credit ran out, or are being shut down for that.
    pub stopped_for_credit: i64,
}

/// Counts the machines of an organisation.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn count(app: &App, organisation: OrganisationId) -> Result<Counts> {
    db::select_count(&app.pool, organisation).await
}

/// Which of these machines are not gone.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn existing(app: &App, ids: &[VmId]) -> Result<HashSet<VmId>> {
    db::select_existing(&app.pool, ids).await
}

/// How many machines of an organisation were made with each key, by the key's line.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn count_by_key(app: &App, organisation: OrganisationId) -> Result<HashMap<String, i64>> {
    db::select_count_by_key(&app.pool, organisation).await
}

/// How many machines are in which state, on the whole platform.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn count_by_state(app: &App) -> Result<Vec<(State, i64)>> {
    db::select_count_by_state(&app.pool).await
}
