//! Where one is logged in: the list, and ending one or all.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use uni_manager::audit::Actor;
use uni_manager::sessions;

use super::{credentials, me, say, times};
use crate::doors::{browser, is_unknown};
use crate::world::{PASSWORD, World, send, text};

#[tokio::test]
async fn a_person_sees_where_he_is_logged_in_and_ends_one_of_them() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let (cookie, csrf) = browser(&world, &ann).await;
    let login = world
        .request(Method::POST, "/api/v1/auth/login")
        .header("user-agent", "curl/8.5.0")
        .json(&credentials("ann@example.org", PASSWORD));
    let tokens = send(login).await.expect(200);
    let access = text(&tokens, "/access_token");

    let list = send(world.request(Method::GET, "/api/v1/account/sessions").bearer_auth(access)).await.expect(200);
    let items = list["items"].as_array().unwrap();
    let current: Vec<_> = items.iter().filter(|item| item["is_current"] == true).collect();
    assert_eq!(current.len(), 1, "{list}");
    assert_eq!((text(current[0], "/device"), text(current[0], "/kind")), ("curl 8.5.0", "program"));
    assert_eq!(text(current[0], "/address"), "127.0.0.1");
    let page = send(world.request(Method::GET, "/account/sessions").header("cookie", &cookie)).await;
    assert!(page.text.contains("curl 8.5.0") && page.text.contains("This one"), "{}", page.text);

    let id = text(current[0], "/id");
    world.delete(&bob, &format!("/account/sessions/{id}")).await.problem(404);
    let end = format!("/account/sessions/{id}/end");
    let ended = send(world.request(Method::POST, &end).header("cookie", &cookie).form(&[("csrf", &csrf)])).await;
    assert_eq!(ended.status, 303);
    me(&world, access).await.problem(401);
    say(&world, "refresh", &json!({ "refresh_token": tokens["refresh_token"] })).await.problem(401);
    assert_eq!(times(&world, "user.session_revoked").await, 1);
    assert_eq!(
        send(world.request(Method::POST, &end).header("cookie", &cookie).form(&[("csrf", &csrf)])).await.status,
        404
    );
    world.finish().await;
}

#[tokio::test]
async fn logging_out_everywhere_ends_cookies_and_tokens_at_once() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let (one, _) = browser(&world, &ann).await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let tokens = say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    let bobs = world.token(&bob).await;

    let form = [("csrf", csrf.as_str())];
    let ended = send(world.request(Method::POST, "/account/sessions/end").header("cookie", &cookie).form(&form)).await;
    assert_eq!((ended.status, ended.location.as_str()), (303, "/login"));

    for cookie in [&one, &cookie] {
        assert!(is_unknown(&send(world.request(Method::GET, "/vms").header("cookie", cookie)).await));
    }
    me(&world, text(&tokens, "/access_token")).await.problem(401);
    say(&world, "refresh", &json!({ "refresh_token": tokens["refresh_token"] })).await.problem(401);
    me(&world, &bobs).await.expect(200);
    // Who proved who he is before that, and was about to come in, stays out.
    assert!(sessions::start(&world.app, &ann.user, Actor::system(), None).await.is_err());
    assert!(sessions::issue(&world.app, &ann.user).await.is_err());
    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    assert_eq!(times(&world, "user.sessions_ended").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn no_token_outlives_a_logout_everywhere_that_meets_its_refresh() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    for _ in 0..5 {
        let tokens = say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
        let access = text(&tokens, "/access_token");
        let refresh_token = json!({ "refresh_token": tokens["refresh_token"] });
        let end = send(world.request(Method::DELETE, "/api/v1/account/sessions").bearer_auth(access));

        let (refreshed, ended) = tokio::join!(say(&world, "refresh", &refresh_token), end);

        ended.expect(200);
        if refreshed.status == 200 {
            let next = refreshed.json();
            me(&world, text(&next, "/access_token")).await.problem(401);
            say(&world, "refresh", &json!({ "refresh_token": next["refresh_token"] })).await.problem(401);
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn being_seen_is_written_down_every_few_minutes_and_no_oftener() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (cookie, _) = browser(&world, &ann).await;
    let seen = async || world.text("select last_seen_at::text from sessions").await;
    let look = async || send(world.request(Method::GET, "/account").header("cookie", &cookie)).await;
    let first = seen().await;

    world.advance(TimeDelta::minutes(4));
    look().await;
    assert_eq!(seen().await, first);
    world.advance(TimeDelta::minutes(1));
    look().await;
    assert_ne!(seen().await, first);
    world.finish().await;
}

#[tokio::test]
async fn a_ban_and_the_end_of_a_membership_count_from_the_next_request() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (cookie, _) = browser(&world, &ann).await;
    let token = world.token(&ann).await;
    let look = async || {
        let page = send(world.request(Method::GET, "/ssh-keys").header("cookie", &cookie)).await.status;
        (page, send(world.request(Method::GET, "/api/v1/ssh-keys").bearer_auth(&token)).await.status)
    };
    assert_eq!(look().await, (200, 200));

    world.execute("update members set role = 'billing'").await;
    assert_eq!(look().await, (403, 403));
    world.execute("update members set role = 'owner'").await;
    world.execute("update users set state = 'banned', state_reason = 'Tests', state_since = now()").await;
    assert_eq!(look().await, (303, 401));
    world.finish().await;
}

#[tokio::test]
async fn what_has_expired_is_removed_and_what_has_not_stays() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let rows =
        "select count(*) from (select token_hash from sessions union all select token_hash from refresh_tokens) rows";
    let before = world.count(rows).await;
    browser(&world, &ann).await;
    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    world.advance(TimeDelta::days(sessions::SESSION_DAYS) - TimeDelta::seconds(1));
    sessions::purge(&world.app).await.unwrap();
    assert_eq!(world.count(rows).await, before + 2, "they are good for another second");
    let (cookie, _) = browser(&world, &bob).await;

    world.advance(TimeDelta::seconds(1));

    // Hers: the cookie, the refresh token and its family; and what was there from before.
    assert!(sessions::purge(&world.app).await.unwrap() >= 3);
    assert_eq!(world.count("select count(*) from sessions").await, 1);
    assert_eq!(world.count("select count(*) from refresh_tokens").await, 0);
    assert_eq!(send(world.request(Method::GET, "/vms").header("cookie", &cookie)).await.status, 200);
    assert_eq!(sessions::purge(&world.app).await.unwrap(), 0);
    world.finish().await;
}
