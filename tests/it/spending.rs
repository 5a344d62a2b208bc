//! The spending limit of API keys: what their machines cost in a day is counted in the ledger, and no order passes it.

use serde_json::{Value, json};

use crate::doors::{Key, made_key};
use crate::world::{Answer, Customer, World, text};

async fn limited(world: &World, customer: &Customer, limit: &str) -> Key {
    made_key(
        world,
        customer,
        &json!({ "name": format!("up to {limit}"), "permissions": ["vm.*"], "daily_limit": limit }),
    )
    .await
}

async fn order(world: &World, customer: &Customer, key: &Key, name: &str, plan: &str) -> Answer {
    let mut body = world.new_vm(customer, name).await;
    body["plan"] = json!(world.plan(plan).await);
    key.asks(world, "POST", "/api/v1/vms", &body).await
}

/// The id of what was ordered.
fn vm(answer: &Answer) -> String {
    text(&answer.expect(202), "/vm/id").to_owned()
}

/// What the list of keys says that one spends today.
async fn spent(world: &World, customer: &Customer, key: &Key) -> String {
    let shown = world.get(customer, &format!("/api-keys/{}", key.id)).await.expect(200);
    short(text(&shown, "/spent_today"))
}

/// An amount without the zeros at its end.
fn short(amount: &str) -> String {
    amount.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Limit, what is used of it, and what it would have become.
fn refusal(answer: &Answer) -> [String; 3] {
    let problem = answer.problem(403);
    assert_eq!(text(&problem, "/code"), "api_key_spending_limit", "{problem}");
    ["/limit", "/used", "/would_be"].map(|field| short(text(&problem, field)))
}

#[tokio::test]
async fn an_order_that_would_pass_the_limit_is_refused_with_what_is_used() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let key = limited(&world, &ann, "0.50").await;

    // A plan S costs 0.02 an hour: 0.24 until midnight, 0.48 a whole day.
    let web = vm(&order(&world, &ann, &key, "web", "s").await);
    // It counts before it is there.
    assert_eq!(refusal(&order(&world, &ann, &key, "more", "s").await), ["0.5", "0.24", "0.96"]);
    world.run_due_jobs().await;
    assert_eq!(refusal(&order(&world, &ann, &key, "more", "xs").await), ["0.5", "0.24", "0.72"]);
    assert_eq!(world.count("select count(*) from vms").await, 1);
    assert_eq!(world.count("select count(*) from jobs").await, 1);
    assert_eq!(world.count("select count(*) from holds").await, 0);
    // A person has no such limit, and another key has its own.
    world.order(&ann, "by-hand").await;
    let other = limited(&world, &ann, "0.30").await;
    vm(&order(&world, &ann, &other, "small", "xs").await);
    world.run_due_jobs().await;

    // What is gone makes room.
    key.asks(&world, "DELETE", &format!("/api/v1/vms/{web}"), &json!({})).await.expect(202);
    world.run_due_jobs().await;
    vm(&order(&world, &ann, &key, "again", "s").await);
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn what_is_counted_is_what_the_ledger_was_charged_and_what_runs_until_midnight() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let key = limited(&world, &ann, "0.50").await;
    assert_eq!(spent(&world, &ann, &key).await, "0");
    let web = vm(&order(&world, &ann, &key, "web", "s").await);
    world.run_due_jobs().await;
    assert_eq!(spent(&world, &ann, &key).await, "0.24");
    world.hours_with_passes(6).await;
    world.advance(chrono::TimeDelta::minutes(30));
    assert_eq!(spent(&world, &ann, &key).await, "0.24", "charged, run up and to come are the same whole");

    world.tell(&ann, &web, "stop").await.expect(202);
    world.run_due_jobs().await;
    // 6.5 hours at 0.02 and 5.5 at 0.005.
    assert_eq!(spent(&world, &ann, &key).await, "0.1575");
    world.hours_with_passes(6).await;
    // The next day begins at nothing: 24 hours at 0.005.
    assert_eq!(spent(&world, &ann, &key).await, "0.12");
    world.finish().await;
}

#[tokio::test]
async fn starting_and_enlarging_count_like_an_order() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let (narrow, wide) = (limited(&world, &ann, "0.40").await, limited(&world, &ann, "0.60").await);
    let web = world.running_vm(&ann, "web").await;
    world.tell(&ann, &web, "stop").await.expect(202);
    world.run_due_jobs().await;
    let asks = async |key: &Key, what: &str, body: Value| {
        key.asks(&world, "POST", &format!("/api/v1/vms/{web}/{what}"), &body).await
    };

    assert_eq!(refusal(&asks(&narrow, "start", json!({})).await), ["0.4", "0", "0.48"]);
    assert_eq!(world.state(&ann, &web).await, "stopped");
    asks(&wide, "start", json!({})).await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &web).await, "running");
    let larger = json!({ "plan": world.plan("m").await, "force": true });
    assert_eq!(refusal(&asks(&wide, "resize", larger).await)[2], "0.96");
    // What makes nothing dearer is always let through.
    asks(&narrow, "reboot", json!({})).await.expect(202);
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn what_people_made_dearer_keeps_a_key_from_ordering_more_and_stops_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let key = limited(&world, &ann, "0.50").await;
    let web = vm(&order(&world, &ann, &key, "web", "xs").await);
    world.run_due_jobs().await;
    let resize = async |plan: &str| {
        let body = json!({ "plan": world.plan(plan).await, "force": true });
        world.post(&ann, &format!("/vms/{web}/resize"), &body).await.expect(202);
        world.settle().await;
    };
    resize("l").await;
    world.hours_with_passes(6).await;
    assert_eq!(world.state(&ann, &web).await, "running", "nothing is stopped");
    resize("xs").await;

    // A whole day of two XS would be 0.48; today the larger size has used up the limit.
    let [_, used, would_be] = refusal(&order(&world, &ann, &key, "more", "xs").await);
    assert_eq!([used.as_str(), &would_be], ["0.54", "0.6"]);
    world.hours_with_passes(6).await;
    vm(&order(&world, &ann, &key, "more", "xs").await);
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn of_orders_at_once_no_more_are_taken_than_the_limit_carries() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let key = limited(&world, &ann, "1").await;
    let orders = futures_util::future::join_all((0..6).map(|number| {
        let (world, ann, key) = (&world, &ann, &key);
        async move { order(world, ann, key, &format!("web-{number}"), "s").await }
    }));
    let answers = orders.await;
    let taken = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(taken, 2, "0.48 each");
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!(refusal(answer), ["1", "0.48", "1.44"]);
    }
    world.run_due_jobs().await;
    world.finish().await;
}
