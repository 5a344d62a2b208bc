//! What the operator's people do to people: suspending, banning, looking as a customer, and giving roles. It counts at once,
//! has a reason, and is in the customer's log.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uni_manager::mail::Mailer;
use uni_manager::staff::{self, IMPERSONATION_MINUTES};

use crate::doors::{DOORS, Somebody, is_in, is_refused, is_unknown, new_key, with_ids_of_nothing};
use crate::world::{Answer, Customer, Start, World, text};

async fn stand(world: &World, admin: &Customer, of: &Customer, body: Value) -> Answer {
    let path = format!("/admin/organisations/{}/people/{}/standing", of.organisation, of.user.id);
    crate::world::send(world.api(admin, reqwest::Method::PUT, &path).await.json(&body)).await
}

/// Somebody of the staff with a platform role, in a browser.
async fn support(world: &World) -> (Somebody, Customer) {
    let admin = world.admin().await;
    let helper = world.customer("helper", "0").await;
    let give = json!({ "email": "HELPER@example.org", "role": "support" });
    world.post(&admin, "/admin/staff", &give).await.expect(201);
    (Somebody::enters(world, &helper.user).await, admin)
}

async fn look_as(world: &World, staff: &Somebody, customer: &Customer, reason: &str) -> Answer {
    let path = format!("/admin/customers/{}/people/{}/impersonate", customer.organisation, customer.user.id);
    staff.asks(world, "POST", &path, &json!({ "reason": reason })).await
}

#[tokio::test]
async fn a_suspension_counts_at_once_says_why_and_can_be_undone() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    let browser = Somebody::enters(&world, &ann.user).await;

    let refused = stand(&world, &admin, &ann, json!({ "state": "suspended", "reason": " " })).await;
    assert_eq!(refused.problem_fields(), ["reason"]);
    let stood = stand(&world, &admin, &ann, json!({ "state": "suspended", "reason": "Unpaid bill" })).await.expect(200);

    assert_eq!((text(&stood, "/person/state"), &stood["vms_shut_down"]), ("suspended", &json!(0)));
    assert_eq!(world.state(&ann, &vm).await, "running", "machines are stopped on request only");
    assert!(is_in(&browser.asks(&world, "GET", "/vms", &json!({})).await));
    assert!(is_refused(&browser.asks(&world, "POST", &format!("/vms/{vm}/stop"), &json!({})).await));
    assert!(is_refused(&world.tell(&ann, &vm, "stop").await));
    let mails = world.mails().await;
    let mail = mails.iter().find(|mail| mail.subject == "Your account is suspended").unwrap();
    assert!(mail.to_address == "ann@example.org" && mail.body.contains("reason: Unpaid bill"), "{}", mail.body);
    let log = world.get(&ann, "/audit-events?event=user.suspended").await.expect(200);
    assert_eq!(text(&log, "/items/0/detail/reason"), "Unpaid bill");
    assert_eq!(text(&log, "/items/0/actor"), "Operator");
    assert_eq!(log["items"][0]["changes"]["state"], json!({ "before": "active", "after": "suspended" }));

    let body = json!({ "state": "suspended", "reason": "Unpaid bill", "shut_down_vms": true });
    assert_eq!(stand(&world, &admin, &ann, body).await.expect(200)["vms_shut_down"], 1);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    stand(&world, &admin, &ann, json!({ "state": "active" })).await.expect(200);
    world.tell(&ann, &vm, "start").await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.mails().await.iter().filter(|mail| mail.subject == "Your account is open again").count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_ban_ends_every_login_and_leaves_the_machines() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    let somebody = Somebody::enters(&world, &ann.user).await;
    let operator = Somebody::enters(&world, &admin.user).await;
    let path = format!("/admin/customers/{}/people/{}/standing", ann.organisation, ann.user.id);

    let banned = operator.asks(&world, "POST", &path, &json!({ "state": "banned", "reason": "Abuse" })).await;

    assert_eq!(banned.status, 303, "{}", banned.text);
    for path in ["/vms", "/api/v1/vms", "/live"] {
        assert!(is_unknown(&somebody.asks(&world, "GET", path, &json!({})).await), "{path}");
    }
    let login = json!({ "email": "ann@example.org", "password": crate::world::PASSWORD });
    let login = world.request(reqwest::Method::POST, "/api/v1/auth/login").json(&login);
    crate::world::send(login).await.problem(401);
    assert_eq!(world.text("select state from vms").await, "running");
    let page = operator.asks(&world, "GET", &path.replace("/standing", ""), &json!({})).await.text;
    assert!(page.contains("Abuse") && page.contains("Open the account again"), "{page}");
    stand(&world, &admin, &ann, json!({ "state": "active" })).await.expect(200);
    assert!(is_unknown(&somebody.asks(&world, "GET", "/vms", &json!({})).await), "he has to log in anew");
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn an_open_stream_ends_with_the_ban() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let listening = tokio::spawn(world.app.hub.clone().listen(world.app.pool.clone()));
    let (cookie, _) = crate::doors::browser(&world, &ann).await;
    let mut stream = world.request(reqwest::Method::GET, "/live").header("cookie", cookie).send().await.unwrap();
    // The first word proves that the page is listening.
    let first = async {
        loop {
            world.credit(&ann, "1").await;
            let heard = tokio::time::timeout(std::time::Duration::from_millis(300), stream.chunk()).await;
            if heard.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), first).await.unwrap();

    stand(&world, &admin, &ann, json!({ "state": "banned", "reason": "Abuse" })).await.expect(200);

    let end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), end).await.expect("the stream ends");
    listening.abort();
    world.finish().await;
}

#[tokio::test]
async fn nobody_locks_out_himself_the_last_admin_or_the_staff_without_leave() {
    let world = World::new().await;
    let admin = world.admin().await;
    let (staff, _) = (world.customer("sue", "0").await, ());
    world.post(&admin, "/admin/staff", &json!({ "email": "sue@example.org", "role": "operator" })).await.expect(201);

    stand(&world, &admin, &admin, json!({ "state": "banned", "reason": "Tests" })).await.problem(409);
    let refused = stand(&world, &staff, &admin, json!({ "state": "banned", "reason": "Tests" })).await;
    assert!(is_refused(&refused), "{}", refused.text);
    let remove = format!("/admin/staff/{}", admin.user.id);
    world.delete(&admin, &remove).await.problem(409);
    world.post(&admin, "/admin/staff", &json!({ "email": "sue@example.org", "role": "admin" })).await.expect(201);
    let take = format!("/admin/staff/{}", staff.user.id);
    // Of two admins who take each other's role at once, one stays.
    let (one, other) = tokio::join!(world.delete(&admin, &take), world.delete(&staff, &remove));
    assert_eq!([one.status, other.status].iter().filter(|status| **status == 204).count(), 1, "{one:?} {other:?}");
    assert_eq!(world.count("select count(*) from users where platform_role = 'admin'").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_platform_role_is_given_and_taken_at_once_and_told() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let (anns, admins) = (Somebody::enters(&world, &ann.user).await, Somebody::enters(&world, &admin.user).await);
    assert!(is_refused(&anns.asks(&world, "GET", "/admin", &json!({})).await));

    let wrong =
        admins.asks(&world, "POST", "/admin/staff", &json!({ "email": "who@example.org", "role": "support" })).await;
    assert!(wrong.status == 422 && wrong.text.contains("Nobody with this address"), "{}", wrong.text);
    let given =
        admins.asks(&world, "POST", "/admin/staff", &json!({ "email": "ann@example.org", "role": "support" })).await;
    assert_eq!(given.status, 303, "{}", given.text);

    assert!(is_in(&anns.asks(&world, "GET", "/admin", &json!({})).await));
    assert!(is_refused(&anns.asks(&world, "GET", "/admin/staff", &json!({})).await));
    let page = admins.asks(&world, "GET", "/admin/staff", &json!({})).await.text;
    assert!(page.contains("ann@example.org") && page.contains("(you)"), "{page}");
    let change = format!("/admin/staff/{}", ann.user.id);
    let put = world.api(&admin, reqwest::Method::PUT, &change).await.json(&json!({ "role": "operator" }));
    assert_eq!(text(&crate::world::send(put).await.expect(200), "/platform_role"), "operator");
    assert_eq!(admins.asks(&world, "POST", &change, &json!({ "role": "" })).await.status, 303);
    assert!(is_refused(&anns.asks(&world, "GET", "/admin", &json!({})).await));
    let events = world.events().await;
    assert_eq!(events.iter().filter(|event| event.starts_with("staff.role_")).count(), 3);
    world.finish().await;
}

#[tokio::test]
async fn looking_as_a_customer_has_a_reason_a_banner_an_end_and_a_trace() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let (helper, admin) = support(&world).await;

    let refused = look_as(&world, &helper, &ann, "").await;
    assert!(refused.status == 422 && refused.text.contains("Say why."), "{}", refused.text);
    let begun = look_as(&world, &helper, &ann, "Ticket 4711").await;
    assert_eq!((begun.status, begun.location.as_str()), (303, "/"), "{}", begun.text);

    let page = helper.asks(&world, "GET", "/vms", &json!({})).await.text;
    assert!(page.contains("web") && page.contains("ann@example.org") && page.contains("/impersonation/stop"), "{page}");
    assert!(is_refused(&helper.asks(&world, "GET", "/admin", &json!({})).await), "he is not himself");
    let shutdown = helper.asks(&world, "POST", &format!("/vms/{vm}/shutdown"), &json!({})).await;
    assert_eq!(shutdown.status, 303, "{}", shutdown.text);
    world.run_due_jobs().await;
    let stopped = helper.asks(&world, "POST", "/impersonation/stop", &json!({})).await;
    assert_eq!((stopped.status, stopped.location), (303, format!("/admin/customers/{}", ann.organisation)));
    assert!(is_in(&helper.asks(&world, "GET", "/admin", &json!({})).await));

    let log = world.get(&ann, "/audit-events?kind=staff").await.expect(200);
    let told: Vec<_> = log["items"].as_array().unwrap().iter().map(|event| text(event, "/event")).collect();
    assert_eq!(told, ["impersonation.ended", "vm.shutdown", "impersonation.begun"]);
    assert_eq!(text(&log, "/items/2/detail/reason"), "Ticket 4711");
    assert_eq!((text(&log, "/items/1/actor"), text(&log, "/items/1/on_behalf")), ("Operator", "ann@example.org"));
    let staff = world.get(&admin, "/admin/audit-events?event=vm.shutdown").await.expect(200);
    assert_eq!(text(&staff, "/items/0/actor"), "helper@example.org");
    world.finish().await;
}

#[tokio::test]
async fn it_ends_by_itself_with_the_role_and_with_the_login() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let (helper, admin) = support(&world).await;
    let is_himself = async || is_in(&helper.asks(&world, "GET", "/admin", &json!({})).await);

    look_as(&world, &helper, &ann, "Ticket 1").await;
    assert!(!is_himself().await);
    world.advance(TimeDelta::minutes(IMPERSONATION_MINUTES));
    assert!(is_himself().await, "the time is over");
    assert_eq!(staff::end_over(&world.app).await.unwrap(), 1);
    assert_eq!(staff::end_over(&world.app).await.unwrap(), 0);
    // To begin again he proves once more that it is him.
    world.execute("update sessions set confirmed_at = created_at + interval '30 minutes'").await;
    look_as(&world, &helper, &ann, "Ticket 2").await;
    let again = look_as(&world, &helper, &bob, "Ticket 3").await;
    assert!(is_refused(&again), "not from one customer to the next: {}", again.status);
    // The customer is banned: there is nothing to see any more.
    stand(&world, &admin, &ann, json!({ "state": "banned", "reason": "Abuse" })).await.expect(200);
    assert!(is_himself().await);
    // Whoever loses his role is nobody else any more.
    look_as(&world, &helper, &bob, "Ticket 4").await;
    world.delete(&admin, &format!("/admin/staff/{}", helper.user.id)).await.expect(204);
    let page = helper.asks(&world, "GET", "/vms", &json!({})).await;
    assert!(is_in(&page) && !page.text.contains("bob"), "{}", page.text);
    assert_eq!(world.count("select count(*) from impersonations where ended_at is null").await, 0);
    assert_eq!(world.events().await.iter().filter(|event| *event == "impersonation.ended").count(), 3);
    world.finish().await;
}

#[tokio::test]
async fn who_may_not_look_any_more_sees_nothing_even_before_that_is_ended() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let (helper, _) = support(&world).await;
    look_as(&world, &helper, &ann, "Ticket 1").await;
    let sees = async || is_in(&helper.asks(&world, "GET", "/vms", &json!({})).await);
    assert!(sees().await);

    // By SQL, so that nothing but the check itself ends it.
    world.execute("update users set platform_role = null where email = 'helper@example.org'").await;
    assert!(!sees().await);
    world.execute("update users set platform_role = 'support', state = 'suspended', state_reason = 'x', state_since = now() where email = 'helper@example.org'").await;
    assert!(!sees().await);
    world.execute("update users set state = 'active', state_reason = null, state_since = null where email = 'helper@example.org'").await;
    assert!(sees().await);
    world.finish().await;
}

#[tokio::test]
async fn nobody_looks_as_staff_as_himself_or_as_who_is_banned() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let (helper, admin) = support(&world).await;

    assert_eq!(look_as(&world, &helper, &admin, "Curious").await.status, 409);
    stand(&world, &admin, &ann, json!({ "state": "banned", "reason": "Abuse" })).await.expect(200);
    assert_eq!(look_as(&world, &helper, &ann, "Curious").await.status, 409);
    let operator = json!({ "email": "helper@example.org", "role": "operator" });
    world.post(&admin, "/admin/staff", &operator).await.expect(201);
    assert!(is_refused(&look_as(&world, &helper, &ann, "Curious").await), "an operator has no such right");
    world.finish().await;
}

/// What stays open to who looks as an owner: to look, and to run what is there.
const OPEN: &[&str] =
    &["organisation.view", "audit.view", "vm.view", "vm.power", "vm.configure", "ssh_key.view", "billing.view"];
/// What the permission would allow and a secret forbids.
const SECRETS: &[&str] = &["/vms/{id}/user-data", "/api/v1/vms/{id}/user-data"];

#[tokio::test]
async fn no_door_to_money_secrets_or_people_opens_on_behalf_of_somebody() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let (helper, _) = support(&world).await;
    assert_eq!(look_as(&world, &helper, &ann, "Tests").await.status, 303);
    let mut refused = 0;

    for (who, method, path) in DOORS.iter().filter(|(_, _, path)| !path.starts_with("/api/")) {
        if *who == "anybody" || ["/logout", "/impersonation/stop"].contains(path) {
            continue;
        }
        let answer = helper.asks(&world, method, &with_ids_of_nothing(path), &json!({})).await;
        let expected = match *who {
            "account" => false,
            "member" => *method == "GET",
            who => OPEN.contains(&who) && !SECRETS.contains(path),
        };
        assert_eq!(is_in(&answer), expected, "{method} {path}: {} {}", answer.status, answer.text);
        refused += usize::from(is_refused(&answer));
    }
    assert!(refused > 30, "{refused}");
    world.finish().await;
}

#[tokio::test]
async fn nobody_works_for_the_platform_whose_address_nobody_has_confirmed() {
    for mailer in [Mailer::Kept, Mailer::None] {
        let world = World::starting(Start { mailer, ..Start::default() }).await;
        let admin = world.admin().await;
        // A stranger was quicker than the new colleague.
        let body = json!({ "email": "new@example.org", "name": "New", "password": crate::world::PASSWORD });
        let registers = world.request(reqwest::Method::POST, "/api/v1/auth/register").json(&body);
        crate::world::send(registers).await.expect(201);

        let give = json!({ "email": "new@example.org", "role": "admin" });
        let refused = world.post(&admin, "/admin/staff", &give).await.problem(409);

        assert!(text(&refused, "/detail").contains("confirmed"), "{refused}");
        assert_eq!(world.count("select count(*) from users where platform_role is not null").await, 1);
        world.trust("new@example.org").await;
        world.post(&admin, "/admin/staff", &give).await.expect(201);
        world.finish().await;
    }
}

#[tokio::test]
async fn keys_of_somebody_banned_stay_dead_when_the_ban_ends() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let key = new_key(&world, &ann, &["vm.view"]).await;

    stand(&world, &admin, &ann, json!({ "state": "banned", "reason": "Abuse" })).await.expect(200);
    stand(&world, &admin, &ann, json!({ "state": "active" })).await.expect(200);

    key.asks(&world, "GET", "/api/v1/vms", &json!({})).await.problem(401);
    let log = world.get(&ann, "/audit-events?event=api_key.revoked").await.expect(200);
    assert_eq!(
        (text(&log, "/items/0/actor"), text(&log, "/items/0/detail/because")),
        ("Operator", "who made it is gone")
    );
    world.finish().await;
}
