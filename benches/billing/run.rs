//! One run: an hour charged by somebody, and what it cost.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uni_manager::app::App;
use uni_manager::charging;
use uni_manager::clock::Clock;
use uni_manager::config::{Guards, Settings, Vault, token_key};

use crate::processors::Ticks;
use crate::{Size, figures, memory};

const STATEMENT: &str = include_str!("../shared/one_statement.sql");

/// Who charges.
#[derive(Clone, Copy)]
pub enum Who {
    /// The engine.
    Engine { workers: usize },
    /// The hand-written statement.
    Statement,
}

/// What one run cost.
#[derive(Clone, Copy)]
pub struct Run {
    /// From the first query to the last commit.
    pub time: Duration,
    wal_bytes: i64,
    /// How long commits and others waited for the log to be on the disk, all together.
    pub synced: Duration,
    /// The most memory of this process, in MB.
    pub megabytes: f64,
    /// How busy the processors were, in percent.
    pub busy: f64,
    machines: usize,
}

impl Run {
    /// Bytes of the log, in MB.
    pub fn wal_megabytes(&self) -> f64 {
        self.wal_bytes as f64 / 1e6
    }

    /// Prints it.
    pub fn show(&self, who: Who) {
        println!(
            "  {:<20} {:>7.0} VMs/s ({}), {:.1} MB of WAL, processors {:.0} % busy",
            who.name(),
            self.machines as f64 / self.time.as_secs_f64(),
            figures::milliseconds(self.time),
            self.wal_megabytes(),
            self.busy
        );
    }
}

/// The run in the middle.
pub fn median(runs: &[Run]) -> Run {
    let mut sorted = runs.to_vec();
    sorted.sort_by_key(|run| run.time);
    sorted[sorted.len() / 2]
}

impl Who {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine { workers: 1 } => "engine, one worker",
            Self::Engine { .. } => "engine, two workers",
            Self::Statement => "statement",
        }
    }

    /// Charges the hour and measures it.
    ///
    /// # Errors
    /// When PostgreSQL fails, or something else was charged.
    pub async fn measured(
        self,
        pool: &PgPool,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        size: Size,
    ) -> anyhow::Result<Run> {
        reset_peak()?;
        let (wal, synced) = log(pool).await?;
        let ticks = Ticks::now();
        let start = Instant::now();
        match self {
            Self::Engine { workers } => by_engine(pool, to, workers, size).await?,
            Self::Statement => by_statement(pool, from, to, size).await?,
        }
        let time = start.elapsed();
        let busy = ticks.busy_since();
        let (wal_after, synced_after) = log(pool).await?;
        let megabytes = memory::megabytes("self", "VmHWM").context("the kernel does not tell the peak of memory")?;
        let synced = Duration::from_secs_f64((synced_after - synced).max(0.0) / 1000.0);
        Ok(Run { time, wal_bytes: wal_after - wal, synced, megabytes, busy, machines: size.machines })
    }
}

/// Where the log is, in bytes, and how many milliseconds were spent to get it onto the disk.
async fn log(pool: &PgPool) -> anyhow::Result<(i64, f64)> {
    Ok(sqlx::query_as("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, wal_sync_time from pg_stat_wal")
        .fetch_one(pool)
        .await?)
}

/// Makes the kernel forget the highest memory so far.
fn reset_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("while resetting the peak of memory")
}

/// A house with a clock that stands.
///
/// # Errors
/// When a setting is wrong.
pub fn settings(workers: usize) -> anyhow::Result<Settings> {
    Ok(Settings {
        public_url: "http://127.0.0.1".into(),
        guards: Guards::default(),
        currency: "EUR".into(),
        time_zone: chrono_tz::UTC,
        sign_up_credit: "0".parse()?,
        registration_open: false,
        credit_contact: String::new(),
        vault: Vault::from_keys(&Vault::generate_key())?,
        token_key: token_key("a key for measurements and nothing else".into())?,
        mailer: uni_manager::mail::Mailer::Kept,
        oidc: None,
        demo: false,
        charging_workers: workers,
    })
}

async fn by_engine(pool: &PgPool, to: DateTime<Utc>, workers: usize, size: Size) -> anyhow::Result<()> {
    let app = App::new(pool.clone(), Clock::set_to(to), settings(workers)?);
    let pass = charging::run(&app).await?;
    ensure!(
        pass.charges == size.machines && pass.wallets == size.organisations && pass.failed == 0 && pass.ran_out == 0,
        "the engine did something else: {pass:?}"
    );
    Ok(())
}

async fn by_statement(pool: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>, size: Size) -> anyhow::Result<()> {
    let updated = sqlx::query(STATEMENT).bind(from).bind(to).execute(pool).await?.rows_affected();
    ensure!(usize::try_from(updated)? == size.organisations, "the statement moved {updated} wallets");
    Ok(())
}

/// Charges some customers row by row: how many machines, and how long.
///
/// # Errors
/// When Python is not prepared or the script fails.
pub fn rows(url: &str, from: DateTime<Utc>, to: DateTime<Utc>, customers: usize) -> anyhow::Result<(usize, Duration)> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(target).join("sqlalchemy/bin/python");
    ensure!(python.exists(), "{} is not there: run benches/billing/prepare first", python.display());
    let output = Command::new(python)
        .arg(root.join("benches/billing/rows.py"))
        .args([url, &from.to_rfc3339(), &to.to_rfc3339(), &customers.to_string()])
        .output()
        .context("while starting Python")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (machines, seconds) = text.trim().split_once(' ').context("the script says something else")?;
    Ok((machines.parse()?, Duration::from_secs_f64(seconds.parse()?)))
}
