//! Making a machine anew from an image. The new guest is made whole beside the old one, under a VMID of its own; only when it
//! is ready is the old one stopped, and only when the new one runs is the old one destroyed. Until the old one's disk is
//! deleted everything goes back to how it was.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::burn::{burn_of, check_hour};
use super::db::{self, Next};
use super::machine::{Machine, Progress, Step, still_ours};
use super::{State, delete, find, find_within, provision, resize, run, seed};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::catalog::PowerState;
use crate::clusters::{self, Trouble};
use crate::error::{Error, Result};
use crate::ids::{ImageId, JobId, OrganisationId, SshKeyId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::metering::{Metered, Parts};
use crate::{catalog, fault, ledger, live, metering, spending, ssh_keys};

/// What a machine is made anew as. Its name, address and plan stay.
// No Debug: there is a secret in it.
#[derive(Clone, Deserialize, Serialize, utoipa::ToSchema)]
pub struct Rebuild {
    /// From which image.
    pub image: ImageId,
    /// Keys of the organisation that the new system lets in; none: those that the machine had.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub ssh_keys: Vec<SshKeyId>,
    /// User data for the new system; none: what the machine had. Empty text takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 32_768)]
    pub user_data: Option<String>,
}

/// What a rebuild does with the machine's user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NewUserData {
    /// The new system gets what the old one had, if anything.
    Kept,
    /// The new system gets what the job holds as its secret.
    Given,
    /// The new system gets none.
    Removed,
}

const OLD_VMID: &str = "old_vmid";
const RUNNING: &str = "was_running";
const KEYS: &str = "authorized_keys";
const USER_DATA: &str = "user_data";

/// Asks for a machine to be made anew: everything on its disk is lost.
///
/// # Errors
/// `Conflict` when it is busy or protected, `Invalid` for an image that is not offered there or does not fit,
/// `NotEnoughCredit` for less than an hour of running, `Unavailable` without room for the second disk.
pub async fn rebuild(app: &App, organisation: OrganisationId, vm: VmId, new: &Rebuild, actor: &Actor) -> Result<JobId> {
    let now = app.clock.now();
    let user_data = seed::checked(new.user_data.as_deref()).map_err(|problem| Error::invalid("user_data", problem))?;
    let new_user_data = match (&new.user_data, &user_data) {
        (None, _) => NewUserData::Kept,
        (Some(_), Some(_)) => NewUserData::Given,
        (Some(_), None) => NewUserData::Removed,
    };
    let images = catalog::images(app).await?;
    let seen = find(app, organisation, vm).await?;
    let cluster = clusters::find(app, seen.cluster).await?;
    let template = clusters::template(app, seen.cluster, new.image).await?;
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    found.check_free()?;
    found.check_exists()?;
    found.check_unprotected()?;
    let image = images.iter().find(|image| image.id == new.image);
    let image = image.ok_or_else(|| Error::invalid("image", "Choose one of the images."))?;
    if image.minimum_disk_gib > found.disk_gib {
        let (name, least, has) = (&image.name, image.minimum_disk_gib, found.disk_gib);
        return Err(Error::invalid("image", format!("{name} needs a disk of {least} GiB; this one has {has} GiB.")));
    }
    // A storage that only its own node sees: the template must be on the machine's node.
    if template.is_none_or(|template| !cluster.storage_shared && template.node != found.node) {
        return Err(Error::invalid("image", "This image is not offered where the VM is."));
    }
    let will_have =
        new_user_data == NewUserData::Given || (new_user_data == NewUserData::Kept && found.user_data_bytes.is_some());
    if will_have && cluster.iso_storage.is_none() {
        return Err(Error::invalid("user_data", "User data is not offered where the VM is."));
    }
    let book = catalog::price_book_for(&mut transaction, organisation).await?;
    let what = Metered { vm, plan: found.plan, state: PowerState::Running };
    let licensed = image.licence.is_some().then_some(image.id);
    let parts = Parts { licensed, ..metering::parts(&mut transaction, what).await? };
    let burn = burn_of(&book, &parts.on(book.list()), now)?;
    check_hour(&wallet, &burn)?;
    spending::allow(app, &mut transaction, &wallet, actor, vm, burn.rate()).await?;
    let keys = ssh_keys::pick(&mut transaction, organisation, &new.ssh_keys).await?;
    let keys: Vec<_> = keys.iter().map(|key| key.public_key.as_str()).collect();
    let keys = if keys.is_empty() { found.authorized_keys.clone() } else { keys.join("\n") };
    // While it goes on there are two disks: the room is asked for with both.
    clusters::check_second_disk(&mut transaction, vm).await??;
    db::set_next(&mut transaction, vm, Next { image: Some(image.id), ..Next::default() }).await?;
    let payload = Map::from_iter([
        (OLD_VMID.to_owned(), json!(found.vmid)),
        (RUNNING.to_owned(), json!(found.state == State::Running)),
        (KEYS.to_owned(), json!(keys)),
        (USER_DATA.to_owned(), json!(new_user_data)),
    ]);
    db::set_stopped_for_credit(&mut transaction, vm, None).await?;
    let job = NewJob { kind: Kind::VmRebuild, organisation, vm, payload, requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, job).await?;
    if let Some(user_data) = user_data {
        // It may hold secrets: encrypted with the job, and forgotten with it.
        jobs::entrust(app, &mut transaction, job, &SecretString::from(user_data)).await?;
    }
    let detail = Changes::of("image", &found.image_name, &image.name)?.with(json!({ "user_data": new_user_data }));
    let subject = Subject::new("vm", vm, found.name);
    audit::record(&mut transaction, now, actor, Some(organisation), Event::VmRebuild, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    transaction.commit().await?;
    Ok(job)
}

fn old_vmid(job: &Job) -> Result<i32, Trouble> {
    let vmid = job.payload.get(OLD_VMID).and_then(Value::as_i64).and_then(|vmid| i32::try_from(vmid).ok());
    vmid.ok_or_else(|| Trouble::Refused("the job does not say which guest was the machine's".into()))
}

/// The keys that the new system lets in, one per line.
pub(super) fn keys(job: &Job) -> &str {
    job.payload.get(KEYS).and_then(Value::as_str).unwrap_or_default()
}

/// What becomes of the user data. A job of before there was any keeps it.
pub(super) fn new_user_data(job: &Job) -> NewUserData {
    let new = job.payload.get(USER_DATA).cloned();
    new.and_then(|new| serde_json::from_value(new).ok()).unwrap_or(NewUserData::Kept)
}

/// Turns a machine to the guest that the job's step is about: the new one while it is made, the old one when it goes.
pub(super) fn turn_to(machine: &mut Machine, job: &Job) -> Result<(), Trouble> {
    match job.current().map(|step| step.name) {
        Some("lease" | "clone" | "configure" | "seed" | "resize") => {
            machine.beside = true;
            machine.row.vmid = machine.row.next_vmid;
            machine.row.image = machine.row.next_image.unwrap_or(machine.row.image);
            machine.row.login = machine.row.next_login.clone().unwrap_or_else(|| machine.row.login.clone());
            keys(job).clone_into(&mut machine.row.authorized_keys);
        }
        Some("destroy") => {
            let old = old_vmid(job)?;
            if machine.row.vmid == Some(old) {
                return Err(Trouble::Refused("the old guest is still the machine's: nothing was destroyed".into()));
            }
            machine.row.vmid = Some(old);
        }
        _ => {}
    }
    Ok(())
}

/// Stops the guest that the machine has, and is metered as stopped from then on.
pub(super) async fn stop(app: &App, job: &mut Job) -> Step {
    match delete::stop(app, job).await? {
        Progress::Done => {
            run::power_seen(app, job, State::Stopped).await?;
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}

/// The old guest runs again as it did before.
pub(super) async fn undo_stop(app: &App, job: &mut Job) -> Step {
    resize::undo_shutdown(app, job).await
}

/// From here on the new guest is the machine's.
pub(super) async fn swap(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let mut transaction = still_ours(app, job).await?;
    if let Some(new) = machine.row.next_vmid {
        db::swap(&mut transaction, job.vm, new, None).await?;
        transaction.commit().await?;
    }
    fault::point("vm.rebuild.swap.swapped");
    Ok(Progress::Done)
}

/// The old guest is the machine's again.
pub(super) async fn undo_swap(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let old = old_vmid(job)?;
    if machine.row.vmid != Some(old) {
        let mut transaction = still_ours(app, job).await?;
        db::swap(&mut transaction, job.vm, old, machine.row.vmid).await?;
        transaction.commit().await?;
    }
    fault::point("vm.rebuild.swap.swapped_back");
    Ok(Progress::Done)
}

/// Starts the new guest.
pub(super) async fn start(app: &App, job: &mut Job) -> Step {
    match provision::start(app, job).await? {
        Progress::Done => {
            run::power_seen(app, job, State::Running).await?;
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}

/// Stops the guest that was started: for a rebuild the new one, so that the old one can have its address again.
pub(super) async fn undo_start(app: &App, job: &mut Job) -> Step {
    stop(app, job).await
}

/// The user data of the new guest is the machine's, now that there is no way back.
async fn take_user_data(app: &App, job: &Job) -> Result<(), Trouble> {
    let given = match new_user_data(job) {
        NewUserData::Kept => return Ok(()),
        NewUserData::Removed => None,
        NewUserData::Given => jobs::secret(app, job.id).await?,
    };
    let mut transaction = still_ours(app, job).await?;
    db::set_user_data(&mut transaction, job.vm, given.as_ref().map(ExposeSecret::expose_secret)).await?;
    transaction.commit().await?;
    Ok(())
}

/// Destroys the old guest and lets its VMID rest.
pub(super) async fn destroy(app: &App, job: &mut Job) -> Step {
    match delete::destroy(app, job).await? {
        Progress::Done => {
            take_user_data(app, job).await?;
            let machine = Machine::of(app, job).await?;
            let mut transaction = still_ours(app, job).await?;
            clusters::release_lease(&mut transaction, machine.row.cluster, machine.vmid()?, app.clock.now()).await?;
            transaction.commit().await?;
            fault::point("vm.rebuild.destroy.released");
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}
