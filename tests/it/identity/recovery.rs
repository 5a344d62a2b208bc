//! A password that is forgotten, one that is changed, and another address.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use super::{credentials, me, say, times};
use crate::doors::browser;
use crate::second_factor::with_app;
use crate::world::{PASSWORD, World, send, text};

const NEW: &str = "staple battery horse";

#[tokio::test]
async fn nobody_learns_from_a_forgotten_password_who_has_an_account() {
    let world = World::new().await;
    world.customer("ann", "0").await;

    let known = say(&world, "forgot-password", &json!({ "email": "ANN@example.org" })).await;
    let unknown = say(&world, "forgot-password", &json!({ "email": "nobody@example.org" })).await;
    assert_eq!((known.status, known.text.as_str()), (202, ""));
    assert_eq!((unknown.status, unknown.text.as_str()), (202, ""));
    // What a request writes down is the same, so it takes as long.
    assert_eq!(world.count("select count(*) from reset_requests").await, 2);

    let to: Vec<_> = world.mails().await.into_iter().map(|mail| mail.to_address).collect();
    assert_eq!(to, ["ann@example.org"]);
    assert_eq!(world.count("select count(*) from reset_requests").await, 0);
    assert_eq!(times(&world, "user.password_reset_requested").await, 1);
    for email in ["ann@example.org", "nobody@example.org"] {
        for _ in 0..2 {
            assert_eq!(say(&world, "forgot-password", &json!({ "email": email })).await.status, 202);
        }
        let limited = say(&world, "forgot-password", &json!({ "email": email })).await;
        limited.problem(429);
    }
    world.finish().await;
}

#[tokio::test]
async fn no_neighbour_keeps_a_link_from_who_was_in_with_his_browser_before() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    world.customer("bob", "0").await;
    let page = send(world.request(Method::GET, "/login")).await;
    let csrf = page.cookie("csrf").unwrap();
    let posts = async |path: &str, address: &str, device: &str, fields: &[(&str, &str)]| {
        let request = world.request(Method::POST, path).header("x-forwarded-for", address);
        let form: Vec<_> = fields.iter().chain(&[("csrf", csrf.as_str())]).copied().collect();
        send(request.header("cookie", format!("csrf={csrf}; device={device}")).form(&form)).await
    };
    let enters = [("email", ann.user.email.as_str()), ("password", PASSWORD)];
    let device = posts("/login", "198.51.100.1", "", &enters).await.cookie("device").unwrap();
    let forgot = async |email: &str, address: &str, device: &str| {
        posts("/forgot-password", address, device, &[("email", email)]).await.status
    };

    for _ in 0..3 {
        assert_eq!(forgot("ann@example.org", "198.51.100.7", "").await, 303);
    }
    assert_eq!(forgot("ann@example.org", "198.51.100.7", "").await, 429);
    assert_eq!(forgot("ann@example.org", "198.51.100.8", "").await, 303, "his neighbour");
    assert_eq!(forgot("Ann@example.org", "198.51.100.7", &device).await, 303);
    // Nor does she write to others more often than anybody, or learn whether they have an account.
    for email in ["bob@example.org", "nobody@example.org"] {
        for _ in 0..3 {
            assert_eq!(forgot(email, "198.51.100.9", "").await, 303, "{email}");
        }
        assert_eq!(forgot(email, "198.51.100.9", &device).await, 429, "{email}");
    }
    // About many addresses from one line, and from all that are around it.
    let about = async |number: usize, address: &str, device: &str| {
        forgot(&format!("person-{number}@example.org"), address, device).await
    };
    for number in 0..20 {
        assert_eq!(about(number, "198.51.102.1", "").await, 303);
    }
    assert_eq!(about(20, "198.51.102.1", "").await, 429);
    for number in 20..100 {
        assert_eq!(about(number, &format!("198.51.102.{}", number / 10), "").await, 303, "{number}");
    }
    assert_eq!(about(100, "198.51.102.99", "").await, 429);
    assert_eq!(forgot("ann@example.org", "198.51.102.99", &device).await, 303);
    world.finish().await;
}

#[tokio::test]
async fn a_link_sets_a_new_password_once_and_ends_every_login() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (cookie, _) = browser(&world, &ann).await;
    let tokens = say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    say(&world, "forgot-password", &json!({ "email": "ann@example.org" })).await;
    let token = world.link_to("ann@example.org").await;

    let page = send(world.request(Method::GET, &format!("/reset-password?token={token}"))).await;
    let anonymous = page.cookie("csrf").unwrap();
    let set = async |password: &str| {
        let form = [("csrf", anonymous.as_str()), ("token", token.as_str()), ("password", password)];
        send(world.request(Method::POST, "/reset-password").header("cookie", format!("csrf={anonymous}")).form(&form))
            .await
    };
    assert_eq!(set("short").await.status, 422, "a link is not used up by a bad password");
    let done = set(NEW).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/login"), "{}", done.text);
    assert_eq!(set("yet another password").await.status, 409);

    assert_eq!(send(world.request(Method::GET, "/vms").header("cookie", &cookie)).await.status, 303);
    me(&world, text(&tokens, "/access_token")).await.problem(401);
    say(&world, "refresh", &json!({ "refresh_token": tokens["refresh_token"] })).await.problem(401);
    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.problem(401);
    say(&world, "login", &credentials("ann@example.org", NEW)).await.expect(200);
    assert_eq!(times(&world, "user.password_reset").await, 1);
    let last = world.mails().await.pop().unwrap();
    assert_eq!(last.subject, "Your password was changed");
    assert!(last.body.contains("127.0.0.1") && !last.body.contains("token="), "{}", last.body);
    let audited = world.text("select string_agg(detail::text, ' ') from audit_events").await;
    assert!(!audited.contains(&token) && !audited.contains(NEW));
    world.finish().await;
}

#[tokio::test]
async fn who_opened_an_account_for_somebody_elses_address_keeps_nothing_of_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    world.execute("update users set email_verified_at = null").await;
    with_app(&world, &ann).await;
    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(202);

    say(&world, "forgot-password", &json!({ "email": "ann@example.org" })).await;
    let token = world.link_to("ann@example.org").await;
    let set = say(&world, "reset-password", &json!({ "token": token, "password": NEW })).await;
    assert_eq!(set.status, 204, "{}", set.text);

    say(&world, "login", &credentials("ann@example.org", NEW)).await.expect(200);
    assert_eq!(world.count("select count(*) from totp_secrets").await, 0);
    assert_eq!(world.count("select count(*) from recovery_codes").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_link_that_sets_a_password_is_good_for_an_hour_and_not_after_the_address_changed() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    say(&world, "forgot-password", &json!({ "email": "ann@example.org" })).await;
    let token = world.link_to("ann@example.org").await;
    let body = json!({ "token": token, "password": NEW });

    world.execute("update users set email = 'other@example.org'").await;
    say(&world, "reset-password", &body).await.problem(409);
    world.execute("update users set email = 'ann@example.org'").await;
    world.advance(TimeDelta::minutes(60));
    say(&world, "reset-password", &body).await.problem(409);
    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn of_two_who_set_a_password_with_one_link_exactly_one_wins() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    say(&world, "forgot-password", &json!({ "email": "ann@example.org" })).await;
    let token = world.link_to("ann@example.org").await;
    let body = |password: &str| json!({ "token": token, "password": password });
    let (one, other) = (body("the first new password"), body("the other new password"));

    let both = tokio::join!(say(&world, "reset-password", &one), say(&world, "reset-password", &other));

    let won: Vec<&Value> = [(&both.0, &one), (&both.1, &other)]
        .into_iter()
        .filter(|(answer, _)| answer.status == 204)
        .map(|(_, body)| body)
        .collect();
    assert_eq!(won.len(), 1, "{} {}", both.0.status, both.1.status);
    say(&world, "login", &credentials("ann@example.org", text(won[0], "/password"))).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn who_changes_his_password_stays_and_everybody_else_is_out() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (other, _) = browser(&world, &ann).await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let program = world.token(&ann).await;
    let change = async |current: &str, new: &str| {
        let form = [("csrf", csrf.as_str()), ("current_password", current), ("new_password", new)];
        send(world.request(Method::POST, "/account/password").header("cookie", &cookie).form(&form)).await
    };

    let wrong = change("not the password", NEW).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("The password is wrong") && !wrong.text.contains(NEW));
    assert_eq!(change(PASSWORD, "short").await.status, 422);
    assert_eq!(change(PASSWORD, NEW).await.status, 303);

    assert_eq!(send(world.request(Method::GET, "/vms").header("cookie", &cookie)).await.status, 200);
    assert_eq!(send(world.request(Method::GET, "/vms").header("cookie", &other)).await.status, 303);
    me(&world, &program).await.problem(401);
    assert_eq!(times(&world, "user.password_changed").await, 1);
    assert_eq!(world.mails().await.pop().unwrap().subject, "Your password was changed");
    for _ in 0..5 {
        assert_eq!(change("not the password", NEW).await.status, 422);
    }
    assert_eq!(change(NEW, PASSWORD).await.status, 429, "even the right one, for a while");
    world.finish().await;
}

#[tokio::test]
async fn a_person_does_the_same_on_his_pages_and_through_the_api() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let form = async |path: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&fields)).await.status
    };
    let say_own =
        async |method: Method, path: &str, body: Value| send(world.api(&ann, method, path).await.json(&body)).await;

    assert_eq!(form("/account", &[("name", "Ann Other")]).await, 303);
    assert_eq!(say_own(Method::PATCH, "/account", json!({ "name": "Ann Third" })).await.status, 204);
    assert_eq!(say_own(Method::PATCH, "/account", json!({ "name": " " })).await.problem_fields(), ["name"]);
    assert_eq!(text(&world.get(&ann, "/account").await.expect(200), "/name"), "Ann Third");
    assert_eq!(form("/account/email", &[("email", "one@example.org"), ("password", PASSWORD)]).await, 303);
    world.execute("update users set email_verified_at = null").await;
    assert_eq!(form("/account/verification", &[]).await, 303);
    assert_eq!(form("/forgot-password", &[("email", "ann@example.org")]).await, 403, "with a stranger's token only");
    let list = world.get(&ann, "/account/sessions").await.expect(200);
    let one =
        list["items"].as_array().unwrap().iter().find(|item| item["kind"] == "program" && item["is_current"] == false);
    let one = text(one.unwrap(), "/id").to_owned();
    assert_eq!(world.delete(&ann, &format!("/account/sessions/{one}")).await.status, 204);
    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    assert_eq!(say_own(Method::PUT, "/account/password", body).await.status, 204);
    assert_eq!(send(world.request(Method::GET, "/account").header("cookie", &cookie)).await.status, 303);
    world.finish().await;
}

#[tokio::test]
async fn another_address_counts_when_its_owner_follows_the_link_and_the_old_one_is_told() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    world.customer("bob", "0").await;
    let ask = async |email: &str, password: &str| {
        let request = world.api(&ann, Method::PUT, "/account/email").await;
        send(request.json(&json!({ "email": email, "password": password }))).await
    };

    assert_eq!(ask("new@example.org", "wrong password").await.problem_fields(), ["password"]);
    assert_eq!(ask("no address", PASSWORD).await.problem_fields(), ["email"]);
    // That another has it is not said, and comes out only to who reads that mailbox.
    assert_eq!(ask("bob@example.org", PASSWORD).await.status, 202);
    let taken = world.link_to("bob@example.org").await;
    say(&world, "verify-email", &json!({ "token": taken })).await.problem(409);
    assert_eq!(ask("new@example.org", PASSWORD).await.status, 202);
    let account = world.get(&ann, "/account").await.expect(200);
    assert_eq!((text(&account, "/email"), text(&account, "/wanted_email")), ("ann@example.org", "new@example.org"));
    let token = world.link_to("new@example.org").await;
    assert_eq!(say(&world, "verify-email", &json!({ "token": token })).await.status, 204);

    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.problem(401);
    say(&world, "login", &credentials("new@example.org", PASSWORD)).await.expect(200);
    let told: Vec<_> = world
        .mails()
        .await
        .into_iter()
        .filter(|mail| mail.to_address == "ann@example.org")
        .map(|mail| mail.subject)
        .collect();
    assert_eq!(
        told,
        [
            "Your e-mail address is about to change",
            "Your e-mail address is about to change",
            "Your e-mail address was changed"
        ]
    );
    assert_eq!(times(&world, "user.email_changed").await, 1);
    world.finish().await;
}
