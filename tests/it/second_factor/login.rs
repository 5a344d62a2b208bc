//! Logging in with password and code, in a browser and as a program.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use uni_manager::audit::Actor;
use uni_manager::error::Error;
use uni_manager::{second_factor, sessions, users};

use super::browser::{Browser, between};
use super::{Phone, code, password, pending, with_app};
use crate::world::{PASSWORD, World, send, text};

#[tokio::test]
async fn an_app_is_set_up_in_the_browser_and_asked_for_at_the_next_login() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let mut browser = Browser::logged_in(&world, &ann).await;
    let mut old = Browser::logged_in(&world, &ann).await;
    let old_token = world.token(&ann).await;

    assert!(browser.get(&world, "/account/security").await.text.contains("Set up an app"));
    let begun = browser.post(&world, "/account/security/totp/begin", &[]).await;
    assert_eq!((begun.status, begun.location.as_str()), (303, "/account/security/totp"));
    let page = browser.get(&world, "/account/security/totp").await.text;
    let phone = Phone::scans(&between(&page, "<code class=\"text-break\">", "<").unwrap());
    assert!(page.contains("<svg class=\"qr\"") && page.contains("otpauth://totp/"));
    assert_eq!(password(&world, &ann).await.status, 200, "it does not count before a code has confirmed it");

    let wrong = browser.post(&world, "/account/security/totp", &[("code", "000000")]).await;
    assert!(wrong.status == 422 && wrong.text.contains("This code is wrong"), "{}", wrong.status);
    let on = browser.post(&world, "/account/security/totp", &[("code", &phone.shows(&world))]).await;
    assert_eq!(on.status, 200, "{}", on.text);
    assert_eq!(on.text.matches("<li><code>").count(), 10, "the recovery codes");
    assert!(browser.is_in(&world).await, "who set it up stays");
    assert!(!old.is_in(&world).await, "logins that never showed it end");
    send(world.request(Method::GET, "/api/v1/auth/me").bearer_auth(old_token)).await.problem(401);
    assert!(!browser.get(&world, "/account/security").await.text.contains("<code>"), "shown once");

    world.advance(TimeDelta::seconds(30));
    let mut next = Browser::default();
    assert_eq!(next.gives_password(&world, &ann).await, "/login/code?next=%2F");
    assert!(!next.is_in(&world).await, "the password alone opens nothing");
    assert!(next.get(&world, "/login/code").await.text.contains("one-time-code"));
    assert_eq!(next.post(&world, "/login/code", &[("code", "123 45")]).await.status, 422);
    let entered = next.post(&world, "/login/code", &[("code", &phone.shows(&world)), ("next", "//evil.example")]).await;
    assert_eq!((entered.status, entered.location.as_str()), (303, "/"));
    assert!(next.is_in(&world).await && next.cookie("pending").is_none());
    let events = world.events().await;
    for event in ["user.totp_added", "user.second_factor_failed", "user.logged_in"] {
        assert!(events.contains(&event.to_owned()), "{event}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_program_logs_in_with_two_calls() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, _) = with_app(&world, &ann).await;

    let first = password(&world, &ann).await.expect(202);
    assert_eq!((first["second_factor_required"].as_bool(), first["expires_in"].as_i64()), (Some(true), Some(600)));
    assert!(first.get("access_token").is_none());
    let token = text(&first, "/pending_token");
    send(world.request(Method::GET, "/api/v1/auth/me").bearer_auth(token)).await.problem(401);
    assert_eq!(code(&world, token, "000000").await.problem_fields(), ["code"]);
    let tokens = code(&world, token, &phone.shows(&world)).await.expect(200);
    send(world.request(Method::GET, "/api/v1/auth/me").bearer_auth(text(&tokens, "/access_token"))).await.expect(200);
    code(&world, token, &phone.shows_in(&world, 30)).await.problem(401);
    code(&world, "nonsense", &phone.shows(&world)).await.problem(401);

    let seen = world.get(&ann, "/auth/second-factor").await.expect(200);
    assert_eq!(seen, json!({ "totp": true, "passkeys": 0, "recovery_codes_left": 10, "required": false }));
    world.finish().await;
}

#[tokio::test]
async fn a_code_is_good_once_and_for_a_step_around_now() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, _) = with_app(&world, &ann).await;

    for (seconds, good) in [(-60, false), (60, false), (-30, false), (0, true), (0, false), (30, true), (0, false)] {
        let token = pending(&world, &ann).await;
        let answer = code(&world, &token, &phone.shows_in(&world, seconds)).await;
        assert_eq!(answer.status, if good { 200 } else { 422 }, "{seconds}: {}", answer.text);
        // Wrong ones are forgiven, for this is about time.
        world.execute("delete from second_factor_tries").await;
    }
    // A clock that is half a minute late.
    world.advance(TimeDelta::minutes(3));
    let token = pending(&world, &ann).await;
    assert_eq!(code(&world, &token, &phone.shows_in(&world, -30)).await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn of_two_who_try_one_code_at_once_exactly_one_is_let_in() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, _) = with_app(&world, &ann).await;
    let (one, two) = (pending(&world, &ann).await, pending(&world, &ann).await);
    let shown = phone.shows(&world);

    let (first, second) = tokio::join!(code(&world, &one, &shown), code(&world, &two, &shown));

    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422]);
    world.finish().await;
}

#[tokio::test]
async fn codes_cannot_be_guessed_and_the_count_is_of_the_person_not_of_the_login() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, _) = with_app(&world, &ann).await;

    for _ in 0..5 {
        let token = pending(&world, &ann).await;
        assert_eq!(code(&world, &token, "000000").await.status, 422);
    }
    let token = pending(&world, &ann).await;
    let refused = code(&world, &token, &phone.shows(&world)).await;
    assert_eq!(refused.status, 429, "even the right one is not looked at: {}", refused.text);
    world.advance(TimeDelta::minutes(5) + TimeDelta::seconds(1));
    let mut late = Browser::default();
    late.gives_password(&world, &ann).await;
    late.get(&world, "/login/code").await;
    assert_eq!(late.post(&world, "/login/code", &[("code", "000000")]).await.status, 422);
    let blocked = late.post(&world, "/login/code", &[("code", &phone.shows(&world))]).await;
    assert!(blocked.status == 429 && blocked.text.contains("too many wrong codes"), "{}", blocked.status);
    world.advance(TimeDelta::minutes(10));
    late.gives_password(&world, &ann).await;
    late.get(&world, "/login/code").await;
    assert_eq!(late.post(&world, "/login/code", &[("code", &phone.shows(&world))]).await.status, 303);
    assert_eq!(world.count("select failures::bigint from second_factor_tries").await, 0, "a right one forgives");
    world.finish().await;
}

#[tokio::test]
async fn a_login_that_waits_is_over_after_ten_minutes_and_when_its_owner_is_banned() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, _) = with_app(&world, &ann).await;

    let mut browser = Browser::default();
    browser.gives_password(&world, &ann).await;
    browser.get(&world, "/login/code").await;
    let token = pending(&world, &ann).await;
    world.advance(TimeDelta::minutes(10));
    code(&world, &token, &phone.shows(&world)).await.problem(401);
    let late = browser.post(&world, "/login/code", &[("code", &phone.shows(&world))]).await;
    assert!(late.status == 401 && late.text.contains("Begin again with your password"), "{}", late.status);
    assert_eq!(Browser::default().get(&world, "/login/code").await.location, "/login");

    let token = pending(&world, &ann).await;
    world.execute("update users set state = 'banned', state_reason = 'Tests', state_since = now()").await;
    code(&world, &token, &phone.shows(&world)).await.problem(401);
    world.finish().await;
}

#[tokio::test]
async fn a_login_that_waits_ends_with_all_others() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, _) = with_app(&world, &ann).await;
    let user = users::find(&mut world.app.pool.acquire().await.unwrap(), ann.user.id).await.unwrap().unwrap();

    let token = pending(&world, &ann).await;
    sessions::end_all(&world.app, &user, None, &Actor::system()).await.unwrap();
    code(&world, &token, &phone.shows(&world)).await.problem(401);
    // Who gave his password before and comes to the second step only now does not get there.
    assert!(second_factor::begin(&world.app, &user, second_factor::Method::Password, Actor::system()).await.is_err());
    let token = pending(&world, &ann).await;
    code(&world, &token, &phone.shows(&world)).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn the_secret_is_kept_encrypted_and_gets_the_newest_key() {
    use secrecy::ExposeSecret;
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let setup = world.post(&ann, "/auth/totp", &json!({})).await.expect(201);
    let stored = world.text("select secret_encrypted from totp_secrets").await;
    assert!(!stored.contains(text(&setup, "/secret")));
    assert_eq!(
        world.app.settings.vault.decrypt(&stored).unwrap().expose_secret(),
        text(&setup, "/secret"),
        "the vault opens it"
    );
    let key = uni_manager::config::Vault::generate_key();
    let both = format!("{},{}", key.expose_secret(), world.secret_key.expose_secret());
    let vault = uni_manager::config::Vault::from_keys(&both.into()).unwrap();
    let rotated = uni_manager::secrets::rotate(&world.app.pool, &vault).await.unwrap();
    let column = rotated.iter().find(|column| column.column == "totp_secrets.secret_encrypted").unwrap();
    assert_eq!((column.all, column.rotated), (1, 1));
    world.finish().await;
}

#[tokio::test]
async fn who_removes_his_app_logs_in_with_his_password_alone() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (_phone, _) = with_app(&world, &ann).await;

    world.post(&ann, "/auth/totp", &json!({})).await.problem(409);
    assert_eq!(world.delete(&ann, "/auth/totp").await.status, 204);
    world.delete(&ann, "/auth/totp").await.problem(404);
    let login = json!({ "email": ann.user.email, "password": PASSWORD });
    send(world.request(Method::POST, "/api/v1/auth/login").json(&login)).await.expect(200);
    assert_eq!(world.count("select count(*) from recovery_codes").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_login_that_began_before_the_first_factor_does_not_come_in_after_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    // He has shown the password, and was asked for nothing more.
    let known = world.known(&ann).await;
    with_app(&world, &ann).await;

    let late = sessions::start(&world.app, &known, Actor::system(), None).await;
    assert!(matches!(late, Err(Error::Unauthenticated(_))), "{late:?}");
    assert!(sessions::log_in(&world.app, &known, Actor::system()).await.is_err());
    world.finish().await;
}
