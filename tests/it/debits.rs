//! Credit taken by hand, and a wallet that everybody works on at once.

use std::sync::Arc;

use billing::Money;
use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use uni_manager::app::App;
use uni_manager::audit::Actor;
use uni_manager::charging::{self, NewCredit, NewDebit};
use uni_manager::error::Result;
use uni_manager::vouchers;

use crate::doors::browser;
use crate::vouchers::codes;
use crate::world::{World, at, send, text};

#[tokio::test]
async fn a_debit_takes_at_most_what_is_left_and_only_once() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    world.running_vm(&ann, "web").await;
    // Half an hour at 0.02 is used up and not charged yet.
    world.advance(TimeDelta::minutes(30));
    let path = format!("/admin/organisations/{}/debits", ann.organisation);

    let refused = world.post(&admin, &path, &json!({ "amount": "4.990001", "reason": "Booked twice" })).await;
    assert_eq!(refused.problem_fields(), ["amount"]);
    assert!(refused.text.contains("At most 4.99 is left"), "{}", refused.text);
    for _ in 0..2 {
        let debit = json!({ "amount": "2", "reason": "Booked twice" });
        let sent =
            send(world.api(&admin, Method::POST, &path).await.header("idempotency-key", "d-1").json(&debit)).await;
        assert_eq!(text(&sent.expect(201), "/balance"), "3.000000");
    }
    let other = json!({ "amount": "1", "reason": "Booked twice", "order": "d-1" });
    world.post(&admin, &path, &other).await.problem(409);

    let transfers = world.get(&ann, "/transfers").await.expect(200);
    assert_eq!(
        (text(&transfers, "/items/0/code"), text(&transfers, "/items/0/memo"), text(&transfers, "/items/0/amount")),
        ("manual_debit", "Booked twice", "-2.000000")
    );
    assert_eq!(world.events().await.iter().filter(|event| *event == "wallet.debited").count(), 1);
    let end = world.wallet(&ann).await.runs_out_at.unwrap();
    assert!((end - at("2026-11-16T18:00:00Z")).abs() < TimeDelta::seconds(1), "150 hours from noon: {end}");
    assert_eq!(
        world.post(&admin, &path, &json!({ "amount": "0", "reason": "" })).await.problem_fields(),
        ["amount", "reason"]
    );
    let nobody = "/admin/organisations/00000000-0000-7000-8000-00000000dead/debits";
    world.post(&admin, nobody, &json!({ "amount": "1", "reason": "x" })).await.problem(404);
    world.hours_with_passes(1).await;
    world.finish().await;
}

#[tokio::test]
async fn a_debit_of_all_that_is_left_shuts_down_what_runs() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    world.advance(TimeDelta::minutes(30));
    let path = format!("/admin/organisations/{}/debits", ann.organisation);

    world.post(&admin, &path, &json!({ "amount": "4.99", "reason": "Contract ended" })).await.expect(201);
    assert!(world.wallet(&ann).await.due_at.unwrap() <= world.now() + TimeDelta::seconds(2), "due at once");
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.settle().await;

    assert_eq!(world.state(&ann, &vm).await, "stopped");
    assert_eq!(world.balance(&ann).await, "0.000000", "what was used until then was charged");
    assert_eq!(world.text("select sum(amount)::text from charges").await, "0.010000");
    assert!(world.events().await.contains(&"wallet.ran_out".to_owned()));
    world.credit(&ann, "5").await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn below_zero_is_only_gone_when_it_is_ticked_and_that_is_recorded() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "1").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &admin).await;
    let page = format!("/admin/customers/{}", ann.organisation);
    let take = async |fields: &[(&str, &str)]| {
        let mut form = vec![("csrf", csrf.as_str()), ("amount", "3"), ("reason", "Charge-back"), ("order", "one")];
        form.extend_from_slice(fields);
        send(world.request(Method::POST, &format!("{page}/debits")).header("cookie", &cookie).form(&form)).await
    };

    let refused = take(&[]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("id=\"debit_amount-problem\"") && refused.text.contains("value=\"Charge-back\""));
    for _ in 0..2 {
        assert_eq!(take(&[("below_zero", "yes")]).await.location, page);
    }
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.settle().await;

    assert_eq!(world.balance(&ann).await, "-2.000000");
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    let detail = world.text("select detail::text from audit_events where event = 'wallet.debited'").await;
    assert!(detail.contains("\"below_zero\": true") && detail.contains("Charge-back"), "{detail}");
    let shown = send(world.request(Method::GET, &page).header("cookie", &cookie)).await;
    assert!(shown.text.contains("took €3.00 of credit below zero: Charge-back"), "in the log of the customer");
    world.credit(&ann, "1.5").await;
    assert!(world.wallet(&ann).await.exhausted_at.is_some(), "still below zero: nothing starts");
    world.credit(&ann, "1.5").await;
    world.run_due_jobs().await;
    assert_eq!((world.balance(&ann).await, world.state(&ann, &vm).await), ("1.000000".into(), "running".into()));
    world.finish().await;
}

/// Asks again while the database has no connection to spare, as a program does that is told 503. What is asked for names its
/// order, so asking again is harmless.
async fn insist<T, Asked: Future<Output = Result<T>>>(ask: impl Fn() -> Asked) -> T {
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(uni_manager::error::Error::Internal(cause))
                if matches!(cause.downcast_ref(), Some(sqlx::Error::PoolTimedOut)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_credits_debits_vouchers_and_charges_at_once_add_up() {
    const CREDITS: usize = 500;
    const SENT_TWICE: usize = 100;
    const VOUCHERS: usize = 200;
    const DEBITS: usize = 100;
    const PASSES: usize = 100;
    let world = World::new().await;
    let ann = world.customer("ann", "10").await;
    world.running_vm(&ann, "web").await;
    let codes = codes(&world, "0.03", i64::try_from(VOUCHERS).unwrap(), 1).await;
    let (organisation, actor) = (ann.organisation, Actor::person(&ann.user));

    let mut tasks = Vec::new();
    for number in 0..CREDITS + SENT_TWICE + VOUCHERS + DEBITS + PASSES {
        // Each kind among all others: the step has no divisor in common with the thousand.
        let turn = number * 377 % (CREDITS + SENT_TWICE + VOUCHERS + DEBITS + PASSES);
        let (app, actor) = (Arc::clone(&world.app), actor.clone());
        let code = turn.checked_sub(CREDITS + SENT_TWICE).and_then(|place| codes.get(place)).cloned();
        tasks.push(tokio::spawn(async move {
            let app: &Arc<App> = &app;
            if turn < CREDITS + SENT_TWICE {
                let order = format!("credit-{}", turn % CREDITS);
                let new = NewCredit { amount: "0.011".into(), reason: "Paid".into(), order: Some(order) };
                insist(|| charging::add_credit(app, organisation, &new, &actor)).await;
            } else if let Some(code) = code {
                insist(|| vouchers::redeem(app, organisation, &code, &actor)).await;
            } else if turn < CREDITS + SENT_TWICE + VOUCHERS + DEBITS {
                let order = Some(format!("debit-{turn}"));
                let new = NewDebit { amount: "0.007".into(), reason: "Fee".into(), below_zero: false, order };
                insist(|| charging::take_credit(app, organisation, &new, &actor)).await;
            } else {
                // Ten hours in all.
                app.clock.advance(TimeDelta::minutes(6));
                insist(|| charging::run(app)).await;
            }
        }));
    }
    assert_eq!(tasks.len(), 1_000);
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(world.now(), at("2026-11-10T22:00:00Z"));
    world.charge().await;

    let money = |text: &str| text.parse::<Money>().unwrap();
    // 10 + 500 × 0.011 + 200 × 0.03 − 100 × 0.007 − 10 h × 0.02
    assert_eq!(world.wallet(&ann).await.balance, money("20.6"));
    assert_eq!(world.count("select count(*) from transfers where code = 'manual_credit'").await, 501);
    assert_eq!(world.count("select count(*) from transfers where code = 'voucher'").await, 200);
    assert_eq!(world.count("select count(*) from transfers where code = 'manual_debit'").await, 100);
    assert_eq!(world.text("select sum(amount)::text from charges").await, "0.200000");
    world.finish().await;
}
