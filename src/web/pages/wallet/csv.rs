//! The ledger and the charges as files, written while they are read. For browsers and for programs, for owners and for
//! operators: the same rows.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::Month;
use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};
use futures_util::stream;
use serde::Deserialize;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, VmId};
use crate::ledger;
use crate::metering::{self, CHARGES_MAX, LinesFilter};
use crate::organisations;
use crate::web::csv::{Row, file};
use crate::web::error::{ApiError, PageError};
use crate::web::read::{Path, Query};
use crate::web::session::{ApiCaller, ApiStaff, Customer, Staff};

/// The longest range of a ledger in one file.
pub const DAYS_MAX: i64 = 366;
/// The most charges in one file; one that would have more breaks off.
const CHARGES_PER_FILE_MAX: usize = 5_000_000;

/// Which days of the ledger, both included.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Range {
    /// The first day.
    from: Option<NaiveDate>,
    /// The last day.
    to: Option<NaiveDate>,
}

/// Which charges.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// A month such as `2026-11`; the present one when nothing is said.
    #[serde(default)]
    #[param(value_type = Option<Month>)]
    month: String,
    /// Only one day of the platform's time zone.
    day: Option<NaiveDate>,
    /// Only those of one VM.
    vm: Option<VmId>,
}

/// `GET /wallet/ledger.csv?from=&to=`
pub async fn ledger_file(
    State(app): State<Arc<App>>,
    customer: Customer,
    Query(range): Query<Range>,
) -> Result<Response, PageError> {
    Ok(ledger_of(app, customer.organisation(), &range).await?)
}

/// `GET /admin/customers/{id}/ledger.csv?from=&to=`
pub async fn ledger_file_of_customer(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Path(id): Path<OrganisationId>,
    Query(range): Query<Range>,
) -> Result<Response, PageError> {
    organisations::line(&app, id).await?;
    Ok(ledger_of(app, id, &range).await?)
}

/// Writes the transfers of some days as CSV.
///
/// Without days it is the present month so far. At most 366 days at once.
#[utoipa::path(
    get, path = "/transfers.csv", params(Range),
    responses((status = 200, content_type = "text/csv", body = String))
)]
pub async fn transfers_for_programs(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(range): Query<Range>,
) -> Result<Response, ApiError> {
    Ok(ledger_of(app, caller.organisation.id, &range).await?)
}

/// Writes the transfers of an organisation as CSV.
///
/// Without days it is the present month so far. At most 366 days at once.
#[utoipa::path(
    get, path = "/admin/organisations/{id}/transfers.csv", params(Range),
    responses((status = 200, content_type = "text/csv", body = String))
)]
pub async fn transfers_for_staff(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    Query(range): Query<Range>,
) -> Result<Response, ApiError> {
    organisations::line(&app, id).await?;
    Ok(ledger_of(app, id, &range).await?)
}

async fn ledger_of(app: Arc<App>, organisation: OrganisationId, range: &Range) -> Result<Response> {
    // Without days it is the present month so far.
    let zone = app.settings.time_zone;
    let to = range.to.unwrap_or_else(|| app.clock.now().with_timezone(&zone).date_naive());
    let from = range.from.or_else(|| to.with_day(1)).unwrap_or(to);
    if to < from {
        return Err(Error::invalid("to", "The last day is not before the first."));
    }
    if (to - from).num_days() >= DAYS_MAX {
        return Err(Error::invalid("to", format!("At most {DAYS_MAX} days at once.")));
    }
    let (begin, end) = (day_of_calendar(&app, from)?.0, day_of_calendar(&app, to)?.1);
    let statement = ledger::statement(&app, organisation, begin, end).await?;
    let head = ["time_utc", "kind", "text", "amount", "balance_after", "id"];
    let head = head.into_iter().fold(Row::default(), Row::plain).end();
    let rows = stream::try_unfold((app, statement, Some(head)), |(app, mut statement, head)| async move {
        let lines = ledger::statement_lines(&app, &mut statement).await?;
        let mut text = head.unwrap_or_default();
        for (line, balance) in lines {
            let row = Row::default().plain(time(line.at)).plain(line.code).typed(&line.memo);
            text.push_str(&row.plain(line.amount).plain(balance).plain(line.id).end());
        }
        Ok::<_, Error>((!text.is_empty()).then_some((text, (app, statement, None))))
    });
    Ok(file(&format!("ledger-{from}-{to}.csv"), rows))
}

/// `GET /wallet/charges.csv?month=&day=&vm=`
pub async fn charges_file(
    State(app): State<Arc<App>>,
    customer: Customer,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    Ok(charges_of(app, customer.organisation(), &which)?)
}

/// `GET /admin/customers/{id}/charges.csv?month=&day=&vm=`
pub async fn charges_file_of_customer(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Path(id): Path<OrganisationId>,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    organisations::line(&app, id).await?;
    Ok(charges_of(app, id, &which)?)
}

/// Writes the charges of a month or a day as CSV.
#[utoipa::path(
    get, path = "/charges.csv", params(Which),
    responses((status = 200, content_type = "text/csv", body = String))
)]
pub async fn charges_for_programs(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    Ok(charges_of(app, caller.organisation.id, &which)?)
}

/// Writes the charges of an organisation as CSV.
#[utoipa::path(
    get, path = "/admin/organisations/{id}/charges.csv", params(Which),
    responses((status = 200, content_type = "text/csv", body = String))
)]
pub async fn charges_for_staff(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    organisations::line(&app, id).await?;
    Ok(charges_of(app, id, &which)?)
}

fn charges_of(app: Arc<App>, organisation: OrganisationId, which: &Which) -> Result<Response> {
    let (from, to) = charged_span(&app, &which.month, which.day)?;
    let filter = LinesFilter { from, to, vm: which.vm, after: None };
    let of = which.day.map_or_else(|| metering::month_of(&app, from).to_string(), |day| day.to_string());
    let head = ["from_utc", "to_utc", "vm", "kind", "of", "quantity", "rate_per_hour", "amount", "vm_id", "meter_id"];
    let head = head.into_iter().fold(Row::default(), Row::plain).end();
    let rows = stream::try_unfold((app, Some(filter), head, 0), move |(app, filter, head, written)| async move {
        let Some(mut filter) = filter else { return Ok(None) };
        let lines = metering::charge_lines(&app, organisation, &filter, CHARGES_MAX).await?;
        let mut text = head;
        for line in &lines {
            let row = Row::default().plain(time(line.key.from)).plain(time(line.to)).typed(&line.vm_name);
            let row = row.plain(line.item.kind()).typed(line.item_name.as_deref().unwrap_or_default());
            let row = row.plain(line.quantity).plain(line.rate).plain(line.amount).plain(line.vm).plain(line.key.meter);
            text.push_str(&row.end());
        }
        let written = written + lines.len();
        if written > CHARGES_PER_FILE_MAX {
            return Err(Error::Unavailable("This file would be too long: ask for single days.".into()));
        }
        filter.after = lines.last().map(|line| line.key);
        let next = filter.after.is_some().then_some(filter);
        Ok::<_, Error>((!text.is_empty()).then_some((text, (app, next, String::new(), written))))
    });
    Ok(file(&format!("charges-{of}.csv"), rows))
}

/// The time whose charges are asked for: a day, a month, or the present month.
///
/// # Errors
/// `Invalid` for what is no month, and for a day outside of all calendars.
pub(in crate::web) fn charged_span(
    app: &App,
    month: &str,
    day: Option<NaiveDate>,
) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    if let Some(day) = day {
        return day_of_calendar(app, day);
    }
    let zone = app.settings.time_zone;
    let month = month_asked(app, month)?;
    Ok((month.start(zone), month.end(zone)))
}

/// A month that is asked for; the present one when none is.
///
/// # Errors
/// `Invalid` for what is no month.
pub(in crate::web) fn month_asked(app: &App, month: &str) -> Result<Month> {
    if month.is_empty() {
        return Ok(metering::month_of(app, app.clock.now()));
    }
    let month = month.parse::<Month>().ok().filter(|month| is_of_calendar(month.year()));
    month.ok_or_else(|| Error::invalid("month", "A month such as 2026-11."))
}

/// The first instant of a day and the one after its last.
fn day_of_calendar(app: &App, day: NaiveDate) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    if is_of_calendar(day.year()) {
        Ok(metering::span_of_day(day, app.settings.time_zone))
    } else {
        Err(Error::invalid("day", "A day such as 2026-11-21."))
    }
}

/// Years in which computers have counted time, and will for a while.
fn is_of_calendar(year: i32) -> bool {
    (1970..9999).contains(&year)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
