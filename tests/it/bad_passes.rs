//! Bad luck of passes with many wallets: several processes at once, connections and tasks cut off, PostgreSQL gone in the
//! middle. Whatever happens, the ledger is the one of a pass that nothing disturbed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::task::JoinHandle;
use uni_manager::app::App;
use uni_manager::charging::{self, Pass};
use uni_manager::clock::Clock;
use uni_manager::config::{Guards, Settings, Vault, token_key};
use uni_manager::database::private::{Options, PrivateServer};
use uni_manager::error::Result;
use uni_manager::mail::Mailer;

use crate::world::{Database, TOKEN_KEY, at};

/// What a benchmark charges too, with fewer of everything.
const CUSTOMERS: &str = include_str!("../../benches/shared/customers.sql");
/// How many of everything there are.
#[derive(Clone, Copy)]
struct Size {
    organisations: usize,
    machines: usize,
    /// Those whose credit ends on the way: few enough that no pass is held for them.
    poor: usize,
}
/// More than three batches.
const LARGE: Size = Size { organisations: 3_100, machines: 4_700, poor: 20 };
/// One batch.
const SMALL: Size = Size { organisations: 40, machines: 60, poor: 1 };
const HOUR: &str = "2030-06-30T21:00:00Z";
/// Over the end of a month.
const HOURS: i64 = 5;
/// How often a pass may be cut off before it must have come to its end.
const TRIES_MAX: usize = 200;
/// How many statements a pass writes at the least.
const STATEMENTS_MIN: usize = 8;
/// How long something is waited for that must come.
const WAIT_MAX: Duration = Duration::from_secs(60);

async fn furnish(pool: &PgPool, size: Size) {
    let sql = CUSTOMERS
        .replace("HOUR", HOUR)
        .replace("ORGANISATIONS", &size.organisations.to_string())
        .replace("MACHINES", &size.machines.to_string());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *pool.acquire().await.unwrap()).await.unwrap();
    let poor = format!(
        "create temporary table poor as select organisation_id, account_id from wallets order by organisation_id limit {};
         insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at, memo)
             select gen_random_uuid(), gen_random_uuid(), account_id, '00000000-0000-7000-8000-000000000002', 99.98, 'manual_debit', 'poor:' || organisation_id, '2030-06-30T21:00:00Z', '' from poor;
         update wallets set balance = 0.02, runs_out_at = charged_through + interval '1 hour' * 0.02 / burn where organisation_id in (select organisation_id from poor)",
        size.poor
    );
    sqlx::raw_sql(AssertSqlSafe(poor)).execute(&mut *pool.acquire().await.unwrap()).await.unwrap();
}

/// A process of its own, as far as anything but its memory is concerned.
async fn process(url: &str, now: DateTime<Utc>) -> Arc<App> {
    let settings = Settings {
        public_url: "http://127.0.0.1".into(),
        guards: Guards::default(),
        currency: "EUR".into(),
        time_zone: chrono_tz::UTC,
        sign_up_credit: "0".parse().unwrap(),
        registration_open: false,
        credit_contact: String::new(),
        vault: Vault::from_keys(&Vault::generate_key()).unwrap(),
        token_key: token_key(TOKEN_KEY.into()).unwrap(),
        mailer: Mailer::Kept,
        oidc: None,
        demo: false,
        charging_workers: 2,
    };
    App::new(uni_manager::database::connect(url, 6).await.unwrap(), Clock::set_to(now), settings)
}

fn now() -> DateTime<Utc> {
    at(HOUR) + TimeDelta::hours(HOURS) + TimeDelta::minutes(7)
}

/// Everything that was written, without ids that are made up.
async fn written(pool: &PgPool) -> Vec<String> {
    let mut sums = Vec::new();
    for query in [
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', meter_id, period_start, period_end, organisation_id, quantity, price_id, rate, amount), '/' order by meter_id, period_start)) from charges",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', id, month, accrued, cap, accrued_through), '/' order by id)) from meters",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', meter_id, during, settled), '/' order by meter_id, during)) from meter_intervals",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', debit_account, credit_account, amount, code, source, at, memo), '/' order by source)) from transfers",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', organisation_id, balance, charged_through, burn, runs_out_at, due_at, metered, exhausted_at), '/' order by organisation_id)) from wallets",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', organisation_id, kind, vm_id), '/' order by vm_id)) from jobs",
        "select string_agg(concat_ws(' ', kind, hour, status, wallets, charges, amount, ran_out, failed), '/' order by hour) from passes",
    ] {
        sums.push(sqlx::query_scalar::<_, Option<String>>(query).fetch_one(pool).await.unwrap().unwrap_or_default());
    }
    sums
}

async fn prove(pool: &PgPool, expected: &[String]) {
    assert_eq!(uni_manager::ledger::first_difference(pool, chrono_tz::UTC).await.unwrap(), None, "the ledger adds up");
    assert_eq!(written(pool).await, expected, "and it is the one that a single undisturbed pass writes");
}

/// What a pass writes that nothing disturbs.
async fn undisturbed(size: Size) -> Vec<String> {
    let database = Database::new().await;
    let app = process(&database.url, now()).await;
    furnish(&app.pool, size).await;
    let pass = charging::run(&app).await.unwrap();
    assert!(pass.ran_out == size.poor && pass.failed == 0, "{pass:?}");
    let sums = written(&app.pool).await;
    assert!(sums[6].contains("done") && sums[6].contains(&format!(" {} ", size.organisations)), "{sums:?}");
    assert_eq!(uni_manager::ledger::first_difference(&app.pool, chrono_tz::UTC).await.unwrap(), None);
    app.pool.close().await;
    database.drop_it().await;
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_share_a_pass_charge_as_one_does() {
    let expected = undisturbed(LARGE).await;
    let database = Database::new().await;
    let processes = join_all((0..4).map(|_| process(&database.url, now()))).await;
    furnish(&processes[0].pool, LARGE).await;

    let passes = processes.iter().cloned().map(|app| tokio::spawn(async move { charging::run(&app).await }));
    let passes: Vec<_> = join_all(passes).await.into_iter().map(|pass| pass.unwrap().unwrap()).collect();

    assert_eq!(
        passes.iter().map(|pass| pass.ran_out).sum::<usize>(),
        LARGE.poor,
        "each end of a credit happens once: {passes:?}"
    );
    prove(&processes[0].pool, &expected).await;
    for app in processes {
        app.pool.close().await;
    }
    database.drop_it().await;
}

/// How many transactions of passes have charged something.
async fn commits(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select case when is_called then last_value else 0 end from parts")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_are_charged_in_transactions_of_a_bounded_size_and_come_to_the_same() {
    const HOURS_LATE: i64 = 40 * 24;
    let size = Size { organisations: 4, machines: 12, poor: 1 };
    let mut expected = Vec::new();
    // All in one, some wallets in one, and some hours of one wallet.
    for (charges, at_least, at_most) in [(charging::CHARGES_PER_BATCH, 1, 1), (8_000, 2, 4), (100, 80, 400)] {
        let database = Database::new().await;
        let app = process(&database.url, at(HOUR) + TimeDelta::hours(HOURS_LATE)).await;
        furnish(&app.pool, size).await;
        let sql = "update wallets set approved_through = '2031-01-01';
                   create sequence parts;
                   create function count_part() returns trigger language plpgsql as 'begin perform nextval(''parts''); return null; end';
                   create trigger count_part before insert on pass_parts for each statement execute function count_part()";
        sqlx::raw_sql(sql).execute(&app.pool).await.unwrap();

        let pass = charging::run_in_batches(&app, charges).await.unwrap();

        // Others end as well, in weeks.
        assert!(pass.ran_out > size.poor && pass.failed == 0, "{pass:?}");
        let commits = commits(&app.pool).await;
        assert!((at_least..=at_most).contains(&commits), "{charges} at a time are {commits} transactions");
        if expected.is_empty() {
            expected = written(&app.pool).await;
            assert!(expected[0].len() > 30 && expected[6].contains(" done 4 "), "{expected:?}");
        }
        prove(&app.pool, &expected).await;
        app.pool.close().await;
        database.drop_it().await;
    }
}

/// The lock that a statement waits for.
const HELD: i64 = 77;
/// What can be done at a statement: its connection ends, or it waits.
const END_CONNECTION: &str = "perform pg_terminate_backend(pg_backend_pid())";
fn wait() -> String {
    format!("perform pg_advisory_xact_lock({HELD})")
}

/// Has every statement that writes what a pass writes be counted, so that one of them can be chosen.
async fn count_statements(pool: &PgPool) {
    let mut sql = "create sequence statements; ".to_owned();
    sql.push_str("create function break_here() returns trigger language plpgsql as 'begin return null; end'");
    for table in ["charges", "meters", "meter_intervals", "transfers", "wallets", "jobs", "passes"] {
        sql.push_str("; create trigger break_here before insert or update on ");
        sql.push_str(table);
        sql.push_str(" for each statement execute function break_here()");
    }
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// Does this at the statement of this number, counted from now and from 1.
async fn at_statement(pool: &PgPool, number: usize, what: &str) {
    let sql = format!(
        "alter sequence statements restart;
         create or replace function break_here() returns trigger language plpgsql as $$
             begin if nextval('statements') = {number} then {what}; end if; return null; end $$"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// Whether the statement of this number came.
async fn came(pool: &PgPool, number: usize) -> bool {
    let counted = sqlx::query_scalar::<_, i64>("select case when is_called then last_value else 0 end from statements");
    usize::try_from(counted.fetch_one(pool).await.unwrap()).unwrap() >= number
}

/// Keeps a statement waiting while the test does worse.
struct Holder(PgConnection);

impl Holder {
    async fn new(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query("select pg_advisory_lock($1)").bind(HELD).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    /// Waits until a statement waits. False when the pass has ended before one did.
    async fn holds(&mut self, running: &JoinHandle<Result<Pass>>) -> bool {
        let waiting =
            "select exists (select from pg_locks where locktype = 'advisory' and objid = $1::oid and not granted
                and database = (select oid from pg_database where datname = current_database()))";
        let wait = async {
            loop {
                // In this order: one that waits has not ended.
                let has_ended = running.is_finished();
                if sqlx::query_scalar(waiting).bind(HELD).fetch_one(&mut self.0).await.unwrap() {
                    return true;
                }
                if has_ended {
                    return false;
                }
            }
        };
        tokio::time::timeout(WAIT_MAX, wait).await.expect("the pass writes or ends")
    }

    /// Lets go what waits, and waits until everybody else has ended what they were at. So many hold the process when no pass runs in
    /// it: a worker that was cut off while it computed looks up only afterwards, and may have begun one more statement.
    async fn lets_go(&mut self, app: &Arc<App>, holders: usize) {
        sqlx::query("select pg_advisory_unlock($1)").bind(HELD).execute(&mut self.0).await.unwrap();
        let gone = async {
            while Arc::strong_count(app) > holders {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(WAIT_MAX, gone).await.expect("its workers stop");
        let busy = "select string_agg(concat_ws(' ', backend_type, state, wait_event, left(query, 80)), '; ') from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' and backend_type = 'client backend'";
        let begun = std::time::Instant::now();
        while let Some(who) = sqlx::query_scalar::<_, Option<String>>(busy).fetch_one(&mut self.0).await.unwrap() {
            assert!(begun.elapsed() < WAIT_MAX, "they do not end: {who}");
        }
        sqlx::query("select pg_advisory_lock($1)").bind(HELD).execute(&mut self.0).await.unwrap();
    }
}

fn charges(app: &Arc<App>) -> JoinHandle<Result<Pass>> {
    let app = Arc::clone(app);
    tokio::spawn(async move { charging::run(&app).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_is_cut_off_at_one_statement_after_the_other_charges_once() {
    let expected = undisturbed(LARGE).await;
    let database = Database::new().await;
    let (app, other) = (process(&database.url, now()).await, process(&database.url, now()).await);
    furnish(&app.pool, LARGE).await;
    count_statements(&other.pool).await;
    let mut holder = Holder::new(&database.url).await;

    let mut cut = 0;
    // At each of a batch, and then with larger and larger steps.
    for number in std::iter::successors(Some(1), |number| Some(number + 1.max(number / 8))).take(TRIES_MAX) {
        at_statement(&other.pool, number, &wait()).await;
        let holders = Arc::strong_count(&app);
        let running = charges(&app);
        if !holder.holds(&running).await {
            running.await.unwrap().unwrap();
            break;
        }
        running.abort();
        assert!(running.await.is_err());
        holder.lets_go(&app, holders).await;
        cut += 1;
    }

    assert!(cut > STATEMENTS_MIN, "it was cut off {cut} times");
    prove(&app.pool, &expected).await;
    assert_eq!(charging::run(&app).await.unwrap().charges, 0, "once more is nothing more");
    app.pool.close().await;
    other.pool.close().await;
    drop(holder);
    database.drop_it().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_loses_its_connection_at_any_statement_charges_once() {
    let expected = undisturbed(SMALL).await;
    let mut lost = 0;
    for number in 1..=TRIES_MAX {
        let database = Database::new().await;
        let (app, other) = (process(&database.url, now()).await, process(&database.url, now()).await);
        furnish(&app.pool, SMALL).await;
        count_statements(&other.pool).await;
        at_statement(&other.pool, number, END_CONNECTION).await;

        // It may say that it failed, or go on by itself.
        let _ = charging::run(&app).await;
        let was_lost = came(&other.pool, number).await;
        charging::run(&app).await.unwrap();

        prove(&app.pool, &expected).await;
        app.pool.close().await;
        other.pool.close().await;
        database.drop_it().await;
        if !was_lost {
            break;
        }
        lost += 1;
    }
    assert!(lost >= STATEMENTS_MIN, "it was lost at {lost} statements");
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The statements of a pass at which PostgreSQL dies, one pass after the other: at its first words, in its first batches, and
/// after some of them are committed.
const DIES_AT: [usize; 3] = [1, 7, 20];

/// Kills PostgreSQL as `kill -9` of its main process would, and waits until it is gone.
fn kill(folder: &Path) {
    let text = std::fs::read_to_string(folder.join("postgres/data/postmaster.pid")).unwrap();
    let pid = rustix::process::Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_dies_in_the_middle_and_comes_back_has_every_hour_once() {
    let expected = undisturbed(LARGE).await;
    let folder = Folder(std::env::temp_dir().join(format!("uni-manager-restart-{}", std::process::id())));
    let options = Options { directory: folder.0.clone(), durable: true, connections_max: 20 };
    let mut server = PrivateServer::start(&options).unwrap();
    let url = server.url("postgres");
    let app = process(&url, now()).await;
    uni_manager::database::migrate(&app.pool).await.unwrap();
    furnish(&app.pool, LARGE).await;

    count_statements(&app.pool).await;
    for number in DIES_AT {
        at_statement(&app.pool, number, &wait()).await;
        let mut holder = Holder::new(&url).await;
        let running = charges(&app);
        assert!(holder.holds(&running).await, "it is killed while it charges");
        kill(&folder.0);
        assert!(running.await.unwrap().is_err(), "without PostgreSQL nothing is charged");
        drop(server);
        server = PrivateServer::start(&options).unwrap();
    }
    for _ in 0..TRIES_MAX {
        if charging::run(&app).await.is_ok() {
            break;
        }
    }

    prove(&app.pool, &expected).await;
    app.pool.close().await;
    drop(server);
}
