//! Coming in through the API: registering, logging in, tokens that rotate, and what strangers see of each other's things.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, PASSWORD, Start, World, send, text};

async fn say(world: &World, path: &str, body: &Value) -> Answer {
    send(world.request(Method::POST, &format!("/api/v1/auth/{path}")).json(body)).await
}

async fn me(world: &World, access: &str) -> Answer {
    send(world.request(Method::GET, "/api/v1/auth/me").bearer_auth(access)).await
}

#[tokio::test]
async fn somebody_registers_logs_in_refreshes_and_logs_out() {
    let world = World::new().await;
    let new =
        json!({ "email": " Ann@Example.org ", "name": "Ann", "organisation": "Ann & Sons", "password": PASSWORD });
    let registered = say(&world, "register", &new).await.expect(201);
    assert_eq!((text(&registered, "/token_type"), registered["expires_in"].as_i64()), ("Bearer", Some(900)));

    let login = say(&world, "login", &json!({ "email": "ann@example.ORG", "password": PASSWORD })).await.expect(200);
    let who = me(&world, text(&login, "/access_token")).await.expect(200);
    assert_eq!((text(&who, "/email"), text(&who, "/organisation/name")), ("Ann@Example.org", "Ann & Sons"));
    assert!(who["platform_role"].is_null());
    let next = say(&world, "refresh", &json!({ "refresh_token": login["refresh_token"] })).await.expect(200);
    assert_ne!(next["refresh_token"], login["refresh_token"]);
    me(&world, text(&next, "/access_token")).await.expect(200);
    assert_eq!(say(&world, "logout", &json!({ "refresh_token": next["refresh_token"] })).await.status, 204);

    me(&world, text(&next, "/access_token")).await.problem(401);
    say(&world, "refresh", &json!({ "refresh_token": next["refresh_token"] })).await.problem(401);
    me(&world, text(&registered, "/access_token")).await.expect(200);
    let stored = world.text("select password_hash from users").await;
    assert!(stored.starts_with("$argon2id$") && !stored.contains(PASSWORD));
    world.finish().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let world = World::new().await;
    world.customer("ann", "0").await;

    let mut wrong =
        say(&world, "login", &json!({ "email": "ann@example.org", "password": "not the password" })).await.problem(401);
    let mut unknown =
        say(&world, "login", &json!({ "email": "nobody@example.org", "password": PASSWORD })).await.problem(401);

    for answer in [&mut wrong, &mut unknown] {
        answer["request_id"].take();
    }
    assert_eq!(wrong, unknown);
    assert_eq!(
        world.events().await.iter().filter(|event| *event == "user.login_failed").count(),
        1,
        "the known account's log has it"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_whole_family() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let login = say(&world, "login", &json!({ "email": "ann@example.org", "password": PASSWORD })).await.expect(200);
    let other = say(&world, "login", &json!({ "email": "ann@example.org", "password": PASSWORD })).await.expect(200);
    let next = say(&world, "refresh", &json!({ "refresh_token": login["refresh_token"] })).await.expect(200);

    say(&world, "refresh", &json!({ "refresh_token": login["refresh_token"] })).await.problem(401);

    say(&world, "refresh", &json!({ "refresh_token": next["refresh_token"] })).await.problem(401);
    me(&world, text(&next, "/access_token")).await.problem(401);
    me(&world, text(&other, "/access_token")).await.expect(200);
    assert!(world.events().await.contains(&"user.refresh_token_reused".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn tokens_expire() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let login = say(&world, "login", &json!({ "email": "ann@example.org", "password": PASSWORD })).await.expect(200);

    world.advance(TimeDelta::minutes(15) - TimeDelta::seconds(1));
    me(&world, text(&login, "/access_token")).await.expect(200);
    world.advance(TimeDelta::seconds(1));
    me(&world, text(&login, "/access_token")).await.problem(401);
    world.advance(TimeDelta::days(7));
    say(&world, "refresh", &json!({ "refresh_token": login["refresh_token"] })).await.problem(401);
    for nonsense in ["", "x", "a.b.c"] {
        me(&world, nonsense).await.problem(401);
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_registration_is_said_at_each_field() {
    let world = World::new().await;
    world.customer("ann", "0").await;

    let fields = say(&world, "register", &json!({ "email": "no address", "name": "", "password": "short" }))
        .await
        .problem_fields();
    assert_eq!(fields, ["email", "name", "password"]);
    let taken = say(&world, "register", &json!({ "email": "ANN@example.org", "name": "Ann", "password": PASSWORD }))
        .await
        .problem_fields();
    assert_eq!(taken, ["email"]);
    let misshapen = say(&world, "register", &json!({ "email": 7 })).await.problem_fields();
    assert_eq!(misshapen, ["email"], "not even of the right form");
    send(world.request(Method::POST, "/api/v1/auth/login").header("content-type", "application/json").body("{"))
        .await
        .problem(400);
    send(world.request(Method::POST, "/api/v1/auth/login").body("email=x")).await.problem(415);
    let large = json!({ "email": "x".repeat(300_000), "password": "x" });
    assert_eq!(say(&world, "login", &large).await.status, 413);
    assert_eq!(world.count("select count(*) from users").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_closed_platform_registers_nobody() {
    let world = World::starting(Start { registration_open: false, ..Start::default() }).await;

    say(&world, "register", &json!({ "email": "ann@example.org", "name": "Ann", "password": PASSWORD }))
        .await
        .problem(403);

    assert_eq!(world.count("select count(*) from users").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn what_is_somebody_elses_looks_like_what_is_not_there() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let vm = world.running_vm(&ann, "web").await;
    let job = text(&world.last_job(&ann).await, "/id").to_owned();
    let missing = "01a1fbed-31c8-742a-973c-6a7a37dc7ee6";
    let detail = |mut problem: Value| {
        problem["request_id"].take();
        problem
    };

    for (method, prefix, id, suffix) in [
        (Method::GET, "/vms/", &vm, ""),
        (Method::DELETE, "/vms/", &vm, ""),
        (Method::POST, "/vms/", &vm, "/start"),
        (Method::POST, "/vms/", &vm, "/shutdown"),
        (Method::POST, "/vms/", &vm, "/stop"),
        (Method::POST, "/vms/", &vm, "/reboot"),
        (Method::GET, "/jobs/", &job, ""),
        (Method::GET, "/jobs/", &job, "/log"),
        (Method::DELETE, "/jobs/", &job, ""),
        (Method::DELETE, "/ssh-keys/", &ann.key, ""),
    ] {
        let theirs = send(world.api(&bob, method.clone(), &format!("{prefix}{id}{suffix}")).await).await.problem(404);
        let nothing =
            send(world.api(&bob, method.clone(), &format!("{prefix}{missing}{suffix}")).await).await.problem(404);
        assert_eq!(detail(theirs), detail(nothing), "{method} {prefix}…{suffix}");
    }
    let mut body = world.new_vm(&bob, "web").await;
    body["ssh_keys"] = json!([ann.key]);
    assert_eq!(world.post(&bob, "/vms", &body).await.problem_fields(), ["ssh_keys"]);
    for list in ["/vms", "/jobs", "/charges"] {
        assert_eq!(world.get(&bob, list).await.expect(200)["items"], json!([]), "{list}");
    }
    let stranger =
        send(world.api(&bob, Method::GET, "/vms").await.header("x-organisation", ann.organisation.to_string())).await;
    stranger.problem(404);
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn a_key_is_added_once_and_removed() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;

    let again =
        world.post(&ann, "/ssh-keys", &json!({ "name": "again", "public_key": ann.public_key })).await.problem_fields();
    assert_eq!(again, ["public_key"]);
    assert_eq!(world.delete(&ann, &format!("/ssh-keys/{}", ann.key)).await.status, 204);
    assert_eq!(world.get(&ann, "/ssh-keys").await.expect(200)["items"], json!([]));
    let events = world.events().await;
    assert!(events.contains(&"ssh_key.added".to_owned()) && events.contains(&"ssh_key.removed".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn an_organisation_has_no_more_ssh_keys_than_it_may_have_also_when_several_are_added_at_once() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    // She has one; there is room for one more.
    world
        .execute("insert into ssh_keys (id, organisation_id, name, public_key, fingerprint, created_at) select gen_random_uuid(), organisation_id, name, public_key, 'SHA256:' || number, created_at from ssh_keys, generate_series(1, 98) number")
        .await;
    let added = (0..8).map(|number| {
        let (world, ann) = (&world, &ann);
        let key = format!(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhsc{number:04} ann@example"
        );
        async move { world.post(ann, "/ssh-keys", &json!({ "name": "another", "public_key": key })).await.status }
    });

    let mut added = futures_util::future::join_all(added).await;

    added.sort_unstable();
    assert_eq!(added, [201, 422, 422, 422, 422, 422, 422, 422]);
    assert_eq!(world.count("select count(*) from ssh_keys").await, 100);
    world.finish().await;
}
