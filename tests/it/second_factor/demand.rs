//! Where a second factor is demanded, who has none comes in, and no further than to where he sets one up.

use reqwest::Method;
use serde_json::json;
use uni_manager::audit::Actor;
use uni_manager::sessions;

use super::browser::Browser;
use super::{Phone, with_app};
use crate::doors::{DOORS, Somebody, with_ids_of_nothing};
use crate::world::{Answer, World, send, text};

/// Whether somebody was told to set up a second factor first.
fn is_led_to_set_up(answer: &Answer) -> bool {
    let as_page = answer.status == 303 && answer.location == "/account/security?required=1";
    as_page || (answer.status == 403 && answer.json()["code"] == "second_factor_setup_required")
}

#[tokio::test]
async fn a_member_without_a_factor_is_led_to_set_one_up_at_every_door_of_the_organisation() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let member = Somebody::joins(&world, "max", ann.organisation).await;
    member.has_role(&world, "owner").await;
    world.put(&ann, "/organisation/second-factor", &json!({ "required": true })).await.problem(409);
    with_app(&world, &ann).await;
    let demanded = world.put(&ann, "/organisation/second-factor", &json!({ "required": true })).await.expect(200);
    assert_eq!(demanded["required"], true);

    let mut tried = 0;
    for (who, method, path) in DOORS {
        let leaves = ["/logout", "/account/sessions/end"].contains(path)
            || (*method, *path) == ("DELETE", "/api/v1/account/sessions");
        if *who == "anybody" || leaves || who.starts_with("platform.") {
            continue;
        }
        let answer = member.asks(&world, method, &with_ids_of_nothing(path), &json!({})).await;
        assert_eq!(is_led_to_set_up(&answer), *who != "account", "{method} {path}: {} {}", answer.status, answer.text);
        tried += 1;
    }
    assert!(tried > 80, "{tried} doors were tried");
    // Ann has one.
    assert_eq!(world.get(&ann, "/vms").await.status, 200);
    world.delete(&ann, "/auth/totp").await.problem(409);
    world.finish().await;
}

#[tokio::test]
async fn who_sets_up_a_factor_where_it_is_demanded_is_in_at_once() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    world.execute("update organisations set second_factor_required = true").await;
    let mut browser = Browser::logged_in(&world, &ann).await;

    let led = browser.get(&world, "/vms").await;
    assert!(is_led_to_set_up(&led), "{} {}", led.status, led.location);
    let page = browser.get(&world, &led.location).await;
    assert!(page.text.contains("Set up a second factor to go on."), "{}", page.text);
    let part = world.request(Method::GET, "/vms/summary").header("sec-fetch-dest", "empty");
    let session = format!("session={}", browser.cookie("session").unwrap());
    assert_eq!(send(part.header("cookie", session)).await.status, 403, "a part of a page leads nowhere");
    browser.post(&world, "/account/security/totp/begin", &[]).await;
    let page = browser.get(&world, "/account/security/totp").await.text;
    let phone = Phone::scans(&super::browser::between(&page, "<code class=\"text-break\">", "<").unwrap());
    assert_eq!(browser.post(&world, "/account/security/totp", &[("code", &phone.shows(&world))]).await.status, 200);

    assert!(browser.is_in(&world).await);
    world.finish().await;
}

#[tokio::test]
async fn staff_without_a_factor_are_stopped_where_the_platform_demands_it() {
    let world = World::new().await;
    let admin = world.admin().await;
    let somebody = Somebody::enters(&world, &admin.user).await;
    world.execute("update settings set staff_second_factor = true").await;

    for (who, method, path) in DOORS {
        if who.starts_with("platform.") {
            let answer = somebody.asks(&world, method, &with_ids_of_nothing(path), &json!({})).await;
            assert!(is_led_to_set_up(&answer), "{method} {path}: {} {}", answer.status, answer.text);
        }
    }
    assert_eq!(somebody.asks(&world, "GET", "/vms", &json!({})).await.status, 200, "his own organisation does not");
    world.delete(&admin, "/auth/totp").await.problem(404);
    with_app(&world, &admin).await;
    assert_eq!(world.get(&admin, "/admin/clusters").await.status, 200);
    world.delete(&admin, "/auth/totp").await.problem(409);
    world.finish().await;
}

#[tokio::test]
async fn a_new_platform_demands_it_of_its_staff_and_an_admin_may_switch_it_off() {
    let world = World::new().await;
    let demanded = world.text("select column_default from information_schema.columns where table_name = 'settings' and column_name = 'staff_second_factor'").await;
    assert_eq!(demanded, "true");
    let admin = world.admin().await;
    let mut settings = world.get(&admin, "/admin/settings").await.expect(200);
    settings["staff_second_factor"] = json!(true);
    assert!(world.put(&admin, "/admin/settings", &settings).await.status < 300);
    let refused = world.get(&admin, "/admin/settings").await.problem(403);
    assert_eq!(text(&refused, "/code"), "second_factor_setup_required");
    assert!(world.events().await.contains(&"settings.changed".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn the_form_of_the_organisation_is_for_who_may_configure_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let member = Somebody::joins(&world, "max", ann.organisation).await;
    member.has_role(&world, "operator").await;
    let seen = member.asks(&world, "GET", "/account/security", &json!({})).await;
    assert!(seen.status == 200 && !seen.text.contains("/organisation/second-factor"));

    let mut browser = Browser::logged_in(&world, &ann).await;
    browser.get(&world, "/account/security").await;
    let refused = browser.post(&world, "/organisation/second-factor", &[("required", "yes")]).await;
    assert!(
        refused.status == 409 && refused.text.contains("Set up a second factor for yourself"),
        "{}",
        refused.status
    );
    with_app(&world, &ann).await;
    let mut browser = Browser::default();
    let cookie = sessions::start(&world.app, &world.known(&ann).await, Actor::system(), None).await.unwrap();
    browser.steals("session", &cookie);
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, "/organisation/second-factor", &[("required", "yes")]).await.status, 303);
    assert_eq!(world.count("select count(*) from organisations where second_factor_required").await, 1);
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, "/organisation/second-factor", &[]).await.status, 303);
    let events = world.events().await;
    for event in ["organisation.second_factor_demanded", "organisation.second_factor_waived"] {
        assert!(events.contains(&event.to_owned()), "{event}");
    }
    world.finish().await;
}
