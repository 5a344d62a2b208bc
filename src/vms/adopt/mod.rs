//! Guests on a cluster that are not ours, and taking one over into an organisation: from then on it is a machine like any
//! other, charged by its plan. It is never stopped or changed for it, but for its marks.

mod job;
mod release;

use std::net::Ipv4Addr;

use chrono::{DateTime, Utc};
use proxmox_client::{Ipv4Config, VmConfig};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(super) use job::{lease, look, mark, undo_mark};
pub use release::release;
pub(super) use release::unmark;

use super::burn::{burn_of, check_hour};
use super::drift::cannot_ask;
use super::estimate::{Cost, estimate_adoption, new_parts};
use super::{create, db, disk, identity};
use crate::addresses::{self, Claimed};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::{self, Image, Plan, PowerState};
use crate::clusters;
use crate::error::{Error, Problem, Result};
use crate::ids::{ClusterId, ImageId, JobId, LocationId, OrganisationId, PlanId, VmId};
use crate::jobs::{self, Kind, NewJob};
use crate::metering::Parts;
use crate::{ledger, live};

/// The most guests one page shows.
pub const PAGE_MAX: i64 = 100;
/// The most adopted machines that are listed.
const ADOPTED_MAX: i64 = 100;
/// The longest text that is looked for, in characters.
const SEARCH_CHARACTERS_MAX: usize = 100;

/// A guest on a cluster that is not ours, as the last look listed it.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct ForeignGuest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's name.
    pub cluster_name: String,
    /// Where the cluster is.
    pub location: LocationId,
    /// Its VMID.
    pub vmid: i32,
    /// Its name; may be empty.
    pub name: String,
    /// Its node.
    pub node: String,
    /// `running`, `stopped` and the like.
    pub status: String,
    /// It is a template: it cannot be adopted.
    pub template: bool,
    /// Virtual processors.
    pub vcpu: i32,
    /// Memory in MiB.
    pub memory_mib: i32,
    /// Its boot disk in GiB, rounded up.
    pub disk_gib: i32,
    /// Its tags.
    pub tags: Vec<String>,
    /// The look that saw it first.
    pub first_seen_at: DateTime<Utc>,
}

/// A machine that was taken over.
#[derive(Debug, Clone)]
pub struct AdoptedVm {
    /// Its id.
    pub id: VmId,
    /// Its name.
    pub name: String,
    /// Whose.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub organisation_name: String,
    /// Its plan's name.
    pub plan_name: String,
    /// Its cluster's name.
    pub cluster_name: String,
    /// Its node.
    pub node: String,
    /// Its VMID.
    pub vmid: Option<i32>,
    /// Where it stands.
    pub state: String,
    /// When it was taken over.
    pub adopted_at: DateTime<Utc>,
    /// A job is at work on it.
    pub busy: bool,
}

/// Guests that are not ours, by cluster and VMID, at most `limit` of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(
    app: &App,
    cluster: Option<ClusterId>,
    search: Option<&str>,
    after: Option<(String, i32)>,
    limit: i64,
) -> Result<Vec<ForeignGuest>> {
    let search: Option<String> = search
        .map(|search| search.trim().chars().take(SEARCH_CHARACTERS_MAX).collect())
        .filter(|text: &String| !text.is_empty());
    let filter = db::ForeignFilter { cluster, search: search.as_deref(), after, vmid: None };
    db::select_foreign(&app.pool, &filter, limit.clamp(1, PAGE_MAX + 1)).await
}

/// A guest that is not ours.
///
/// # Errors
/// `NotFound` when the last look did not list it.
pub async fn find(app: &App, cluster: ClusterId, vmid: i32) -> Result<ForeignGuest> {
    let filter = db::ForeignFilter { cluster: Some(cluster), vmid: Some(vmid), ..db::ForeignFilter::default() };
    db::select_foreign(&app.pool, &filter, 1).await?.pop().ok_or(Error::NotFound("guest"))
}

/// The machines that were taken over, newest first, at most a page of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn adopted(app: &App) -> Result<Vec<AdoptedVm>> {
    db::select_adopted(&app.pool, ADOPTED_MAX).await
}

/// The plan to propose for a guest: the smallest that is not smaller than it, else the largest.
#[must_use]
pub fn closest<'a>(plans: &'a [Plan], guest: &ForeignGuest) -> Option<&'a Plan> {
    let size = |plan: &&Plan| (plan.memory_mib, plan.vcpu);
    plans
        .iter()
        .filter(|plan| plan.vcpu >= guest.vcpu && plan.memory_mib >= guest.memory_mib)
        .min_by_key(size)
        .or_else(|| plans.iter().max_by_key(size))
}

/// A guest's name as the name of a machine: letters, digits and dashes.
#[must_use]
pub fn proposed_name(guest: &ForeignGuest) -> String {
    let plain: String = guest
        .name
        .to_ascii_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .take(create::NAME_CHARACTERS_MAX)
        .collect();
    let name = plain.trim_matches('-');
    if name.is_empty() { format!("vm-{}", guest.vmid) } else { name.to_owned() }
}

/// What an operator says about a guest that is to be taken over.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewAdoption {
    /// Whose it becomes.
    pub organisation: Option<OrganisationId>,
    /// What is charged for it.
    pub plan: Option<PlanId>,
    /// What a rebuild would install, and whose login is shown.
    pub image: Option<ImageId>,
    /// Its name; made from the guest's when empty.
    #[serde(default)]
    #[schema(max_length = 63)]
    pub name: String,
    /// Its address; that of its cloud-init when empty.
    #[serde(default)]
    #[schema(example = "192.0.2.10")]
    pub address: String,
}

/// Takes a guest over: it becomes a machine of the organisation, and a job marks it as ours.
///
/// # Errors
/// `Invalid` with a problem per field, `Conflict` with the reason when the guest cannot be taken over, `NotEnoughCredit` when
/// the wallet does not carry an hour of it, `Unavailable` when the cluster does not answer.
pub async fn adopt(
    app: &App,
    cluster: ClusterId,
    vmid: i32,
    new: &NewAdoption,
    actor: &Actor,
) -> Result<(VmId, JobId)> {
    let guest = find(app, cluster, vmid).await?;
    let (organisation, plan, image, name) = checked(app, &guest, new).await?;
    if guest.template {
        return Err(Error::conflict("This is a template: it is cloned, not run."));
    }
    // An adoption is decided by what the guest is, so the cluster is asked before anything is written down.
    let client = app.connections.client(app, cluster).await?;
    let number = u32::try_from(vmid).map_err(anyhow::Error::new)?;
    let config = client.vm_config(&guest.node, number).await.map_err(cannot_ask)?;
    check_config(&config)?;
    let uuid = uuid_of(&config)?;
    let disk_gib = disk_gib(&config).unwrap_or(guest.disk_gib).max(1);
    let typed = typed_address(&new.address)?;

    let now = app.clock.now();
    let id = VmId::new();
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let book = catalog::price_book_for(&mut transaction, organisation).await?;
    let extra_disk_gib = i64::from((disk_gib - plan.disk_gib).max(0));
    let parts = Parts { extra_disk_gib, ..new_parts(plan.id, Some(&image), PowerState::Running) };
    check_hour(&wallet, &burn_of(&book, &parts.on(book.list()), now)?)?;
    let image = image.id;
    let row = db::AdoptedRow {
        id,
        organisation,
        name: &name,
        plan: plan.id,
        image,
        location: guest.location,
        cluster,
        node: &guest.node,
        vmid,
        guest_uuid: uuid.unwrap_or(id.uuid()),
        disk_gib,
    };
    db::insert_adopted(&mut transaction, &row, now).await?;
    clusters::lease_this_vmid(&mut transaction, cluster, vmid, id, now).await?;
    let wanted = typed.or_else(|| fixed_address(&config));
    if let Some(address) = wanted {
        match addresses::claim(&mut transaction, guest.location, address, id, now).await? {
            Claimed::Assigned => {}
            Claimed::Taken => {
                return Err(Error::invalid("address", format!("{address} belongs to another VM of ours.")));
            }
            Claimed::Outside if typed.is_some() => {
                return Err(Error::invalid("address", "It is in none of the address pools of this location."));
            }
            Claimed::Outside => {}
        }
    }
    let payload = Map::from_iter([("had_uuid".to_owned(), Value::Bool(uuid.is_some()))]);
    let new = NewJob { kind: Kind::VmAdopt, organisation, vm: id, payload, requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    let detail = json!({ "plan": plan.slug, "image": image });
    let subject = Subject::new("vm", id, &name);
    audit::record(&mut transaction, now, actor, Some(organisation), Event::VmAdopt, subject, detail).await?;
    db::delete_foreign(&mut transaction, cluster, &[vmid]).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    live::announce(&mut transaction, None, "foreign-guests").await?;
    transaction.commit().await?;
    Ok((id, job))
}

/// Estimates what a guest would cost the organisation that it is given to. The cluster is not asked: the disk is what the last
/// look saw.
///
/// # Errors
/// `Invalid` with a problem per field, `NotFound` when the last look did not list the guest.
pub async fn estimate(app: &App, cluster: ClusterId, vmid: i32, new: &NewAdoption) -> Result<Cost> {
    let guest = find(app, cluster, vmid).await?;
    let (organisation, plan, image, _) = checked(app, &guest, new).await?;
    estimate_adoption(app, organisation, &plan, &image, guest.disk_gib).await
}

/// Checks every field, so that all problems are told at once.
async fn checked(app: &App, guest: &ForeignGuest, new: &NewAdoption) -> Result<(OrganisationId, Plan, Image, String)> {
    let mut problems = Vec::new();
    let typed = new.name.trim().to_ascii_lowercase();
    let name = if typed.is_empty() { proposed_name(guest) } else { typed };
    if let Err(problem) = create::check_name(&name) {
        problems.push(Problem::new("name", problem));
    }
    let organisation = match new.organisation {
        Some(id) if crate::organisations::line(app, id).await.is_ok() => Some(id),
        _ => None,
    };
    if organisation.is_none() {
        problems.push(Problem::new("organisation", "Choose one of the organisations."));
    }
    let plans = match organisation {
        Some(organisation) => catalog::plans_for(app, organisation).await?,
        None => catalog::plans(app).await?,
    };
    let plan = plans.into_iter().find(|known| Some(known.id) == new.plan);
    if plan.is_none() {
        problems.push(Problem::new("plan", "Choose one of the plans."));
    }
    let image = catalog::images(app).await?.into_iter().find(|known| Some(known.id) == new.image);
    if image.is_none() {
        problems.push(Problem::new("image", "Choose one of the images."));
    }
    match (organisation, plan, image) {
        (Some(organisation), Some(plan), Some(image)) if problems.is_empty() => Ok((organisation, plan, image, name)),
        _ => Err(Error::Invalid(problems)),
    }
}

/// What cannot be taken over as it is.
fn check_config(config: &VmConfig) -> Result<()> {
    if config.template {
        return Err(Error::conflict("This is a template: it is cloned, not run."));
    }
    if let Some(lock) = &config.lock {
        return Err(Error::conflict(format!("The guest is locked ({lock}): try again when that is over.")));
    }
    if let Some(vm) = config.tags.iter().find_map(identity::named_by) {
        return Err(Error::conflict(format!(
            "The guest has the tag of VM {vm}: it may be a copy of it. Take the tag off it first."
        )));
    }
    Ok(())
}

fn uuid_of(config: &VmConfig) -> Result<Option<Uuid>> {
    let Some(uuid) = config.smbios1.as_ref().and_then(|smbios| smbios.uuid()) else { return Ok(None) };
    uuid.parse().map(Some).map_err(|_| Error::conflict("The guest's SMBIOS uuid cannot be read."))
}

fn disk_gib(config: &VmConfig) -> Option<i32> {
    let size = disk::boot_disk(config).and_then(|disk| config.disks.get(disk)).and_then(|disk| disk.size())?;
    i32::try_from(size.bytes().div_ceil(1 << 30)).ok()
}

fn typed_address(typed: &str) -> Result<Option<Ipv4Addr>> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    typed.parse().map(Some).map_err(|_| Error::invalid("address", "An IPv4 address such as 192.0.2.10."))
}

/// The fixed address of the first network device, as cloud-init sets it.
fn fixed_address(config: &VmConfig) -> Option<Ipv4Addr> {
    match config.ip_configs.get(&0)?.ip? {
        Ipv4Config::Fixed(address, _) => Some(address),
        Ipv4Config::Dhcp => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(name: &str) -> ForeignGuest {
        ForeignGuest {
            cluster: ClusterId::new(),
            cluster_name: "first".into(),
            location: LocationId::new(),
            vmid: 300,
            name: name.into(),
            node: "pve1".into(),
            status: "running".into(),
            template: false,
            vcpu: 2,
            memory_mib: 4096,
            disk_gib: 40,
            tags: Vec::new(),
            first_seen_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_name_is_made_valid() {
        for (name, proposed) in
            [("Web.Example_1", "web-example-1"), ("--", "vm-300"), ("", "vm-300"), (&"a".repeat(90), &"a".repeat(63))]
        {
            assert_eq!(proposed_name(&guest(name)), proposed);
            assert!(create::check_name(&proposed_name(&guest(name))).is_ok());
        }
    }
}
