//! Rules of the ledger and the wallet: what is held, what is refused, what is posted once.

use reqwest::Method;
use serde_json::json;

use crate::money::{machine, new_version, sell};
use crate::world::{Start, World, send, text};

#[tokio::test]
async fn credit_for_a_day_is_held_until_the_machine_runs_or_has_failed() {
    use proxmox_simulator::{Fault, FaultKind};
    let world = World::new().await;
    let ann = world.customer("ann", "1").await;
    let held = async || world.wallet(&ann).await.held.to_string();

    world.order(&ann, "one").await;
    assert_eq!(held().await, "0.480000");
    world.order(&ann, "two").await;
    assert_eq!(held().await, "0.960000");
    let third = world.new_vm(&ann, "three").await;
    assert_eq!(
        text(&world.post(&ann, "/vms", &third).await.problem(402), "/short_by"),
        "0.440000",
        "held credit is not available"
    );
    let wallet = world.get(&ann, "/wallet").await.expect(200);
    assert_eq!((text(&wallet, "/balance"), text(&wallet, "/available")), ("1.000000", "0.040000"));
    world.simulator.faults().inject(Fault::once("POST", "/clone", FaultKind::TaskFails("no space left".into())));
    world.settle().await;

    assert_eq!(world.count("select count(*) from vms where state = 'failed'").await, 1);
    assert_eq!(world.count("select count(*) from vms where state = 'running'").await, 1);
    assert_eq!(held().await, "0.000000");
    world.finish().await;
}

#[tokio::test]
async fn a_new_organisation_gets_the_sign_up_credit_once() {
    let world = World::starting(Start { sign_up_credit: "2.5", ..Start::default() }).await;
    let ann = world.customer("ann", "0").await;

    assert_eq!(world.balance(&ann).await, "2.500000");
    let transfers = world.get(&ann, "/transfers").await.expect(200);
    assert_eq!(
        (text(&transfers, "/items/0/code"), text(&transfers, "/items/0/balance_after")),
        ("sign_up_credit", "2.500000")
    );
    assert_eq!(transfers["items"].as_array().unwrap().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_credit_that_is_sent_twice_is_posted_once_and_audited() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let path = format!("/admin/organisations/{}/credits", ann.organisation);
    let credit = json!({ "amount": "12.50", "reason": "Paid by bank transfer" });

    for _ in 0..2 {
        let answer =
            send(world.api(&admin, Method::POST, &path).await.header("idempotency-key", "transfer-77").json(&credit))
                .await
                .expect(201);
        assert_eq!(text(&answer, "/balance"), "12.500000");
    }
    world.post(&admin, &path, &credit).await.expect(201);

    assert_eq!(world.balance(&ann).await, "25.000000", "without a key it is another credit");
    assert_eq!(world.events().await.iter().filter(|event| *event == "wallet.credited").count(), 2);
    let refused = world.post(&admin, &path, &json!({ "amount": "-1", "reason": " " })).await.problem_fields();
    assert_eq!(refused, ["amount", "reason"]);
    for wrong in ["0", "1e3", "0.0000001", "1000000.01", "a lot"] {
        assert_eq!(
            world.post(&admin, &path, &json!({ "amount": wrong, "reason": "x" })).await.problem_fields(),
            ["amount"],
            "{wrong}"
        );
    }
    world.post(&admin, "/admin/organisations/00000000-0000-7000-8000-00000000dead/credits", &credit).await.problem(404);
    world.finish().await;
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_what_was_written_down() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "web").await;
    world.hours_with_passes(1).await;

    for statement in [
        "update transfers set amount = 1",
        "delete from transfers",
        "truncate transfers cascade",
        "update charges set amount = 0",
        "delete from charges",
        "truncate charges",
        "update audit_events set event = 'nothing'",
        "delete from audit_events",
        "truncate audit_events",
        "update prices set hourly_rate = 0",
        "update meters set accrued = accrued + 1",
    ] {
        let refused = sqlx::query(statement).execute(&world.app.pool).await;
        assert!(refused.is_err(), "{statement} must be refused");
    }
    let overlapping = "insert into meter_intervals (organisation_id, meter_id, kind, plan_id, quantity, price_list_id, during) select organisation_id, meter_id, 'vm_stopped', plan_id, 1, price_list_id, tstzrange(lower(during), null) from meter_intervals where plan_id is not null";
    assert!(sqlx::query(overlapping).execute(&world.app.pool).await.is_err(), "a machine cannot be two things at once");
    assert!(sqlx::query("insert into transfers select gen_random_uuid(), posting, debit_account, credit_account, amount, code, source, at, memo, created_by from transfers").execute(&world.app.pool).await.is_err(), "a cause posts once");
    world.finish().await;
}

#[tokio::test]
async fn a_wallet_that_cannot_be_charged_does_not_keep_the_others_from_it() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    sell(&world, "broken", "0.01", "0.01", None).await;
    machine(&world, &ann, "web", "broken").await;
    world.running_vm(&bob, "web").await;
    new_version(&world, "2026-11-10T12:30:00Z", "hourly_rate", "slug is distinct from 'broken'").await;

    world.hours(1);
    let pass = world.charge().await;

    assert_eq!((pass.failed, pass.charges), (1, 2), "a charge for each price of the hour");
    assert_eq!((world.balance(&ann).await, world.balance(&bob).await), ("5.000000".to_owned(), "4.980000".to_owned()));
    assert!(
        world
            .text("select charging_error from wallets where charging_error is not null")
            .await
            .contains("has no price")
    );
    world
        .execute(
            "insert into prices (id, price_list_version_id, kind, plan_id, hourly_rate, monthly_cap)
             select gen_random_uuid(), later.id, p.kind, p.plan_id, p.hourly_rate, p.monthly_cap
             from price_list_versions later, prices p join price_list_versions v on v.id = p.price_list_version_id and v.number = 1
             join plans on plans.id = p.plan_id and plans.slug = 'broken' where later.effective_from = '2026-11-10T12:30:00Z'",
        )
        .await;
    world.hours(1);
    world.charge().await;

    assert_eq!(
        (world.balance(&ann).await, world.balance(&bob).await),
        ("4.980000".to_owned(), "4.960000".to_owned()),
        "nothing is lost"
    );
    assert_eq!(world.count("select count(*) from wallets where charging_error is not null").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_tampered_balance_is_found() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    world.execute("update wallets set balance = balance + 1").await;

    let difference = uni_manager::ledger::first_difference(&world.app.pool, chrono_tz::UTC).await.unwrap();

    assert!(
        difference
            .is_some_and(|difference| difference.contains(&ann.organisation.to_string()) && difference.contains('6'))
    );
    world.execute("update wallets set balance = balance - 1").await;
    world.finish().await;
}

#[tokio::test]
async fn a_page_of_transfers_ends_where_the_next_begins() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "web").await;
    world.hours_with_passes(5).await;

    let mut path = "/transfers?limit=2".to_owned();
    let mut balances = Vec::new();
    for _ in 0..3 {
        let page = world.get(&ann, &path).await.expect(200);
        balances.extend(page["items"].as_array().unwrap().iter().map(|item| text(item, "/balance_after").to_owned()));
        path = format!("/transfers?limit=2&after={}", page["next"].as_str().unwrap_or_default());
    }

    assert_eq!(balances, ["4.900000", "4.920000", "4.940000", "4.960000", "4.980000", "5.000000"]);
    world.finish().await;
}
