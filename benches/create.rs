//! From the request to a running machine, beside the same Proxmox calls without us; then 500 orders at once.
//!
//! Everything is real but the cluster: PostgreSQL that keeps what it commits, HTTP, the worker. The simulated Proxmox ends
//! its tasks at once, so what is measured is ours. It fails when an order fails or a VMID or an address is given out twice,
//! never for being slow.
#![expect(clippy::print_stdout, reason = "it reports to a person at a terminal")]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements are not money")]

#[path = "shared/direct.rs"]
mod direct;
#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/house.rs"]
mod house;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/server.rs"]
mod server;
#[path = "shared/shopper.rs"]
mod shopper;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use figures::{milliseconds, percentile, ratio};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uni_manager::app::App;
use uni_manager::clock::Clock;
use uni_manager::config::Vault;
use uni_manager::{web, worker};

use crate::direct::Direct;
use crate::server::Server;
use crate::shopper::Shopper;

/// Machines made one after the other.
const IN_A_ROW: usize = 30;
/// Machines ordered at the same time.
const AT_ONCE: usize = 500;
/// Who orders them.
const SHOPPERS: usize = 4;
/// What `serve` uses unless it is told otherwise.
const CONNECTIONS: u32 = 20;
/// The target for the median.
const TARGET: Duration = Duration::from_millis(400);
/// The target for the orders at once, in machines per second.
const TARGET_PER_SECOND: f64 = 50.0;
/// When that many orders count as stuck.
const STUCK: Duration = Duration::from_secs(300);
/// How often the database is asked how many machines run.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let pool = server.database("measured", CONNECTIONS).await?;
    // The driver looks through a connection of its own, so that it takes none of the application's.
    let driver = uni_manager::database::connect(&server.url("measured"), 2).await?;
    println!("machine: {}", figures::machine(&pool).await?);
    let simulator = house::simulator(None)?;
    let settings = house::settings(&Vault::generate_key(), "10000".parse()?)?;
    let app = App::new(pool, Clock::System, settings);
    let offer = house::furnish(&app, &simulator, app.clock.now()).await?;

    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    let doors = [
        tokio::spawn(app.hub.clone().listen(app.pool.clone())),
        tokio::spawn(finish(worker::run(Arc::clone(&app)))),
        tokio::spawn(finish(web::serve(Arc::clone(&app), listener, std::future::pending()))),
    ];
    let mut shoppers = Vec::with_capacity(SHOPPERS);
    for number in 0..SHOPPERS {
        shoppers.push(Arc::new(Shopper::register(address, number, offer).await?));
    }
    let direct = Direct::new(&simulator)?;

    in_a_row(shoppers.first().context("there is a shopper")?, &direct).await?;
    at_once(&shoppers, &driver).await?;
    prove(&driver, &simulator, IN_A_ROW + AT_ONCE).await?;
    for door in doors {
        door.abort();
    }
    app.pool.close().await;
    driver.close().await;
    simulator.shutdown();
    Ok(())
}

async fn finish(door: impl Future<Output = anyhow::Result<()>>) {
    if let Err(error) = door.await {
        println!("a door broke: {error:?}");
    }
}

/// One machine after the other, ours and the cluster's own by turns, so that both see the same machine in the same mood.
async fn in_a_row(shopper: &Shopper, direct: &Direct) -> anyhow::Result<()> {
    let mut ours = Vec::with_capacity(IN_A_ROW);
    let mut floor = Vec::with_capacity(IN_A_ROW);
    for number in 0..IN_A_ROW {
        let start = Instant::now();
        let vm = shopper.order(&format!("row-{number}")).await?;
        shopper.until_running(&vm).await?;
        ours.push(start.elapsed());

        let start = Instant::now();
        direct.make(number).await?;
        floor.push(start.elapsed());
    }
    let (median, floor_median) = (percentile(&ours, 50), percentile(&floor, 50));
    let verdict = if median < TARGET { "reached" } else { "missed" };
    println!("{IN_A_ROW} creates in a row, from POST /api/v1/vms until GET /api/v1/vms/{{id}} says running:");
    println!(
        "  ours:  median {}, p90 {} (target: median under {}: {verdict})",
        milliseconds(median),
        milliseconds(percentile(&ours, 90)),
        milliseconds(TARGET)
    );
    println!(
        "  floor: median {}, p90 {} (the same Proxmox calls by proxmox-client alone: nothing kept, nobody told)",
        milliseconds(floor_median),
        milliseconds(percentile(&floor, 90))
    );
    println!("ratio: {:.2}", ratio(median, floor_median));
    println!("  (ours / floor, of the medians: lower is better)");
    Ok(())
}

async fn at_once(shoppers: &[Arc<Shopper>], driver: &PgPool) -> anyhow::Result<()> {
    let before = memory::megabytes("self", "VmRSS").context("the kernel does not tell the memory")?;
    let start = Instant::now();
    let mut orders = JoinSet::new();
    for (shopper, number) in shoppers.iter().cycle().zip(0..AT_ONCE) {
        let shopper = Arc::clone(shopper);
        orders.spawn(async move { shopper.order(&format!("crowd-{number}")).await });
    }
    while let Some(order) = orders.join_next().await {
        order??;
    }
    let ordered = start.elapsed();
    loop {
        let (running, failed): (i64, i64) =
            sqlx::query_as("select count(*) filter (where state = 'running'), count(*) filter (where state = 'failed') from vms where name like 'crowd-%'")
                .fetch_one(driver)
                .await?;
        ensure!(failed == 0, "{failed} of {AT_ONCE} orders failed");
        if usize::try_from(running)? == AT_ONCE {
            break;
        }
        if start.elapsed() > STUCK {
            bail!("only {running} of {AT_ONCE} machines run after {STUCK:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    let all = start.elapsed();
    println!("{AT_ONCE} creates at once, of {} organisations:", shoppers.len());
    let speed = ratio(Duration::from_secs(AT_ONCE as u64), all);
    println!(
        "  all accepted after {:.2} s, all running after {:.2} s: {speed:.0} VMs/s (target: {TARGET_PER_SECOND:.0}: {})",
        ordered.as_secs_f64(),
        all.as_secs_f64(),
        if speed >= TARGET_PER_SECOND { "reached" } else { "missed" }
    );
    let after = memory::megabytes("self", "VmHWM").context("the kernel does not tell the memory")?;
    println!(
        "  memory of the process, simulated cluster and shoppers included: {before:.0} MB before, {after:.0} MB at most"
    );
    Ok(())
}

/// Nothing was given out twice, and the cluster has what the books say.
async fn prove(driver: &PgPool, simulator: &proxmox_simulator::Simulator, made: usize) -> anyhow::Result<()> {
    let made = i64::try_from(made)?;
    let (running, vmids, addresses, metered, holds, leftovers): (i64, i64, i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from vms where state = 'running'), (select count(distinct vmid) from vms where state = 'running'),
                (select count(distinct a.address) from addresses a join vms v on v.id = a.vm_id where v.state = 'running'),
                (select count(*) from meter_intervals where upper_inf(during) and kind = 'vm_running'),
                (select count(*) from holds), (select count(*) from jobs where status <> 'completed')",
    )
    .fetch_one(driver)
    .await?;
    ensure!(running == made, "{running} machines run, {made} were ordered");
    ensure!(vmids == made, "{made} machines have {vmids} VMIDs");
    ensure!(addresses == made, "{made} machines have {addresses} addresses");
    ensure!(metered == made, "{made} machines run, {metered} are metered");
    ensure!(holds == 0 && leftovers == 0, "{holds} holds and {leftovers} unfinished jobs are left");
    let known: Vec<i32> = sqlx::query_scalar("select vmid from vms where state = 'running'").fetch_all(driver).await?;
    let mut networks = std::collections::BTreeSet::new();
    for vmid in known {
        let guest = simulator.inspect(|cluster| cluster.guest(u32::try_from(vmid).unwrap_or(0)).cloned());
        let guest = guest.with_context(|| format!("the cluster has no guest {vmid}"))?;
        ensure!(guest.process.is_some(), "guest {vmid} does not run");
        ensure!(
            networks.insert(guest.config.get("ipconfig0").map(str::to_owned)),
            "guest {vmid} has an address that another has too"
        );
    }
    println!(
        "  proved: {made} machines run and are metered; no VMID and no address was given out twice, in the books and on the cluster"
    );
    Ok(())
}
