//! The kinds of jobs, and the steps of each as people read them.

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

static CREATE: [Step; 6] = [
    step("lease", "Reserving a place"),
    step("clone", "Copying the image"),
    step("configure", "Configuring"),
    step("resize", "Growing the disk"),
    step("start", "Starting"),
    step("address", "Waiting for the address"),
];
static START: [Step; 1] = [step("start", "Starting")];
static SHUTDOWN: [Step; 1] = [step("shutdown", "Shutting down")];
static STOP: [Step; 1] = [step("stop", "Stopping")];
static REBOOT: [Step; 1] = [step("reboot", "Rebooting")];
static ENFORCE: [Step; 3] =
    [step("shutdown", "Shutting down"), step("set", "Setting it back"), step("start", "Starting")];
static ADOPT: [Step; 3] =
    [step("lease", "Checking the guest"), step("mark", "Marking it"), step("look", "Looking at it")];
static RELEASE: [Step; 1] = [step("unmark", "Taking our marks off")];
static DELETE: [Step; 2] = [step("stop", "Stopping"), step("destroy", "Deleting the disk")];

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::VmCreate,
        Self::VmStart,
        Self::VmShutdown,
        Self::VmStop,
        Self::VmReboot,
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
            Self::VmDelete => &DELETE,
            Self::VmEnforce => &ENFORCE,
            Self::VmAdopt => &ADOPT,
            Self::VmRelease => &RELEASE,
        }
    }

    /// Whether what it has done can be undone.
    #[must_use]
    pub fn can_go_back(self) -> bool {
        match self {
            Self::VmCreate | Self::VmAdopt => true,
            Self::VmStart
            | Self::VmShutdown
            | Self::VmStop
            | Self::VmReboot
            | Self::VmDelete
            | Self::VmEnforce
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
}
