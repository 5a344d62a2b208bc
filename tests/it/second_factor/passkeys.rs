//! Passkeys: added, used after the password, used by themselves, and refused when anything about them is not right.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::browser::Browser;
use super::device::Device;
use super::password;
use crate::world::{Customer, PASSWORD, Start, World};

/// A platform that has a name.
async fn named_world() -> World {
    World::starting(Start { public_url: Some("http://localhost".into()), ..Start::default() }).await
}

/// What the browser's script is asked at an address.
async fn asked(browser: &mut Browser, world: &World, path: &str) -> Value {
    browser.post(world, path, &[]).await.expect(200)
}

/// Adds a passkey in a browser that is logged in.
async fn adds(browser: &mut Browser, world: &World, device: &mut Device, name: &str) -> crate::world::Answer {
    browser.get(world, "/account/security").await;
    let asked = asked(browser, world, "/account/security/passkeys/options").await;
    let made = device.creates(&asked["options"]);
    let ceremony = asked["ceremony"].as_str().unwrap();
    browser
        .post(world, "/account/security/passkeys", &[("name", name), ("ceremony", ceremony), ("answer", &made)])
        .await
}

/// Somebody with a passkey on a device.
async fn with_passkey(world: &World, customer: &Customer) -> Device {
    let mut device = Device::at(&world.app.settings.public_url);
    let mut browser = Browser::logged_in(world, customer).await;
    let added = adds(&mut browser, world, &mut device, "laptop").await;
    assert_eq!(added.status, 200, "{}", added.text);
    assert_eq!(added.text.matches("<li><code>").count(), 10, "recovery codes come with the first factor");
    device
}

/// The second step with a passkey, in a browser that gave the password.
async fn second_step(browser: &mut Browser, world: &World, device: &mut Device) -> crate::world::Answer {
    browser.get(world, "/login/code").await;
    let asked = asked(browser, world, "/login/code/passkey").await;
    let signed = device.signs(&asked["options"]);
    let ceremony = asked["ceremony"].as_str().unwrap().to_owned();
    browser.post(world, "/login/code/passkey/answer", &[("ceremony", &ceremony), ("answer", &signed)]).await
}

/// A login with nothing else.
async fn alone(browser: &mut Browser, world: &World, device: &mut Device) -> crate::world::Answer {
    browser.get(world, "/login").await;
    let asked = asked(browser, world, "/login/passkey/options").await;
    let signed = device.signs(&asked["options"]);
    let ceremony = asked["ceremony"].as_str().unwrap().to_owned();
    browser.post(world, "/login/passkey", &[("ceremony", &ceremony), ("answer", &signed), ("next", "/wallet")]).await
}

#[tokio::test]
async fn a_passkey_is_a_second_factor_and_a_login_by_itself() {
    let world = named_world().await;
    let ann = world.customer("ann", "0").await;
    let mut device = with_passkey(&world, &ann).await;
    assert_eq!(password(&world, &ann).await.status, 202);

    let mut browser = Browser::default();
    assert_eq!(browser.gives_password(&world, &ann).await, "/login/code?next=%2F");
    assert!(browser.get(&world, "/login/code").await.text.contains("Use a passkey"));
    let entered = second_step(&mut browser, &world, &mut device).await;
    assert_eq!((entered.status, entered.location.as_str()), (303, "/"), "{}", entered.text);
    assert!(browser.is_in(&world).await);

    let mut browser = Browser::default();
    let entered = alone(&mut browser, &world, &mut device).await;
    assert_eq!((entered.status, entered.location.as_str()), (303, "/wallet"), "{}", entered.text);
    assert!(browser.is_in(&world).await);
    let page = browser.get(&world, "/account/security").await.text;
    assert!(page.contains("laptop") && !page.contains(">never<"), "{page}");
    world.finish().await;
}

#[tokio::test]
async fn several_passkeys_have_names_and_each_is_removed_by_itself() {
    let world = named_world().await;
    let ann = world.customer("ann", "0").await;
    let mut laptop = with_passkey(&world, &ann).await;
    let mut browser = Browser::default();
    alone(&mut browser, &world, &mut laptop).await;

    let mut key = Device::at(&world.app.settings.public_url);
    let added = adds(&mut browser, &world, &mut key, "key at the keyring").await;
    assert_eq!(added.status, 303, "{}", added.text);
    let nameless = adds(&mut browser, &world, &mut Device::at(&world.app.settings.public_url), " ").await;
    assert_eq!(nameless.status, 422);
    let list = world.get(&ann, "/auth/passkeys").await.expect(200);
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["laptop", "key at the keyring"]);
    let id = list["items"][0]["id"].as_str().unwrap();
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, &format!("/account/security/passkeys/{id}/remove"), &[]).await.status, 303);
    assert_eq!(alone(&mut Browser::default(), &world, &mut laptop).await.status, 401, "the removed one");
    assert_eq!(alone(&mut Browser::default(), &world, &mut key).await.status, 303, "the other one");
    let id = list["items"][1]["id"].as_str().unwrap();
    assert_eq!(world.delete(&ann, &format!("/auth/passkeys/{id}")).await.status, 204);
    assert_eq!(password(&world, &ann).await.status, 200, "the last factor is gone");
    let mails = world.mails().await;
    let told: Vec<_> = mails.iter().filter(|mail| mail.subject.contains("passkey")).collect();
    assert_eq!(told.len(), 4, "each change is told");
    assert!(
        told[1].body.contains("“key at the keyring”") && told[3].body.contains("password alone"),
        "{}",
        told[3].body
    );
    let events = world.events().await;
    for event in ["user.passkey_added", "user.passkey_removed"] {
        assert_eq!(events.iter().filter(|known| *known == event).count(), 2, "{event}");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_not_right_about_a_passkey_opens_nothing() {
    let world = named_world().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let mut device = with_passkey(&world, &ann).await;
    let mut bobs = with_passkey(&world, &bob).await;
    let ours = world.app.settings.public_url.clone();

    device.origin = "http://evil.localhost".into();
    assert_eq!(alone(&mut Browser::default(), &world, &mut device).await.status, 401, "of another site");
    device.origin = ours;
    device.verifies = false;
    assert_eq!(alone(&mut Browser::default(), &world, &mut device).await.status, 401, "nobody's finger");
    device.verifies = true;

    // Somebody else's, after Ann's password.
    let mut browser = Browser::default();
    browser.gives_password(&world, &ann).await;
    let refused = second_step(&mut browser, &world, &mut bobs).await;
    assert!(refused.status == 409 && refused.text.contains("Second step"), "{}: {}", refused.status, refused.text);
    assert!(!browser.is_in(&world).await);
    assert_eq!(second_step(&mut browser, &world, &mut device).await.status, 303, "her own");

    // The same answer twice, and an answer that comes too late.
    browser = Browser::default();
    browser.get(&world, "/login").await;
    let question = asked(&mut browser, &world, "/login/passkey/options").await;
    let (ceremony, signed) = (question["ceremony"].as_str().unwrap(), device.signs(&question["options"]));
    let fields = [("ceremony", ceremony), ("answer", signed.as_str())];
    assert_eq!(browser.post(&world, "/login/passkey", &fields).await.status, 303);
    let mut thief = Browser::default();
    thief.get(&world, "/login").await;
    assert_eq!(thief.post(&world, "/login/passkey", &fields).await.status, 401, "twice");
    let question = asked(&mut thief, &world, "/login/passkey/options").await;
    let (ceremony, signed) = (question["ceremony"].as_str().unwrap(), device.signs(&question["options"]));
    world.advance(TimeDelta::minutes(5));
    let fields = [("ceremony", ceremony), ("answer", signed.as_str())];
    assert_eq!(thief.post(&world, "/login/passkey", &fields).await.status, 401, "too late");
    for nonsense in ["", "{}", "[]", "x"] {
        let question = asked(&mut thief, &world, "/login/passkey/options").await;
        let fields = [("ceremony", question["ceremony"].as_str().unwrap()), ("answer", nonsense)];
        assert_eq!(thief.post(&world, "/login/passkey", &fields).await.status, 401, "{nonsense}");
    }
    world.execute("update users set state = 'banned', state_reason = 'Tests', state_since = now()").await;
    assert_eq!(alone(&mut Browser::default(), &world, &mut device).await.status, 401, "banned");
    world.finish().await;
}

#[tokio::test]
async fn a_passkey_that_was_removed_answers_nothing_that_it_was_asked_before() {
    let world = named_world().await;
    let ann = world.customer("ann", "0").await;
    let mut laptop = with_passkey(&world, &ann).await;
    let mut hers = Browser::default();
    alone(&mut hers, &world, &mut laptop).await;
    let mut key = Device::at(&world.app.settings.public_url);
    assert_eq!(adds(&mut hers, &world, &mut key, "key").await.status, 303);

    let mut thief = Browser::default();
    thief.gives_password(&world, &ann).await;
    thief.get(&world, "/login/code").await;
    let question = asked(&mut thief, &world, "/login/code/passkey").await;
    let (ceremony, signed) = (question["ceremony"].as_str().unwrap(), laptop.signs(&question["options"]));
    let id = world.get(&ann, "/auth/passkeys").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.delete(&ann, &format!("/auth/passkeys/{id}")).await.status, 204);
    let fields = [("ceremony", ceremony), ("answer", signed.as_str())];
    assert_eq!(thief.post(&world, "/login/code/passkey/answer", &fields).await.status, 409);
    assert!(!thief.is_in(&world).await);
    world.finish().await;
}

#[tokio::test]
async fn a_passkey_confirms_who_somebody_is() {
    let world = named_world().await;
    let ann = world.customer("ann", "0").await;
    let mut device = with_passkey(&world, &ann).await;
    let mut browser = Browser::default();
    alone(&mut browser, &world, &mut device).await;
    world.advance(TimeDelta::minutes(11));

    browser.get(&world, "/confirm?back=/account/security").await;
    let question = asked(&mut browser, &world, "/confirm/passkey/options").await;
    let (ceremony, signed) = (question["ceremony"].as_str().unwrap(), device.signs(&question["options"]));
    let fields = [("ceremony", ceremony), ("answer", signed.as_str()), ("back", "/account/security")];
    let confirmed = browser.post(&world, "/confirm/passkey", &fields).await;
    assert_eq!((confirmed.status, confirmed.location.as_str()), (303, "/account/security"), "{}", confirmed.text);
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, "/account/security/recovery-codes", &[]).await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn a_network_that_asks_for_very_many_questions_has_to_wait() {
    let world = named_world().await;
    let mut browser = Browser::default();
    browser.get(&world, "/login").await;

    for _ in 0..100 {
        asked(&mut browser, &world, "/login/passkey/options").await;
    }
    assert_eq!(browser.post(&world, "/login/passkey/options", &[]).await.status, 429);
    world.advance(TimeDelta::minutes(6));
    asked(&mut browser, &world, "/login/passkey/options").await;
    world.finish().await;
}

#[tokio::test]
async fn what_was_begun_before_a_password_was_reset_is_not_finished() {
    let world = named_world().await;
    let ann = world.customer("ann", "0").await;
    // Somebody who is in her account begins to add factors of his own.
    let mut browser = Browser::logged_in(&world, &ann).await;
    browser.get(&world, "/account/security").await;
    let asked = asked(&mut browser, &world, "/account/security/passkeys/options").await;
    let setup = world.post(&ann, "/auth/totp", &json!({})).await.expect(201);
    let phone = crate::second_factor::Phone::scans(setup["secret"].as_str().unwrap());

    let mut owner = Browser::default();
    owner.get(&world, "/forgot-password").await;
    owner.post(&world, "/forgot-password", &[("email", "ann@example.org")]).await;
    let token = world.link_to("ann@example.org").await;
    owner.get(&world, &format!("/reset-password?token={token}")).await;
    let set = owner.post(&world, "/reset-password", &[("token", &token), ("password", PASSWORD)]).await;
    assert_eq!(set.status, 303, "{}", set.text);

    // Whoever is in by now, nothing of it counts.
    let mut browser = Browser::logged_in(&world, &ann).await;
    browser.get(&world, "/account/security").await;
    let made = Device::at(&world.app.settings.public_url).creates(&asked["options"]);
    let ceremony = asked["ceremony"].as_str().unwrap();
    let fields = [("name", "mine"), ("ceremony", ceremony), ("answer", made.as_str())];
    let late = browser.post(&world, "/account/security/passkeys", &fields).await;
    assert_eq!(late.status, 409, "{}", late.text);
    world.post(&ann, "/auth/totp/confirm", &json!({ "code": phone.shows(&world) })).await.problem(409);
    assert_eq!(world.count("select count(*) from passkeys").await, 0);
    assert_eq!(world.count("select count(*) from passkey_ceremonies").await, 0);
    assert_eq!(world.count("select count(*) from totp_secrets").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn who_was_in_with_a_browser_before_is_asked_for_a_passkey_whatever_his_network_does() {
    let world = named_world().await;
    let ann = world.customer("ann", "0").await;
    let mut owner = Browser::logged_in(&world, &ann).await;
    owner.get(&world, "/account").await;
    owner.post(&world, "/logout", &[]).await;
    let mut stranger = Browser::default();
    stranger.get(&world, "/login").await;
    for _ in 0..100 {
        asked(&mut stranger, &world, "/login/passkey/options").await;
    }
    assert_eq!(stranger.post(&world, "/login/passkey/options", &[]).await.status, 429);

    owner.get(&world, "/login").await;
    asked(&mut owner, &world, "/login/passkey/options").await;
    stranger.steals("device", &"A".repeat(43));
    assert_eq!(stranger.post(&world, "/login/passkey/options", &[]).await.status, 429, "what he made up is nothing");
    world.finish().await;
}

#[tokio::test]
async fn the_list_of_members_tells_who_manages_them_what_opens_their_accounts() {
    let world = named_world().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    world
        .execute("update members set role = 'operator', organisation_id = (select m.organisation_id from members m join users u on u.id = m.user_id where u.name = 'ann') where user_id = (select id from users where name = 'bob')")
        .await;
    let mut browser = Browser::logged_in(&world, &ann).await;
    let listed = world.get(&ann, "/members").await.expect(200);
    assert_eq!(listed["items"][1]["second_factors"], json!([]));
    assert!(browser.get(&world, "/organisation").await.text.contains("none</span>"));

    let _device = with_passkey(&world, &bob).await;
    let listed = world.get(&ann, "/members").await.expect(200);
    assert_eq!(listed["items"][1]["second_factors"], json!(["passkey"]), "{listed}");
    assert!(browser.get(&world, "/organisation").await.text.contains(">Passkey<"));
    let as_bob = world.get(&bob, "/members").await.expect(200);
    assert_eq!(as_bob["items"][0]["second_factors"], json!(null), "an operator manages nobody");
    world.finish().await;
}

#[tokio::test]
async fn where_a_factor_is_demanded_a_passkey_is_one() {
    let world = named_world().await;
    let ann = world.customer("ann", "0").await;
    world.execute("update organisations set second_factor_required = true").await;
    let _device = with_passkey(&world, &ann).await;

    assert_eq!(world.get(&ann, "/vms").await.status, 200);
    let list = world.get(&ann, "/auth/passkeys").await.expect(200);
    let id = list["items"][0]["id"].as_str().unwrap();
    world.delete(&ann, &format!("/auth/passkeys/{id}")).await.problem(409);
    world.finish().await;
}

#[tokio::test]
async fn a_platform_without_a_name_says_that_it_has_no_passkeys() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let mut browser = Browser::logged_in(&world, &ann).await;

    let page = browser.get(&world, "/account/security").await.text;
    assert!(page.contains("Passkeys need the platform to be reached by a domain name"), "{page}");
    assert_eq!(browser.post(&world, "/account/security/passkeys/options", &[]).await.status, 409);
    assert_eq!(json!(world.count("select count(*) from passkey_ceremonies").await), 0);
    world.finish().await;
}
