//! Bad luck at the end of credits: several that end together and wait for a person while their owners go on, an hour that would
//! stop too much, and a platform that shuts nothing down.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uni_manager::charging;
use uni_manager::charging::passes::{Decision, Kind, Status};

use crate::bad_money::{decide, drain, held};
use crate::money::{machine, sell};
use crate::world::{Customer, World, at};

/// How long something is waited for that must come.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Two customers, each with a machine for 1.20 an hour and credit for ten minutes more, at one o'clock.
pub async fn two_that_end_together() -> (World, [Customer; 2]) {
    let world = World::new().await;
    world.execute("update settings set breaker_vms_min = 2").await;
    sell(&world, "dear", "1.20", "0.12", None).await;
    sell(&world, "small", "0.006", "0.003", None).await;
    let customers = [world.customer("ann", "30").await, world.customer("bob", "30").await];
    for customer in &customers {
        machine(&world, customer, "web", "dear").await;
        drain(&world, customer, "28.60").await;
    }
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&customers[0]).await, "0.200000");
    (world, customers)
}

#[tokio::test]
async fn a_machine_made_after_a_held_end_owes_the_charged_grace_from_its_birth() {
    let (world, [ann, bob]) = two_that_end_together().await;
    world.execute("update settings set grace_charged = true").await;
    world.advance(TimeDelta::seconds(601));
    world.charge().await;
    assert_eq!((held(&world).await.kind, held(&world).await.projected_wallets), (Kind::RunOuts, 2));

    // Nobody knows yet that her credit has ended, and what is left by the books is enough for a small one.
    world.app.clock.set(at("2026-11-10T13:30:00Z"));
    let mut body = world.new_vm(&ann, "late").await;
    body["plan"] = json!(world.plan("small").await);
    world.post(&ann, "/vms", &body).await.expect(202);
    world.advance(TimeDelta::minutes(2));
    world.run_due_jobs().await;
    world.app.clock.set(at("2026-11-10T14:00:00Z"));
    let admin = world.admin().await;
    decide(&world, &admin, Decision::Approve).await;
    world.charge().await;
    world.run_due_jobs().await;
    world.charge().await;

    let ended = world.wallet(&ann).await.exhausted_at.unwrap();
    assert!((ended - at("2026-11-10T13:10:00Z")).abs() < TimeDelta::milliseconds(10), "{ended}");
    let first = "select to_char(min(c.period_start) at time zone 'UTC', 'HH24:MI:SS.US') from charges c join meters m on m.id = c.meter_id join vms v on v.id = m.vm_id where v.name = 'late'";
    assert_eq!(world.text(first).await, "13:32:00.000000", "nothing before it was there");
    // The one for 50 minutes at 0.12, the other for 28 at 0.003.
    assert_eq!(world.balance(&ann).await, "-0.101400");
    assert_eq!(world.balance(&bob).await, "-0.100000");
    world.check().await;
    world.hours_with_passes(2).await;
    assert_eq!(world.balance(&ann).await, "-0.347400");
    world.settle().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_that_two_processes_find_at_once_are_held_in_one_pass() {
    let (world, _customers) = two_that_end_together().await;
    world.advance(TimeDelta::seconds(601));
    // Both have found the ends before either writes a pass down.
    let mut blocker = PgConnection::connect(&world.database.url).await.unwrap();
    sqlx::raw_sql("begin; lock table passes in share mode").execute(&mut blocker).await.unwrap();
    let run = || {
        let app = Arc::clone(&world.app);
        tokio::spawn(async move { charging::run(&app).await })
    };
    let runs = [run(), run()];
    let waiting = "select count(distinct pid) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())";
    let wait = async { while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut blocker).await.unwrap() < 2 {} };
    tokio::time::timeout(WAIT_MAX, wait).await.expect("both wait");
    sqlx::raw_sql("commit").execute(&mut blocker).await.unwrap();
    for run in runs {
        run.await.unwrap().unwrap();
    }

    let waiting = held(&world).await;
    assert_eq!((waiting.kind, waiting.projected_wallets, waiting.projected_stops), (Kind::RunOuts, 2, 2));
    assert_eq!(world.count("select count(*) from wallets where held_by is not null").await, 2);
    let admin = world.admin().await;
    decide(&world, &admin, Decision::Approve).await;
    world.charge().await;
    assert_eq!(world.count("select count(*) from wallets where exhausted_at is not null").await, 2);
    blocker.close().await.unwrap();
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn an_hour_that_would_stop_too_many_machines_waits_and_nothing_stops_meanwhile() {
    let world = World::new().await;
    world.execute("update settings set breaker_vms_min = 4").await;
    let mut customers = Vec::new();
    for number in 0..4 {
        let customer = world.customer(&format!("customer-{number}"), "5").await;
        world.running_vm(&customer, "web").await;
        customers.push(customer);
    }
    // Two end at half past one and one at half past two; nobody was there until two o'clock.
    for (customer, amount) in customers.iter().zip(["4.97", "4.97", "4.95"]) {
        drain(&world, customer, amount).await;
    }
    world.hours_with_passes(1).await;
    world.hours(1);
    let pass = world.charge().await;

    assert_eq!((pass.charges, pass.ran_out), (0, 0));
    let waiting = held(&world).await;
    assert_eq!((waiting.kind, waiting.status), (Kind::Hourly, Status::Held));
    assert_eq!((waiting.projected_stops, waiting.running_vms), (2, 4));
    // Not even the end of one customer's credit goes on.
    world.advance(TimeDelta::minutes(31));
    world.charge().await;
    world.advance(TimeDelta::minutes(29));
    world.charge().await;
    world.zero().await;
    world.run_due_jobs().await;
    assert_eq!(world.count("select count(*) from wallets where exhausted_at is not null").await, 0);
    assert_eq!(world.count("select count(*) from vms where state = 'running'").await, 4);
    assert_eq!(world.count("select count(*) from jobs where kind = 'vm.shutdown'").await, 0);
    assert_eq!((held(&world).await.hours, held(&world).await.projected_stops), (2, 3), "the next hour waits with it");

    let admin = world.admin().await;
    decide(&world, &admin, Decision::Approve).await;
    world.charge().await;
    world.run_due_jobs().await;

    let ends = ["2026-11-10T13:30:00Z", "2026-11-10T13:30:00Z", "2026-11-10T14:30:00Z"];
    for (customer, end) in customers.iter().zip(ends) {
        let wallet = world.wallet(customer).await;
        let late = wallet.exhausted_at.unwrap() - at(end);
        assert!(late.abs() < TimeDelta::milliseconds(100), "what ran on while it waited is ours: {late}");
        assert_eq!(wallet.balance.to_string(), "0.000000");
    }
    assert_eq!(world.balance(&customers[3]).await, "4.940000", "the others are charged as ever");
    assert_eq!(world.count("select count(*) from vms where state = 'running'").await, 1);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn where_a_platform_shuts_nothing_down_every_balance_goes_down_to_the_floor_of_all() {
    let world = World::new().await;
    let admin = world.admin().await;
    let (ann, bob) = (world.customer("ann", "0.48").await, world.customer("bob", "0.48").await);
    world.running_vm(&ann, "web").await;
    world.running_vm(&bob, "web").await;
    // Bob has an answer of his own.
    let own = format!("/admin/organisations/{}/zero", bob.organisation);
    world.put(&admin, &own, &json!({ "auto_shutdown": true })).await.expect(200);
    let mut settings = world.get(&admin, "/admin/settings").await.expect(200);
    settings["auto_shutdown"] = json!(false);
    settings["credit_limit"] = json!("0.20");
    world.put(&admin, "/admin/settings", &settings).await.expect(200);

    world.hours_with_passes(30).await;
    world.run_due_jobs().await;
    let state = async |customer: &Customer| {
        world.get(customer, "/vms").await.expect(200)["items"][0]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state(&ann).await, world.balance(&ann).await), ("running".into(), "-0.120000".into()));
    assert_eq!((state(&bob).await, world.balance(&bob).await), ("stopped".into(), "0.000000".into()));
    assert_eq!(world.wallet(&ann).await.credit_limit, "0.20".parse().unwrap());
    // No further one is sold on credit.
    world.post(&ann, "/vms", &world.new_vm(&ann, "more").await).await.problem(402);
    let end = world.wallet(&ann).await.runs_out_at.unwrap();
    assert!((end - at("2026-11-11T22:00:00Z")).abs() < TimeDelta::seconds(1), "{end}");

    world.hours_with_passes(3).await;
    assert_eq!(state(&ann).await, "running");
    world.app.clock.set(end + TimeDelta::seconds(1));
    world.charge().await;
    world.run_due_jobs().await;
    assert_eq!((state(&ann).await, world.balance(&ann).await), ("stopped".into(), "-0.200000".into()));

    // A deeper floor is credit, and none at all ends it at once.
    settings["credit_limit"] = json!("1");
    world.put(&admin, "/admin/settings", &settings).await.expect(200);
    world.advance(TimeDelta::seconds(2));
    world.zero().await;
    world.run_due_jobs().await;
    assert_eq!(state(&ann).await, "running");
    world.hours_with_passes(1).await;
    settings["auto_shutdown"] = json!(true);
    world.put(&admin, "/admin/settings", &settings).await.expect(200);
    world.charge().await;
    world.run_due_jobs().await;
    assert_eq!(state(&ann).await, "stopped");
    let wallet = world.wallet(&ann).await;
    assert!(wallet.credit_limit.is_zero() && wallet.balance.is_negative(), "{wallet:?}");
    world.settle().await;
    // What it owes is known: the world would take it for a mistake.
    world.execute("update wallets set credit_limit = 0.3 where balance < 0").await;
    world.finish().await;
}
