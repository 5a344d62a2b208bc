//! Virtual machines as a customer sees them: state, row, list and what can be done with one.
//! No node, no VMID, no cluster: a customer never sees those.

pub mod change;
pub mod new;
pub mod show;

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::frame::PortalFrame;
use super::markup;
use super::notifications::UrgentNotices;
use crate::permissions::{Permission, Permissions};
use crate::web::format;

/// What a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmState {
    /// Being made.
    Provisioning,
    /// On.
    Running,
    /// On, its processors standing still.
    Suspended,
    /// Off, because its owner wanted it.
    Stopped,
    /// Off, because the credit ran out.
    StoppedForCredit,
    /// Could not be made.
    Failed,
    /// Being removed.
    Deleting,
    /// The cluster cannot be asked.
    Unknown,
}

impl VmState {
    /// The word on the pill.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provisioning => "Provisioning",
            Self::Running => "Running",
            Self::Suspended => "Suspended",
            Self::Stopped => "Stopped",
            Self::StoppedForCredit => "Stopped: no credit",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
            Self::Unknown => "Unknown",
        }
    }

    /// The colour of the pill.
    pub fn class(self) -> &'static str {
        match self {
            Self::Provisioning => "pill-work",
            Self::Running => "pill-good",
            Self::Stopped => "pill-quiet",
            Self::Suspended | Self::StoppedForCredit | Self::Unknown => "pill-warning",
            Self::Failed => "pill-bad",
            Self::Deleting => "pill-work",
        }
    }
}

/// Work under way on a machine that runs or is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingPower {
    /// Being switched on.
    Starting,
    /// Asked to shut itself down.
    ShuttingDown,
    /// Being switched off hard.
    Stopping,
    /// Being rebooted.
    Rebooting,
    /// Being reset.
    Resetting,
    /// Being suspended.
    Suspending,
    /// Being resumed.
    Resuming,
    /// Getting another size.
    Resizing,
    /// Being made anew.
    Rebuilding,
    /// Moving to another host.
    Moving,
    /// Getting other settings.
    Configuring,
    /// Restarting from something else.
    Booting,
    /// Getting a new password.
    SettingPassword,
}

impl PendingPower {
    /// The word beside the pill.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "Starting…",
            Self::ShuttingDown => "Shutting down…",
            Self::Stopping => "Stopping…",
            Self::Rebooting => "Rebooting…",
            Self::Resetting => "Resetting…",
            Self::Suspending => "Suspending…",
            Self::Resuming => "Resuming…",
            Self::Resizing => "Resizing…",
            Self::Rebuilding => "Rebuilding…",
            Self::Moving => "Moving…",
            Self::Configuring => "Applying settings…",
            Self::Booting => "Restarting…",
            Self::SettingPassword => "Setting the password…",
        }
    }
}

/// How far work has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The step it is at, from 1.
    pub step: u32,
    /// How many there are.
    pub steps: u32,
    /// What the step does, in words.
    pub name: String,
    /// Of the whole, 0 to 100.
    pub percent: u8,
}

/// State pill with step, bar and reason; also the answer to `GET /vms/{id}/status`.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/status.html")]
pub struct VmStatus {
    /// Id in URLs.
    pub id: String,
    /// What the machine is.
    pub state: VmState,
    /// Step and bar while provisioning or deleting.
    pub progress: Option<Progress>,
    /// Work under way on a running or stopped machine.
    pub pending: Option<PendingPower>,
    /// Why: for failed, unknown, stopped for lack of credit, or a job that waits.
    pub reason: Option<String>,
    /// Since when, for unknown.
    pub since: Option<DateTime<Utc>>,
    /// Whether its reader may look at the wallet.
    pub may_see_wallet: bool,
}

/// Whether something can be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Yes.
    Offered,
    /// Not now, and why.
    Refused(String),
    /// It makes no sense in this state.
    Hidden,
}

impl Offer {
    /// May it be pressed?
    pub fn is_offered(&self) -> bool {
        *self == Self::Offered
    }

    /// Is it on the page?
    pub fn is_shown(&self) -> bool {
        *self != Self::Hidden
    }

    /// Why not, when it is shown but refused.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(reason) => reason,
            Self::Offered | Self::Hidden => "",
        }
    }
}

/// What can be done with a machine.
#[derive(Clone, Debug)]
pub struct VmOffers {
    /// Switch on.
    pub start: Offer,
    /// Ask the guest to shut down.
    pub shutdown: Offer,
    /// Reboot the guest.
    pub reboot: Offer,
    /// Switch off hard.
    pub stop: Offer,
    /// Press its reset button.
    pub reset: Offer,
    /// Let its processors stand still.
    pub suspend: Offer,
    /// Let them go on.
    pub resume: Offer,
    /// Look at its screen.
    pub console: Offer,
    /// Remove with its disk.
    pub delete: Offer,
    /// Its owner has put it under protection: that is why it is not deleted.
    pub protected: bool,
    /// Its reader may take the protection away.
    pub may_unprotect: bool,
    /// What is saved per hour while it is stopped.
    pub saves_per_hour: Option<Decimal>,
}

impl VmOffers {
    /// What a machine in this state offers; work under way refuses the rest with its name.
    pub fn of(status: &VmStatus, protected: bool, saves_per_hour: Option<Decimal>) -> Self {
        use Offer::{Hidden, Offered, Refused};
        let busy = status.pending.map(|work| Refused(format!("Wait until this is done: {}", work.word())));
        let free = |offer: Offer| busy.clone().unwrap_or(offer);
        let (start, on, delete) = match status.state {
            VmState::Running | VmState::Suspended => (Hidden, free(Offered), free(Offered)),
            VmState::Stopped => (free(Offered), Hidden, free(Offered)),
            VmState::StoppedForCredit => {
                (Refused("It starts by itself as soon as there is credit".into()), Hidden, free(Offered))
            }
            // One that is still being made is undone.
            VmState::Provisioning | VmState::Failed => (Hidden, Hidden, free(Offered)),
            VmState::Deleting => (Hidden, Hidden, Hidden),
            VmState::Unknown => {
                let away = Refused("Nobody can reach it now; try again when it is seen again".into());
                (Hidden, away.clone(), away)
            }
        };
        // A shutdown that hangs must not keep its owner from pulling the plug.
        let stop = match status.pending {
            Some(PendingPower::ShuttingDown | PendingPower::Rebooting) if on.is_shown() => Offered,
            _ => on.clone(),
        };
        let suspended = status.state == VmState::Suspended;
        let obeys = if suspended { Refused("It is suspended: resume it first".into()) } else { on.clone() };
        let (suspend, resume) = if suspended { (Hidden, on.clone()) } else { (on.clone(), Hidden) };
        let delete = if protected && delete.is_shown() { Refused("It is protected".into()) } else { delete };
        let console = match status.state {
            VmState::Running | VmState::Suspended => Offered,
            VmState::Stopped | VmState::StoppedForCredit => Refused("Start it to open its console".into()),
            VmState::Unknown => on.clone(),
            VmState::Provisioning | VmState::Failed | VmState::Deleting => Hidden,
        };
        Self {
            console,
            start,
            shutdown: obeys.clone(),
            reboot: obeys,
            stop,
            reset: on,
            suspend,
            resume,
            delete,
            protected,
            may_unprotect: protected,
            saves_per_hour,
        }
    }
}

impl VmOffers {
    /// Without what its reader may not do.
    pub fn only(mut self, may: Permissions) -> Self {
        let power = [
            &mut self.start,
            &mut self.shutdown,
            &mut self.reboot,
            &mut self.stop,
            &mut self.reset,
            &mut self.suspend,
            &mut self.resume,
        ];
        if !may.has(Permission::VmPower) {
            power.into_iter().for_each(|offer| *offer = Offer::Hidden);
        }
        if !may.has(Permission::VmConsole) {
            self.console = Offer::Hidden;
        }
        if !may.has(Permission::VmDelete) {
            self.delete = Offer::Hidden;
        }
        self.may_unprotect = self.protected && may.has(Permission::VmConfigure);
        self
    }
}

/// Where the buttons of a machine stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionsPlace {
    /// In a row of the list: one small menu.
    Row,
    /// In the header of its page: buttons, and a menu for the rest.
    Header,
}

/// The buttons of a machine.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/actions.html")]
pub struct VmActions {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What can be done.
    pub offers: VmOffers,
    /// Where they stand.
    pub place: ActionsPlace,
    /// Token for the forms.
    pub csrf: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// A machine in the list; also the answer to `GET /vms/{id}/row`.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/row.html")]
pub struct VmRow {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its owner marks it with.
    pub tags: Vec<String>,
    /// State, step, reason.
    pub status: VmStatus,
    /// Name of the location.
    pub location: String,
    /// IPv4, once known.
    pub address: Option<String>,
    /// Name of the plan.
    pub plan: String,
    /// `2 vCPU · 4 GiB`
    pub plan_detail: String,
    /// What it costs per hour as it is now.
    pub cost_per_hour: Decimal,
    /// What can be done.
    pub actions: VmActions,
    /// ISO 4217 code.
    pub currency: String,
}

/// The line above the list; also the answer to `GET /vms/summary`.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/summary.html")]
pub struct VmSummary {
    /// All machines.
    pub machines: u64,
    /// Those that run.
    pub running: u64,
    /// What all of them cost per hour now.
    pub cost_per_hour: Decimal,
    /// ISO 4217 code.
    pub currency: String,
}

/// `GET /vms`.
#[derive(Debug, Template)]
#[template(path = "vms/list.html")]
pub struct VmListPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// What cannot wait.
    pub urgent: UrgentNotices,
    /// The line above the list.
    pub summary: VmSummary,
    /// Only those with this tag are listed.
    pub tag: Option<String>,
    /// Newest first.
    pub rows: Vec<VmRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// Back to the newest, when this is not them.
    pub newest_url: Option<String>,
    /// This page itself, for its live part.
    pub url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: VmState, pending: Option<PendingPower>) -> VmStatus {
        VmStatus { id: "1".into(), state, progress: None, pending, reason: None, since: None, may_see_wallet: true }
    }

    #[test]
    fn a_running_machine_can_be_stopped_and_not_started() {
        let offers = VmOffers::of(&status(VmState::Running, None), false, None);
        assert!(offers.shutdown.is_offered() && offers.reboot.is_offered() && offers.delete.is_offered());
        assert!(!offers.start.is_shown());
    }

    #[test]
    fn a_hanging_shutdown_can_still_be_stopped_hard() {
        let offers = VmOffers::of(&status(VmState::Running, Some(PendingPower::ShuttingDown)), false, None);
        assert!(offers.stop.is_offered());
        assert!(offers.reboot.reason().contains("Shutting down"));
        assert!(offers.delete.reason().contains("Shutting down"));
    }

    #[test]
    fn without_credit_a_start_is_refused_with_its_reason() {
        let offers = VmOffers::of(&status(VmState::StoppedForCredit, None), false, None);
        assert!(offers.start.reason().contains("credit"));
    }

    #[test]
    fn a_suspended_machine_is_resumed_or_stopped_hard_and_asked_nothing() {
        let offers = VmOffers::of(&status(VmState::Suspended, None), false, None);
        assert!(offers.resume.is_offered() && offers.stop.is_offered() && offers.reset.is_offered());
        assert!(offers.shutdown.reason().contains("suspended") && !offers.suspend.is_shown());
    }

    #[test]
    fn a_protected_machine_is_not_deleted() {
        let offers = VmOffers::of(&status(VmState::Stopped, None), true, None);
        assert!(offers.delete.reason().contains("protected"));
        assert!(!VmOffers::of(&status(VmState::Deleting, None), true, None).delete.is_shown());
    }

    #[test]
    fn nothing_is_offered_to_who_may_not_do_it() {
        let offers = || VmOffers::of(&status(VmState::Running, None), true, None);
        let watching = offers().only(Permissions::of_patterns(["vm.view"]));
        for offer in [&watching.shutdown, &watching.stop, &watching.reset, &watching.console, &watching.delete] {
            assert!(!offer.is_shown());
        }
        assert!(!watching.may_unprotect);
        let night = offers().only(Permissions::of_patterns(["vm.power"]));
        assert!(night.shutdown.is_offered() && !night.console.is_shown() && !night.delete.is_shown());
        let all = offers().only(Permissions::of_patterns(["vm.*"]));
        assert!(all.console.is_offered() && all.delete.is_shown() && all.may_unprotect);
    }

    #[test]
    fn a_machine_being_removed_offers_nothing() {
        let offers = VmOffers::of(&status(VmState::Deleting, None), false, None);
        for offer in [&offers.start, &offers.shutdown, &offers.reboot, &offers.stop, &offers.reset, &offers.delete] {
            assert!(!offer.is_shown());
        }
    }
}
