//! `/admin/payments`: what customers have paid, and what of it went back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use billing::Money;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ApiJson, IdempotencyKey, List, take_order};
use crate::app::App;
use crate::error::Result;
use crate::ids::{OrganisationId, PaymentId};
use crate::payments::{self, Filter, NewPayment, NewReturn, PAGE_MAX, Payment, PaymentReturn, ReturnKind};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiStaff;

/// A payment as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Payment)]
pub struct PaymentView {
    /// Its id.
    id: PaymentId,
    /// Whose wallet it was for.
    organisation: OrganisationId,
    /// The organisation's name.
    organisation_name: String,
    /// By which way it came: `bank` or `stripe`.
    #[schema(example = "bank")]
    provider: &'static str,
    /// What the provider calls it.
    reference: String,
    /// How much was paid.
    amount: Money,
    /// How much of it went back.
    returned: Money,
    /// Who recorded it.
    created_by: Option<String>,
    /// When it was recorded.
    created_at: DateTime<Utc>,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        Self {
            id: payment.id,
            organisation: payment.organisation,
            organisation_name: payment.organisation_name,
            provider: payment.provider.as_str(),
            reference: payment.reference,
            amount: payment.amount,
            returned: payment.returned,
            created_by: payment.created_by,
            created_at: payment.created_at,
        }
    }
}

/// A payment with what went back of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaymentDetail {
    #[serde(flatten)]
    payment: PaymentView,
    /// Latest first.
    returns: Vec<PaymentReturn>,
}

/// Which payments are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// How many, 50 when nothing is said, at most 100.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<PaymentId>,
    /// Only those of one organisation.
    organisation: Option<OrganisationId>,
    /// Only those whose reference contains this, whatever its case.
    #[param(max_length = 100)]
    reference: Option<String>,
}

/// Lists payments, newest first.
#[utoipa::path(get, path = "/admin/payments", params(Wanted), responses((status = 200, body = List<PaymentView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List<PaymentView>>, ApiError> {
    let limit = wanted.limit.unwrap_or(super::LIMIT).clamp(1, PAGE_MAX);
    let filter = Filter { organisation: wanted.organisation, reference: wanted.reference, after: wanted.after };
    let found = payments::list(&app, &filter, limit + 1).await?;
    Ok(Json(List::of(found, limit, |payment| payment.id.uuid(), |payment| payment.into())))
}

/// Records a payment that has arrived, adds it to its wallet and resumes what it carries.
///
/// 201 when it was recorded, 200 when it had been recorded before. A reference of a provider is recorded once.
#[utoipa::path(
    post, path = "/admin/payments", request_body = NewPayment,
    responses((status = 200, body = PaymentView), (status = 201, body = PaymentView))
)]
pub async fn record(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<NewPayment>,
) -> Result<(StatusCode, Json<PaymentView>), ApiError> {
    let recorded = payments::record(&app, &new, &staff.actor).await?;
    let status = if recorded.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let payment = payments::find(&app, recorded.payment.id).await?;
    Ok((status, Json(payment.into())))
}

/// Shows a payment with what went back of it.
#[utoipa::path(get, path = "/admin/payments/{id}", responses((status = 200, body = PaymentDetail)))]
pub async fn show(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<PaymentId>,
) -> Result<Json<PaymentDetail>, ApiError> {
    Ok(Json(detail(&app, id).await?))
}

async fn detail(app: &App, id: PaymentId) -> Result<PaymentDetail> {
    let payment = payments::find(app, id).await?.into();
    Ok(PaymentDetail { payment, returns: payments::returns(app, id).await? })
}

/// Gives back a payment, or a part of it, out of its wallet.
///
/// No more than what the wallet has. This moves the books; the money is sent back by the bank or the provider.
#[utoipa::path(
    post, path = "/admin/payments/{id}/refunds", params(IdempotencyKey), request_body = NewReturn,
    responses((status = 201, body = PaymentDetail))
)]
pub async fn refund(
    state: State<Arc<App>>,
    staff: ApiStaff,
    id: Path<PaymentId>,
    headers: HeaderMap,
    new: ApiJson<NewReturn>,
) -> Result<(StatusCode, Json<PaymentDetail>), ApiError> {
    give_back(ReturnKind::Refund, state, staff, id, headers, new).await
}

/// Takes out of its wallet a payment, or a part of it, that the customer's bank has charged back.
///
/// The wallet may fall below zero.
#[utoipa::path(
    post, path = "/admin/payments/{id}/chargebacks", params(IdempotencyKey), request_body = NewReturn,
    responses((status = 201, body = PaymentDetail))
)]
pub async fn charge_back(
    state: State<Arc<App>>,
    staff: ApiStaff,
    id: Path<PaymentId>,
    headers: HeaderMap,
    new: ApiJson<NewReturn>,
) -> Result<(StatusCode, Json<PaymentDetail>), ApiError> {
    give_back(ReturnKind::Chargeback, state, staff, id, headers, new).await
}

async fn give_back(
    kind: ReturnKind,
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<PaymentId>,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewReturn>,
) -> Result<(StatusCode, Json<PaymentDetail>), ApiError> {
    take_order(&headers, &mut new.order)?;
    payments::give_back(&app, id, kind, &new, &staff.actor).await?;
    Ok((StatusCode::CREATED, Json(detail(&app, id).await?)))
}
