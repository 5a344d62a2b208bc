//! What stands before every door: headers that tell browsers what they may do, hosts and origins, how often, how large, how slow.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uni_manager::config::{Guards, Patience};

use crate::doors::{DOORS, Somebody, browser, made_key, new_key, with_ids_of_nothing};
use crate::world::{PASSWORD, Start, World, send};

fn value(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn guarded(change: impl FnOnce(&mut Guards)) -> Start {
    let mut start = Start::default();
    change(&mut start.guards);
    start
}

#[tokio::test]
async fn every_answer_of_every_route_says_what_browsers_may_do_with_it() {
    let start = Start { public_url: Some("https://panel.example.org".into()), ..Start::default() };
    let world = World::starting(start).await;
    let ann = world.customer("ann", "0").await;
    let token = world.token(&ann).await;
    let mut answers = Vec::new();
    for (_, method, path) in DOORS {
        let request = || world.request(method.parse().unwrap(), &with_ids_of_nothing(path));
        answers.push((format!("nobody {method} {path}"), request().send().await.unwrap()));
        if path.starts_with("/api/") {
            answers.push((format!("ann {method} {path}"), request().bearer_auth(&token).send().await.unwrap()));
        }
    }
    for path in ["/nothing", "/api/v1/nothing", "/%ff", "/assets/app.css"] {
        answers.push((path.to_owned(), world.request(Method::GET, path).send().await.unwrap()));
    }
    let evil = world.request(Method::GET, "/login").header("host", "evil.example").send().await.unwrap();
    answers.push(("another host".to_owned(), evil));
    let wrong = world.request(Method::PATCH, "/login").send().await.unwrap();
    answers.push(("wrong method".to_owned(), wrong));

    assert!(answers.len() > 250, "{}", answers.len());
    for (what, answer) in &answers {
        let policy = value(answer, "content-security-policy");
        for part in [
            "default-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{what}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{what}: {policy}");
        for (name, expected) in [
            ("strict-transport-security", "max-age=31536000"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(value(answer, name), expected, "{what}");
        }
        assert!(value(answer, "permissions-policy").contains("camera=()"), "{what}");
        assert_eq!(value(answer, "x-request-id").len(), 32, "{what}");
        assert_eq!(value(answer, "access-control-allow-origin"), "", "{what}");
        assert!(value(answer, "server").is_empty() && value(answer, "x-powered-by").is_empty(), "{what}");
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.starts_with("__Host-") && cookie.contains("HttpOnly") && cookie.contains("Secure"),
                "{cookie}"
            );
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn over_plain_http_nothing_insists_on_https() {
    let world = World::new().await;
    let answer = world.request(Method::GET, "/login").send().await.unwrap();
    assert_eq!(value(&answer, "strict-transport-security"), "");
    world.finish().await;
}

#[tokio::test]
async fn only_the_hosts_that_are_set_are_answered() {
    let mut start = guarded(|guards| guards.hosts = vec!["panel.example.net:8443".into()]);
    start.public_url = Some("https://panel.example.org".into());
    let world = World::starting(start).await;
    let asked = async |host: &str, path: &str| send(world.request(Method::GET, path).header("host", host)).await.status;
    for known in ["panel.example.org", "PANEL.example.org:443", "panel.example.net:8443"] {
        assert_eq!(asked(known, "/login").await, 200, "{known}");
    }
    for other in ["evil.example", "panel.example.org.evil.example", "panel.example.net", "panel.example.org:8443"] {
        for path in ["/login", "/api/v1/vms", "/assets/app.css"] {
            assert_eq!(asked(other, path).await, 421, "{other} {path}");
        }
    }
    assert_eq!(asked("10.0.0.7:8080", "/healthz").await, 200, "asked by address");
    // What a proxy says of the host is not heeded.
    let request = world.request(Method::GET, "/vms").header("host", "panel.example.org");
    let led = send(request.header("x-forwarded-host", "evil.example")).await;
    assert!(led.location.starts_with("/login"), "{}", led.location);
    world.finish().await;
}

#[tokio::test]
async fn only_pages_of_the_origins_that_are_set_may_use_the_api() {
    let start = guarded(|guards| guards.cors_origins = vec!["https://app.example.org".into()]);
    let world = World::starting(start).await;
    let ann = world.customer("ann", "0").await;
    let key = new_key(&world, &ann, &["*"]).await;
    let (own, other) = ("https://app.example.org", "https://evil.example");
    let before = async |origin: &str, path: &str| {
        let request = world.request(Method::OPTIONS, path).header("origin", origin);
        request.header("access-control-request-method", "POST").send().await.unwrap()
    };
    let after = async |origin: &str, path: &str| {
        let request = world.request(Method::POST, path).header("origin", origin).header("sec-fetch-site", "cross-site");
        request.bearer_auth(&key.text).json(&json!({})).send().await.unwrap()
    };
    let asked = before(own, "/api/v1/vms").await;
    assert_eq!((asked.status().as_u16(), value(&asked, "access-control-allow-origin").as_str()), (204, own));
    assert!(value(&asked, "access-control-allow-headers").contains("authorization"));
    let done = after(own, "/api/v1/vms").await;
    assert_eq!((done.status().as_u16(), value(&done, "access-control-allow-origin").as_str()), (422, own));
    for answer in [&asked, &done] {
        assert_eq!(value(answer, "access-control-allow-credentials"), "", "never with cookies");
        assert!(value(answer, "vary").contains("origin"));
    }
    for origin in [other, "null", "https://app.example.org.evil.example", "http://app.example.org"] {
        let (asked, done) = (before(origin, "/api/v1/vms").await, after(origin, "/api/v1/vms").await);
        assert_eq!((asked.status().as_u16(), done.status().as_u16()), (403, 403), "{origin}");
        assert_eq!(value(&asked, "access-control-allow-origin") + &value(&done, "access-control-allow-origin"), "");
    }
    // Pages are nobody else's, whatever is set.
    let page = after(own, "/logout").await;
    assert_eq!((page.status().as_u16(), value(&page, "access-control-allow-origin").as_str()), (403, ""));
    world.finish().await;
}

#[tokio::test]
async fn a_key_and_its_organisation_may_ask_so_often() {
    let world = World::starting(guarded(|guards| guards.requests_per_key = 4)).await;
    let (admin, ann) = (world.admin().await, world.customer("ann", "0").await);
    let bob = world.customer("bob", "0").await;
    let (one, two) = (new_key(&world, &ann, &["*"]).await, new_key(&world, &ann, &["*"]).await);
    let quotas = format!("/admin/organisations/{}/quotas", ann.organisation);
    world.put(&admin, &quotas, &serde_json::json!({ "api_requests_per_minute": 6 })).await.expect(200);
    world.advance(chrono::TimeDelta::minutes(2));
    let ask = async |key: &str| world.request(Method::GET, "/api/v1/vms").bearer_auth(key).send().await.unwrap();

    for remaining in ["3", "2", "1", "0"] {
        let answer = ask(&one.text).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            (value(&answer, "ratelimit-limit"), value(&answer, "ratelimit-remaining")),
            ("4".into(), remaining.into())
        );
    }
    let refused = ask(&one.text).await;
    assert_eq!((refused.status().as_u16(), value(&refused, "retry-after").as_str()), (429, "15"));
    assert_eq!(value(&refused, "ratelimit-reset"), "60");
    assert_eq!(value(&refused, "content-type"), "application/problem+json");
    // The organisation has two more, whoever asks for it; others have their own.
    assert_eq!(ask(&two.text).await.status(), 200);
    world.get(&ann, "/vms").await.expect(200);
    let refused = world.get(&ann, "/vms").await.problem(429);
    assert!(refused["detail"].as_str().unwrap().contains("Retry-After"), "{refused}");
    world.get(&bob, "/vms").await.expect(200);
    world.advance(chrono::TimeDelta::seconds(15));
    assert_eq!(ask(&one.text).await.status(), 200, "who waited is let through");
    world.finish().await;
}

#[tokio::test]
async fn who_asks_for_what_is_not_his_is_counted_as_well() {
    let world = World::starting(guarded(|guards| {
        (guards.requests_per_key, guards.requests_per_person, guards.requests_per_network) = (3, 3, 3);
    }))
    .await;
    world.advance(chrono::TimeDelta::minutes(2));
    let ann = world.customer("ann", "0").await;
    let key = new_key(&world, &ann, &["*"]).await;
    let bound = json!({ "name": "office", "permissions": ["vm.view"], "networks": ["198.51.100.0/24"] });
    let bound = made_key(&world, &ann, &bound).await;
    world.advance(chrono::TimeDelta::minutes(2));
    let token = world.token(&ann).await;
    let other = uuid::Uuid::nil().to_string();
    let asks = async |sent: &str, address: &str, organisation: Option<&str>| {
        let request = world.request(Method::GET, "/api/v1/vms").bearer_auth(sent).header("x-forwarded-for", address);
        let request = organisation.iter().fold(request, |request, id| request.header("x-organisation", *id));
        send(request).await.status
    };
    for sent in [&key.text, &token] {
        for wanted in [other.as_str(), "nonsense", other.as_str()] {
            let expected = if wanted == "nonsense" { 422 } else { 404 };
            assert_eq!(asks(sent, "203.0.113.7", Some(wanted)).await, expected);
        }
        assert_eq!(asks(sent, "203.0.113.7", Some(&other)).await, 429);
    }
    // A thief uses up what strangers may ask from where he is, and nothing of the key's.
    for _ in 0..3 {
        assert_eq!(asks(&bound.text, "203.0.113.8", None).await, 403);
    }
    assert_eq!(asks(&bound.text, "203.0.113.8", None).await, 429);
    for _ in 0..3 {
        assert_eq!(asks(&bound.text, "198.51.100.9", None).await, 200);
    }
    world.finish().await;
}

#[tokio::test]
async fn who_is_not_known_may_ask_so_often_from_one_network_and_who_is_known_goes_on() {
    let start = guarded(|guards| guards.requests_per_network = 8);
    let world = World::starting(start).await;
    let ann = world.customer("ann", "0").await;
    let known = Somebody::enters(&world, &ann.user).await;
    world.advance(chrono::TimeDelta::minutes(2));
    let from = async |address: &str, path: &str, key: &str| {
        let request = world.request(Method::GET, path).header("x-forwarded-for", address);
        send(if key.is_empty() { request } else { request.bearer_auth(key) }).await.status
    };
    for _ in 0..4 {
        assert_eq!(from("198.51.100.7", "/login", "").await, 200);
        assert_eq!(from("198.51.100.7", "/api/v1/vms", "unim_guess").await, 401);
    }
    assert_eq!(from("198.51.100.7", "/login", "").await, 429);
    assert_eq!(from("198.51.100.7", "/api/v1/vms", "another guess").await, 429);
    assert_eq!(from("198.51.100.7", "/assets/app.css", "").await, 200);
    assert_eq!(from("198.51.100.8", "/login", "").await, 200, "the next network");
    assert_eq!(from("6.6.6.6, 198.51.100.7", "/login", "").await, 429, "what was sent along changes nothing");
    // Whoever is logged in there is not kept out by his neighbours.
    let token = world.token(&ann).await;
    assert_eq!(from("198.51.100.7", "/api/v1/vms", &token).await, 200);
    assert_eq!(known.asks(&world, "GET", "/vms", &json!({})).await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn a_key_may_be_bound_to_a_network_behind_the_proxy() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let body = json!({ "name": "office", "permissions": ["vm.view"], "networks": ["198.51.100.0/24"] });
    let key = made_key(&world, &ann, &body).await;
    let from = async |address: &str| {
        let request = world.request(Method::GET, "/api/v1/vms").bearer_auth(&key.text);
        send(request.header("x-forwarded-for", address)).await.status
    };
    assert_eq!(from("198.51.100.9").await, 200);
    assert_eq!(from("198.51.100.9, 203.0.113.4").await, 403, "only the last was written by the proxy");
    world.finish().await;
}

#[tokio::test]
async fn no_route_takes_more_than_its_size() {
    let world = World::new().await;
    let large = "x".repeat(256 * 1024 + 1);
    for (_, method, path) in DOORS.iter().filter(|(_, method, _)| *method != "GET") {
        let request = world.request(method.parse().unwrap(), &with_ids_of_nothing(path)).body(large.clone());
        assert_eq!(send(request).await.status, 413, "{method} {path}");
    }
    world.finish().await;
}

/// A world that waits for nobody for long.
async fn hasty() -> World {
    let millis = Duration::from_millis;
    let patience = Patience { head: millis(400), body: millis(400), answer: millis(4_000), send: millis(400) };
    World::starting(guarded(|guards| guards.patience = patience)).await
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// What comes until the other side ends the connection, however it does.
async fn until_ended(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    let reading = async {
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..length]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the connection is ended");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn who_dribbles_the_head_of_a_request_is_dropped() {
    let world = hasty().await;
    let mut stream = connect(&world).await;
    let began = Instant::now();
    stream.write_all(b"GET /login HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: ").await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let ended = tokio::select! {
        _ = reading.read_to_end(&mut answer) => true,
        () = async { while writing.write_all(b"a").await.is_ok() { tokio::time::sleep(Duration::from_millis(50)).await } } => true,
        () = tokio::time::sleep(Duration::from_secs(15)) => false,
    };
    assert!(ended && began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
    // One that says nothing at all does not keep its place either.
    assert_eq!(until_ended(&mut connect(&world).await).await, "");
    world.finish().await;
}

#[tokio::test]
async fn who_dribbles_a_body_is_answered_and_dropped() {
    let world = hasty().await;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    // Pauses for too long.
    let mut stream = connect(&world).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"{\"email\"").await.unwrap();
    let answer = until_ended(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    // Never pauses for long, and never comes to an end.
    let mut stream = connect(&world).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    tokio::select! {
        _ = reading.read_to_end(&mut answer) => {}
        () = async { while writing.write_all(b" ").await.is_ok() { tokio::time::sleep(Duration::from_millis(100)).await } } => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it was waited for"),
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn who_does_not_read_what_he_asked_for_is_dropped() {
    let world = hasty().await;
    let mut stream = connect(&world).await;
    let request = "GET /assets/app.css HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    // Far more answers than what stands between two sockets holds, and not a byte of them is read.
    let asking = async {
        for _ in 0..1_000 {
            if stream.write_all(request.as_bytes()).await.is_err() {
                return;
            }
        }
        // Once it is ended, nothing can be sent any more.
        while stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(50), asking).await.expect("it is dropped");
    assert_eq!(send(world.request(Method::GET, "/login")).await.status, 200, "others are served");
    world.finish().await;
}

#[tokio::test]
async fn who_invents_a_cookie_or_a_token_is_a_stranger_before_anything_is_done_for_him() {
    let world = World::starting(guarded(|guards| guards.requests_per_network = 4)).await;
    let ann = world.customer("ann", "0").await;
    let (cookie, _) = browser(&world, &ann).await;
    world.advance(chrono::TimeDelta::minutes(2));
    let from = |method: Method, path: &str| world.request(method, path).header("x-forwarded-for", "198.51.100.7");
    let forgot = async |number: usize| {
        let request = from(Method::POST, "/api/v1/auth/forgot-password").bearer_auth("invented");
        send(request.json(&json!({ "email": format!("person-{number}@example.org") }))).await.status
    };
    for number in 0..2 {
        assert_eq!(forgot(number).await, 202);
        let page = send(from(Method::GET, "/login").header("cookie", "session=invented")).await;
        assert_eq!(page.status, 200);
    }
    let before = world.count("select count(*) from login_limits").await;
    assert_eq!(forgot(2).await, 429);
    let login = json!({ "email": "ann@example.org", "password": "wrong password" });
    let login = from(Method::POST, "/api/v1/auth/login").bearer_auth("invented").json(&login);
    let refused = send(login).await;
    assert_eq!((refused.status, refused.kind.as_str()), (429, "application/problem+json"));
    assert_eq!(send(from(Method::GET, "/login").header("cookie", "session=invented")).await.status, 429);
    assert_eq!(world.count("select count(*) from login_limits").await, before, "nothing was done for them");
    // Whoever is logged in there looks on, and acts as a stranger where strangers act.
    assert_eq!(send(from(Method::GET, "/").header("cookie", &cookie)).await.location, "/vms");
    let token = world.token(&ann).await;
    assert_eq!(send(from(Method::GET, "/api/v1/openapi.json").bearer_auth(token)).await.status, 200);
    let forgot = from(Method::POST, "/api/v1/auth/forgot-password").header("cookie", &cookie);
    assert_eq!(send(forgot.json(&json!({ "email": "ann@example.org" }))).await.status, 429);
    world.finish().await;
}

#[tokio::test]
async fn so_many_accounts_are_opened_from_one_network_and_its_neighbours_open_theirs() {
    let world = World::new().await;
    let register = async |number: usize, address: &str| {
        let email = format!("person-{number}@example.org");
        let body = json!({ "email": email, "name": "Somebody", "password": PASSWORD });
        let request = world.request(Method::POST, "/api/v1/auth/register").header("x-forwarded-for", address);
        send(request.json(&body)).await
    };
    for number in 0..20 {
        register(number, &format!("198.51.100.{number}")).await.expect(201);
    }
    let refused = register(20, "198.51.100.77").await.problem(429);
    assert!(refused["detail"].as_str().unwrap().contains("Many accounts"), "{refused}");
    register(21, "198.51.101.1").await.expect(201);
    world.advance(chrono::TimeDelta::minutes(6));
    register(22, "198.51.100.77").await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn a_person_may_ask_so_often_with_a_browser_and_as_staff() {
    let world = World::starting(guarded(|guards| guards.requests_per_person = 3)).await;
    let (admin, ann) = (world.admin().await, world.customer("ann", "0").await);
    let (cookie, _) = browser(&world, &ann).await;
    let (other, _) = browser(&world, &ann).await;
    let look = async |cookie: &str| world.request(Method::GET, "/vms").header("cookie", cookie).send().await.unwrap();
    for _ in 0..3 {
        assert_eq!(look(&cookie).await.status(), 200);
    }
    for cookie in [&cookie, &other] {
        let refused = look(cookie).await;
        assert_eq!((refused.status().as_u16(), value(&refused, "retry-after").as_str()), (429, "20"));
    }
    for _ in 0..3 {
        world.get(&admin, "/admin/staff").await.expect(200);
    }
    world.get(&admin, "/admin/staff").await.problem(429);
    world.advance(chrono::TimeDelta::seconds(20));
    assert_eq!(look(&other).await.status(), 200, "who waited is let through");
    world.get(&admin, "/admin/staff").await.expect(200);
    world.finish().await;
}
