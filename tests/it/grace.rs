//! After the credit has ended: rescue time once, disks kept for the grace, deletion only when enough notices were delivered, and
//! whatever credit comes ends all of it.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::world::{Customer, MailServer, Mood, Start, World, at, send, text};

/// A machine for each name, and then the end of the credit, with everything shut down.
async fn at_zero<const N: usize>(world: &World, names: [&str; N]) -> (Customer, [String; N]) {
    let ann = world.customer("ann", &billing::Money::from_micros(480_000 * N as i128).to_string()).await;
    let mut vms = Vec::new();
    for name in names {
        vms.push(world.running_vm(&ann, name).await);
    }
    world.hours(25);
    world.charge().await;
    world.run_due_jobs().await;
    assert!(world.wallet(&ann).await.exhausted_at.is_some());
    (ann, vms.try_into().unwrap())
}

/// Lets days pass as the worker does, looking every hour, and carries the mails.
async fn days(world: &World, days: i64) {
    for _ in 0..days * 24 {
        world.hours(1);
        world.charge().await;
        world.zero().await;
        world.mails().await;
        world.run_due_jobs().await;
    }
}

async fn subjects(world: &World) -> Vec<String> {
    world.mails().await.into_iter().filter(|mail| mail.status == "sent").map(|mail| mail.subject).collect()
}

async fn settings(world: &World, change: &'static str) {
    world.execute(change).await;
}

#[tokio::test]
async fn rescue_time_is_two_hours_at_no_charge_and_once() {
    let world = World::new().await;
    let (ann, [one, two]) = at_zero(&world, ["one", "two"]).await;
    let balance = world.balance(&ann).await;
    let zero = world.get(&ann, "/wallet/zero").await.expect(200);
    assert_eq!(zero["ended"]["can_rescue"], true, "{zero}");

    let granted = world.post(&ann, "/wallet/rescue", &json!({ "vms": [one] })).await.expect(202);
    assert_eq!(granted["started"], 1);
    let until = at(text(&granted, "/until"));
    assert_eq!(until, world.now() + TimeDelta::hours(2));
    world.run_due_jobs().await;
    assert_eq!((world.state(&ann, &one).await, world.state(&ann, &two).await), ("running".into(), "stopped".into()));
    // A look at the cluster finds it running and leaves it.
    world.advance(TimeDelta::minutes(119));
    world.charge().await;
    world.look().await;
    world.zero().await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "running");
    world.post(&ann, "/wallet/rescue", &json!({})).await.problem(409);
    world.tell(&ann, &two, "start").await.problem(402);

    world.app.clock.set(until);
    world.zero().await;
    world.run_due_jobs().await;

    assert_eq!(world.state(&ann, &one).await, "stopped");
    world.charge().await;
    assert_eq!(world.balance(&ann).await, balance, "it was at no charge");
    world.post(&ann, "/wallet/rescue", &json!({})).await.problem(409);
    // Credit starts both again, once.
    world.credit(&ann, "5").await;
    world.credit(&ann, "5").await;
    world.run_due_jobs().await;
    assert_eq!((world.state(&ann, &one).await, world.state(&ann, &two).await), ("running".into(), "running".into()));
    assert_eq!(world.count("select count(*) from jobs where kind = 'vm.start'").await, 3);
    let events = world.events().await;
    for event in ["wallet.rescue_began", "wallet.rescue_ended", "wallet.resumed"] {
        assert_eq!(events.iter().filter(|known| *known == event).count(), 1, "{event}");
    }
    world.finish().await;
}

#[tokio::test]
async fn credit_in_the_rescue_time_goes_on_from_there() {
    let world = World::new().await;
    let (ann, [one]) = at_zero(&world, ["one"]).await;
    world.post(&ann, "/wallet/rescue", &json!({})).await.expect(202);
    world.run_due_jobs().await;
    world.hours(1);

    world.credit(&ann, "5").await;
    world.settle().await;
    assert_eq!(world.state(&ann, &one).await, "running");
    world.hours(2);
    world.charge().await;
    world.zero().await;
    world.settle().await;

    assert_eq!(world.state(&ann, &one).await, "running", "the end of the rescue time is none any more");
    let spent = "5".parse::<billing::Money>().unwrap() - world.wallet(&ann).await.balance;
    assert!(spent > "0.0399".parse().unwrap() && spent <= "0.0401".parse().unwrap(), "from the credit on: {spent}");
    // Another end of the credit has its own rescue time.
    world.hours_with_passes(300).await;
    world.charge().await;
    world.run_due_jobs().await;
    world.post(&ann, "/wallet/rescue", &json!({})).await.expect(202);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn machines_are_deleted_after_the_grace_when_every_notice_was_delivered() {
    let world = World::new().await;
    let (ann, [one, kept]) = at_zero(&world, ["one", "kept"]).await;
    send(world.api(&ann, Method::PATCH, &format!("/vms/{kept}")).await.json(&json!({ "protected": true })))
        .await
        .expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.now(), at("2026-11-11T13:00:00Z"));
    let zero = world.get(&ann, "/wallet/zero").await.expect(200);
    assert_eq!(text(&zero, "/ended/grace_until").get(..16), Some("2026-11-25T12:00"), "{zero}");

    days(&world, 13).await;
    assert_eq!(world.state(&ann, &one).await, "stopped");
    let told = subjects(&world).await;
    assert_eq!(told.len(), 3, "one with the end, one in the middle, one a day before: {told:?}");
    world.hours(22);
    world.zero().await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "stopped", "not an hour too soon");
    world.hours(2);
    world.zero().await;
    world.run_due_jobs().await;

    world.get(&ann, &format!("/vms/{one}")).await.problem(404);
    assert_eq!(world.state(&ann, &kept).await, "stopped", "what its owner protects is kept");
    let told = subjects(&world).await;
    assert_eq!(told.last().unwrap(), "A VM was deleted");
    assert!(world.events().await.contains(&"wallet.grace_ended".to_owned()));
    days(&world, 2).await;
    assert_eq!(subjects(&world).await, told, "nothing more to tell");
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_deleted_that_was_not_announced() {
    let server = MailServer::start().await;
    server.set(Mood::Refuses("550 no such mailbox"));
    let world = World::starting(Start { mailer: server.mailer(), ..Start::default() }).await;
    let (ann, [one]) = at_zero(&world, ["one"]).await;
    let admin = world.admin().await;

    days(&world, 20).await;

    assert_eq!(world.state(&ann, &one).await, "stopped");
    let waits = world.text("select deletion_waits from exhaustions").await;
    assert_eq!(waits, "Only 0 of 3 notices could be delivered by mail.");
    let (cookie, _) = crate::doors::browser(&world, &admin).await;
    let home = send(world.request(Method::GET, "/admin").header("cookie", &cookie)).await.text;
    assert!(home.contains("Only 0 of 3 notices"), "operators are told");

    // The mailbox works again: three more notices, a day apart, and a day after the last.
    server.set(Mood::Good);
    days(&world, 2).await;
    assert_eq!(world.state(&ann, &one).await, "stopped");
    days(&world, 4).await;
    assert_eq!(world.get(&ann, &format!("/vms/{one}")).await.status, 404);
    world.finish().await;
}

#[tokio::test]
async fn credit_ends_the_grace_and_another_end_begins_a_new_one() {
    let world = World::new().await;
    let (ann, [one]) = at_zero(&world, ["one"]).await;
    days(&world, 13).await;

    world.credit(&ann, "0.60").await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "running");
    days(&world, 2).await;

    assert_eq!(world.state(&ann, &one).await, "stopped", "it has ended again");
    days(&world, 10).await;
    assert_eq!(world.state(&ann, &one).await, "stopped", "with a grace of its own");
    assert_eq!(world.count("select count(*) from exhaustions").await, 2);
    world.finish().await;
}

#[tokio::test]
async fn an_operator_keeps_disks_longer() {
    let world = World::new().await;
    let (ann, [one]) = at_zero(&world, ["one"]).await;
    let admin = world.admin().await;
    let keep = format!("/admin/organisations/{}/keep", ann.organisation);
    assert_eq!(world.post(&admin, &keep, &json!({ "days": 0 })).await.problem_fields(), ["days"]);
    world.post(&ann, &keep, &json!({ "days": 30 })).await.problem(403);
    let kept = world.post(&admin, &keep, &json!({ "days": 10 })).await.expect(200);
    assert_eq!(text(&kept, "/until").get(..16), Some("2026-12-05T12:00"));

    days(&world, 20).await;
    assert_eq!(world.state(&ann, &one).await, "stopped");
    days(&world, 6).await;
    assert_eq!(world.get(&ann, &format!("/vms/{one}")).await.status, 404);
    world.finish().await;
}

#[tokio::test]
async fn the_grace_can_cost_what_stopped_machines_cost_as_a_debt_with_a_floor() {
    let world = World::new().await;
    settings(&world, "update settings set grace_charged = true, grace_days = 2").await;
    let (ann, [one]) = at_zero(&world, ["one"]).await;

    // 0.005 an hour since noon of the 11th.
    world.hours(9);
    world.charge().await;
    let balance = world.wallet(&ann).await.balance;
    assert!(balance <= "-0.0499".parse().unwrap() && balance >= "-0.0501".parse().unwrap(), "{balance}");
    world.tell(&ann, &one, "start").await.problem(402);
    days(&world, 5).await;
    // Deleted when the grace was over and the notices were out; 48 hours were charged.
    let balance = world.wallet(&ann).await.balance;
    assert!(balance <= "-0.2399".parse().unwrap() && balance >= "-0.2401".parse().unwrap(), "{balance}");
    world.finish().await;
}

#[tokio::test]
async fn credit_pays_the_debt_of_the_grace_first() {
    let world = World::new().await;
    settings(&world, "update settings set grace_charged = true").await;
    let (ann, [one]) = at_zero(&world, ["one"]).await;
    world.hours(9);
    world.charge().await;

    // Less than what is owed: nothing starts.
    world.credit(&ann, "0.04").await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "stopped");
    assert!(world.wallet(&ann).await.exhausted_at.is_some());
    world.credit(&ann, "0.60").await;
    world.run_due_jobs().await;

    assert_eq!(world.state(&ann, &one).await, "running");
    assert!(world.wallet(&ann).await.exhausted_at.is_none());
    world.hours_with_passes(1).await;
    let balance = world.wallet(&ann).await.balance;
    // 0.64 less ten hours stopped, less one running.
    assert!(balance > "0.5698".parse().unwrap() && balance < "0.5702".parse().unwrap(), "{balance}");
    world.finish().await;
}

#[tokio::test]
async fn where_machines_are_not_shut_down_at_zero_the_balance_goes_down_to_its_floor() {
    let world = World::new().await;
    let admin = world.admin().await;
    let ann = world.customer("ann", "0.48").await;
    let one = world.running_vm(&ann, "one").await;
    let path = format!("/admin/organisations/{}/zero", ann.organisation);
    let put = async |body| send(world.api(&admin, Method::PUT, &path).await.json(&body)).await;
    assert_eq!(put(json!({ "credit_limit": "-1" })).await.problem_fields(), ["credit_limit"]);

    put(json!({ "auto_shutdown": false, "credit_limit": "0.20" })).await.expect(200);
    let ends = world.wallet(&ann).await.runs_out_at.unwrap();
    assert!(ends - at("2026-11-11T22:00:00Z") < TimeDelta::seconds(1), "{ends}");
    world.hours(30);
    world.charge().await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "running");
    assert_eq!(world.balance(&ann).await, "-0.120000");
    world.post(&ann, "/vms", &world.new_vm(&ann, "two").await).await.problem(402);
    world.hours(10);
    world.charge().await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "stopped", "there is a floor");
    assert_eq!(world.balance(&ann).await, "-0.200000");

    // A lower floor is credit as well; none at all brings it to an end at once.
    put(json!({ "auto_shutdown": false, "credit_limit": "1" })).await.expect(200);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "running");
    put(json!({})).await.expect(200);
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &one).await, "stopped");
    assert!(world.wallet(&ann).await.credit_limit.is_zero());
    let changed = world.events().await.iter().filter(|event| *event == "wallet.limit_changed").count();
    assert_eq!(changed, 3);
    world.execute("update wallets set credit_limit = 0.2").await;
    world.finish().await;
}

#[tokio::test]
async fn machines_stop_and_start_again_in_the_order_of_their_owner() {
    let world = World::new().await;
    let ann = world.customer("ann", "1.44").await;
    let mut vms = Vec::new();
    for name in ["web", "mail", "test"] {
        vms.push(world.running_vm(&ann, name).await);
    }
    let [web, mail, test] = [&vms[0], &vms[1], &vms[2]];
    let named = async || {
        let order = world.get(&ann, "/wallet/order").await.expect(200);
        let names: Vec<_> = order["items"].as_array().unwrap().iter().map(|vm| text(vm, "/name").to_owned()).collect();
        names.join(" ")
    };
    assert_eq!(named().await, "web mail test", "as they were made");
    let put = async |vms| send(world.api(&ann, Method::PUT, "/wallet/order").await.json(&json!({ "vms": vms }))).await;
    assert_eq!(put(vec![mail, mail]).await.problem_fields(), ["vms"]);
    let bob = world.customer("bob", "0").await;
    send(world.api(&bob, Method::PUT, "/wallet/order").await.json(&json!({ "vms": [mail] }))).await.problem(404);

    put(vec![mail, test]).await.expect(200);
    assert_eq!(named().await, "mail test web");
    world.hours(25);
    world.charge().await;
    let order = world
        .text(
            "select string_agg(v.name, ' ' order by j.id) from jobs j join vms v on v.id = j.vm_id
             where j.kind = 'vm.shutdown' and j.status = 'pending'",
        )
        .await;
    assert_eq!(order, "web test mail", "the least important first");
    world.run_due_jobs().await;

    // A day of one and of what the others cost stopped.
    world.credit(&ann, "0.73").await;
    world.run_due_jobs().await;
    let states = [world.state(&ann, web).await, world.state(&ann, mail).await, world.state(&ann, test).await];
    assert_eq!(states, ["stopped", "running", "stopped"]);
    let told = subjects(&world).await;
    assert_eq!(told.last().unwrap(), "Your VMs are starting again");
    world.finish().await;
}

#[tokio::test]
async fn credit_for_all_sources_at_once_starts_each_machine_once() {
    let world = World::new().await;
    let (ann, [one, two]) = at_zero(&world, ["one", "two"]).await;

    tokio::join!(world.credit(&ann, "2"), world.credit(&ann, "2"), world.credit(&ann, "2"));
    world.run_due_jobs().await;

    assert_eq!((world.state(&ann, &one).await, world.state(&ann, &two).await), ("running".into(), "running".into()));
    assert_eq!(world.count("select count(*) from jobs where kind = 'vm.start'").await, 2);
    world.finish().await;
}

#[tokio::test]
async fn what_costs_nothing_runs_on_and_is_not_deleted() {
    let world = World::new().await;
    let free = "case when kind in ('vm_running', 'vm_stopped') and slug = 'xs' then 0 else hourly_rate end";
    crate::money::new_version(&world, "2026-11-10T12:00:01Z", free, "true").await;
    world.advance(TimeDelta::seconds(1));
    let ann = world.customer("ann", "0.48").await;
    let mut order = world.new_vm(&ann, "free").await;
    order["plan"] = json!(world.plan("xs").await);
    let gift = world.post(&ann, "/vms", &order).await.expect(202);
    let gift = text(&gift, "/vm/id").to_owned();
    let paid = world.running_vm(&ann, "paid").await;

    world.hours(25);
    world.charge().await;
    world.run_due_jobs().await;
    world.advance(TimeDelta::seconds(30));
    world.look().await;
    world.run_due_jobs().await;
    assert_eq!((world.state(&ann, &gift).await, world.state(&ann, &paid).await), ("running".into(), "stopped".into()));
    world.post(&ann, "/wallet/rescue", &json!({})).await.expect(202);
    days(&world, 16).await;

    assert_eq!(world.state(&ann, &gift).await, "running");
    assert_eq!(world.get(&ann, &format!("/vms/{paid}")).await.status, 404);
    world.finish().await;
}

#[tokio::test]
async fn what_has_reached_its_cap_runs_on_until_the_month_ends() {
    let world = World::new().await;
    world
        .execute(
            "with added as (insert into price_list_versions (id, price_list_id, number, effective_from, created_at)
                            select gen_random_uuid(), price_list_id, 100, '2026-11-10T12:00:01Z', '2026-11-10T12:00:01Z' from price_list_versions limit 1 returning id)
             insert into prices (id, price_list_version_id, kind, plan_id, image_id, hourly_rate, monthly_cap)
             select gen_random_uuid(), added.id, p.kind, p.plan_id, p.image_id, p.hourly_rate, case when p.kind = 'vm_running' then 0.24 else p.monthly_cap end
             from added, prices p",
        )
        .await;
    world.advance(TimeDelta::seconds(1));
    let ann = world.customer("ann", "0.96").await;
    let capped = world.running_vm(&ann, "capped").await;
    world.hours_with_passes(13).await;
    let later = world.running_vm(&ann, "later").await;
    let admin = world.admin().await;
    let left = world.wallet(&ann).await.balance - "0.04".parse().unwrap();
    let take = json!({ "amount": left.to_string(), "reason": "Moved" });
    world.post(&admin, &format!("/admin/organisations/{}/debits", ann.organisation), &take).await.expect(201);

    world.hours_with_passes(3).await;
    world.run_due_jobs().await;

    assert!(world.wallet(&ann).await.exhausted_at.is_some());
    let states = (world.state(&ann, &capped).await, world.state(&ann, &later).await);
    assert_eq!(states, ("running".into(), "stopped".into()), "no more stop than must");
    days(&world, 16).await;
    assert_eq!(world.state(&ann, &capped).await, "running", "what runs is not deleted");
    assert_eq!(world.get(&ann, &format!("/vms/{later}")).await.status, 404);
    world.app.clock.set(at("2026-12-01T00:00:00Z"));
    world.zero().await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &capped).await, "stopped", "a new month, and it costs something again");
    assert!(!world.wallet(&ann).await.balance.is_negative());
    world.finish().await;
}
