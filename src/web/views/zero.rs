//! When the credit ends: the rules in sentences, the order in which machines stop, the settings of the platform.
//! It decides nothing.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::form::FormErrors;
use super::frame::{AdminFrame, PortalFrame};
use super::markup;
use super::quotas::QuotasForm;
use crate::permissions::Permission;
use crate::web::format;

/// What happens at zero.
#[derive(Clone, Debug)]
pub struct ZeroRules {
    /// How far below zero the balance may go; zero or more.
    pub credit_limit: Decimal,
    /// How many days disks are kept.
    pub grace_days: u64,
    /// Whether stopped machines are charged meanwhile.
    pub grace_charged: bool,
    /// Whether machines are deleted then.
    pub delete_after_grace: bool,
    /// How many notices are delivered before.
    pub deletion_notices_min: u64,
    /// How many hours of rescue time there are; zero: none.
    pub rescue_hours: u64,
}

/// A machine in the order.
#[derive(Clone, Debug)]
pub struct RankRow {
    /// From 1 on.
    pub place: usize,
    /// Id in URLs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// It stops last.
    pub is_first: bool,
    /// It stops first.
    pub is_last: bool,
}

/// `GET /wallet/order`.
#[derive(Debug, Template)]
#[template(path = "zero/order.html")]
pub struct OrderPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// What happens when the credit ends.
    pub rules: ZeroRules,
    /// The first stops last.
    pub rows: Vec<RankRow>,
}

/// What the end of the credit did, while it lasts; on the page of the wallet.
#[derive(Clone, Debug)]
pub struct RanOut {
    /// How many machines are off for it.
    pub machines: u64,
    /// When the credit was used up.
    pub at: DateTime<Utc>,
    /// Until when disks are kept at least.
    pub grace_until: DateTime<Utc>,
    /// Whether the price of stopped machines is charged meanwhile.
    pub grace_charged: bool,
    /// When machines are deleted, at the earliest; none: never.
    pub deletion_on: Option<DateTime<Utc>>,
    /// Until when machines may run in their rescue time.
    pub rescue_until: Option<DateTime<Utc>>,
    /// How many hours of rescue time can be had now.
    pub rescue_hours: Option<u64>,
}

/// What is set for one organisation, as its form shows it; on the page of the customer.
#[derive(Clone, Debug, Default)]
pub struct OwnZeroForm {
    /// The choice: empty as the platform does, `yes` or `no`.
    pub auto_shutdown: String,
    /// How far below zero, as it was typed; empty: as the platform does.
    pub own_limit: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// Where a customer's wallet is after the end of its credit, with what the staff may do.
#[derive(Clone, Debug)]
pub struct CustomerZero {
    /// What the platform does: `shut down at zero`, or how far it lets go.
    pub platform: String,
    /// The form.
    pub form: OwnZeroForm,
    /// What the end of the credit did, while it lasts.
    pub ran_out: Option<RanOut>,
    /// How many notices of a deletion have been given.
    pub notices: u64,
    /// The days that were typed to keep disks longer.
    pub days: String,
    /// What is wrong with them.
    pub keep_errors: FormErrors,
}

/// The settings as they were typed. Fields have the names of the settings; `breaker_factor` is how many times.
#[derive(Clone, Debug, Default)]
pub struct SettingsForm {
    /// Machines are shut down when the credit ends.
    pub auto_shutdown: bool,
    /// How far below zero a wallet may go where they are not.
    pub credit_limit: String,
    /// Days.
    pub grace_days: String,
    /// Stopped machines are charged meanwhile.
    pub grace_charged: bool,
    /// Machines are deleted then.
    pub delete_after_grace: bool,
    /// How many must have been delivered.
    pub deletion_notices_min: String,
    /// Hours.
    pub rescue_hours: String,
    /// Seconds.
    pub life_seconds_min: String,
    /// How many times the usual.
    pub breaker_factor: String,
    /// Percent.
    pub breaker_stop_percent: String,
    /// Machines.
    pub breaker_vms_min: String,
    /// Hours.
    pub catch_up_hours: String,
    /// Days.
    pub price_notice_days: String,
    /// Staff must have a second factor.
    pub staff_second_factor: bool,
    /// What is wrong with them.
    pub errors: FormErrors,
}

impl SettingsForm {
    /// A field for a whole number with its unit.
    fn number(&self, name: &str, label: &str, value: &str, unit: &str, hint: &str) -> markup::Markup {
        let (label, value, unit, hint) =
            (markup::escape(label), markup::escape(value), markup::escape(unit), markup::escape(hint));
        let (class, attributes, message) =
            (self.errors.class(name), self.errors.attributes(name), self.errors.message(name));
        markup::Markup::new(format!(
            r#"<div class="field"><label class="form-label" for="{name}">{label}</label><div class="input-group"><input class="form-control number {class}" id="{name}" name="{name}" inputmode="decimal" autocomplete="off" value="{value}" required {attributes}><span class="input-group-text">{unit}</span></div>{message}<div class="form-hint" id="{name}-hint">{hint}</div></div>"#
        ))
    }
}

/// `GET /admin/settings`, and `POST` to it when it was refused.
#[derive(Debug, Template)]
#[template(path = "zero/settings.html")]
pub struct SettingsPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The form.
    pub form: SettingsForm,
    /// How much an organisation may have.
    pub quotas: QuotasForm,
    /// Who issues invoices.
    pub invoices: super::invoices::SettingsForm,
}
