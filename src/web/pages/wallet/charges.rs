//! Charges from the month down to the single one: by day, by machine, line by line. What explains one is in `explain`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::{Money, Month};
use chrono::{DateTime, NaiveDate, Timelike, Utc};
use serde::Deserialize;

use super::place::{Reader, link};
use super::{Months, days_in, name_of, name_of_day, words_of_days};
use crate::app::App;
use crate::catalog::{Item, PowerState, Resource};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, VmId};
use crate::metering::uncharged::{self, UnchargedFilter};
use crate::metering::{self, ChargeKey, ChargeLine, DayTotal, LineTotal, LinesFilter};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::pages::frames::decimal;
use crate::web::read::{Path, Query};
use crate::web::session::{Customer, Staff};
use crate::web::views::chart::{self, Chart, Column, Part};
use crate::web::views::frame::Link;
use crate::web::views::wallet::charges::{DayBody, DayRow, LineRow, LinesBody, MonthBody, VmTotal};

/// How many charges one page shows.
const LINES_SHOWN: i64 = 100;

/// Which charges to show: of a month, of a day, of a machine in either.
#[derive(Debug, Default, Deserialize)]
pub struct Shown {
    #[serde(default)]
    month: String,
    day: Option<NaiveDate>,
    vm: Option<VmId>,
    #[serde(default)]
    after: String,
}

/// `GET /wallet/charges?month=&day=&vm=&after=`
pub async fn charges(
    State(app): State<Arc<App>>,
    customer: Customer,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    Ok(page(&app, &Reader::owner(customer), &shown).await?)
}

/// `GET /admin/customers/{id}/charges?month=&day=&vm=&after=`
pub async fn charges_of_customer(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    Ok(page(&app, &Reader::operator(staff, id), &shown).await?)
}

async fn page(app: &Arc<App>, reader: &Reader, shown: &Shown) -> Result<Response> {
    let months = Months::of(app, reader.organisation()).await?;
    let day = shown.day.filter(|day| months.has(Month::from(*day)));
    let month = day.map(Month::from).or_else(|| months.chosen(&shown.month)).unwrap_or(months.last);
    match (day, shown.vm) {
        (_, Some(vm)) => lines(app, reader, month, day, vm, shown.after.parse().ok()).await,
        (Some(day), None) => by_vm(app, reader, month, day).await,
        (None, None) => by_day(app, reader, &months, month).await,
    }
}

async fn by_day(app: &Arc<App>, reader: &Reader, months: &Months, month: Month) -> Result<Response> {
    let zone = app.settings.time_zone;
    let organisation = reader.organisation();
    let place = reader.place(app, Vec::new()).await?;
    let days = metering::days_of(app, organisation, month).await?;
    let totals = metering::totals_by_line(app, organisation, month.start(zone), month.end(zone)).await?;
    let span = UnchargedFilter { from: month.start(zone), to: month.end(zone), vm: None, after: None };
    let mut uncharged = uncharged::of_organisation(app, organisation, span, uncharged::PAGE_MAX + 1).await?;
    let shown = usize::try_from(uncharged::PAGE_MAX).unwrap_or(usize::MAX);
    let more_uncharged = uncharged.len() > shown;
    uncharged.truncate(shown);
    let total: Money = days.iter().map(|day| day.amount).sum();
    let url = format!("{}/charges", place.base);
    let name = name_of(month);
    let body = MonthBody {
        chart: (!days.is_empty()).then(|| chart_of(app, month, &days, &url)),
        days: days.iter().map(|day| day_row(*day, &url)).collect(),
        vms: vm_totals(totals, &format!("{url}?month={month}")),
        uncharged,
        more_uncharged,
        csv_url: format!("{url}.csv?month={month}"),
        months: months.options(),
        chosen: month.to_string(),
        zone: zone.name().to_owned(),
        total: decimal(total),
        currency: app.settings.currency.clone(),
        month: name.clone(),
        place,
    };
    reader.page(app, &format!("Charges in {name}"), &body).await
}

async fn by_vm(app: &Arc<App>, reader: &Reader, month: Month, day: NaiveDate) -> Result<Response> {
    let (from, to) = metering::span_of_day(day, app.settings.time_zone);
    let place = reader.place(app, vec![month_link(reader, month)]).await?;
    let totals = metering::totals_by_line(app, reader.organisation(), from, to).await?;
    let total: Money = totals.iter().map(|line| line.amount).sum();
    let hours = (to - from).num_hours();
    let body = DayBody {
        vms: vm_totals(totals, &format!("{}/charges?day={day}", place.base)),
        day: name_of_day(day),
        span: (from, to),
        odd_hours: (hours != 24).then_some(hours),
        total: decimal(total),
        currency: app.settings.currency.clone(),
        place,
    };
    reader.page(app, &format!("Charges of {}", name_of_day(day)), &body).await
}

async fn lines(
    app: &Arc<App>,
    reader: &Reader,
    month: Month,
    day: Option<NaiveDate>,
    vm: VmId,
    after: Option<ChargeKey>,
) -> Result<Response> {
    let zone = app.settings.time_zone;
    let (from, to) = day.map_or_else(|| (month.start(zone), month.end(zone)), |day| metering::span_of_day(day, zone));
    let mut further = vec![month_link(reader, month)];
    further.extend(day.map(|day| day_link(reader, day)));
    let place = reader.place(app, further).await?;
    let filter = LinesFilter { from, to, vm: Some(vm), after };
    let mut found = metering::charge_lines(app, reader.organisation(), &filter, LINES_SHOWN + 1).await?;
    let shown = usize::try_from(LINES_SHOWN).unwrap_or(usize::MAX);
    let has_older = found.len() > shown;
    found.truncate(shown);
    // A stranger's machine, and one that was charged nothing then, have no page.
    let name = found.first().map(|line| line.vm_name.clone()).ok_or(Error::NotFound("charge"))?;
    let url = match day {
        Some(day) => format!("{}/charges?day={day}&vm={vm}", place.base),
        None => format!("{}/charges?month={month}&vm={vm}", place.base),
    };
    let time = day.map_or_else(|| name_of(month), name_of_day);
    let title = format!("{name}, {time}");
    let body = LinesBody {
        vm: name,
        time,
        older_url: found.last().filter(|_| has_older).map(|last| format!("{url}&after={}", last.key)),
        newest_url: after.map(|_| url),
        currency: app.settings.currency.clone(),
        rows: found.iter().map(|line| line_row(line, &place.base)).collect(),
        place,
    };
    reader.page(app, &title, &body).await
}

fn line_row(line: &ChargeLine, base: &str) -> LineRow {
    LineRow {
        from: line.key.from,
        hours: hours(line.key.from, line.to),
        what: what(line.item, line.item_name.as_deref(), line.quantity),
        rate: line.rate.to_decimal(),
        amount: decimal(line.amount),
        url: url_of(line.key, base),
    }
}

/// Where a charge is explained.
fn url_of(key: ChargeKey, base: &str) -> String {
    let from = key.from.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    format!("{base}/charges/{}/{from}", key.meter)
}

/// From when to when within a day, with seconds where there are any.
fn hours(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let is_whole = |at: DateTime<Utc>| at.second() == 0 && at.nanosecond() == 0;
    let pattern = if is_whole(from) && is_whole(to) { "%H:%M" } else { "%H:%M:%S" };
    format!("{}–{}", from.format(pattern), to.format(pattern))
}

/// What a charge is for, in words.
pub(super) fn what(item: Item, name: Option<&str>, quantity: i64) -> String {
    let name = name.unwrap_or_default();
    match item {
        Item::Vm(_, PowerState::Running) => format!("VM running, plan {name}"),
        Item::Vm(_, PowerState::Stopped) => format!("VM stopped, plan {name}"),
        Item::Disk => format!("{quantity} GiB of disk beyond the plan"),
        Item::Address if quantity == 1 => "1 address".into(),
        Item::Address => format!("{quantity} addresses"),
        Item::Snapshot => format!("{quantity} GiB of snapshots"),
        Item::Backup => format!("{quantity} GiB of backups"),
        Item::ImageLicence(_) => format!("Licence of {name}"),
        Item::Traffic => format!("{quantity} MiB of traffic"),
    }
}

/// What a line of machines is called.
pub(in crate::web::pages) fn line_name(resource: Resource) -> &'static str {
    match resource {
        Resource::Vm => "VM",
        Resource::Disk => "Disk",
        Resource::Address => "Addresses",
        Resource::Snapshot => "Snapshots",
        Resource::Backup => "Backups",
        Resource::ImageLicence => "Licences",
        Resource::Traffic => "Traffic",
    }
}

fn day_row(day: DayTotal, url: &str) -> DayRow {
    DayRow { name: name_of_day(day.day), amount: decimal(day.amount), url: format!("{url}?day={}", day.day) }
}

/// Machine by machine from line by line, dearest first; of a machine without anything beside it only the whole is shown.
fn vm_totals(lines: Vec<LineTotal>, url: &str) -> Vec<VmTotal> {
    let mut totals: Vec<(VmId, VmTotal)> = Vec::new();
    for line in lines {
        let amount = decimal(line.amount);
        let part = (line_name(line.resource), amount);
        match totals.last_mut().filter(|(vm, _)| *vm == line.vm) {
            Some((_, total)) => {
                total.amount += amount;
                total.lines.push(part);
            }
            None => {
                let url = format!("{url}&vm={}", line.vm);
                let total = VmTotal { name: line.vm_name, is_deleted: line.is_deleted, amount, lines: vec![part], url };
                totals.push((line.vm, total));
            }
        }
    }
    let mut totals: Vec<VmTotal> = totals.into_iter().map(|(_, total)| total).collect();
    for total in totals.iter_mut().filter(|total| total.lines.len() == 1 && total.lines[0].0 == "VM") {
        total.lines.clear();
    }
    totals.sort_by_key(|total| std::cmp::Reverse(total.amount));
    totals
}

fn chart_of(app: &App, month: Month, days: &[DayTotal], url: &str) -> Chart {
    let currency = &app.settings.currency;
    let all = days_in(month);
    let column = |day: &NaiveDate| {
        let amount = days.iter().find(|total| total.day == *day).map(|total| total.amount);
        let words = |amount| format!("{}: {}", name_of_day(*day), format::money(&decimal(amount), currency));
        let part = amount.map(|amount| Part { series: 0, micros: amount.micros(), words: words(amount) });
        Column { url: part.as_ref().map(|_| format!("{url}?day={day}")), parts: part.into_iter().collect() }
    };
    let columns: Vec<Column> = all.iter().map(column).collect();
    let (drawing, heights) = chart::columns(&columns, currency);
    let dearest = days.iter().max_by_key(|day| day.amount);
    let description = dearest.map_or_else(String::new, |dearest| {
        let (day, amount) = (name_of_day(dearest.day), format::money(&decimal(dearest.amount), currency));
        format!("Charged on {} of {} days, most on {day}: {amount}. The table has each day.", days.len(), all.len())
    });
    Chart {
        id: "days-chart",
        title: format!("Charges of each day of {}.", name_of(month)),
        description,
        drawing,
        heights,
        places: words_of_days(&all),
        columns: true,
        keys: Vec::new(),
    }
}

pub(super) fn month_link(reader: &Reader, month: Month) -> Link {
    link(&format!("Charges in {}", name_of(month)), &format!("{}/charges?month={month}", reader.base()))
}

pub(super) fn day_link(reader: &Reader, day: NaiveDate) -> Link {
    link(&name_of_day(day), &format!("{}/charges?day={day}", reader.base()))
}
