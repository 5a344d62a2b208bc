//! `/admin/revenue`, `/admin/wallets` and the money of any organisation, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use billing::{Money, Month, Rate};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::wallet::{
    ChargeView, ExplanationView, TransferView, WalletDetail, WhichCharges, WhichTransfers, charges_of, detail_of,
    transfers_of,
};
use super::{LIMIT, List};
use crate::app::App;
use crate::error::Error;
use crate::ids::{MeterId, OrganisationId, PlanId};
use crate::metering::{self, ChargeKey};
use crate::organisations;
use crate::revenue::{self, Ending, WALLETS_MAX, WalletCounts, WalletLine};
use crate::web::error::ApiError;
use crate::web::pages::wallet::csv::month_asked;
use crate::web::read::{Path, Query};
use crate::web::session::ApiStaff;

/// A month that is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// A month such as `2026-11`; the present one when nothing is said.
    #[serde(default)]
    #[param(value_type = Option<Month>)]
    month: String,
}

/// What all customers were charged for the time of a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Revenue)]
pub struct RevenueView {
    month: Month,
    total: Money,
    total_of_month_before: Money,
    /// What had been charged for the same time of the month before; null when the month is not the present one.
    month_before_by_now: Option<Money>,
    days: Vec<PartView>,
}

/// What was charged for one thing on one day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RevenuePart)]
pub struct PartView {
    day: NaiveDate,
    kind: &'static str,
    plan: Option<PlanId>,
    plan_name: Option<String>,
    amount: Money,
}

/// Shows what was charged in a month, by day and plan.
#[utoipa::path(get, path = "/admin/revenue", params(Asked), responses((status = 200, body = RevenueView)))]
pub async fn month(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(asked): Query<Asked>,
) -> Result<Json<RevenueView>, ApiError> {
    let revenue = revenue::of_month(&app, month_asked(&app, &asked.month)?).await?;
    let part = |part: revenue::Part| PartView {
        day: part.day,
        kind: part.sold.resource.name(),
        plan: part.sold.plan,
        plan_name: part.sold.plan.map(|_| part.sold.plan_name),
        amount: part.amount,
    };
    Ok(Json(RevenueView {
        month: revenue.month,
        total: revenue.total,
        total_of_month_before: revenue.total_before,
        month_before_by_now: revenue.before_by_now,
        days: revenue.parts.into_iter().map(part).collect(),
    }))
}

/// Which wallets are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhichWallets {
    /// How many, 50 when nothing is said, at most 100.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<OrganisationId>,
    /// Which: those that end within an hour, a day or a week, have run out, are below zero, or could not be charged.
    #[param(pattern = "^(any|hour|day|week|run_out|below_zero|parked)$")]
    ending: Option<String>,
}

/// Wallets, and how many there are of each kind.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Wallets)]
pub struct WalletsView {
    #[serde(flatten)]
    list: List<WalletLineView>,
    counts: WalletCounts,
}

/// A wallet among others.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WalletLine)]
pub struct WalletLineView {
    organisation: OrganisationId,
    name: String,
    balance: Money,
    credit_limit: Money,
    burn_per_hour: Rate,
    runs_out_at: Option<DateTime<Utc>>,
    exhausted_at: Option<DateTime<Utc>>,
    charged_through: DateTime<Utc>,
    charging_error: Option<String>,
}

impl From<WalletLine> for WalletLineView {
    fn from(line: WalletLine) -> Self {
        Self {
            organisation: line.organisation,
            name: line.name,
            balance: line.balance,
            credit_limit: line.credit_limit,
            burn_per_hour: line.burn_per_hour,
            runs_out_at: line.runs_out_at,
            exhausted_at: line.exhausted_at,
            charged_through: line.charged_through,
            charging_error: line.charging_error,
        }
    }
}

/// Lists wallets, those first that end next.
#[utoipa::path(get, path = "/admin/wallets", params(WhichWallets), responses((status = 200, body = WalletsView)))]
pub async fn wallets(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(which): Query<WhichWallets>,
) -> Result<Json<WalletsView>, ApiError> {
    let limit = which.limit.unwrap_or(LIMIT).clamp(1, WALLETS_MAX);
    let unknown = || Error::invalid("ending", "One of any, hour, day, week, run_out, below_zero and parked.");
    let ending = which.ending.as_deref().map(|ending| Ending::parse(ending).ok_or_else(unknown)).transpose()?;
    let found = revenue::wallets(&app, ending.unwrap_or_default(), which.after, limit + 1).await?;
    let list = List::of(found, limit, |line| line.organisation.uuid(), WalletLineView::from);
    Ok(Json(WalletsView { list, counts: revenue::count_wallets(&app).await? }))
}

/// Shows the wallet of an organisation.
#[utoipa::path(get, path = "/admin/organisations/{id}/wallet", responses((status = 200, body = WalletDetail)))]
pub async fn wallet(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
) -> Result<Json<WalletDetail>, ApiError> {
    Ok(Json(detail_of(&app, id).await?))
}

/// Lists transfers of an organisation's wallet, newest first.
#[utoipa::path(
    get, path = "/admin/organisations/{id}/transfers", params(WhichTransfers),
    responses((status = 200, body = List<TransferView>))
)]
pub async fn transfers(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    Query(which): Query<WhichTransfers>,
) -> Result<Json<List<TransferView>>, ApiError> {
    organisations::line(&app, id).await?;
    Ok(Json(transfers_of(&app, id, which).await?))
}

/// Lists charges of an organisation, newest first.
#[utoipa::path(
    get, path = "/admin/organisations/{id}/charges", params(WhichCharges),
    responses((status = 200, body = List<ChargeView, String>))
)]
pub async fn charges(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    Query(which): Query<WhichCharges>,
) -> Result<Json<List<ChargeView, String>>, ApiError> {
    organisations::line(&app, id).await?;
    Ok(Json(charges_of(&app, id, which).await?))
}

/// Shows everything that a charge of an organisation follows from.
#[utoipa::path(
    get, path = "/admin/organisations/{id}/charges/{meter}/{from}",
    responses((status = 200, body = ExplanationView))
)]
pub async fn explain(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path((id, meter, from)): Path<(OrganisationId, MeterId, DateTime<Utc>)>,
) -> Result<Json<ExplanationView>, ApiError> {
    Ok(Json(metering::explain(&app, id, ChargeKey { from, meter }).await?.into()))
}
