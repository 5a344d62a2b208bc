//! Tokens of programs: rotated, raced for, forged, and signed by keys that are replaced.

use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uni_manager::config::Vault;
use uni_manager::sessions;

use super::{credentials, me, say, times};
use crate::world::{PASSWORD, Start, World, machine_time, text};

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn of_two_who_use_one_refresh_token_at_once_exactly_one_wins_and_its_family_ends() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let tokens = say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    let token = json!({ "refresh_token": tokens["refresh_token"] });

    let both = tokio::join!(say(&world, "refresh", &token), say(&world, "refresh", &token));

    let winners: Vec<Value> =
        [&both.0, &both.1].into_iter().filter(|answer| answer.status == 200).map(|answer| answer.json()).collect();
    assert_eq!(winners.len(), 1, "{} {}", both.0.status, both.1.status);
    // Nobody can tell which of them was the thief, so neither goes on.
    me(&world, text(&winners[0], "/access_token")).await.problem(401);
    say(&world, "refresh", &json!({ "refresh_token": winners[0]["refresh_token"] })).await.problem(401);
    assert_eq!(times(&world, "user.refresh_token_reused").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_program_is_told_of_when_it_comes_and_goes_and_was_last_seen_when_it_refreshed() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let told = async || {
        let sql = "select coalesce(string_agg(event || ' ' || detail, ', ' order by id), '') from audit_events where event like 'user.logged_%' and detail @> '{\"program\": true}' and organisation_id = (select id from organisations)";
        world.text(sql).await
    };
    assert_eq!(told().await, r#"user.logged_in {"program": true}"#, "how a customer of these tests comes in");
    let tokens = say(&world, "login", &credentials("ann@example.org", PASSWORD)).await.expect(200);
    let seen = async || world.count("select count(*) from token_families where last_seen_at > created_at").await;
    assert_eq!(seen().await, 0);

    world.advance(TimeDelta::minutes(3));
    let next = say(&world, "refresh", &json!({ "refresh_token": tokens["refresh_token"] })).await.expect(200);
    assert_eq!(seen().await, 1);
    sessions::purge(&world.app).await.unwrap();
    me(&world, text(&next, "/access_token")).await.expect(200);

    say(&world, "logout", &json!({ "refresh_token": next["refresh_token"] })).await.expect(204);
    let all =
        r#"user.logged_in {"program": true}, user.logged_in {"program": true}, user.logged_out {"program": true}"#;
    assert_eq!(told().await, all, "so whatever it left open is looked at anew at once");
    world.finish().await;
}

#[tokio::test]
async fn a_token_counts_only_as_we_signed_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let token = world.token(&ann).await;
    let head = part(&token, 0);
    assert_eq!((text(&head, "/alg"), text(&head, "/kid").len()), ("HS256", 36));
    me(&world, &token).await.expect(200);

    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let (claims, signature) = (token.split('.').nth(1).unwrap(), token.split('.').nth(2).unwrap());
    let with_head = |head: Value, signature: &str| format!("{}.{claims}.{signature}", encoded(&head));
    let kid = text(&head, "/kid");
    let mut later = part(&token, 1);
    later["exp"] = json!(later["exp"].as_i64().unwrap() + 1);
    for forged in [
        with_head(json!({ "alg": "none", "typ": "JWT", "kid": kid }), ""),
        with_head(json!({ "alg": "none", "typ": "JWT", "kid": kid }), signature),
        with_head(json!({ "alg": "HS384", "typ": "JWT", "kid": kid }), signature),
        with_head(json!({ "alg": "RS256", "typ": "JWT", "kid": kid }), signature),
        with_head(json!({ "alg": "HS256", "typ": "JWT" }), signature),
        with_head(json!({ "alg": "HS256", "typ": "JWT", "kid": uuid::Uuid::nil() }), signature),
        with_head(json!({ "alg": "HS256", "typ": "JWT", "kid": "../../etc/passwd" }), signature),
        format!("{}.{}.{signature}", token.split('.').next().unwrap(), encoded(&later)),
    ] {
        me(&world, &forged).await.problem(401);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_gets_a_successor_after_a_month_and_its_tokens_run_out_in_peace() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let kid = |token: &str| text(&part(token, 0), "/kid").to_owned();
    let first = world.token(&ann).await;
    assert!(!sessions::renew_keys(&world.app).await.unwrap(), "it is young");

    world.advance(TimeDelta::days(sessions::RENEWED_AFTER_DAYS));
    let before = world.token(&ann).await;
    assert!(sessions::renew_keys(&world.app).await.unwrap());
    let meanwhile = world.token(&ann).await;
    assert_eq!(kid(&meanwhile), kid(&first), "other processes have not read the new one yet");
    world.advance(TimeDelta::minutes(2));
    let after = world.token(&ann).await;
    assert_ne!(kid(&after), kid(&first));
    for token in [&before, &meanwhile, &after] {
        me(&world, token).await.expect(200);
    }

    world.advance(TimeDelta::minutes(60));
    assert!(!sessions::renew_keys(&world.app).await.unwrap());
    assert_eq!(world.count("select count(*) from token_keys").await, 1, "the older one is gone");
    me(&world, &world.token(&ann).await).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn keys_are_read_once_in_half_a_minute_and_not_for_every_request() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let token = world.token(&ann).await;
    me(&world, &token).await.expect(200);
    world.advance(TimeDelta::seconds(30));
    me(&world, &token).await.expect(200);

    // What a process has read it knows for half a minute, whatever becomes of the table.
    world.execute("delete from token_keys").await;
    me(&world, &token).await.expect(200);
    world.advance(TimeDelta::seconds(29));
    me(&world, &token).await.expect(200);
    world.advance(TimeDelta::seconds(1));
    me(&world, &token).await.problem(401);
    world.finish().await;
}

/// Runs the real binary.
fn rotate_keys(world: &World, keys: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_uni-manager"))
        .arg("rotate-keys")
        .args(arguments)
        .envs(world.environment())
        .env("UNI_MANAGER_SECRET_KEYS", keys)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn keys_are_made_ended_and_encrypted_anew_by_command() {
    // The command reads the machine's own clock.
    let world = World::starting(Start { now: machine_time(), ..Start::default() }).await;
    let ann = world.customer("ann", "0").await;
    let token = world.token(&ann).await;
    let own = world.secret_key.expose_secret().to_owned();

    rotate_keys(&world, &own, &["--token-keys"]);
    assert_eq!(world.count("select count(*) from token_keys").await, 2);
    world.advance(TimeDelta::minutes(1));
    me(&world, &token).await.expect(200);

    rotate_keys(&world, &own, &["--end-access-tokens"]);
    world.advance(TimeDelta::seconds(31));
    me(&world, &token).await.problem(401);
    me(&world, &world.token(&ann).await).await.expect(200);

    let newer = Vault::generate_key();
    let said = rotate_keys(&world, &format!("{},{own}", newer.expose_secret()), &[]);
    assert!(said.contains("token_keys.secret_encrypted: 1 of 1"), "{said}");
    let stored = world.text("select secret_encrypted from token_keys").await;
    assert!(Vault::from_keys(&newer).unwrap().decrypt(&stored).is_ok());
    world.finish().await;
}
