//! What goes wrong at a step, and what may become of the operation then.

use proxmox_simulator::{Fault, FaultKind};
use uni_manager::jobs::Kind;

use super::operation::{Call, Operation};

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    Twice,
    Refused,
    TaskFails,
    LostBefore,
    LostAfter,
    Proxy595,
    Proxy596,
    Html,
    Away,
    Locked,
    DeadLock,
    Cancelled,
    Removed,
    Replaced,
}

impl Mishap {
    pub const ALL: [Self; 14] = [
        Self::Twice,
        Self::Refused,
        Self::TaskFails,
        Self::LostBefore,
        Self::LostAfter,
        Self::Proxy595,
        Self::Proxy596,
        Self::Html,
        Self::Away,
        Self::Locked,
        Self::DeadLock,
        Self::Cancelled,
        Self::Removed,
        Self::Replaced,
    ];

    /// The head of its column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Twice => "run twice",
            Self::Refused => "refused",
            Self::TaskFails => "task fails",
            Self::LostBefore => "cut before",
            Self::LostAfter => "cut after",
            Self::Proxy595 => "595",
            Self::Proxy596 => "596 after",
            Self::Html => "HTML",
            Self::Away => "away",
            Self::Locked => "locked",
            Self::DeadLock => "dead lock",
            Self::Cancelled => "cancelled",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
        }
    }

    /// How a call is spoilt by it; none when it is something else than a spoilt call.
    pub fn fault(self, call: Call) -> Option<Fault> {
        let kind = match self {
            Self::Refused => FaultKind::Refuse { status: 500, message: "storage 'shared' is not online".into() },
            Self::TaskFails if call.task => FaultKind::TaskFails("no space left on device".into()),
            Self::LostBefore => FaultKind::DropBefore,
            Self::LostAfter => FaultKind::DropAfter,
            Self::Proxy595 => FaultKind::Proxy595,
            Self::Proxy596 => FaultKind::Proxy596AfterWork,
            Self::Html => FaultKind::Html,
            _ => return None,
        };
        Some(Fault::once(call.method, call.path, kind))
    }

    pub fn is_spoilt_call(self) -> bool {
        matches!(
            self,
            Self::Refused
                | Self::TaskFails
                | Self::LostBefore
                | Self::LostAfter
                | Self::Proxy595
                | Self::Proxy596
                | Self::Html
        )
    }

    /// What may become of an operation that meets it at a step.
    pub fn outcomes(self, operation: Operation, step: usize) -> &'static [&'static str] {
        let kind = operation.kind();
        let name = kind.steps()[step].name;
        let back = kind.can_go_back(step);
        match self {
            Self::Twice
            | Self::LostBefore
            | Self::LostAfter
            | Self::Proxy595
            | Self::Proxy596
            | Self::Html
            | Self::Away
            | Self::Locked => &["done"],
            // What a guest's agent says, or does not say, decides nothing.
            Self::Refused if name == "address" => &["done"],
            Self::Refused | Self::TaskFails if back => &["undone"],
            Self::Refused | Self::TaskFails => match kind {
                Kind::VmDelete | Kind::VmRelease | Kind::VmRebuild => &["parked, done"],
                _ => &["failed"],
            },
            // Where the lock is not in the way, or was looked for no more.
            Self::DeadLock => &["done", "parked, done"],
            Self::Cancelled if operation.can_be_cancelled(step) => &["undone"],
            Self::Cancelled => &["done"],
            Self::Removed | Self::Replaced => match kind {
                // What is not there need not be stopped or removed.
                Kind::VmDelete | Kind::VmRelease | Kind::VmStop => &["done"],
                // What it copies is not there yet.
                Kind::VmCreate if matches!(name, "lease" | "clone") => &["done"],
                Kind::VmCreate | Kind::VmAdopt => &["undone"],
                // The old guest is needed no more, and the new one can be made again or done without.
                Kind::VmRebuild if matches!(name, "lease" | "stop" | "swap" | "destroy") => &["done"],
                Kind::VmRebuild | Kind::VmResize | Kind::VmBoot | Kind::VmEnforce => &["undone"],
                _ => &["failed"],
            },
        }
    }
}
