//! What an organisation was charged: by month, day, machine and line, and one charge explained.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::Place;
use crate::metering::uncharged::UnchargedOfVm;
use crate::web::format;
use crate::web::views::chart::Chart;
use crate::web::views::form::SelectOption;
use crate::web::views::frame::Link;
use crate::web::views::markup;

/// The charges of a month.
#[derive(Debug, Template)]
#[template(path = "wallet/charges.html")]
pub struct MonthBody {
    /// Where it stands.
    pub place: Place,
    /// Name of the month.
    pub month: String,
    /// The months that can be chosen.
    pub months: Vec<SelectOption>,
    /// The chosen month.
    pub chosen: String,
    /// The platform's time zone, in which days and months begin.
    pub zone: String,
    /// All charges of it.
    pub total: Decimal,
    /// Day by day, as columns.
    pub chart: Option<Chart>,
    /// The days on which anything was charged, latest first.
    pub days: Vec<DayRow>,
    /// The machines.
    pub vms: Vec<VmTotal>,
    /// Time in which machines were there and are not charged, latest first.
    pub uncharged: Vec<UnchargedOfVm>,
    /// There is more of it than is shown.
    pub more_uncharged: bool,
    /// Where the month is as a file.
    pub csv_url: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// A day in the list of a month.
#[derive(Debug)]
pub struct DayRow {
    /// `Tue 10 Nov 2026`.
    pub name: String,
    /// All charges of it.
    pub amount: Decimal,
    /// Where its machines are.
    pub url: String,
}

/// What a machine was charged.
#[derive(Debug)]
pub struct VmTotal {
    /// Its name.
    pub name: String,
    /// Whether it is gone.
    pub is_deleted: bool,
    /// All its lines together.
    pub amount: Decimal,
    /// Its lines, when there are several.
    pub lines: Vec<(&'static str, Decimal)>,
    /// Where its charges are.
    pub url: String,
}

/// Whether any machine was charged for more than itself.
pub fn have_parts(vms: &[VmTotal]) -> bool {
    vms.iter().any(|vm| !vm.lines.is_empty())
}

/// The charges of a day, by machine.
#[derive(Debug, Template)]
#[template(path = "wallet/day.html")]
pub struct DayBody {
    /// Where it stands.
    pub place: Place,
    /// `Tue 10 Nov 2026`.
    pub day: String,
    /// From and until when it lasts.
    pub span: (DateTime<Utc>, DateTime<Utc>),
    /// How many hours it has, when not 24.
    pub odd_hours: Option<i64>,
    /// All charges of it.
    pub total: Decimal,
    /// The machines.
    pub vms: Vec<VmTotal>,
    /// ISO 4217 code.
    pub currency: String,
}

/// The charges of a machine on a day or in a month, one by one.
#[derive(Debug, Template)]
#[template(path = "wallet/lines.html")]
pub struct LinesBody {
    /// Where it stands.
    pub place: Place,
    /// The machine.
    pub vm: String,
    /// The day or the month.
    pub time: String,
    /// Newest first.
    pub rows: Vec<LineRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
    /// Back to the newest, when this is not them.
    pub newest_url: Option<String>,
    /// ISO 4217 code.
    pub currency: String,
}

/// One charge.
#[derive(Debug)]
pub struct LineRow {
    /// From when.
    pub from: DateTime<Utc>,
    /// `14:00–14:20`, with seconds where there are any.
    pub hours: String,
    /// What for.
    pub what: String,
    /// Per hour.
    pub rate: Decimal,
    /// How much.
    pub amount: Decimal,
    /// Where it is explained.
    pub url: String,
}

/// One charge, explained.
#[derive(Debug, Template)]
#[template(path = "wallet/explain.html")]
pub struct ExplainBody {
    /// Where it stands.
    pub place: Place,
    /// The day it belongs to.
    pub day: Link,
    /// The machine.
    pub vm: String,
    /// What for.
    pub what: String,
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// What is in the books.
    pub amount: Decimal,
    /// Whether the arithmetic gives that.
    pub is_proved: bool,
    /// The price list.
    pub list: String,
    /// The number of its version.
    pub version: i32,
    /// When that came into force.
    pub effective_from: DateTime<Utc>,
    /// Per hour and unit.
    pub unit_rate: Decimal,
    /// Per month and unit.
    pub unit_cap: Option<Decimal>,
    /// How many units.
    pub quantity: i64,
    /// What it was when, and why.
    pub intervals: Vec<IntervalRow>,
    /// The arithmetic, in order.
    pub steps: Vec<Step>,
    /// ISO 4217 code.
    pub currency: String,
}

/// What was metered for a while.
#[derive(Debug)]
pub struct IntervalRow {
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here; none: it goes on.
    pub to: Option<DateTime<Utc>>,
    /// What it was.
    pub what: String,
    /// Why it began.
    pub why: &'static str,
}

/// A step of the arithmetic.
#[derive(Debug)]
pub struct Step {
    /// What is computed.
    pub words: String,
    /// How.
    pub line: String,
    /// What comes out.
    pub result: String,
}
