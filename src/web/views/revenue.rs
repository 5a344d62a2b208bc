//! Figures for operators: revenue by day and plan, and wallets that end soon.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::chart::Chart;
use super::form::SelectOption;
use super::frame::{AdminFrame, WalletLevel};
use super::markup;
use crate::web::format::{self, Lasts};

/// `GET /admin/revenue?month=`.
#[derive(Debug, Template)]
#[template(path = "revenue/month.html")]
pub struct RevenuePage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Name of the month.
    pub month: String,
    /// The months that can be chosen.
    pub months: Vec<SelectOption>,
    /// The chosen one.
    pub chosen: String,
    /// The platform's time zone.
    pub zone: String,
    /// What was charged.
    pub total: Decimal,
    /// Name of the month before.
    pub before: String,
    /// All that was charged in the month before.
    pub total_before: Decimal,
    /// Of that, for the same time of the month.
    pub before_by_now: Option<Decimal>,
    /// Compared with that (or with all of it, when the month is over): `+12 %`.
    pub change: Option<String>,
    /// The average of the days so far.
    pub per_day: Option<Decimal>,
    /// Stacked columns, one a day.
    pub chart: Option<Chart>,
    /// What was sold, dearest first; the last is everything else, when there is more than has colours.
    pub columns: Vec<String>,
    /// All days with anything, latest first.
    pub rows: Vec<RevenueRow>,
    /// The sums of the columns.
    pub sums: Vec<Decimal>,
}

/// A day.
#[derive(Debug)]
pub struct RevenueRow {
    /// `Tue 10 Nov 2026`.
    pub day: String,
    /// In the order of the columns.
    pub amounts: Vec<Decimal>,
    /// All of them.
    pub total: Decimal,
}

/// `GET /admin/wallets?ending=&after=`.
#[derive(Debug, Template)]
#[template(path = "revenue/wallets.html")]
pub struct WalletsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// What all wallets burn per hour.
    pub burn_per_hour: Decimal,
    /// What is in all wallets above zero.
    pub credit: Decimal,
    /// What all wallets are below zero, together.
    pub debt: Decimal,
    /// The filters, with how many wallets each has.
    pub tabs: Vec<Tab>,
    /// The wallets.
    pub rows: Vec<WalletRow>,
    /// Where further ones are.
    pub next_url: Option<String>,
    /// Back to the first, when these are not them.
    pub first_url: Option<String>,
}

/// A filter.
#[derive(Debug)]
pub struct Tab {
    /// What it is called.
    pub text: &'static str,
    /// Where it leads.
    pub url: String,
    /// How many wallets it has.
    pub count: u64,
    /// Whether it is the chosen one.
    pub is_chosen: bool,
}

/// A wallet.
#[derive(Debug)]
pub struct WalletRow {
    /// The organisation's id in URLs.
    pub id: String,
    /// The organisation.
    pub organisation: String,
    /// What the ledger says.
    pub balance: Decimal,
    /// What it burns per hour.
    pub burn_per_hour: Decimal,
    /// How long the credit lasts.
    pub lasts: Lasts,
    /// How near the end is.
    pub level: WalletLevel,
    /// When it runs out, or has.
    pub at: Option<DateTime<Utc>>,
    /// Why it could not be charged, and since when.
    pub parked: Option<(DateTime<Utc>, String)>,
}
