//! What the items of a price list are called, and their order on it.

use std::collections::HashMap;

use crate::catalog::{Item, PowerState};
use crate::ids::{ImageId, PlanId};

/// The names of all plans and images, also of those no longer on sale.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// With their places in the operator's order.
    pub(super) plans: HashMap<PlanId, (String, usize)>,
    pub(super) images: HashMap<ImageId, (String, usize)>,
}

impl Names {
    /// What a customer calls an item.
    #[must_use]
    pub fn of(&self, item: Item) -> String {
        match item {
            Item::Vm(plan, PowerState::Running) => format!("{}, running", self.plan(plan)),
            Item::Vm(plan, PowerState::Stopped) => format!("{}, stopped", self.plan(plan)),
            Item::Disk => "Disk beyond the plan's, per GiB".into(),
            Item::Address => "IPv4 address".into(),
            Item::Snapshot => "Snapshots, per GiB".into(),
            Item::Backup => "Backups, per GiB".into(),
            Item::ImageLicence(image) => format!("Licence of {}", self.image(image)),
            Item::Traffic => "Traffic, per MiB".into(),
        }
    }

    /// The name of a plan.
    #[must_use]
    pub fn plan(&self, plan: PlanId) -> &str {
        self.plans.get(&plan).map_or("a plan", |(name, _)| name)
    }

    fn image(&self, image: ImageId) -> &str {
        self.images.get(&image).map_or("an image", |(name, _)| name)
    }

    /// Plans first, in the operator's order, then what machines have beside.
    pub(super) fn place(&self, item: Item) -> (usize, usize, usize) {
        match item {
            Item::Vm(plan, state) => {
                let place = self.plans.get(&plan).map_or(usize::MAX, |(_, place)| *place);
                (0, place, usize::from(state == PowerState::Stopped))
            }
            Item::Disk => (1, 0, 0),
            Item::Address => (2, 0, 0),
            Item::Snapshot => (3, 0, 0),
            Item::Backup => (4, 0, 0),
            Item::Traffic => (5, 0, 0),
            Item::ImageLicence(image) => (6, self.images.get(&image).map_or(usize::MAX, |(_, place)| *place), 0),
        }
    }
}
