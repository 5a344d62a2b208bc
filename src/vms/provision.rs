//! Making a machine, step by step. Each step first asks whether it is done already, so it may run twice; its undo stands
//! beside it, and undoing destroys only what names our machine.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrono::{DateTime, Utc};
use proxmox_client::{CloneVm, ConfigChange, Error as ProxmoxError, IpConfig, PowerState, TaskEnd, VmConfig};
use serde_json::{Value, json};

use super::machine::{Guest, Machine, Progress, Step, still_ours};
use super::task::{Task, follow, outwait, remember};
use super::{configure as settings, console, disk, identity};
use crate::app::App;
use crate::clusters::{self, Trouble};
use crate::jobs::{self, Job};
use crate::{addresses, fault};

/// How long the guest may take to report its address. After that the machine is handed over without waiting longer: the
/// address is set, only the guest has not said so.
const ADDRESS_SECONDS_MAX: i64 = 90;
/// How often the guest is asked.
const ADDRESS_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for a clone that somebody started and nobody follows.
const CLONE_PAUSE: Duration = Duration::from_secs(2);

/// How many VMIDs in a row one order may find taken. A cluster that calls every id taken must not use up the whole range.
const PASSED_OVER_MAX: u64 = 100;
const PASSED_OVER: &str = "passed_over";

/// Leases a VMID. A guest of somebody else that has it already is left alone; the next id is taken.
pub(super) async fn lease(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    let vmid = match machine.row.vmid {
        Some(vmid) => u32::try_from(vmid).unwrap_or(0),
        None => {
            let mut transaction = still_ours(app, job).await?;
            let vmid = clusters::lease_vmid(&mut transaction, machine.row.cluster, job.vm, app.clock.now()).await?;
            machine.set_vmid(&mut transaction, Some(vmid)).await?;
            transaction.commit().await?;
            vmid
        }
    };
    fault::point(&format!("{}.lease.leased", job.kind.name()));
    if machine.client.vmid_is_free(vmid).await? {
        return Ok(Progress::Done);
    }
    // Nothing of ours was sent for this id yet, so whoever has it is a stranger.
    another_vmid(app, job, &machine, vmid).await?;
    Ok(Progress::Wait(Duration::ZERO, "another VMID"))
}

async fn another_vmid(app: &App, job: &mut Job, machine: &Machine, vmid: u32) -> Result<(), Trouble> {
    let passed_over = job.scratch.get(PASSED_OVER).and_then(Value::as_u64).unwrap_or(0) + 1;
    if passed_over > PASSED_OVER_MAX {
        return Err(Trouble::Refused(format!(
            "{PASSED_OVER_MAX} VMIDs in a row are in use by guests that are not ours"
        )));
    }
    jobs::log(app, job, &format!("VMID {vmid} is in use by a guest that is not ours: taking another")).await?;
    let mut transaction = still_ours(app, job).await?;
    clusters::abandon_vmid(&mut transaction, machine.row.cluster, vmid).await?;
    machine.set_vmid(&mut transaction, None).await?;
    transaction.commit().await?;
    job.scratch.insert(PASSED_OVER.into(), json!(passed_over));
    Ok(())
}

pub(super) async fn undo_lease(app: &App, job: &Job) -> Step {
    let machine = Machine::of(app, job).await?;
    let mut transaction = still_ours(app, job).await?;
    if machine.beside {
        if machine.row.vmid.is_some() {
            clusters::release_lease(&mut transaction, machine.row.cluster, machine.vmid()?, app.clock.now()).await?;
            machine.set_vmid(&mut transaction, None).await?;
        }
    } else {
        clusters::release_vmid(&mut transaction, job.vm, app.clock.now()).await?;
    }
    transaction.commit().await?;
    Ok(Progress::Done)
}

/// Clones the image's template.
pub(super) async fn clone(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    let vmid = machine.vmid()?;
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox copies the image")),
        Task::Ended(TaskEnd::Failed(error)) if error.is_already_exists() => {}
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    match machine.guest(app).await? {
        Guest::Ours(..) => return Ok(Progress::Done),
        Guest::BeingMade => return outwait(app, job, CLONE_PAUSE, "Proxmox copies the image"),
        Guest::Foreign => {
            // Somebody took the id between our lease and our clone. His guest stays as it is.
            another_vmid(app, job, &machine, vmid).await?;
            let mut transaction = still_ours(app, job).await?;
            let vmid = clusters::lease_vmid(&mut transaction, machine.row.cluster, job.vm, app.clock.now()).await?;
            machine.set_vmid(&mut transaction, Some(vmid)).await?;
            transaction.commit().await?;
            return Ok(Progress::Wait(Duration::ZERO, "another VMID"));
        }
        Guest::Missing => {}
    }
    let template = clusters::template(app, machine.row.cluster, machine.row.image)
        .await?
        .ok_or_else(|| Trouble::Refused("the image has no template on this cluster any more".into()))?;
    let mut order = CloneVm::new(vmid)
        .name(&machine.row.name)
        .description(&identity::description_of_clone(job.vm))
        .full(true)
        .storage(&machine.row.storage);
    if template.node != machine.row.node {
        order = order.target(&machine.row.node);
    }
    let template_vmid = u32::try_from(template.vmid).unwrap_or(0);
    let upid = machine.client.clone_vm(&template.node, template_vmid, &order).await?;
    remember(app, job, &upid).await?;
    // Small templates are copied before we can ask.
    Ok(Progress::Wait(Duration::ZERO, "Proxmox copies the image"))
}

/// Destroys what was cloned, if it is there and ours.
pub(super) async fn undo_clone(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    if machine.row.vmid.is_none() {
        return Ok(Progress::Done);
    }
    super::delete::destroy_guest(app, job, &machine).await
}

/// Gives the guest its identity, size, address and keys. Converging: the same values may be set twice.
pub(super) async fn configure(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    let (node, config) = machine.our_guest(app).await?;
    let mut connection = app.pool.acquire().await?;
    let address = addresses::of_vm(&mut connection, job.vm).await?;
    drop(connection);
    let keys: Vec<&str> = machine.row.authorized_keys.lines().collect();
    let mut change = ConfigChange::new()
        .name(&machine.row.name)
        .sockets(1)
        .cores(u32::try_from(machine.row.vcpu).unwrap_or(1))
        .memory_mib(u64::try_from(machine.row.memory_mib).unwrap_or(512))
        .smbios_uuid(&machine.row.guest_uuid.to_string())
        .tags(identity::tags(job.vm, &machine.row.tags))
        .description(&identity::description(job.vm))
        .ci_user(&machine.row.login)
        .ssh_keys(&keys)
        .agent(true)
        // A template's own settings must not make machines that nobody can delete or that start by themselves.
        .on_boot(false)
        .protection(false);
    if let Some(address) = address {
        change = change
            .ip_config(0, &IpConfig::fixed(address.address, address.prefix, address.gateway))
            .name_servers(&[IpAddr::V4(address.nameserver)]);
    }
    if let Some(net) = bridged(&config, &machine.row.bridge) {
        change = change.set("net0", net);
    }
    if settings::cd_drive(&config).is_none()
        && let Some(free) = settings::free_drive(&config)
    {
        // A drive cannot be added while the guest runs; changing its CD can.
        change = change.set(free, settings::EMPTY_DRIVE);
    }
    if !config.raw.contains_key(console::SERIAL) {
        change = change.set(console::SERIAL, console::SERIAL_KIND);
    }
    machine.write(&node, &config, change).await?;
    Ok(Progress::Done)
}

/// The first network device on our bridge, keeping the address the clone was given; none when it is there already.
fn bridged(config: &VmConfig, bridge: &str) -> Option<String> {
    let mac = match config.nets.get(&0) {
        Some(net) if net.bridge() == Some(bridge) => return None,
        Some(net) => net.mac().map(str::to_owned),
        None => None,
    };
    Some(mac.map_or_else(|| format!("virtio,bridge={bridge}"), |mac| format!("virtio={mac},bridge={bridge}")))
}

/// Grows the disk to the plan's size. A template that is larger stays as it is.
pub(super) async fn resize(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    disk::grow(app, job, &machine, machine.row.disk_gib).await
}

/// Starts the guest.
pub(super) async fn start(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    match follow(app, &machine.client, job).await? {
        Task::Running(pause) => return Ok(Progress::Wait(pause, "Proxmox starts the VM")),
        Task::Ended(TaskEnd::Failed(error)) if error.is_already_running() => {}
        Task::Ended(TaskEnd::Failed(error)) => return Err(error.into()),
        Task::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) | Task::None => {}
    }
    let (node, _) = machine.our_guest(app).await?;
    let vmid = machine.vmid()?;
    if machine.client.vm_status(&node, vmid).await?.status == PowerState::Running {
        return Ok(Progress::Done);
    }
    let upid = machine.client.start(&node, vmid).await?;
    remember(app, job, &upid).await?;
    Ok(Progress::Wait(Duration::ZERO, "Proxmox starts the VM"))
}

const SINCE: &str = "address_since";

/// Waits until the guest says that it has its address. What a guest says is hearsay: it decides when to stop waiting, and
/// nothing else.
pub(super) async fn address(app: &App, job: &mut Job) -> Step {
    let machine = Machine::of(app, job).await?;
    let mut connection = app.pool.acquire().await?;
    let Some(assigned) = addresses::of_vm(&mut connection, job.vm).await? else { return Ok(Progress::Done) };
    drop(connection);
    let now = app.clock.machine_now();
    let since = job.scratch.get(SINCE).and_then(|value| serde_json::from_value::<DateTime<Utc>>(value.clone()).ok());
    let since = since.unwrap_or_else(|| {
        job.scratch.insert(SINCE.into(), json!(now));
        now
    });
    // Somebody else's guest under this VMID must not be handed over.
    let (node, _) = machine.our_guest(app).await?;
    match machine.client.agent_network_interfaces(&node, machine.vmid()?).await {
        Ok(interfaces) if has_address(&interfaces, assigned.address) => {
            forget_since(job);
            return Ok(Progress::Done);
        }
        Ok(_) => {}
        Err(ProxmoxError::Refused(refusal)) if refusal.is_agent_not_configured() => {
            forget_since(job);
            return Ok(Progress::Done);
        }
        // Whatever else is the matter with the agent: the machine is there all the same.
        Err(ProxmoxError::Refused(refusal))
            if !refusal.is_missing_guest() && !refusal.is_unauthenticated() && !refusal.is_forbidden() => {}
        Err(error) => return Err(error.into()),
    }
    if (now - since).num_seconds() >= ADDRESS_SECONDS_MAX {
        jobs::log(app, job, "The guest has not reported its address; it is handed over as it is.").await?;
        forget_since(job);
        return Ok(Progress::Done);
    }
    Ok(Progress::Wait(ADDRESS_PAUSE, "the guest boots"))
}

fn forget_since(job: &mut Job) {
    let _: Option<Value> = job.scratch.remove(SINCE);
}

fn has_address(interfaces: &[proxmox_client::GuestInterface], address: Ipv4Addr) -> bool {
    interfaces.iter().flat_map(|interface| &interface.addresses).any(|known| known.ip() == Some(IpAddr::V4(address)))
}
