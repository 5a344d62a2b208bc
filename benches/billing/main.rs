//! An hour of 100,000 running machines charged by the engine, beside one hand-written SQL statement that writes the same.
//!
//! Each run has a fresh copy of the same database on the same durable server. All must end with the same charges, meters,
//! transfers and balances, to the last digit, and the ledger must add up; else it fails. It never fails for being slow.
//! Then: one worker beside two, the same row by row through SQLAlchemy, what a change of state or price touches, what reading
//! a wallet takes, and a million machines. Arguments choose parts: `hour rows touched reads million`.
#![expect(clippy::print_stdout, reason = "it reports to a person at a terminal")]
#![expect(clippy::float_arithmetic, reason = "speeds of measurements are not money")]

#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/memory.rs"]
mod memory;
mod processors;
mod proof;
mod run;
#[path = "../shared/server.rs"]
mod server;
mod small;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use uni_manager::database;

use crate::proof::{checksum, prove_adds_up};
use crate::run::{Run, Who};
use crate::server::Server;

const CUSTOMERS: &str = include_str!("../shared/customers.sql");
/// The hour that is charged begins here: the middle of a month, when nothing special happens.
const HOUR: &str = "2030-06-15T13:00:00Z";
/// How often each runs, by turns.
const ROUNDS: usize = 5;
/// As many connections as two workers can use.
const CONNECTIONS: u32 = 8;
/// How many customers the script charges row by row; more would only take longer.
const CUSTOMERS_BY_ROWS: usize = 500;

const TARGET_RATIO: f64 = 0.8;
const TARGET_PER_SECOND: f64 = 50_000.0;
const TARGET_WORKERS: f64 = 1.5;
const TARGET_ROWS: f64 = 50.0;
const TARGET_MILLION: f64 = 11.0;
/// By how much memory may grow for ten times the machines, in MB: nothing, but for what allocators keep.
const TARGET_GROWTH: f64 = 10.0;

/// How many machines of how many customers.
#[derive(Clone, Copy)]
struct Size {
    machines: usize,
    organisations: usize,
}

const HUNDRED_THOUSAND: Size = Size { machines: 100_000, organisations: 20_000 };
const MILLION: Size = Size { machines: 1_000_000, organisations: 200_000 };

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let from: DateTime<Utc> = HOUR.parse()?;
    let to = from + TimeDelta::hours(1);
    let server = Server::start().await?;
    for statement in ["alter system set track_wal_io_timing = on", "select pg_reload_conf()"] {
        server.administer(statement).await?;
    }
    furnish(&server, "original", HUNDRED_THOUSAND).await?;
    let mut bench = Bench { server, from, to, hour: None };
    if is_wanted("hour") || is_wanted("million") {
        bench.hour().await?;
    }
    if is_wanted("rows") {
        bench.rows().await?;
    }
    if is_wanted("touched") || is_wanted("reads") {
        let pool = bench.copy().await?;
        small::touched(&pool, HUNDRED_THOUSAND.machines).await?;
        small::reads(&pool, HUNDRED_THOUSAND.organisations).await?;
        bench.drop_copy(pool).await?;
    }
    if is_wanted("million") {
        bench.million().await?;
    }
    Ok(())
}

struct Bench {
    server: Server,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// What an hour took the engine, and its memory in MB.
    hour: Option<(Duration, f64)>,
}

impl Bench {
    /// A fresh copy of the database, with everything it holds on the disk.
    async fn copy(&self) -> anyhow::Result<PgPool> {
        self.server.administer("create database copy template original strategy file_copy").await?;
        self.server.administer("checkpoint").await?;
        let pool = database::connect(&self.server.url("copy"), CONNECTIONS).await?;
        // The service has been running for a while when an hour is full.
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(pool.acquire().await?);
        }
        drop(connections);
        Ok(pool)
    }

    async fn drop_copy(&self, pool: PgPool) -> anyhow::Result<()> {
        pool.close().await;
        self.server.administer("drop database copy").await
    }

    /// The engine with two workers and with one, and the statement.
    async fn hour(&mut self) -> anyhow::Result<()> {
        let size = HUNDRED_THOUSAND;
        println!("\n== one hour of {} VMs of {} organisations", size.machines, size.organisations);
        let all = [Who::Engine { workers: 2 }, Who::Statement, Who::Engine { workers: 1 }];
        let mut runs: [Vec<Run>; 3] = Default::default();
        let (mut expected, mut processors) = (None, Vec::new());
        for round in 0..ROUNDS {
            for turn in 0..all.len() {
                // Who goes first changes, so that nobody always has the warmer machine.
                let place = (round + turn) % all.len();
                let pool = self.copy().await?;
                let run = all[place].measured(&pool, self.from, self.to, size).await?;
                run.show(all[place]);
                let sums = checksum(&pool, None).await?;
                ensure!(*expected.get_or_insert(sums.clone()) == sums, "they differ: {expected:#?} {sums:#?}");
                if round == 0 {
                    prove_adds_up(&pool, all[place].name()).await?;
                }
                self.drop_copy(pool).await?;
                runs[place].push(run);
            }
            processors.push(processors::speed_of_two());
        }
        println!(
            "  proved: {} charges, {} meters, {} transfers and balances are the same, and the ledger adds up",
            size.machines, size.machines, size.organisations
        );
        let [engine, statement, alone] = &runs;
        let (engine, statement, alone) = (run::median(engine), run::median(statement), run::median(alone));
        let ratio = figures::ratio(statement.time, engine.time);
        let per_second = size.machines as f64 / engine.time.as_secs_f64();
        println!(
            "engine: {per_second:.0} VM-hours/s, statement: {:.0} VM-hours/s",
            size.machines as f64 / statement.time.as_secs_f64()
        );
        println!("ratio: {ratio:.2}");
        verdict("engine speed / statement speed, medians: higher is better", ratio >= TARGET_RATIO, "at least 0.8");
        verdict("VM-hours/s, rated and posted, durable", per_second >= TARGET_PER_SECOND, "at least 50,000");
        println!("WAL: engine {:.1} MB, statement {:.1} MB", engine.wal_megabytes(), statement.wal_megabytes());
        println!("memory of the engine's process at its peak: {:.0} MB", engine.megabytes);
        let workers = figures::ratio(alone.time, engine.time);
        println!("two workers / one: {workers:.2}");
        verdict(
            "speed of two workers / speed of one",
            workers >= TARGET_WORKERS,
            "at least 1.5, unless the disk is the limit",
        );
        processors.sort_by(f64::total_cmp);
        println!("  two processors / one, where each only computes: {:.2}", processors[processors.len() / 2]);
        println!(
            "  processors busy: {:.0} % with one worker, {:.0} % with two, {:.0} % with the statement",
            alone.busy, engine.busy, statement.busy
        );
        println!(
            "  waited for the disk by commits: {} with one worker, {} with two, {} with the statement",
            figures::milliseconds(alone.synced),
            figures::milliseconds(engine.synced),
            figures::milliseconds(statement.synced)
        );
        self.hour = Some((engine.time, engine.megabytes));
        Ok(())
    }

    /// Some of the customers row by row, and by the engine.
    async fn rows(&self) -> anyhow::Result<()> {
        println!("\n== {CUSTOMERS_BY_ROWS} of the customers row by row through SQLAlchemy (benches/billing/rows.py)");
        let pool = self.copy().await?;
        let (machines, time) = run::rows(&self.server.url("copy"), self.from, self.to, CUSTOMERS_BY_ROWS)?;
        let by_rows = checksum(&pool, Some(CUSTOMERS_BY_ROWS)).await?;
        self.drop_copy(pool).await?;
        let pool = self.copy().await?;
        let engine = Who::Engine { workers: 2 }.measured(&pool, self.from, self.to, HUNDRED_THOUSAND).await?;
        let by_engine = checksum(&pool, Some(CUSTOMERS_BY_ROWS)).await?;
        self.drop_copy(pool).await?;
        ensure!(by_rows == by_engine, "script and engine differ: {by_rows:#?} {by_engine:#?}");
        println!("  proved: charges, meters, transfers and balances of these customers are the same");
        let slow = machines as f64 / time.as_secs_f64();
        let fast = HUNDRED_THOUSAND.machines as f64 / engine.time.as_secs_f64();
        println!("engine: {fast:.0} VM-hours/s, SQLAlchemy: {slow:.0} VM-hours/s");
        println!("ratio: {:.0}", fast / slow);
        verdict("engine speed / SQLAlchemy speed", fast / slow >= TARGET_ROWS, "at least 50");
        Ok(())
    }

    async fn million(&self) -> anyhow::Result<()> {
        let size = MILLION;
        println!("\n== one hour of {} VMs of {} organisations", size.machines, size.organisations);
        self.server.administer("drop database original").await?;
        furnish(&self.server, "million", size).await?;
        self.server.administer("checkpoint").await?;
        let pool = database::connect(&self.server.url("million"), CONNECTIONS).await?;
        let run = Who::Engine { workers: 2 }.measured(&pool, self.from, self.to, size).await?;
        run.show(Who::Engine { workers: 2 });
        prove_adds_up(&pool, "the engine's million").await?;
        pool.close().await;
        let (hour, megabytes) = self.hour.context("an hour of fewer was not measured")?;
        let ratio = figures::ratio(run.time, hour);
        println!("ratio: {ratio:.1}");
        verdict("time for ten times as many / time: lower is better", ratio <= TARGET_MILLION, "at most 11");
        println!("memory: {:.0} MB, for a tenth of them {megabytes:.0} MB", run.megabytes);
        verdict("the same memory", run.megabytes <= megabytes + TARGET_GROWTH, "at most 10 MB more");
        Ok(())
    }
}

/// Says whether a target is reached.
fn verdict(what: &str, is_reached: bool, target: &str) {
    println!("  ({what}; target: {target}: {})", if is_reached { "reached" } else { "missed" });
}

/// Makes a database with machines that have run for an hour, which is charged.
async fn furnish(server: &Server, name: &str, size: Size) -> anyhow::Result<()> {
    let start = Instant::now();
    let begin: DateTime<Utc> = HOUR.parse()?;
    let since = begin - TimeDelta::hours(1);
    let pool = server.database(name, CONNECTIONS).await?;
    println!("machine: {}", figures::machine(&pool).await?);
    let sql = CUSTOMERS
        .replace("HOUR", &since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        .replace("ORGANISATIONS", &size.organisations.to_string())
        .replace("MACHINES", &size.machines.to_string());
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut *pool.acquire().await?)
        .await
        .context("while inserting the customers")?;
    sqlx::raw_sql("vacuum (analyze)").execute(&pool).await?;
    // The hour before, so that the tables are not empty and no sum was written down just now.
    Who::Engine { workers: 2 }.measured(&pool, since, begin, size).await?;
    sqlx::raw_sql("vacuum (analyze)").execute(&pool).await?;
    pool.close().await;
    println!("  {} VMs inserted in {:.0} s", size.machines, start.elapsed().as_secs_f64());
    Ok(())
}
