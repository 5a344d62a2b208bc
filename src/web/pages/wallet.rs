//! The wallet: what there is, how long it lasts, what it goes to and where it went. Credit is added elsewhere. All that ever
//! moved is in `ledger`, what was charged in `charges`, one charge explained in `explain`, files in `csv`.

pub mod csv;

mod charges;
mod explain;
mod ledger_page;
mod place;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::{Money, Month};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use super::frames::{Notice, decimal, lasts_at, level, portal, render, render_with, wallet_view};
use super::vms::vm_status;
use crate::app::App;
use crate::charging::{self, AtZero};
use crate::error::Result;
use crate::ids::{OrganisationId, VmId};
use crate::ledger::{self, BalancePoint, Wallet, WalletTransfer};
use crate::metering::{self, VmMonth};
use crate::organisations;
use crate::runway::{self, BurnOfVm};
use crate::vms::{self, Vm};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::session::Customer;
use crate::web::views::chart::{Chart, Key, Line, Point, Spot};
use crate::web::views::form::SelectOption;
use crate::web::views::frame::Section;
use crate::web::views::wallet::{
    BurnRow, ChargeRow, RedeemForm, TransferKind, TransferRow, TransferTable, WalletDetail, WalletPage,
};
use crate::web::views::zero::RanOut;

pub(super) use charges::line_name;
pub use charges::{charges, charges_of_customer};
pub use explain::{explain, explain_to_staff};
pub use ledger_page::{ledger, ledger_of_customer};

/// How many lines of the ledger the wallet's page shows.
const TRANSFERS_SHOWN: i64 = 10;
/// How many days back the balance is drawn.
const DAYS_DRAWN: i64 = 30;
/// How many words stand below the drawing.
const WORDS_BELOW: i32 = 5;
/// How many units a drawing is wide.
const WIDTH: i64 = 1_000;
/// The most months that can be chosen: ten years.
const MONTHS_MAX: usize = 120;
/// On every which day a chart of days has a word.
const DAYS_PER_WORD: u32 = 5;

/// The months of which an organisation can have moved money.
pub(super) struct Months {
    first: Month,
    /// The present one.
    pub last: Month,
}

impl Months {
    /// From when the organisation was made until now.
    pub(super) async fn of(app: &App, organisation: OrganisationId) -> Result<Self> {
        let created = organisations::line(app, organisation).await?.created_at;
        let last = metering::month_of(app, app.clock.now());
        Ok(Self { first: metering::month_of(app, created).min(last), last })
    }

    pub(super) fn has(&self, month: Month) -> bool {
        (self.first..=self.last).contains(&month)
    }

    /// The month that a text names, if it is one of them.
    pub(super) fn chosen(&self, text: &str) -> Option<Month> {
        text.parse().ok().filter(|month| self.has(*month))
    }

    /// All of them, latest first.
    pub(super) fn options(&self) -> Vec<SelectOption> {
        month_options(self.first, self.last)
    }
}

/// Months to choose from, latest first.
pub(super) fn month_options(first: Month, last: Month) -> Vec<SelectOption> {
    std::iter::successors(Some(last), |month| crate::revenue::month_before(*month))
        .take_while(|month| *month >= first)
        .take(MONTHS_MAX)
        .map(|month| SelectOption { value: month.to_string(), text: name_of(month) })
        .collect()
}

/// The days of a month.
pub(super) fn days_in(month: Month) -> Vec<NaiveDate> {
    month.first_day().iter_days().take_while(|day| Month::from(*day) == month).collect()
}

/// What is written below the columns of days: some of their numbers.
pub(super) fn words_of_days(days: &[NaiveDate]) -> Vec<String> {
    let has_word = |day: &NaiveDate| day.day() == 1 || day.day().is_multiple_of(DAYS_PER_WORD);
    days.iter().map(|day| if has_word(day) { day.day().to_string() } else { String::new() }).collect()
}

/// `November 2026`.
pub(super) fn name_of(month: Month) -> String {
    month.first_day().format("%B %Y").to_string()
}

/// `Tue 10 Nov 2026`.
pub(super) fn name_of_day(day: NaiveDate) -> String {
    day.format("%a %-d %b %Y").to_string()
}

/// Lines of a ledger for a page that shows at most `shown` of them and was given one more when there are older ones.
/// `url` is the page's own path, perhaps with a query; `is_newest` says that the table begins at the newest line. `base` is
/// what the URLs of charges begin with.
pub(super) fn transfer_table(
    app: &App,
    mut transfers: Vec<WalletTransfer>,
    shown: i64,
    url: &str,
    is_newest: bool,
    base: &str,
) -> TransferTable {
    let shown = usize::try_from(shown).unwrap_or(0);
    let has_older = transfers.len() > shown;
    transfers.truncate(shown);
    let oldest = transfers.last().filter(|_| has_older).map(|transfer| transfer.id);
    let and = if url.contains('?') { '&' } else { '?' };
    TransferTable {
        older_url: oldest.map(|id| format!("{url}{and}after={id}#ledger")),
        newest_url: (!is_newest).then(|| format!("{url}#ledger")),
        rows: transfers.into_iter().map(|transfer| transfer_row(app, transfer, base)).collect(),
        currency: app.settings.currency.clone(),
    }
}

fn transfer_row(app: &App, transfer: WalletTransfer, base: &str) -> TransferRow {
    let kind = match transfer.code.as_str() {
        "charge" => TransferKind::Charge,
        "manual_credit" => TransferKind::Credit,
        "payment" => TransferKind::Payment,
        "sign_up_credit" | "voucher" => TransferKind::Promotion,
        _ if transfer.amount.is_negative() => TransferKind::Taken,
        _ => TransferKind::Other,
    };
    let url = (kind == TransferKind::Charge).then(|| {
        // A charge is posted with the end of its hour, which may be the next day's midnight.
        let within = transfer.at - TimeDelta::microseconds(1);
        let day = within.with_timezone(&app.settings.time_zone).date_naive();
        format!("{base}/charges?day={day}")
    });
    TransferRow {
        at: transfer.at,
        kind,
        text: transfer.memo,
        amount: decimal(transfer.amount),
        balance_after: decimal(transfer.balance_after),
        url,
    }
}

/// `GET /wallet`
pub async fn show(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let page = wallet_page(&app, &customer, &notice, RedeemForm::default()).await?;
    Ok(render_with(&app, &notice, &page))
}

/// The page, with the form for a voucher as it was typed.
pub(super) async fn wallet_page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    redeem: RedeemForm,
) -> Result<WalletPage> {
    let organisation = customer.organisation();
    let now = app.clock.now();
    let month = metering::month_of(app, now);
    let month_start = month.start(app.settings.time_zone);

    let wallet = ledger::wallet(app, organisation).await?;
    let months = metering::month_by_vm(app, organisation, month_start, vms::PAGE_MAX).await?;
    let machines = vms::list(app, organisation, None, vms::PAGE_MAX).await?;
    let counts = vms::count(app, organisation).await?;
    let transfers = ledger::transfers(app, organisation, None, TRANSFERS_SHOWN + 1).await?;
    let balances = ledger::balances_since(app, organisation, now - TimeDelta::days(DAYS_DRAWN)).await?;
    let parked_since = ledger::uncharged_since(app, organisation).await?;
    let outlook = runway::detail(app, &wallet).await?;
    let is_new = transfers.is_empty();
    let mut table = transfer_table(app, transfers, TRANSFERS_SHOWN, "/wallet", true, "/wallet");
    table.older_url = table.older_url.map(|_| "/wallet/ledger".to_owned());
    Ok(WalletPage {
        frame: portal(app, customer, "Wallet", Section::Wallet, notice).await?,
        wallet: detail(app, &wallet, counts, &charging::at_zero(app, organisation).await?, parked_since, is_new),
        chart: chart(app, &wallet, &balances, &outlook.ahead),
        burns: burns(&machines, &months, &outlook.vms),
        month: name_of(month),
        charged_this_month: decimal(metering::month_of_organisation(app, organisation, month_start).await?),
        charges: months.into_iter().map(|charged| charge_row(charged, month)).collect(),
        transfers: table,
        redeem,
    })
}

/// The balance of the last days, and how it will go. Nothing is drawn while it never moved and will not.
fn chart(app: &App, wallet: &Wallet, past: &[BalancePoint], ahead: &[BalancePoint]) -> Option<Chart> {
    let (now, currency) = (app.clock.now(), &app.settings.currency);
    if past.is_empty() && ahead.is_empty() {
        return None;
    }
    let begin = past.first().map_or(now - TimeDelta::days(DAYS_DRAWN), |point| point.at).min(now);
    let end = ahead.last().map_or(now, |point| point.at).max(now + TimeDelta::hours(1));
    let whole = (end - begin).num_seconds().max(1);
    let place = |at: DateTime<Utc>| (at - begin).num_seconds().clamp(0, whole) * WIDTH / whole;
    let mut shown: Vec<Point> = Vec::with_capacity(past.len() + 1);
    for BalancePoint { at, balance } in past.iter().copied().chain([BalancePoint { at: now, balance: wallet.balance }])
    {
        let point = Point { x: place(at), micros: balance.micros() };
        // Several in one unit of the drawing are one; the first and the last of all stay.
        match shown.last_mut() {
            Some(last) if last.x == point.x && past.len() > 1 => *last = point,
            _ => shown.push(point),
        }
    }
    let line = Line {
        past: shown,
        ahead: ahead.iter().map(|point| Point { x: place(point.at), micros: point.balance.micros() }).collect(),
        now: place(now),
        spots: spots(past, ahead, currency, place, app),
    };
    let (drawing, heights) = line.draw(currency);
    let word = |word: i32| format::day_and_month(&(begin + (end - begin) / (WORDS_BELOW - 1) * word));
    let money = |amount: Money| format::money(&decimal(amount), currency);
    let will = match ahead.last() {
        Some(last) if wallet.runs_out_at.is_some_and(|at| at <= last.at) => {
            format!(" If everything stays as it is, it is used up at {} UTC.", format::time(&last.at))
        }
        Some(last) => {
            format!(" If everything stays as it is, {} are left on {}.", money(last.balance), format::date(&last.at))
        }
        None => String::new(),
    };
    let mut keys = vec![Key { class: "chart-key-line".into(), text: "what it was".into() }];
    if !ahead.is_empty() {
        keys.push(Key { class: "chart-key-ahead".into(), text: "if everything stays as it is".into() });
    }
    Some(Chart {
        id: "balance-chart",
        title: "The balance over time.".into(),
        description: format!(
            "From {} on {} to {} now.{will}",
            money(past.first().map_or(wallet.balance, |point| point.balance)),
            format::date(&begin),
            money(wallet.balance)
        ),
        drawing,
        heights,
        places: (0..WORDS_BELOW).map(word).collect(),
        columns: false,
        keys,
    })
}

/// A word for each day, with the last balance of it.
fn spots(
    past: &[BalancePoint],
    ahead: &[BalancePoint],
    currency: &str,
    place: impl Fn(DateTime<Utc>) -> i64,
    app: &App,
) -> Vec<Spot> {
    let day = |at: DateTime<Utc>| at.with_timezone(&app.settings.time_zone).date_naive();
    let mut spots: Vec<(NaiveDate, Spot)> = Vec::new();
    for point in past.iter().chain(ahead) {
        let of = day(point.at);
        let words = format!("{}: {}", name_of_day(of), format::balance(&decimal(point.balance), currency));
        let x = place(point.at);
        match spots.last_mut() {
            Some((last, spot)) if *last == of => (spot.to, spot.words) = (x, words),
            last => {
                let from = last.map_or(x, |(_, spot)| spot.to);
                spots.push((of, Spot { from, to: x, words }));
            }
        }
    }
    spots.into_iter().map(|(_, spot)| spot).collect()
}

/// `GET /wallet/header`
pub async fn header(State(app): State<Arc<App>>, customer: Customer) -> Result<Response, PageError> {
    let wallet = ledger::wallet(&app, customer.organisation()).await?;
    Ok(render(&wallet_view(&app, &wallet)))
}

fn detail(
    app: &App,
    wallet: &Wallet,
    counts: vms::Counts,
    zero: &AtZero,
    parked_since: Option<DateTime<Utc>>,
    is_new: bool,
) -> WalletDetail {
    let now = app.clock.now();
    let exhausted = wallet.exhausted_at.is_some();
    WalletDetail {
        balance: decimal(wallet.balance),
        available: decimal(wallet.available()),
        reserved: decimal(wallet.held),
        burn_per_hour: wallet.burn_per_hour.to_decimal(),
        lasts: lasts_at(wallet.burn_per_hour, exhausted, wallet.runs_out_at, now),
        runs_out_at: wallet.runs_out_at.filter(|_| !exhausted),
        consequence: consequence(wallet, counts).into(),
        level: level(exhausted, wallet.runs_out_at, now),
        ran_out: ran_out(zero, format::unsigned(counts.stopped_for_credit)),
        below_zero: wallet.balance.is_negative().then(|| decimal(-wallet.balance)),
        credit_limit: decimal(wallet.credit_limit),
        parked_since,
        charged_through: wallet.charged_through,
        is_new,
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

fn burns(machines: &[Vm], months: &[VmMonth], outlook: &[BurnOfVm]) -> Vec<BurnRow> {
    let machines: HashMap<VmId, &Vm> = machines.iter().map(|vm| (vm.id, vm)).collect();
    let charged: HashMap<VmId, Money> = months.iter().map(|month| (month.vm, month.charged)).collect();
    let rows = outlook.iter().filter_map(|burn| Some((burn, machines.get(&burn.vm)?)));
    rows.map(|(burn, vm)| BurnRow {
        vm_id: vm.id.to_string(),
        name: vm.name.clone(),
        state: vm_status(vm).state,
        plan: vm.plan_name.clone(),
        per_hour: burn.per_hour.to_decimal(),
        beside: burn.beside.to_decimal(),
        cap_reached: burn.cap_reached,
        month: decimal(charged.get(&burn.vm).copied().unwrap_or(Money::ZERO)),
        cap: vm.monthly_cap.map(decimal),
    })
    .collect()
}

fn charge_row(charged: VmMonth, month: Month) -> ChargeRow {
    ChargeRow {
        url: format!("/wallet/charges?month={month}&vm={}", charged.vm),
        vm_id: (!charged.is_deleted).then(|| charged.vm.to_string()),
        name: charged.vm_name,
        seconds_running: charged.running_seconds,
        seconds_stopped: charged.stopped_seconds,
        charged: decimal(charged.charged),
        cap: charged.cap.map(decimal),
    }
}
