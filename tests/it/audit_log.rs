//! Who did what: told with what was before and after, looked for, taken away as a file; and what customers are not told.

use reqwest::Method;
use serde_json::{Value, json};

use crate::doors::browser;
use crate::world::{Answer, Customer, World, send, text};

async fn page(world: &World, customer: &Customer, path: &str) -> Answer {
    let (cookie, _) = browser(world, customer).await;
    send(world.request(Method::GET, path).header("cookie", cookie)).await
}

async fn events(world: &World, customer: &Customer, query: &str) -> Vec<Value> {
    let list = world.get(customer, &format!("/audit-events?{query}")).await.expect(200);
    list["items"].as_array().unwrap().clone()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| text(event, "/event")).collect()
}

#[tokio::test]
async fn an_event_says_who_from_where_with_what_and_what_has_changed() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let request = world.api(&ann, Method::PATCH, &format!("/vms/{vm}")).await;
    let changed = json!({ "name": "shop", "tags": ["blue"] });
    let response = request.header("user-agent", "robot/1.0").json(&changed).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    world.run_due_jobs().await;

    let found = events(&world, &ann, "event=vm.configure").await;

    let event = &found[0];
    assert_eq!(event["changes"]["name"], json!({ "before": "web", "after": "shop" }));
    assert_eq!(event["changes"]["tags"], json!({ "before": [], "after": ["blue"] }));
    assert_eq!(event["changes"].get("protected"), None, "only what is another now");
    assert_eq!((text(event, "/actor_kind"), text(event, "/actor")), ("person", "ann@example.org"));
    assert_eq!((text(event, "/address"), text(event, "/user_agent")), ("127.0.0.1", "robot/1.0"));
    assert_eq!(text(event, "/request_id"), request_id);
    let shown = page(&world, &ann, "/audit").await.text;
    assert!(shown.contains("<del class=\"text-secondary\">web</del> → shop"), "{shown}");
    world.finish().await;
}

#[tokio::test]
async fn customers_read_what_the_operator_did_and_not_who_that_was() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let path = format!("/admin/organisations/{}/credits", ann.organisation);
    world.post(&admin, &path, &json!({ "amount": "3", "reason": "Good will" })).await.expect(201);

    let own = events(&world, &ann, "event=wallet.credited&kind=staff").await;
    assert_eq!((own.len(), text(&own[0], "/actor"), text(&own[0], "/detail/reason")), (1, "Operator", "Good will"));
    assert_eq!((&own[0]["address"], &own[0]["user_agent"]), (&Value::Null, &Value::Null));
    for path in ["/audit?kind=staff", "/audit.csv", "/audit.jsonl"] {
        let shown = page(&world, &ann, path).await;
        assert_eq!(shown.status, 200);
        assert!(shown.text.contains("Operator") && !shown.text.contains("admin@example.org"), "{path}: {}", shown.text);
    }
    // Searching does not tell either.
    for query in ["actor=admin", "text=admin@example", "text=127.0.0.1&event=wallet.credited&kind=staff"] {
        assert!(events(&world, &ann, query).await.is_empty(), "{query}");
    }
    assert_eq!(events(&world, &ann, "actor=operator").await.len(), 1);
    let staff = world.get(&admin, "/admin/audit-events?event=wallet.credited&kind=staff").await.expect(200);
    assert_eq!(text(&staff, "/items/0/actor"), "admin@example.org");
    let shown = page(&world, &admin, "/admin/audit?actor=admin%40&organisation=ann").await.text;
    assert!(shown.contains("admin@example.org") && shown.contains("added 3.00") || shown.contains("3.00"), "{shown}");
    world.finish().await;
}

#[tokio::test]
async fn events_are_found_by_text_event_actor_subject_and_day() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let vm = world.running_vm(&ann, "web").await;
    world.running_vm(&bob, "web").await;
    world.advance(chrono::TimeDelta::days(1));
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.run_due_jobs().await;

    assert_eq!(names(&events(&world, &ann, "from=2026-11-11").await), ["vm.shutdown"]);
    assert!(!names(&events(&world, &ann, "to=2026-11-10").await).contains(&"vm.shutdown"));
    assert_eq!(names(&events(&world, &ann, "text=WEB").await), ["vm.shutdown", "vm.provisioned", "vm.ordered"]);
    assert_eq!(names(&events(&world, &ann, "text=finished+making").await), ["vm.provisioned"], "by its words");
    assert_eq!(names(&events(&world, &ann, &format!("subject={vm}&kind=person")).await), ["vm.shutdown", "vm.ordered"]);
    assert_eq!(names(&events(&world, &ann, "event=vm.ordered&actor=ANN@").await), ["vm.ordered"]);
    assert!(events(&world, &ann, "actor=bob").await.is_empty(), "nobody else's");
    let first = world.get(&ann, "/audit-events?limit=2").await.expect(200);
    let next = world.get(&ann, &format!("/audit-events?limit=2&after={}", text(&first, "/next"))).await.expect(200);
    assert_ne!(first["items"][1]["id"], next["items"][0]["id"]);
    let refused = world.get(&ann, "/audit-events?event=nothing&kind=robot&from=yesterday&to=2026-13-01").await;
    assert_eq!(refused.problem_fields(), ["event", "kind", "from", "to"]);
    let refused = world.get(&ann, "/audit-events?from=2026-11-11&to=2026-11-10").await;
    assert_eq!(refused.problem_fields(), ["to"]);
    let shown = page(&world, &ann, "/audit?from=yesterday").await;
    assert!(shown.status == 200 && shown.text.contains("A day such as"), "{}", shown.text);
    world.finish().await;
}

#[tokio::test]
async fn the_whole_log_is_a_file_in_either_form_and_no_formula() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    for number in 0..1_200 {
        world.credit(&ann, "0.01").await;
        assert!(number < 1_200);
    }
    let path = format!("/admin/organisations/{}/credits", ann.organisation);
    world.post(&admin, &path, &json!({ "amount": "3", "reason": "=1+1" })).await.expect(201);
    let request = world.api(&ann, Method::GET, "/audit-events.csv?event=wallet.credited").await;
    let body = request.header("user-agent", "@evil").send().await.unwrap();
    assert!(body.headers()["content-disposition"].to_str().unwrap().contains("audit-2026-11-10.csv"));

    let csv = body.text().await.unwrap();

    assert_eq!(csv.lines().count(), 1 + 1_202, "further than one reading");
    assert!(csv.starts_with("time_utc,event,words,actor_kind,actor,"), "{}", &csv[..80]);
    let jsonl = world.get(&ann, "/audit-events.jsonl?event=wallet.credited").await;
    assert_eq!(jsonl.kind, "application/jsonl; charset=utf-8");
    let lines: Vec<Value> = jsonl.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1_202);
    assert_eq!(text(&lines[0], "/detail/reason"), "=1+1");
    // Everything that somebody typed stands behind an apostrophe if it could be a formula.
    let key = json!({ "name": "=HYPERLINK(1)", "public_key": admin.public_key });
    world.post(&ann, "/ssh-keys", &key).await.expect(201);
    let csv = world.get(&ann, "/audit-events.csv?event=ssh_key.added").await.text;
    assert!(csv.contains(",'=HYPERLINK(1),"), "{csv}");
    let staff = page(&world, &admin, "/admin/audit.csv?text=HYPERLINK").await;
    assert_eq!(staff.text.lines().count(), 2, "{}", staff.text);
    world.finish().await;
}
