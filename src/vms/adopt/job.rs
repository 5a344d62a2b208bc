//! The job that marks a guest as ours: check it, add our tags, look how it is. Its undo takes the marks off again; the guest
//! itself is never stopped or destroyed by it.

use proxmox_client::{ConfigChange, PowerState as GuestPower, VmConfig};
use serde_json::Value;

use crate::app::App;
use crate::catalog::PowerState;
use crate::clusters::Trouble;
use crate::fault;
use crate::jobs::Job;
use crate::vms::machine::{Machine, Progress, Step, not_ours, still_ours};
use crate::vms::{db, enforce, identity};

/// Whether the guest had a uuid before; else it gets the machine's id.
fn had_uuid(job: &Job) -> bool {
    job.payload.get("had_uuid") == Some(&Value::Bool(true))
}

/// Whether this is the guest that the operator has seen.
fn is_the_one(machine: &Machine, job: &Job, config: &VmConfig) -> bool {
    let none = config.smbios1.as_ref().and_then(|smbios| smbios.uuid()).is_none();
    identity::has_uuid(config, machine.row.guest_uuid) || (none && !had_uuid(job))
}

async fn guest(machine: &Machine, job: &Job) -> Result<(String, VmConfig), Trouble> {
    let (node, config) = machine.under_vmid().await?;
    if !is_the_one(machine, job, &config) {
        return Err(not_ours());
    }
    Ok((node, config))
}

/// Checks that the leased VMID still has the guest that was decided about.
pub(in crate::vms) async fn lease(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let (node, config) = guest(&machine, job).await?;
    if config.template {
        return Err(Trouble::Refused("the guest has become a template".into()));
    }
    if let Some(lock) = &config.lock {
        return Err(Trouble::Locked(format!("the guest is locked ({lock})")));
    }
    if config.tags.iter().filter_map(identity::named_by).any(|vm| vm != job.vm) {
        return Err(Trouble::Refused("the guest has the tag of another VM of ours".into()));
    }
    if node != machine.row.node {
        let mut transaction = still_ours(app, job).await?;
        db::set_node(&mut transaction, job.vm, &node).await?;
        transaction.commit().await?;
    }
    fault::point("vm.adopt.lease.checked");
    Ok(Progress::Done)
}

/// Adds our tags to those that it has, and gives it a uuid if it had none.
pub(in crate::vms) async fn mark(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let (node, config) = guest(&machine, job).await?;
    let has_uuid = identity::has_uuid(&config, machine.row.guest_uuid);
    if has_uuid && config.tags.contains(&identity::tag(job.vm)) && config.tags.contains(identity::TAG) {
        return Ok(Progress::Done);
    }
    let mut change = ConfigChange::new().tags(enforce::marked(&config, job).iter());
    if !has_uuid {
        change = change.set("smbios1", enforce::with_uuid(&config, &machine.row.guest_uuid.to_string()));
    }
    machine.write(&node, &config, change).await?;
    fault::point("vm.adopt.mark.written");
    Ok(Progress::Done)
}

/// Takes our marks off again, if the guest is still there and has them.
pub(in crate::vms) async fn undo_mark(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    take_marks_off(&machine, job, !had_uuid(job)).await?;
    fault::point("vm.adopt.mark.taken_off");
    Ok(Progress::Done)
}

/// Takes our tags off the guest that has them, and the uuid that we gave it. A guest that is gone or another is left alone.
pub(super) async fn take_marks_off(machine: &Machine, job: &Job, uuid_too: bool) -> Result<(), Trouble> {
    // Gone: so are the marks.
    let Some((node, config)) = machine.find_under_vmid().await? else { return Ok(()) };
    if !identity::has_uuid(&config, machine.row.guest_uuid) {
        return Ok(());
    }
    let mut tags = config.tags.clone();
    let had_tags = tags.remove(identity::TAG) | tags.remove(&identity::tag(job.vm));
    let mut change = ConfigChange::new();
    if had_tags {
        change = change.tags(tags.iter());
    }
    if uuid_too {
        change = match enforce::with_uuid(&config, "").strip_prefix("uuid=,") {
            Some(others) => change.set("smbios1", others),
            None => change.delete("smbios1"),
        };
    }
    if change.is_empty() {
        return Ok(());
    }
    machine.write(&node, &config, change).await
}

/// Sees whether it runs: that is what it is charged as from the end of the job on.
pub(in crate::vms) async fn look(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    let (node, _) = machine.our_guest(app).await?;
    let status = machine.client.vm_status(&node, machine.vmid()?).await?.status;
    let state = if status == GuestPower::Running { PowerState::Running } else { PowerState::Stopped };
    let mut transaction = still_ours(app, job).await?;
    db::set_found_state(&mut transaction, job.vm, state).await?;
    transaction.commit().await?;
    fault::point("vm.adopt.look.written");
    Ok(Progress::Done)
}
