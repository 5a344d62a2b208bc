//! The pages around zero: what is set for the platform and for a customer, the order of shutdown, rescue time.

use reqwest::Method;
use serde_json::json;

use crate::doors::browser;
use crate::world::{Answer, Customer, World, send, text};

/// A browser of somebody: what to look at, what to send.
struct Window<'a> {
    world: &'a World,
    cookie: String,
    csrf: String,
}

impl<'a> Window<'a> {
    async fn of(world: &'a World, person: &Customer) -> Self {
        let (cookie, csrf) = browser(world, person).await;
        Self { world, cookie, csrf }
    }

    async fn see(&self, path: &str) -> String {
        let answer = send(self.world.request(Method::GET, path).header("cookie", &self.cookie)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.text
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = vec![("csrf", self.csrf.as_str())];
        form.extend_from_slice(fields);
        send(self.world.request(Method::POST, path).header("cookie", &self.cookie).form(&form)).await
    }
}

/// The settings as a form sends them.
const TYPED: [(&str, &str); 11] = [
    ("auto_shutdown", "on"),
    ("credit_limit", "0"),
    ("grace_days", "30"),
    ("deletion_notices_min", "5"),
    ("rescue_hours", "4"),
    ("life_seconds_min", "60"),
    ("breaker_factor", "2.5"),
    ("breaker_stop_percent", "20"),
    ("breaker_vms_min", "10"),
    ("catch_up_hours", "48"),
    ("price_notice_days", "14"),
];

#[tokio::test]
async fn operators_set_what_happens_at_zero_and_each_change_is_recorded() {
    let world = World::new().await;
    let admin = world.admin().await;
    let window = Window::of(&world, &admin).await;
    assert!(window.see("/admin/settings").await.contains("Circuit breaker"));

    let saved = window.send("/admin/settings", &TYPED).await;
    assert_eq!((saved.status, saved.location.as_str()), (303, "/admin/settings"), "{}", saved.text);
    let settings = world.get(&admin, "/admin/settings").await.expect(200);
    assert_eq!(
        (&settings["grace_days"], &settings["breaker_factor_hundredths"], &settings["delete_after_grace"]),
        (&json!(30), &json!(250), &json!(false)),
        "a switch that is off is not sent"
    );
    let detail = world.text("select changes::text from audit_events where event = 'settings.changed'").await;
    assert!(detail.contains(r#""grace_days": {"after": 30, "before": 14}"#), "{detail}");
    assert!(!detail.contains("catch_up_hours"), "only what has changed: {detail}");
    window.send("/admin/settings", &TYPED).await;
    assert_eq!(world.count("select count(*) from audit_events where event = 'settings.changed'").await, 1);

    let mut wrong = TYPED;
    for (name, value) in &mut wrong {
        match *name {
            "grace_days" => *value = "a month",
            "breaker_factor" => *value = "1",
            "credit_limit" => *value = "-5",
            _ => {}
        }
    }
    let refused = window.send("/admin/settings", &wrong).await;
    assert_eq!(refused.status, 422);
    for id in ["grace_days-problem", "breaker_factor-problem", "credit_limit-problem"] {
        assert!(refused.text.contains(id), "{id}");
    }
    assert!(refused.text.contains(r#"value="a month""#), "what was typed stays");
    let mut body = settings;
    body["rescue_hours"] = json!(49);
    let put = async |body| send(world.api(&admin, Method::PUT, "/admin/settings").await.json(&body)).await;
    assert_eq!(put(body.clone()).await.problem_fields(), ["rescue_hours"]);
    body["rescue_hours"] = json!(0);
    put(body).await.expect(200);
    assert_eq!(world.get(&admin, "/admin/settings").await.expect(200)["rescue_hours"], 0);
    world.finish().await;
}

#[tokio::test]
async fn a_customer_orders_his_machines_and_takes_his_rescue_time() {
    let world = World::new().await;
    let ann = world.customer("ann", "0.96").await;
    let web = world.running_vm(&ann, "web").await;
    let mail = world.running_vm(&ann, "mail").await;
    let window = Window::of(&world, &ann).await;
    let place = |page: &str, vm: &str| page.find(&format!(r#"id="vm-{vm}""#)).unwrap();
    let page = window.see("/wallet/order").await;
    assert!(place(&page, &web) < place(&page, &mail) && page.contains("For 14 days"), "{page}");

    let moved = window.send("/wallet/order", &[("vm", &mail), ("to", "first")]).await;
    assert_eq!(moved.status, 303, "{}", moved.text);
    let page = window.see("/wallet/order").await;
    assert!(place(&page, &mail) < place(&page, &web));
    window.send("/wallet/order", &[("vm", &mail), ("to", "down")]).await;
    let order = world.get(&ann, "/wallet/order").await.expect(200);
    assert_eq!(text(&order, "/items/0/name"), "web");
    let bob = world.customer("bob", "0").await;
    let of_bob = Window::of(&world, &bob).await;
    assert_eq!(of_bob.send("/wallet/order", &[("vm", &mail), ("to", "first")]).await.status, 404);
    assert_eq!(world.count("select count(*) from audit_events where event = 'wallet.shutdown_order'").await, 2);

    assert!(!window.see("/wallet").await.contains("/wallet/rescue"), "there is credit");
    assert_eq!(window.send("/wallet/rescue", &[]).await.status, 409);
    world.hours(25);
    world.charge().await;
    world.run_due_jobs().await;
    let page = window.see("/wallet").await;
    assert!(page.contains("Your credit has run out") && page.contains("Start them for 2 hours"), "{page}");
    let taken = window.send("/wallet/rescue", &[]).await;
    assert_eq!((taken.status, taken.location.as_str()), (303, "/wallet"), "{}", taken.text);
    let page = window.see("/wallet").await;
    assert!(page.contains("Rescue time:") && !page.contains("Start them for"), "{page}");
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn operators_answer_for_one_customer_and_keep_his_disks_longer() {
    let world = World::new().await;
    let ann = world.customer("ann", "0.48").await;
    world.running_vm(&ann, "web").await;
    let admin = world.admin().await;
    let window = Window::of(&world, &admin).await;
    let url = format!("/admin/customers/{}", ann.organisation);

    let refused = window.send(&format!("{url}/zero"), &[("auto_shutdown", "no"), ("own_limit", "much")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("own_limit-problem") && refused.text.contains(r#"value="much""#));
    let saved = window.send(&format!("{url}/zero"), &[("auto_shutdown", "no"), ("own_limit", "0.10")]).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    assert!(window.see(&url).await.contains(r#"<option value="no" selected>"#));
    let zero = world.get(&ann, "/wallet/zero").await.expect(200);
    assert_eq!((&zero["auto_shutdown"], text(&zero, "/credit_limit")), (&json!(false), "0.100000"));
    assert_eq!(window.send(&format!("{url}/keep"), &[("days", "7")]).await.status, 409, "nothing is to be deleted");

    world.hours(30);
    world.charge().await;
    world.run_due_jobs().await;
    let page = window.see(&url).await;
    assert!(page.contains("Out of credit") && page.contains("25 Nov 2026"), "{page}");
    assert_eq!(window.send(&format!("{url}/keep"), &[("days", "0")]).await.status, 422);
    assert_eq!(window.send(&format!("{url}/keep"), &[("days", "7")]).await.status, 303);
    assert!(window.see(&url).await.contains("2 Dec 2026"));
    world.finish().await;
}
