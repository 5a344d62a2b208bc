//! What others try: with a state that is not theirs, with words that are not the provider's, with a provider that is away.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use super::linking::person;
use super::provider::{FakeProvider, Mood, Signs};
use super::{ann, away, comes, world};
use crate::second_factor::browser::Browser;
use crate::world::{PASSWORD, Start, World, send};

#[tokio::test]
async fn only_the_browser_that_began_comes_back_and_only_once_and_soon() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let mut browser = Browser::default();
    let back = away(&world, &mut browser, &provider, "/login/oidc", &ann()).await;

    let mut other = Browser::default();
    let refused = async |browser: &mut Browser, path: &str| {
        let answer = browser.get(&world, path).await;
        assert!(answer.status == 401 && answer.text.contains("Begin again"), "{path}: {}", answer.text);
        assert!(!browser.is_in(&world).await, "{path}");
    };
    refused(&mut other, &back).await;
    // Nor one that began itself, as somebody who is sent the link of another would.
    other.get(&world, "/login/oidc").await;
    refused(&mut other, &back).await;
    refused(&mut browser, &format!("{back}x")).await;
    refused(&mut browser, "/login/oidc/callback?code=code-1").await;
    refused(&mut browser, "/login/oidc/callback").await;
    // The others have spoilt nothing.
    assert_eq!(browser.get(&world, &back).await.status, 303);
    assert!(browser.is_in(&world).await);
    // Used up, also for who steals the cookie.
    let mut thief = Browser::default();
    thief.steals("oidc", browser.cookie("oidc").unwrap());
    refused(&mut thief, &back).await;
    // A code of before is nothing under a new state.
    let fresh = away(&world, &mut thief, &provider, "/login/oidc", &ann()).await;
    let state = fresh.split("state=").nth(1).unwrap();
    let replayed = thief.get(&world, &format!("/login/oidc/callback?code=code-1&state={state}")).await;
    assert_eq!(replayed.status, 503);
    assert!(!thief.is_in(&world).await);

    let mut late = Browser::default();
    let back = away(&world, &mut late, &provider, "/login/oidc", &ann()).await;
    world.advance(TimeDelta::minutes(10));
    refused(&mut late, &back).await;
    assert_eq!(world.count("select count(*) from sessions").await, 1);
    // What the table holds opens nothing.
    assert!(world.count("select count(*) from oidc_journeys").await > 0);
    uni_manager::oidc::purge(&world.app).await.unwrap();
    assert_eq!(world.count("select count(*) from oidc_journeys").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn two_windows_of_one_browser_do_not_disturb_each_other() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let mut browser = Browser::default();
    let first = away(&world, &mut browser, &provider, "/login/oidc?next=/wallet", &ann()).await;
    let second = away(&world, &mut browser, &provider, "/login/oidc?next=/ssh-keys", &ann()).await;
    assert_eq!(browser.get(&world, &first).await.location, "/wallet");
    assert_eq!(browser.get(&world, &second).await.location, "/ssh-keys");
    world.finish().await;
}

#[tokio::test]
async fn a_word_that_is_not_the_providers_about_this_login_opens_nothing() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let now = world.now().timestamp();
    let wrong: Vec<(&str, Value)> = vec![
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("aud", json!("somebody else")),
        ("aud", json!(["uni", "somebody else"])),
        ("aud", json!([])),
        ("azp", json!("somebody else")),
        ("iss", json!("https://login.example.org")),
        ("iss", Value::Null),
        ("exp", json!(now - 61)),
        ("exp", Value::Null),
        ("iat", json!(now + 120)),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("sub", json!("a\u{0}b")),
        ("sub", Value::Null),
    ];
    for (name, value) in &wrong {
        let mut browser = Browser::default();
        let leaves = browser.get(&world, "/login/oidc").await;
        let back = provider.lets_in(&leaves.location, now, &ann(), |claims| claims[name] = value.clone());
        let answer = browser.get(&world, &back).await;
        assert!(answer.status == 503 && !browser.is_in(&world).await, "{name}: {value}: {}", answer.status);
        assert!(answer.text.contains("or use your password") && !answer.text.contains("somebody else"));
    }
    for signs in [Signs::Not, Signs::WithSecret, Signs::WithPublicKey, Signs::Falsely, Signs::Unheard] {
        provider.signs(signs);
        let mut browser = Browser::default();
        let answer = comes(&world, &mut browser, &provider, &ann()).await;
        assert!(answer.status == 503 && !browser.is_in(&world).await, "{signs:?}: {}", answer.status);
    }
    provider.signs(Signs::Well);
    provider.is(Mood::Wordless);
    assert_eq!(comes(&world, &mut Browser::default(), &provider, &ann()).await.status, 503);
    provider.is(Mood::Well);
    let mut browser = Browser::default();
    let back = away(&world, &mut browser, &provider, "/login/oidc", &ann()).await;
    let mixed_up = browser.get(&world, &format!("{back}&iss=https%3A%2F%2Flogin.example.org")).await;
    assert_eq!(mixed_up.status, 503, "another provider sent him back");
    assert_eq!(world.count("select count(*) from users").await, 0);

    // What is right is heard, also a minute late.
    let mut browser = Browser::default();
    let leaves = browser.get(&world, "/login/oidc").await;
    let back = provider.lets_in(&leaves.location, now, &ann(), |claims| {
        claims["exp"] = json!(now - 59);
        claims["azp"] = json!("uni");
        claims["aud"] = json!(["uni"]);
        claims["email_verified"] = json!("true");
    });
    assert_eq!(browser.get(&world, &back).await.status, 303);
    world.finish().await;
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_asked_for_but_not_all_the_time() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    assert_eq!(comes(&world, &mut Browser::default(), &provider, &ann()).await.status, 303);

    provider.changes_its_key();
    assert_eq!(comes(&world, &mut Browser::default(), &provider, &ann()).await.status, 503, "asked a moment ago");
    assert_eq!(provider.described(), 1);
    world.advance(TimeDelta::seconds(60));
    assert_eq!(comes(&world, &mut Browser::default(), &provider, &ann()).await.status, 303);
    assert_eq!(provider.described(), 2);
    world.finish().await;
}

#[tokio::test]
async fn while_the_provider_is_away_passwords_go_on() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let customer = world.customer("ann", "0").await;
    let moods = [Mood::Failing, Mood::Endless, Mood::Leading, Mood::Lying, Mood::Nonsense, Mood::Slow];
    for mood in moods {
        provider.is(mood);
        let page = Browser::default().get(&world, "/login/oidc").await;
        assert_eq!(page.status, 503, "{mood:?}");
        assert!(
            page.text.contains("Example Login cannot be reached just now") && page.text.contains("name=\"password\"")
        );
        assert!(Browser::logged_in(&world, &customer).await.is_in(&world).await, "{mood:?}");
        let asked = provider.described();
        assert_eq!(Browser::default().get(&world, "/login/oidc").await.status, 503);
        assert_eq!(provider.described(), asked, "it is left alone for a moment");
        world.advance(TimeDelta::seconds(5));
    }
    provider.is(Mood::Well);
    let mut browser = Browser::default();
    let back = away(&world, &mut browser, &provider, "/login/oidc", &json!({ "sub": "n-1" })).await;
    for mood in [Mood::Failing, Mood::Endless] {
        provider.is(mood);
        assert_eq!(browser.get(&world, &back).await.status, if mood == Mood::Failing { 503 } else { 401 });
    }
    // Twice a description and once a word, each up to its limit, and what lies in sockets.
    let most = 16 << 20;
    assert!((1..most).contains(&provider.poured()), "an answer without end is not read without end");
    world.finish().await;
}

#[tokio::test]
async fn who_does_not_agree_there_is_told_kindly() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let mut browser = Browser::default();
    for (error, said) in
        [("access_denied", "You did not agree at Example Login"), ("server_error", "did not let you in")]
    {
        let back = away(&world, &mut browser, &provider, "/login/oidc", &ann()).await;
        let state = back.split("state=").nth(1).unwrap();
        let path = format!("/login/oidc/callback?error={error}&error_description=%3Cb%3Ehello&state={state}");
        let answer = browser.get(&world, &path).await;
        assert!(answer.status == 409 && answer.text.contains(said), "{}", answer.text);
        assert!(!answer.text.contains("hello"), "nobody writes on our page");
        assert_eq!(browser.get(&world, &back).await.status, 401, "the journey is over");
    }
    world.finish().await;
}

#[tokio::test]
async fn afterwards_it_leads_to_our_own_pages_only() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let long = format!("/{}", "x".repeat(3000));
    for next in ["//evil.example", "https://evil.example", "/%5Cevil.example", "", &long] {
        let begin = format!("/login/oidc?next={next}");
        let mut browser = Browser::default();
        let back = away(&world, &mut browser, &provider, &begin, &ann()).await;
        assert_eq!(browser.get(&world, &back).await.location, "/", "{next}");
    }
    world.finish().await;
}

#[tokio::test]
async fn of_two_who_come_back_at_once_one_is_heard() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    for _ in 0..5 {
        let mut browser = Browser::default();
        let back = away(&world, &mut browser, &provider, "/login/oidc", &ann()).await;
        let mut twin = Browser::default();
        twin.steals("oidc", browser.cookie("oidc").unwrap());
        let (one, other) = tokio::join!(browser.get(&world, &back), twin.get(&world, &back));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 401]);
    }
    world.finish().await;
}

#[tokio::test]
async fn somebody_new_who_comes_twice_at_once_gets_one_account() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    for number in 0..5 {
        let who =
            json!({ "sub": format!("n-{number}"), "email": format!("n{number}@example.org"), "email_verified": true });
        let (mut one, mut other) = (Browser::default(), Browser::default());
        let first = away(&world, &mut one, &provider, "/login/oidc", &who).await;
        let second = away(&world, &mut other, &provider, "/login/oidc", &who).await;
        let (first, second) = tokio::join!(one.get(&world, &first), other.get(&world, &second));
        assert_eq!((first.status, second.status), (303, 303), "{} {}", first.text, second.text);
        assert_eq!(world.count("select count(*) from users").await, number + 1);
        assert_eq!(world.count("select count(*) from user_identities").await, number + 1);
    }
    world.finish().await;
}

#[tokio::test]
async fn nobody_knows_the_password_of_who_has_none_and_nothing_says_so() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    comes(&world, &mut Browser::default(), &provider, &ann()).await;
    assert!(!uni_manager::users::has_password(&world.app, person(&world, "ann@example.org").await.id).await.unwrap());
    let mut browser = Browser::default();
    browser.get(&world, "/login").await;
    let mut told = Vec::new();
    for email in ["ann@example.org", "nobody@example.org"] {
        for password in ["", PASSWORD] {
            let answer = browser.post(&world, "/login", &[("email", email), ("password", password)]).await;
            assert_eq!(answer.status, 401);
            told.push(answer.text.contains("The e-mail address or the password is wrong."));
        }
    }
    assert_eq!(told, [true; 4]);
    world.finish().await;
}

#[tokio::test]
async fn one_network_does_not_fill_the_table() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let begin = async || Browser::default().get(&world, "/login/oidc").await;
    for _ in 0..200 {
        assert_eq!(begin().await.status, 303);
    }
    let limited = begin().await;
    assert!(limited.status == 429 && limited.text.contains("name=\"password\""), "{}", limited.status);
    assert_eq!(world.count("select count(*) from oidc_journeys").await, 200);
    world.finish().await;
}

#[tokio::test]
async fn whoever_fills_a_network_keeps_nobody_out_who_was_here_before() {
    let provider = FakeProvider::start().await;
    let mut start = Start { oidc: provider.set(), ..Start::default() };
    start.guards.requests_per_network = 100_000;
    let world = World::starting(start).await;
    let mut owner = Browser::default();
    comes(&world, &mut owner, &provider, &ann()).await;
    let device = owner.cookie("device").unwrap().to_owned();
    let begins = async |address: &str, device: &str| {
        let request = world.request(Method::GET, "/login/oidc").header("x-forwarded-for", address);
        send(request.header("cookie", format!("device={device}"))).await.status
    };

    for _ in 0..200 {
        assert_eq!(begins("198.51.100.7", "").await, 303);
    }
    assert_eq!(begins("198.51.100.7", "").await, 429);
    assert_eq!(begins("198.51.100.7", &"A".repeat(43)).await, 429, "what he made up is nothing");
    assert_eq!(begins("198.51.100.8", "").await, 303, "his neighbour");
    assert_eq!(begins("198.51.100.7", &device).await, 303);
    // Somebody with many addresses comes to an end as well, and still it is not that of whoever was here before.
    for line in 10..14 {
        for _ in 0..200 {
            begins(&format!("198.51.100.{line}"), "").await;
        }
    }
    assert_eq!(begins("198.51.100.20", "").await, 429);
    assert_eq!(begins("198.51.100.20", &device).await, 303);
    assert_eq!(begins("198.51.101.20", "").await, 303, "elsewhere");
    world.finish().await;
}

#[tokio::test]
async fn a_page_of_another_site_begins_nothing_with_a_picture_or_a_frame() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let begins = async |destination: &str, site: &str| {
        let request = world.request(Method::GET, "/login/oidc").header("sec-fetch-dest", destination);
        send(request.header("sec-fetch-site", site)).await
    };
    for destination in ["image", "iframe", "empty", "script", "object", "embed", ""] {
        for site in ["cross-site", "same-site", "same-origin"] {
            assert_eq!(begins(destination, site).await.status, 403, "{destination} {site}");
        }
    }
    assert_eq!(world.count("select count(*) from oidc_journeys").await, 0);
    for site in ["cross-site", "same-origin", "none"] {
        assert_eq!(begins("document", site).await.status, 303, "a link is followed: {site}");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_secret_is_shown_by_nothing_and_a_wrong_setting_is_named() {
    let provider = FakeProvider::start().await;
    let world = World::starting(Start { oidc: provider.set(), ..Start::default() }).await;
    let shown = format!("{:?} {:?}", world.app.settings, provider.written());
    assert!(!shown.contains(super::provider::SECRET) && shown.contains("Example Login"));
    let wrong = |change: fn(&mut uni_manager::oidc::NewProvider)| {
        let mut written = provider.written();
        change(&mut written);
        format!("{:#}", uni_manager::oidc::Provider::new(written).unwrap_err())
    };
    assert!(wrong(|written| written.issuer = "http://login.example.org".into()).contains("https://"));
    assert!(wrong(|written| written.issuer = "login".into()).contains("address"));
    assert!(wrong(|written| written.client_secret = "  ".into()).contains("secret"));
    assert!(wrong(|written| written.client_id = String::new()).contains("client id"));
    assert!(wrong(|written| written.name = "x".repeat(41)).contains("name"));
    world.finish().await;
}
