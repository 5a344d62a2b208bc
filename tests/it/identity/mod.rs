//! Proving who one is: addresses that are confirmed, passwords that are forgotten, logins that are listed and ended, keys that
//! sign, and strangers who try.

mod logins;
mod recovery;
mod sessions;
mod tokens;
mod verification;

use std::net::{IpAddr, Ipv4Addr};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::world::{Answer, PASSWORD, World, send};

/// Says something to `/api/v1/auth`.
async fn say(world: &World, path: &str, body: &Value) -> Answer {
    send(world.request(Method::POST, &format!("/api/v1/auth/{path}")).json(body)).await
}

/// What a login sends.
fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

/// Who an access token belongs to.
async fn me(world: &World, access: &str) -> Answer {
    send(world.request(Method::GET, "/api/v1/auth/me").bearer_auth(access)).await
}

/// Registers somebody through the API and leaves his address as it is: not confirmed.
async fn register(world: &World, name: &str) -> Value {
    let email = format!("{name}@example.org");
    say(world, "register", &json!({ "email": email, "name": name, "password": PASSWORD })).await.expect(201)
}

/// A client whose connections come from this address of the loopback network.
fn client_from(address: Ipv4Addr) -> Client {
    let none = reqwest::redirect::Policy::none();
    Client::builder().local_address(IpAddr::V4(address)).redirect(none).no_proxy().build().unwrap()
}

/// Tries to log in from there.
async fn try_from(world: &World, client: &Client, email: &str, password: &str) -> Answer {
    send(client.post(format!("{}/api/v1/auth/login", world.url)).json(&credentials(email, password))).await
}

/// How often the log has an event.
async fn times(world: &World, event: &str) -> usize {
    world.events().await.iter().filter(|known| *known == event).count()
}
