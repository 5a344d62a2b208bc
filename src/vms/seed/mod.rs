//! The seed CD of a machine that was ordered with user data. Proxmox's API takes no cloud-init files, but it takes CD images:
//! so the guest gets a CD of ours in the place of Proxmox's own cloud-init drive. It is made after the guest is configured
//! and removed after the guest is destroyed, whether the machine is deleted, rebuilt or undone. What is on it is in
//! `content`, what a customer may give in `user_data`.

mod content;
mod iso9660;
mod user_data;

use std::time::Duration;

use proxmox_client::{ConfigChange, ContentFilter, Disk, Error as ProxmoxError, TaskEnd, VmConfig};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use user_data::USER_DATA_BYTES_MAX;
pub(super) use user_data::checked;

use super::configure;
use super::machine::{Machine, Progress, Step};
use super::rebuild::{self, NewUserData};
use super::task::{Task, follow, remember};
use crate::app::App;
use crate::clusters::{SEED_PREFIX, Trouble};
use crate::ids::VmId;
use crate::jobs::{self, Job, Kind};
use crate::{addresses, fault};

/// By this label cloud-init knows its CD.
const LABEL: &str = "cidata";
/// How long Proxmox may take to remove a volume before it becomes a task to follow, in seconds.
const REMOVE_SECONDS: u32 = 5;
/// In a job's scratch: the seed CDs that the guest had which is being destroyed.
const VOLUMES: &str = "seed_volumes";

/// The name of the CD of one guest. A rebuild has two guests, each with its own.
fn file_name(vm: VmId, vmid: u32) -> String {
    format!("{SEED_PREFIX}{vm}-{vmid}.iso")
}

fn volume(storage: &str, vm: VmId, vmid: u32) -> String {
    format!("{storage}:iso/{}", file_name(vm, vmid))
}

/// Whether a drive holds a seed CD: such a drive is not the customer's to put CDs into.
pub(super) fn is_seed(disk: &Disk) -> bool {
    disk.volume().is_some_and(|volume| volume.contains(&format!(":iso/{SEED_PREFIX}")))
}

/// The user data for the guest that the step is about; none: Proxmox's own cloud-init drive stays.
async fn wanted(app: &App, job: &Job, machine: &Machine) -> Result<Option<String>, Trouble> {
    if job.kind == Kind::VmRebuild {
        match rebuild::new_user_data(job) {
            NewUserData::Kept => {}
            NewUserData::Removed => return Ok(None),
            NewUserData::Given => {
                let given = jobs::secret(app, job.id).await?;
                let given = given.ok_or_else(|| Trouble::Refused("the job has lost its user data".into()))?;
                return Ok(Some(given.expose_secret().to_owned()));
            }
        }
    }
    Ok(machine.row.user_data.clone())
}

/// Uploads the CD and puts it where the cloud-init drive was. Nothing to do without user data.
pub(super) async fn seed(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    let Some(user_data) = wanted(app, job, &machine).await? else { return Ok(Progress::Done) };
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox stores the user data")),
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let (node, config) = machine.our_guest(app).await?;
    let vmid = machine.vmid()?;
    let storage = machine.row.iso_storage.as_deref();
    let storage =
        storage.ok_or_else(|| Trouble::Refused("the cluster has no storage for CD images any more".into()))?;
    let volume = volume(storage, job.vm, vmid);
    let drive =
        drive(&config).ok_or_else(|| Trouble::Refused("the guest has no room for the user data's CD".into()))?;
    let image = image(app, job, &machine, &config, &user_data).await?;
    if !is_stored(&machine, &node, storage, &volume, Some(image.len())).await? {
        let digest: String = Sha256::digest(&image).iter().map(|byte| format!("{byte:02x}")).collect();
        let name = file_name(job.vm, vmid);
        let upid = machine.client.upload_iso(&node, storage, &name, &image, Some(("sha256", &digest))).await?;
        remember(app, job, &upid).await?;
        return Ok(Progress::Wait(Duration::ZERO, "Proxmox stores the user data"));
    }
    fault::point(&format!("{}.seed.stored", job.kind.name()));
    if config.disks.get(&drive).and_then(Disk::volume) != Some(volume.as_str()) {
        let change = ConfigChange::new().set(&drive, format!("{volume},media=cdrom"));
        machine.write(&node, &config, change).await?;
    }
    Ok(Progress::Done)
}

/// Where the CD goes: where it is already, where the cloud-init drive is, or where there is room.
fn drive(config: &VmConfig) -> Option<String> {
    let with = |wanted: fn(&Disk) -> bool| config.disks.iter().find(|(_, disk)| wanted(disk));
    let found = with(is_seed).or_else(|| with(Disk::is_cloud_init)).map(|(name, _)| name.clone());
    found.or_else(|| configure::free_drive(config).map(str::to_owned))
}

async fn image(
    app: &App,
    job: &Job,
    machine: &Machine,
    config: &VmConfig,
    user_data: &str,
) -> Result<Vec<u8>, Trouble> {
    let mut connection = app.pool.acquire().await?;
    let address = addresses::of_vm(&mut connection, job.vm).await?;
    drop(connection);
    let row = &machine.row;
    let meta_data = content::meta_data(job.vm, &row.name);
    let vendor_data = content::vendor_data(&row.login, &row.authorized_keys);
    let mac = config.nets.get(&0).and_then(|net| net.mac());
    let network = address.zip(mac).map(|(address, mac)| content::network_config(mac, &address));
    let mut files: Vec<(&str, &[u8])> = vec![
        ("meta-data", meta_data.as_bytes()),
        ("user-data", user_data.as_bytes()),
        ("vendor-data", vendor_data.as_bytes()),
    ];
    if let Some(network) = &network {
        files.push(("network-config", network.as_bytes()));
    }
    Ok(iso9660::write(LABEL, &files))
}

/// Whether the storage lists the volume, whole if its size is known.
async fn is_stored(
    machine: &Machine,
    node: &str,
    storage: &str,
    volume: &str,
    size: Option<usize>,
) -> Result<bool, Trouble> {
    let listed = machine.client.storage_content(node, storage, &ContentFilter::all().content("iso")).await?;
    let found = listed.into_iter().find(|known| known.volid == volume);
    let size = size.and_then(|size| u64::try_from(size).ok());
    Ok(found.is_some_and(|known| size.is_none() || known.size == size))
}

/// Writes down which seed CDs a guest has, before it is destroyed and can no longer be asked.
pub(super) async fn note(app: &App, job: &mut Job, config: &VmConfig) -> Result<(), Trouble> {
    let own = format!("{SEED_PREFIX}{}-", job.vm);
    let volumes = config.disks.values().filter(|disk| is_seed(disk)).filter_map(Disk::volume);
    let volumes: Vec<_> = volumes.filter(|volume| volume.contains(&own)).collect();
    if !volumes.is_empty() {
        job.scratch.insert(VOLUMES.into(), json!(volumes));
        if !jobs::save(app, job).await? {
            return Err(Trouble::Busy("another runner has this job now".into()));
        }
    }
    Ok(())
}

/// Removes the seed CDs of a guest that is no more: those it had, and the one that may have been uploaded and never put in.
pub(super) async fn remove(app: &App, job: &mut Job, machine: &Machine) -> Step {
    let noted = job.scratch.get(VOLUMES).and_then(Value::as_array).into_iter().flatten();
    let mut volumes: Vec<String> = noted.filter_map(Value::as_str).map(str::to_owned).collect();
    let may_have_one = machine.row.user_data.is_some()
        || (job.kind == Kind::VmRebuild && rebuild::new_user_data(job) == NewUserData::Given);
    if let (true, Some(storage)) = (may_have_one, &machine.row.iso_storage) {
        let usual = volume(storage, job.vm, machine.vmid()?);
        if !volumes.contains(&usual) {
            volumes.push(usual);
        }
    }
    for volume in volumes {
        let Some((storage, _)) = volume.split_once(':') else { continue };
        if !is_stored(machine, &machine.row.node, storage, &volume, None).await? {
            continue;
        }
        match machine.client.delete_volume(&machine.row.node, &volume, Some(REMOVE_SECONDS)).await {
            Ok(None) => {}
            Ok(Some(upid)) => {
                remember(app, job, &upid).await?;
                return Ok(Progress::Wait(Duration::ZERO, "Proxmox deletes the user data"));
            }
            // The guest is gone already: a file that only an operator may delete must not keep its VM from being gone.
            Err(ProxmoxError::Refused(refusal)) if refusal.is_forbidden() => {
                jobs::log(app, job, &format!("{volume} is left on the storage: {refusal}")).await?;
            }
            Err(error) => return Err(error.into()),
        }
        fault::point(&format!("{}.seed_removed", job.kind.name()));
    }
    Ok(Progress::Done)
}
