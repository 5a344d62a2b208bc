//! The second factor at every door that asks for one: at the login, where it is demanded, and before what is dangerous.

pub mod browser;
mod confirm;
mod demand;
mod device;
mod login;
mod lost;
mod mails;
mod passkeys;
mod recovery;

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Customer, PASSWORD, World, send, text};

/// The app on a person's phone.
pub struct Phone(totp_rs::Totp);

impl Phone {
    /// Scans a secret in base 32, as it is shown or answered.
    pub fn scans(secret: &str) -> Self {
        let secret: String = secret.chars().filter(|c| !c.is_whitespace()).collect();
        let secret = totp_rs::Secret::try_from_base32(&secret).unwrap();
        Self(totp_rs::Builder::new().with_secret(secret).build().unwrap())
    }

    /// What it shows some seconds from now.
    pub fn shows_in(&self, world: &World, seconds: i64) -> String {
        self.0.generate(u64::try_from(world.now().timestamp() + seconds).unwrap()).to_string()
    }

    /// What it shows now.
    pub fn shows(&self, world: &World) -> String {
        self.shows_in(world, 0)
    }
}

/// Sets up an app through the API. Answers with it and with the recovery codes. Half a minute passes, so that the next code
/// is another one.
pub async fn with_app(world: &World, customer: &Customer) -> (Phone, Vec<String>) {
    let setup = world.post(customer, "/auth/totp", &json!({})).await.expect(201);
    let phone = Phone::scans(text(&setup, "/secret"));
    let confirmed =
        world.post(customer, "/auth/totp/confirm", &json!({ "code": phone.shows(world) })).await.expect(200);
    let codes = confirmed["recovery_codes"].as_array().unwrap();
    world.advance(chrono::TimeDelta::seconds(30));
    (phone, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

/// The first step of a login through the API.
pub async fn password(world: &World, customer: &Customer) -> Answer {
    say(world, "login", &json!({ "email": customer.user.email, "password": PASSWORD })).await
}

/// The token of a login that waits for its second factor.
pub async fn pending(world: &World, customer: &Customer) -> String {
    text(&password(world, customer).await.expect(202), "/pending_token").to_owned()
}

/// The second step.
pub async fn code(world: &World, pending: &str, code: &str) -> Answer {
    say(world, "login/code", &json!({ "pending_token": pending, "code": code })).await
}

async fn say(world: &World, path: &str, body: &Value) -> Answer {
    send(world.request(Method::POST, &format!("/api/v1/auth/{path}")).json(body)).await
}
