//! Streams of changes: they end with what opened them, and nobody holds all of them.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::json;

use crate::doors::browser;
use crate::organisations::{ask, member};
use crate::world::{Customer, World, send};

/// Somebody's page that hears of changes.
async fn listening(world: &World, who: &Customer) -> (Response, String, String) {
    let (cookie, csrf) = browser(world, who).await;
    let mut stream = world.request(Method::GET, "/live").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    // The first word proves that it is listening.
    let first = async {
        loop {
            world.credit(who, "1").await;
            if tokio::time::timeout(Duration::from_millis(300), stream.chunk()).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), first).await.unwrap();
    (stream, cookie, csrf)
}

async fn ends(mut stream: Response, what: &str) {
    let end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), end).await.unwrap_or_else(|_| panic!("{what} ends no stream"));
}

#[tokio::test]
async fn a_stream_ends_with_the_login_and_with_the_place_in_the_organisation() {
    let world = World::new().await;
    let hub = tokio::spawn(world.app.hub.clone().listen(world.app.pool.clone()));
    let ann = world.customer("ann", "0").await;
    let bob = member(&world, "bob", ann.organisation, "billing").await;
    let post = async |path: &str, cookie: &str, csrf: &str| {
        let request = world.request(Method::POST, path).header("cookie", cookie);
        assert_eq!(send(request.form(&[("csrf", csrf)])).await.status, 303, "{path}");
    };

    let (stream, cookie, csrf) = listening(&world, &bob).await;
    post("/logout", &cookie, &csrf).await;
    ends(stream, "logging out").await;

    let (stream, cookie, csrf) = listening(&world, &bob).await;
    post("/account/sessions/end", &cookie, &csrf).await;
    ends(stream, "logging out everywhere").await;

    let (stream, ..) = listening(&world, &bob).await;
    let session = world.text("select id::text from sessions order by created_at desc, id desc limit 1").await;
    assert_eq!(world.delete(&bob, &format!("/account/sessions/{session}")).await.status, 204);
    ends(stream, "ending one login").await;

    let (stream, ..) = listening(&world, &bob).await;
    let path = format!("/members/{}", bob.user.id);
    ask(&world, &ann, ann.organisation, "PATCH", &path, &json!({ "role": "viewer" })).await.expect(200);
    ends(stream, "another role").await;

    let (stream, ..) = listening(&world, &bob).await;
    assert_eq!(ask(&world, &ann, ann.organisation, "DELETE", &path, &json!({})).await.status, 204);
    ends(stream, "being removed").await;
    hub.abort();
    world.finish().await;
}
