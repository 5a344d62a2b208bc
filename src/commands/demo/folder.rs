//! The folder of a demo: what is in it, who may read it, and that only one demo uses it at a time.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use billing::Money;
use chrono::{DateTime, Utc};
use proxmox_simulator::{Identity, Simulator};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ADMIN_EMAIL, CUSTOMER_CREDIT, CUSTOMER_EMAIL};
use crate::commands::create_admin::generate_password;
use crate::config::{self, Guards, Settings, Vault};
use crate::mail::Mailer;

/// How often anybody may ask a demo.
const REQUESTS_PER_MINUTE: u32 = 1_000_000;

/// The folder, locked for this process.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held as long as the demo runs.
    _lock: Arc<File>,
}

/// The simulated cluster as it was saved.
#[derive(Deserialize)]
pub(super) struct SavedSimulator {
    pub token: String,
    pub address: SocketAddr,
    pub certificate_pem: String,
    pub key_pem: String,
    pub state: Value,
}

impl Folder {
    pub fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = path.map_or_else(default_path, Ok)?;
        if !path.exists() {
            std::fs::create_dir_all(&path)
                .with_context(|| format!("{} cannot be made: choose another folder with --data", path.display()))?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700))?;
        }
        let path = path.canonicalize()?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("{} cannot be used: choose another folder with --data", path.display()))?;
        if lock.try_lock().is_err() {
            bail!("another demo is using {}: stop it first, or choose another folder with --data", path.display());
        }
        Ok(Self { path, _lock: Arc::new(lock) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that is logged goes into a file: the terminal is for people.
    pub fn log_into_file(&self) -> anyhow::Result<()> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path.join("log"))?;
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        // Set before only in tests, which have a log of their own.
        let _ =
            tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Arc::new(file)).try_init();
        Ok(())
    }

    pub fn write_demo_json(
        &self,
        url: &str,
        secrets: &Secrets,
        simulator: &Simulator,
        database_url: &str,
    ) -> anyhow::Result<()> {
        let content = json!({
            "url": url,
            "admin": { "email": ADMIN_EMAIL, "password": secrets.admin_password.expose_secret() },
            "customer": { "email": CUSTOMER_EMAIL, "password": secrets.customer_password.expose_secret() },
            "simulator": { "url": simulator.url(), "token": simulator.token(), "fingerprint": simulator.fingerprint() },
            "database_url": database_url,
        });
        self.write("demo.json", serde_json::to_string_pretty(&content)?.as_bytes())
    }

    pub fn save_clock(&self, now: DateTime<Utc>) {
        self.save("clock", now.to_rfc3339().as_bytes());
    }

    pub fn saved_clock(&self) -> Option<DateTime<Utc>> {
        let text = std::fs::read_to_string(self.path.join("clock")).ok()?;
        DateTime::parse_from_rfc3339(text.trim()).ok().map(|time| time.to_utc())
    }

    pub fn save_simulator(&self, simulator: &Simulator) {
        let Identity { certificate_pem, key_pem } = simulator.identity();
        let content = json!({
            "token": simulator.token(), "address": simulator.address(), "certificate_pem": certificate_pem, "key_pem": key_pem,
            "state": simulator.snapshot(),
        });
        self.save("simulator.json", content.to_string().as_bytes());
    }

    pub fn saved_simulator(&self) -> anyhow::Result<Option<SavedSimulator>> {
        let path = self.path.join("simulator.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)?;
        Ok(Some(
            serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged: remove the folder to begin anew", path.display()))?,
        ))
    }

    fn save(&self, name: &str, content: &[u8]) {
        if let Err(error) = self.write(name, content) {
            tracing::error!(name, error = ?error, "a file of the demo could not be written");
        }
    }

    /// Writes a file that only its owner may read, whole or not at all.
    fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let draft = self.path.join(format!("{name}.new"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        std::fs::rename(&draft, self.path.join(name))?;
        Ok(())
    }
}

/// Where a demo lives when nobody says otherwise. PostgreSQL's user must be able to get there, so never below root's home.
fn default_path() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/uni-manager-demo/default".into());
    }
    if let Some(state) = std::env::var_os("XDG_STATE_HOME").filter(|state| !state.is_empty()) {
        return Ok(PathBuf::from(state).join("uni-manager-demo"));
    }
    let home = std::env::var_os("HOME").context("HOME is not set: choose a folder with --data")?;
    Ok(PathBuf::from(home).join(".local/state/uni-manager-demo"))
}

/// The secrets of a demo, made once.
#[derive(Debug)]
pub(super) struct Secrets {
    secret_key: SecretString,
    token_key: SecretString,
    pub admin_password: SecretString,
    pub customer_password: SecretString,
}

#[derive(Serialize, Deserialize)]
struct StoredSecrets {
    secret_key: String,
    token_key: String,
    admin_password: String,
    customer_password: String,
}

impl Secrets {
    pub fn load_or_make(folder: &Folder) -> anyhow::Result<Self> {
        let path = folder.path.join("secrets.json");
        let stored = if path.exists() {
            serde_json::from_str(&std::fs::read_to_string(&path)?)
                .with_context(|| format!("{} is damaged: remove the folder to begin anew", path.display()))?
        } else {
            let mut token_key = [0_u8; 32];
            rand::rng().fill_bytes(&mut token_key);
            let stored = StoredSecrets {
                secret_key: Vault::generate_key().expose_secret().to_owned(),
                token_key: token_key.iter().map(|byte| format!("{byte:02x}")).collect(),
                admin_password: generate_password().expose_secret().to_owned(),
                customer_password: generate_password().expose_secret().to_owned(),
            };
            folder.write("secrets.json", serde_json::to_string_pretty(&stored)?.as_bytes())?;
            stored
        };
        Ok(Self {
            secret_key: stored.secret_key.into(),
            token_key: config::token_key(stored.token_key)?,
            admin_password: stored.admin_password.into(),
            customer_password: stored.customer_password.into(),
        })
    }

    /// The settings of the demo.
    pub fn settings(&self, public_url: &str) -> anyhow::Result<Settings> {
        Ok(Settings {
            public_url: public_url.to_owned(),
            // One person tries everything at once here, and so do the programs that test it.
            guards: Guards {
                requests_per_key: REQUESTS_PER_MINUTE,
                requests_per_network: REQUESTS_PER_MINUTE,
                requests_per_person: REQUESTS_PER_MINUTE,
                ..Guards::default()
            },
            currency: "EUR".into(),
            time_zone: chrono_tz::UTC,
            sign_up_credit: CUSTOMER_CREDIT.parse::<Money>()?,
            registration_open: true,
            credit_contact: "In this demo the admin adds credit: log in as admin, open Customers and choose yours."
                .into(),
            vault: Vault::from_keys(&self.secret_key)?,
            token_key: self.token_key.clone(),
            mailer: Mailer::Kept,
            oidc: None,
            demo: true,
            charging_workers: config::charging_workers(),
        })
    }
}
