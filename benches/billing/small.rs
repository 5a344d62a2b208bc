//! What a change touches, and what a look takes: neither grows with the number of machines.

use std::time::{Duration, Instant};

use anyhow::ensure;
use billing::hour_floor;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use uni_manager::app::App;
use uni_manager::audit::Actor;
use uni_manager::clock::Clock;
use uni_manager::ids::{OrganisationId, PlanId, VmId};
use uni_manager::metering::{self, Metered, PowerState};
use uni_manager::pricing::{self, NewPrice, NewVersion};
use uni_manager::{ledger, runway};

use crate::{figures, run, verdict};

/// How many rows a change may touch, whatever the size of the platform: a new version of the prices has a row for each price.
const TARGET_TOUCHED: i64 = 12;
/// How long before they begin the new prices are announced.
const NOTICE_DAYS: i64 = 60;
/// How often a wallet is read.
const READS: usize = 2_000;
const TARGET_READ: Duration = Duration::from_millis(1);

/// Counts the rows that a stop and a new version of the prices write.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn touched(pool: &PgPool, machines: usize) -> anyhow::Result<()> {
    println!("\n== rows written by a change, with {machines} VMs metered");
    let app = App::new(pool.clone(), Clock::set_to(crate::HOUR.parse()?), run::settings(1)?);
    app.clock.advance(TimeDelta::minutes(17));
    let mut transaction = pool.begin().await?;
    let (vm, organisation, plan): (VmId, OrganisationId, PlanId) = {
        let (vm, organisation, plan): (uuid::Uuid, uuid::Uuid, uuid::Uuid) =
            sqlx::query_as("select id, organisation_id, plan_id from vms order by id limit 1")
                .fetch_one(&mut *transaction)
                .await?;
        (vm.into(), organisation.into(), plan.into())
    };
    let before = written(&mut transaction).await?;
    let now = app.clock.now();
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    metering::open(&app, &mut transaction, &wallet, Metered { vm, plan, state: PowerState::Stopped }, now).await?;
    runway::recompute(&app, &mut transaction, organisation, now).await?;
    let state = written(&mut transaction).await? - before;
    transaction.rollback().await?;

    let prices = rows_of_new_prices(pool, now).await?;
    println!("a machine stops: {state} rows; a new price for every plan, running and stopped: {prices} rows");
    ensure!(state > 0 && prices > 0, "nothing was counted");
    verdict(
        "rows written by each, which no number of machines changes",
        state.max(prices) <= TARGET_TOUCHED,
        "at most 12",
    );
    Ok(())
}

/// Announces twice the price of everything that is sold, as an operator does, and counts what that writes.
async fn rows_of_new_prices(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<i64> {
    // One connection does it all, so that what it has counted can be asked of it.
    let one = PgPoolOptions::new().max_connections(1).connect_with((*pool.connect_options()).clone()).await?;
    let app = App::new(one.clone(), Clock::set_to(now), run::settings(1)?);
    let list: uuid::Uuid = sqlx::query_scalar("select id from price_lists order by id limit 1").fetch_one(&one).await?;
    let prices: Vec<(String, Option<uuid::Uuid>, String, Option<String>)> = sqlx::query_as(
        "select kind, plan_id, (hourly_rate * 2)::text, (monthly_cap * 2)::text from prices where plan_id is not null",
    )
    .fetch_all(&one)
    .await?;
    let prices = prices.into_iter().map(|(kind, plan, price_per_hour, monthly_cap)| NewPrice {
        kind,
        plan: plan.map(PlanId::from),
        image: None,
        price_per_hour: Some(price_per_hour),
        monthly_cap,
    });
    let effective_from = hour_floor(now) + TimeDelta::days(NOTICE_DAYS);
    let new = NewVersion { effective_from: Some(effective_from), prices: prices.collect(), ..NewVersion::default() };

    let before = committed(&one).await?;
    pricing::change(&app, list.into(), &new, &Actor::system()).await?;
    let after = committed(&one).await?;
    one.close().await;
    Ok(after - before)
}

/// Rows that were written and committed so far.
async fn committed(one: &PgPool) -> anyhow::Result<i64> {
    sqlx::query("select pg_stat_force_next_flush()").execute(one).await?;
    Ok(sqlx::query_scalar(
        "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint from pg_stat_user_tables",
    )
    .fetch_one(one)
    .await?)
}

/// Rows that this transaction has written so far.
async fn written(connection: &mut PgConnection) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(
        "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint from pg_stat_xact_user_tables",
    )
    .fetch_one(connection)
    .await?)
}

/// Reads balance and runway of wallets all over the table, and beside it nothing.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn reads(pool: &PgPool, organisations: usize) -> anyhow::Result<()> {
    println!("\n== balance and runway of a wallet, {READS} of {organisations} one after the other");
    let app = App::new(pool.clone(), Clock::set_to(crate::HOUR.parse()?), run::settings(1)?);
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select organisation_id from wallets order by md5(organisation_id::text) limit $1")
            .bind(i64::try_from(READS)?)
            .fetch_all(pool)
            .await?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for id in ids {
        let start = Instant::now();
        let wallet = ledger::wallet(&app, id.into()).await?;
        ours.push(start.elapsed());
        ensure!(wallet.balance.is_positive(), "an empty wallet");
        let start = Instant::now();
        sqlx::query("select 1").execute(pool).await?;
        floor.push(start.elapsed());
    }
    let (median, slow) = (figures::percentile(&ours, 50), figures::percentile(&ours, 99));
    let floor = figures::percentile(&floor, 50);
    println!(
        "ours: median {:.3} ms, 99 % within {:.3} ms; `select 1`: median {:.3} ms",
        median.as_secs_f64() * 1000.0,
        slow.as_secs_f64() * 1000.0,
        floor.as_secs_f64() * 1000.0
    );
    println!("ratio: {:.2}", figures::ratio(median, floor));
    verdict("median of a read", median < TARGET_READ, "under 1 ms");
    Ok(())
}
