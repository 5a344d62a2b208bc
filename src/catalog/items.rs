//! What can be on a price list: a machine of a plan while it runs and while it is off, and what a machine has beside.

use std::fmt;

use crate::ids::{ImageId, PlanId};

/// What a machine is charged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PowerState {
    /// Its guest runs.
    Running,
    /// Its guest is off; disk and address are kept.
    Stopped,
}

impl PowerState {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "running" => Some(Self::Running),
            "stopped" => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// Which part of a machine a meter counts. The monthly cap holds for a meter, over whatever its machine was in the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// The machine itself, by plan and power state.
    Vm,
    /// Disk beyond what its plan has, in GiB.
    Disk,
    /// Its addresses.
    Address,
    /// Its snapshots, in GiB.
    Snapshot,
    /// Its backups, in GiB.
    Backup,
    /// The licence of its system.
    ImageLicence,
    /// Its traffic, in MiB.
    Traffic,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Self; 7] =
        [Self::Vm, Self::Disk, Self::Address, Self::Snapshot, Self::Backup, Self::ImageLicence, Self::Traffic];

    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Disk => "disk",
            Self::Address => "address",
            Self::Snapshot => "snapshot",
            Self::Backup => "backup",
            Self::ImageLicence => "image_licence",
            Self::Traffic => "traffic",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == text)
    }
}

/// What has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Item {
    /// A machine of a plan, running or stopped. It must have a price; all others are free where they have none.
    Vm(PlanId, PowerState),
    /// A GiB of disk beyond the plan's.
    Disk,
    /// An address.
    Address,
    /// A GiB of snapshots.
    Snapshot,
    /// A GiB of backups.
    Backup,
    /// A licence for the system of an image.
    ImageLicence(ImageId),
    /// A MiB of traffic.
    Traffic,
}

impl Item {
    /// Its kind, as it is stored.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Vm(_, PowerState::Running) => "vm_running",
            Self::Vm(_, PowerState::Stopped) => "vm_stopped",
            other => other.resource().name(),
        }
    }

    /// Which meter counts it.
    #[must_use]
    pub const fn resource(self) -> Resource {
        match self {
            Self::Vm(..) => Resource::Vm,
            Self::Disk => Resource::Disk,
            Self::Address => Resource::Address,
            Self::Snapshot => Resource::Snapshot,
            Self::Backup => Resource::Backup,
            Self::ImageLicence(_) => Resource::ImageLicence,
            Self::Traffic => Resource::Traffic,
        }
    }

    /// Reads what is stored; none where plan or image do not belong to the kind.
    #[must_use]
    pub fn parse(kind: &str, plan: Option<PlanId>, image: Option<ImageId>) -> Option<Self> {
        match (kind, plan, image) {
            ("vm_running", Some(plan), None) => Some(Self::Vm(plan, PowerState::Running)),
            ("vm_stopped", Some(plan), None) => Some(Self::Vm(plan, PowerState::Stopped)),
            ("image_licence", None, Some(image)) => Some(Self::ImageLicence(image)),
            ("disk", None, None) => Some(Self::Disk),
            ("address", None, None) => Some(Self::Address),
            ("snapshot", None, None) => Some(Self::Snapshot),
            ("backup", None, None) => Some(Self::Backup),
            ("traffic", None, None) => Some(Self::Traffic),
            _ => None,
        }
    }

    /// The plan, of a machine.
    #[must_use]
    pub const fn plan(self) -> Option<PlanId> {
        if let Self::Vm(plan, _) = self { Some(plan) } else { None }
    }

    /// The image, of a licence.
    #[must_use]
    pub const fn image(self) -> Option<ImageId> {
        if let Self::ImageLicence(image) = self { Some(image) } else { None }
    }

    /// Whether it may be without a price; then it costs nothing.
    #[must_use]
    pub const fn may_be_free(self) -> bool {
        !matches!(self, Self::Vm(..))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.plan(), self.image()) {
            (Some(plan), _) => write!(formatter, "{} of plan {plan}", self.kind()),
            (_, Some(image)) => write!(formatter, "{} of image {image}", self.kind()),
            _ => formatter.write_str(self.kind()),
        }
    }
}
