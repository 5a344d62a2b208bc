//! After the end of the credit: rescue time that is over, notices of a deletion, and the deletion itself. Disks are kept for the
//! grace; then machines are deleted only when enough notices were delivered, the last a day ago, and no sooner than on the day
//! that the last one named. What its owner has protected is never deleted.

use billing::{DELETION_NOTICES_MAX, Deletion, LAST_NOTICE_HOURS, Money, ZeroRules};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::{DeletionNotice, Exhausted, db, key, words};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::catalog::{self, PowerState};
use crate::charging::resume;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, VmId};
use crate::ledger::{self, Wallet};
use crate::platform_settings::{self, PlatformSettings};
use crate::vms::{self, Made};
use crate::{live, metering, notifications, organisations, runway};

/// The most days that an operator adds to a grace at once.
pub const KEEP_DAYS_MAX: i32 = 365;
/// The longest a grace may become, in days.
const GRACE_DAYS_MAX: i32 = 3_650;
/// How many machines of one wallet are deleted in one transaction. The rest follows at the next look.
const DELETIONS_MAX: usize = 50;
/// How often is looked whether what is in the way of a deletion is still there, in minutes.
const WAIT_MINUTES: i64 = 15;
/// From how long before a deletion operators are told of it, in days.
const TOLD_DAYS: i64 = 3;
/// How many of them are shown.
const WAITING_MAX: i64 = 50;

/// A wallet of which machines will be deleted, or would be.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Waiting {
    /// Whose.
    pub organisation: OrganisationId,
    /// Its name.
    pub organisation_name: String,
    /// When the credit ended.
    pub exhausted_at: DateTime<Utc>,
    /// When machines are deleted, at the earliest.
    pub deletion_on: DateTime<Utc>,
    /// When some were.
    pub deletion_at: Option<DateTime<Utc>>,
    /// Why nothing is deleted although the grace is over.
    pub waits: Option<String>,
    /// How many machines are deleted.
    pub vms: i64,
    /// How many are protected by their owner and kept.
    pub protected: i64,
}

/// The wallets of which machines are deleted within the next days, or would be if nothing were in the way; the next first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn waiting(app: &App) -> Result<Vec<Waiting>> {
    let mut connection = app.pool.acquire().await?;
    if !platform_settings::read(&mut connection).await?.delete_after_grace {
        return Ok(Vec::new());
    }
    drop(connection);
    db::select_waiting(&app.pool, app.clock.now() + TimeDelta::days(TOLD_DAYS), WAITING_MAX).await
}

/// Keeps the disks of an empty wallet so many days longer.
///
/// # Errors
/// `Invalid` for a number out of range, `Conflict` when the wallet is not empty, `NotFound` without such an organisation.
pub async fn keep(app: &App, organisation: OrganisationId, days: i32, actor: &Actor) -> Result<DateTime<Utc>> {
    if !(1..=KEEP_DAYS_MAX).contains(&days) {
        return Err(Error::invalid("days", format!("From 1 to {KEEP_DAYS_MAX} days.")));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let Some(mut known) = db::select_exhausted(&mut *transaction, organisation).await? else {
        return Err(Error::conflict("This wallet has not run out: nothing of it is going to be deleted."));
    };
    let before = known.grace_until();
    // Counted from now if the grace is over already.
    let gone = i32::try_from((now - known.at).num_days()).unwrap_or(GRACE_DAYS_MAX);
    known.grace_days = known.grace_days.max(gone).saturating_add(days);
    if known.grace_days > GRACE_DAYS_MAX {
        return Err(Error::invalid("days", format!("Disks are kept for at most {GRACE_DAYS_MAX} days.")));
    }
    known.look_at = now;
    db::update_exhausted(&mut transaction, &known, None).await?;
    let until = known.grace_until();
    let subject = Subject::new("wallet", organisation, organisations::name_of(&mut transaction, organisation).await?);
    let detail = Changes::of("kept_until", &before, &until)?.with(json!({ "days": days, "until": until }));
    audit::record(&mut transaction, now, actor, Some(organisation), Event::GraceExtended, subject, detail).await?;
    live::announce(&mut transaction, None, "exceptions").await?;
    live::announce(&mut transaction, Some(organisation), "wallet").await?;
    transaction.commit().await?;
    Ok(until)
}

fn rules(settings: &PlatformSettings, known: &Exhausted) -> ZeroRules {
    let whole = |number: i32| u32::try_from(number).unwrap_or(0);
    ZeroRules {
        grace_days: whole(known.grace_days),
        deletion_notices_min: whole(settings.deletion_notices_min),
        rescue_hours: whole(settings.rescue_hours),
    }
}

/// The day that a notice names: the grace is over then, and whatever must still be told can have been.
fn deletion_on(rules: &ZeroRules, known: &Exhausted, number: i32, now: DateTime<Utc>) -> DateTime<Utc> {
    let needed = i64::from(rules.deletion_notices_min.max(1));
    let days = (needed - i64::from(number)).max(0) + 1;
    (now + TimeDelta::hours(LAST_NOTICE_HOURS * days)).max(known.grace_until())
}

/// Writes down the first notice of a deletion, which goes with the one of the end; none when nothing is going to be deleted.
pub(super) async fn first_notice(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    known: &Exhausted,
    now: DateTime<Utc>,
) -> Result<Option<DeletionNotice>> {
    let settings = platform_settings::read(&mut *connection).await?;
    if !settings.delete_after_grace || deletable(&mut *connection, organisation, now).await?.is_empty() {
        return Ok(None);
    }
    let deletion_on = deletion_on(&rules(&settings, known), known, 1, now);
    let notice = DeletionNotice { number: 1, told_at: now, deletion_on };
    db::insert_deletion_notice(connection, known.id, &notice).await?;
    Ok(Some(notice))
}

/// What is deleted after the grace: what costs something and is not protected.
async fn deletable(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<Vec<Made>> {
    let mut made = costing(connection, organisation, now).await?;
    made.retain(|vm| !vm.protected);
    Ok(made)
}

/// Whether anything would be deleted after the grace.
pub(super) async fn has_deletable(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<bool> {
    Ok(!deletable(connection, organisation, now).await?.is_empty())
}

/// What costs something while it runs, the least important first.
async fn costing(connection: &mut PgConnection, organisation: OrganisationId, now: DateTime<Utc>) -> Result<Vec<Made>> {
    let book = catalog::price_book_for(&mut *connection, organisation).await?;
    let mut found = Vec::new();
    for vm in vms::made(connection, organisation).await? {
        if !book.at(vm.plan, PowerState::Running, now).map_err(anyhow::Error::new)?.rate.is_zero() {
            found.push(vm);
        }
    }
    found.reverse();
    Ok(found)
}

/// Does what is due on an empty wallet, and says when to look again.
pub(super) async fn look(app: &App, organisation: OrganisationId) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let Some(mut known) = db::select_exhausted(&mut *transaction, organisation).await? else { return Ok(()) };
    if known.look_at > now {
        return Ok(());
    }
    // Another limit is credit as well.
    if resume::has_recovered(app, &mut transaction, &wallet, now).await? {
        resume::receive(app, &mut transaction, organisation, now).await?;
        transaction.commit().await?;
        return Ok(());
    }
    let mut next = now + db::FAR;
    let mut at_latest = |at: DateTime<Utc>| next = next.min(at);
    if let Some(until) = wallet.rescue_until {
        if until <= now { end_rescue(app, &mut transaction, &wallet, &mut known, now).await? } else { at_latest(until) }
    }
    if let Some(until) = known.capped_until {
        if until <= now {
            // A new month: they cost something again.
            known.capped_until = None;
            if !in_rescue(&known, now) {
                stop_running(app, &mut transaction, organisation, |_| true, now).await?;
            }
        } else {
            at_latest(until);
        }
    }
    if let Some(until) = wallet.grace_charged_until {
        if until <= now { end_charged_grace(app, &mut transaction, &wallet, now).await? } else { at_latest(until) }
    }
    let settings = platform_settings::read(&mut transaction).await?;
    let mut waits = None;
    if settings.delete_after_grace {
        let (until, why) = toward_deletion(app, &mut transaction, organisation, &mut known, &settings, now).await?;
        at_latest(until);
        waits = why;
    }
    // Never at once again: what could not be done is not done by doing it without end.
    known.look_at = next.max(now + TimeDelta::seconds(1));
    db::update_exhausted(&mut transaction, &known, waits.as_deref()).await?;
    transaction.commit().await?;
    Ok(())
}

fn in_rescue(known: &Exhausted, now: DateTime<Utc>) -> bool {
    known.rescue_until.is_some_and(|until| now < until)
}

async fn end_rescue(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    known: &mut Exhausted,
    now: DateTime<Utc>,
) -> Result<()> {
    ledger::set_rescue(&mut *connection, wallet.organisation, None).await?;
    let rescued = std::mem::take(&mut known.rescued_vms);
    // What has reached its cap ran before and runs on; whatever else came up stops with what was rescued.
    let capped = known.capped_until.is_some();
    let stop = |vm: &Made| !capped || rescued.contains(&vm.id);
    let stopped = stop_running(app, &mut *connection, wallet.organisation, stop, now).await?;
    let subject = Subject::new("wallet", wallet.organisation, "Wallet");
    let (system, owner) = (Actor::system(), Some(wallet.organisation));
    let detail = json!({ "vms": stopped });
    audit::record(&mut *connection, now, &system, owner, Event::RescueEnded, subject, detail).await?;
    live::announce(connection, owner, "wallet").await?;
    Ok(())
}

async fn stop_running(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    which: impl Fn(&Made) -> bool,
    now: DateTime<Utc>,
) -> Result<usize> {
    let running = costing(&mut *connection, organisation, now).await?;
    let stop: Vec<VmId> =
        running.iter().filter(|vm| vm.power_state == PowerState::Running && which(vm)).map(|vm| vm.id).collect();
    vms::shut_down_for_credit(app, connection, organisation, &stop).await?;
    Ok(stop.len())
}

/// From here on stopped machines are not charged any more. What they cost until here still is.
async fn end_charged_grace(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    now: DateTime<Utc>,
) -> Result<()> {
    let organisation = wallet.organisation;
    let until = wallet.grace_charged_until.unwrap_or(now);
    for vm in vms::made(&mut *connection, organisation).await? {
        metering::close(&mut *connection, wallet, vm.id, until).await?;
    }
    // The debt is still owed, so the limit that allows it stays.
    let limit = ledger::credit_limit_of(&mut *connection, organisation).await?;
    let debt_max = Money::from_micros((wallet.credit_limit.micros() - limit.micros()).max(0));
    ledger::set_charged_grace(&mut *connection, organisation, None, debt_max).await?;
    runway::recompute(app, connection, organisation, now).await?;
    Ok(())
}

/// Gives the next notice of a deletion when it is due, and deletes when that is allowed. Answers when to look again, and why
/// nothing is deleted if the grace is over.
async fn toward_deletion(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    known: &mut Exhausted,
    settings: &PlatformSettings,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, Option<String>)> {
    let doomed = deletable(&mut *connection, organisation, now).await?;
    if doomed.is_empty() {
        return Ok((now + db::FAR, None));
    }
    let rules = rules(settings, known);
    let exhaustion = billing::Exhaustion { at: known.at, rescued_at: known.rescued_at };
    let mut told = db::select_deletion_notices(&mut *connection, known.id).await?;
    let keys: Vec<String> = told.iter().map(|notice| format!("{}{}:", key(known.id), notice.number)).collect();
    let delivered = notifications::delivered(&mut *connection, organisation, &keys).await?;
    let delivered: Vec<DateTime<Utc>> = delivered.into_values().collect();
    let decided = rules.deletion(&exhaustion, &delivered, now);

    // A day lies between two notices: several at once are one.
    let gap = told.last().map_or(known.at, |last| last.told_at + TimeDelta::hours(LAST_NOTICE_HOURS));
    let planned = rules.deletion_notices_at(known.at).get(told.len()).copied();
    let again = matches!(decided, Deletion::TooFewNotices { .. } | Deletion::InGrace { .. });
    let due_at = match planned {
        Some(at) => Some(at.max(gap)),
        // What was not delivered is told again, until it is.
        None => (again && delivered.len() < told.len() && told.len() < DELETION_NOTICES_MAX as usize)
            .then(|| gap.max(known.grace_until())),
    };
    let why = match decided {
        Deletion::TooFewNotices { delivered, needed } => {
            Some(format!("Only {delivered} of {needed} notices could be delivered by mail."))
        }
        Deletion::Allowed
        | Deletion::InGrace { .. }
        | Deletion::InRescue { .. }
        | Deletion::LastNoticeTooFresh { .. } => None,
    };
    if let Some(due_at) = due_at.filter(|due_at| *due_at <= now) {
        let number = told.last().map_or(1, |last| last.number + 1);
        let notice = DeletionNotice { number, told_at: now, deletion_on: deletion_on(&rules, known, number, now) };
        db::insert_deletion_notice(&mut *connection, known.id, &notice).await?;
        notifications::tell_organisation(app, &mut *connection, organisation, words::deletion(app, known, notice), now)
            .await?;
        live::announce(&mut *connection, None, "exceptions").await?;
        told.push(notice);
        tracing::info!(%organisation, number, %due_at, "a notice of deletion was given");
        return Ok((now + TimeDelta::minutes(WAIT_MINUTES), why));
    }
    let named = told.iter().map(|notice| notice.deletion_on).max().unwrap_or(known.grace_until());
    let until = match decided {
        Deletion::Allowed if named <= now => {
            delete(app, &mut *connection, organisation, known, &doomed, now).await?;
            now + TimeDelta::minutes(WAIT_MINUTES)
        }
        Deletion::Allowed => named,
        Deletion::InGrace { until } | Deletion::InRescue { until } | Deletion::LastNoticeTooFresh { until } => until,
        Deletion::TooFewNotices { .. } => now + TimeDelta::minutes(WAIT_MINUTES),
    };
    Ok((due_at.map_or(until, |due_at| due_at.min(until)), why))
}

async fn delete(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    known: &mut Exhausted,
    doomed: &[Made],
    now: DateTime<Utc>,
) -> Result<()> {
    let wallet = ledger::lock_wallet(&mut *connection, organisation).await?;
    let system = Actor::system();
    let mut deleted = Vec::new();
    // What still runs has reached its cap, or its shutdown is not over: it follows when it is off.
    let off = doomed.iter().filter(|vm| vm.power_state == PowerState::Stopped);
    for vm in off.take(DELETIONS_MAX) {
        match vms::delete_within(app, &mut *connection, &wallet, vm.id, &system).await {
            Ok(_) => deleted.push(vm.name.clone()),
            // Something is at work on it: it follows when that is over.
            Err(Error::Conflict(why)) => tracing::info!(vm = %vm.id, why, "not deleted yet"),
            Err(error) => return Err(error),
        }
    }
    if deleted.is_empty() {
        return Ok(());
    }
    known.deletion_at.get_or_insert(now);
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "vms": deleted });
    audit::record(&mut *connection, now, &system, Some(organisation), Event::GraceEnded, subject, detail).await?;
    let notice = words::deleted(app, known, &deleted, now);
    notifications::tell_organisation(app, &mut *connection, organisation, notice, now).await?;
    live::announce(connection, None, "exceptions").await?;
    Ok(())
}
