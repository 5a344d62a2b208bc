//! The organisation's money: what there is, how long it lasts, where it went.
//! It shows what the ledger says; it computes nothing but shares for bars.

pub mod charges;
pub mod ledger;

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::chart::Chart;
use super::form::FormErrors;
use super::frame::{AdminFrame, Link, PortalFrame, WalletLevel};
use super::markup::{self, Markup};
use super::vms::VmState;
use super::zero::RanOut;
use crate::permissions::Permission;
use crate::web::format::{self, Lasts};

/// Where pages about the money of an organisation stand: in its own portal, or in the admin panel.
#[derive(Clone, Debug)]
pub struct Place {
    /// What their URLs begin with.
    pub base: String,
    /// The way to them.
    pub crumbs: Vec<Link>,
}

/// A page about money in the portal.
#[derive(Debug, Template)]
#[template(path = "wallet/in_portal.html")]
pub struct InPortal {
    /// Around the page.
    pub frame: PortalFrame,
    /// The page.
    pub body: Markup,
}

/// The same in the admin panel.
#[derive(Debug, Template)]
#[template(path = "wallet/in_admin.html")]
pub struct InAdmin {
    /// Around the page.
    pub frame: AdminFrame,
    /// The page.
    pub body: Markup,
}

/// `GET /wallet`.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "wallet/show.html")]
pub struct WalletPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The figures at the top.
    pub wallet: WalletDetail,
    /// The balance of the last days and of those ahead; none while there is nothing to draw.
    pub chart: Option<Chart>,
    /// What each machine costs per hour now, dearest first.
    pub burns: Vec<BurnRow>,
    /// Name of the month that `charges` is about: `November 2026`.
    pub month: String,
    /// What each machine was charged this month, dearest first.
    pub charges: Vec<ChargeRow>,
    /// All charges of the month.
    pub charged_this_month: Decimal,
    /// The ledger.
    pub transfers: TransferTable,
    /// The form for a voucher's code.
    pub redeem: RedeemForm,
}

/// What was typed to redeem a voucher. Field: `code`.
// No Debug: there is a secret in it.
#[derive(Clone, Default)]
pub struct RedeemForm {
    /// The code.
    pub code: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// The figures at the top of the wallet's page.
#[derive(Clone, Debug)]
pub struct WalletDetail {
    /// What the ledger says.
    pub balance: Decimal,
    /// Balance less what is reserved.
    pub available: Decimal,
    /// Held for machines being made.
    pub reserved: Decimal,
    /// What everything costs per hour now.
    pub burn_per_hour: Decimal,
    /// How long it lasts.
    pub lasts: Lasts,
    /// When it runs out, if it does.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// What happens then, in one sentence.
    pub consequence: String,
    /// How near the end is.
    pub level: WalletLevel,
    /// What the running out did, while it lasts.
    pub ran_out: Option<RanOut>,
    /// How far below zero the balance is.
    pub below_zero: Option<Decimal>,
    /// How far below zero it may go.
    pub credit_limit: Decimal,
    /// Since when nothing could be charged, through no fault of the owner.
    pub parked_since: Option<DateTime<Utc>>,
    /// Everything before this instant is charged.
    pub charged_through: DateTime<Utc>,
    /// Nothing was ever posted.
    pub is_new: bool,
    /// How to get credit, in the operator's words.
    pub how_to_get_credit: String,
}

/// A machine's share of the burn.
#[derive(Clone, Debug)]
pub struct BurnRow {
    /// Id in URLs.
    pub vm_id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: VmState,
    /// Name of the plan.
    pub plan: String,
    /// What it costs per hour now, with what it has beside itself; without what has reached its cap.
    pub per_hour: Decimal,
    /// Of that, for disk beyond its plan, addresses, a licence.
    pub beside: Decimal,
    /// The machine itself costs nothing more this month.
    pub cap_reached: bool,
    /// What it was charged this month so far.
    pub month: Decimal,
    /// The most a month of the machine itself costs.
    pub cap: Option<Decimal>,
}

/// What a machine was charged in a month.
#[derive(Clone, Debug)]
pub struct ChargeRow {
    /// Id in URLs; none once it is deleted.
    pub vm_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Seconds running.
    pub seconds_running: i64,
    /// Seconds stopped.
    pub seconds_stopped: i64,
    /// Where its charges are.
    pub url: String,
    /// What was charged.
    pub charged: Decimal,
    /// The most it can be; none: no limit.
    pub cap: Option<Decimal>,
}

/// What a transfer was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// An hour of resources.
    Charge,
    /// Credit by an operator.
    Credit,
    /// What the customer paid.
    Payment,
    /// Credit at sign-up or for a voucher.
    Promotion,
    /// Credit taken back.
    Taken,
    /// Anything else.
    Other,
}

impl TransferKind {
    fn icon(self) -> Markup {
        match self {
            Self::Charge => markup::icon("coin"),
            Self::Credit => markup::icon("cash-plus"),
            Self::Payment => markup::icon("credit-card"),
            Self::Promotion => markup::icon("gift"),
            Self::Taken => markup::icon("arrow-back-up"),
            Self::Other => markup::icon("arrows-exchange"),
        }
    }
}

/// A line of the ledger.
#[derive(Clone, Debug)]
pub struct TransferRow {
    /// When it was posted.
    pub at: DateTime<Utc>,
    /// What for.
    pub kind: TransferKind,
    /// What for, in words.
    pub text: String,
    /// Into the wallet above zero, out of it below.
    pub amount: Decimal,
    /// The balance it left.
    pub balance_after: Decimal,
    /// What it is made of.
    pub url: Option<String>,
}

/// Lines of the ledger, newest first; in the wallet and on a customer's page.
#[derive(Clone, Debug, Template)]
#[template(path = "wallet/transfers.html")]
pub struct TransferTable {
    /// Newest first.
    pub rows: Vec<TransferRow>,
    /// Where older lines are.
    pub older_url: Option<String>,
    /// Back to the newest, when this is not them.
    pub newest_url: Option<String>,
    /// ISO 4217 code.
    pub currency: String,
}
