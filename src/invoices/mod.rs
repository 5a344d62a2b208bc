//! Invoices: what was charged for the time of a month, as documents that never change. They say what was paid from credit; they
//! move no wallet, and whom they are for is told by mail. The figures are computed by `billing`, the charges are those of `charging`, and `ledger verify` proves that
//! all of them agree.

mod db;
mod details;
mod issue;
mod proof;
mod settings;
mod tell;

use billing::{CurrencyPlaces, Money, Month, TaxRate};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

pub use details::{BillingDetails, billing_details, change_billing_details};
pub use issue::{Issued, SETTLING_HOURS, first_due, issue_due};
pub use proof::first_difference;
pub use settings::{InvoiceSettings, change_settings, current_settings};

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{InvoiceId, OrganisationId, VmId};

/// The most invoices one page shows.
pub const PAGE_MAX: i64 = 100;
/// The most lines of one invoice that are shown at once.
pub const LINES_SHOWN_MAX: i64 = 1_000;

/// Somebody an invoice names, as he was called when it was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The name.
    pub name: String,
    /// The lines of the address, with line breaks between them.
    pub address: String,
    /// The number under which tax is paid; may be empty.
    pub tax_id: String,
}

/// An invoice without its lines. All amounts but `exact` are in the places of the currency.
#[derive(Debug, Clone)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// What it is called by: unique, and without gap in a year.
    pub number: String,
    /// Whose charges it is about.
    pub organisation: OrganisationId,
    /// What that organisation is called now.
    pub organisation_name: String,
    /// The number of the customer.
    pub organisation_number: i64,
    /// The month whose time was charged.
    pub month: Month,
    /// 1, or more for what was charged after an earlier invoice of that month.
    pub part: i32,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When the month began.
    pub period_from: DateTime<Utc>,
    /// When the month was over.
    pub period_to: DateTime<Utc>,
    /// ISO 4217.
    pub currency: String,
    /// How many places its amounts have.
    pub places: CurrencyPlaces,
    /// The tax that is contained.
    pub tax_rate: TaxRate,
    /// Who issued it.
    pub issuer: Party,
    /// To whom.
    pub recipient: Party,
    /// What was taken from the wallet, to six places.
    pub exact: Money,
    /// What the rounded lines lack of the rounded sum.
    pub rounding: Money,
    /// Without tax.
    pub net: Money,
    /// The contained tax.
    pub tax: Money,
    /// With tax.
    pub gross: Money,
}

/// What one machine was charged for one kind of thing in the month.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its place on the invoice, from 1 on.
    pub position: i32,
    /// The machine.
    pub vm: VmId,
    /// What it was called when the invoice was issued.
    pub vm_name: String,
    /// What for.
    pub kind: LineKind,
    /// Seconds times units of the kind.
    pub unit_seconds: Decimal,
    /// What was charged, to six places.
    pub amount: Money,
}

impl Line {
    /// Hours times units of the kind, rounded to six places.
    #[must_use]
    pub fn unit_hours(&self) -> Decimal {
        (self.unit_seconds / Decimal::from(3_600)).round_dp(Money::PLACES)
    }
}

/// Defines the kinds of lines with their stored names in one table.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a line is for. The name is the kind of its prices.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum LineKind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl LineKind {
            /// Every kind, in the order of an invoice.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stored name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

kinds! {
    /// A machine that ran, in hours.
    Running = "vm_running",
    /// A machine that was stopped, in hours.
    Stopped = "vm_stopped",
    /// Disk beyond its plan, in GiB and hours.
    Disk = "disk",
    /// Its addresses, each in hours.
    Address = "address",
    /// Its snapshots, in GiB and hours.
    Snapshot = "snapshot",
    /// Its backups, in GiB and hours.
    Backup = "backup",
    /// The licence of its system, in hours.
    ImageLicence = "image_licence",
    /// Its traffic, in MiB and hours.
    Traffic = "traffic",
}

impl LineKind {
    /// Reads the stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// Which invoices.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this organisation.
    pub organisation: Option<OrganisationId>,
    /// Only about this month.
    pub month: Option<Month>,
    /// Those issued before this one.
    pub after: Option<InvoiceId>,
}

/// The invoices that a filter leaves, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, filter: &Filter, limit: i64) -> Result<Vec<Invoice>> {
    db::select(&app.pool, filter, limit).await
}

/// What the invoices of a filter come to, whatever page of them is shown. Their currency may have changed: each has a sum.
#[derive(Debug, Clone)]
pub struct Sum {
    /// ISO 4217.
    pub currency: String,
    /// How many.
    pub invoices: i64,
    /// Without tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// With tax.
    pub gross: Money,
    /// What was taken from wallets.
    pub exact: Money,
}

/// What the invoices that a filter leaves come to, by currency.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn sums(app: &App, filter: &Filter) -> Result<Vec<Sum>> {
    db::select_sums(&app.pool, filter).await
}

/// An invoice of an organisation by its id.
///
/// # Errors
/// `NotFound` when there is none, or it is another organisation's.
pub async fn find(app: &App, organisation: Option<OrganisationId>, id: InvoiceId) -> Result<Invoice> {
    db::select_one(&app.pool, organisation, Some(id), None).await?.ok_or(Error::NotFound("invoice"))
}

/// An invoice by its number; with an organisation, only one of its.
///
/// # Errors
/// `NotFound` when there is none, or it is another organisation's.
pub async fn find_numbered(app: &App, organisation: Option<OrganisationId>, number: &str) -> Result<Invoice> {
    db::select_one(&app.pool, organisation, None, Some(number)).await?.ok_or(Error::NotFound("invoice"))
}

/// Lines of an invoice in their order, those after a position. Whose invoice it is has been asked before, by finding it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn lines(app: &App, invoice: &Invoice, after: i32, limit: i64) -> Result<Vec<Line>> {
    db::select_lines(&app.pool, invoice.id, after, limit).await
}

/// Organisations that were charged for a month that is over and have no invoice for it yet, because something waits: their
/// wallet is not charged so far, or something is wrong.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn waiting(app: &App) -> Result<i64> {
    let month = issue::last_month(app.clock.now(), app.settings.time_zone);
    match month {
        Some(month) => db::count_waiting(&app.pool, month.end(app.settings.time_zone)).await,
        None => Ok(0),
    }
}
