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
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    month: String,
}

/// What all customers were charged for the time of a month.
#[derive(Debug, Serialize)]
pub struct RevenueView {
    month: Month,
    total: Money,
    total_of_month_before: Money,
    /// What had been charged for the same time of the month before; null when the month is not the present one.
    month_before_by_now: Option<Money>,
    days: Vec<PartView>,
}

/// What was charged for one thing on one day.
#[derive(Debug, Serialize)]
pub struct PartView {
    day: NaiveDate,
    kind: &'static str,
    plan: Option<PlanId>,
    plan_name: Option<String>,
    amount: Money,
}

/// `GET /admin/revenue?month=`
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
#[derive(Debug, Deserialize)]
pub struct WhichWallets {
    limit: Option<i64>,
    after: Option<OrganisationId>,
    ending: Option<String>,
}

/// Wallets, and how many there are of each kind.
#[derive(Debug, Serialize)]
pub struct WalletsView {
    #[serde(flatten)]
    list: List<WalletLineView>,
    counts: WalletCounts,
}

/// A wallet among others.
#[derive(Debug, Serialize)]
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

/// `GET /admin/wallets?ending=&after=&limit=`
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

/// `GET /admin/organisations/{id}/wallet`
pub async fn wallet(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
) -> Result<Json<WalletDetail>, ApiError> {
    Ok(Json(detail_of(&app, id).await?))
}

/// `GET /admin/organisations/{id}/transfers?kind=&month=&after=&limit=`
pub async fn transfers(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    Query(which): Query<WhichTransfers>,
) -> Result<Json<List<TransferView>>, ApiError> {
    organisations::line(&app, id).await?;
    Ok(Json(transfers_of(&app, id, which).await?))
}

/// `GET /admin/organisations/{id}/charges?month=&day=&vm=&after=&limit=`
pub async fn charges(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
    Query(which): Query<WhichCharges>,
) -> Result<Json<List<ChargeView, String>>, ApiError> {
    organisations::line(&app, id).await?;
    Ok(Json(charges_of(&app, id, which).await?))
}

/// `GET /admin/organisations/{id}/charges/{meter}/{from}`
pub async fn explain(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path((id, meter, from)): Path<(OrganisationId, MeterId, DateTime<Utc>)>,
) -> Result<Json<ExplanationView>, ApiError> {
    Ok(Json(metering::explain(&app, id, ChargeKey { from, meter }).await?.into()))
}
