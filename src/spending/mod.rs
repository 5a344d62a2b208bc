//! What the machines of an API key cost in a day, and the limit of that. A key answers for every machine that it ordered,
//! started or enlarged, from then on. Counted is what the ledger was charged for them since midnight, what has run up since the
//! last charge, and what runs until the next midnight. What would pass the limit is refused, today or on a whole day of all
//! that the key has running: so time alone never passes it, and nothing that runs has to be stopped.
//! `docs/decisions/spending-limits.md` says why.

mod db;

use std::collections::HashMap;

use anyhow::Context;
use billing::{Money, Rate};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;

use crate::app::App;
use crate::audit::Actor;
use crate::catalog::{self, PriceBook};
use crate::error::{Error, Result};
use crate::ids::{ApiKeyId, OrganisationId, VmId};
use crate::ledger::{self, Wallet};
use crate::metering::{self, Unsettled};

/// What a key's machines cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// What was charged for today.
    pub charged: Money,
    /// What has run up since, and what runs until the end of the day.
    pub coming: Money,
    /// What a whole day of all that runs costs.
    pub whole_day: Money,
}

impl Spent {
    /// What today comes to.
    #[must_use]
    pub fn today(&self) -> Money {
        self.charged + self.coming
    }

    /// The dearer of today and of a whole day.
    fn most(&self) -> Money {
        self.today().max(self.whole_day)
    }
}

/// A machine that a key answers for.
struct Answered {
    key: ApiKeyId,
    vm: VmId,
    /// What the key last asked it to run up.
    rate: Rate,
    /// Whether a job is at work on it, so that it may yet become what was asked for.
    is_changing: bool,
}

/// The day of the platform that an instant is in: from midnight to midnight.
#[must_use]
pub fn day_of(now: DateTime<Utc>, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
    metering::span_of_day(now.with_timezone(&zone).date_naive(), zone)
}

/// What the keys of an organisation spend today; those without a machine are left out.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn today(app: &App, organisation: OrganisationId) -> Result<HashMap<ApiKeyId, Spent>> {
    let wallet = ledger::wallet(app, organisation).await?;
    let mut connection = app.pool.acquire().await?;
    let answered = db::select_answered(&mut connection, organisation, None).await?;
    if answered.is_empty() {
        return Ok(HashMap::new());
    }
    spent(app, &mut connection, &wallet, &answered, None).await
}

/// Lets whoever acts make a machine run up `rate` per hour from now on, or refuses it. Only keys have a limit; whatever one
/// asks for is written down, so that it answers for the machine. The wallet is locked in this transaction, and the machine is
/// there.
///
/// # Errors
/// `SpendingLimit` when today, or a whole day of all that the key has running, would pass its limit.
pub async fn allow(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    actor: &Actor,
    vm: VmId,
    rate: Rate,
) -> Result<()> {
    let Some(key) = actor.api_key() else { return Ok(()) };
    let organisation = wallet.organisation;
    let limit = db::select_limit(&mut *connection, organisation, key).await?;
    let before = match limit {
        Some(_) => Some(of_key(app, &mut *connection, wallet, key, None).await?),
        None => None,
    };
    db::upsert(&mut *connection, organisation, key, vm, rate, app.clock.now()).await?;
    let (Some(limit), Some(before)) = (limit, before) else { return Ok(()) };
    let after = of_key(app, connection, wallet, key, Some(vm)).await?;
    let (was, would_be) = (before.most(), after.most());
    // What makes nothing dearer is let through, also beyond the limit: a smaller size, say.
    if would_be > limit && would_be > was {
        return Err(Error::SpendingLimit { limit, used: before.today(), would_be });
    }
    Ok(())
}

async fn of_key(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    key: ApiKeyId,
    asked: Option<VmId>,
) -> Result<Spent> {
    let answered = db::select_answered(&mut *connection, wallet.organisation, Some(key)).await?;
    let spent = spent(app, connection, wallet, &answered, asked).await?;
    Ok(spent.get(&key).copied().unwrap_or_default())
}

/// What keys spend with these machines. `asked` is one that is about to be changed, though no job says so yet.
async fn spent(
    app: &App,
    connection: &mut PgConnection,
    wallet: &Wallet,
    answered: &[Answered],
    asked: Option<VmId>,
) -> Result<HashMap<ApiKeyId, Spent>> {
    let (now, zone) = (app.clock.now(), app.settings.time_zone);
    let (from, to) = day_of(now, zone);
    let mut all: HashMap<ApiKeyId, Spent> = HashMap::new();
    for (key, charged) in db::select_charged(&mut *connection, wallet.organisation, from).await? {
        all.entry(key).or_default().charged = charged;
    }
    let book = catalog::price_book(&mut *connection).await?;
    let meters = metering::unsettled(connection, &book, wallet, zone).await?;
    let day = Day { from, now: now.max(wallet.charged_through), to, zone };
    let mut running: HashMap<VmId, Running> = HashMap::new();
    for meter in meters {
        let vm = running.entry(meter.vm).or_default();
        vm.add(meter, &book, wallet.charged_through, day)?;
    }
    for machine in answered {
        let vm = running.get(&machine.vm).copied().unwrap_or_default();
        let (mut coming, mut rate) = (vm.so_far + vm.to_come, vm.rate);
        if machine.is_changing || asked == Some(machine.vm) {
            // It may be either until its job is done: the dearer counts.
            coming = coming.max(vm.so_far + machine.rate.for_duration((to - day.now).max(TimeDelta::zero())));
            rate = rate.max(machine.rate);
        }
        let spent = all.entry(machine.key).or_default();
        spent.coming += coming;
        spent.whole_day += rate.for_hours(DAY_HOURS);
    }
    Ok(all)
}

/// A whole day. That one in autumn which has an hour more is a day of the calendar, not of a limit.
const DAY_HOURS: i64 = 24;

#[derive(Clone, Copy)]
struct Day {
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    to: DateTime<Utc>,
    zone: Tz,
}

/// What a machine runs up, all of its meters together.
#[derive(Clone, Copy, Default)]
struct Running {
    /// Today, since the last charge.
    so_far: Money,
    /// From now until the end of the day.
    to_come: Money,
    /// Per hour now.
    rate: Rate,
}

impl Running {
    fn add(&mut self, mut meter: Unsettled, book: &PriceBook, charged_through: DateTime<Utc>, day: Day) -> Result<()> {
        let context = "while counting what a key spends";
        // What is left of yesterday only moves the sums of the month.
        let mut rate = |from: DateTime<Utc>, to: DateTime<Utc>| -> Result<Money> {
            let (pieces, _) = meter.pieces(book, from, to).context(context)?;
            let mut sum = Money::ZERO;
            billing::rate_pieces(&mut meter.state, &pieces, day.zone, |charge| sum += charge.amount)
                .context(context)?;
            Ok(sum)
        };
        let begins = charged_through.max(day.from);
        rate(charged_through, begins)?;
        let so_far = rate(begins, day.now.max(begins))?;
        let to_come = rate(day.now.max(begins), day.to)?;
        self.so_far += so_far;
        self.to_come += to_come;
        if let Some(span) = meter.going_on(day.now) {
            self.rate = self.rate + book.burn(span.what, day.now.max(span.from)).context(context)?.0;
        }
        Ok(())
    }
}
