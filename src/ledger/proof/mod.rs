//! The proof of the books, from the bottom: intervals and prices are rated again and must give the charges, the charges of a
//! wallet's hour must be its transfer, the transfers its balance; what is held must be for machines being made. It sees one
//! instant of the database, so it can run beside everything else, and holds some wallets in memory at a time, whatever
//! there is. It stops at the first difference.

mod meter;
mod posted;

use std::collections::HashMap;

use anyhow::Context;
use billing::{Month, hour_ceil, hour_floor};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use futures_util::TryStreamExt;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use self::meter::{Meter, Prices};
use self::posted::Posted;
use super::db::proof::{self as db, ProvedWallet, Range};
use crate::error::{Error, Result};

/// The meters, intervals and transfers of at most so many wallets are in memory at a time; charges come one by one.
const WALLETS_PER_BATCH: i64 = 500;
/// And of no more wallets than together have so many hours, each of which may have a transfer: of one, if it is that old.
const HOURS_PER_BATCH: i64 = 200_000;

/// Why the proof stops.
enum Stop {
    /// Something does not add up: a sentence for the operator.
    Difference(String),
    /// It could not be looked at.
    Failed(Error),
}

impl<Failure: Into<Error>> From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.into())
    }
}

fn differs<T>(sentence: String) -> Result<T, Stop> {
    Err(Stop::Difference(sentence))
}

/// Which charges are proved. Every month begins at nothing, so a proof may begin with any.
#[derive(Clone, Copy)]
struct Scope {
    zone: Tz,
    /// The first month; none: from the beginning.
    from: Option<Month>,
}

impl Scope {
    fn since(self) -> DateTime<Utc> {
        self.from.map_or(DateTime::UNIX_EPOCH, |month| month.start(self.zone))
    }

    /// Whether the hour of an instant began before: some of its charges are of another month and are not proved.
    fn cuts_hour_of(self, at: DateTime<Utc>) -> bool {
        hour_floor(at) < hour_ceil(self.since())
    }
}

/// The first thing that does not add up, if any; billing months are those of `zone`.
///
/// # Errors
/// When PostgreSQL fails, or what is stored cannot be rated at all.
pub async fn first_difference(pool: &PgPool, zone: Tz) -> Result<Option<String>> {
    first(pool, Scope { zone, from: None }).await
}

/// The same, but of what was metered and charged only from the beginning of a month on. Balances, accounts and holds are
/// proved whole.
///
/// # Errors
/// When PostgreSQL fails, or what is stored cannot be rated at all.
pub async fn first_difference_from(pool: &PgPool, zone: Tz, month: Month) -> Result<Option<String>> {
    first(pool, Scope { zone, from: Some(month) }).await
}

async fn first(pool: &PgPool, scope: Scope) -> Result<Option<String>> {
    let mut snapshot = pool.begin_with("begin isolation level repeatable read read only").await?;
    match prove(&mut snapshot, scope).await {
        Ok(()) => Ok(None),
        Err(Stop::Difference(sentence)) => Ok(Some(sentence)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

async fn prove(connection: &mut PgConnection, scope: Scope) -> Result<(), Stop> {
    let prices = Prices::of(db::select_prices(&mut *connection).await?);
    let mut after = Uuid::nil();
    loop {
        let mut wallets = db::select_wallets(&mut *connection, after, WALLETS_PER_BATCH).await?;
        let full = i64::try_from(wallets.len()).is_ok_and(|found| found == WALLETS_PER_BATCH);
        let is_more_to_come = shorten(&mut wallets, scope.since()) || full;
        // The last range is open, so that what belongs to no wallet is found as well.
        let through = wallets.last().filter(|_| is_more_to_come).map_or(Uuid::max(), |last| last.organisation);
        let cursors = wallets.iter().map(|wallet| (wallet.organisation, wallet.charged_through)).collect();
        prove_charges(&mut *connection, Range { after, through }, &cursors, &prices, scope).await?;
        if !is_more_to_come {
            break;
        }
        after = through;
    }
    for difference in [
        db::select_wrong_revenue(&mut *connection, scope.since()).await?,
        db::select_wrong_account(&mut *connection).await?,
        db::select_wrong_balance(&mut *connection).await?,
        db::select_wrong_meter(&mut *connection).await?,
        db::select_overlooked(&mut *connection).await?,
        db::select_wrong_hold(connection).await?,
    ] {
        difference.map_or(Ok(()), differs)?;
    }
    Ok(())
}

/// Leaves away what is too much for one batch, and says whether something was.
fn shorten(wallets: &mut Vec<ProvedWallet>, since: DateTime<Utc>) -> bool {
    let mut hours = 0;
    let fits = wallets.iter().take_while(|wallet| {
        hours += (wallet.charged_through - wallet.created_at.max(since)).num_hours().max(0);
        hours <= HOURS_PER_BATCH
    });
    let (all, kept) = (wallets.len(), fits.count().max(1));
    wallets.truncate(kept);
    kept < all
}

/// Rates the intervals of some organisations again, and compares with what was charged and posted.
async fn prove_charges(
    connection: &mut PgConnection,
    range: Range,
    cursors: &HashMap<Uuid, DateTime<Utc>>,
    prices: &Prices,
    scope: Scope,
) -> Result<(), Stop> {
    let since = scope.since();
    let mut meters: HashMap<Uuid, Meter> = HashMap::new();
    for meter in db::select_meters(&mut *connection, range).await? {
        meters.insert(meter.id, Meter::new(meter, scope));
    }
    let ids: Vec<Uuid> = meters.keys().copied().collect();
    for interval in db::select_intervals(&mut *connection, &ids, since).await? {
        let meter = meters.get_mut(&interval.meter).context("an interval came without its meter")?;
        meter.add(interval)?;
    }
    let mut posted: HashMap<Uuid, Posted> = HashMap::new();
    {
        let mut transfers = std::pin::pin!(db::select_charge_transfers(&mut *connection, range, since));
        while let Some(transfer) = transfers.try_next().await? {
            posted.entry(transfer.organisation).or_default().add(transfer, scope)?;
        }
    }
    posted.values_mut().for_each(Posted::sort);

    let mut charges = std::pin::pin!(db::select_charges(connection, range, since));
    while let Some(charge) = charges.try_next().await? {
        let Some(cursor) = cursors.get(&charge.organisation) else {
            return differs(format!(
                "meter {} is charged to organisation {}, which has no wallet",
                charge.meter, charge.organisation
            ));
        };
        let Some(meter) = meters.get_mut(&charge.meter).filter(|meter| meter.organisation == charge.organisation)
        else {
            return differs(format!(
                "{} is charged to organisation {}, which has no such meter",
                during(charge.meter, charge.from, charge.to),
                charge.organisation
            ));
        };
        meter.prove(&charge, *cursor, prices)?;
        posted.entry(charge.organisation).or_default().take(&charge, scope)?;
    }
    for meter in meters.values_mut() {
        let Some(cursor) = cursors.get(&meter.organisation) else {
            return differs(format!(
                "meter {} belongs to organisation {}, which has no wallet",
                meter.id, meter.organisation
            ));
        };
        meter.finish(*cursor, prices)?;
    }
    for (organisation, posted) in &posted {
        posted.finish(*organisation)?;
    }
    Ok(())
}

/// Names a time of a meter in a sentence.
fn during(meter: Uuid, from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    format!("meter {meter} from {} to {}", instant(from), instant(to))
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
