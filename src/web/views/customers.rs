//! Organisations as the staff sees them: a list, and one with its wallet, machines and log.
//! Credit is given and taken here, with a reason.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::audit::AuditTable;
use super::form::{FormErrors, SelectOption};
use super::frame::{AdminFrame, WalletLevel};
use super::markup;
use super::movement::MovementForm;
use super::quotas::QuotasForm;
use super::staff::PeopleCard;
use super::vms::new::Choice;
use super::vms::{VmState, VmStatus};
use super::wallet::TransferTable;
use super::zero::CustomerZero;
use crate::web::format::{self, Lasts};

/// An organisation in the list.
#[derive(Clone, Debug)]
pub struct CustomerRow {
    /// Id in URLs.
    pub id: String,
    /// Name of the organisation.
    pub organisation: String,
    /// Its owner.
    pub owner_email: String,
    /// All its machines.
    pub machines: u64,
    /// Those that run.
    pub running: u64,
    /// What the ledger says.
    pub balance: Decimal,
    /// What everything costs per hour.
    pub burn_per_hour: Decimal,
    /// How long the credit lasts.
    pub lasts: Lasts,
    /// How near the end is.
    pub level: WalletLevel,
}

/// `GET /admin/customers?search=`.
#[derive(Debug, Template)]
#[template(path = "customers/list.html")]
pub struct CustomersPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// What was searched for, or empty.
    pub search: String,
    /// Which customers are listed, when not all of them.
    pub only: Option<&'static str>,
    /// Newest first.
    pub rows: Vec<CustomerRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
}

/// A machine as the staff sees it.
#[derive(Clone, Debug)]
pub struct CustomerVm {
    /// The short number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// State, step, reason.
    pub status: VmStatus,
    /// Name of the plan.
    pub plan: String,
    /// Name of the location.
    pub location: String,
    /// Cluster, node and VMID: `falkenstein-1 · pve-1 · 10004`; empty before the clone.
    pub place: String,
    /// IPv4, once known.
    pub address: Option<String>,
    /// What it costs per hour now.
    pub cost_per_hour: Decimal,
    /// Whether it can be moved to another host now.
    pub can_move: bool,
}

/// Facts of an organisation.
#[derive(Clone, Debug)]
pub struct CustomerFacts {
    /// Id in URLs.
    pub id: String,
    /// The short number.
    pub number: i64,
    /// Its name.
    pub organisation: String,
    /// Its owner.
    pub owner_name: String,
    /// Its owner.
    pub owner_email: String,
    /// When it registered.
    pub created_at: DateTime<Utc>,
    /// What the ledger says.
    pub balance: Decimal,
    /// Held for machines being made.
    pub reserved: Decimal,
    /// Balance less what is reserved.
    pub available: Decimal,
    /// What everything costs per hour.
    pub burn_per_hour: Decimal,
    /// How long the credit lasts.
    pub lasts: Lasts,
    /// When it runs out, if it does.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// How near the end is.
    pub level: WalletLevel,
}

/// `GET /admin/customers/{id}`, and `POST …/credits`, `…/debits`, `…/refunds` and `…/write-offs` when they were refused.
#[derive(Debug, Template)]
#[template(path = "customers/show.html")]
pub struct CustomerPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The organisation.
    pub customer: CustomerFacts,
    /// The form that gives credit.
    pub credit: MovementForm,
    /// The form that takes credit.
    pub debit: MovementForm,
    /// The form that gives back charges.
    pub refund: MovementForm,
    /// The form that gives up a debt, when there is one.
    pub write_off: Option<MovementForm>,
    /// Every price list.
    pub price_lists: Vec<SelectOption>,
    /// The one that it is on.
    pub price_list: String,
    /// What happens when its credit ends.
    pub zero: CustomerZero,
    /// How much it may have.
    pub quotas: QuotasForm,
    /// All its machines.
    pub machines: u64,
    /// Its machines, newest first.
    pub vms: Vec<CustomerVm>,
    /// Where older machines are.
    pub older_vms_url: Option<String>,
    /// Back to the newest machines, when these are not them.
    pub newest_vms_url: Option<String>,
    /// Its ledger.
    pub transfers: TransferTable,
    /// Its log.
    pub audit: AuditTable,
    /// Who belongs to it.
    pub people: PeopleCard,
}

/// `GET /admin/vms/{id}/migrate`, and `POST` to it when it was refused.
#[derive(Debug, Template)]
#[template(path = "customers/migrate.html")]
pub struct MigratePage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Id in URLs.
    pub id: String,
    /// The machine's name.
    pub name: String,
    /// Its owner.
    pub organisation: String,
    /// The owner's id.
    pub organisation_id: String,
    /// Its cluster.
    pub cluster: String,
    /// The cluster's id.
    pub cluster_id: String,
    /// Where it is.
    pub node: String,
    /// Whether it is moved while it runs.
    pub runs: bool,
    /// The other nodes, each with why it cannot go there.
    pub nodes: Vec<Choice>,
    /// Field: `node`.
    pub errors: FormErrors,
}
