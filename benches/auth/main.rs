//! What checking costs: pages while passwords are hashed, one check of a session, a token or a key, and a list beside the bare query.
//!
//! One platform with a customer who has 50 machines; PostgreSQL, HTTP and the hashing are real, the cluster is simulated. It fails
//! when an answer is wrong, never for being slow.
#![expect(clippy::print_stdout, reason = "it reports to a person at a terminal")]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements are not money")]

#[path = "../shared/figures.rs"]
mod figures;
mod floor;
#[path = "../shared/house.rs"]
mod house;
mod queries;
#[path = "../shared/server.rs"]
mod server;
#[path = "../shared/shopper.rs"]
mod shopper;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use figures::{milliseconds, percentile, ratio};
use reqwest::{Client, StatusCode};
use serde_json::json;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uni_manager::api_keys::{self, NewApiKey};
use uni_manager::app::App;
use uni_manager::audit::{Actor, Named};
use uni_manager::clock::Clock;
use uni_manager::config::Vault;
use uni_manager::organisations::Asker;
use uni_manager::users::{self, User};
use uni_manager::{sessions, web, worker};

use crate::server::Server;
use crate::shopper::{PASSWORD, Shopper};

/// Machines of the customer.
const MACHINES: usize = 50;
/// What `serve` uses unless it is told otherwise.
const CONNECTIONS: u32 = 20;
/// Logins in each second while pages are measured.
const LOGINS_PER_SECOND: u32 = 50;
/// So many people log in by turns, each time from another network: of one account or network only a few may try at once.
const PEOPLE: usize = 200;
/// How often the list is asked for meanwhile, in each second.
const LISTS_PER_SECOND: u32 = 50;
/// For how long, at rest and under logins.
const WATCH: Duration = Duration::from_secs(20);
/// The target: the 99th percentile under logins may be so many times the one at rest.
const TARGET_STARVING: f64 = 3.0;
/// How often one check is made.
const CHECKS: usize = 2_000;
/// The target for one check.
const TARGET_CHECK: Duration = Duration::from_millis(1);
/// How many statements may be among them that are not of a check.
const OTHER_STATEMENTS_MAX: usize = 4;
/// How many ask for the list at once when its throughput is measured.
const ASKERS: usize = 8;
/// For how long, each time.
const ROUND: Duration = Duration::from_secs(4);
/// How many times, by turns.
const ROUNDS: usize = 5;
/// The target: our throughput may be so many times the bare one.
const TARGET_THROUGHPUT: f64 = 0.6;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    queries::hear()?;
    let server = Server::start().await?;
    let pool = server.database("measured", CONNECTIONS).await?;
    // The driver looks through connections of its own, so that it takes none of the application's.
    let driver = uni_manager::database::connect(&server.url("measured"), 2).await?;
    println!("machine: {}", figures::machine(&pool).await?);
    let simulator = house::simulator(None)?;
    let settings = house::settings(&Vault::generate_key(), "10000".parse()?)?;
    let app = App::new(pool, Clock::System, settings);
    let offer = house::furnish(&app, &simulator, app.clock.now()).await?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    let door = tokio::spawn(finish(web::serve(Arc::clone(&app), listener, std::future::pending())));
    let work =
        [tokio::spawn(app.hub.clone().listen(app.pool.clone())), tokio::spawn(finish(worker::run(Arc::clone(&app))))];
    let shopper = Shopper::register(address, 0, offer).await?;
    let mut ordered = Vec::with_capacity(MACHINES);
    for number in 0..MACHINES {
        ordered.push(shopper.order(&format!("vm-{number}")).await?);
    }
    for vm in &ordered {
        shopper.until_running(vm).await?;
    }
    // From here on only what is measured is at work.
    for part in work {
        part.abort();
    }
    let user = owner(&app, &driver).await?;

    one_check(&app, &user).await?;
    under_logins(&app, &user, address).await?;
    throughput(&app, &user, address).await?;
    door.abort();
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

/// The customer.
async fn owner(app: &App, driver: &PgPool) -> anyhow::Result<User> {
    let id: uuid::Uuid =
        sqlx::query_scalar("select id from users order by number desc limit 1").fetch_one(driver).await?;
    let user = users::find(&mut *app.pool.acquire().await?, id.into()).await?;
    user.context("the customer is there")
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().build()?)
}

/// The list at a steady pace, at rest and then while people log in.
async fn under_logins(app: &Arc<App>, user: &User, address: SocketAddr) -> anyhow::Result<()> {
    let token = sessions::issue(app, user).await?.access_token;
    let url = format!("http://{address}/api/v1/vms");
    register_people(address).await?;
    // Connections, plans and caches are warm afterwards.
    watch(&url, &token, Duration::from_secs(3)).await?;
    let idle = watch(&url, &token, WATCH).await?;
    let refused = Arc::new(AtomicUsize::new(0));
    let logins = tokio::spawn(log_in_all_the_time(address, Arc::clone(&refused)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let busy = watch(&url, &token, WATCH).await?;
    logins.abort();
    let (at_rest, under) = (percentile(&idle, 99), percentile(&busy, 99));
    let done: i64 = sqlx::query_scalar(
        "select count(*) from audit_events where event = 'user.logged_in' and detail->>'program' = 'true'",
    )
    .fetch_one(&app.pool)
    .await?;
    let times = ratio(under, at_rest);
    println!(
        "GET /api/v1/vms with {MACHINES} VMs, {LISTS_PER_SECOND} a second, while {LOGINS_PER_SECOND} logins a second arrive:"
    );
    println!(
        "  ours:  median {}, p99 {} (target: p99 within {TARGET_STARVING} × idle: {})",
        milliseconds(percentile(&busy, 50)),
        milliseconds(under),
        if times <= TARGET_STARVING { "reached" } else { "missed" }
    );
    println!(
        "  floor: median {}, p99 {} (the same at rest)",
        milliseconds(percentile(&idle, 50)),
        milliseconds(at_rest)
    );
    println!("ratio: {times:.2}");
    println!(
        "  (p99 ours / floor: lower is better; {done} logins came in, {} were told to come again)",
        refused.load(Ordering::Relaxed)
    );
    // Whoever is left finishes before the next measurement.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(())
}

/// How long each answer took, counted from when it should have been asked for.
async fn watch(url: &str, token: &str, how_long: Duration) -> anyhow::Result<Vec<Duration>> {
    let client = client()?;
    let pace = Duration::from_secs(1) / LISTS_PER_SECOND;
    let began = Instant::now();
    let mut asked = JoinSet::new();
    let mut due = began;
    while due - began < how_long {
        tokio::time::sleep_until(due.into()).await;
        let request = client.get(url).bearer_auth(token).query(&[("limit", "50")]);
        asked.spawn(async move {
            let response = request.send().await?;
            let status = response.status();
            let length = response.bytes().await?.len();
            ensure!(status == StatusCode::OK && length > 10_000, "the list answered {status} with {length} bytes");
            Ok(due.elapsed())
        });
        due += pace;
    }
    let mut measured = Vec::new();
    while let Some(one) = asked.join_next().await {
        measured.push(one??);
    }
    Ok(measured)
}

/// Where a request says that it comes from.
fn network(number: usize) -> String {
    format!("10.{}.{}.1", number / 250 % 250, number % 250)
}

fn email(number: usize) -> String {
    format!("person-{}@example.org", number % PEOPLE)
}

/// Those who log in.
async fn register_people(address: SocketAddr) -> anyhow::Result<()> {
    let client = client()?;
    for number in 0..PEOPLE {
        let person = json!({ "email": email(number), "name": format!("Person {number}"), "password": PASSWORD });
        let request = client.post(format!("http://{address}/api/v1/auth/register")).json(&person);
        let response = request.header("x-forwarded-for", network(number)).send().await?;
        ensure!(response.status().is_success(), "somebody who registered was answered {}", response.status());
    }
    Ok(())
}

/// People log in at a steady pace, whether the ones before are done or not. Ends when it is dropped.
async fn log_in_all_the_time(address: SocketAddr, refused: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let client = client()?;
    let mut pace = tokio::time::interval(Duration::from_secs(1) / LOGINS_PER_SECOND);
    let mut logins = JoinSet::new();
    for number in 0.. {
        pace.tick().await;
        while logins.try_join_next().is_some() {}
        let request = client
            .post(format!("http://{address}/api/v1/auth/login"))
            .header("x-forwarded-for", network(number))
            .json(&json!({ "email": email(number), "password": PASSWORD }));
        let refused = Arc::clone(&refused);
        logins.spawn(async move {
            match request.send().await.map(|response| response.status()) {
                Ok(StatusCode::OK) => {}
                // More wait for their password to be hashed than may.
                Ok(StatusCode::SERVICE_UNAVAILABLE) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                other => println!("  a login was answered {other:?}"),
            }
        });
    }
    Ok(())
}

/// A key of the customer that may do all that one may.
async fn api_key(app: &Arc<App>, user: &User, token: &str) -> anyhow::Result<String> {
    let place = sessions::verify(app, token, None).await?.place.context("the customer has an organisation")?;
    let new = NewApiKey { name: "measured".into(), permissions: vec!["*".into()], ..NewApiKey::default() };
    let actor = Actor::person(Named::new(user.id, user.email.clone()));
    let asker = Asker { user: user.id, may: place.permissions, actor: &actor };
    let made = api_keys::create(app, place.organisation.id, &new, asker).await?;
    Ok(made.text.reveal().to_owned())
}

/// One check of a browser's session, of a program's token and of its key, without HTTP, beside the emptiest query there is.
async fn one_check(app: &Arc<App>, user: &User) -> anyhow::Result<()> {
    let cookie = sessions::start(app, user, Actor::system(), None).await?;
    let token = sessions::issue(app, user).await?.access_token;
    let (key, stranger) = (api_key(app, user, &token).await?, Actor::system());
    let (mut floor, mut session, mut access, mut by_key) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CHECKS {
        let start = Instant::now();
        sqlx::query("select 1").execute(&app.pool).await?;
        floor.push(start.elapsed());
        let start = Instant::now();
        ensure!(sessions::find(app, &cookie).await?.is_some(), "the session is good");
        session.push(start.elapsed());
        let start = Instant::now();
        sessions::verify(app, &token, None).await?;
        access.push(start.elapsed());
        let start = Instant::now();
        api_keys::check(app, &key, None, &stranger).await?;
        by_key.push(start.elapsed());
    }
    println!("One check, {CHECKS} times each, by turns:");
    let median = percentile(&floor, 50);
    for (name, measured) in [("a session", &session), ("an access token", &access), ("an API key", &by_key)] {
        let ours = percentile(measured, 50);
        println!(
            "  ours:  {name}: median {}, p99 {} (target: under {}: {})",
            precise(ours),
            precise(percentile(measured, 99)),
            precise(TARGET_CHECK),
            if ours < TARGET_CHECK { "reached" } else { "missed" }
        );
        println!("ratio: {:.2}", ratio(ours, median));
    }
    println!("  floor: select 1: median {}, p99 {}", precise(median), precise(percentile(&floor, 99)));

    // Nothing else is at work; the keys that sign tokens are read again twice a minute, that a session was seen is written every few
    // minutes, and that an API key was used once a minute, beside the check. Each may be among them.
    let (of_session, found) = queries::during(async {
        for _ in 0..CHECKS {
            sessions::find(app, &cookie).await?;
        }
        anyhow::Ok(())
    })
    .await;
    found?;
    let (of_token, verified) = queries::during(async {
        for _ in 0..CHECKS {
            sessions::verify(app, &token, None).await?;
        }
        anyhow::Ok(())
    })
    .await;
    verified?;
    let (of_key, checked) = queries::during(async {
        for _ in 0..CHECKS {
            api_keys::check(app, &key, None, &stranger).await?;
        }
        anyhow::Ok(())
    })
    .await;
    checked?;
    for (name, statements) in [("a session", of_session), ("an access token", of_token), ("an API key", of_key)] {
        ensure!(statements >= CHECKS, "fewer statements than checks were counted");
        let verdict = if statements <= CHECKS + OTHER_STATEMENTS_MAX { "reached" } else { "missed" };
        println!("  {name}: {statements} statements in {CHECKS} checks (target: at most one each: {verdict})");
    }
    println!(
        "  (with them is what is written beside a check: that a session was seen, and at most once a minute that a key was used)"
    );
    Ok(())
}

fn precise(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}

/// The list as fast as it comes, ours and a bare handler's by turns.
async fn throughput(app: &Arc<App>, user: &User, address: SocketAddr) -> anyhow::Result<()> {
    let token = sessions::issue(app, user).await?.access_token;
    let bare = floor::serve(app, user).await?;
    let (ours_url, bare_url) = (format!("http://{address}/api/v1/vms?limit=50"), format!("http://{bare}/vms"));
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(per_second(&bare_url, &token).await?);
        ours.push(per_second(&ours_url, &token).await?);
    }
    let (ours, floor) = (median(&mut ours), median(&mut floor));
    let share = ours / floor;
    println!("GET /api/v1/vms with {MACHINES} VMs, {ASKERS} at once, {ROUNDS} rounds by turns:");
    println!("  ours:  {ours:.0} answers/s, authenticated");
    println!("  floor: {floor:.0} answers/s (a bare axum handler that makes the same query and checks nothing)");
    println!("ratio: {share:.2}");
    println!(
        "  (ours / floor: higher is better; target: at least {TARGET_THROUGHPUT}: {})",
        if share >= TARGET_THROUGHPUT { "reached" } else { "missed" }
    );
    Ok(())
}

async fn per_second(url: &str, token: &str) -> anyhow::Result<f64> {
    let client = client()?;
    let began = Instant::now();
    let mut askers = JoinSet::new();
    for _ in 0..ASKERS {
        let (client, url, token) = (client.clone(), url.to_owned(), token.to_owned());
        askers.spawn(async move {
            let mut answers = 0_u32;
            while began.elapsed() < ROUND {
                let response = client.get(&url).bearer_auth(&token).send().await?.error_for_status()?;
                ensure!(response.bytes().await?.len() > 10_000, "the list is too short");
                answers += 1;
            }
            Ok(answers)
        });
    }
    let mut answers = 0;
    while let Some(one) = askers.join_next().await {
        answers += one??;
    }
    Ok(f64::from(answers) / began.elapsed().as_secs_f64())
}

fn median(rounds: &mut [f64]) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}
