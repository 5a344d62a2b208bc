//! Setting what can be set on a machine at any time: name, tags, protection, keys, the CD in its drive, and what it starts
//! from. The row says what is wanted, in the transaction of the request; the job makes the guest so, and puts the row back when
//! Proxmox refuses.

use proxmox_client::{ConfigChange, VmConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use sqlx::PgConnection;

use super::burn::{burn_of, lines_of};
use super::db::{self, Settings};
use super::machine::{Machine, Progress, Step, still_ours};
use super::{State, Vm, create, disk, find_within, identity, importance, resize, seed};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::clusters::{self, Trouble};
use crate::error::{Error, Problem, Result};
use crate::ids::{IsoImageId, JobId, OrganisationId, SshKeyId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::{catalog, fault, ledger, live, spending, ssh_keys};

/// The most tags of one machine.
pub const TAGS_MAX: usize = 10;
/// The longest tag, in characters.
pub const TAG_CHARACTERS_MAX: usize = 30;
/// A CD drive with nothing in it.
pub(super) const EMPTY_DRIVE: &str = "none,media=cdrom";
/// Where a CD drive is put, in this order: `ide2` is often cloud-init's.
const DRIVES: [&str; 4] = ["ide3", "ide2", "ide1", "ide0"];
const BEFORE: &str = "before";

/// What is to be set; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[schema(as = VmChanges)]
pub struct Changes {
    /// The name, also the host name in the guest from its next start; with user data the guest keeps the name it was made
    /// with.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")]
    pub name: Option<String>,
    /// All tags.
    #[serde(default)]
    #[schema(max_items = 10)]
    pub tags: Option<Vec<String>>,
    /// Whether it can neither be deleted nor rebuilt.
    #[serde(default)]
    pub protected: Option<bool>,
    /// When the credit ends the least important machines stop first: 0, as at first, to 1000.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1000)]
    pub importance: Option<i32>,
    /// The keys that it is to let in; cloud-init adds them at the next start. Old ones stay in the guest. Refused for
    /// a machine that was made with user data.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub ssh_keys: Option<Vec<SshKeyId>>,
    /// The CD in its drive: an image, or `null` for an empty drive.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<IsoImageId>)]
    pub iso_image: Option<Option<IsoImageId>>,
}

/// A value that is there, even when it is `null`.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What a machine starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// Its own disk.
    Disk,
    /// The CD in its drive.
    Cd,
    /// The operator's rescue image.
    Rescue,
}

/// How the row was before a job, to be put back when it fails.
#[derive(Debug, Deserialize, Serialize)]
struct Before {
    name: String,
    tags: Vec<String>,
    protected: bool,
    authorized_keys: String,
    iso_image: Option<IsoImageId>,
    boot_from_iso: bool,
}

impl Before {
    fn of(vm: &Vm) -> Self {
        Self {
            name: vm.name.clone(),
            tags: vm.tags.clone(),
            protected: vm.protected,
            authorized_keys: vm.authorized_keys.clone(),
            iso_image: vm.iso_image,
            boot_from_iso: vm.boot_from_iso,
        }
    }

    fn settings(&self) -> Settings<'_> {
        Settings {
            name: &self.name,
            tags: &self.tags,
            protected: self.protected,
            authorized_keys: &self.authorized_keys,
            iso_image: self.iso_image,
            boot_from_iso: self.boot_from_iso,
        }
    }
}

/// Sets what can be set while it runs. Answers nothing when everything is as wanted already.
///
/// # Errors
/// `Invalid` with a problem per field, `Conflict` when the machine is busy.
pub async fn configure(
    app: &App,
    organisation: OrganisationId,
    vm: VmId,
    changes: &Changes,
    actor: &Actor,
) -> Result<Option<JobId>> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    found.check_free()?;
    found.check_exists()?;
    let before = Before::of(&found);
    let mut after = Before::of(&found);
    let mut problems = Vec::new();
    if let Some(name) = &changes.name {
        after.name = name.trim().to_ascii_lowercase();
        if let Err(problem) = create::check_name(&after.name) {
            problems.push(Problem::new("name", problem));
        }
    }
    if let Some(tags) = &changes.tags {
        match checked_tags(tags) {
            Ok(tags) => after.tags = tags,
            Err(problem) => problems.push(Problem::new("tags", problem)),
        }
    }
    after.protected = changes.protected.unwrap_or(after.protected);
    problems.extend(changes.importance.and_then(|importance| importance::check(importance).err()));
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    if let Some(keys) = &changes.ssh_keys {
        let keys = ssh_keys::pick(&mut transaction, organisation, keys).await?;
        after.authorized_keys = keys.iter().map(|key| key.public_key.as_str()).collect::<Vec<_>>().join("\n");
        if found.user_data_bytes.is_some() && after.authorized_keys != before.authorized_keys {
            let why = "It was made with user data, whose CD is written once. Add keys in the guest, or rebuild it.";
            return Err(Error::invalid("ssh_keys", why));
        }
    }
    if let Some(iso_image) = changes.iso_image {
        if iso_image.is_none() && found.boot_from_iso {
            return Err(Error::conflict(format!(
                "{} starts from this CD. Let it start from its disk first.",
                found.name
            )));
        }
        if let Some(iso_image) = iso_image {
            offered(&mut transaction, &found, iso_image).await?;
        }
        after.iso_image = iso_image;
    }
    if let Some(importance) = changes.importance {
        importance::write(app, &mut transaction, organisation, vm, importance, actor).await?;
    }
    let detail = difference(&before, &after)?;
    if detail.is_empty() {
        transaction.commit().await?;
        return Ok(None);
    }
    db::update_settings(&mut transaction, vm, &after.settings()).await?;
    let payload = Map::from_iter([(BEFORE.to_owned(), json!(before))]);
    let new = NewJob { kind: Kind::VmConfigure, organisation, vm, payload, requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    let subject = Subject::new("vm", vm, found.name);
    audit::record(&mut transaction, now, actor, Some(organisation), Event::VmConfigure, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    transaction.commit().await?;
    Ok(Some(job))
}

/// What a change is, for the audit log; of keys only that they changed.
fn difference(before: &Before, after: &Before) -> Result<audit::Changes> {
    let changes = audit::Changes::of("name", &before.name, &after.name)?
        .and("tags", &before.tags, &after.tags)?
        .and("protected", &before.protected, &after.protected)?
        .and("iso_image", &before.iso_image, &after.iso_image)?;
    Ok(changes.and_hidden("ssh_keys", before.authorized_keys != after.authorized_keys))
}

/// Tags as Proxmox keeps them: lower case, each once, in order. Those that say whose a guest is are not to be had.
fn checked_tags(tags: &[String]) -> std::result::Result<Vec<String>, String> {
    let mut checked = Vec::new();
    for tag in tags.iter().map(|tag| tag.trim().to_ascii_lowercase()).filter(|tag| !tag.is_empty()) {
        let plain = tag.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
        let begins = tag.starts_with(|character: char| character.is_ascii_alphanumeric());
        if !plain || !begins || tag.len() > TAG_CHARACTERS_MAX {
            return Err(format!(
                "“{tag}” is no tag: letters, digits and - _ . with a letter or digit first, at most {TAG_CHARACTERS_MAX}."
            ));
        }
        if identity::is_reserved(&tag) {
            return Err(format!("The tag {tag} is reserved."));
        }
        checked.push(tag);
    }
    checked.sort();
    checked.dedup();
    if checked.len() > TAGS_MAX {
        return Err(format!("At most {TAGS_MAX} tags."));
    }
    Ok(checked)
}

async fn offered(connection: &mut PgConnection, vm: &Vm, image: IsoImageId) -> Result<()> {
    let known = clusters::iso(connection, image).await.ok();
    match known.filter(|image| image.cluster == vm.cluster && image.offered) {
        Some(_) => Ok(()),
        None => Err(Error::invalid("iso_image", "Choose one of the CD images.")),
    }
}

/// Starts a machine from its disk, from the CD in its drive or from the rescue image. It is stopped hard for it, for a machine
/// that needs this often does not listen any more, and started.
///
/// # Errors
/// `Conflict` when it is busy or has no CD in its drive, `Unavailable` without a rescue image, `NotEnoughCredit`.
pub async fn boot(app: &App, organisation: OrganisationId, vm: VmId, boot: Boot, actor: &Actor) -> Result<JobId> {
    let now = app.clock.now();
    let rescue = match boot {
        Boot::Rescue => {
            let cluster = super::find(app, organisation, vm).await?.cluster;
            let image = clusters::rescue_iso(app, cluster).await?;
            Some(image.ok_or_else(|| Error::Unavailable("No rescue image is offered where this VM is.".into()))?)
        }
        Boot::Disk | Boot::Cd => None,
    };
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    found.check_free()?;
    found.check_exists()?;
    let book = catalog::price_book_for(&mut transaction, organisation).await?;
    let lines = lines_of(&mut transaction, book.list(), vm, found.plan, catalog::PowerState::Running).await?;
    let rate = burn_of(&book, &lines, now)?.rate();
    let hour = rate.for_hours(1);
    if wallet.exhausted_at.is_some() || (found.state == State::Stopped && hour > wallet.available()) {
        return Err(Error::NotEnoughCredit { short_by: hour - wallet.available() });
    }
    spending::allow(app, &mut transaction, &wallet, actor, vm, rate).await?;
    let before = Before::of(&found);
    let mut after = Before::of(&found);
    match boot {
        Boot::Disk => after.boot_from_iso = false,
        Boot::Cd if found.iso_image.is_none() => return Err(Error::conflict("There is no CD in its drive.")),
        Boot::Cd => after.boot_from_iso = true,
        Boot::Rescue => {
            after.iso_image = rescue.map(|image| image.id);
            after.boot_from_iso = true;
        }
    }
    db::update_settings(&mut transaction, vm, &after.settings()).await?;
    db::set_stopped_for_credit(&mut transaction, vm, None).await?;
    let payload = Map::from_iter([
        (BEFORE.to_owned(), json!(before)),
        (resize::RUNNING.to_owned(), json!(found.state == State::Running)),
    ]);
    let new = NewJob { kind: Kind::VmBoot, organisation, vm, payload, requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    let subject = Subject::new("vm", vm, found.name);
    let detail = audit::Changes::of("boot_from_iso", &before.boot_from_iso, &after.boot_from_iso)?
        .and("iso_image", &before.iso_image, &after.iso_image)?
        .with(json!({ "from": boot }));
    audit::record(&mut transaction, now, actor, Some(organisation), Event::VmBoot, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    transaction.commit().await?;
    Ok(job)
}

/// The drive for CDs, if the guest has one that is not cloud-init's or its seed CD's.
pub(super) fn cd_drive(config: &VmConfig) -> Option<&str> {
    let drives =
        config.disks.iter().filter(|(_, disk)| disk.is_cdrom() && !disk.is_cloud_init() && !seed::is_seed(disk));
    drives.map(|(name, _)| name.as_str()).next()
}

/// Where a CD drive can be put.
pub(super) fn free_drive(config: &VmConfig) -> Option<&'static str> {
    DRIVES.into_iter().find(|name| !config.disks.contains_key(*name))
}

/// Makes the guest as the row says. Converging: the same values may be set twice.
pub(super) async fn apply(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let row = &machine.row;
    let (node, config) = machine.our_guest(app).await?;
    let keys: Vec<&str> = row.authorized_keys.lines().collect();
    let before = before(job)?;
    let mut tags = identity::tags(job.vm, &row.tags);
    // What an operator marks guests with, to choose them for backups for example, is not the customer's to take off.
    let strange = |tag: &&str| !identity::is_reserved(tag) && !before.tags.iter().any(|own| own == tag);
    tags.extend(config.tags.iter().filter(strange).map(str::to_owned));
    let mut change = ConfigChange::new().name(&row.name).tags(tags);
    if before.protected != row.protected {
        change = change.protection(row.protected);
    }
    if !(keys.is_empty() && had_no_keys(job)) {
        change = change.ssh_keys(&keys);
    }
    let drive = match cd_drive(&config) {
        Some(drive) => Some(drive.to_owned()),
        None if row.iso_volume.is_none() => None,
        None => Some(
            free_drive(&config)
                .ok_or_else(|| Trouble::Refused("the guest has no room for a CD drive".into()))?
                .to_owned(),
        ),
    };
    if let Some(drive) = drive {
        let disk = row.iso_volume.as_deref().map_or_else(|| EMPTY_DRIVE.to_owned(), |cd| format!("{cd},media=cdrom"));
        change = change.set(&drive, disk);
        if let Some(boot_disk) = disk::boot_disk(&config) {
            let order =
                if row.boot_from_iso { format!("order={drive};{boot_disk}") } else { format!("order={boot_disk}") };
            change = change.set("boot", order);
        }
    }
    machine.write(&node, &config, change).await?;
    fault::point(&format!("{}.apply.written", job.kind.name()));
    Ok(Progress::Done)
}

/// Whether we knew of no keys before the job: those that an adopted guest may have are its owner's and stay.
fn had_no_keys(job: &Job) -> bool {
    job.payload.get(BEFORE).and_then(|before| before.get("authorized_keys")).is_some_and(|keys| keys == "")
}

/// Makes row and guest as they were before the job.
pub(super) async fn undo_apply(app: &App, job: &Job) -> Step {
    let mut transaction = still_ours(app, job).await?;
    put_back(&mut transaction, job).await?;
    transaction.commit().await?;
    fault::point(&format!("{}.apply.put_back", job.kind.name()));
    apply(app, job).await
}

fn before(job: &Job) -> Result<Before> {
    let before = job.payload.get(BEFORE).cloned().unwrap_or_default();
    Ok(serde_json::from_value(before).map_err(anyhow::Error::new)?)
}

/// Puts the row back to how it was before the job.
pub(super) async fn put_back(connection: &mut PgConnection, job: &Job) -> Result<()> {
    let before = before(job)?;
    db::update_settings(connection, job.vm, &before.settings()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_kept_as_proxmox_keeps_them() {
        let tags = |texts: &[&str]| checked_tags(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());

        assert_eq!(tags(&["Web", " db ", "web", ""]).unwrap(), ["db", "web"]);
        assert!(tags(&["two words"]).is_err());
        assert!(tags(&["-dash"]).is_err());
    }

    #[test]
    fn nobody_gives_a_machine_the_mark_of_another() {
        for tag in ["uni-manager", "vm-0199a6f0-0000-7000-8000-000000000000", "VM-x"] {
            assert!(checked_tags(&[tag.to_owned()]).is_err(), "{tag}");
        }
    }
}
