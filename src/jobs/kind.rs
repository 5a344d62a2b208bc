//! The kinds of jobs, and the steps of each as people read them.

use crate::permissions::Permission;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Makes a machine.
    VmCreate,
    /// Starts one.
    VmStart,
    /// Shuts one down gracefully.
    VmShutdown,
    /// Stops one hard.
    VmStop,
    /// Reboots one.
    VmReboot,
    /// Resets one, as its button would.
    VmReset,
    /// Lets its processors stand still.
    VmSuspend,
    /// Lets them go on.
    VmResume,
    /// Gives it another plan.
    VmResize,
    /// Makes it anew from an image.
    VmRebuild,
    /// Moves it to another node.
    VmMigrate,
    /// Sets what can be set while it runs: name, tags, protection, keys, CD.
    VmConfigure,
    /// Starts it from its CD, or from its disk again.
    VmBoot,
    /// Sets the password of its user.
    VmPassword,
    /// Deletes one.
    VmDelete,
    /// Sets one back to what was sold.
    VmEnforce,
    /// Takes a guest over that was not ours.
    VmAdopt,
    /// Lets go of one that was taken over.
    VmRelease,
}

/// A step of a job.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name in logs and programs.
    pub name: &'static str,
    /// What is being done, for people.
    pub title: &'static str,
}

const fn step(name: &'static str, title: &'static str) -> Step {
    Step { name, title }
}

static CREATE: [Step; 7] = [
    step("lease", "Reserving a place"),
    step("clone", "Copying the image"),
    step("configure", "Configuring"),
    step("seed", "Preparing the first start"),
    step("resize", "Growing the disk"),
    step("start", "Starting"),
    step("address", "Waiting for the address"),
];
static START: [Step; 1] = [step("start", "Starting")];
static SHUTDOWN: [Step; 1] = [step("shutdown", "Shutting down")];
static STOP: [Step; 1] = [step("stop", "Stopping")];
static REBOOT: [Step; 1] = [step("reboot", "Rebooting")];
static RESET: [Step; 1] = [step("reset", "Resetting")];
static SUSPEND: [Step; 1] = [step("suspend", "Suspending")];
static RESUME: [Step; 1] = [step("resume", "Resuming")];
static RESIZE: [Step; 5] = [
    step("shutdown", "Shutting down"),
    step("move", "Moving to a host with room"),
    step("size", "Setting processors and memory"),
    step("grow", "Growing the disk"),
    step("start", "Starting"),
];
// The new guest is whole before the old one is stopped, and runs before the old one is destroyed.
static REBUILD: [Step; 10] = [
    step("lease", "Reserving a place"),
    step("clone", "Copying the image"),
    step("configure", "Configuring"),
    step("seed", "Preparing the first start"),
    step("resize", "Growing the disk"),
    step("stop", "Stopping the old system"),
    step("swap", "Changing over"),
    step("start", "Starting"),
    step("address", "Waiting for the address"),
    step("destroy", "Deleting the old disk"),
];
static MIGRATE: [Step; 1] = [step("migrate", "Moving")];
static CONFIGURE: [Step; 1] = [step("apply", "Applying the settings")];
static BOOT: [Step; 3] =
    [step("stop", "Stopping"), step("apply", "Changing the boot order"), step("start", "Starting")];
static PASSWORD: [Step; 1] = [step("password", "Setting the password")];
static ENFORCE: [Step; 3] =
    [step("shutdown", "Shutting down"), step("set", "Setting it back"), step("start", "Starting")];
static ADOPT: [Step; 3] =
    [step("lease", "Checking the guest"), step("mark", "Marking it"), step("look", "Looking at it")];
static RELEASE: [Step; 1] = [step("unmark", "Taking our marks off")];
static DELETE: [Step; 2] = [step("stop", "Stopping"), step("destroy", "Deleting the disk")];

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::VmCreate,
        Self::VmStart,
        Self::VmShutdown,
        Self::VmStop,
        Self::VmReboot,
        Self::VmReset,
        Self::VmSuspend,
        Self::VmResume,
        Self::VmResize,
        Self::VmRebuild,
        Self::VmMigrate,
        Self::VmConfigure,
        Self::VmBoot,
        Self::VmPassword,
        Self::VmDelete,
        Self::VmEnforce,
        Self::VmAdopt,
        Self::VmRelease,
    ];

    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VmCreate => "vm.create",
            Self::VmStart => "vm.start",
            Self::VmShutdown => "vm.shutdown",
            Self::VmStop => "vm.stop",
            Self::VmReboot => "vm.reboot",
            Self::VmReset => "vm.reset",
            Self::VmSuspend => "vm.suspend",
            Self::VmResume => "vm.resume",
            Self::VmResize => "vm.resize",
            Self::VmRebuild => "vm.rebuild",
            Self::VmMigrate => "vm.migrate",
            Self::VmConfigure => "vm.configure",
            Self::VmBoot => "vm.boot",
            Self::VmPassword => "vm.password",
            Self::VmDelete => "vm.delete",
            Self::VmEnforce => "vm.enforce",
            Self::VmAdopt => "vm.adopt",
            Self::VmRelease => "vm.release",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    /// What it does, for people, before the machine's name.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::VmCreate => "Create",
            Self::VmStart => "Start",
            Self::VmShutdown => "Shut down",
            Self::VmStop => "Stop",
            Self::VmReboot => "Reboot",
            Self::VmReset => "Reset",
            Self::VmSuspend => "Suspend",
            Self::VmResume => "Resume",
            Self::VmResize => "Resize",
            Self::VmRebuild => "Rebuild",
            Self::VmMigrate => "Move",
            Self::VmConfigure => "Configure",
            Self::VmBoot => "Change boot of",
            Self::VmPassword => "Set password of",
            Self::VmDelete => "Delete",
            Self::VmEnforce => "Set back",
            Self::VmAdopt => "Adopt",
            Self::VmRelease => "Release",
        }
    }

    /// Its steps, in order.
    #[must_use]
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::VmCreate => &CREATE,
            Self::VmStart => &START,
            Self::VmShutdown => &SHUTDOWN,
            Self::VmStop => &STOP,
            Self::VmReboot => &REBOOT,
            Self::VmReset => &RESET,
            Self::VmSuspend => &SUSPEND,
            Self::VmResume => &RESUME,
            Self::VmResize => &RESIZE,
            Self::VmRebuild => &REBUILD,
            Self::VmMigrate => &MIGRATE,
            Self::VmConfigure => &CONFIGURE,
            Self::VmBoot => &BOOT,
            Self::VmPassword => &PASSWORD,
            Self::VmDelete => &DELETE,
            Self::VmEnforce => &ENFORCE,
            Self::VmAdopt => &ADOPT,
            Self::VmRelease => &RELEASE,
        }
    }

    /// Whether it is the operators' business: its customer can see it, but not call it off.
    #[must_use]
    pub fn is_for_operators(self) -> bool {
        self.permission().is_none()
    }

    /// What somebody of its organisation must be allowed to call it off: the same as to ask for it. None for what is the
    /// operators' business.
    #[must_use]
    pub fn permission(self) -> Option<Permission> {
        match self {
            Self::VmCreate => Some(Permission::VmCreate),
            Self::VmStart
            | Self::VmShutdown
            | Self::VmStop
            | Self::VmReboot
            | Self::VmReset
            | Self::VmSuspend
            | Self::VmResume => Some(Permission::VmPower),
            Self::VmResize => Some(Permission::VmResize),
            Self::VmRebuild => Some(Permission::VmRebuild),
            Self::VmConfigure | Self::VmBoot => Some(Permission::VmConfigure),
            Self::VmPassword => Some(Permission::VmPassword),
            Self::VmDelete => Some(Permission::VmDelete),
            Self::VmMigrate | Self::VmEnforce | Self::VmAdopt | Self::VmRelease => None,
        }
    }

    /// Whether the disk may have grown when it is at the step with this index.
    #[must_use]
    pub fn has_grown_disk(self, step: usize) -> bool {
        let grow = RESIZE.iter().position(|known| known.name == "grow");
        self == Self::VmResize && grow.is_some_and(|grow| step >= grow)
    }

    /// Whether what it has done can be undone from the step with this index on.
    #[must_use]
    pub fn can_go_back(self, step: usize) -> bool {
        match self {
            Self::VmCreate | Self::VmResize | Self::VmBoot | Self::VmAdopt | Self::VmEnforce => true,
            // Nobody goes back to a disk that may be gone.
            Self::VmRebuild => REBUILD.get(step).is_some_and(|step| step.name != "destroy"),
            Self::VmStart
            | Self::VmShutdown
            | Self::VmStop
            | Self::VmReboot
            | Self::VmReset
            | Self::VmSuspend
            | Self::VmResume
            | Self::VmMigrate
            | Self::VmConfigure
            | Self::VmPassword
            | Self::VmDelete
            | Self::VmRelease => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
            assert!(!kind.steps().is_empty());
        }
    }

    #[test]
    fn a_rebuild_goes_back_until_the_old_disk_is_deleted() {
        let names: Vec<_> = (0..=REBUILD.len())
            .filter(|step| Kind::VmRebuild.can_go_back(*step))
            .map(|step| REBUILD[step].name)
            .collect();

        assert_eq!(names, ["lease", "clone", "configure", "seed", "resize", "stop", "swap", "start", "address"]);
    }
}
