//! A pass: every wallet that is due is charged through the full hour, or to the instant at which its credit ended. Batches of
//! wallets are charged side by side, in the order of their keys; one that cannot be charged is found and set aside.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use billing::Money;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use sqlx::{Connection, PgConnection};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::batch::{self, CHARGES_PER_BATCH, Room, Size, WALLETS_PER_BATCH};
use super::columns::Columns;
use super::db::{self, passes as pass_rows};
use super::passes::{self, Gate, Sweep};
use super::rated::{self, Until};
use super::zero;
use crate::app::App;
use crate::catalog::{self, PriceBook};
use crate::error::{Error, Result};
use crate::fault;
use crate::ids::OrganisationId;
use crate::ledger;
use crate::metering::{self, BulkCharges};
use crate::platform_settings;

/// How many rounds one call makes before it lets its caller look around.
const ROUNDS_MAX: usize = 10_000;
/// When a wallet that could not be charged is tried again.
const RETRY_MINUTES: i64 = 15;
/// How often a wallet is tried before it is parked.
const TRIES_MAX: i32 = 5;
/// How soon to look again for a wallet that somebody else was working on.
const RECHECK_SECONDS: i64 = 1;
/// Connections of the pool that are left to others.
const CONNECTIONS_LEFT: u32 = 2;

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Wallets looked at.
    pub wallets: usize,
    /// Charges written.
    pub charges: usize,
    /// What was charged.
    pub amount: Money,
    /// Wallets that ran out.
    pub ran_out: usize,
    /// Wallets that could not be charged and are tried again later.
    pub failed: usize,
}

impl Pass {
    fn add(&mut self, other: Self) {
        self.wallets += other.wallets;
        self.charges += other.charges;
        self.amount += other.amount;
        self.ran_out += other.ran_out;
        self.failed += other.failed;
    }
}

/// Charges every wallet that is due, unless a person has to look first.
///
/// # Errors
/// When PostgreSQL fails; what was committed until then stays, and the next pass goes on from there.
pub async fn run(app: &Arc<App>) -> Result<Pass> {
    run_in_batches(app, CHARGES_PER_BATCH).await
}

/// The same with about so many charges in each transaction. What is charged is the same with any number.
///
/// # Errors
/// As [`run`].
pub async fn run_in_batches(app: &Arc<App>, charges: usize) -> Result<Pass> {
    let mut total = Pass::default();
    for _ in 0..ROUNDS_MAX {
        let now = app.clock.now();
        let gate = passes::gate(app, now).await?;
        let mut round = Pass::default();
        if gate != Gate::Nothing {
            let work =
                Arc::new(Work::new(app, now, What::Wakes { only_run_outs: gate == Gate::OnlyRunOuts }, charges).await?);
            passes::hold_run_outs(app, now, gate).await?;
            round.add(side_by_side(app, &work).await?);
        }
        if let Gate::Sweep(sweep) = gate {
            let work = Arc::new(Work::new(app, now, What::Sweep(sweep), charges).await?);
            round.add(side_by_side(app, &work).await?);
            if !db::is_any_left(&app.pool, sweep.hour).await? {
                pass_rows::finish(&app.pool, sweep.id, sweep.hour, app.clock.now()).await?;
                fault::point("charging.finished");
                total.add(round);
                // The next hour may have come, or the run-out of somebody.
                continue;
            }
        }
        total.add(round);
        if round.wallets == 0 {
            break;
        }
    }
    Ok(total)
}

/// When there is something to charge again, if ever.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn next_due(app: &App) -> Result<Option<DateTime<Utc>>> {
    let now = app.clock.now();
    let next_hour = billing::hour_floor(now) + TimeDelta::hours(1);
    let gate = passes::gate(app, now).await?;
    let soon = match gate {
        Gate::Nothing => None,
        Gate::Sweep(_) => Some(now + TimeDelta::seconds(RECHECK_SECONDS)),
        Gate::Done => db::select_next_wake(&app.pool).await?,
        Gate::OnlyRunOuts => db::select_next_run_out(&app.pool).await?,
    };
    let hour = db::is_any_metered(&app.pool).await?.then_some(next_hour);
    Ok([soon, hour].into_iter().flatten().min())
}

/// What the batches that run side by side share.
struct Work {
    now: DateTime<Utc>,
    zone: Tz,
    book: PriceBook,
    limit_hours: u32,
    what: What,
    /// How many charges one transaction writes, about.
    charges_max: usize,
    /// How many batches run side by side.
    workers: usize,
    /// Held while a batch of a sweep is claimed, so that the next one need not step over its locks.
    next: tokio::sync::Mutex<Next>,
    /// Months whose partitions are known to be there.
    months: Mutex<BTreeSet<NaiveDate>>,
    /// One of those who work has failed: no more is claimed.
    is_over: AtomicBool,
}

/// Where the next batch of a sweep begins.
struct Next {
    /// Behind this key.
    after: Uuid,
    /// How many wallets are still to be claimed, about: others may be claiming as well.
    left: i64,
}

enum What {
    /// What cannot wait for the full hour.
    Wakes { only_run_outs: bool },
    /// A full hour.
    Sweep(Sweep),
}

impl Work {
    async fn new(app: &App, now: DateTime<Utc>, what: What, charges_max: usize) -> Result<Self> {
        let mut connection = app.pool.acquire().await?;
        let book = catalog::price_book(&mut connection).await?;
        let limit = platform_settings::read(&mut connection).await?.catch_up_hours;
        let left = if let What::Sweep(sweep) = &what { sweep.wallets } else { 0 };
        let connections = app.pool.options().get_max_connections().saturating_sub(CONNECTIONS_LEFT) / 2;
        let workers = app.settings.charging_workers.min(usize::try_from(connections).unwrap_or(1)).max(1);
        Ok(Self {
            now,
            zone: app.settings.time_zone,
            book,
            limit_hours: u32::try_from(limit).unwrap_or(0),
            what,
            charges_max,
            workers,
            next: tokio::sync::Mutex::new(Next { after: Uuid::nil(), left }),
            months: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    fn until(&self) -> Until {
        match self.what {
            What::Wakes { .. } => Until::Now(self.now),
            What::Sweep(sweep) => Until::Hour(sweep.hour),
        }
    }

    fn is_approved(&self) -> bool {
        matches!(self.what, What::Sweep(sweep) if sweep.is_approved)
    }

    /// The months in which charges begin and whose partitions nobody has seen yet.
    fn unseen_months(&self, charges: &BulkCharges) -> BTreeSet<NaiveDate> {
        let mut months: BTreeSet<_> = charges.from.iter().map(|from| passes::first_day(*from)).collect();
        months.retain(|month| !self.months.lock().unwrap_or_else(PoisonError::into_inner).contains(month));
        months
    }

    /// Makes partitions that are not there.
    async fn ensure_partitions(&self, app: &App, months: BTreeSet<NaiveDate>) -> Result<()> {
        for month in months {
            db::ensure_partition(&app.pool, month).await?;
            self.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month);
        }
        Ok(())
    }
}

/// Runs as many batches at once as are set, until nothing is claimed any more.
async fn side_by_side(app: &Arc<App>, work: &Arc<Work>) -> Result<Pass> {
    // Where nearly all charges begin.
    let usual = [work.now, work.now - TimeDelta::hours(1)].map(passes::first_day);
    work.ensure_partitions(app, usual.into()).await?;
    let mut total = Pass::default();
    if matches!(work.what, What::Wakes { .. }) {
        total = run_batch(app, &mut *app.pool.acquire().await?, work).await?;
        // Most of the time there is nothing more, and nobody else is needed.
        if total.wallets < usize::try_from(WALLETS_PER_BATCH).unwrap_or(usize::MAX) {
            return Ok(total);
        }
    }
    let mut running = JoinSet::new();
    // Goes away with this call: who waits for it then stops at once, in the middle of whatever it does.
    let (_wanted, unwanted) = watch::channel(());
    for _ in 0..work.workers {
        let (app, work, mut unwanted) = (Arc::clone(app), Arc::clone(work), unwanted.clone());
        let runtime = Handle::current();
        // Rating a batch takes long enough for others to notice. While a thread of the runtime computes, it may be that nobody
        // looks at what has come in on the sockets, those of the other workers and of all pages among them.
        running.spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    done = batch_after_batch(&app, &work) => done,
                    _ = unwanted.changed() => Ok(Pass::default()),
                }
            })
        });
    }
    let mut failed = None;
    while let Some(worker) = running.join_next().await {
        match worker.context("a worker of the pass panicked").map_err(Error::from).flatten() {
            Ok(done) => total.add(done),
            Err(error) => {
                // The others write what they have claimed, and nobody finds it locked afterwards.
                work.is_over.store(true, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(total), Err)
}

/// Runs batches until nothing is claimed any more.
async fn batch_after_batch(app: &App, work: &Work) -> Result<Pass> {
    let mut done = Pass::default();
    // One connection for all of them: what PostgreSQL has planned and looked up for the first is there for the others.
    let mut connection = app.pool.acquire().await?;
    for _ in 0..ROUNDS_MAX {
        let batch = run_batch(app, &mut connection, work).await?;
        done.add(batch);
        if batch.wallets == 0 || work.is_over.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(done)
}

/// Which wallets a batch takes.
enum Claim {
    /// The next ones.
    Next,
    /// Those of these that are still due.
    Only(Vec<Uuid>),
}

/// What one transaction has taken on, also when it fails.
#[derive(Default)]
struct Taken {
    wallets: Vec<Uuid>,
    /// What there was no room for: it is claimed again in a transaction of its own.
    left: Vec<Uuid>,
}

/// Charges the next wallets, in as many transactions as what they have run up needs. When PostgreSQL refuses one as a whole,
/// it is halved until the wallet is found that it was refused for.
async fn run_batch(app: &App, connection: &mut PgConnection, work: &Work) -> Result<Pass> {
    let mut done = Pass::default();
    let mut claims = vec![Claim::Next];
    while let Some(claim) = claims.pop() {
        let mut taken = Taken::default();
        let outcome = attempt(app, &mut *connection, work, &claim, &mut taken).await;
        if !taken.left.is_empty() {
            claims.push(Claim::Only(taken.left));
        }
        let error = match outcome {
            Ok(pass) => {
                done.add(pass);
                continue;
            }
            Err(error) if taken.wallets.is_empty() || !concerns_a_wallet(&error) => return Err(error),
            Err(error) => error,
        };
        if let [organisation] = taken.wallets[..] {
            fail(app, work, organisation.into(), &error).await?;
            done.add(Pass { wallets: 1, failed: 1, ..Pass::default() });
            continue;
        }
        tracing::warn!(wallets = taken.wallets.len(), error = ?error, "a batch was refused; it is halved to find out why");
        let halves = taken.wallets.chunks(taken.wallets.len().div_ceil(2));
        claims.extend(halves.map(|half| Claim::Only(half.to_vec())));
    }
    Ok(done)
}

/// Whether an error comes from what was to be written, and not from the way to PostgreSQL or from its state.
fn concerns_a_wallet(error: &Error) -> bool {
    /// Connection, transaction rollback (deadlocks), resources, intervention of an operator, system, configuration.
    const NOT_OURS: [&str; 6] = ["08", "40", "53", "57", "58", "F0"];
    let Error::Internal(cause) = error else { return true };
    match cause.chain().find_map(|cause| cause.downcast_ref::<sqlx::Error>()) {
        None => true,
        Some(sqlx::Error::Database(database)) => {
            database.code().is_none_or(|code| !NOT_OURS.iter().any(|class| code.starts_with(class)))
        }
        Some(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_)) => true,
        Some(_) => false,
    }
}

/// One wallet's trouble stays its own: the others are charged, this one is tried again, and shown to an operator.
async fn fail(app: &App, work: &Work, organisation: OrganisationId, error: &Error) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let again = work.now + TimeDelta::minutes(RETRY_MINUTES);
    let parked =
        db::fail(&mut transaction, organisation, work.now, again, TRIES_MAX, &super::parked::words(error)).await?;
    tracing::error!(%organisation, parked, error = ?error, "a wallet could not be charged");
    crate::live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    Ok(())
}

/// Claims wallets and charges as many of them as there is room for, in one transaction.
async fn attempt(
    app: &App,
    connection: &mut PgConnection,
    work: &Work,
    claim: &Claim,
    taken: &mut Taken,
) -> Result<Pass> {
    let mut transaction = connection.begin().await?;
    let due = match (claim, &work.what) {
        (Claim::Only(organisations), _) => {
            let hour = match work.until() {
                Until::Hour(hour) => hour,
                Until::Now(now) => billing::hour_floor(now),
            };
            db::claim_only(&mut transaction, organisations, hour, work.now).await?
        }
        (Claim::Next, What::Wakes { only_run_outs: true }) => {
            db::claim_run_outs(&mut transaction, work.now, WALLETS_PER_BATCH).await?
        }
        (Claim::Next, What::Wakes { .. }) => db::claim_wakes(&mut transaction, work.now, WALLETS_PER_BATCH).await?,
        (Claim::Next, What::Sweep(sweep)) => {
            let mut next = work.next.lock().await;
            let size = batch::wallets(next.left, work.workers);
            let due = db::claim_next(&mut transaction, next.after, sweep.hour, size).await?;
            if let Some(last) = due.last() {
                next.after = last.organisation.uuid();
                next.left = next.left.saturating_sub(i64::try_from(due.len()).unwrap_or(i64::MAX));
            }
            due
        }
    };
    if due.is_empty() {
        return Ok(Pass::default());
    }
    taken.wallets.extend(due.iter().map(|wallet| wallet.organisation.uuid()));
    let whose = batch::whose(&mut transaction, &taken.wallets).await?;
    let mut checkpoints = metering::checkpoints(&mut transaction, &work.book, whose).await?;
    fault::point("charging.claimed");

    let mut pass = Pass::default();
    let mut columns = Columns::default();
    let mut room = Room::of(work.charges_max);
    let (mut ran_out, mut failed, mut behind) = (Vec::new(), Vec::new(), 0_usize);
    let mut unfinished = None;
    for (index, wallet) in due.into_iter().enumerate() {
        let organisation = wallet.organisation;
        let Some(target) = rated::target(&wallet, work.until(), work.limit_hours, work.is_approved()) else {
            behind += 1;
            continue;
        };
        let meters = checkpoints.remove(&organisation).unwrap_or_default();
        let Some(through) = room.fit(&wallet, Size::of(&meters), target) else {
            taken.left = taken.wallets.split_off(index);
            break;
        };
        match rated::charge(wallet, meters, &work.book, through, work.zone)
            .and_then(|charged| columns.add(charged, &work.book, work.zone))
        {
            Ok(added) => {
                pass.charges += added.charges;
                pass.amount += added.amount;
                if through < target && added.ran_out.is_none() {
                    unfinished = Some(organisation.uuid());
                }
                ran_out.extend(added.ran_out);
            }
            Err(error) => failed.push((organisation, error)),
        }
    }
    pass.wallets = taken.wallets.len();
    taken.left.extend(unfinished);
    let unseen = work.unseen_months(&columns.charges);
    if !unseen.is_empty() {
        // Partitions are made on a connection of their own, and whoever has the others may be waiting for these wallets: they
        // are let go before, and claimed again.
        transaction.rollback().await?;
        work.ensure_partitions(app, unseen).await?;
        let Taken { mut wallets, mut left } = std::mem::take(taken);
        wallets.append(&mut left);
        return Box::pin(attempt(app, connection, work, &Claim::Only(wallets), taken)).await;
    }
    metering::bulk_charge(&mut transaction, &columns.charges, &columns.meters).await?;
    fault::point("charging.charged");
    ledger::bulk_post(&mut transaction, &columns.transfers, &columns.wallets).await?;
    fault::point("charging.posted");
    pass.ran_out = ran_out.len();
    for (organisation, at) in ran_out {
        zero::ran_out(app, &mut transaction, organisation, at, work.now).await?;
    }
    if let What::Sweep(sweep) = &work.what {
        let small = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let part = pass_rows::Part {
            wallets: small(pass.wallets - failed.len() - behind - usize::from(unfinished.is_some())),
            charges: small(pass.charges),
            amount: pass.amount,
            ran_out: small(pass.ran_out),
        };
        pass_rows::insert_part(&mut transaction, sweep.id, &part).await?;
    }
    fault::point("charging.before_commit");
    transaction.commit().await?;
    fault::point("charging.committed");
    app.hub.announce_soon(None, "wallet");
    pass.failed = failed.len();
    for (organisation, error) in failed {
        fail(app, work, organisation, &error).await?;
    }
    if behind > 0 {
        passes::hold_behind(app, work.now).await?;
    }
    Ok(pass)
}
