//! Zero: what is told before the credit ends, and what happens from the instant it did until credit comes: no more machines
//! stop than must, disks are kept for the grace, rescue time is had once, and nothing is deleted unannounced.

mod db;
mod grace;
mod limits;
mod notices;
mod rescue;
mod view;
mod words;

use billing::{Month, Rate, Stoppable};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

pub use grace::{KEEP_DAYS_MAX, Waiting, keep, waiting};
pub use limits::{LIMIT_MAX, OwnZero, change_own, change_settings, own};
pub use rescue::{NewRescue, Rescued, rescue};
pub use view::{AtZero, Ended, at_zero};

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::{self, PowerState};
use crate::error::Result;
use crate::ids::{OrganisationId, VmId};
use crate::ledger::{self, Wallet};
use crate::metering::{self, Metered};
use crate::{live, notifications, platform_settings, runway, vms};

/// How many organisations are looked at before the caller looks around. The rest follows at once.
const BATCH: i64 = 500;
/// After how long a wallet is looked at again that could not be, in minutes.
const RETRY_MINUTES: i64 = 5;

/// One end of a wallet's credit, from the instant it ended until credit comes.
#[derive(Debug, Clone)]
pub(super) struct Exhausted {
    /// Its number.
    id: i64,
    /// When the credit ended.
    at: DateTime<Utc>,
    /// How long disks are kept, in days of 24 hours.
    grace_days: i32,
    /// When rescue time was asked for.
    rescued_at: Option<DateTime<Utc>>,
    /// When it is over or was.
    rescue_until: Option<DateTime<Utc>>,
    rescued_vms: Vec<VmId>,
    /// Machines that have reached their monthly cap run on until here.
    capped_until: Option<DateTime<Utc>>,
    /// When machines were first deleted after the grace.
    deletion_at: Option<DateTime<Utc>>,
    look_at: DateTime<Utc>,
}

impl Exhausted {
    /// When the grace is over.
    fn grace_until(&self) -> DateTime<Utc> {
        self.at + TimeDelta::days(self.grace_days.into())
    }

    /// What the keys of all that is told of this end begin with.
    fn key(&self) -> String {
        key(self.id)
    }
}

fn key(exhausted: i64) -> String {
    format!("credit_ended:{exhausted}:")
}

/// A notice that machines will be deleted.
#[derive(Debug, Clone, Copy)]
struct DeletionNotice {
    number: i32,
    told_at: DateTime<Utc>,
    deletion_on: DateTime<Utc>,
}

/// What was done by [`run_zero`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    /// Wallets of which notices were given or withdrawn.
    pub notified: usize,
    /// Empty wallets that were looked at.
    pub exhausted: usize,
}

/// Gives the notices that are due, withdraws those that are no longer true, and does what is due on empty wallets. One
/// wallet's trouble stays its own.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn run_zero(app: &App) -> Result<Looked> {
    let mut looked = Looked::default();
    for organisation in notices::due(app, BATCH).await? {
        match notices::look(app, organisation).await {
            Ok(()) => looked.notified += 1,
            Err(error) => tracing::error!(%organisation, ?error, "the notices of a wallet could not be looked at"),
        }
    }
    for organisation in db::select_due(&app.pool, app.clock.now(), BATCH).await? {
        match grace::look(app, organisation).await {
            Ok(()) => looked.exhausted += 1,
            Err(error) => {
                tracing::error!(%organisation, ?error, "an empty wallet could not be looked at");
                db::postpone(&app.pool, organisation, app.clock.now() + TimeDelta::minutes(RETRY_MINUTES)).await?;
            }
        }
    }
    Ok(looked)
}

/// When [`run_zero`] has something to do next, as far as it is known and within a day.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn next_zero(app: &App) -> Result<Option<DateTime<Utc>>> {
    let notice = notices::next(app).await?;
    let look = db::select_next_look(&app.pool).await?;
    Ok(notice.into_iter().chain(look).min())
}

/// Ends all metering at `at` and orders the shutdowns, the least important machine first. The wallet is locked and charged
/// through `at`. What it takes to shut the machines down from there on is ours.
pub(super) async fn ran_out(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    if wallet.exhausted_at.is_some() {
        // The debt of the grace has reached its floor. Nothing else changes.
        metering::close_all(&mut *connection, organisation, at).await?;
        return ledger::set_outlook(connection, organisation, Rate::ZERO, None, None).await;
    }
    let zone = app.settings.time_zone;
    let settings = platform_settings::read(&mut *connection).await?;
    let (stop, capped) = must_stop(app, &mut *connection, &wallet, at).await?;
    metering::close_all(&mut *connection, organisation, at).await?;
    ledger::set_exhausted(&mut *connection, organisation, Some(at)).await?;
    ledger::set_outlook(&mut *connection, organisation, Rate::ZERO, None, None).await?;
    vms::shut_down_for_credit(app, &mut *connection, organisation, &stop).await?;
    let capped_until = capped.then(|| Month::of(at, zone).next().start(zone));
    let days = settings.grace_days;
    let id = db::insert_exhausted(&mut *connection, organisation, at, days, capped_until).await?;
    if settings.grace_charged {
        charge_the_grace(app, &mut *connection, organisation, at, at + TimeDelta::days(days.into())).await?;
    }
    notices::over(&mut *connection, organisation, now).await?;
    tell_the_end(app, &mut *connection, organisation, id, stop.len(), now).await?;
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "ran_out_at": at, "vms": stop.len() });
    audit::record(&mut *connection, now, &Actor::system(), Some(organisation), Event::CreditRanOut, subject, detail)
        .await?;
    live::announce(&mut *connection, Some(organisation), "wallet").await?;
    live::announce(connection, None, "exceptions").await?;
    Ok(())
}

/// Which of the running machines must stop, the least important first, and whether any runs on only because it has reached
/// its monthly cap. What could not be metered counts with its price.
async fn must_stop(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    at: DateTime<Utc>,
) -> Result<(Vec<VmId>, bool)> {
    let standing = runway::read_standing(app, &mut *connection, wallet, at).await?;
    let burning = standing.burn_by_vm(app.settings.time_zone);
    let book = catalog::price_book_for(&mut *connection, wallet.organisation).await?;
    let mut running = Vec::new();
    let mut capped = Vec::new();
    for vm in vms::made(connection, wallet.organisation).await? {
        if vm.power_state != PowerState::Running {
            continue;
        }
        let price = book.at(vm.plan, PowerState::Running, at).map_err(anyhow::Error::new)?.rate;
        let burn = burning.get(&vm.id).copied().unwrap_or(price);
        if burn.is_zero() && !price.is_zero() {
            capped.push(vm.id);
        }
        running.push(Stoppable { id: vm.id, running: burn, stopped: Rate::ZERO });
    }
    let stop = billing::to_stop(wallet.credit(), Rate::ZERO, &running);
    let runs_on = capped.iter().any(|vm| !stop.contains(vm));
    Ok((stop, runs_on))
}

/// Charges the price of stopped machines to an empty wallet from `at` on, as a debt. It may come to what all of it costs until
/// the grace is over, and to no more.
async fn charge_the_grace(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<()> {
    ledger::set_charged_grace(&mut *connection, organisation, Some(until), billing::Money::ZERO).await?;
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    for vm in vms::made(&mut *connection, organisation).await?.into_iter().filter(|vm| vm.seen) {
        let what = Metered { vm: vm.id, plan: vm.plan, state: PowerState::Stopped };
        metering::open(app, &mut *connection, &wallet, what, at).await?;
    }
    // So it ends with the grace, to the second, however late anybody looks.
    let debt_max = runway::cost_until(app, &mut *connection, &wallet, until).await?;
    ledger::set_charged_grace(&mut *connection, organisation, Some(until), debt_max).await?;
    runway::recompute(app, connection, organisation, at).await?;
    Ok(())
}

async fn tell_the_end(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: i64,
    stopped: usize,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(known) = db::select_exhausted(&mut *connection, organisation).await? else { return Ok(()) };
    let deletion = grace::first_notice(&mut *connection, organisation, &known, now).await?;
    let notice = words::ended(app, &known, stopped, deletion);
    debug_assert_eq!(known.id, id);
    notifications::tell_organisation(app, connection, organisation, notice, now).await?;
    Ok(())
}

/// Ends the end: credit has come. What was told of it is withdrawn, mails that have not left too. Answers with what it was.
pub(super) async fn over(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<Option<Exhausted>> {
    let Some(known) = db::select_exhausted(&mut *connection, organisation).await? else { return Ok(None) };
    db::end_exhausted(&mut *connection, known.id, now).await?;
    notifications::withdraw_from(&mut *connection, organisation, &known.key(), now).await?;
    ledger::set_exhausted(&mut *connection, organisation, None).await?;
    live::announce(connection, None, "exceptions").await?;
    Ok(Some(known))
}

/// Tells that machines run again.
pub(super) async fn tell_resumed(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    known: &Exhausted,
    counts: (usize, usize),
    now: DateTime<Utc>,
) -> Result<()> {
    notifications::tell_organisation(app, connection, organisation, words::resumed(known, counts), now).await?;
    Ok(())
}
