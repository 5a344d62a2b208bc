//! Every setting, read once from the environment, checked, and redacted when printed. `uni-manager serve --help` lists them.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use billing::Money;
use chrono_tz::Tz;
use fernet::{Fernet, MultiFernet};
use secrecy::{ExposeSecret, SecretString};

use crate::mail::Mailer;
use crate::network::Network;
use crate::oidc::Provider;

/// The shortest token key that is accepted, in bytes: HMAC-SHA-256 is as strong as its key up to 32.
const TOKEN_KEY_BYTES_MIN: usize = 32;

/// The most batches of wallets that one process charges side by side. Each takes a connection to the database.
pub const CHARGING_WORKERS_MAX: usize = 16;

/// As many batches side by side as the machine has cores.
#[must_use]
pub fn charging_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(CHARGING_WORKERS_MAX)
}

/// What stands between the door for requests and whoever knocks.
#[derive(Debug, Clone)]
pub struct Guards {
    /// Hosts that are answered besides that of the public URL, with a port where it is not the usual one.
    pub hosts: Vec<String>,
    /// Proxies that are believed when they say where a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// Origins of other sites whose pages may use the API.
    pub cors_origins: Vec<String>,
    /// Requests a minute of one API key.
    pub requests_per_key: u32,
    /// Requests a minute of those in one network who are not known.
    pub requests_per_network: u32,
    /// Requests a minute of one person who is logged in with a browser, or works for the platform.
    pub requests_per_person: u32,
    /// How long anybody is waited for.
    pub patience: Patience,
}

/// How long the other side of a connection is waited for. Consoles and the stream of changes have limits of their own.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long the head of a request may take, and how long a connection may be idle between two.
    pub head: Duration,
    /// How long a body may pause.
    pub body: Duration,
    /// How long a request may take, from its head to its answer. Nothing a request does waits for Proxmox, except the test of
    /// a connection and the opening of a console.
    pub answer: Duration,
    /// How long the other side may take nothing of what it is sent.
    pub send: Duration,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            trusted_proxies: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
            cors_origins: Vec::new(),
            requests_per_key: 300,
            requests_per_network: 300,
            requests_per_person: 600,
            patience: Patience::default(),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            send: Duration::from_secs(60),
        }
    }
}

/// Settings of a running platform.
#[derive(Debug)]
pub struct Settings {
    /// Where browsers reach us, without a trailing slash: `https://panel.example.org`.
    pub public_url: String,
    /// ISO 4217 code of the platform's one currency.
    pub currency: String,
    /// The time zone whose months are billing months.
    pub time_zone: Tz,
    /// Given to every new organisation.
    pub sign_up_credit: Money,
    /// Whether strangers may register.
    pub registration_open: bool,
    /// Where a customer turns for credit, as a sentence.
    pub credit_contact: String,
    /// Encrypts cluster secrets.
    pub vault: Vault,
    /// Signs access tokens.
    pub token_key: SecretString,
    /// Where mails go.
    pub mailer: Mailer,
    /// With accounts of whom people may log in besides, if of anybody.
    pub oidc: Option<Provider>,
    /// What guards the door for requests.
    pub guards: Guards,
    /// Says that the books run on a demo clock, so that pages can show it.
    pub demo: bool,
    /// How many batches of wallets are charged side by side in this process, at most [`CHARGING_WORKERS_MAX`].
    pub charging_workers: usize,
}

impl Settings {
    /// Whether cookies may insist on HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// Checks a token key.
///
/// # Errors
/// When it is shorter than 32 bytes.
pub fn token_key(text: String) -> anyhow::Result<SecretString> {
    if text.len() < TOKEN_KEY_BYTES_MIN {
        bail!("the token key needs at least {TOKEN_KEY_BYTES_MIN} characters; `openssl rand -hex 32` makes one");
    }
    Ok(SecretString::from(text))
}

/// Encrypts and decrypts secrets with Fernet. The first key encrypts; all keys decrypt, so that keys can be replaced.
pub struct Vault {
    all: MultiFernet,
    newest: MultiFernet,
}

impl Vault {
    /// Reads keys separated by commas, newest first.
    ///
    /// # Errors
    /// When there is none, or one is not a Fernet key (32 bytes in URL-safe base64).
    pub fn from_keys(keys: &SecretString) -> anyhow::Result<Self> {
        let keys = keys
            .expose_secret()
            .split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .enumerate()
            .map(|(index, key)| {
                Fernet::new(key).with_context(|| {
                    format!("secret key {} is not a Fernet key (32 bytes in URL-safe base64)", index + 1)
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let Some(newest) = keys.first().cloned() else { bail!("no secret key is set") };
        Ok(Self { all: MultiFernet::new(keys), newest: MultiFernet::new(vec![newest]) })
    }

    /// A fresh Fernet key, for a new installation.
    #[must_use]
    pub fn generate_key() -> SecretString {
        SecretString::from(Fernet::generate_key())
    }

    /// Encrypts a secret for the database.
    #[must_use]
    pub fn encrypt(&self, secret: &SecretString) -> String {
        self.newest.encrypt(secret.expose_secret().as_bytes())
    }

    /// Decrypts what [`Vault::encrypt`] made.
    ///
    /// # Errors
    /// When no key fits, or the text was tampered with.
    pub fn decrypt(&self, text: &str) -> anyhow::Result<SecretString> {
        let bytes = self
            .all
            .decrypt(text)
            .ok()
            .context("a stored secret cannot be decrypted with the secret keys that are set")?;
        Ok(SecretString::from(String::from_utf8(bytes).context("a stored secret is not text")?))
    }

    /// Whether the newest key encrypted this.
    #[must_use]
    pub fn is_newest(&self, text: &str) -> bool {
        self.newest.decrypt(text).is_ok()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_key_still_decrypts_and_a_stranger_does_not() {
        let old = Vault::generate_key();
        let new = Vault::generate_key();
        let written = Vault::from_keys(&old).unwrap().encrypt(&SecretString::from("token"));

        let both = SecretString::from(format!("{},{}", new.expose_secret(), old.expose_secret()));

        assert_eq!(Vault::from_keys(&both).unwrap().decrypt(&written).unwrap().expose_secret(), "token");
        assert!(Vault::from_keys(&new).unwrap().decrypt(&written).is_err());
    }

    #[test]
    fn a_vault_shows_no_key() {
        let key = Vault::generate_key();
        let vault = Vault::from_keys(&key).unwrap();

        assert!(!format!("{vault:?}").contains(key.expose_secret()));
    }
}
