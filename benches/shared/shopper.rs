//! A customer with an API client: registers, adds a key, orders machines, looks until they run.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::house::Offer;

/// How often a machine is looked at.
const PAUSE: Duration = Duration::from_millis(5);
/// When a machine counts as stuck.
const STUCK: Duration = Duration::from_secs(60);
/// The password of every shopper.
pub const PASSWORD: &str = "a long enough password";
/// A public key; nobody kept the private one.
const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1S+Z3U9qutH5Xp82JYeLBaMBF/z4oE2sNGotOD2gxj bench";

/// A customer.
pub struct Shopper {
    client: Client,
    api: String,
    token: String,
    key: String,
    offer: Offer,
}

impl Shopper {
    /// Registers and adds a key.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn register(address: SocketAddr, number: usize, offer: Offer) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        let api = format!("http://{address}/api/v1");
        let person = json!({ "email": format!("shopper-{number}@example.org"), "name": format!("Shopper {number}"), "password": PASSWORD });
        let tokens = accepted(client.post(format!("{api}/auth/register")).json(&person).send().await?).await?;
        let token = text(&tokens, "/access_token")?;
        let key = json!({ "name": "bench", "public_key": PUBLIC_KEY });
        let key = accepted(client.post(format!("{api}/ssh-keys")).bearer_auth(&token).json(&key).send().await?).await?;
        Ok(Self { key: text(&key, "/id")?, client, api, token, offer })
    }

    /// Orders a machine and answers with its id.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn order(&self, name: &str) -> anyhow::Result<String> {
        let Offer { location, image, plan } = self.offer;
        let order = json!({ "name": name, "location": location, "image": image, "plan": plan, "ssh_keys": [self.key] });
        let answer =
            accepted(self.client.post(format!("{}/vms", self.api)).bearer_auth(&self.token).json(&order).send().await?)
                .await?;
        text(&answer, "/vm/id")
    }

    /// Looks until the machine runs.
    ///
    /// # Errors
    /// When it fails, or does not run within a minute.
    pub async fn until_running(&self, vm: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        while since.elapsed() < STUCK {
            let answer =
                accepted(self.client.get(format!("{}/vms/{vm}", self.api)).bearer_auth(&self.token).send().await?)
                    .await?;
            match answer.pointer("/state").and_then(Value::as_str) {
                Some("running") => return Ok(()),
                Some("provisioning") => tokio::time::sleep(PAUSE).await,
                other => bail!("machine {vm} is {other:?}"),
            }
        }
        bail!("machine {vm} does not run after {STUCK:?}")
    }
}

async fn accepted(response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let body = response.text().await?;
    if !status.is_success() {
        bail!("the API answered {status}: {body}");
    }
    serde_json::from_str(&body).context("the API's answer is not JSON")
}

fn text(answer: &Value, pointer: &str) -> anyhow::Result<String> {
    Ok(answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("the API's answer has no {pointer}"))?
        .to_owned())
}
