//! What is dangerous asks for a fresh proof, and leads there and back.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use super::browser::Browser;
use super::with_app;
use crate::doors::{CONFIRMED, Somebody, with_ids_of_nothing};
use crate::organisations::{member, role_of};
use crate::world::{Answer, PASSWORD, World, form, send, text};

#[test]
fn every_door_to_a_dangerous_act_is_in_the_table_and_no_other() {
    let mut routes: Vec<_> = uni_manager::web::routes()
        .into_iter()
        .filter(|route| route.confirmed)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let mut known: Vec<_> = CONFIRMED.iter().map(|(method, path)| format!("{method} {path}")).collect();
    routes.sort();
    known.sort();
    assert_eq!(routes, known);
}

#[tokio::test]
async fn a_door_to_a_dangerous_act_opens_for_ten_minutes_after_a_proof() {
    let world = World::new().await;
    let admin = world.admin().await;
    let somebody = Somebody::enters(&world, &admin.user).await;

    world.advance(TimeDelta::minutes(10) - TimeDelta::seconds(1));
    for (method, path) in CONFIRMED {
        let path = with_ids_of_nothing(path);
        let answer = somebody.asks(&world, method, &path, &json!({})).await;
        assert!(!answer.location.starts_with("/confirm") && answer.status != 403, "{method} {path}: {}", answer.text);
    }
    // The visits of all doors above may have ended other logins, but not this one.
    world.advance(TimeDelta::seconds(1));
    for (method, path) in CONFIRMED {
        let path = with_ids_of_nothing(path);
        let answer = somebody.asks(&world, method, &path, &json!({})).await;
        if path.starts_with("/api/") {
            assert_eq!(text(&answer.problem(403), "/code"), "confirmation_required", "{method} {path}");
        } else {
            // Who opens a page comes back to it; who sends a form, to the page on which it stood.
            let back = if *method == "GET" { path.replace('/', "%2F") } else { "%2F".to_owned() };
            assert_eq!((answer.status, answer.location), (303, format!("/confirm?back={back}")), "{method} {path}");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn somebody_confirms_with_his_password_and_goes_on_where_he_was() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let mut browser = Browser::logged_in(&world, &ann).await;
    browser.get(&world, "/account/security").await;
    world.advance(TimeDelta::minutes(11));

    let led = browser.post(&world, "/account/security/totp/begin", &[]).await;
    assert_eq!((led.status, led.location.as_str()), (303, "/confirm?back=%2Faccount%2Fsecurity"));
    assert_eq!(world.count("select count(*) from totp_secrets").await, 0);
    let page = browser.get(&world, &led.location).await;
    assert!(
        page.text.contains("Confirm that it is you") && page.text.contains("name=\"back\" value=\"/account/security\"")
    );
    let wrong = browser.post(&world, "/confirm", &[("password", "not the password"), ("back", "/vms")]).await;
    assert!(wrong.status == 422 && wrong.text.contains("The password is wrong"), "{} {}", wrong.status, wrong.text);
    let right = browser.post(&world, "/confirm", &[("password", PASSWORD), ("back", "/account/security")]).await;
    assert_eq!((right.status, right.location.as_str()), (303, "/account/security"));
    let begun = browser.post(&world, "/account/security/totp/begin", &[]).await;
    assert_eq!(begun.location, "/account/security/totp");

    for elsewhere in ["https://evil.example/", "//evil.example", "/\\evil.example", ""] {
        let answer = browser.post(&world, "/confirm", &[("password", PASSWORD), ("back", elsewhere)]).await;
        assert_eq!(answer.location, "/", "{elsewhere}");
    }
    let stranger = world.request(Method::GET, "/confirm");
    assert!(send(stranger).await.location.starts_with("/login?next="));
    assert!(world.events().await.contains(&"user.confirmed".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn what_was_typed_waits_for_the_proof_and_is_sent_on_with_one_press() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let mut browser = Browser::logged_in(&world, &ann).await;
    browser.get(&world, "/api-keys").await;
    world.advance(TimeDelta::minutes(11));

    let typed = [("name", "for <backups>"), ("permissions", "vm.view")];
    let led = browser.post(&world, "/api-keys", &typed).await;
    assert_eq!((led.status, led.location.as_str()), (303, "/confirm?back=%2Fconfirm%2Fform"));
    assert_eq!(browser.get(&world, "/confirm/form").await.location, "/api-keys", "nothing without the proof");
    browser.get(&world, &led.location).await;
    let right = browser.post(&world, "/confirm", &[("password", PASSWORD), ("back", "/confirm/form")]).await;
    assert_eq!(right.location, "/confirm/form");
    let page = browser.get(&world, "/confirm/form").await;
    assert_eq!(page.status, 200);
    for part in [
        r#"action="/api-keys""#,
        "<dt>For</dt><dd>api keys</dd>",
        r#"name="name" value="for &#60;backups&#62;""#,
        r#"name="permissions" value="vm.view""#,
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(world.count("select count(*) from api_keys").await, 0);
    let sent = browser.post(&world, "/api-keys", &typed).await;
    assert!(sent.status < 400, "{} {}", sent.status, sent.text);
    assert_eq!(world.count("select count(*) from api_keys").await, 1);

    // It waits for this session only, and as long as a proof is good for.
    let mut other = Browser::logged_in(&world, &ann).await;
    assert_eq!(other.get(&world, "/confirm/form").await.location, "/");
    world.advance(TimeDelta::minutes(11));
    assert_eq!(browser.get(&world, "/confirm/form").await.location, "/");
    world.finish().await;
}

/// Sends a form too long after the last proof, proves who it is, and sends on what waited.
async fn proves_and_goes_on(
    world: &World,
    browser: &mut Browser,
    (page, action): (&str, &str),
    changes: &[(&str, &str)],
) -> Answer {
    world.advance(TimeDelta::minutes(11));
    let led = browser.fills_in(world, page, action, changes).await;
    assert_eq!((led.status, led.location.as_str()), (303, "/confirm?back=%2Fconfirm%2Fform"), "{action}: {}", led.text);
    browser.get(world, &led.location).await;
    let proved = browser.post(world, "/confirm", &[("password", PASSWORD), ("back", "/confirm/form")]).await;
    assert_eq!(proved.location, "/confirm/form", "{action}: {}", proved.text);
    let kept = browser.get(world, "/confirm/form").await;
    let fields = form::of_page(&kept.text, action).unwrap_or_else(|| panic!("{action} waits: {}", kept.text));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let typed = &fields[1..];
    assert!(changes.iter().all(|change| typed.contains(change)), "{action}: {fields:?}");
    browser.post(world, action, typed).await
}

#[tokio::test]
async fn what_concerns_credit_prices_clusters_and_owners_is_done_after_the_proof_as_it_was_typed() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let bob = member(&world, "bob", ann.organisation, "operator").await;
    let mut staff = Browser::logged_in(&world, &admin).await;
    let customer = format!("/admin/customers/{}", ann.organisation);
    let done = |answer: &Answer| answer.status == 303 && !answer.location.starts_with("/confirm");

    // A limit is set, and taken away again: what was left empty waits as well.
    let zero = format!("{customer}/zero");
    for (limit, stored) in [("5", "5.000000"), ("", "")] {
        let typed = [("auto_shutdown", "no"), ("own_limit", limit)];
        assert!(done(&proves_and_goes_on(&world, &mut staff, (&customer, &zero), &typed).await), "{limit}");
        let own = "select coalesce(credit_limit::text, '') from organisations where name = 'ann''s'";
        assert_eq!(world.text(own).await, stored);
    }
    world.execute("update settings set price_notice_days = 0").await;
    let list = world.text("select id::text from price_lists").await;
    let other = json!({ "name": "Friends", "copy_of": list });
    let other = text(&world.post(&admin, "/admin/price-lists", &other).await.expect(201), "/id").to_owned();
    let assign = format!("{customer}/price-list");
    assert!(done(&proves_and_goes_on(&world, &mut staff, (&customer, &assign), &[("price_list", &other)]).await));
    let change = format!("/admin/price-lists/{other}/change");
    let typed = [("rate.address", "0.5"), ("do", "save")];
    assert!(done(&proves_and_goes_on(&world, &mut staff, (&change, &change), &typed).await));
    assert_eq!(world.count("select count(*) from price_list_versions").await, 3);

    // The page on which a secret is typed is asked for with the proof, for the secret does not wait.
    world.advance(TimeDelta::minutes(11));
    let new = staff.get(&world, "/admin/clusters/new").await;
    assert_eq!((new.status, new.location.as_str()), (303, "/confirm?back=%2Fadmin%2Fclusters%2Fnew"));
    let settings = format!("/admin/clusters/{}/settings", world.cluster);
    let led = staff.fills_in(&world, &settings, &settings, &[("name", "other"), ("secret", "a-new-secret")]).await;
    assert_eq!(led.location, format!("/confirm?back={}", settings.replace('/', "%2F").replace('-', "%2D")));
    assert_eq!(world.count("select count(*) from sessions where kept_form::text like '%a-new-secret%'").await, 0);
    let named = proves_and_goes_on(&world, &mut staff, (&settings, &settings), &[("name", "renamed")]).await;
    assert!(done(&named), "{} {}", named.status, named.text);
    assert_eq!(world.text("select name from clusters").await, "renamed");

    let mut owner = Browser::logged_in(&world, &ann).await;
    let role = format!("/organisation/members/{}/role", bob.user.id);
    assert!(done(&proves_and_goes_on(&world, &mut owner, ("/organisation", &role), &[("role", "owner")]).await));
    assert_eq!(role_of(&world, &bob, ann.organisation).await, "owner");
    world.finish().await;
}

#[tokio::test]
async fn a_code_confirms_as_well_and_wrong_ones_are_counted() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, _) = with_app(&world, &ann).await;
    let mut browser = Browser::default();
    browser.gives_password(&world, &ann).await;
    browser.get(&world, "/login/code").await;
    browser.post(&world, "/login/code", &[("code", &phone.shows(&world))]).await;
    world.advance(TimeDelta::minutes(11));

    assert!(browser.get(&world, "/confirm?back=/account/security").await.text.contains("Or a code"));
    for _ in 0..5 {
        assert_eq!(browser.post(&world, "/confirm", &[("code", "000000")]).await.status, 422);
    }
    assert_eq!(browser.post(&world, "/confirm", &[("code", &phone.shows(&world))]).await.status, 429);
    world.advance(TimeDelta::minutes(5) + TimeDelta::seconds(1));
    let right =
        browser.post(&world, "/confirm", &[("code", &phone.shows(&world)), ("back", "/account/security")]).await;
    assert_eq!((right.status, right.location.as_str()), (303, "/account/security"));
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, "/account/security/totp/remove", &[]).await.status, 303);
    assert_eq!(world.count("select count(*) from totp_secrets").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn refreshing_a_token_is_no_proof_of_who_holds_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let login = super::password(&world, &ann).await.expect(200);
    world.advance(TimeDelta::minutes(11));
    let refresh = json!({ "refresh_token": login["refresh_token"] });
    let next = send(world.request(Method::POST, "/api/v1/auth/refresh").json(&refresh)).await.expect(200);

    let begin = world.request(Method::POST, "/api/v1/auth/totp").bearer_auth(text(&next, "/access_token"));
    assert_eq!(text(&send(begin).await.problem(403), "/code"), "confirmation_required");
    let again = super::password(&world, &ann).await.expect(200);
    let begin = world.request(Method::POST, "/api/v1/auth/totp").bearer_auth(text(&again, "/access_token"));
    send(begin).await.expect(201);
    world.finish().await;
}
