//! Invoices: those of an organisation for its people, those of all for operators.

use std::sync::Arc;

use anyhow::Context;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use billing::{Money, Month};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream;
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, cut, decimal, portal, render_with};
use super::wallet::{month_options, name_of};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{InvoiceId, OrganisationId};
use crate::invoices::{self, Filter, Invoice, LINES_SHOWN_MAX, Line, LineKind, PAGE_MAX, Party};
use crate::web::csv::{Row, file};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::read::{Path, Query};
use crate::web::session::{Customer, Staff};
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{AdminSection, Link, Section};
use crate::web::views::invoices::{AllPage, Document, InvoiceRow, LineRow, ListPage, PartyBlock, SumRow, quantity};
use crate::web::views::markup::Markup;
use crate::web::views::wallet::{InAdmin, InPortal};
use crate::{ledger, metering, organisations, revenue};

/// How many months back can be chosen.
const MONTHS_BACK: usize = 36;

/// Which invoices.
#[derive(Debug, Deserialize)]
pub struct After {
    after: Option<InvoiceId>,
}

/// `GET /wallet/invoices?after=`
pub async fn list(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Query(which): Query<After>,
) -> Result<Response, PageError> {
    let filter = Filter { organisation: Some(customer.organisation()), after: which.after, ..Filter::default() };
    let (rows, older) = page_of(&app, &filter, "/wallet/invoices").await?;
    let now = app.clock.now();
    let page = ListPage {
        frame: portal(&app, &customer, "Invoices", Section::Wallet, &notice).await?,
        rows,
        older_url: older.map(|last| format!("/wallet/invoices?after={last}")),
        newest_url: which.after.map(|_| "/wallet/invoices".to_owned()),
        month: name_of(metering::month_of(&app, now)),
        first_due: invoices::first_due(now, app.settings.time_zone),
        is_issued: invoices::current_settings(&app).await?.issuer().is_some(),
    };
    Ok(render_with(&app, &notice, &page))
}

/// A page of invoices, and the last of it when there are more.
async fn page_of(app: &App, filter: &Filter, base: &str) -> Result<(Vec<InvoiceRow>, Option<InvoiceId>)> {
    let mut found = invoices::list(app, filter, PAGE_MAX + 1).await?;
    let last = cut(&mut found, PAGE_MAX).map(|last| last.id);
    Ok((found.into_iter().map(|invoice| invoice_row(invoice, base)).collect(), last))
}

fn invoice_row(invoice: Invoice, base: &str) -> InvoiceRow {
    let money = |amount: Money| rounded(&invoice, amount);
    InvoiceRow {
        url: format!("{base}/{}", invoice.number),
        month: name_of(invoice.month),
        is_further: invoice.part > 1,
        issued_at: invoice.issued_at,
        tax: money(invoice.tax),
        gross: money(invoice.gross),
        organisation: (invoice.organisation_name, format!("/admin/customers/{}", invoice.organisation)),
        number: invoice.number,
    }
}

/// An amount in the places of the invoice.
fn rounded(invoice: &Invoice, amount: Money) -> String {
    format::rounded_money(&decimal(amount), &invoice.currency, invoice.places.get())
}

/// `GET /wallet/invoices/{number}`
pub async fn show(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(number): Path<String>,
) -> Result<Response, PageError> {
    let invoice = invoices::find_numbered(&app, Some(customer.organisation()), &number).await?;
    let crumbs = vec![link("Wallet", "/wallet"), link("Invoices", "/wallet/invoices")];
    let (title, body) = document(&app, invoice, crumbs, "/wallet/invoices").await?;
    let notice = Notice::default();
    let frame = portal(&app, &customer, &title, Section::Wallet, &notice).await?;
    Ok(render_with(&app, &notice, &InPortal { frame, body }))
}

fn link(text: &str, url: &str) -> Link {
    Link { text: text.to_owned(), url: url.to_owned() }
}

/// The title and the body of an invoice.
async fn document(app: &App, invoice: Invoice, crumbs: Vec<Link>, base: &str) -> Result<(String, Markup)> {
    let zone = app.settings.time_zone;
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).format("%-d %b %Y").to_string();
    let mut lines = invoices::lines(app, &invoice, 0, LINES_SHOWN_MAX + 1).await?;
    let shown = usize::try_from(LINES_SHOWN_MAX).unwrap_or(usize::MAX);
    let has_more = lines.len() > shown;
    lines.truncate(shown);
    let money = |amount: Money| rounded(&invoice, amount);
    let exactly = |amount: Money| format::rounded_money(&decimal(amount), &invoice.currency, Money::PLACES);
    let row = |line: Line| LineRow {
        what: line_words(line.kind),
        quantity: quantity(&line.unit_hours(), unit_of(line.kind)),
        exact: exactly(line.amount),
        rounded: money(invoice.places.round(line.amount)),
        vm_name: line.vm_name,
    };
    let body = Document {
        crumbs,
        month: name_of(invoice.month),
        days: (day(invoice.period_from), day(invoice.period_to - TimeDelta::microseconds(1))),
        issued_on: day(invoice.issued_at),
        customer: invoice.organisation_number,
        issuer: party(&invoice.issuer),
        recipient: party(&invoice.recipient),
        further: (invoice.part > 1).then_some(invoice.part),
        rows: lines.into_iter().map(row).collect(),
        has_more,
        file_url: format!("{base}/{}/lines.csv", invoice.number),
        rounding: (!invoice.rounding.is_zero()).then(|| money(invoice.rounding)),
        net: money(invoice.net),
        tax_rate: invoice.tax_rate.to_string(),
        is_untaxed: invoice.tax_rate.units() == 0,
        tax: money(invoice.tax),
        gross: money(invoice.gross),
        exact: exactly(invoice.exact),
        number: invoice.number.clone(),
    };
    let title = format!("Invoice {}", invoice.number);
    Ok((title, Markup::new(body.render().context("an invoice could not be rendered")?)))
}

fn party(party: &Party) -> PartyBlock {
    PartyBlock {
        name: party.name.clone(),
        address: party.address.lines().map(str::to_owned).collect(),
        tax_id: party.tax_id.clone(),
    }
}

const fn line_words(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Running => "VM, running",
        LineKind::Stopped => "VM, stopped",
        LineKind::Disk => "Disk beyond the plan",
        LineKind::Address => "Addresses",
        LineKind::Snapshot => "Snapshots",
        LineKind::Backup => "Backups",
        LineKind::ImageLicence => "Licence",
        LineKind::Traffic => "Traffic",
    }
}

const fn unit_of(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Running | LineKind::Stopped | LineKind::Address | LineKind::ImageLicence => "h",
        LineKind::Disk | LineKind::Snapshot | LineKind::Backup => "GiB × h",
        LineKind::Traffic => "MiB × h",
    }
}

/// `GET /wallet/invoices/{number}/lines.csv`
pub async fn lines_file(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(number): Path<String>,
) -> Result<Response, PageError> {
    let invoice = invoices::find_numbered(&app, Some(customer.organisation()), &number).await?;
    Ok(file_of(app, invoice))
}

/// `GET /admin/invoices/{number}/lines.csv`
pub async fn lines_file_for_staff(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Path(number): Path<String>,
) -> Result<Response, PageError> {
    let invoice = invoices::find_numbered(&app, None, &number).await?;
    Ok(file_of(app, invoice))
}

fn file_of(app: Arc<App>, invoice: Invoice) -> Response {
    let name = format!("invoice-{}.csv", invoice.number);
    let head = ["position", "vm", "kind", "unit_hours", "charged", "amount", "vm_id"];
    let head = head.into_iter().fold(Row::default(), Row::plain).end();
    let rows = stream::try_unfold((app, invoice, Some(0), head), |(app, invoice, after, mut text)| async move {
        let Some(after) = after else { return Ok(None) };
        let lines = invoices::lines(&app, &invoice, after, LINES_SHOWN_MAX).await?;
        for line in &lines {
            let row = Row::default().plain(line.position).typed(&line.vm_name).plain(line.kind.name());
            let row = row.plain(line.unit_hours().normalize()).plain(line.amount);
            text.push_str(&row.plain(invoice.places.round(line.amount)).plain(line.vm).end());
        }
        let next = lines.last().map(|line| line.position);
        Ok::<_, Error>((!text.is_empty()).then_some((text, (app, invoice, next, String::new()))))
    });
    file(&name, rows)
}

/// Which invoices of all organisations.
#[derive(Debug, Deserialize)]
pub struct Which {
    #[serde(default)]
    month: String,
    #[serde(default)]
    customer: String,
    after: Option<InvoiceId>,
}

/// `GET /admin/invoices?month=&customer=&after=`
pub async fn list_all(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    let now = metering::month_of(&app, app.clock.now());
    let first = std::iter::successors(Some(now), |month| revenue::month_before(*month)).nth(MONTHS_BACK).unwrap_or(now);
    let month: Option<Month> = which.month.parse().ok().filter(|month| (first..=now).contains(month));
    let customer = which.customer.trim();
    let mut errors = FormErrors::none();
    let organisation = customer_asked(&app, customer).await?;
    let filter = Filter { organisation, month, after: which.after };
    let is_unknown = !customer.is_empty() && organisation.is_none();
    let ((rows, older), sums) = if is_unknown {
        errors.add("customer", "No customer has this number or id.");
        ((Vec::new(), None), Vec::new())
    } else {
        (page_of(&app, &filter, "/admin/invoices").await?, sums(&app, &filter).await?)
    };
    let chosen = month.map(|month| month.to_string()).unwrap_or_default();
    let whose = organisation.map(|organisation| organisation.to_string()).unwrap_or_default();
    let url = format!("/admin/invoices?month={chosen}&customer={whose}");
    let page = AllPage {
        frame: frames::admin(&app, &staff, "Invoices", AdminSection::Invoices, count(&app).await?, &notice),
        rows,
        sums,
        months: month_options(first, now),
        chosen,
        customer: customer.to_owned(),
        errors,
        waiting: format::unsigned(invoices::waiting(&app).await?),
        is_issued: invoices::current_settings(&app).await?.issuer().is_some(),
        older_url: older.map(|last| format!("{url}&after={last}")),
        newest_url: which.after.map(|_| url),
    };
    Ok(render_with(&app, &notice, &page))
}

/// The customer with this number or id.
pub(super) async fn customer_asked(app: &App, typed: &str) -> Result<Option<OrganisationId>> {
    let found = match (typed.parse::<i64>(), typed.parse::<OrganisationId>()) {
        (Ok(number), _) => ledger::organisation_numbered(&app.pool, number).await,
        (_, Ok(id)) => organisations::line(app, id).await.map(|line| line.id),
        _ => return Ok(None),
    };
    match found {
        Err(Error::NotFound(_)) => Ok(None),
        found => Ok(Some(found?)),
    }
}

async fn sums(app: &App, filter: &Filter) -> Result<Vec<SumRow>> {
    let sums = invoices::sums(app, filter).await?;
    let row = |sum: invoices::Sum| SumRow {
        invoices: format::unsigned(sum.invoices),
        net: format::money(&decimal(sum.net), &sum.currency),
        tax: format::money(&decimal(sum.tax), &sum.currency),
        gross: format::money(&decimal(sum.gross), &sum.currency),
        exact: format::money(&decimal(sum.exact), &sum.currency),
    };
    Ok(sums.into_iter().map(row).collect())
}

/// `GET /admin/invoices/{number}`
pub async fn show_any(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(number): Path<String>,
) -> Result<Response, PageError> {
    let invoice = invoices::find_numbered(&app, None, &number).await?;
    let customer = format!("/admin/customers/{}", invoice.organisation);
    let crumbs = vec![link("Invoices", "/admin/invoices"), link(&invoice.organisation_name, &customer)];
    let (title, body) = document(&app, invoice, crumbs, "/admin/invoices").await?;
    let notice = Notice::default();
    let frame = frames::admin(&app, &staff, title, AdminSection::Invoices, count(&app).await?, &notice);
    Ok(render_with(&app, &notice, &InAdmin { frame, body }))
}
