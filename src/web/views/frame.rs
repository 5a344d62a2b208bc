//! What stands around every page: navigation, the wallet in the header, the user's menu, a notice.
//! It only carries values; who may see which page is decided before it is filled.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::markup;
use crate::permissions::Permissions;
use crate::web::format::{self, Lasts};

/// The page of the portal that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Virtual machines.
    Vms,
    /// SSH keys.
    SshKeys,
    /// API keys.
    ApiKeys,
    /// Balance, burn and ledger.
    Wallet,
    /// What everything costs.
    Prices,
    /// What happened in the organisation.
    Audit,
    /// What it should know.
    Notifications,
    /// Who belongs to it, what they may do, how much it may have.
    Organisation,
    /// One's own account.
    Account,
}

/// The page of the admin panel that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminSection {
    /// What needs a person.
    Exceptions,
    /// Organisations and their wallets.
    Customers,
    /// Price lists and plans.
    Prices,
    /// Wallets about to run out.
    Wallets,
    /// What was charged.
    Revenue,
    /// What was charged, as documents.
    Invoices,
    /// What customers have paid.
    Payments,
    /// Codes that are worth credit.
    Vouchers,
    /// Proxmox clusters.
    Clusters,
    /// Passes of charging.
    Charging,
    /// Guests that are not what is sold.
    Drift,
    /// Guests that are not ours.
    ForeignGuests,
    /// Durable work.
    Jobs,
    /// What is written to customers.
    Mails,
    /// Who works for the platform.
    Staff,
    /// What is set for the whole platform.
    Settings,
    /// What happened anywhere.
    Audit,
}

/// How near a wallet is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalletLevel {
    /// It lasts longer than the notice window.
    Normal,
    /// It runs out within the notice window (24 h).
    Warning,
    /// Nothing is left.
    Empty,
}

impl WalletLevel {
    /// The class that colours what shows the wallet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Warning => "is-warning",
            Self::Empty => "is-empty",
        }
    }
}

/// The wallet in the header; also the answer to `GET /wallet/header`.
#[derive(Clone, Debug, Template)]
#[template(path = "layout/wallet.html")]
pub struct WalletView {
    /// What the ledger says.
    pub balance: Decimal,
    /// Balance less what is reserved.
    pub available: Decimal,
    /// Until when it lasts.
    pub lasts: Lasts,
    /// What all resources cost per hour now.
    pub burn_per_hour: Decimal,
    /// How near the end is.
    pub level: WalletLevel,
    /// ISO 4217 code.
    pub currency: String,
}

/// The bell in the header; also the answer to `GET /notifications/bell`.
#[derive(Clone, Debug, Template)]
#[template(path = "layout/bell.html")]
pub struct BellView {
    /// How many notices nobody has read.
    pub unread: u64,
}

/// How a notice is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashKind {
    /// It was done.
    Success,
    /// It is good to know.
    Info,
    /// It wants attention.
    Warning,
    /// It was refused or failed.
    Danger,
}

impl FlashKind {
    /// The class of the notice.
    pub fn class(self) -> &'static str {
        match self {
            Self::Success => "alert-success",
            Self::Info => "alert-info",
            Self::Warning => "alert-warning",
            Self::Danger => "alert-danger",
        }
    }
}

/// A notice shown once, at the top of the next page.
#[derive(Clone, Debug)]
pub struct Flash {
    /// Its colour.
    pub kind: FlashKind,
    /// One sentence.
    pub text: String,
}

/// The demo's own clock.
#[derive(Clone, Debug)]
pub struct ClockView {
    /// What it shows as the page is made.
    pub now: DateTime<Utc>,
    /// Seconds of the demo per real second.
    pub speed: u32,
}

/// Names one version of the style sheet and the scripts, so that they can be cached for good.
#[derive(Clone, Debug)]
pub struct AssetVersion(pub String);

/// A word that leads somewhere.
#[derive(Clone, Debug)]
pub struct Link {
    /// What is read.
    pub text: String,
    /// Where it leads; a path of this server.
    pub url: String,
}

/// What stands above every page while somebody of the staff looks as a customer.
#[derive(Clone, Debug)]
pub struct BehalfView {
    /// The customer.
    pub name: String,
    /// How many minutes are left.
    pub minutes: u64,
}

/// Around every page of the portal.
#[derive(Clone, Debug)]
pub struct PortalFrame {
    /// Title of the page.
    pub title: String,
    /// Which entry of the rail is lit.
    pub active: Section,
    /// Whose things these are.
    pub organisation_name: String,
    /// The other organisations of who is logged in: what is read, and the id.
    pub other_organisations: Vec<(String, String)>,
    /// Who is logged in.
    pub user_email: String,
    /// Up to two letters for the avatar.
    pub user_initials: String,
    /// Offers the way to the admin panel.
    pub is_staff: bool,
    /// Asks to confirm the e-mail address.
    pub must_verify: bool,
    /// What he may do in the organisation: where he may not go, nothing leads.
    pub may: Permissions,
    /// Token for forms.
    pub csrf: String,
    /// Money in the header, for who may see it.
    pub wallet: Option<WalletView>,
    /// The bell in the header.
    pub bell: BellView,
    /// Set while somebody of the staff looks as this person.
    pub behalf: Option<BehalfView>,
    /// A notice from the last action.
    pub flash: Option<Flash>,
    /// Version of the assets.
    pub assets: AssetVersion,
    /// ISO 4217 code.
    pub currency: String,
    /// Only in the demo.
    pub demo_clock: Option<ClockView>,
}

/// Around every page of the admin panel.
#[derive(Clone, Debug)]
pub struct AdminFrame {
    /// Title of the page.
    pub title: String,
    /// Which entry of the rail is lit.
    pub active: AdminSection,
    /// Who is logged in.
    pub user_email: String,
    /// Up to two letters for the avatar.
    pub user_initials: String,
    /// Token for forms.
    pub csrf: String,
    /// How many exceptions wait; shown in the rail when not zero.
    pub exceptions: u64,
    /// How many guests are not what is sold; shown in the rail when not zero.
    pub drifts: u64,
    /// A notice from the last action.
    pub flash: Option<Flash>,
    /// Version of the assets.
    pub assets: AssetVersion,
    /// ISO 4217 code.
    pub currency: String,
    /// Only in the demo.
    pub demo_clock: Option<ClockView>,
}

/// Around pages without navigation: log in, register, errors.
#[derive(Clone, Debug)]
pub struct BareFrame {
    /// Title of the page.
    pub title: String,
    /// Version of the assets.
    pub assets: AssetVersion,
    /// A notice from the last action.
    pub flash: Option<Flash>,
    /// Only in the demo.
    pub demo_clock: Option<ClockView>,
}
