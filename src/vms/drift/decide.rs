//! What an operator decides about a difference: leave it, set the guest back, or let the books follow it. Each is one
//! transaction, and the customer's log has a plain sentence about it.

use chrono::{DateTime, Utc};
use proxmox_client::PowerState as GuestPower;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::bill;
use super::{Choice, Decidable, Drift, DriftKind, Effect, Resolution, exact};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::{self, Plan, PowerState, PriceBook};
use crate::clusters::{self, Trouble};
use crate::error::{Error, Result};
use crate::ids::{DriftId, JobId, PlanId};
use crate::jobs::{self, Kind, NewJob};
use crate::ledger::{self, Wallet};
use crate::metering::{self, Metered};
use crate::vms::{State, db, enforce, find_within, identity, made};
use crate::{addresses, live, runway};

/// What adopting is told.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[schema(as = DriftAdoption)]
pub struct Adoption {
    /// Of a size: the plan that is charged from now on; the one that fits exactly when none is named.
    #[serde(default)]
    pub plan: Option<PlanId>,
    /// Of a missing machine: follow its guest to where its tag was found, instead of recording it as deleted.
    #[serde(default)]
    pub follow: bool,
}

/// A difference with everything that can be decided about it.
pub(super) fn decidable(drift: Drift, plans: &[Plan], book: &PriceBook, now: DateTime<Utc>) -> Result<Decidable> {
    let before = bill::present(&drift, book, now)?;
    let there = bill::there(&drift, book, now)?;
    let unchanged = before.to(before);
    let choice = |words: String, effect: Effect| Choice { words, refused: None, effect };
    let accept = choice(accept_words(&drift), unchanged);
    let back = if drift.kind == DriftKind::Identity { before.to(there) } else { unchanged };
    let enforce = Choice { words: enforce_words(&drift), refused: cannot_enforce(&drift), effect: back };
    let mut options = Vec::new();
    let mut adopt = choice(adopt_words(&drift), unchanged);
    match (drift.kind, drift.found_size()) {
        (DriftKind::Size, Some(size)) => {
            options = bill::of_plans(&drift, plans, book, size, now)?;
            // A missing machine stays uncharged, whatever its plan.
            if drift.missing {
                options.iter_mut().for_each(|option| option.effect = unchanged);
            }
            if let Some(fits) = options.iter().find(|option| option.exact) {
                adopt.effect = fits.effect;
            }
        }
        (DriftKind::Disk, _) => adopt.effect = before.to(bill::with_found_disk(&drift, book, now)?),
        (DriftKind::Identity, _) => adopt.effect = before.to(there),
        _ => {}
    }
    adopt.refused = cannot_adopt(&drift);
    let follow = drift.found_vmid().map(|vmid| {
        let words = format!("The books follow it to VMID {vmid}, if its SMBIOS uuid is that of our VM.");
        choice(words, before.to(there))
    });
    Ok(Decidable {
        expected_words: drift.expected_words(),
        found_words: drift.found_words(),
        accept,
        enforce,
        adopt,
        plans: options,
        follow,
        drift,
    })
}

fn accept_words(drift: &Drift) -> String {
    match drift.kind {
        DriftKind::Size | DriftKind::Disk | DriftKind::Tags => {
            format!("The guest stays as it is. {} is charged as before.", drift.plan_name)
        }
        DriftKind::Identity => "The guest is left alone. The VM stays unknown and is not charged.".to_owned(),
        DriftKind::Missing => {
            "The VM stays unknown and is not charged. It is seen when its guest comes back.".to_owned()
        }
    }
}

fn enforce_words(drift: &Drift) -> String {
    match drift.kind {
        DriftKind::Size if drift.running => {
            format!("It is set back to {}. For that it is shut down and started again.", drift.expected_words())
        }
        DriftKind::Size => format!("It is set back to {}.", drift.expected_words()),
        DriftKind::Disk => format!("Its disk is grown to {} GiB again.", drift.disk_gib),
        DriftKind::Tags => "Our tags are added again; it keeps the others.".to_owned(),
        DriftKind::Identity => {
            "Our SMBIOS uuid is set again. The VM is charged from the next look on. Only if this is surely its guest."
                .to_owned()
        }
        DriftKind::Missing => "The guest is made again.".to_owned(),
    }
}

fn adopt_words(drift: &Drift) -> String {
    match drift.kind {
        DriftKind::Size => "The plan that fits is charged from now on.".to_owned(),
        DriftKind::Disk => {
            "Its disk is written down as it is. What is more than its plan has is charged where disk has a price."
                .to_owned()
        }
        DriftKind::Tags => "The books follow the guest.".to_owned(),
        DriftKind::Identity => {
            "The guest's SMBIOS uuid is written down as that of the VM, which is charged from the next look on."
                .to_owned()
        }
        DriftKind::Missing => "The VM is recorded as deleted. Nothing was charged since it went missing.".to_owned(),
    }
}

fn is_larger(drift: &Drift) -> bool {
    drift.found_disk_gib().is_some_and(|found| found > drift.disk_gib)
}

fn cannot_enforce(drift: &Drift) -> Option<String> {
    match drift.kind {
        DriftKind::Missing => {
            Some("A guest that is made again has an empty disk: rebuild the VM, or restore a backup.".to_owned())
        }
        DriftKind::Disk if is_larger(drift) => Some("A disk can grow but never shrink.".to_owned()),
        DriftKind::Size | DriftKind::Disk | DriftKind::Tags if drift.missing => {
            Some("Its guest is missing: decide about that first.".to_owned())
        }
        DriftKind::Size | DriftKind::Disk | DriftKind::Tags | DriftKind::Identity => None,
    }
}

fn cannot_adopt(drift: &Drift) -> Option<String> {
    match drift.kind {
        DriftKind::Tags => Some("The tags are how we know the guest: the books have nothing to follow.".to_owned()),
        DriftKind::Identity if drift.found_uuid().is_none() => Some("The guest has no SMBIOS uuid.".to_owned()),
        DriftKind::Size | DriftKind::Disk | DriftKind::Identity | DriftKind::Missing => None,
    }
}

/// A difference that is open, with its wallet locked.
struct Open {
    drift: Drift,
    wallet: Wallet,
}

impl Open {
    /// Locks the wallet first, then reads the difference again: what is read stays true until the commit.
    async fn lock(connection: &mut PgConnection, known: &Drift) -> Result<Self> {
        let wallet = ledger::lock_wallet(&mut *connection, known.organisation).await?;
        let drift = db::select_drifts(&mut *connection, Some(known.id), 1).await?.pop().ok_or_else(over)?;
        if drift.found != known.found {
            return Err(Error::conflict("The guest has changed again meanwhile. Reload the page and decide anew."));
        }
        Ok(Self { drift, wallet })
    }

    async fn resolve(
        &self,
        app: &App,
        connection: &mut PgConnection,
        resolution: Resolution,
        actor: &Actor,
        more: Map<String, Value>,
    ) -> Result<()> {
        let (drift, now) = (&self.drift, app.clock.now());
        if !db::resolve_drift(&mut *connection, drift.id, resolution, actor.user(), now).await? {
            return Err(over());
        }
        let event = match resolution {
            Resolution::Accepted => Event::VmDriftAccepted,
            Resolution::Enforced => Event::VmDriftEnforced,
            Resolution::Adopted => Event::VmDriftAdopted,
        };
        let mut detail = more;
        detail.insert("kind".into(), json!(drift.kind.name()));
        detail.insert("expected".into(), drift.expected.clone());
        detail.insert("found".into(), drift.found.clone());
        let subject = Subject::new("vm", drift.vm, &drift.vm_name);
        let organisation = Some(drift.organisation);
        audit::record(&mut *connection, now, actor, organisation, event, subject, Value::Object(detail)).await?;
        live::announce(&mut *connection, organisation, format!("vm:{}", drift.vm)).await?;
        live::announce(&mut *connection, organisation, "vms").await?;
        live::announce(&mut *connection, None, "drift").await?;
        live::announce(connection, None, "exceptions").await?;
        Ok(())
    }
}

fn over() -> Error {
    Error::NotFound("open difference")
}

async fn find(app: &App, id: DriftId) -> Result<Drift> {
    db::select_drifts(&app.pool, Some(id), 1).await?.pop().ok_or_else(over)
}

fn refuse(reason: Option<String>) -> Result<()> {
    reason.map_or(Ok(()), |reason| Err(Error::Conflict(reason)))
}

/// Leaves a guest as it is and goes on billing as before. The same difference does not come back while it stands.
///
/// # Errors
/// `NotFound` when it is not open any more.
pub async fn accept(app: &App, id: DriftId, actor: &Actor) -> Result<()> {
    let known = find(app, id).await?;
    let mut transaction = app.pool.begin().await?;
    let open = Open::lock(&mut transaction, &known).await?;
    open.resolve(app, &mut transaction, Resolution::Accepted, actor, Map::new()).await?;
    transaction.commit().await?;
    Ok(())
}

/// Has a job set the guest back to what is sold.
///
/// # Errors
/// `NotFound` when it is not open any more, `Conflict` when it cannot be set back or something else is at work on it.
pub async fn enforce(app: &App, id: DriftId, actor: &Actor) -> Result<JobId> {
    let known = find(app, id).await?;
    refuse(cannot_enforce(&known))?;
    let mut transaction = app.pool.begin().await?;
    let open = Open::lock(&mut transaction, &known).await?;
    let drift = &open.drift;
    find_within(app, &mut transaction, drift.organisation, drift.vm).await?.check_free()?;
    let new = NewJob {
        kind: Kind::VmEnforce,
        organisation: drift.organisation,
        vm: drift.vm,
        payload: enforce::payload(drift.kind, drift.running),
        requested_by: actor.user(),
    };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    open.resolve(app, &mut transaction, Resolution::Enforced, actor, Map::new()).await?;
    transaction.commit().await?;
    Ok(job)
}

/// Lets the books follow the guest from now on.
///
/// # Errors
/// `NotFound` when it is not open any more, `Invalid` without a plan that fits, `Conflict` when the books cannot follow.
pub async fn adopt(app: &App, id: DriftId, how: &Adoption, actor: &Actor) -> Result<()> {
    let known = find(app, id).await?;
    refuse(cannot_adopt(&known))?;
    if how.follow {
        return follow(app, &known, actor).await;
    }
    let now = app.clock.now();
    let plan = match known.kind {
        DriftKind::Size => Some(chosen_plan(app, &known, how.plan).await?),
        DriftKind::Disk | DriftKind::Tags | DriftKind::Identity | DriftKind::Missing => None,
    };
    let mut transaction = app.pool.begin().await?;
    let open = Open::lock(&mut transaction, &known).await?;
    find_within(app, &mut transaction, known.organisation, known.vm).await?.check_free()?;
    let mut more = Map::new();
    match open.drift.kind {
        DriftKind::Size => {
            let plan = plan.as_ref().ok_or_else(over)?;
            more.insert("plan".into(), json!(plan.name));
            change_plan(app, &mut transaction, &open, plan.id, now).await?;
        }
        DriftKind::Disk => {
            let found = open.drift.found_disk_gib().ok_or_else(over)?;
            db::set_disk(&mut transaction, known.vm, found).await?;
            meter(app, &mut transaction, &open, open.drift.plan, now).await?;
        }
        DriftKind::Identity => {
            let uuid = open.drift.found_uuid().ok_or_else(over)?;
            db::set_guest_uuid(&mut transaction, known.vm, uuid).await?;
            db::delete_verdict(&mut transaction, known.vm).await?;
        }
        DriftKind::Missing => {
            more.insert("gone".into(), Value::Bool(true));
            record_deleted(app, &mut transaction, &open, now).await?;
        }
        DriftKind::Tags => {}
    }
    open.resolve(app, &mut transaction, Resolution::Adopted, actor, more).await?;
    if open.drift.kind == DriftKind::Missing {
        db::end_drifts_of_vm(&mut transaction, known.vm, now).await?;
    }
    if let Some(plan) = plan.filter(|plan| Some((plan.vcpu, plan.memory_mib)) != known.found_size()) {
        // The operator chose a plan that is not quite it: he knows, so that is not told again.
        let expected = json!({ "vcpu": plan.vcpu, "memory_mib": plan.memory_mib });
        db::insert_accepted(&mut transaction, &open.drift, &expected, actor.user(), now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn chosen_plan(app: &App, drift: &Drift, chosen: Option<PlanId>) -> Result<Plan> {
    let plans = catalog::plans(app).await?;
    let plan = match (chosen, drift.found_size()) {
        (Some(id), _) => plans.iter().find(|plan| plan.id == id),
        (None, Some(size)) => exact(&plans, size),
        (None, None) => None,
    };
    let missing = if chosen.is_some() { "Choose one of the plans." } else { "No plan fits it exactly: choose one." };
    plan.cloned().ok_or_else(|| Error::invalid("plan", missing))
}

/// The machine is charged by another plan from now on, if it is charged now.
async fn change_plan(
    app: &App,
    connection: &mut PgConnection,
    open: &Open,
    plan: PlanId,
    now: DateTime<Utc>,
) -> Result<()> {
    db::set_plan(&mut *connection, open.drift.vm, plan).await?;
    meter(app, connection, open, plan, now).await
}

/// Meters the machine as it is in the books now, if it is there.
async fn meter(app: &App, connection: &mut PgConnection, open: &Open, plan: PlanId, now: DateTime<Utc>) -> Result<()> {
    let (vm, organisation) = (open.drift.vm, open.drift.organisation);
    let there = made(&mut *connection, organisation).await?.into_iter().find(|known| known.id == vm && known.seen);
    if let Some(there) = there {
        let what = Metered { vm, plan, state: there.power_state };
        metering::open(app, &mut *connection, &open.wallet, what, now).await?;
        runway::recompute(app, connection, organisation, now).await?;
    }
    Ok(())
}

/// The machine is gone: its time ended when it went missing, its address and VMID rest.
async fn record_deleted(app: &App, connection: &mut PgConnection, open: &Open, now: DateTime<Utc>) -> Result<()> {
    let drift = &open.drift;
    let seen = clusters::last_seen(&mut *connection, drift.cluster).await?.unwrap_or(now);
    metering::close(&mut *connection, &open.wallet, drift.vm, seen).await?;
    db::update_state(&mut *connection, drift.vm, State::Deleted, None, now).await?;
    addresses::release(&mut *connection, drift.vm, true, now).await?;
    clusters::release_vmid(&mut *connection, drift.vm, now).await?;
    runway::recompute(app, connection, drift.organisation, now).await?;
    Ok(())
}

/// Follows a missing machine to the VMID where its tag was found, after its uuid was read there.
async fn follow(app: &App, known: &Drift, actor: &Actor) -> Result<()> {
    let nowhere = || Error::conflict("Its tag was found nowhere else.");
    let vmid = known.found_vmid().ok_or_else(nowhere)?;
    let filter = db::ForeignFilter { cluster: Some(known.cluster), vmid: Some(vmid), ..db::ForeignFilter::default() };
    let guest = db::select_foreign(&app.pool, &filter, 1).await?.pop().ok_or_else(nowhere)?;
    let client = app.connections.client(app, known.cluster).await?;
    let number = u32::try_from(vmid).map_err(anyhow::Error::new)?;
    let config = client.vm_config(&guest.node, number).await.map_err(cannot_ask)?;
    let power = client.vm_status(&guest.node, number).await.map_err(cannot_ask)?.status;
    let row = db::select_machine(&app.pool, known.vm).await?.ok_or_else(over)?;
    if !identity::has_uuid(&config, row.guest_uuid) || !config.tags.contains(&identity::tag(known.vm)) {
        return Err(Error::conflict(format!(
            "The guest with VMID {vmid} has our tag but another SMBIOS uuid: it is a copy, not the VM."
        )));
    }
    if let Some(lock) = &config.lock {
        return Err(Error::conflict(format!("The guest is locked ({lock}): try again when that is over.")));
    }
    let state = if power == GuestPower::Running { PowerState::Running } else { PowerState::Stopped };
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let open = Open::lock(&mut transaction, known).await?;
    find_within(app, &mut transaction, known.organisation, known.vm).await?.check_free()?;
    clusters::release_vmid(&mut transaction, known.vm, now).await?;
    clusters::lease_this_vmid(&mut transaction, known.cluster, vmid, known.vm, now).await?;
    db::set_place(&mut transaction, known.vm, &guest.node, vmid, state.name(), now).await?;
    db::delete_verdict(&mut transaction, known.vm).await?;
    db::delete_foreign(&mut transaction, known.cluster, &[vmid]).await?;
    let what = Metered { vm: known.vm, plan: open.drift.plan, state };
    metering::open(app, &mut transaction, &open.wallet, what, now).await?;
    runway::recompute(app, &mut transaction, known.organisation, now).await?;
    if state == PowerState::Running {
        crate::vms::power::stop_if_empty(app, &mut transaction, &open.wallet, known.vm, open.drift.plan).await?;
    }
    let more = Map::from_iter([("followed".to_owned(), Value::Bool(true))]);
    open.resolve(app, &mut transaction, Resolution::Adopted, actor, more).await?;
    transaction.commit().await?;
    Ok(())
}

/// Why a guest cannot be asked, for the operator.
pub(in crate::vms) fn cannot_ask(error: proxmox_client::Error) -> Error {
    match Trouble::from(error) {
        Trouble::Refused(words) => Error::Conflict(format!("The guest cannot be read: {words}")),
        Trouble::Away(words) | Trouble::Busy(words) | Trouble::Locked(words) => {
            Error::Unavailable(format!("The cluster cannot be asked just now: {words}"))
        }
        Trouble::Ours(error) => error,
    }
}
