//! Invoices: the list of an organisation, that of all for operators, and the document itself.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::form::{FormErrors, SelectOption};
use super::frame::{AdminFrame, Link, PortalFrame};
use super::markup;
use crate::web::format;

/// An invoice in a list.
#[derive(Clone, Debug)]
pub struct InvoiceRow {
    /// Where it stands.
    pub url: String,
    /// What it is called by.
    pub number: String,
    /// `October 2026`.
    pub month: String,
    /// It has what was charged after an earlier invoice of the month.
    pub is_further: bool,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// What its organisation is called now, and where it is.
    pub organisation: (String, String),
    /// With its currency, as all amounts here.
    pub tax: String,
    /// With tax.
    pub gross: String,
}

/// `GET /wallet/invoices`.
#[derive(Debug, Template)]
#[template(path = "invoices/list.html")]
pub struct ListPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Newest first.
    pub rows: Vec<InvoiceRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// Back to the newest.
    pub newest_url: Option<String>,
    /// Name of the month that it is.
    pub month: String,
    /// When the invoice of that month comes, at the earliest.
    pub first_due: DateTime<Utc>,
    /// An operator has said who issues invoices.
    pub is_issued: bool,
}

/// What the invoices that are looked at come to.
#[derive(Debug)]
pub struct SumRow {
    /// How many.
    pub invoices: u64,
    /// Without tax.
    pub net: String,
    /// Tax.
    pub tax: String,
    /// With tax.
    pub gross: String,
    /// What was taken from wallets.
    pub exact: String,
}

/// `GET /admin/invoices`.
#[derive(Debug, Template)]
#[template(path = "invoices/all.html")]
pub struct AllPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Newest first.
    pub rows: Vec<InvoiceRow>,
    /// One for each currency.
    pub sums: Vec<SumRow>,
    /// The months that can be chosen.
    pub months: Vec<SelectOption>,
    /// The chosen one; empty: all.
    pub chosen: String,
    /// The number of the customer that was asked for.
    pub customer: String,
    /// What is wrong with it.
    pub errors: FormErrors,
    /// How many organisations wait for an invoice of a month that is over.
    pub waiting: u64,
    /// Who issues them has been said.
    pub is_issued: bool,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// Back to the newest.
    pub newest_url: Option<String>,
}

/// A line of the document.
#[derive(Debug)]
pub struct LineRow {
    /// The machine as it was called then.
    pub vm_name: String,
    /// What for.
    pub what: &'static str,
    /// With its unit.
    pub quantity: String,
    /// To six places.
    pub exact: String,
    /// In the places of the currency.
    pub rounded: String,
}

/// Somebody the document names.
#[derive(Debug)]
pub struct PartyBlock {
    /// The name.
    pub name: String,
    /// Line by line.
    pub address: Vec<String>,
    /// May be empty.
    pub tax_id: String,
}

/// An invoice as a document, in the portal and in the admin panel.
#[derive(Debug, Template)]
#[template(path = "invoices/document.html")]
pub struct Document {
    /// The way to it.
    pub crumbs: Vec<Link>,
    /// What it is called by.
    pub number: String,
    /// `October 2026`.
    pub month: String,
    /// The first and the last day of it.
    pub days: (String, String),
    /// In the platform's time zone.
    pub issued_on: String,
    /// The number of the customer.
    pub customer: i64,
    /// Who issued it.
    pub issuer: PartyBlock,
    /// To whom.
    pub recipient: PartyBlock,
    /// Which one of its month it is, from the second on.
    pub further: Option<i32>,
    /// The lines that are shown.
    pub rows: Vec<LineRow>,
    /// How many are not shown.
    pub has_more: bool,
    /// Where all of them are as a file.
    pub file_url: String,
    /// What the rounded lines lack; none if nothing.
    pub rounding: Option<String>,
    /// Without tax.
    pub net: String,
    /// In percent.
    pub tax_rate: String,
    /// No tax is contained.
    pub is_untaxed: bool,
    /// The contained tax.
    pub tax: String,
    /// With tax.
    pub gross: String,
    /// What was taken from the wallet.
    pub exact: String,
}

/// Who issues invoices, as it was typed.
#[derive(Clone, Debug, Default)]
pub struct SettingsForm {
    /// Who.
    pub issuer_name: String,
    /// Line by line.
    pub issuer_address: String,
    /// The number under which tax is paid.
    pub issuer_tax_id: String,
    /// Before the year in each number.
    pub number_prefix: String,
    /// Percent.
    pub tax_rate: String,
    /// Of the currency.
    pub currency_places: String,
    /// What is wrong with them.
    pub errors: FormErrors,
}

/// Whom invoices are made out to, as it was typed. Its fields begin with `billing_`.
#[derive(Clone, Debug, Default)]
pub struct DetailsForm {
    /// The name.
    pub name: String,
    /// Line by line.
    pub address: String,
    /// The number under which tax is paid.
    pub tax_id: String,
    /// What is wrong with them.
    pub errors: FormErrors,
}

/// Hours times units with what they are of: `744 h`, `14,880 GiB·h`.
pub fn quantity(unit_hours: &Decimal, unit: &str) -> String {
    format!("{} {unit}", format::decimal(unit_hours, 3))
}
