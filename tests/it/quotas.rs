//! Quotas: what an organisation may have at once, refused with numbers, and never shared by two orders at once.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::doors::browser;
use crate::organisations::ask;
use crate::world::{Answer, Customer, World, send, text};

/// Sets the own quotas of a customer as staff do.
async fn set(world: &World, admin: &Customer, customer: &Customer, own: &Value) -> Answer {
    let path = format!("/admin/organisations/{}/quotas", customer.organisation);
    send(world.api(admin, Method::PUT, &path).await.json(own)).await
}

async fn order(world: &World, customer: &Customer, name: &str) -> Answer {
    let body = world.new_vm(customer, name).await;
    world.post(customer, "/vms", &body).await
}

fn quota<'a>(answer: &'a Value, name: &str) -> &'a Value {
    answer["items"].as_array().unwrap().iter().find(|item| item["quota"] == name).unwrap()
}

#[tokio::test]
async fn an_order_beyond_a_quota_is_refused_with_what_is_used_and_where_to_ask() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "500").await, world.admin().await);
    set(&world, &admin, &ann, &json!({ "vms": 1 })).await.expect(200);
    let contact =
        send(world.api(&admin, Method::PUT, "/admin/quotas").await.json(&json!({ "contact": "more@example.org" })));
    contact.await.expect(200);
    let vm = world.running_vm(&ann, "first").await;

    let refused = order(&world, &ann, "second").await.problem(409);
    let numbers = ["name", "used", "limit", "asked", "ask_at"].map(|field| refused["quota"][field].clone());
    assert_eq!(refused["code"], "quota_exceeded");
    assert_eq!(json!(numbers), json!(["vms", 1, 1, 1, "more@example.org"]), "{refused}");
    assert!(
        text(&refused, "/detail")
            .contains("VMs: 1 of 1 are in use, and 1 more would be needed. Ask for more at more@example.org."),
        "{refused}"
    );
    // Each of the others refuses as well.
    for (name, asked) in [("vcpu", 1), ("memory_mib", 1024), ("disk_gib", 20), ("addresses", 1)] {
        let used = world.get(&ann, "/quotas").await.expect(200);
        let used = quota(&used, name)["used"].as_i64().unwrap();
        assert!(used >= 1, "{name}");
        set(&world, &admin, &ann, &json!({ name: used })).await.expect(200);
        let refused = order(&world, &ann, "second").await.problem(409);
        assert_eq!((text(&refused, "/quota/name"), refused["quota"]["used"].as_i64()), (name, Some(used)), "{refused}");
        assert!(refused["quota"]["asked"].as_i64().unwrap() >= asked, "{refused}");
    }
    set(&world, &admin, &ann, &json!({})).await.expect(200);
    assert_eq!(order(&world, &ann, "second").await.status, 202);
    world.run_due_jobs().await;
    // What is deleted makes room.
    set(&world, &admin, &ann, &json!({ "vms": 2 })).await.expect(200);
    order(&world, &ann, "third").await.problem(409);
    assert_eq!(world.delete(&ann, &format!("/vms/{vm}")).await.status, 202);
    world.settle().await;
    assert_eq!(order(&world, &ann, "third").await.status, 202);
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn of_two_orders_at_once_with_room_for_one_exactly_one_passes() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "500").await, world.admin().await);
    for round in 1..4 {
        set(&world, &admin, &ann, &json!({ "vms": round })).await.expect(200);
        let mut orders = Vec::new();
        for number in 0..3 {
            let body = world.new_vm(&ann, &format!("vm-{round}-{number}")).await;
            orders.push(send(world.api(&ann, Method::POST, "/vms").await.json(&body)));
        }

        let mut statuses: Vec<u16> = join_all(orders).await.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();

        assert_eq!(statuses, [202, 409, 409], "round {round}");
        world.run_due_jobs().await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_larger_size_needs_room_and_what_is_there_stays() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "500").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    let larger = world.plan("m").await;
    let resize = async || world.post(&ann, &format!("/vms/{vm}/resize"), &json!({ "plan": larger })).await;

    // Less than it has: it keeps that, and gets no more.
    set(&world, &admin, &ann, &json!({ "memory_mib": 512, "vms": 0 })).await.expect(200);
    let refused = resize().await.problem(409);
    assert_eq!(text(&refused, "/quota/name"), "memory_mib", "{refused}");
    assert_eq!(world.tell(&ann, &vm, "shutdown").await.status, 202);
    world.run_due_jobs().await;
    assert_eq!(world.tell(&ann, &vm, "start").await.status, 202);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    set(&world, &admin, &ann, &json!({ "vms": 0 })).await.expect(200);
    let resized = resize().await;
    assert_eq!(resized.status, 202, "{}", resized.text);
    // What it is becoming is counted from now on.
    let used = world.get(&ann, "/quotas").await.expect(200);
    let before = quota(&used, "memory_mib")["used"].clone();
    world.settle().await;
    let used = world.get(&ann, "/quotas").await.expect(200);
    assert_eq!(quota(&used, "memory_mib")["used"], before);
    world.finish().await;
}

#[tokio::test]
async fn staff_set_quotas_for_one_and_for_all_and_it_is_written_down() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let (cookie, csrf) = browser(&world, &admin).await;
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let form: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&form)).await
    };
    let of_ann = format!("/admin/customers/{}/quotas", ann.organisation);

    let wrong = post(&of_ann, &[("vms", "many"), ("vcpu", "-1")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("value=\"many\"") && wrong.text.contains("from 0 to 1000000"), "{}", wrong.text);
    assert_eq!(post(&of_ann, &[("vms", " 7 "), ("vcpu", "")]).await.status, 303);
    let all = [
        ("vms", "3"),
        ("vcpu", "12"),
        ("memory_mib", "8192"),
        ("disk_gib", "100"),
        ("snapshots", "4"),
        ("backups", "5"),
        ("addresses", "6"),
        ("api_requests_per_minute", "60"),
        ("contact", "https://example.org/more"),
    ];
    assert_eq!(post("/admin/settings/quotas", &all).await.status, 303);
    let mut none = all;
    none[8].1 = "javascript:alert(1)";
    none[0].1 = "";
    let refused = post("/admin/settings/quotas", &none).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("begins with https://") && refused.text.contains("from 0 to 1000000"));

    let seen = world.get(&ann, "/quotas").await.expect(200);
    assert_eq!((&quota(&seen, "vms")["limit"], &quota(&seen, "vms")["own"]), (&json!(7), &json!(true)), "{seen}");
    assert_eq!((&quota(&seen, "vcpu")["limit"], &quota(&seen, "vcpu")["own"]), (&json!(12), &json!(false)), "{seen}");
    assert_eq!(text(&seen, "/ask_at"), "https://example.org/more");
    let answer = world.api(&ann, Method::GET, "/vms").await.send().await.unwrap();
    assert_eq!(answer.headers()["ratelimit-limit"], "60");
    let (hers, _) = browser(&world, &ann).await;
    let page = send(world.request(Method::GET, "/organisation/quotas").header("cookie", hers)).await.text;
    for words in ["8 GiB", "agreed with you", "https://example.org/more", "Ask for more"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let events = world.events().await;
    assert!(events.contains(&"quota.changed".to_owned()) && events.contains(&"quota.defaults_changed".to_owned()));
    // Customers do not set their own.
    let own = format!("/admin/organisations/{}/quotas", ann.organisation);
    ask(&world, &ann, ann.organisation, "PUT", &own, &json!({ "vms": 99 })).await.problem(403);
    set(&world, &admin, &ann, &json!({ "elephants": 1 })).await.problem(422);
    world.finish().await;
}
