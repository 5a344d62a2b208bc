//! Strangers who try, and the owner who gets in whatever they do.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::{Client, Method};
use uni_manager::audit::{Actor, Who};
use uni_manager::error::Error;
use uni_manager::users::{self, Place};

use super::{client_from, credentials, say, times, try_from};
use crate::world::{PASSWORD, World, send};

const WRONG: &str = "not the password";

/// How long an answer said to wait, in seconds.
async fn wait_of(world: &World, client: &Client, email: &str, password: &str) -> Option<i64> {
    let request = client.post(format!("{}/api/v1/auth/login", world.url)).json(&credentials(email, password));
    let answer = request.send().await.unwrap();
    let wait = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    (answer.status() == 429).then(|| wait.unwrap())
}

#[tokio::test]
async fn five_wrong_tries_cost_five_minutes_and_each_further_one_more_whoever_it_is_about() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let client = client_from(Ipv4Addr::new(127, 1, 1, 1));
    let mut answers = Vec::new();

    for email in ["ann@example.org", "nobody@example.org"] {
        for _ in 0..5 {
            try_from(&world, &client, email, WRONG).await.problem(401);
        }
        let mut limited = try_from(&world, &client, email, PASSWORD).await.problem(429);
        limited["request_id"].take();
        answers.push((limited, wait_of(&world, &client, email, PASSWORD).await.unwrap()));
    }
    assert_eq!(answers[0], answers[1], "nobody learns who has an account");
    assert!((290..=301).contains(&answers[0].1), "{answers:?}");
    // From elsewhere it goes on as if nothing had been.
    try_from(&world, &client_from(Ipv4Addr::new(127, 1, 2, 1)), "ann@example.org", PASSWORD).await.expect(200);

    world.advance(TimeDelta::minutes(5) + TimeDelta::seconds(1));
    try_from(&world, &client, "ann@example.org", WRONG).await.problem(401);
    let longer = wait_of(&world, &client, "ann@example.org", PASSWORD).await.unwrap();
    assert!((590..=601).contains(&longer), "{longer}");
    world.advance(TimeDelta::minutes(10) + TimeDelta::seconds(1));
    try_from(&world, &client, "ann@example.org", PASSWORD).await.expect(200);
    for _ in 0..4 {
        try_from(&world, &client, "ann@example.org", WRONG).await.problem(401);
    }
    try_from(&world, &client, "ann@example.org", PASSWORD).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn the_login_page_counts_as_the_api_does() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let page = send(world.request(Method::GET, "/login")).await;
    let token = page.cookie("csrf").unwrap();
    let typed = async |password: &str| {
        let form = [("csrf", token.as_str()), ("email", "ann@example.org"), ("password", password)];
        send(world.request(Method::POST, "/login").header("cookie", format!("csrf={token}")).form(&form)).await
    };

    for _ in 0..3 {
        assert_eq!(typed(WRONG).await.status, 401);
    }
    for _ in 0..2 {
        say(&world, "login", &credentials("ann@example.org", WRONG)).await.problem(401);
    }
    let limited = typed(PASSWORD).await;
    assert_eq!(limited.status, 429);
    assert!(limited.text.contains("Wait a few minutes") && limited.text.contains("ann@example.org"));
    world.finish().await;
}

#[tokio::test]
async fn ten_thousand_wrong_logins_from_a_hundred_addresses_keep_no_owner_out() {
    const ADDRESSES: u8 = 100;
    /// Of each address: some through the door, the others by the operation behind it, which is the same and costs less.
    const THROUGH_THE_DOOR: usize = 10;
    const BEHIND_IT: usize = 90;
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    // He has a browser, and a program somewhere else.
    let page = send(world.request(Method::GET, "/login")).await;
    let csrf = page.cookie("csrf").unwrap();
    let log_in = async |client: &Client, device: &str| {
        let form = [("csrf", csrf.as_str()), ("email", ann.user.email.as_str()), ("password", PASSWORD)];
        let cookie = format!("csrf={csrf}; device={device}");
        send(client.post(format!("{}/login", world.url)).header("cookie", cookie).form(&form)).await
    };
    let device = log_in(&world.http, "").await.cookie("device").unwrap();
    let programs = client_from(Ipv4Addr::new(127, 7, 7, 7));
    try_from(&world, &programs, "ann@example.org", PASSWORD).await.expect(200);
    let strangers: Vec<Client> = (0..ADDRESSES).map(|number| client_from(Ipv4Addr::new(127, 100, number, 1))).collect();

    let world_ref = &world;
    let attack = async |tries: usize| {
        let all = (0..tries).flat_map(|_| &strangers);
        let statuses: Vec<u16> = stream::iter(all)
            .map(|client| async move { try_from(world_ref, client, "ann@example.org", WRONG).await.status })
            .buffer_unordered(20)
            .collect()
            .await;
        assert!(statuses.iter().all(|status| matches!(status, 401 | 429 | 503)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 401).count()
    };
    let mut guessed = attack(THROUGH_THE_DOOR).await;
    let places = (0..ADDRESSES).map(|number| Place::new(Some(&format!("127.100.{number}.1")), None));
    let places: Vec<Place> = places.collect();
    let all = (0..BEHIND_IT).flat_map(|_| &places);
    let outcomes: Vec<Error> = stream::iter(all)
        .map(|place| async move {
            let actor = Actor { who: Who::Stranger, ..Actor::system() };
            users::authenticate(&world_ref.app, "ann@example.org", WRONG.into(), place, actor).await.unwrap_err()
        })
        .buffer_unordered(8)
        .collect()
        .await;
    guessed += outcomes.iter().filter(|error| matches!(error, Error::Unauthenticated(_))).count();
    assert!(outcomes.iter().all(|error| matches!(error, Error::Unauthenticated(_) | Error::TooManyTries { .. })));
    assert!(guessed < 500, "{guessed} of 10,000 were tried at all");

    // Where he was before he comes in at once, even from among the strangers.
    assert_eq!(log_in(&strangers[0], &device).await.status, 303, "his browser");
    try_from(&world, &programs, "ann@example.org", PASSWORD).await.expect(200);
    // Where he never was he waits half a minute, once, while they go on.
    let fresh = client_from(Ipv4Addr::new(127, 200, 1, 1));
    let wait = wait_of(&world, &fresh, "ann@example.org", PASSWORD).await.unwrap();
    assert!(wait <= 30, "{wait}");
    attack(1).await;
    world.advance(TimeDelta::seconds(31));
    attack(1).await;
    try_from(&world, &fresh, "ann@example.org", PASSWORD).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn who_tries_many_at_once_gets_no_more_tries_than_one_by_one() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let client = client_from(Ipv4Addr::new(127, 1, 1, 1));

    // Not so many that tests beside this one find no place to wait in.
    let tries = (0..40).map(|_| try_from(&world, &client, "ann@example.org", WRONG));
    let answers = futures_util::future::join_all(tries).await;

    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 429 | 503)));
    // Those that were being hashed when the fifth failed had been let in.
    let threads = std::thread::available_parallelism().unwrap().get().min(8);
    let tried = times(&world, "user.login_failed").await;
    assert!((5..5 + threads).contains(&tried), "{tried}");
    world.finish().await;
}

#[tokio::test]
async fn a_hash_of_weaker_days_is_made_anew_when_its_owner_logs_in() {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let world = World::new().await;
    world.customer("ann", "0").await;
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(1024, 1, 1, None).unwrap());
    let weak: argon2::PasswordHash = weak.hash_password(PASSWORD.as_bytes()).unwrap();
    sqlx::query("update users set password_hash = $1").bind(weak.to_string()).execute(&world.app.pool).await.unwrap();
    let stored = async || world.text("select password_hash from users").await;

    say(&world, "login", &credentials("ann@example.org", WRONG)).await.problem(401);
    assert_eq!(stored().await, weak.to_string());
    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);

    let strong = stored().await;
    assert!(strong.starts_with("$argon2id$v=19$m=19456,t=2"), "{strong}");
    say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    assert_eq!(stored().await, strong);
    world.finish().await;
}

#[tokio::test]
async fn an_unknown_address_takes_as_long_as_a_wrong_password() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let took = async |email: &str| {
        let mut measured = Vec::new();
        for number in 0..7 {
            let client = client_from(Ipv4Addr::new(127, 3, number, 1));
            // The connection is made before.
            send(client.get(format!("{}/healthz", world.url))).await;
            let began = Instant::now();
            try_from(&world, &client, email, WRONG).await.problem(401);
            measured.push(began.elapsed());
        }
        measured.sort();
        measured[3]
    };

    let (known, unknown) = (took("ann@example.org").await, took("nobody@example.org").await);

    let longer = known.max(unknown);
    assert!(known.min(unknown) * 3 > longer, "{known:?} and {unknown:?}");
    assert!(longer > Duration::from_millis(1));
    world.finish().await;
}

#[tokio::test]
async fn a_wrong_password_of_a_known_address_is_written_down_with_its_count() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let client = client_from(Ipv4Addr::new(127, 1, 1, 1));
    try_from(&world, &client, "ann@example.org", WRONG).await.problem(401);

    // One transaction, as for an unknown address: a second one would take twice as long.
    let together = "select count(*) from login_limits where xmin::text = (select xmin::text from audit_events where event = 'user.login_failed')";
    assert_eq!(world.count(together).await, 3, "account and network, network, account");
    world.finish().await;
}

#[tokio::test]
async fn a_network_that_has_to_wait_does_not_tell_who_was_there_before() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    world.customer("bob", "0").await;
    let client = client_from(Ipv4Addr::new(127, 1, 1, 1));
    try_from(&world, &client, "ann@example.org", PASSWORD).await.expect(200);
    // Ann's wrong passwords count for the network as everybody's do; else one could count along.
    for number in 0..16 {
        try_from(&world, &client, &format!("person-{number}@example.org"), WRONG).await.problem(401);
    }
    for email in ["ann@example.org", "bob@example.org", "nobody@example.org", "ann@example.org"] {
        try_from(&world, &client, email, WRONG).await.problem(401);
    }
    let mut answers = Vec::new();
    for email in ["ann@example.org", "bob@example.org", "nobody@example.org"] {
        let mut limited = try_from(&world, &client, email, WRONG).await.problem(429);
        limited["request_id"].take();
        answers.push((limited, wait_of(&world, &client, email, WRONG).await.unwrap()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!((290..=301).contains(&answers[0].1), "{answers:?}");
    // The owner comes in where he was, and nobody else does, whatever he knows.
    try_from(&world, &client, "bob@example.org", PASSWORD).await.problem(429);
    try_from(&world, &client, "ann@example.org", PASSWORD).await.expect(200);
    assert_eq!(
        times(&world, "user.login_failed").await,
        5,
        "two of Ann's, one of Bob's, and two of Ann's while all wait"
    );

    // Who goes on is slowed down alike: his own tries count as well.
    let mut waits = Vec::new();
    for email in ["ann@example.org", "nobody-else@example.org"] {
        for _ in 0..5 {
            try_from(&world, &client, email, WRONG).await.problem(429);
        }
        world.advance(TimeDelta::seconds(10));
        waits.push(wait_of(&world, &client, email, PASSWORD).await.unwrap());
    }
    assert_eq!(waits[0], waits[1], "{waits:?}");
    world.finish().await;
}

#[tokio::test]
async fn an_account_under_attack_does_not_tell_where_its_owner_was_before() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let known = client_from(Ipv4Addr::new(127, 1, 1, 1));
    try_from(&world, &known, "ann@example.org", PASSWORD).await.expect(200);
    for network in 1..5 {
        let client = client_from(Ipv4Addr::new(127, 2, network, 1));
        for email in ["ann@example.org", "nobody@example.org"] {
            for _ in 0..5 {
                try_from(&world, &client, email, WRONG).await.problem(401);
            }
        }
    }
    try_from(&world, &known, "ann@example.org", PASSWORD).await.expect(200);
    let mut waits = Vec::new();
    for email in ["ann@example.org", "nobody@example.org"] {
        waits.push(wait_of(&world, &known, email, WRONG).await);
    }
    assert_eq!(waits, [Some(30); 2]);
    world.finish().await;
}

#[tokio::test]
async fn what_is_counted_names_nobody_and_is_forgotten() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    assert_eq!(world.count("select count(*) from login_limits").await, 1, "the network that registered");
    let client = client_from(Ipv4Addr::new(127, 1, 1, 1));
    for _ in 0..5 {
        try_from(&world, &client, "ann@example.org", WRONG).await.problem(401);
    }
    assert_eq!(world.count("select count(*) from login_limits").await, 4, "account and network, network, account");
    assert_eq!(world.text("select string_agg(encode(key, 'escape'), ' ') from login_limits where encode(key, 'escape') ~ 'ann|127'").await, "");

    world.advance(TimeDelta::hours(3));
    users::purge(&world.app).await.unwrap();
    assert_eq!(world.count("select count(*) from login_limits").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn all_networks_of_one_ipv6_site_are_seen_together() {
    let world = World::new().await;
    let wrong = async |site: &str, number: usize| {
        let body = credentials(&format!("nobody-{number}@example.org"), "a wrong password");
        let request = world.request(Method::POST, "/api/v1/auth/login").json(&body);
        send(request.header("x-forwarded-for", format!("2001:db8:{site}:{number:x}::1"))).await.status
    };
    for number in 0..100 {
        assert_eq!(wrong("1", number).await, 401, "{number}");
    }
    assert_eq!(wrong("1", 100).await, 429, "another account from another network of the same site");
    assert_eq!(wrong("2", 101).await, 401, "the next site");
    world.advance(TimeDelta::minutes(6));
    assert_eq!(wrong("1", 102).await, 401);
    world.finish().await;
}
