//! A machine and its job as a pill, a bar and a reason, in a customer's words.

use crate::jobs::{Job, Kind, Status};
use crate::permissions::Permission;
use crate::vms::{State, Vm};
use crate::web::session::Customer;
use crate::web::views::vms::{PendingPower, Progress, VmState, VmStatus};

/// What a machine is and what is being done to it.
pub(in crate::web::pages) fn vm_status(vm: &Vm) -> VmStatus {
    let job = vm.job.as_deref();
    let state = state(vm, job);
    let shows_steps = matches!(state, VmState::Provisioning | VmState::Deleting);
    VmStatus {
        id: vm.id.to_string(),
        state,
        progress: job.filter(|_| shows_steps).map(progress),
        pending: job.filter(|_| !shows_steps).and_then(pending),
        reason: reason(vm, job, state),
        since: vm.unknown.as_ref().map(|unknown| unknown.since),
        may_see_wallet: false,
    }
}

/// A machine's state as somebody of its organisation sees it.
pub(super) fn own_status(customer: &Customer, vm: &Vm) -> VmStatus {
    VmStatus { may_see_wallet: customer.session.permissions.has(Permission::BillingView), ..vm_status(vm) }
}

fn state(vm: &Vm, job: Option<&Job>) -> VmState {
    if vm.unknown.is_some() {
        return VmState::Unknown;
    }
    match vm.state {
        // Its owner has thought better of it.
        State::Provisioning if job.is_some_and(|job| job.cancel_requested) => VmState::Deleting,
        State::Provisioning => VmState::Provisioning,
        State::Running if vm.paused_at.is_some() => VmState::Suspended,
        State::Running => VmState::Running,
        State::Stopped if vm.stopped_for_credit_at.is_some() => VmState::StoppedForCredit,
        State::Stopped => VmState::Stopped,
        State::Failed => VmState::Failed,
        State::Deleting | State::Deleted => VmState::Deleting,
    }
}

fn pending(job: &Job) -> Option<PendingPower> {
    match job.kind {
        Kind::VmStart => Some(PendingPower::Starting),
        Kind::VmShutdown => Some(PendingPower::ShuttingDown),
        Kind::VmStop => Some(PendingPower::Stopping),
        Kind::VmReboot => Some(PendingPower::Rebooting),
        Kind::VmReset => Some(PendingPower::Resetting),
        Kind::VmSuspend => Some(PendingPower::Suspending),
        Kind::VmResume => Some(PendingPower::Resuming),
        Kind::VmResize => Some(PendingPower::Resizing),
        Kind::VmRebuild => Some(PendingPower::Rebuilding),
        Kind::VmMigrate => Some(PendingPower::Moving),
        Kind::VmConfigure => Some(PendingPower::Configuring),
        Kind::VmBoot => Some(PendingPower::Booting),
        Kind::VmPassword => Some(PendingPower::SettingPassword),
        Kind::VmCreate | Kind::VmDelete | Kind::VmEnforce | Kind::VmAdopt | Kind::VmRelease => None,
    }
}

fn reason(vm: &Vm, job: Option<&Job>, state: VmState) -> Option<String> {
    if let Some(unknown) = &vm.unknown {
        return Some(format!("We cannot tell how it is: {}. This time is not charged.", unknown.why));
    }
    if let Some(reason) = &vm.state_reason {
        return Some(reason.clone());
    }
    if let Some(reason) = job.and_then(waits) {
        return Some(reason.to_owned());
    }
    match state {
        VmState::StoppedForCredit if job.is_none() => {
            Some("The credit ran out. It starts again by itself when there is credit.".into())
        }
        VmState::Suspended if job.is_none() => {
            Some("Its processors stand still and its memory is kept, so it is charged as running.".into())
        }
        VmState::Provisioning if job.is_some_and(|job| job.undoing) => {
            Some("It could not be made. What was begun is being taken back; nothing is charged.".into())
        }
        _ => None,
    }
}

/// What keeps a job from going on, as its customer may read it. What Proxmox said stays with the operator.
fn waits(job: &Job) -> Option<&'static str> {
    match job.status {
        Status::Parked => Some("It could not be finished. The operator has been told and looks into it."),
        Status::Pending | Status::Running if job.waits_for_cluster() => {
            Some("The location is not answering. It goes on by itself as soon as it does; nothing is lost.")
        }
        Status::Pending | Status::Running if job.attempts > 0 => {
            Some("Something got in the way. It is tried again by itself.")
        }
        Status::Pending | Status::Running | Status::Completed | Status::Failed | Status::Cancelled => None,
    }
}

/// How far a job has come.
pub(in crate::web::pages) fn progress(job: &Job) -> Progress {
    let steps = job.kind.steps();
    let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    let name = match job.current() {
        Some(step) if job.undoing => format!("Taking back: {}", step.title),
        Some(step) => step.title.to_owned(),
        None => "Finishing".to_owned(),
    };
    Progress {
        step: number((job.step + 1).min(steps.len())),
        steps: number(steps.len()),
        name,
        percent: job.progress(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_reads_no_word_of_the_hypervisor() {
        for kind in Kind::ALL {
            for step in kind.steps() {
                let title = step.title.to_lowercase();
                assert!(!["proxmox", "node", "vmid", "cluster"].iter().any(|word| title.contains(word)), "{title}");
            }
        }
    }
}
