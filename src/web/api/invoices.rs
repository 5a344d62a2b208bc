//! `/invoices` and `/billing-details`: what was charged for months that are over, and whom it is made out to. For staff: all
//! invoices, and who issues them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use billing::{Money, Month};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{ApiJson, LIMIT, List};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{InvoiceId, OrganisationId, VmId};
use crate::invoices::{self, BillingDetails, Filter, Invoice, InvoiceSettings, LINES_SHOWN_MAX, Line, PAGE_MAX, Party};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::{ApiCaller, ApiStaff};

/// Somebody an invoice names, as he was called when it was issued.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = InvoiceParty)]
pub struct PartyView {
    /// The name.
    name: String,
    /// The lines of the address, with line breaks between them.
    address: String,
    /// The number under which tax is paid; may be empty.
    tax_id: String,
}

impl From<Party> for PartyView {
    fn from(party: Party) -> Self {
        Self { name: party.name, address: party.address, tax_id: party.tax_id }
    }
}

/// An invoice as programs see it. It never changes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Invoice)]
pub struct InvoiceView {
    /// Its id.
    id: InvoiceId,
    /// What it is called by: unique, and without gap in a year.
    #[schema(example = "2026-000017")]
    number: String,
    /// Whose charges it is about.
    organisation: OrganisationId,
    /// The month whose time was charged.
    month: Month,
    /// 1, or more for what was charged after an earlier invoice of that month.
    part: i32,
    /// When it was issued.
    issued_at: DateTime<Utc>,
    /// When the month began.
    period_from: DateTime<Utc>,
    /// When the month was over.
    period_to: DateTime<Utc>,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// In percent; contained in every amount but `net`.
    #[schema(example = "19")]
    tax_rate: String,
    /// Who issued it.
    issuer: PartyView,
    /// To whom.
    recipient: PartyView,
    /// What was taken from the wallet, to six places.
    exact: Money,
    /// What the rounded lines lack of `gross`.
    rounding: Money,
    /// Without tax.
    net: Money,
    /// The contained tax.
    tax: Money,
    /// With tax. It was paid from credit: nothing is left to pay.
    gross: Money,
}

impl From<Invoice> for InvoiceView {
    fn from(invoice: Invoice) -> Self {
        Self {
            id: invoice.id,
            number: invoice.number,
            organisation: invoice.organisation,
            month: invoice.month,
            part: invoice.part,
            issued_at: invoice.issued_at,
            period_from: invoice.period_from,
            period_to: invoice.period_to,
            currency: invoice.currency,
            tax_rate: invoice.tax_rate.to_string(),
            issuer: invoice.issuer.into(),
            recipient: invoice.recipient.into(),
            exact: invoice.exact,
            rounding: invoice.rounding,
            net: invoice.net,
            tax: invoice.tax,
            gross: invoice.gross,
        }
    }
}

/// What one VM was charged for one kind of thing in the month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = InvoiceLine)]
pub struct LineView {
    /// Its place on the invoice, from 1 on.
    position: i32,
    /// The VM.
    vm: VmId,
    /// What it was called when the invoice was issued.
    vm_name: String,
    /// What for.
    #[schema(example = "vm_running")]
    kind: &'static str,
    /// Hours times units (a VM, a GiB, an address, a licence, a MiB), rounded to six places.
    #[schema(value_type = String, example = "744")]
    unit_hours: Decimal,
    /// What was charged, to six places.
    amount: Money,
    /// The same in the places of the currency.
    rounded: Money,
}

impl LineView {
    fn of(invoice: &Invoice, line: Line) -> Self {
        Self {
            position: line.position,
            vm: line.vm,
            kind: line.kind.name(),
            unit_hours: line.unit_hours().normalize(),
            amount: line.amount,
            rounded: invoice.places.round(line.amount),
            vm_name: line.vm_name,
        }
    }
}

/// An invoice with its lines.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct InvoiceDetail {
    #[serde(flatten)]
    invoice: InvoiceView,
    /// In the order of the names of the VMs.
    lines: Vec<LineView>,
    /// Goes into `lines_after` for further lines; null when these are the last.
    lines_next: Option<i32>,
}

/// Which lines of an invoice are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhichLines {
    /// The `lines_next` of the answer before. An answer has at most 1,000 lines.
    #[serde(default)]
    #[param(minimum = 0)]
    lines_after: i32,
}

async fn detail_of(app: &App, invoice: Invoice, which: &WhichLines) -> Result<InvoiceDetail> {
    let mut lines = invoices::lines(app, &invoice, which.lines_after, LINES_SHOWN_MAX + 1).await?;
    let shown = usize::try_from(LINES_SHOWN_MAX).unwrap_or(usize::MAX);
    let has_more = lines.len() > shown;
    lines.truncate(shown);
    let lines_next = lines.last().filter(|_| has_more).map(|last| last.position);
    let lines = lines.into_iter().map(|line| LineView::of(&invoice, line)).collect();
    Ok(InvoiceDetail { invoice: invoice.into(), lines, lines_next })
}

/// Which invoices are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// How many, 50 when nothing is said, at most 100.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<InvoiceId>,
    /// Only those about a month such as `2026-11`.
    #[serde(default)]
    #[param(value_type = Option<Month>)]
    month: String,
}

/// Which invoices of all organisations are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhichOfAll {
    /// How many, 50 when nothing is said, at most 100.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<InvoiceId>,
    /// Only those about a month such as `2026-11`.
    #[serde(default)]
    #[param(value_type = Option<Month>)]
    month: String,
    /// Only those of one organisation.
    organisation: Option<OrganisationId>,
}

async fn list_of(app: &App, organisation: Option<OrganisationId>, which: Which) -> Result<List<InvoiceView>> {
    let limit = which.limit.unwrap_or(LIMIT).clamp(1, PAGE_MAX);
    let month = match which.month.as_str() {
        "" => None,
        month => Some(month.parse().map_err(|_| Error::invalid("month", "A month such as 2026-11."))?),
    };
    let filter = Filter { organisation, month, after: which.after };
    let found = invoices::list(app, &filter, limit + 1).await?;
    Ok(List::of(found, limit, |invoice| invoice.id.uuid(), InvoiceView::from))
}

/// Lists the organisation's invoices, newest first.
///
/// There is one for each month in which something was charged, and a further one where more was charged for a month later.
#[utoipa::path(get, path = "/invoices", params(Which), responses((status = 200, body = List<InvoiceView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(which): Query<Which>,
) -> Result<Json<List<InvoiceView>>, ApiError> {
    Ok(Json(list_of(&app, Some(caller.organisation.id), which).await?))
}

/// Shows an invoice with its lines.
#[utoipa::path(get, path = "/invoices/{id}", params(WhichLines), responses((status = 200, body = InvoiceDetail)))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<InvoiceId>,
    Query(which): Query<WhichLines>,
) -> Result<Json<InvoiceDetail>, ApiError> {
    let invoice = invoices::find(&app, Some(caller.organisation.id), id).await?;
    Ok(Json(detail_of(&app, invoice, &which).await?))
}

/// Shows whom the organisation's invoices are made out to.
#[utoipa::path(get, path = "/billing-details", responses((status = 200, body = BillingDetails)))]
pub async fn details(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<BillingDetails>, ApiError> {
    Ok(Json(invoices::billing_details(&app, caller.organisation.id).await?))
}

/// Sets whom the organisation's invoices are made out to from now on.
///
/// Those that are issued stay as they are.
#[utoipa::path(put, path = "/billing-details", request_body = BillingDetails, responses((status = 200, body = BillingDetails)))]
pub async fn change_details(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<BillingDetails>,
) -> Result<Json<BillingDetails>, ApiError> {
    invoices::change_billing_details(&app, caller.organisation.id, &new, &caller.actor).await?;
    Ok(Json(invoices::billing_details(&app, caller.organisation.id).await?))
}

/// Lists the invoices of all organisations, newest first.
#[utoipa::path(get, path = "/admin/invoices", params(WhichOfAll), responses((status = 200, body = List<InvoiceView>)))]
pub async fn list_all(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(which): Query<WhichOfAll>,
) -> Result<Json<List<InvoiceView>>, ApiError> {
    let WhichOfAll { limit, after, month, organisation } = which;
    Ok(Json(list_of(&app, organisation, Which { limit, after, month }).await?))
}

/// Shows an invoice of any organisation with its lines.
#[utoipa::path(get, path = "/admin/invoices/{id}", params(WhichLines), responses((status = 200, body = InvoiceDetail)))]
pub async fn show_any(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<InvoiceId>,
    Query(which): Query<WhichLines>,
) -> Result<Json<InvoiceDetail>, ApiError> {
    let invoice = invoices::find(&app, None, id).await?;
    Ok(Json(detail_of(&app, invoice, &which).await?))
}

/// Shows who issues invoices and how.
#[utoipa::path(get, path = "/admin/invoice-settings", responses((status = 200, body = InvoiceSettings)))]
pub async fn settings(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<InvoiceSettings>, ApiError> {
    Ok(Json(invoices::current_settings(&app).await?))
}

/// Sets who issues invoices and how from now on.
///
/// Until there is a name and an address none is issued; then those of all months that are over are.
#[utoipa::path(put, path = "/admin/invoice-settings", request_body = InvoiceSettings, responses((status = 200, body = InvoiceSettings)))]
pub async fn change_settings(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<InvoiceSettings>,
) -> Result<Json<InvoiceSettings>, ApiError> {
    invoices::change_settings(&app, &new, &staff.actor).await?;
    Ok(Json(invoices::current_settings(&app).await?))
}
