//! The pages on which a machine is changed: settings, another plan, another system and the rescue system.

use askama::Template;
use rust_decimal::Decimal;

use super::new::{Choice, KeyChoice, PlanChoice};
use super::show::VmHead;
use crate::permissions::Permission;
use crate::web::format::{self, Lasts};
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::PortalFrame;
use crate::web::views::markup;

/// `GET /vms/{id}/settings`, and whatever was refused on it.
#[derive(Debug, Template)]
#[template(path = "vms/settings.html")]
pub struct VmSettingsPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// What stands above.
    pub head: VmHead,
    /// Id in URLs.
    pub id: String,
    /// What was typed, or its name.
    pub name: String,
    /// Those it has; those not ticked are taken away.
    pub tags: Vec<String>,
    /// What was typed.
    pub new_tags: String,
    /// Neither deleted nor rebuilt.
    pub protected: bool,
    /// The organisation's keys; chosen are those it was given.
    pub keys: Vec<KeyChoice>,
    /// Keys it was given that the organisation has no more.
    pub other_keys: u64,
    /// The CDs that are offered.
    pub cds: Vec<SelectOption>,
    /// The one in its drive, or empty.
    pub cd: String,
    /// Name of one in its drive that is not offered.
    pub foreign_cd: Option<String>,
    /// The user whose password is set.
    pub login: String,
    /// Shortest password.
    pub password_min: usize,
    /// Longest password.
    pub password_max: usize,
    /// Fields: `name`, `tags`, `ssh_keys`, `iso_image`, `password`.
    pub errors: FormErrors,
}

/// What the chosen size costs; also the answer to `GET /vms/{id}/resize/cost`.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/resize_cost.html")]
pub struct ResizeCost {
    /// Id in URLs.
    pub id: String,
    /// Name of the plan it has.
    pub plan_from: String,
    /// What the chosen one would do; none while none is chosen that can be had.
    pub change: Option<ResizeChange>,
    /// ISO 4217 code.
    pub currency: String,
    /// The answer alone, which brings the words of the form along.
    pub alone: bool,
}

/// What another size does.
#[derive(Clone, Debug)]
pub struct ResizeChange {
    /// Name of the plan.
    pub plan: String,
    /// Price now, in the state it is in.
    pub rate_from: Decimal,
    /// Price then.
    pub rate_to: Decimal,
    /// By how much it costs more or less per hour.
    pub difference: Decimal,
    /// Most a month costs now; none: no limit.
    pub cap_from: Option<Decimal>,
    /// Most a month costs then; none: no limit.
    pub cap_to: Option<Decimal>,
    /// Disk now, in GiB.
    pub disk_from: i32,
    /// Disk then, in GiB.
    pub disk_to: i32,
    /// Disk that comes with the plan, in GiB.
    pub disk_of_plan: i32,
    /// Whether it is shut down and started again.
    pub restarts: bool,
    /// How long the credit lasts now.
    pub lasts_before: Lasts,
    /// How long it would last then.
    pub lasts_after: Lasts,
    /// What is missing, when the credit is short.
    pub short_by: Option<Decimal>,
}

/// `GET /vms/{id}/resize`, and `POST` to it when it was refused.
#[derive(Debug, Template)]
#[template(path = "vms/resize.html")]
pub struct VmResizePage {
    /// Around the page.
    pub frame: PortalFrame,
    /// What stands above.
    pub head: VmHead,
    /// Id in URLs.
    pub id: String,
    /// How large it can be.
    pub plans: Vec<PlanChoice>,
    /// Does the disk grow?
    pub grow_disk: bool,
    /// Is its power cut when it does not obey?
    pub force: bool,
    /// What it costs.
    pub cost: ResizeCost,
    /// Fields: `plan`, `grow_disk`.
    pub errors: FormErrors,
}

/// `GET /vms/{id}/rebuild`, and `POST` to it when it was refused.
#[derive(Debug, Template)]
#[template(path = "vms/rebuild.html")]
pub struct VmRebuildPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// What stands above.
    pub head: VmHead,
    /// Id in URLs.
    pub id: String,
    /// Its name, to be typed.
    pub name: String,
    /// Its disk, in GiB.
    pub disk: i32,
    /// Its address, which stays.
    pub address: Option<String>,
    /// It is not rebuilt while this is on.
    pub protected: bool,
    /// Whether a rescue system is offered where it is.
    pub has_rescue: bool,
    /// The CD in its drive.
    pub cd: Option<String>,
    /// It starts from the CD.
    pub starts_from_cd: bool,
    /// What it can be made from.
    pub images: Vec<Choice>,
    /// The organisation's keys.
    pub keys: Vec<KeyChoice>,
    /// What was typed.
    pub typed: String,
    /// Fields: `image`, `ssh_keys`, `name`.
    pub errors: FormErrors,
}

impl ResizeChange {
    /// The difference per hour with its sign, as precise as the prices above it.
    fn signed(&self, currency: &str) -> String {
        let text = format::hourly(&self.difference, currency);
        if self.difference > Decimal::ZERO { format!("+{text}") } else { text }
    }
}

impl ResizeCost {
    /// The words of the choice that lets the disk grow.
    fn grow_words(&self) -> String {
        match self.change.as_ref().filter(|change| change.disk_of_plan > change.disk_from) {
            Some(change) => format!("Also grow the disk to {} GiB", change.disk_of_plan),
            None => "Also grow the disk to what the plan has".to_owned(),
        }
    }
}
