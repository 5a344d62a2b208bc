//! Price lists and plans for operators, and what everything costs for customers.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::form::{FormErrors, SelectOption};
use super::frame::{AdminFrame, PortalFrame};
use super::markup;
use crate::web::format;

/// A price list among the others.
#[derive(Clone, Debug)]
pub struct ListRow {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Of everybody without one of his own.
    pub is_default: bool,
    /// How many versions it has had.
    pub versions: u64,
    /// The version in force, and since when.
    pub in_force: Option<(i32, DateTime<Utc>)>,
    /// When the next one begins.
    pub next_from: Option<DateTime<Utc>>,
    /// How many organisations are on it.
    pub customers: u64,
}

/// `GET /admin/price-lists`, and `POST` to it when it was refused. Fields: `name`, `copy_of`.
#[derive(Debug, Template)]
#[template(path = "prices/lists.html")]
pub struct ListsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The default one first.
    pub rows: Vec<ListRow>,
    /// What was typed.
    pub name: String,
    /// What it can be a copy of.
    pub copies: Vec<SelectOption>,
    /// The one that was chosen.
    pub copy_of: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// What an item costs.
#[derive(Clone, Debug)]
pub struct PriceRow {
    /// What it is called.
    pub name: String,
    /// Per hour and unit.
    pub hour: Decimal,
    /// 730 hours of it, at most the cap.
    pub month: Decimal,
    /// The most per month and unit; none: no limit.
    pub cap: Option<Decimal>,
}

/// A version in the timeline of a list.
#[derive(Clone, Debug)]
pub struct VersionRow {
    /// Its number.
    pub number: i32,
    /// From when on.
    pub from: DateTime<Utc>,
    /// In force, to come, over, or withdrawn.
    pub state: &'static str,
    /// Its pill's class.
    pub class: &'static str,
    /// What is said about it.
    pub note: String,
    /// Why a rise needed no notice.
    pub reason: String,
    /// Who made it.
    pub by: String,
    /// Whom it was told.
    pub told: String,
    /// Whether it can be taken back.
    pub can_withdraw: bool,
    /// Whether its prices are the ones shown.
    pub is_shown: bool,
}

/// `GET /admin/price-lists/{id}`.
#[derive(Debug, Template)]
#[template(path = "prices/list.html")]
pub struct ListPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The list.
    pub list: ListRow,
    /// The version whose prices are shown.
    pub shown: Option<i32>,
    /// Its prices.
    pub prices: Vec<PriceRow>,
    /// Newest first.
    pub versions: Vec<VersionRow>,
}

/// A row of the form that changes prices. The names of its fields are `rate.`, `stopped` or `cap.` with what they price.
#[derive(Clone, Debug)]
pub struct FormRow {
    /// What it is called.
    pub name: String,
    /// Name of the field of the price.
    pub rate_field: String,
    /// What is typed there.
    pub rate: String,
    /// Of a machine: name of the field of the price while stopped, and what is typed there.
    pub stopped: Option<(String, String)>,
    /// Name of the field of the cap.
    pub cap_field: String,
    /// What is typed there.
    pub cap: String,
    /// What a month of the present price comes to.
    pub month: Option<Decimal>,
}

/// A price before and after.
#[derive(Clone, Debug)]
pub struct ChangeRow {
    /// What it is called.
    pub name: String,
    /// Per hour before, in words.
    pub before: String,
    /// The most per month before, in words; empty: no limit.
    pub before_cap: String,
    /// Per hour after, in words.
    pub after: String,
    /// The most per month after, in words; empty: no limit.
    pub after_cap: String,
    /// Whether it costs somebody more.
    pub is_rise: bool,
    /// How many customers use it.
    pub customers: u64,
    /// How many machines have it.
    pub vms: u64,
}

/// What a change would do.
#[derive(Clone, Debug)]
pub struct Effect {
    /// From when on.
    pub from: DateTime<Utc>,
    /// What changes.
    pub rows: Vec<ChangeRow>,
    /// How many customers use something of it.
    pub customers: u64,
    /// How many machines have something of it.
    pub vms: u64,
    /// What the list brings per hour before.
    pub revenue_before: Decimal,
    /// And after.
    pub revenue_after: Decimal,
}

/// `GET /admin/price-lists/{id}/change`, and `POST` to it until it is saved.
#[derive(Debug, Template)]
#[template(path = "prices/change.html")]
pub struct ChangePage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Id in URLs.
    pub id: String,
    /// The list's name.
    pub list: String,
    /// How many organisations are on it.
    pub customers: u64,
    /// How many days before a rise customers are told.
    pub notice_days: i32,
    /// What can be priced.
    pub rows: Vec<FormRow>,
    /// From when on, as it was typed.
    pub effective_from: String,
    /// What customers read.
    pub note: String,
    /// Why a rise needs no notice.
    pub reason: String,
    /// What it would do, once that was asked.
    pub effect: Option<Effect>,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// A line of what other prices would have brought.
#[derive(Clone, Debug)]
pub struct WhatIfRow {
    /// A plan or a customer.
    pub name: String,
    /// Where it leads.
    pub url: Option<String>,
    /// How many machines, of a plan.
    pub machines: Option<u64>,
    /// What was charged.
    pub charged: Decimal,
    /// What would have been.
    pub would_be: Decimal,
    /// By how much that is more.
    pub difference: Decimal,
}

/// `GET /admin/price-lists/{id}/what-if`.
#[derive(Debug, Template)]
#[template(path = "prices/what_if.html")]
pub struct WhatIfPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Id in URLs.
    pub id: String,
    /// The list's name.
    pub list: String,
    /// The month that was asked for.
    pub month: String,
    /// The versions to choose from.
    pub versions: Vec<SelectOption>,
    /// The one that was chosen.
    pub version: String,
    /// The lists whose customers are asked about.
    pub of: Vec<SelectOption>,
    /// The one that was chosen.
    pub of_list: String,
    /// The sums; none when it was refused.
    pub total: Option<WhatIfRow>,
    /// How many customers, and how many of them would have paid more.
    pub customers: (u64, u64),
    /// Counted until here.
    pub until: Option<DateTime<Utc>>,
    /// By plan.
    pub by_plan: Vec<WhatIfRow>,
    /// By customer.
    pub by_customer: Vec<WhatIfRow>,
    /// Where the file is.
    pub csv_url: String,
    /// What is wrong with the question.
    pub errors: FormErrors,
}

/// A plan among the others.
#[derive(Clone, Debug)]
pub struct PlanRow {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its short name.
    pub slug: String,
    /// Its size.
    pub detail: String,
    /// How many machines have it.
    pub vms: u64,
    /// Since when it is no longer sold.
    pub retired_at: Option<DateTime<Utc>>,
}

/// `GET /admin/plans`.
#[derive(Debug, Template)]
#[template(path = "prices/plans.html")]
pub struct PlansPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Those on sale first.
    pub rows: Vec<PlanRow>,
}

/// An image and the licence of its system.
#[derive(Clone, Debug)]
pub struct ImageRow {
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its short name.
    pub slug: String,
    /// The smallest disk it fits on, in GiB.
    pub minimum_disk_gib: i32,
    /// How many clusters have a template of it.
    pub clusters: u64,
    /// How many machines are charged for a licence of it.
    pub licensed_vms: u64,
    /// What its licence is called; empty: it needs none.
    pub licence: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

impl ImageRow {
    /// What the id of its field begins with: there is one for each image.
    pub fn field_prefix(&self) -> String {
        format!("{}_", self.id)
    }

    /// The id of its field.
    pub fn field(&self) -> String {
        format!("{}licence", self.field_prefix())
    }
}

/// `GET /admin/images`, and `POST /admin/images/{id}/licence` when it was refused.
#[derive(Debug, Template)]
#[template(path = "prices/images.html")]
pub struct ImagesPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// In the operator's order.
    pub rows: Vec<ImageRow>,
}

/// What a new plan costs on a list, as it is typed.
#[derive(Clone, Debug)]
pub struct PlanPriceRow {
    /// The list's id.
    pub list: String,
    /// The list's name.
    pub name: String,
    /// Whether it may be left empty.
    pub is_default: bool,
    /// Per hour while running.
    pub running: String,
    /// Per hour while stopped.
    pub stopped: String,
    /// The most per month.
    pub cap: String,
}

/// `GET /admin/plans/new`, and `POST /admin/plans` when it was refused.
#[derive(Debug, Template)]
#[template(path = "prices/new_plan.html")]
pub struct NewPlanPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// What was typed.
    pub name: String,
    /// What was typed.
    pub slug: String,
    /// What was typed.
    pub vcpu: String,
    /// What was typed.
    pub memory_mib: String,
    /// What was typed.
    pub disk_gib: String,
    /// Its price on each list, the default one first.
    pub prices: Vec<PlanPriceRow>,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// Prices that will change together.
#[derive(Clone, Debug)]
pub struct AnnouncedChange {
    /// From when on.
    pub from: DateTime<Utc>,
    /// What the operator says.
    pub note: String,
    /// What changes.
    pub rows: Vec<ChangeRow>,
}

/// `GET /prices`.
#[derive(Debug, Template)]
#[template(path = "prices/show.html")]
pub struct PricesPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Since when these prices are in force.
    pub since: Option<DateTime<Utc>>,
    /// Machines, running and stopped.
    pub plans: Vec<PriceRow>,
    /// What machines have beside.
    pub beside: Vec<PriceRow>,
    /// What will change.
    pub announced: Vec<AnnouncedChange>,
}
