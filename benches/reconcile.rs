//! A look at a cluster of 10,000 guests: our time beside the parse of the list and one query, calls and transactions.
//!
//! The cluster is simulated and everything else is real: HTTPS, PostgreSQL that keeps what it commits. All guests are ours.
//! Steady looks first, then looks of which each finds 100 guests turned off or on again. It fails when a change is missed or a
//! call too many is made, never for being slow.
#![expect(clippy::print_stdout, reason = "it reports to a person at a terminal")]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements are not money")]

#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/house.rs"]
mod house;
#[path = "shared/server.rs"]
mod server;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use figures::{milliseconds, percentile, ratio};
use proxmox_client::{ApiToken, Client, ConfigChange, Settings, Trust};
use proxmox_simulator::Simulator;
use serde_json::{Value, json};
use sqlx::PgPool;
use uni_manager::app::App;
use uni_manager::clock::Clock;
use uni_manager::config::Vault;
use uni_manager::{clusters, vms};
use uuid::Uuid;

use crate::server::Server;

/// Guests of the cluster.
const GUESTS: u32 = 10_000;
/// Organisations that own them.
const ORGANISATIONS: i32 = 1_000;
/// How many have changed in a look.
const CHANGED: u32 = 100;
/// Looks of each kind.
const LOOKS: usize = 10;
/// The first VMID.
const FIRST_VMID: u32 = 20_000;
/// Nodes of the cluster.
const NODES: u32 = 4;
/// The target for the median of our time.
const TARGET: Duration = Duration::from_secs(1);
/// What `serve` uses unless it is told otherwise.
const CONNECTIONS: u32 = 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let pool = server.database("measured", CONNECTIONS).await?;
    let driver = uni_manager::database::connect(&server.url("measured"), 2).await?;
    println!("machine: {}", figures::machine(&pool).await?);
    let simulator = crowded()?;
    let settings = house::settings(&Vault::generate_key(), "10000".parse()?)?;
    let app = App::new(pool, Clock::System, settings);
    let offer = house::furnish(&app, &simulator, app.clock.now() - chrono::TimeDelta::hours(1)).await?;
    believe(&app, &driver, offer).await?;
    let cluster = clusters::list(&app).await?.first().context("there is a cluster")?.id;
    let direct = client(&simulator)?;

    let mut floor = Floor::default();
    let mut steady = Looks::default();
    let mut changing = Looks::default();
    for round in 0..=LOOKS {
        let first = round == 0;
        // The first of each kind warms connections and caches and is not counted.
        floor.measure(&direct, &driver, first).await?;
        steady.look(&app, &driver, &simulator, cluster, 0, first).await?;
        turn(&direct, &simulator, round % 2 == 1).await?;
        let changed = if first { 0 } else { CHANGED };
        changing.look(&app, &driver, &simulator, cluster, changed, first).await?;
    }
    report(&floor, &steady, &changing);
    app.pool.close().await;
    driver.close().await;
    simulator.shutdown();
    Ok(())
}

fn id(number: u32) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number))
}

/// A cluster whose guests all run and are ours.
fn crowded() -> anyhow::Result<Simulator> {
    let mut state = house::simulator(None)?.snapshot();
    let crowd = state.pointer_mut("/guests").and_then(Value::as_object_mut).context("the state has guests")?;
    for number in 0..GUESTS {
        let (vmid, vm) = (FIRST_VMID + number, id(number));
        let values = json!({
            "name": format!("crowd-{number}"), "cores": "2", "sockets": "1", "memory": "4096", "smbios1": format!("uuid={vm}"),
            "tags": format!("uni-manager;vm-{vm}"), "description": format!("Uni-Manager VM {vm}."),
        });
        crowd.insert(
            vmid.to_string(),
            json!({
                "vmid": vmid, "node": format!("pve{}", number % NODES + 1), "ignores_power_button": false,
                "config": { "values": values, "pending": {}, "pending_delete": {} },
                "process": { "pid": vmid, "started": 1, "booted": 1, "paused": false },
            }),
        );
    }
    house::simulator(Some(state))
}

/// Our books of that cluster, of many customers, all running and metered.
async fn believe(app: &App, driver: &PgPool, offer: house::Offer) -> anyhow::Result<()> {
    let now = app.clock.now();
    let cluster = clusters::list(app).await?.first().context("there is a cluster")?.id;
    let ids: Vec<Uuid> = (0..GUESTS).map(id).collect();
    sqlx::query("insert into organisations (id, name, created_at) select gen_random_uuid(), 'Customer ' || n, $2 from generate_series(1, $1) n")
        .bind(ORGANISATIONS)
        .bind(now)
        .execute(driver)
        .await?;
    for sql in [
        "insert into accounts (id, kind, organisation_id) select gen_random_uuid(), 'wallet', id from organisations",
        "insert into wallets (organisation_id, account_id, balance, charged_through) select a.organisation_id, a.id, 1000, now() from accounts a where a.organisation_id is not null",
    ] {
        sqlx::query(sql).execute(driver).await?;
    }
    sqlx::query(
        "with owners as (select id, row_number() over (order by id) - 1 as place from organisations)
         insert into vms (id, organisation_id, name, plan_id, image_id, location_id, cluster_id, node, vmid, state, state_since, created_at, guest_uuid, disk_gib)
         select i, o.id, 'crowd-' || (n - 1), $2, $3, $4, $5, 'pve' || ((n - 1) % $8 + 1), $6 + n - 1, 'running', $7, $7, i, 40
         from unnest($1::uuid[]) with ordinality as u (i, n) join owners o on o.place = (n - 1) % $9",
    )
    .bind(&ids)
    .bind(offer.plan.uuid())
    .bind(offer.image.uuid())
    .bind(offer.location.uuid())
    .bind(cluster.uuid())
    .bind(i32::try_from(FIRST_VMID)?)
    .bind(now)
    .bind(i32::try_from(NODES)?)
    .bind(ORGANISATIONS)
    .execute(driver)
    .await?;
    for sql in [
        "insert into vmid_leases (cluster_id, vmid, vm_id, leased_at) select cluster_id, vmid, id, created_at from vms",
        "insert into meters (id, organisation_id, vm_id, kind, month, accrued_through) select gen_random_uuid(), organisation_id, id, 'vm', date_trunc('month', now() at time zone 'utc')::date, created_at from vms",
        "insert into meter_intervals (organisation_id, meter_id, kind, plan_id, quantity, price_list_id, during) select m.organisation_id, m.id, 'vm_running', v.plan_id, 1, l.id, tstzrange(v.created_at, null) from meters m join vms v on v.id = m.vm_id cross join price_lists l",
        "analyze",
    ] {
        sqlx::query(sql).execute(driver).await?;
    }
    Ok(())
}

fn client(simulator: &Simulator) -> anyhow::Result<Client> {
    let (id, secret) = simulator.token().split_once('=').context("the simulator's token has no secret")?;
    let trust = Trust::Fingerprint(simulator.fingerprint().parse()?);
    Ok(Client::new(Settings::new(simulator.url(), ApiToken::new(id, secret.to_owned())?, trust))?)
}

/// Turns the same hundred guests off, or on again.
async fn turn(direct: &Client, simulator: &Simulator, off: bool) -> anyhow::Result<()> {
    for number in 0..CHANGED {
        let number = number * (GUESTS / CHANGED);
        let vmid = FIRST_VMID + number;
        if off {
            simulator.power_off_from_inside(vmid);
        } else if simulator.inspect(|cluster| cluster.guest(vmid).is_some_and(|guest| guest.process.is_none())) {
            let node = format!("pve{}", number % NODES + 1);
            direct.set_vm_config(&node, vmid, &ConfigChange::new().on_boot(false)).await?;
            direct.start(&node, vmid).await?;
        }
    }
    Ok(())
}

/// What nobody can do without: the list fetched and parsed, and every machine read by one query.
#[derive(Default)]
struct Floor {
    fetch: Vec<Duration>,
    query: Vec<Duration>,
}

impl Floor {
    async fn measure(&mut self, direct: &Client, driver: &PgPool, skip: bool) -> anyhow::Result<()> {
        let start = Instant::now();
        let listed = direct.resources(None).await?.len();
        let fetch = start.elapsed();
        ensure!(listed >= usize::try_from(GUESTS)?, "{listed} resources were listed");
        let start = Instant::now();
        let rows: Vec<(Uuid, String, String, Option<i32>)> =
            sqlx::query_as("select id, state, node, vmid from vms where deleted_at is null").fetch_all(driver).await?;
        let query = start.elapsed();
        ensure!(rows.len() == usize::try_from(GUESTS)?, "{} machines were read", rows.len());
        if !skip {
            self.fetch.push(fetch);
            self.query.push(query);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Looks {
    whole: Vec<Duration>,
    ours: Vec<Duration>,
    calls: u64,
    transactions: i64,
}

impl Looks {
    async fn look(
        &mut self,
        app: &App,
        driver: &PgPool,
        simulator: &Simulator,
        cluster: uni_manager::ids::ClusterId,
        changed: u32,
        skip: bool,
    ) -> anyhow::Result<()> {
        let calls = simulator.requests();
        let transactions = next_transaction(driver).await?;
        let start = Instant::now();
        let look = clusters::look(app, cluster).await?;
        let listed = start.elapsed();
        let done = vms::follow(app, cluster, &look).await?;
        let whole = start.elapsed();
        ensure!(done.failed == 0, "{} machines could not be written", done.failed);
        if skip {
            return Ok(());
        }
        ensure!(done.seen == usize::try_from(GUESTS)?, "{} machines were compared", done.seen);
        ensure!(done.changed == usize::try_from(changed)?, "{} of {changed} changes were seen", done.changed);
        let calls = simulator.requests() - calls;
        ensure!(calls == 1, "{calls} calls were made");
        self.calls += calls;
        // The question itself takes none; what is left are those that wrote.
        self.transactions += next_transaction(driver).await? - transactions;
        self.whole.push(whole);
        self.ours.push(whole - listed);
        Ok(())
    }
}

/// The number that the next transaction that writes will have: nobody else is on this server.
async fn next_transaction(driver: &PgPool) -> anyhow::Result<i64> {
    let next = sqlx::query_scalar("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint");
    Ok(next.fetch_one(driver).await?)
}

fn report(floor: &Floor, steady: &Looks, changing: &Looks) {
    let (fetch, query) = (percentile(&floor.fetch, 50), percentile(&floor.query, 50));
    println!("{GUESTS} guests of {ORGANISATIONS} organisations, {LOOKS} looks of each kind, medians:");
    println!("  the list alone, fetched and parsed by proxmox-client: {}", milliseconds(fetch));
    println!("  one query that reads every machine:                   {}", milliseconds(query));
    for (name, looks) in [("nothing has changed", steady), ("100 guests have changed", changing)] {
        let (whole, after) = (percentile(&looks.whole, 50), percentile(&looks.ours, 50));
        // What waiting for the cluster takes, parse included, is the list alone.
        let ours = whole.saturating_sub(fetch);
        let verdict = if ours < TARGET { "reached" } else { "missed" };
        println!("{name}:");
        println!("  whole look {}, slowest {}", milliseconds(whole), milliseconds(percentile(&looks.whole, 100)));
        println!(
            "  of it ours: {} (target: under {}: {verdict}); comparing and writing: {}",
            milliseconds(ours),
            milliseconds(TARGET),
            milliseconds(after)
        );
        let count = i64::try_from(looks.whole.len()).unwrap_or(1).max(1);
        println!(
            "  per look: {} call, {} transactions that write (one of them the nodes and the health of the cluster)",
            looks.calls / count.unsigned_abs(),
            looks.transactions / count
        );
        println!("ratio: {:.2}", ratio(whole, fetch + query));
        println!("  (whole look / the list and one query: lower is better)");
    }
}
