//! Bad luck of passes with many wallets: several processes at once, connections and tasks cut off, PostgreSQL gone in the
//! middle. Whatever happens, the ledger is the one of a pass that nothing disturbed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, PgPool};
use uni_manager::app::App;
use uni_manager::charging;
use uni_manager::clock::Clock;
use uni_manager::config::{Guards, Settings, Vault, token_key};
use uni_manager::database::private::{Options, PrivateServer};
use uni_manager::mail::Mailer;

use crate::world::{Database, TOKEN_KEY, at};

/// What a benchmark charges too, with fewer of everything.
const CUSTOMERS: &str = include_str!("../../benches/shared/customers.sql");
/// More than three batches.
const ORGANISATIONS: usize = 3_100;
const MACHINES: usize = 4_700;
const HOUR: &str = "2030-06-30T21:00:00Z";
/// Over the end of a month.
const HOURS: i64 = 5;
/// How often a pass may be cut off before it must have come to its end.
const TRIES_MAX: usize = 200;
/// How often a pass is cut when it has hardly begun.
const CUT_EARLY: usize = 6;

async fn furnish(pool: &PgPool) {
    let sql = CUSTOMERS
        .replace("HOUR", HOUR)
        .replace("ORGANISATIONS", &ORGANISATIONS.to_string())
        .replace("MACHINES", &MACHINES.to_string());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *pool.acquire().await.unwrap()).await.unwrap();
    // Some run out on the way.
    sqlx::raw_sql(
        "create temporary table poor as select organisation_id, account_id from wallets order by organisation_id limit 20;
         insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at, memo)
             select gen_random_uuid(), gen_random_uuid(), account_id, '00000000-0000-7000-8000-000000000002', 99.98, 'manual_debit', 'poor:' || organisation_id, '2030-06-30T21:00:00Z', '' from poor;
         update wallets set balance = 0.02, runs_out_at = charged_through + interval '1 hour' * 0.02 / burn where organisation_id in (select organisation_id from poor)",
    )
    .execute(&mut *pool.acquire().await.unwrap())
    .await
    .unwrap();
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
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', id, month, accrued, cap), '/' order by id)) from meters",
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
async fn undisturbed() -> Vec<String> {
    let database = Database::new().await;
    let app = process(&database.url, now()).await;
    furnish(&app.pool).await;
    let pass = charging::run(&app).await.unwrap();
    assert!(pass.ran_out == 20 && pass.failed == 0, "{pass:?}");
    let sums = written(&app.pool).await;
    assert!(sums[6].contains("done") && sums[6].contains(&format!(" {ORGANISATIONS} ")), "{sums:?}");
    assert_eq!(uni_manager::ledger::first_difference(&app.pool, chrono_tz::UTC).await.unwrap(), None);
    app.pool.close().await;
    database.drop_it().await;
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_share_a_pass_charge_as_one_does() {
    let expected = undisturbed().await;
    let database = Database::new().await;
    let processes = join_all((0..4).map(|_| process(&database.url, now()))).await;
    furnish(&processes[0].pool).await;

    let passes = processes.iter().cloned().map(|app| tokio::spawn(async move { charging::run(&app).await }));
    let passes: Vec<_> = join_all(passes).await.into_iter().map(|pass| pass.unwrap().unwrap()).collect();

    assert_eq!(
        passes.iter().map(|pass| pass.ran_out).sum::<usize>(),
        20,
        "each end of a credit happens once: {passes:?}"
    );
    prove(&processes[0].pool, &expected).await;
    for app in processes {
        app.pool.close().await;
    }
    database.drop_it().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_whose_tasks_and_connections_are_cut_off_again_and_again_charges_once() {
    let expected = undisturbed().await;
    let database = Database::new().await;
    let (app, other) = (process(&database.url, now()).await, process(&database.url, now()).await);
    furnish(&app.pool).await;

    let mut cut = 0;
    for turn in 0..TRIES_MAX {
        let running = tokio::spawn({
            let app = Arc::clone(&app);
            async move { charging::run(&app).await }
        });
        // Each time a little later, so that it is cut at every kind of moment: the first ones before it can have done much, so
        // that a loaded machine does not let it finish uncut.
        let milliseconds = if turn < CUT_EARLY { turn } else { turn * 13 % 400 };
        tokio::time::sleep(Duration::from_millis(u64::try_from(milliseconds).unwrap())).await;
        if running.is_finished() {
            running.await.unwrap().unwrap();
            break;
        }
        cut += 1;
        if turn % 2 == 0 {
            running.abort();
            let _ = running.await;
        } else {
            // As a router or an operator would.
            sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
                .execute(&other.pool)
                .await
                .unwrap();
            let _ = running.await.unwrap();
        }
    }
    charging::run(&app).await.unwrap();

    assert!(cut >= CUT_EARLY, "it was cut off {cut} times");
    prove(&app.pool, &expected).await;
    assert_eq!(charging::run(&app).await.unwrap().charges, 0, "once more is nothing more");
    app.pool.close().await;
    other.pool.close().await;
    database.drop_it().await;
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Kills PostgreSQL as `kill -9` of its main process would, and waits until it is gone.
fn kill(folder: &Path) {
    let text = std::fs::read_to_string(folder.join("postgres/data/postmaster.pid")).unwrap();
    let pid = rustix::process::Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_dies_in_the_middle_and_comes_back_has_every_hour_once() {
    let expected = undisturbed().await;
    let folder = Folder(std::env::temp_dir().join(format!("uni-manager-restart-{}", std::process::id())));
    let options = Options { directory: folder.0.clone(), durable: true, connections_max: 20 };
    let mut server = PrivateServer::start(&options).unwrap();
    let url = server.url("postgres");
    let app = process(&url, now()).await;
    uni_manager::database::migrate(&app.pool).await.unwrap();
    furnish(&app.pool).await;

    let mut died = 0;
    for (turn, after) in [1_000_i64, 2_000, 3_000].into_iter().enumerate() {
        let running = tokio::spawn({
            let app = Arc::clone(&app);
            async move { charging::run(&app).await }
        });
        // Once some batches are committed and before the last one is.
        while !running.is_finished() {
            let left: Result<i64, _> = sqlx::query_scalar("select count(*) from wallets where charged_through < $1")
                .bind(at(HOUR) + TimeDelta::hours(1))
                .fetch_one(&app.pool)
                .await;
            if left.unwrap() <= i64::try_from(ORGANISATIONS).unwrap() - after {
                break;
            }
        }
        if turn == 2 || running.is_finished() {
            running.abort();
            break;
        }
        kill(&folder.0);
        assert!(running.await.unwrap().is_err(), "without PostgreSQL nothing is charged");
        died += 1;
        drop(server);
        server = PrivateServer::start(&options).unwrap();
    }
    for _ in 0..TRIES_MAX {
        if charging::run(&app).await.is_ok() {
            break;
        }
    }

    assert!(died > 0, "it was killed while it charged");
    prove(&app.pool, &expected).await;
    app.pool.close().await;
    drop(server);
}
