//! Setting a guest back to what is sold, after an operator decided so: size, disk, tags, or the SMBIOS uuid. Converging: each
//! step may run twice.

use std::time::Duration;

use proxmox_client::{ConfigChange, Error as ProxmoxError, ResourceFilter, Tags, TaskEnd, VmConfig};
use serde_json::{Map, Value, json};

use super::drift::DriftKind;
use super::machine::{Machine, Progress, Step, Task, follow, remember};
use super::{State, db, identity, power, provision, run};
use crate::app::App;
use crate::clusters::Trouble;
use crate::fault;
use crate::jobs::{self, Job};

const KIND: &str = "drift";
const RESTART: &str = "restart";

/// What the job is told.
pub(super) fn payload(kind: DriftKind, running: bool) -> Map<String, Value> {
    // Only another size needs a stop and start to be in force.
    let restart = kind == DriftKind::Size && running;
    Map::from_iter([(KIND.to_owned(), json!(kind.name())), (RESTART.to_owned(), Value::Bool(restart))])
}

/// Whether the guest is stopped and started for it.
pub(super) fn restarts(job: &Job) -> bool {
    job.payload.get(RESTART) == Some(&Value::Bool(true))
}

fn kind(job: &Job) -> Result<DriftKind, Trouble> {
    let kind = job.payload.get(KIND).and_then(Value::as_str).and_then(DriftKind::parse);
    kind.ok_or_else(|| Trouble::Refused("the job does not say what to set back".into()))
}

/// Shuts the guest down, if the change needs it.
pub(super) async fn shutdown(app: &App, job: &mut Job) -> Step {
    if !restarts(job) {
        return Ok(Progress::Done);
    }
    match power::shutdown(app, job).await? {
        Progress::Done => {
            run::power_seen(app, job, State::Stopped).await?;
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}

/// The guest runs again as it did before; whether its size was set back meanwhile, the next look says.
pub(super) async fn undo_shutdown(app: &App, job: &mut Job) -> Step {
    match start(app, job).await? {
        Progress::Done => {
            if restarts(job) {
                run::power_seen(app, job, State::Running).await?;
            }
            Ok(Progress::Done)
        }
        wait @ Progress::Wait(..) => Ok(wait),
    }
}

/// Starts the guest again, if it was shut down for the change.
pub(super) async fn start(app: &App, job: &mut Job) -> Step {
    if restarts(job) { provision::start(app, job).await } else { Ok(Progress::Done) }
}

/// Sets back what differs, and nothing else.
pub(super) async fn set(app: &App, job: &mut Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let row = &machine.row;
    let change = ConfigChange::new();
    let (node, config, change) = match kind(job)? {
        DriftKind::Disk => return grow(app, job, &machine).await,
        DriftKind::Size => {
            let (node, config) = machine.our_guest(app).await?;
            let cores = u32::try_from(row.vcpu).unwrap_or(1);
            let memory_mib = u64::try_from(row.memory_mib).unwrap_or(512);
            // A number of processors plugged in by hand would hide the cores.
            (node, config, change.sockets(1).cores(cores).delete("vcpus").memory_mib(memory_mib))
        }
        DriftKind::Tags => {
            let (node, config) = under_vmid(&machine).await?;
            if !identity::has_uuid(&config, row.guest_uuid) {
                return Err(not_ours());
            }
            let change = change.tags(marked(&config, job).iter());
            (node, config, change)
        }
        DriftKind::Identity => {
            let (node, config) = under_vmid(&machine).await?;
            // The operator says that it is ours; without our tag as well nothing is done to it.
            if !config.tags.contains(&identity::tag(job.vm)) {
                return Err(not_ours());
            }
            let change = change.set("smbios1", with_uuid(&config, &row.guest_uuid.to_string()));
            (node, config, change)
        }
        DriftKind::Missing => return Err(Trouble::Refused("a missing guest cannot be set back".into())),
    };
    write(&machine, &node, &config, change).await?;
    fault::point("vm.enforce.set.written");
    Ok(Progress::Done)
}

/// Writes a change if the configuration is still what was read.
pub(super) async fn write(
    machine: &Machine,
    node: &str,
    config: &VmConfig,
    mut change: ConfigChange,
) -> Result<(), Trouble> {
    if let Some(digest) = &config.digest {
        change = change.digest(digest);
    }
    match machine.client.set_vm_config(node, machine.vmid()?, &change).await {
        Ok(()) => Ok(()),
        Err(ProxmoxError::Refused(refusal)) if refusal.is_changed_meanwhile() => {
            Err(Trouble::Busy(refusal.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn grow(app: &App, job: &mut Job, machine: &Machine) -> Step {
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox grows the disk")),
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let (node, config) = machine.our_guest(app).await?;
    let disk = provision::boot_disk(&config).ok_or_else(|| Trouble::Refused("the guest has no disk".into()))?;
    let wanted = u64::try_from(machine.row.disk_gib).unwrap_or(0);
    let size = config.disks.get(disk).and_then(|disk| disk.size());
    if size.is_some_and(|size| size.bytes() >= wanted << 30) {
        return Ok(Progress::Done);
    }
    match machine.client.resize_disk(&node, machine.vmid()?, disk, wanted).await? {
        Some(upid) => remember(app, job, &upid).await?,
        None => return Ok(Progress::Done),
    }
    Ok(Progress::Wait(Duration::ZERO, "Proxmox grows the disk"))
}

/// The guest under a machine's VMID, whosever it is: where it was last, then wherever it is listed.
pub(super) async fn under_vmid(machine: &Machine) -> Result<(String, VmConfig), Trouble> {
    let found = find_under_vmid(machine).await?;
    found.ok_or_else(|| Trouble::Refused("the guest is not on the cluster any more".into()))
}

/// The same, where there may be none.
pub(super) async fn find_under_vmid(machine: &Machine) -> Result<Option<(String, VmConfig)>, Trouble> {
    let vmid = machine.vmid()?;
    match machine.client.vm_config(&machine.row.node, vmid).await {
        Ok(config) => return Ok(Some((machine.row.node.clone(), config))),
        Err(ProxmoxError::Refused(refusal)) if refusal.is_missing_guest() => {}
        Err(error) => return Err(error.into()),
    }
    let listed = machine.client.resources(Some(ResourceFilter::Vm)).await?;
    let node = listed.into_iter().find(|guest| guest.vmid == Some(vmid)).and_then(|guest| guest.node);
    if let Some(node) = node {
        let config = machine.client.vm_config(&node, vmid).await?;
        return Ok(Some((node, config)));
    }
    // Lists are filtered by privilege: this is the test that is not.
    if machine.client.vmid_is_free(vmid).await? {
        return Ok(None);
    }
    Err(Trouble::Busy("the guest is there but is not listed".into()))
}

/// The tags of a guest with ours.
pub(super) fn marked(config: &VmConfig, job: &Job) -> Tags {
    let mut tags = config.tags.clone();
    tags.insert(identity::TAG);
    tags.insert(&identity::tag(job.vm));
    tags
}

/// The SMBIOS values of a guest with another uuid; the rest stays.
pub(super) fn with_uuid(config: &VmConfig, uuid: &str) -> String {
    let others = config.smbios1.iter().flat_map(|smbios| smbios.properties.iter());
    let others: String =
        others.filter(|(key, _)| *key != "uuid").map(|(key, value)| format!(",{key}={value}")).collect();
    format!("uuid={uuid}{others}")
}

pub(super) fn not_ours() -> Trouble {
    Trouble::Refused("the guest with this VMID is not this VM: nothing was done to it".into())
}

/// In the transaction that finishes the job: what its guest was found to be is asked again.
pub(super) async fn forget(connection: &mut sqlx::PgConnection, job: &Job) -> crate::error::Result<()> {
    db::delete_verdict(connection, job.vm).await
}

/// Whether this runner still has its job; else it must not go on.
pub(super) async fn still_ours(app: &App, job: &Job) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, Trouble> {
    let mut transaction = app.pool.begin().await?;
    if jobs::is_ours(&mut transaction, job).await? {
        Ok(transaction)
    } else {
        Err(Trouble::Busy("another runner has this job now".into()))
    }
}
