//! What a change touches, and what a look takes: neither grows with the number of machines.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::{PgConnection, PgPool};
use uni_manager::app::App;
use uni_manager::clock::Clock;
use uni_manager::ids::{OrganisationId, PlanId, VmId};
use uni_manager::metering::{self, Metered, PowerState};
use uni_manager::{ledger, runway};

use crate::{figures, run, verdict};

/// How many rows a change may touch, whatever the size of the platform.
const TARGET_TOUCHED: i64 = 12;
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
    app.clock.advance(chrono::TimeDelta::minutes(17));
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

    let mut transaction = pool.begin().await?;
    let before = written(&mut transaction).await?;
    sqlx::raw_sql(
        "insert into price_list_versions (id, price_list_id, number, effective_from, created_at)
             select '01970000-00ff-7000-8000-000000000001', price_list_id, number + 1, timestamptz '2030-07-01', now() from price_list_versions order by number desc limit 1;
         insert into prices (id, price_list_version_id, kind, plan_id, hourly_rate, monthly_cap)
             select gen_random_uuid(), '01970000-00ff-7000-8000-000000000001', kind, plan_id, hourly_rate * 2, monthly_cap * 2 from prices",
    )
    .execute(&mut *transaction)
    .await?;
    let prices = written(&mut transaction).await? - before;
    transaction.rollback().await?;

    println!("a machine stops: {state} rows; a new price for every plan, running and stopped: {prices} rows");
    ensure!(state > 0 && prices > 0, "nothing was counted");
    verdict(
        "rows written by each, which no number of machines changes",
        state.max(prices) <= TARGET_TOUCHED,
        "at most 12",
    );
    Ok(())
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
