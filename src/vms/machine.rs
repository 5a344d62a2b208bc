//! A machine with the way to its cluster, for the steps of jobs: finding its guest, writing to it.

use std::time::Duration;

use anyhow::Context;
use proxmox_client::{Client, ConfigChange, Error as ProxmoxError, ResourceFilter, VmConfig};
use sqlx::{PgConnection, Postgres, Transaction};

use super::db::{self, MachineRow};
use super::identity::{self, Identity};
use super::rebuild;
use crate::app::App;
use crate::clusters::Trouble;
use crate::error::Error;
use crate::ids::VmId;
use crate::jobs::{self, Job, Kind};

/// How a step ended, when nothing went wrong.
#[derive(Debug)]
pub enum Progress {
    /// Done: go on with the next.
    Done,
    /// Not yet: look again after a pause.
    Wait(Duration, &'static str),
}

/// What a step gives back.
pub type Step = Result<Progress, Trouble>;

/// A machine and the client of its cluster.
pub(super) struct Machine {
    pub vm: VmId,
    pub row: MachineRow,
    pub client: Client,
    /// The row's VMID is that of the guest which a rebuild makes beside the machine's own.
    pub beside: bool,
}

/// What is under a VMID, before anybody asks whose it is.
enum Found {
    Nothing,
    Guest(String, Box<VmConfig>),
    /// The VMID is taken by something that we may not see.
    Hidden,
}

/// What is found under a machine's VMID.
pub(super) enum Guest {
    /// Nothing.
    Missing,
    /// Our guest, on this node.
    Ours(String, Box<VmConfig>),
    /// It is still being cloned and cannot say whose it is.
    BeingMade,
    /// Another guest.
    Foreign,
}

impl Machine {
    pub async fn load(app: &App, vm: VmId) -> Result<Self, Trouble> {
        let row = db::select_machine(&app.pool, vm).await?.ok_or(Error::NotFound("VM"))?;
        let client = app.connections.client(app, row.cluster).await?;
        Ok(Self { vm, row, client, beside: false })
    }

    /// The machine of a job with the guest that its step is about: a rebuild has two of them.
    pub async fn of(app: &App, job: &Job) -> Result<Self, Trouble> {
        let mut machine = Self::load(app, job.vm).await?;
        if job.kind == Kind::VmRebuild {
            rebuild::turn_to(&mut machine, job)?;
        }
        Ok(machine)
    }

    /// Writes down which VMID the guest that the step is about has.
    pub async fn set_vmid(&self, connection: &mut PgConnection, vmid: Option<u32>) -> Result<(), Trouble> {
        if self.beside {
            db::set_next_vmid(connection, self.vm, vmid).await?;
        } else {
            db::set_vmid(connection, self.vm, vmid).await?;
        }
        Ok(())
    }

    pub fn vmid(&self) -> Result<u32, Trouble> {
        let vmid = self
            .row
            .vmid
            .and_then(|vmid| u32::try_from(vmid).ok())
            .context("the VM has no VMID")
            .map_err(Error::from)?;
        Ok(vmid)
    }

    /// Looks under the VMID: where the guest was last, then wherever the cluster lists it, for it may have been moved. That a
    /// list does not show it proves nothing, for lists are filtered by privilege: `nextid?vmid=` is the test that is not.
    async fn look(&self) -> Result<Found, Trouble> {
        let vmid = self.vmid()?;
        match self.client.vm_config(&self.row.node, vmid).await {
            Ok(config) => return Ok(Found::Guest(self.row.node.clone(), Box::new(config))),
            Err(ProxmoxError::Refused(refusal)) if refusal.is_missing_guest() => {}
            Err(error) => return Err(error.into()),
        }
        // The cheap question first: on a large cluster the list is long, and a free VMID needs none.
        if self.client.vmid_is_free(vmid).await? {
            return Ok(Found::Nothing);
        }
        let listed = self.client.resources(Some(ResourceFilter::Vm)).await?;
        let node = listed.into_iter().find(|guest| guest.vmid == Some(vmid)).and_then(|guest| guest.node);
        let Some(node) = node else { return Ok(Found::Hidden) };
        match self.client.vm_config(&node, vmid).await {
            Ok(config) => Ok(Found::Guest(node, Box::new(config))),
            Err(ProxmoxError::Refused(refusal)) if refusal.is_missing_guest() => {
                Err(Trouble::Busy("the guest is being moved to another node".into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Looks for the guest, and follows it when it is ours and has been moved.
    pub async fn guest(&self, app: &App) -> Result<Guest, Trouble> {
        let (node, config) = match self.look().await? {
            Found::Guest(node, config) => (node, config),
            Found::Nothing => return Ok(Guest::Missing),
            Found::Hidden => return Ok(Guest::Foreign),
        };
        match identity::of(&config, self.vm, self.row.guest_uuid) {
            Identity::BeingMade => Ok(Guest::BeingMade),
            Identity::Foreign => Ok(Guest::Foreign),
            Identity::Ours => {
                // The new guest of a rebuild is not the machine's yet.
                if node != self.row.node && !self.beside {
                    let mut connection = app.pool.acquire().await?;
                    db::set_node(&mut connection, self.vm, &node).await?;
                }
                Ok(Guest::Ours(node, config))
            }
        }
    }

    /// The guest under the VMID, whosever it is; none when the VMID is free.
    pub async fn find_under_vmid(&self) -> Result<Option<(String, VmConfig)>, Trouble> {
        match self.look().await? {
            Found::Guest(node, config) => Ok(Some((node, *config))),
            Found::Nothing => Ok(None),
            Found::Hidden => Err(Trouble::Busy("the guest is there but is not listed".into())),
        }
    }

    /// The same, where there must be one.
    pub async fn under_vmid(&self) -> Result<(String, VmConfig), Trouble> {
        self.find_under_vmid().await?.ok_or_else(gone)
    }

    /// Writes a change if the configuration is still what was read.
    pub async fn write(&self, node: &str, config: &VmConfig, mut change: ConfigChange) -> Result<(), Trouble> {
        if let Some(digest) = &config.digest {
            change = change.digest(digest);
        }
        match self.client.set_vm_config(node, self.vmid()?, &change).await {
            Ok(()) => Ok(()),
            Err(ProxmoxError::Refused(refusal)) if refusal.is_changed_meanwhile() => {
                Err(Trouble::Busy(refusal.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The guest where it must be ours.
    pub async fn our_guest(&self, app: &App) -> Result<(String, VmConfig), Trouble> {
        match self.guest(app).await? {
            Guest::Ours(node, config) => Ok((node, *config)),
            Guest::Missing => Err(gone()),
            Guest::BeingMade => Err(Trouble::Busy("the guest is still being cloned".into())),
            Guest::Foreign => Err(not_ours()),
        }
    }
}

fn gone() -> Trouble {
    Trouble::Refused("the guest is not on the cluster any more".into())
}

pub(super) fn not_ours() -> Trouble {
    Trouble::Refused("the guest with this VMID is not this VM: nothing was done to it".into())
}

/// A transaction in which this runner surely still has its job: one that lost it must write nothing.
pub(super) async fn still_ours(app: &App, job: &Job) -> Result<Transaction<'static, Postgres>, Trouble> {
    let mut transaction = app.pool.begin().await?;
    check_ours(&mut transaction, job).await?;
    Ok(transaction)
}

/// The same in somebody's transaction, who has other locks to take first.
pub(super) async fn check_ours(connection: &mut PgConnection, job: &Job) -> Result<(), Trouble> {
    if jobs::is_ours(connection, job).await? {
        return Ok(());
    }
    Err(Trouble::Busy("another runner has this job now".into()))
}
