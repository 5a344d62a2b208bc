//! `/wallet`, `/transfers` and `/charges`: what there is, what moved, what for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{List, Page};
use crate::app::App;
use crate::ids::{TransferId, VmId};
use crate::ledger::{self, WalletTransfer};
use crate::metering::{self, VmCharge};
use crate::web::error::ApiError;
use crate::web::read::Query;
use crate::web::session::ApiCaller;

/// How many of the latest charges are shown.
const CHARGES_MAX: i64 = 500;

/// A wallet as programs see it.
#[derive(Debug, Serialize)]
pub struct WalletView {
    currency: String,
    balance: Money,
    held: Money,
    available: Money,
    burn_per_hour: Rate,
    runs_out_at: Option<DateTime<Utc>>,
    exhausted_at: Option<DateTime<Utc>>,
    charged_through: DateTime<Utc>,
}

impl WalletView {
    /// A wallet in the platform's currency.
    pub(super) fn of(app: &App, wallet: &ledger::Wallet) -> Self {
        Self {
            currency: app.settings.currency.clone(),
            balance: wallet.balance,
            held: wallet.held,
            available: wallet.available(),
            burn_per_hour: wallet.burn_per_hour,
            runs_out_at: wallet.runs_out_at,
            exhausted_at: wallet.exhausted_at,
            charged_through: wallet.charged_through,
        }
    }
}

/// A transfer as programs see it.
#[derive(Debug, Serialize)]
pub struct TransferView {
    id: TransferId,
    at: DateTime<Utc>,
    code: String,
    memo: String,
    /// Positive when it adds to the balance.
    amount: Money,
    balance_after: Money,
}

impl From<WalletTransfer> for TransferView {
    fn from(transfer: WalletTransfer) -> Self {
        Self {
            id: transfer.id,
            at: transfer.at,
            code: transfer.code,
            memo: transfer.memo,
            amount: transfer.amount,
            balance_after: transfer.balance_after,
        }
    }
}

/// A charge as programs see it.
#[derive(Debug, Serialize)]
pub struct ChargeView {
    vm: VmId,
    vm_name: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    kind: &'static str,
    quantity: i64,
    price_per_hour: Rate,
    amount: Money,
}

impl From<VmCharge> for ChargeView {
    fn from(charge: VmCharge) -> Self {
        Self {
            vm: charge.vm,
            vm_name: charge.vm_name,
            from: charge.from,
            to: charge.to,
            kind: charge.item.kind(),
            quantity: charge.quantity,
            price_per_hour: charge.rate,
            amount: charge.amount,
        }
    }
}

/// `GET /wallet`
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<WalletView>, ApiError> {
    let wallet = ledger::wallet(&app, caller.organisation.id).await?;
    Ok(Json(WalletView::of(&app, &wallet)))
}

/// `GET /transfers`
pub async fn transfers(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(page): Query<Page>,
) -> Result<Json<List<TransferView>>, ApiError> {
    let limit = page.limit(ledger::PAGE_MAX);
    let found = ledger::transfers(&app, caller.organisation.id, page.after(), limit + 1).await?;
    Ok(Json(List::of(found, limit, |transfer| transfer.id.uuid(), TransferView::from)))
}

/// `GET /charges`: the latest.
pub async fn charges(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(page): Query<Page>,
) -> Result<Json<List<ChargeView>>, ApiError> {
    let charges = metering::latest_charges(&app, caller.organisation.id, None, page.limit(CHARGES_MAX)).await?;
    Ok(Json(List { items: charges.into_iter().map(ChargeView::from).collect(), next: None }))
}
