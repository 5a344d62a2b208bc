//! Setting a guest back to what is sold, after an operator decided so: size, disk, tags, or the SMBIOS uuid. Converging: each
//! step may run twice.

use proxmox_client::{ConfigChange, Tags, VmConfig};
use serde_json::{Map, Value, json};

use super::drift::DriftKind;
use super::machine::{Machine, Progress, Step, not_ours};
use super::{State, db, disk, identity, power, provision, run};
use crate::app::App;
use crate::clusters::Trouble;
use crate::fault;
use crate::jobs::Job;

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
        DriftKind::Disk => return disk::grow(app, job, &machine, row.disk_gib).await,
        DriftKind::Size => {
            let (node, config) = machine.our_guest(app).await?;
            let cores = u32::try_from(row.vcpu).unwrap_or(1);
            let memory_mib = u64::try_from(row.memory_mib).unwrap_or(512);
            // A number of processors plugged in by hand would hide the cores.
            (node, config, change.sockets(1).cores(cores).delete("vcpus").memory_mib(memory_mib))
        }
        DriftKind::Tags => {
            let (node, config) = machine.under_vmid().await?;
            if !identity::has_uuid(&config, row.guest_uuid) {
                return Err(not_ours());
            }
            let change = change.tags(marked(&config, job).iter());
            (node, config, change)
        }
        DriftKind::Identity => {
            let (node, config) = machine.under_vmid().await?;
            // The operator says that it is ours; without our tag as well nothing is done to it.
            if !config.tags.contains(&identity::tag(job.vm)) {
                return Err(not_ours());
            }
            let change = change.set("smbios1", with_uuid(&config, &row.guest_uuid.to_string()));
            (node, config, change)
        }
        DriftKind::Missing => return Err(Trouble::Refused("a missing guest cannot be set back".into())),
    };
    machine.write(&node, &config, change).await?;
    fault::point("vm.enforce.set.written");
    Ok(Progress::Done)
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

/// In the transaction that finishes the job: what its guest was found to be is asked again.
pub(super) async fn forget(connection: &mut sqlx::PgConnection, job: &Job) -> crate::error::Result<()> {
    db::delete_verdict(connection, job.vm).await
}
