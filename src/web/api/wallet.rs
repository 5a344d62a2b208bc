//! `/wallet`, `/transfers` and `/charges`: what there is, what moved, what for, and why. Operators see the same of any
//! organisation; their doors are in `revenue`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use billing::{Accrued, Money, Month, Rate};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{LIMIT, List};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{MeterId, OrganisationId, TransferId, VmId};
use crate::ledger::{self, Filter, Kind, WalletTransfer};
use crate::metering::uncharged::{self, UnchargedFilter, UnchargedOfVm};
use crate::metering::{self, CHARGES_MAX, Changed, ChargeKey, ChargeLine, Explanation, LinesFilter};
use crate::runway;
use crate::web::error::ApiError;
use crate::web::pages::wallet::csv::{charged_span, month_asked};
use crate::web::read::{Path, Query};
use crate::web::session::ApiCaller;

/// A wallet as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Wallet)]
pub struct WalletView {
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    balance: Money,
    held: Money,
    available: Money,
    burn_per_hour: Rate,
    runs_out_at: Option<DateTime<Utc>>,
    exhausted_at: Option<DateTime<Utc>>,
    charged_through: DateTime<Utc>,
    /// How far below zero the balance may go.
    credit_limit: Money,
}

/// A wallet with what its balance goes to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WalletDetail {
    #[serde(flatten)]
    wallet: WalletView,
    /// Until it runs out; null if it does not.
    lasts_seconds: Option<i64>,
    burn_per_vm: Vec<BurnView>,
}

/// What a machine costs now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BurnOfVm)]
struct BurnView {
    vm: VmId,
    per_hour: Rate,
    /// Of that, disk beyond the plan, addresses, a licence.
    beside_per_hour: Rate,
    /// The machine itself is free until the month ends.
    cap_reached: bool,
}

/// A wallet with what its balance goes to.
///
/// # Errors
/// When PostgreSQL fails.
pub(super) async fn detail_of(app: &App, organisation: OrganisationId) -> Result<WalletDetail> {
    let wallet = ledger::wallet(app, organisation).await?;
    let outlook = runway::detail(app, &wallet).await?;
    let burn = |burn: runway::BurnOfVm| BurnView {
        vm: burn.vm,
        per_hour: burn.per_hour,
        beside_per_hour: burn.beside,
        cap_reached: burn.cap_reached,
    };
    Ok(WalletDetail {
        lasts_seconds: runway::seconds_left(wallet.runs_out_at, app.clock.now()),
        burn_per_vm: outlook.vms.into_iter().map(burn).collect(),
        wallet: WalletView::of(app, &wallet),
    })
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
            credit_limit: wallet.credit_limit,
        }
    }
}

/// A transfer as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Transfer)]
pub struct TransferView {
    id: TransferId,
    at: DateTime<Utc>,
    #[schema(example = "charge")]
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

/// Which transfers are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhichTransfers {
    /// How many, 50 when nothing is said, at most 100.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<TransferId>,
    /// Only these.
    #[param(pattern = "^(charge|credit|debit)$")]
    kind: Option<String>,
    /// Only those of a month such as `2026-11`.
    #[serde(default)]
    #[param(value_type = Option<Month>)]
    month: String,
}

/// A page of an organisation's transfers.
///
/// # Errors
/// `Invalid` for what is no kind or no month.
pub(super) async fn transfers_of(
    app: &App,
    organisation: OrganisationId,
    which: WhichTransfers,
) -> Result<List<TransferView>> {
    let limit = which.limit.unwrap_or(LIMIT).clamp(1, ledger::PAGE_MAX);
    let zone = app.settings.time_zone;
    let kind = which
        .kind
        .as_deref()
        .map(|kind| Kind::parse(kind).ok_or_else(|| Error::invalid("kind", "One of charge, credit and debit.")));
    let month = if which.month.is_empty() { None } else { Some(month_asked(app, &which.month)?) };
    let filter = Filter {
        kind: kind.transpose()?,
        from: month.map(|month| month.start(zone)),
        to: month.map(|month| month.end(zone)),
        after: which.after,
    };
    let found = ledger::transfers_of(app, organisation, &filter, limit + 1).await?;
    Ok(List::of(found, limit, |transfer| transfer.id.uuid(), TransferView::from))
}

/// Which charges are asked for: of a day, of a month, or of the present month.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhichCharges {
    /// How many, 50 when nothing is said, at most 500.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    after: String,
    /// A month such as `2026-11`; the present one when nothing is said.
    #[serde(default)]
    #[param(value_type = Option<Month>)]
    month: String,
    /// Only one day of the platform's time zone.
    day: Option<NaiveDate>,
    /// Only those of one VM.
    vm: Option<VmId>,
}

/// A charge as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Charge)]
pub struct ChargeView {
    meter: MeterId,
    vm: VmId,
    vm_name: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    kind: &'static str,
    /// The name of the plan, or of the image of a licence.
    of: Option<String>,
    quantity: i64,
    /// For all units.
    price_per_hour: Rate,
    amount: Money,
}

impl From<ChargeLine> for ChargeView {
    fn from(charge: ChargeLine) -> Self {
        Self {
            meter: charge.key.meter,
            vm: charge.vm,
            vm_name: charge.vm_name,
            from: charge.key.from,
            to: charge.to,
            kind: charge.item.kind(),
            of: charge.item_name,
            quantity: charge.quantity,
            price_per_hour: charge.rate,
            amount: charge.amount,
        }
    }
}

/// A page of an organisation's charges.
///
/// # Errors
/// `Invalid` for what is no month, no day of a calendar or no cursor.
pub(super) async fn charges_of(
    app: &App,
    organisation: OrganisationId,
    which: WhichCharges,
) -> Result<List<ChargeView, String>> {
    let limit = which.limit.unwrap_or(LIMIT).clamp(1, CHARGES_MAX);
    let (from, to) = charged_span(app, &which.month, which.day)?;
    let after = match which.after.as_str() {
        "" => None,
        after => Some(after.parse().map_err(|_| Error::invalid("after", "The cursor of the page before."))?),
    };
    let filter = LinesFilter { from, to, vm: which.vm, after };
    let found = metering::charge_lines(app, organisation, &filter, limit + 1).await?;
    Ok(List::of(found, limit, |line| line.key.to_string(), ChargeView::from))
}

/// A charge with everything it follows from.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Explanation)]
pub struct ExplanationView {
    charge: ChargeView,
    price: PriceView,
    intervals: Vec<IntervalView>,
    month: Month,
    month_start: DateTime<Utc>,
    /// The length of the charged time.
    microseconds: i64,
    /// The price of an hour times the seconds, in currency × seconds as are the other sums.
    ran_up: Accrued,
    accrued_before: Accrued,
    /// Never more than the cap is worth.
    accrued_after: Accrued,
    /// The highest of the month so far; null: no limit.
    monthly_cap: Option<Money>,
    is_capped: bool,
    /// `accrued_before` ÷ 3600, half to even at six places.
    rounded_before: Money,
    rounded_after: Money,
    /// `rounded_after` − `rounded_before`.
    amount: Money,
    /// Whether that is what was charged.
    is_proved: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChargedPrice)]
struct PriceView {
    price_list: String,
    version: i32,
    effective_from: DateTime<Utc>,
    per_hour_and_unit: Rate,
    monthly_cap_per_unit: Option<Money>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChargedInterval)]
struct IntervalView {
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
    kind: &'static str,
    of: Option<String>,
    quantity: i64,
    price_list: String,
    /// Why it began.
    began_because: &'static str,
}

impl From<Explanation> for ExplanationView {
    fn from(explained: Explanation) -> Self {
        let (amount, is_proved) = (explained.amount(), explained.is_proved());
        let interval = |was: metering::Was| IntervalView {
            from: was.from,
            to: was.to,
            kind: was.item.kind(),
            of: was.item_name,
            quantity: was.quantity,
            price_list: was.list,
            began_because: match was.changed {
                Changed::Began => "made",
                Changed::Resumed => "resumed",
                Changed::Started => "started",
                Changed::Stopped => "stopped",
                Changed::Resized => "resized",
                Changed::Quantity => "quantity",
                Changed::List => "price_list",
                Changed::Image => "image",
            },
        };
        Self {
            charge: explained.charge.into(),
            price: PriceView {
                price_list: explained.price.list,
                version: explained.price.version,
                effective_from: explained.price.effective_from,
                per_hour_and_unit: explained.price.rate,
                monthly_cap_per_unit: explained.price.monthly_cap,
            },
            intervals: explained.intervals.into_iter().map(interval).collect(),
            month: explained.month,
            month_start: explained.month_start,
            microseconds: explained.micros,
            ran_up: explained.ran_up,
            accrued_before: explained.before,
            accrued_after: explained.after,
            monthly_cap: explained.cap,
            is_capped: explained.is_capped,
            rounded_before: explained.rounded_before,
            rounded_after: explained.rounded_after,
            amount,
            is_proved,
        }
    }
}

/// Shows the wallet, how long it lasts, and what it goes to.
#[utoipa::path(get, path = "/wallet", responses((status = 200, body = WalletDetail)))]
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<WalletDetail>, ApiError> {
    Ok(Json(detail_of(&app, caller.organisation.id).await?))
}

/// Lists transfers of the wallet, newest first.
#[utoipa::path(get, path = "/transfers", params(WhichTransfers), responses((status = 200, body = List<TransferView>)))]
pub async fn transfers(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(which): Query<WhichTransfers>,
) -> Result<Json<List<TransferView>>, ApiError> {
    Ok(Json(transfers_of(&app, caller.organisation.id, which).await?))
}

/// Lists charges of a month or a day, newest first.
#[utoipa::path(
    get, path = "/charges", params(WhichCharges),
    responses((status = 200, body = List<ChargeView, String>))
)]
pub async fn charges(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(which): Query<WhichCharges>,
) -> Result<Json<List<ChargeView, String>>, ApiError> {
    Ok(Json(charges_of(&app, caller.organisation.id, which).await?))
}

/// Which time that was not charged is asked for: of a day, of a month, or of the present month.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhichUncharged {
    /// How many, 50 when nothing is said, at most 500.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<i64>,
    /// A month such as `2026-11`; the present one when nothing is said.
    #[serde(default)]
    #[param(value_type = Option<Month>)]
    month: String,
    /// Only one day of the platform's time zone.
    day: Option<NaiveDate>,
    /// Only that of one VM.
    vm: Option<VmId>,
}

/// Lists time in which VMs were there and are not charged: we could not see them, or it was waived.
#[utoipa::path(
    get, path = "/uncharged-times", params(WhichUncharged),
    responses((status = 200, body = List<UnchargedOfVm, i64>))
)]
pub async fn uncharged_times(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(which): Query<WhichUncharged>,
) -> Result<Json<List<UnchargedOfVm, i64>>, ApiError> {
    let limit = which.limit.unwrap_or(LIMIT).clamp(1, CHARGES_MAX);
    let (from, to) = charged_span(&app, &which.month, which.day)?;
    let filter = UnchargedFilter { from, to, vm: which.vm, after: which.after };
    let found = uncharged::of_organisation(&app, caller.organisation.id, filter, limit + 1).await?;
    Ok(Json(List::of(found, limit, |time| time.number, |time| time)))
}

/// Shows everything that a charge follows from.
#[utoipa::path(get, path = "/charges/{meter}/{from}", responses((status = 200, body = ExplanationView)))]
pub async fn explain(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path((meter, from)): Path<(MeterId, DateTime<Utc>)>,
) -> Result<Json<ExplanationView>, ApiError> {
    let explained = metering::explain(&app, caller.organisation.id, ChargeKey { from, meter }).await?;
    Ok(Json(explained.into()))
}
