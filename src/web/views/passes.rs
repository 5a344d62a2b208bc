//! Passes of charging: those that wait for a person with what can be decided, the latest ones, and the time that nobody is
//! charged for.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::frame::AdminFrame;
use super::markup;
use crate::web::format;

/// A pass that waits for a person.
#[derive(Clone, Debug)]
pub struct HeldPass {
    /// Its id.
    pub id: String,
    /// What it is, in a few words.
    pub title: String,
    /// Why it is held, a sentence each.
    pub reasons: Vec<String>,
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here.
    pub through: DateTime<Utc>,
    /// How many hours that are.
    pub hours: u64,
    /// How many wallets.
    pub wallets: u64,
    /// What would be charged.
    pub projected: Decimal,
    /// What is usual for an hour.
    pub usual: Option<Decimal>,
    /// A person refused it already.
    pub is_refused: bool,
    /// Who did.
    pub decided_by: String,
    /// Its time may go by without a charge.
    pub may_waive: bool,
    /// The question before it is approved.
    pub question: String,
}

/// A pass in the list.
#[derive(Clone, Debug)]
pub struct PassRow {
    /// The instant through which it charges.
    pub through: DateTime<Utc>,
    /// What it is about.
    pub kind: &'static str,
    /// How far it is.
    pub status: &'static str,
    /// The class of its badge.
    pub class: &'static str,
    /// Wallets charged, or foreseen.
    pub wallets: u64,
    /// Charges written.
    pub charges: u64,
    /// What was charged.
    pub amount: Decimal,
    /// Wallets that ran out.
    pub ran_out: u64,
    /// Wallets that could not be charged.
    pub failed: u64,
    /// How long it took.
    pub took: String,
    /// Who decided.
    pub decided_by: Option<String>,
}

/// A time that nobody is charged for.
#[derive(Clone, Debug)]
pub struct UnchargedRow {
    /// The cluster's name.
    pub cluster: String,
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here.
    pub to: Option<DateTime<Utc>>,
    /// How many VMs of how many customers.
    pub vms: String,
    /// Why.
    pub reason: &'static str,
}

/// `GET /admin/passes`.
#[derive(Debug, Template)]
#[template(path = "passes/list.html")]
pub struct PassesPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Those that wait for a person.
    pub held: Vec<HeldPass>,
    /// The latest.
    pub rows: Vec<PassRow>,
    /// Those before them.
    pub earlier: Vec<PassRow>,
    /// Time that nobody is charged for.
    pub uncharged: Vec<UnchargedRow>,
    /// ISO 4217 code.
    pub currency: String,
}
