//! `/vouchers/redeem` for customers, `/admin/vouchers` for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ApiJson, IdempotencyKey, List, Page, take_order};
use crate::app::App;
use crate::error::Error;
use crate::ids::VoucherId;
use crate::vouchers::{self, Code, NewVouchers, Redeemed, Redemption, State as Standing, Voucher};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::{ApiCaller, ApiStaff};

/// A code as it was typed.
// No Debug: there is a secret in it.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = VoucherCode)]
pub struct Typed {
    /// The code, with or without dashes.
    #[schema(max_length = 100)]
    code: String,
}

/// Redeems a voucher.
///
/// 201 when it added credit, 200 when the organisation had redeemed this voucher before.
#[utoipa::path(
    post, path = "/vouchers/redeem", request_body = Typed,
    responses((status = 200, body = Redeemed), (status = 201, body = Redeemed))
)]
pub async fn redeem(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(typed): ApiJson<Typed>,
) -> Result<(StatusCode, Json<Redeemed>), ApiError> {
    let redeemed = vouchers::redeem(&app, caller.organisation.id, &typed.code, &caller.actor).await?;
    let status = if redeemed.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(redeemed)))
}

/// A voucher as operators see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = VoucherWithState)]
pub struct VoucherView {
    state: Standing,
    #[serde(flatten)]
    voucher: Voucher,
}

impl VoucherView {
    fn of(voucher: Voucher, now: DateTime<Utc>) -> Self {
        Self { state: voucher.state(now), voucher }
    }
}

/// Which vouchers are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only those in this state.
    #[param(pattern = "^(open|used_up|expired|revoked)$")]
    state: Option<String>,
}

/// Lists vouchers, newest first.
#[utoipa::path(
    get, path = "/admin/vouchers", params(Wanted, Page),
    responses((status = 200, body = List<VoucherView>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(wanted): Query<Wanted>,
    Query(page): Query<Page>,
) -> Result<Json<List<VoucherView>>, ApiError> {
    let named = |name: String| Standing::ALL.into_iter().find(|state| state.name() == name);
    let state = match wanted.state {
        Some(name) => {
            Some(named(name).ok_or_else(|| Error::invalid("state", "One of open, used_up, expired and revoked."))?)
        }
        None => None,
    };
    let limit = page.limit(vouchers::PAGE_MAX);
    let found = vouchers::list(&app, &vouchers::Filter { state, after: page.after() }, limit + 1).await?;
    let now = app.clock.now();
    Ok(Json(List::of(found, limit, |voucher| voucher.id.uuid(), |voucher| VoucherView::of(voucher, now))))
}

/// A voucher that was just made, with its code.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MadeVoucher)]
pub struct NewVoucherView {
    /// Only told now; null when the same request was answered too long ago.
    code: Option<String>,
    #[serde(flatten)]
    voucher: VoucherView,
}

/// What was made.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MadeVouchers)]
pub struct CreatedView {
    items: Vec<NewVoucherView>,
    /// The same request was sent before: it was that one that made them.
    repeated: bool,
}

/// Makes vouchers and tells their codes, this once.
///
/// 201 when they were made, 200 when the same request had made them before.
#[utoipa::path(
    post, path = "/admin/vouchers", params(IdempotencyKey), request_body = NewVouchers,
    responses((status = 200, body = CreatedView), (status = 201, body = CreatedView))
)]
pub async fn create(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewVouchers>,
) -> Result<(StatusCode, Json<CreatedView>), ApiError> {
    take_order(&headers, &mut new.order)?;
    let created = vouchers::create(&app, &new, &staff.actor).await?;
    let now = app.clock.now();
    let mut codes = created.codes.iter().map(Code::reveal);
    let items = created
        .vouchers
        .into_iter()
        .map(|voucher| NewVoucherView { code: codes.next(), voucher: VoucherView::of(voucher, now) })
        .collect();
    let status = if created.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(CreatedView { items, repeated: created.repeated })))
}

/// A voucher with who has redeemed it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct VoucherDetail {
    #[serde(flatten)]
    voucher: VoucherView,
    /// Latest first, at most a page of them.
    redemptions: Vec<Redemption>,
}

/// Shows a voucher with who has redeemed it.
#[utoipa::path(get, path = "/admin/vouchers/{id}", responses((status = 200, body = VoucherDetail)))]
pub async fn show(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<VoucherId>,
) -> Result<Json<VoucherDetail>, ApiError> {
    let voucher = VoucherView::of(vouchers::find(&app, id).await?, app.clock.now());
    Ok(Json(VoucherDetail { voucher, redemptions: vouchers::redemptions(&app, id).await? }))
}

/// Revokes a voucher.
///
/// What it has been redeemed for stays.
#[utoipa::path(post, path = "/admin/vouchers/{id}/revoke", responses((status = 200, body = VoucherView)))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<VoucherId>,
) -> Result<Json<VoucherView>, ApiError> {
    let voucher = vouchers::revoke(&app, id, &staff.actor).await?;
    Ok(Json(VoucherView::of(voucher, app.clock.now())))
}
