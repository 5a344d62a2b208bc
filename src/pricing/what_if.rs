//! What a month would have brought under other prices: its intervals rated by the prices they had and by those of a version, with
//! caps. One organisation after the other, in one snapshot; nothing is written.

use std::collections::BTreeMap;

use anyhow::Context;
use billing::{Money, Month, Piece};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::db::month::{self, OfMeter};
use super::lists::Prices;
use super::{Names, db};
use crate::app::App;
use crate::catalog::{self, Item, PriceBook, Resource};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, PlanId, PriceListId};

/// How many organisations are read at once: it bounds memory.
const ORGANISATIONS_PER_BATCH: i64 = 200;
/// The most customers that are listed, those with the largest differences.
const CUSTOMERS_MAX: usize = 100;
/// The most lines of the file.
const FILE_LINES_MAX: usize = 200_000;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Under the prices of this list.
    pub list: PriceListId,
    /// And this version of it; none: the newest that is not withdrawn.
    pub version: Option<i32>,
    /// Of which month.
    pub month: Month,
    /// Only what was metered on this list; none: everything of everybody.
    pub of_list: Option<PriceListId>,
}

/// What a plan brought, and would have.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = WhatIfByPlan)]
pub struct ByPlan {
    /// The plan with both its states, or what machines have beside.
    pub name: String,
    /// How many machines.
    pub vms: u64,
    /// What was charged.
    pub charged: Money,
    /// What would have been.
    pub would_be: Money,
    /// By how much that is more.
    pub difference: Money,
}

/// What a customer was charged, and would have been.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = WhatIfByCustomer)]
pub struct ByCustomer {
    /// Who.
    pub organisation: OrganisationId,
    /// His name.
    pub name: String,
    /// What was charged.
    pub charged: Money,
    /// What would have been.
    pub would_be: Money,
    /// By how much that is more.
    pub difference: Money,
}

/// The answer.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WhatIf {
    /// The list asked about.
    pub list: PriceListId,
    /// Its name.
    pub list_name: String,
    /// The version.
    pub version: i32,
    /// The month.
    pub month: String,
    /// Counted until here: the end of the month, or now.
    pub until: DateTime<Utc>,
    /// What was charged in all.
    pub charged: Money,
    /// What would have been.
    pub would_be: Money,
    /// By how much that is more.
    pub difference: Money,
    /// How many customers had something metered.
    pub customers: u64,
    /// How many of them would have paid more.
    pub dearer: u64,
    /// By plan, in the order of the list.
    pub by_plan: Vec<ByPlan>,
    /// By customer, the largest differences first, at most a hundred.
    pub by_customer: Vec<ByCustomer>,
    /// A line for each customer and plan, for a spreadsheet.
    #[serde(skip)]
    pub csv: String,
    /// Whether the file has them all.
    #[serde(skip)]
    pub csv_is_whole: bool,
}

/// What is summed up by: a plan, or a resource that machines have beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Plan(PlanId),
    Beside(Resource),
}

impl Group {
    /// By the last plan that the meter had in the month.
    fn of(meter: &OfMeter) -> Self {
        match meter.spans.last().map(|span| span.what.item) {
            Some(Item::Vm(plan, _)) => Self::Plan(plan),
            Some(item) => Self::Beside(item.resource()),
            None => Self::Beside(Resource::Vm),
        }
    }

    fn name(self, names: &Names) -> String {
        match self {
            Self::Plan(plan) => format!("Plan {}", names.plan(plan)),
            Self::Beside(Resource::Vm) => "Machines".into(),
            Self::Beside(Resource::Disk) => "Disk".into(),
            Self::Beside(Resource::Address) => "Addresses".into(),
            Self::Beside(Resource::Snapshot) => "Snapshots".into(),
            Self::Beside(Resource::Backup) => "Backups".into(),
            Self::Beside(Resource::ImageLicence) => "Licences".into(),
            Self::Beside(Resource::Traffic) => "Traffic".into(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    meters: u64,
    charged: Money,
    would_be: Money,
}

impl Sums {
    fn add(&mut self, (charged, would_be): (Money, Money)) {
        self.meters += 1;
        self.charged += charged;
        self.would_be += would_be;
    }
}

/// Rates a month anew.
///
/// # Errors
/// `NotFound` without such a list or version, `Invalid` for a month that has not begun, `Conflict` when the version has no
/// price for something that ran.
pub async fn what_if(app: &App, question: Question) -> Result<WhatIf> {
    let (now, zone) = (app.clock.now(), app.settings.time_zone);
    let (from, until) = (question.month.start(zone), question.month.end(zone).min(now));
    if from >= now {
        return Err(Error::invalid("month", "This month has not begun."));
    }
    let mut transaction = app.pool.begin().await?;
    month::make_read_only(&mut transaction).await?;
    let line = db::select_lists(&mut transaction, Some(question.list), now).await?.pop();
    let line = line.ok_or(Error::NotFound("price list"))?;
    let versions = db::select_versions(&mut transaction, question.list).await?;
    let version = match question.version {
        Some(number) => versions.iter().find(|version| version.number == number),
        None => versions.iter().find(|version| version.withdrawn_at.is_none()),
    };
    let version = version.ok_or(Error::NotFound("version"))?;
    let other = db::select_prices(&mut transaction, version.id).await?;
    let names = db::select_names(&mut transaction).await?;
    let book = catalog::price_book(&mut transaction).await?;

    let mut by_plan: BTreeMap<Group, Sums> = BTreeMap::new();
    let mut customers: Vec<ByCustomer> = Vec::new();
    let mut all = Sums::default();
    let (mut count, mut dearer, mut lines) = (0_u64, 0_u64, 0_usize);
    let mut csv = String::from("customer,organisation,plan,machines,charged,would_be,difference\n");
    let mut after = None;
    loop {
        let batch = month::select_organisations(&mut transaction, after, ORGANISATIONS_PER_BATCH).await?;
        let Some(last) = batch.last() else { break };
        after = Some(last.id);
        let ids: Vec<_> = batch.iter().map(|row| row.id.uuid()).collect();
        let mut meters = month::select_meters(&mut transaction, &ids, question.of_list, from, until).await?;
        for customer in batch {
            let meters = meters.remove(&customer.id).unwrap_or_default();
            if meters.is_empty() {
                continue;
            }
            let mut own: BTreeMap<Group, Sums> = BTreeMap::new();
            for meter in &meters {
                let rated = rate(meter, &book, &other, (from, until), zone).map_err(|item| match item {
                    Unrated::NoPrice(item) => {
                        let (list, number, item) = (&line.name, version.number, names.of(item));
                        Error::conflict(format!("Version {number} of {list} has no price for {item}."))
                    }
                    Unrated::Other(error) => error,
                })?;
                own.entry(Group::of(meter)).or_default().add(rated);
                by_plan.entry(Group::of(meter)).or_default().add(rated);
                all.add(rated);
            }
            count += 1;
            let charged: Money = own.values().map(|sums| sums.charged).sum();
            let would_be: Money = own.values().map(|sums| sums.would_be).sum();
            dearer += u64::from(would_be > charged);
            for (group, sums) in &own {
                if lines < FILE_LINES_MAX {
                    add_line(&mut csv, &customer.name, customer.id, &group.name(&names), sums);
                }
                lines += 1;
            }
            let organisation = customer.id;
            customers.push(ByCustomer {
                organisation,
                name: customer.name,
                charged,
                would_be,
                difference: would_be - charged,
            });
            if customers.len() >= 2 * CUSTOMERS_MAX {
                keep_largest(&mut customers);
            }
        }
    }
    keep_largest(&mut customers);
    transaction.rollback().await?;
    let place = |group: &Group| match group {
        Group::Plan(plan) => names.place(Item::Vm(*plan, catalog::PowerState::Running)),
        Group::Beside(_) => (1, 0, 0),
    };
    let mut by_plan: Vec<_> = by_plan.into_iter().collect();
    by_plan.sort_by_key(|(group, _)| place(group));
    Ok(WhatIf {
        list: question.list,
        list_name: line.name,
        version: version.number,
        month: question.month.to_string(),
        until,
        charged: all.charged,
        would_be: all.would_be,
        difference: all.would_be - all.charged,
        customers: count,
        dearer,
        by_plan: by_plan
            .into_iter()
            .map(|(group, sums)| ByPlan {
                name: group.name(&names),
                vms: sums.meters,
                charged: sums.charged,
                would_be: sums.would_be,
                difference: sums.would_be - sums.charged,
            })
            .collect(),
        by_customer: customers,
        csv,
        csv_is_whole: lines <= FILE_LINES_MAX,
    })
}

fn keep_largest(customers: &mut Vec<ByCustomer>) {
    let size = |customer: &ByCustomer| customer.difference.max(Money::ZERO - customer.difference);
    customers.sort_by(|one, other| size(other).cmp(&size(one)).then_with(|| one.name.cmp(&other.name)));
    customers.truncate(CUSTOMERS_MAX);
}

/// Why a meter could not be rated anew.
enum Unrated {
    /// The version has no price for this.
    NoPrice(Item),
    Other(Error),
}

impl From<Error> for Unrated {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// What a meter was charged for its time in the month, and what it would have been. Charges of a month are the rating of its
/// intervals from a fresh sum, so both are computed alike.
fn rate(
    meter: &OfMeter,
    book: &PriceBook,
    other: &Prices,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    zone: chrono_tz::Tz,
) -> Result<(Money, Money), Unrated> {
    let (mut is, mut would_be) = (Vec::new(), Vec::new());
    for span in &meter.spans {
        // What has not been charged yet is left out on both sides.
        let (from, to) = (span.from.max(from), span.to.unwrap_or(until).min(until).min(meter.charged_through));
        if to <= from {
            continue;
        }
        book.cut(span.what, from, to, &mut is, &mut Vec::new())
            .map_err(|error| Error::from(anyhow::Error::new(error)))?;
        let what = span.what;
        match other.get(&what.item) {
            Some((rate, cap)) => {
                let rate = rate.times(what.quantity).context("a rate is out of range").map_err(Error::from)?;
                let cap = cap.map(|cap| cap.times(what.quantity)).transpose();
                let cap = cap.context("a cap is out of range").map_err(Error::from)?;
                would_be.push(Piece { from, to, rate, cap });
            }
            None if what.item.may_be_free() => {}
            None => return Err(Unrated::NoPrice(what.item)),
        }
    }
    let total = |pieces: &[Piece]| -> Result<Money, Unrated> {
        let state = billing::MeterState::new(Month::of(from, zone));
        let meters = [billing::WalletMeter { state, pieces }];
        let total = billing::total_through(&meters, from, until, zone);
        Ok(total.context("while rating a month anew").map_err(Error::from)?)
    };
    Ok((total(&is)?, total(&would_be)?))
}

fn add_line(csv: &mut String, name: &str, id: OrganisationId, plan: &str, sums: &Sums) {
    let Sums { meters, charged, would_be } = sums;
    let difference = *would_be - *charged;
    csv.push_str(&format!("{},{id},{},{meters},{charged},{would_be},{difference}\n", field(name), field(plan)));
}

/// A text as a field of the file. What a spreadsheet would take for a formula is made text.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    format!("\"{}\"", text.replace('"', "\"\""))
}
