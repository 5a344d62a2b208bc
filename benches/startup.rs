//! From the start of `uni-manager serve` to the first 200 of `/readyz`, beside `psql -c 'select 1'`; and memory when idle.
//!
//! The binary is the one that this build made with optimisation; the database exists and is migrated, with a catalogue and a
//! cluster that is looked at every ten seconds, as in production.
#![expect(clippy::print_stdout, reason = "it reports to a person at a terminal")]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements are not money")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/house.rs"]
mod house;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/server.rs"]
mod server;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use figures::{milliseconds, percentile, ratio};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret, SecretString};
use uni_manager::app::App;
use uni_manager::clock::Clock;
use uni_manager::config::Vault;

use crate::server::Server;

/// How often each is started.
const STARTS: usize = 5;
/// How often `/readyz` is asked.
const PAUSE: Duration = Duration::from_millis(5);
/// When a start counts as failed.
const STUCK: Duration = Duration::from_secs(30);
/// How long it idles before its memory is read.
const IDLE: Duration = Duration::from_secs(10);
const TARGET: Duration = Duration::from_secs(1);
/// The most memory when idle, in MB.
const TARGET_MEGABYTES: f64 = 80.0;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let pool = server.database("measured", 4).await?;
    println!("machine: {}", figures::machine(&pool).await?);
    let programs: String =
        sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'").fetch_one(&pool).await?;
    let simulator = house::simulator(None)?;
    let keys = Vault::generate_key();
    let app = App::new(pool, Clock::System, house::settings(&keys, "0".parse()?)?);
    let offer = house::furnish(&app, &simulator, app.clock.now()).await?;
    app.pool.close().await;
    println!(
        "database with location {}, plan {}, image {} and a cluster that has it",
        offer.location, offer.plan, offer.image
    );

    let url = server.url("measured");
    let (mut starts, mut floor, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for start in 0..STARTS {
        let (running, time) = Running::start(&url, &keys).await?;
        starts.push(time);
        if start == 0 {
            tokio::time::sleep(IDLE).await;
            let process = running.child.id().to_string();
            for name in ["VmRSS", "VmHWM", "RssAnon"] {
                idle.push(memory::megabytes(&process, name).with_context(|| format!("the process has no {name}"))?);
            }
        }
        drop(running);
        floor.push(select_one(&Path::new(&programs).join("psql"), &url)?);
    }
    let (median, floor_median) = (percentile(&starts, 50), percentile(&floor, 50));
    let verdict = |reached| if reached { "reached" } else { "missed" };
    println!(
        "from spawn to the first 200 of /readyz, median of {STARTS}: {} (slowest {}; target: under 1 s: {})",
        milliseconds(median),
        milliseconds(percentile(&starts, 100)),
        verdict(median < TARGET)
    );
    println!("floor: `psql -c 'select 1'` on the same database, median of {STARTS}: {}", milliseconds(floor_median));
    if let [resident, peak, own] = idle.as_slice() {
        println!(
            "resident memory after {} s without load: {resident:.1} MB, {own:.1} MB of it not files; peak {peak:.1} MB (target: under {TARGET_MEGABYTES:.0} MB: {})",
            IDLE.as_secs(),
            verdict(*resident < TARGET_MEGABYTES)
        );
    }
    println!("ratio: {:.2}", ratio(median, floor_median));
    println!("  (start / floor, of the medians: lower is better)");
    simulator.shutdown();
    Ok(())
}

/// A running `serve`, which ends when it is dropped.
struct Running {
    child: Child,
}

impl Running {
    async fn start(url: &str, keys: &SecretString) -> anyhow::Result<(Self, Duration)> {
        let listen = free_address()?;
        let client = reqwest::Client::builder().no_proxy().connect_timeout(PAUSE * 20).build()?;
        let ready = format!("http://{listen}/readyz");
        let mut command = Command::new(env!("CARGO_BIN_EXE_uni-manager"));
        command
            .arg("serve")
            .env("DATABASE_URL", url)
            .env("UNI_MANAGER_LISTEN", listen.to_string())
            .env("UNI_MANAGER_PUBLIC_URL", format!("http://{listen}"))
            .env("UNI_MANAGER_SECRET_KEYS", keys.expose_secret())
            .env("UNI_MANAGER_TOKEN_KEY", house::TOKEN_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let start = Instant::now();
        let mut running = Self { child: command.spawn().context("while starting uni-manager serve")? };
        loop {
            if client.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok((running, start.elapsed()));
            }
            if let Some(status) = running.child.try_wait()? {
                bail!("uni-manager serve ended: {status}");
            }
            ensure!(start.elapsed() < STUCK, "not ready after {STUCK:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.local_addr()?)
}

/// How long PostgreSQL's own client takes to start, ask and end.
fn select_one(psql: &Path, url: &str) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let status = Command::new(psql)
        .args(["--no-psqlrc", "--dbname", url, "--command", "select 1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let status = status.with_context(|| format!("while starting {}", psql.display()))?;
    ensure!(status.success(), "psql failed: {status}");
    Ok(start.elapsed())
}
