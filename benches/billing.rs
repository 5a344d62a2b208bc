//! One hour of 100,000 running machines charged by the engine, beside one hand-written SQL statement that writes the same.
//!
//! Each run has a fresh copy of the same database on the same durable server. Both must end with the same charges, meters,
//! transfers and balances, to the last digit, and the ledger must add up; else it fails. It never fails for being slow.
#![expect(clippy::print_stdout, reason = "it reports to a person at a terminal")]
#![expect(clippy::float_arithmetic, reason = "speeds of measurements are not money")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/server.rs"]
mod server;

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use uni_manager::app::App;
use uni_manager::clock::Clock;
use uni_manager::config::{Settings, Vault, token_key};
use uni_manager::{charging, database, ledger};

use crate::server::Server;

const VMS: usize = 100_000;
const ORGANISATIONS: usize = 20_000;
const CUSTOMERS: &str = include_str!("shared/customers.sql");
const STATEMENT: &str = include_str!("shared/one_statement.sql");
/// The hour that is charged begins here: the middle of a month, when nothing special happens.
const HOUR: &str = "2030-06-15T13:00:00Z";
/// How often each runs, by turns.
const ROUNDS: usize = 5;
/// As many connections as the engine could use; it uses one.
const CONNECTIONS: u32 = 4;
/// Engine speed over statement speed.
const TARGET_RATIO: f64 = 0.5;
/// The most memory, in MB.
const TARGET_MEGABYTES: f64 = 600.0;

/// What one run cost.
struct Run {
    time: Duration,
    wal_bytes: i64,
}

impl Run {
    fn vms_per_second(&self) -> f64 {
        VMS as f64 / self.time.as_secs_f64()
    }

    fn show(&self, who: &str) {
        println!(
            "  {who:<10} {:>7.0} VMs/s ({}), {:.1} MB of WAL",
            self.vms_per_second(),
            figures::milliseconds(self.time),
            self.wal_bytes as f64 / 1e6
        );
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let from: DateTime<Utc> = HOUR.parse()?;
    let to = from + TimeDelta::hours(1);
    let server = Server::start().await?;
    let original = server.database("original", 2).await?;
    println!("machine: {}", figures::machine(&original).await?);
    let start = Instant::now();
    sqlx::raw_sql(AssertSqlSafe(CUSTOMERS.replace("HOUR", HOUR)))
        .execute(&mut *original.acquire().await?)
        .await
        .context("while inserting the customers")?;
    sqlx::raw_sql("vacuum (analyze)").execute(&original).await?;
    prove_adds_up(&original, "the database to begin with").await?;
    original.close().await;
    println!(
        "{VMS} running VMs of {ORGANISATIONS} organisations (inserted in {:.0} s), charged for one hour:",
        start.elapsed().as_secs_f64()
    );

    let (mut engine_runs, mut statement_runs, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    let mut megabytes: f64 = 0.0;
    for round in 0..ROUNDS {
        for turn in 0..2 {
            // Who goes first changes, so that neither always has the warmer machine.
            let by_engine = (round + turn) % 2 == 0;
            server.administer("create database copy template original strategy file_copy").await?;
            server.administer("checkpoint").await?;
            let pool = database::connect(&server.url("copy"), CONNECTIONS).await?;
            let run = if by_engine {
                reset_peak()?;
                let run = measured(&pool, by_engine_until(&pool, to)).await?;
                megabytes = megabytes
                    .max(memory::megabytes("self", "VmHWM").context("the kernel does not tell the peak of memory")?);
                run.show("engine");
                run
            } else {
                let run = measured(&pool, by_statement(&pool, from, to)).await?;
                run.show("statement");
                run
            };
            prove_adds_up(&pool, if by_engine { "the engine's database" } else { "the statement's database" }).await?;
            sums.push(checksum(&pool).await?);
            pool.close().await;
            server.administer("drop database copy").await?;
            if by_engine { engine_runs.push(run) } else { statement_runs.push(run) }
        }
    }
    let Some(first) = sums.first() else { bail!("nothing was measured") };
    ensure!(sums.iter().all(|sum| sum == first), "engine and statement differ: {sums:#?}");
    println!(
        "  proved: {VMS} charges, {VMS} meters, {ORGANISATIONS} transfers and balances are the same, and the ledger adds up"
    );

    let (engine, statement) = (median(&engine_runs), median(&statement_runs));
    let ratio = figures::ratio(statement, engine);
    let verdict = |reached| if reached { "reached" } else { "missed" };
    println!(
        "peak memory of the engine's process: {megabytes:.0} MB (target: under {TARGET_MEGABYTES:.0} MB: {})",
        verdict(megabytes < TARGET_MEGABYTES)
    );
    println!("ratio: {ratio:.2}");
    println!(
        "  (engine speed / statement speed, of the medians of {ROUNDS}: higher is better; target: at least {TARGET_RATIO}: {})",
        verdict(ratio >= TARGET_RATIO)
    );
    Ok(())
}

fn median(runs: &[Run]) -> Duration {
    figures::percentile(&runs.iter().map(|run| run.time).collect::<Vec<_>>(), 50)
}

async fn measured(pool: &PgPool, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Run> {
    let before: String = sqlx::query_scalar("select pg_current_wal_lsn()::text").fetch_one(pool).await?;
    let start = Instant::now();
    work.await?;
    let time = start.elapsed();
    let wal_bytes = sqlx::query_scalar("select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint")
        .bind(before)
        .fetch_one(pool)
        .await?;
    Ok(Run { time, wal_bytes })
}

async fn by_engine_until(pool: &PgPool, to: DateTime<Utc>) -> anyhow::Result<()> {
    let settings = Settings {
        public_url: "http://127.0.0.1".into(),
        currency: "EUR".into(),
        time_zone: chrono_tz::UTC,
        sign_up_credit: "0".parse()?,
        registration_open: false,
        credit_contact: String::new(),
        vault: Vault::from_keys(&Vault::generate_key())?,
        token_key: token_key("a key for measurements and nothing else".into())?,
        mailer: uni_manager::mail::Mailer::Kept,
        demo: false,
    };
    let app = App::new(pool.clone(), Clock::set_to(to), settings);
    let pass = charging::run(&app).await?;
    ensure!(
        pass.charges == VMS && pass.wallets == ORGANISATIONS && pass.failed == 0 && pass.ran_out == 0,
        "the engine did something else: {pass:?}"
    );
    Ok(())
}

async fn by_statement(pool: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<()> {
    let updated = sqlx::query(STATEMENT).bind(from).bind(to).execute(pool).await?.rows_affected();
    ensure!(usize::try_from(updated)? == ORGANISATIONS, "the statement moved {updated} wallets");
    Ok(())
}

/// Makes the kernel forget the highest memory so far, which was the loading of the customers.
fn reset_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("while resetting the peak of memory")
}

async fn prove_adds_up(pool: &PgPool, what: &str) -> anyhow::Result<()> {
    match ledger::first_difference(pool, chrono_tz::UTC).await? {
        None => Ok(()),
        Some(difference) => bail!("{what} does not add up: {difference}"),
    }
}

/// Everything that was written and must be equal. When a wallet runs out is left out: the engine foresees caps, the
/// statement divides.
async fn checksum(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let mut sums = Vec::new();
    for query in [
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', meter_id, period_start, period_end, organisation_id, quantity, price_id, rate, amount), '/' order by meter_id, period_start)) from charges",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', id, month, accrued, cap), '/' order by id)) from meters",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', debit_account, credit_account, amount, code, source, at, memo), '/' order by source)) from transfers",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', organisation_id, balance, charged_through, burn, due_at), '/' order by organisation_id)) from wallets",
    ] {
        sums.push(sqlx::query_scalar(query).fetch_one(pool).await?);
    }
    Ok(sums)
}
