//! `/vouchers/redeem` for customers, `/admin/vouchers` for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ApiJson, List, Page, idempotency_key};
use crate::app::App;
use crate::error::Error;
use crate::ids::VoucherId;
use crate::vouchers::{self, Code, NewVouchers, Redeemed, Redemption, State as Standing, Voucher};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::{ApiCaller, ApiStaff};

/// A code as it was typed.
#[derive(Debug, Deserialize)]
pub struct Typed {
    code: String,
}

/// `POST /vouchers/redeem`: 201 when it added credit, 200 when the organisation had redeemed this voucher before.
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Deserialize)]
pub struct Wanted {
    state: Option<String>,
}

/// `GET /admin/vouchers?state=`
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
#[derive(Debug, Serialize)]
pub struct NewVoucherView {
    /// Only told now; null when the same request was answered too long ago.
    code: Option<String>,
    #[serde(flatten)]
    voucher: VoucherView,
}

/// What was made.
#[derive(Debug, Serialize)]
pub struct CreatedView {
    items: Vec<NewVoucherView>,
    /// The same request was sent before: it was that one that made them.
    repeated: bool,
}

/// `POST /admin/vouchers`: 201 when they were made, 200 when the same request had made them before.
pub async fn create(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    headers: HeaderMap,
    ApiJson(mut new): ApiJson<NewVouchers>,
) -> Result<(StatusCode, Json<CreatedView>), ApiError> {
    if let Some(key) = idempotency_key(&headers)? {
        new.order = Some(key.to_owned());
    }
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
#[derive(Debug, Serialize)]
pub struct VoucherDetail {
    #[serde(flatten)]
    voucher: VoucherView,
    /// Latest first, at most a page of them.
    redemptions: Vec<Redemption>,
}

/// `GET /admin/vouchers/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<VoucherId>,
) -> Result<Json<VoucherDetail>, ApiError> {
    let voucher = VoucherView::of(vouchers::find(&app, id).await?, app.clock.now());
    Ok(Json(VoucherDetail { voucher, redemptions: vouchers::redemptions(&app, id).await? }))
}

/// `POST /admin/vouchers/{id}/revoke`
pub async fn revoke(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<VoucherId>,
) -> Result<Json<VoucherView>, ApiError> {
    let voucher = vouchers::revoke(&app, id, &staff.actor).await?;
    Ok(Json(VoucherView::of(voucher, app.clock.now())))
}
