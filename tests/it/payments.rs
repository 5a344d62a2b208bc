//! Payments through the door: recorded once however often they are sent, given back no further than they were paid, and charges
//! and debts that are given up. Each is posted to the account that the books have for it.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::audit::Actor;
use uni_manager::payments::{self, NewPayment, NewReturn, ReturnKind};

use crate::doors::browser;
use crate::world::{Answer, Customer, World, send, text};

/// The accounts of all transfers that are no charges, as `from > to amount code`.
const BOOKED: &str = "select coalesce(string_agg(coalesce(d.provider, d.kind) || ' > ' || coalesce(c.provider, c.kind) || ' ' || t.amount || ' ' || t.code, ', ' order by t.id), '')
    from transfers t join accounts d on d.id = t.debit_account join accounts c on c.id = t.credit_account where t.code <> 'charge'";

fn paid(customer: &Customer, amount: &str, reference: &str) -> Value {
    json!({ "organisation": customer.organisation, "provider": "bank", "amount": amount, "reference": reference })
}

async fn record(world: &World, admin: &Customer, payment: &Value) -> Answer {
    world.post(admin, "/admin/payments", payment).await
}

async fn give_back(world: &World, admin: &Customer, payment: &str, kind: &str, amount: &str, order: &str) -> Answer {
    let body = json!({ "amount": amount, "reason": "Contract ended", "order": order });
    world.post(admin, &format!("/admin/payments/{payment}/{kind}"), &body).await
}

fn problem(answer: &Answer) -> String {
    text(&answer.problem(422), "/errors/0/problem").to_owned()
}

#[tokio::test]
async fn a_payment_is_recorded_once_told_and_starts_what_waited_for_it() {
    let world = World::new().await;
    let (ann, bob, admin) = (world.customer("ann", "1").await, world.customer("bob", "0").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    world.hours_with_passes(51).await;
    world.settle().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");

    let made = record(&world, &admin, &paid(&ann, "50.5", " RF18 5390 ")).await.expect(201);
    world.run_due_jobs().await;
    assert_eq!((world.balance(&ann).await, world.state(&ann, &vm).await), ("50.500000".into(), "running".into()));
    assert_eq!((text(&made, "/reference"), text(&made, "/returned")), ("RF18 5390", "0.000000"));
    assert_eq!(text(&made, "/created_by"), "admin@example.org");

    // The same line of the statement once more, by somebody who writes it otherwise.
    let again = record(&world, &admin, &paid(&ann, "50.50", "rf18 5390")).await.expect(200);
    assert_eq!(again["id"], made["id"]);
    let differs = problem(&record(&world, &admin, &paid(&ann, "50", "RF18 5390")).await);
    assert!(
        differs.contains("This payment was recorded on 2026-11-12 for ann's, with") && differs.contains("50.5"),
        "{differs}"
    );
    assert!(problem(&record(&world, &admin, &paid(&bob, "50.5", "RF18 5390")).await).contains("for ann's"));
    let mut card = paid(&bob, "7", "RF18 5390");
    card["provider"] = "stripe".into();
    record(&world, &admin, &card).await.expect(201);
    assert_eq!((world.balance(&ann).await, world.balance(&bob).await), ("50.500000".into(), "7.000000".into()));
    let booked = "manual_credits > wallet 1.000000 manual_credit, bank > wallet 50.500000 payment, stripe > wallet 7.000000 payment";
    assert_eq!(world.text(BOOKED).await, booked);

    let transfers = world.get(&ann, "/transfers").await.expect(200);
    assert_eq!(text(&transfers, "/items/0/memo"), "Payment by bank transfer, RF18 5390");
    let mails = world.mails().await;
    let told: Vec<_> = mails.iter().filter(|mail| mail.subject.starts_with("Your payment")).collect();
    assert_eq!(told.len(), 2, "one for each payment");
    assert_eq!(told[0].subject, "Your payment of 50.50 EUR has arrived");
    assert!(told[0].body.contains("It has the reference RF18 5390."), "{}", told[0].body);
    assert!(world.events().await.contains(&"payment.recorded".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn what_cannot_be_a_payment_is_said_field_by_field() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);

    let wrong = json!({ "organisation": ann.organisation, "provider": "cash", "amount": "12.345", "reference": " " });
    let refused = record(&world, &admin, &wrong).await;
    assert_eq!(refused.problem_fields(), ["provider", "amount", "reference"]);
    assert!(refused.text.contains("EUR has at most 2 decimals."), "{}", refused.text);
    for amount in ["0", "-5", "1000001", "ten", "0.001"] {
        assert_eq!(record(&world, &admin, &paid(&ann, amount, "A 1")).await.problem_fields(), ["amount"], "{amount}");
    }
    for reference in ["a\nb", &"x".repeat(101)] {
        assert_eq!(record(&world, &admin, &paid(&ann, "5", reference)).await.problem_fields(), ["reference"]);
    }
    let mut nobody = paid(&ann, "5", "A 1");
    nobody["organisation"] = "00000000-0000-7000-8000-00000000dead".into();
    record(&world, &admin, &nobody).await.problem(404);
    assert_eq!(world.count("select count(*) from payments").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_payment_goes_back_as_far_as_the_wallet_has_it_and_a_charge_back_further() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let made = record(&world, &admin, &paid(&ann, "20", "A 1")).await.expect(201);
    let payment = text(&made, "/id");
    let vm = world.running_vm(&ann, "web").await;
    // Half an hour at 0.02 is used up and not charged yet.
    world.advance(TimeDelta::minutes(30));

    assert_eq!(
        problem(&give_back(&world, &admin, payment, "refunds", "20", "o").await),
        "The wallet has 19.99 left, with what was used since the last charge taken off."
    );
    assert!(problem(&give_back(&world, &admin, payment, "refunds", "20.01", "o").await).contains("At most 20 of it"));
    for _ in 0..2 {
        let back = give_back(&world, &admin, payment, "refunds", "12.50", "one").await.expect(201);
        assert_eq!((text(&back, "/returned"), text(&back, "/returns/0/kind")), ("12.500000", "refund"));
    }
    give_back(&world, &admin, payment, "refunds", "3", "one").await.problem(409);
    give_back(&world, &admin, payment, "chargebacks", "12.50", "one").await.problem(409);
    assert_eq!(world.balance(&ann).await, "7.500000");
    let memo = world.get(&ann, "/transfers").await.expect(200);
    assert_eq!(text(&memo, "/items/0/memo"), "Refund of the payment by bank transfer, A 1: Contract ended");

    assert!(
        problem(&give_back(&world, &admin, payment, "chargebacks", "8", "two").await).contains("At most 7.5 of it")
    );
    let back = give_back(&world, &admin, payment, "chargebacks", "7.5", "two").await.expect(201);
    assert_eq!((text(&back, "/returned"), text(&back, "/returns/0/kind")), ("20.000000", "chargeback"));
    assert_eq!(
        problem(&give_back(&world, &admin, payment, "refunds", "0.01", "three").await),
        "All of it went back already."
    );
    // What was used until then is owed, and what runs is shut down.
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.settle().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    let detail = world.text("select detail::text from audit_events where event = 'payment.charged_back'").await;
    assert!(detail.contains("\"below_zero\": true"), "{detail}");
    let subjects: Vec<_> = world.mails().await.into_iter().map(|mail| mail.subject).collect();
    for subject in ["We refund 12.50 EUR", "7.50 EUR was charged back"] {
        assert_eq!(subjects.iter().filter(|told| *told == subject).count(), 1, "{subject} in {subjects:?}");
    }
    let booked = "bank > wallet 20.000000 payment, wallet > bank 12.500000 refund, wallet > bank 7.500000 chargeback";
    assert_eq!(world.text(BOOKED).await, booked);
    give_back(&world, &admin, "00000000-0000-7000-8000-00000000dead", "refunds", "1", "x").await.problem(404);
    world.finish().await;
}

#[tokio::test]
async fn charges_are_given_back_up_to_what_was_charged_and_start_what_waited() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "1").await, world.admin().await);
    let path = format!("/admin/organisations/{}/refunds", ann.organisation);
    let refund = async |amount: &str, order: &str| {
        let body = json!({ "amount": amount, "reason": "Outage of 3 May", "order": order });
        world.post(&admin, &path, &body).await
    };
    assert_eq!(problem(&refund("0.01", "a").await), "Nothing was charged that was not given back.");
    let vm = world.running_vm(&ann, "web").await;
    world.hours_with_passes(51).await;
    world.settle().await;
    assert_eq!((world.balance(&ann).await, world.state(&ann, &vm).await), ("0.000000".into(), "stopped".into()));

    assert_eq!(problem(&refund("1.01", "b").await), "At most 1 was charged and not given back.");
    for _ in 0..2 {
        refund("0.6", "c").await.expect(201);
    }
    world.run_due_jobs().await;
    assert_eq!((world.balance(&ann).await, world.state(&ann, &vm).await), ("0.600000".into(), "running".into()));
    assert_eq!(problem(&refund("0.41", "d").await), "At most 0.4 was charged and not given back.");
    refund("0.4", "d").await.expect(201);
    assert_eq!(
        world.text(BOOKED).await,
        "manual_credits > wallet 1.000000 manual_credit, refunds > wallet 0.600000 refund, refunds > wallet 0.400000 refund"
    );
    let log = world.text("select detail->>'reason' from audit_events where event = 'wallet.refunded' limit 1").await;
    assert_eq!(log, "Outage of 3 May");
    world.finish().await;
}

#[tokio::test]
async fn a_debt_is_written_off_and_no_more() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let path = format!("/admin/organisations/{}/write-offs", ann.organisation);
    let write_off = async |amount: &str, order: &str| {
        let body = json!({ "amount": amount, "reason": "Insolvent", "order": order });
        world.post(&admin, &path, &body).await
    };
    let made = record(&world, &admin, &paid(&ann, "9", "A 1")).await.expect(201);
    assert_eq!(problem(&write_off("1", "a").await), "This wallet owes nothing.");
    let taken = json!({ "amount": "9", "reason": "Moved", "below_zero": false });
    world.post(&admin, &format!("/admin/organisations/{}/debits", ann.organisation), &taken).await.expect(201);
    give_back(&world, &admin, text(&made, "/id"), "chargebacks", "9", "x").await.expect(201);
    assert_eq!(world.balance(&ann).await, "-9.000000");

    assert_eq!(problem(&write_off("9.01", "b").await), "At most 9 is owed.");
    for _ in 0..2 {
        let wallet = write_off("4", "c").await.expect(201);
        assert_eq!(text(&wallet, "/balance"), "-5.000000");
    }
    write_off("5", "d").await.expect(201);
    assert_eq!(world.balance(&ann).await, "0.000000");
    assert!(
        world
            .text(BOOKED)
            .await
            .ends_with("write_off > wallet 4.000000 write_off, write_off > wallet 5.000000 write_off")
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_record_it_once_and_give_back_no_more_than_was_paid() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "100").await, world.customer("bob", "100").await);
    let (admin, people) = (world.admin().await, [ann.organisation, bob.organisation]);
    let actor = Actor::person(&admin.user);
    let tasks = (0..40).map(|number| {
        let (app, actor, organisation) = (Arc::clone(&world.app), actor.clone(), people[number % 2]);
        let [provider, amount, reference] = ["bank", "30", "A 1"].map(str::to_owned);
        let new = NewPayment { organisation, provider, amount, reference };
        tokio::spawn(async move { payments::record(&app, &new, &actor).await })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(|answer| answer.unwrap()).collect();
    let won: Vec<_> = answers.iter().flatten().filter(|recorded| !recorded.repeated).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(answers.iter().flatten().count(), 20, "to the other customer it is refused");
    assert_eq!(world.text("select sum(balance)::text from wallets").await, "230.000000");

    let payment = won[0].payment.id;
    let tasks = (0..60).map(|number: usize| {
        let (app, actor) = (Arc::clone(&world.app), actor.clone());
        let kind = if number.is_multiple_of(2) { ReturnKind::Refund } else { ReturnKind::Chargeback };
        let new = NewReturn { amount: "0.7".into(), reason: "x".into(), order: Some(format!("{number}")) };
        tokio::spawn(async move { payments::give_back(&app, payment, kind, &new, &actor).await })
    });
    let done = join_all(tasks).await.into_iter().flatten().filter(Result::is_ok).count();
    assert_eq!(done, 42, "30 in parts of 0.7");
    assert_eq!(world.text("select sum(amount)::text from payment_returns").await, "29.400000");
    assert_eq!(world.text("select sum(balance)::text from wallets").await, "200.600000");
    world.finish().await;
}

#[tokio::test]
async fn a_payment_and_a_transfer_without_each_other_are_found() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let made = record(&world, &admin, &paid(&ann, "20", "A 1")).await.expect(201);
    give_back(&world, &admin, text(&made, "/id"), "refunds", "5", "one").await.expect(201);
    let difference = async || payments::first_difference(&world.app.pool).await.unwrap().unwrap_or_default();
    assert_eq!(difference().await, "");

    for refused in [
        "update payments set amount = 6",
        "delete from payment_returns",
        "update payment_returns set amount = 1",
        "truncate payment_returns",
        "delete from payments",
    ] {
        assert!(sqlx::query(refused).execute(&world.app.pool).await.is_err(), "{refused} must be refused");
    }
    world.execute("alter table payments disable trigger all").await;
    world.execute("alter table payment_returns disable trigger all").await;
    world.execute("update payments set amount = 21").await;
    assert!(difference().await.contains("was recorded, but its amount was not posted then"));
    world.execute("update payments set amount = 20").await;
    world.execute("update payment_returns set kind = 'chargeback'").await;
    assert!(difference().await.contains("the chargeback"));
    world.execute("update payment_returns set kind = 'refund'").await;
    world.execute("create table kept as select * from payment_returns").await;
    world.execute("delete from payment_returns").await;
    assert!(difference().await.contains("5.000000 was posted as refund:"));
    world.execute("insert into payment_returns select * from kept").await;
    assert_eq!(difference().await, "");
    world.finish().await;
}

#[tokio::test]
async fn an_operator_records_a_payment_and_gives_it_back_on_pages() {
    let world = World::new().await;
    let (ann, bob, admin) = (world.customer("ann", "0").await, world.customer("bob", "5").await, world.admin().await);
    world.running_vm(&bob, "web").await;
    world.hours_with_passes(1).await;
    let (cookie, csrf) = browser(&world, &admin).await;
    let get = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await.text;
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let form: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&form)).await
    };
    let number = world.text("select number::text from organisations where name like 'ann%'").await;

    assert!(get("/admin/payments").await.contains("Record a payment when it has arrived"));
    let form = get(&format!("/admin/payments/new?customer={}", ann.organisation)).await;
    assert!(form.contains("Of ann"), "whose payment it is to be");
    let typed = |customer: &'static str, amount: &'static str| {
        [("customer", customer), ("provider", "stripe"), ("amount", amount), ("reference", "pi_3Q")]
    };
    let refused = post("/admin/payments", &typed("99999", "20")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("No customer has this number or id.") && refused.text.contains("value=\"pi_3Q\""));
    assert!(refused.text.contains("<option value=\"stripe\" selected>"), "what was chosen stays chosen");
    let mut right = typed("", "20");
    right[0].1 = Box::leak(number.clone().into_boxed_str());
    let done = post("/admin/payments", &right).await;
    assert!(done.location.starts_with("/admin/payments/"), "{} {}", done.status, done.location);
    let page = get(&done.location).await;
    assert!(page.contains("pi_3Q") && page.contains("€20.00") && page.contains("Nothing of it went back."));

    let refund = [("amount", "30"), ("reason", "Leaves us"), ("order", "one")];
    let refused = post(&format!("{}/refunds", done.location), &refund).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("id=\"refund_amount-problem\"") && refused.text.contains("value=\"Leaves us\""));
    let refund = [("amount", "5"), ("reason", "Leaves us"), ("order", "one")];
    assert_eq!(post(&format!("{}/refunds", done.location), &refund).await.location, done.location);
    let page = get(&done.location).await;
    assert!(page.contains("Leaves us") && page.contains("€15.00"), "what stayed");
    let charged = [("amount", "15"), ("reason", "Fraud"), ("order", "two")];
    assert_eq!(post(&format!("{}/chargebacks", done.location), &charged).await.status, 303);
    assert!(!get(&done.location).await.contains("/chargebacks"), "nothing is left to give back");

    assert!(get("/admin/payments?search=PI_3").await.contains(&done.location));
    assert!(get("/admin/payments?search=other").await.contains("No payment is like what you look for."));
    assert!(get(&format!("/admin/payments?customer={number}")).await.contains(&done.location));
    assert!(get("/admin/payments?customer=99999").await.contains("No customer has this number or id."));
    let log = get(&format!("/admin/customers/{}", ann.organisation)).await;
    assert!(
        log.contains("recorded a payment of €20.00,") && log.contains("refunded €5.00 (“Leaves us”) of the payment")
    );

    let customer = format!("/admin/customers/{}", ann.organisation);
    for (path, field) in [("refunds", "refund_amount"), ("write-offs", "write_off_amount")] {
        let refused = post(&format!("{customer}/{path}"), &[("amount", "1"), ("reason", "x"), ("order", path)]).await;
        assert_eq!(refused.status, 422);
        assert!(refused.text.contains(&format!("id=\"{field}-problem\"")), "{path}");
    }
    let taken = [("amount", "3"), ("reason", "Fee"), ("below_zero", "yes"), ("order", "three")];
    assert_eq!(post(&format!("{customer}/debits"), &taken).await.status, 303);
    assert!(get(&customer).await.contains("Write off the debt"));
    let written = [("amount", "3"), ("reason", "Gone"), ("order", "four")];
    assert_eq!(post(&format!("{customer}/write-offs"), &written).await.location, customer);
    let page = get(&customer).await;
    assert!(page.contains("wrote off €3.00 of what is owed: Gone") && !page.contains("Write off the debt"));

    let back = [("amount", "0.02"), ("reason", "Outage"), ("order", "five")];
    let customer = format!("/admin/customers/{}", bob.organisation);
    assert_eq!(post(&format!("{customer}/refunds"), &back).await.location, customer);
    assert!(get(&customer).await.contains("gave back €0.02 of charges: Outage"));
    assert_eq!(world.balance(&bob).await, "5.000000");
    world.finish().await;
}
