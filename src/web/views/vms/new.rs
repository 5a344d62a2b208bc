//! The page that makes a machine, and its panel of costs.
//! Every choice carries its price; one that cannot be taken carries its reason.

use askama::Template;
use rust_decimal::Decimal;

use crate::permissions::Permission;
use crate::web::format::{self, Lasts};
use crate::web::views::form::FormErrors;
use crate::web::views::frame::PortalFrame;
use crate::web::views::markup;

/// A location or an image to choose.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What is sent.
    pub id: String,
    /// Its name.
    pub name: String,
    /// A quieter second line.
    pub detail: String,
    /// Chosen now.
    pub chosen: bool,
    /// Why it cannot be taken.
    pub refusal: Option<String>,
}

/// A plan to choose.
#[derive(Clone, Debug)]
pub struct PlanChoice {
    /// What is sent.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `2 vCPU · 4 GiB · 40 GiB`
    pub detail: String,
    /// Price while running.
    pub running_per_hour: Decimal,
    /// Most a month costs; none: no limit.
    pub monthly_cap: Option<Decimal>,
    /// How long the credit would last with it.
    pub lasts_after: Lasts,
    /// Chosen now.
    pub chosen: bool,
    /// Why it cannot be taken.
    pub refusal: Option<String>,
}

/// An SSH key to put into the machine.
#[derive(Clone, Debug)]
pub struct KeyChoice {
    /// What is sent.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Chosen now.
    pub chosen: bool,
}

/// What the chosen plan costs; also the answer to `GET /vms/new/cost`.
#[derive(Clone, Debug, Template)]
#[template(path = "vms/cost.html")]
pub struct CostPanel {
    /// Name typed so far, for the button.
    pub name: String,
    /// Name of the chosen plan.
    pub plan: String,
    /// Price while running.
    pub running_per_hour: Decimal,
    /// Price while stopped.
    pub stopped_per_hour: Decimal,
    /// Most a month costs; none: no limit.
    pub monthly_cap: Option<Decimal>,
    /// Held in the wallet at creation.
    pub reserved: Decimal,
    /// Hours of burn that are held.
    pub reserved_hours: u32,
    /// What the wallet has free now.
    pub available: Decimal,
    /// How long the credit lasts now.
    pub lasts_before: Lasts,
    /// How long it would last with this machine.
    pub lasts_after: Lasts,
    /// What is missing, when the credit is short.
    pub short_by: Option<Decimal>,
    /// Any other reason why it cannot be made.
    pub refusal: Option<String>,
    /// The same as a call of the API.
    pub curl: String,
    /// ISO 4217 code.
    pub currency: String,
}

impl CostPanel {
    /// Why the button cannot be pressed.
    pub fn obstacle(&self) -> Option<String> {
        match (&self.refusal, &self.short_by) {
            (Some(refusal), _) => Some(refusal.clone()),
            (None, Some(missing)) => Some(format!("{} of credit is missing", format::missing(missing, &self.currency))),
            (None, None) => None,
        }
    }
}

/// The longest user data, in bytes, for the hint under its field.
const USER_DATA_BYTES_MAX: usize = crate::vms::USER_DATA_BYTES_MAX;

/// `GET /vms/new`, and `POST /vms` when it was refused.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "vms/new.html")]
pub struct VmNewPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Where it can stand.
    pub locations: Vec<Choice>,
    /// What it can be cloned from.
    pub images: Vec<Choice>,
    /// How large it can be.
    pub plans: Vec<PlanChoice>,
    /// The organisation's keys.
    pub keys: Vec<KeyChoice>,
    /// What was typed.
    pub name: String,
    /// What was typed.
    pub new_key_name: String,
    /// What was typed.
    pub new_key: String,
    /// What was typed.
    pub placement_group: String,
    /// What was typed.
    pub user_data: String,
    /// Makes a second press of the button harmless.
    pub order: String,
    /// What it costs.
    pub cost: CostPanel,
    /// Fields: `location`, `image`, `plan`, `ssh_keys`, `new_key_name`, `new_key`, `name`, `placement_group`, `user_data`.
    pub errors: FormErrors,
}
