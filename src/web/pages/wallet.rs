//! The wallet: what there is, how long it lasts, what it goes to and where it went. Credit is added elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::{Money, Month};
use serde::Deserialize;

use super::frames::{Notice, decimal, lasts, level, portal, render, render_with, wallet_view};
use super::vms::vm_status;
use crate::app::App;
use crate::charging::{self, AtZero};
use crate::error::Result;
use crate::ids::{TransferId, VmId};
use crate::ledger::{self, Wallet, WalletTransfer};
use crate::metering::{self, VmMonth};
use crate::vms::{self, Vm};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::read::Query;
use crate::web::session::Customer;
use crate::web::views::frame::Section;
use crate::web::views::wallet::{
    BurnRow, ChargeRow, RedeemForm, TransferKind, TransferRow, TransferTable, WalletDetail, WalletPage,
};
use crate::web::views::zero::RanOut;

/// How many lines of the ledger one page shows.
const TRANSFERS_SHOWN: i64 = 25;

/// From where on the ledger is shown.
#[derive(Debug, Deserialize)]
pub struct From {
    after: Option<TransferId>,
}

/// Lines of a ledger for a page that shows at most `shown` of them and was given one more when there are older ones.
/// `url` is the page's own path; `is_newest` says that the table begins at the newest line.
pub(super) fn transfer_table(
    app: &App,
    mut transfers: Vec<WalletTransfer>,
    shown: i64,
    url: &str,
    is_newest: bool,
) -> TransferTable {
    let shown = usize::try_from(shown).unwrap_or(0);
    let has_older = transfers.len() > shown;
    transfers.truncate(shown);
    let oldest = transfers.last().filter(|_| has_older).map(|transfer| transfer.id);
    TransferTable {
        older_url: oldest.map(|id| format!("{url}?after={id}#ledger")),
        newest_url: (!is_newest).then(|| format!("{url}#ledger")),
        rows: transfers.into_iter().map(transfer_row).collect(),
        currency: app.settings.currency.clone(),
    }
}

fn transfer_row(transfer: WalletTransfer) -> TransferRow {
    let kind = match transfer.code.as_str() {
        "charge" => TransferKind::Charge,
        "manual_credit" => TransferKind::Credit,
        "sign_up_credit" | "voucher" => TransferKind::Promotion,
        _ => TransferKind::Other,
    };
    TransferRow {
        at: transfer.at,
        kind,
        text: transfer.memo,
        amount: decimal(transfer.amount),
        balance_after: decimal(transfer.balance_after),
    }
}

/// `GET /wallet`
pub async fn show(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Query(from): Query<From>,
) -> Result<Response, PageError> {
    let page = wallet_page(&app, &customer, &notice, from.after, RedeemForm::default()).await?;
    Ok(render_with(&app, &notice, &page))
}

/// The page with its ledger from before a transfer on, and with the form for a voucher as it was typed.
pub(super) async fn wallet_page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    after: Option<TransferId>,
    redeem: RedeemForm,
) -> Result<WalletPage> {
    let organisation = customer.organisation();
    let now = app.clock.now();
    let month = Month::of(now, app.settings.time_zone);
    let month_start = month.start(app.settings.time_zone);

    let wallet = ledger::wallet(app, organisation).await?;
    let months = metering::month_by_vm(app, organisation, month_start, vms::PAGE_MAX).await?;
    let machines = vms::list(app, organisation, None, vms::PAGE_MAX).await?;
    let counts = vms::count(app, organisation).await?;
    let transfers = ledger::transfers(app, organisation, after, TRANSFERS_SHOWN + 1).await?;
    Ok(WalletPage {
        frame: portal(app, customer, "Wallet", Section::Wallet, notice).await?,
        wallet: detail(app, &wallet, counts, &charging::at_zero(app, organisation).await?),
        burns: burns(&machines, &months),
        month: month.first_day().format("%B %Y").to_string(),
        charged_this_month: decimal(metering::month_of_organisation(app, organisation, month_start).await?),
        charges: months.into_iter().map(charge_row).collect(),
        transfers: transfer_table(app, transfers, TRANSFERS_SHOWN, "/wallet", after.is_none()),
        redeem,
    })
}

/// `GET /wallet/header`
pub async fn header(State(app): State<Arc<App>>, customer: Customer) -> Result<Response, PageError> {
    let wallet = ledger::wallet(&app, customer.organisation()).await?;
    Ok(render(&wallet_view(&app, &wallet)))
}

fn detail(app: &App, wallet: &Wallet, counts: vms::Counts, zero: &AtZero) -> WalletDetail {
    let now = app.clock.now();
    let exhausted = wallet.exhausted_at.is_some();
    WalletDetail {
        balance: decimal(wallet.balance),
        available: decimal(wallet.available()),
        reserved: decimal(wallet.held),
        burn_per_hour: wallet.burn_per_hour.to_decimal(),
        lasts: lasts(exhausted, wallet.runs_out_at, now),
        runs_out_at: wallet.runs_out_at.filter(|_| !exhausted),
        consequence: consequence(wallet, counts).into(),
        level: level(exhausted, wallet.runs_out_at, now),
        ran_out: ran_out(zero, format::unsigned(counts.stopped_for_credit)),
        how_to_get_credit: app.settings.credit_contact.clone(),
    }
}

/// What the end of the credit did, while it lasts, to so many machines.
pub(super) fn ran_out(zero: &AtZero, machines: u64) -> Option<RanOut> {
    zero.ended.as_ref().map(|ended| RanOut {
        machines,
        at: ended.at,
        grace_until: ended.grace_until,
        grace_charged: zero.grace_charged,
        deletion_on: ended.deletion_on,
        rescue_until: ended.rescue_until,
        rescue_hours: ended.can_rescue.then(|| format::unsigned(zero.rescue_hours.into())),
    })
}

/// What happens when the credit ends.
fn consequence(wallet: &Wallet, counts: vms::Counts) -> &'static str {
    if counts.running > 0 {
        "When the credit ends, your running VMs are shut down in an orderly way; their disks and addresses are kept, and they start again when credit arrives."
    } else if wallet.burn_per_hour > billing::Rate::ZERO {
        "When the credit ends, nothing more is charged; disks and addresses are kept."
    } else if wallet.balance > Money::ZERO {
        "Nothing is using your credit now. A VM is charged from the moment it runs until it is deleted."
    } else {
        "A VM is charged from the moment it runs until it is deleted; a new one needs a day of its price in the wallet."
    }
}

fn burns(machines: &[Vm], months: &[VmMonth]) -> Vec<BurnRow> {
    let capped: HashMap<VmId, bool> =
        months.iter().map(|month| (month.vm, month.cap.is_some_and(|cap| month.charged >= cap))).collect();
    let mut burning: Vec<&Vm> = machines.iter().filter(|vm| vm.rate > billing::Rate::ZERO).collect();
    burning.sort_by(|one, other| other.rate.cmp(&one.rate).then_with(|| one.name.cmp(&other.name)));
    burning
        .into_iter()
        .map(|vm| {
            let cap_reached = capped.get(&vm.id).copied().unwrap_or(false);
            let rate = if cap_reached { billing::Rate::ZERO } else { vm.rate };
            BurnRow {
                vm_id: vm.id.to_string(),
                name: vm.name.clone(),
                state: vm_status(vm).state,
                plan: vm.plan_name.clone(),
                per_hour: rate.to_decimal(),
                cap_reached,
            }
        })
        .collect()
}

fn charge_row(month: VmMonth) -> ChargeRow {
    ChargeRow {
        vm_id: (!month.is_deleted).then(|| month.vm.to_string()),
        name: month.vm_name,
        seconds_running: month.running_seconds,
        seconds_stopped: month.stopped_seconds,
        charged: decimal(month.charged),
        cap: month.cap.map(decimal),
    }
}
