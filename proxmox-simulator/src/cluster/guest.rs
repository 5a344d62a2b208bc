//! One VM: its config file, its process, and the lock on its config file. What the calls do to it is in `qemu`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::snapshot::Snapshot;
use crate::clock::Micros;
use crate::qemu::agent_state::Inside;
use crate::schema::{Kind, Schema};

/// A virtual machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Guest {
    /// Its VMID.
    pub vmid: u32,
    /// The node whose config file it is.
    pub node: String,
    /// Its config file.
    pub config: Config,
    /// Its QEMU process, when it runs.
    pub process: Option<Process>,
    /// Its snapshots by name.
    #[serde(default)]
    pub snapshots: BTreeMap<String, Snapshot>,
    /// The cloud-init options in the image the process was started with.
    #[serde(default)]
    pub(crate) cloud_init_image: Option<BTreeMap<String, String>>,
    /// Does it ignore the power button, so that a shutdown runs into its timeout?
    pub ignores_power_button: bool,
    /// What its agent knows of its inside.
    #[serde(default)]
    pub(crate) inside: Inside,
    /// The task that holds the config file's lock.
    #[serde(skip)]
    pub(crate) file_lock: Option<FileLock>,
    /// Tasks that wait for it, first come first served.
    #[serde(skip)]
    pub(crate) waiting: VecDeque<String>,
}

/// Who holds a config file, and until when at the latest.
#[derive(Clone, Debug)]
pub(crate) struct FileLock {
    pub(crate) upid: String,
    pub(crate) until: Micros,
}

/// A QEMU process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Process id on the node.
    pub pid: u32,
    /// When it started, in microseconds since the epoch.
    pub started: Micros,
    /// When the guest system last began to boot: a reset moves it, the process stays.
    pub booted: Micros,
    /// Are its processors stopped?
    pub paused: bool,
    /// Was it started only for a backup, without the guest?
    #[serde(default)]
    pub prelaunch: bool,
}

/// A VM's config file: current values, and changes that wait for the next start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Values in force.
    pub values: BTreeMap<String, String>,
    /// Values that wait for a stop and start.
    pub pending: BTreeMap<String, String>,
    /// Options whose removal waits; the flag says whether data is destroyed with it.
    pub pending_delete: BTreeMap<String, bool>,
}

impl Guest {
    /// A stopped guest.
    pub(crate) fn new(vmid: u32, node: &str, config: Config) -> Self {
        Self {
            vmid,
            node: node.to_owned(),
            config,
            process: None,
            snapshots: BTreeMap::new(),
            cloud_init_image: None,
            ignores_power_button: false,
            inside: Inside::default(),
            file_lock: None,
            waiting: VecDeque::new(),
        }
    }

    /// The password somebody set for a user of the guest through its agent.
    pub fn password_of(&self, user: &str) -> Option<&str> {
        self.inside.passwords.get(user).map(|password| password.0.as_str())
    }

    /// Is it a template?
    pub fn is_template(&self) -> bool {
        self.config.flag("template")
    }

    /// Its name, or `VM 100`.
    pub fn name(&self) -> String {
        self.config.get("name").map_or_else(|| format!("VM {}", self.vmid), str::to_owned)
    }

    /// The config lock, such as `clone` or `backup`.
    pub fn lock(&self) -> Option<&str> {
        self.config.get("lock")
    }

    /// Proxmox's refusal when a config lock stands.
    pub(crate) fn check_lock(&self) -> Result<(), String> {
        match self.lock() {
            Some(lock) => Err(format!("VM is locked ({lock})")),
            None => Ok(()),
        }
    }
}

impl Config {
    /// The value in force of `option`.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.values.get(option).map(String::as_str)
    }

    /// The value `option` will have once pending changes are applied.
    pub fn wanted(&self, option: &str) -> Option<&str> {
        if self.pending_delete.contains_key(option) {
            return None;
        }
        self.pending.get(option).or_else(|| self.values.get(option)).map(String::as_str)
    }

    /// A boolean option, off when unset.
    pub fn flag(&self, option: &str) -> bool {
        self.get(option) == Some("1")
    }

    /// An integer option.
    pub fn number(&self, option: &str) -> Option<u64> {
        self.get(option).and_then(|text| text.parse().ok())
    }

    /// Memory in MiB: `512` or `current=512`.
    pub fn memory_mib(&self) -> u64 {
        let text = self.get("memory").unwrap_or("512");
        text.strip_prefix("current=").unwrap_or(text).parse().unwrap_or(512)
    }

    /// Virtual processors: sockets times cores, or `vcpus`.
    pub fn cpus(&self) -> u64 {
        let all = self.number("sockets").unwrap_or(1) * self.number("cores").unwrap_or(1);
        self.number("vcpus").unwrap_or(all)
    }

    pub(crate) fn set(&mut self, option: &str, value: impl Into<String>) {
        self.values.insert(option.to_owned(), value.into());
    }

    pub(crate) fn remove(&mut self, option: &str) -> Option<String> {
        self.values.remove(option)
    }

    /// Does a change wait for a start or stop?
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pending.is_empty() || !self.pending_delete.is_empty()
    }

    /// Names of everything set or waiting.
    pub(crate) fn options(&self) -> BTreeSet<&String> {
        self.values.keys().chain(self.pending.keys()).collect()
    }

    /// The 40 hex digits that change with every change of the file.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (section, values) in [("", &self.values), ("[PENDING]", &self.pending)] {
            hasher.update(section);
            for (option, value) in values {
                hasher.update(option);
                hasher.update(": ");
                hasher.update(value);
                hasher.update("\n");
            }
        }
        for (option, force) in &self.pending_delete {
            hasher.update(if *force { "delete: !" } else { "delete: " });
            hasher.update(option);
        }
        hasher.finalize().iter().take(20).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// A value as the API shows it: integers and booleans as numbers, the password masked.
    pub(crate) fn shown(schema: &Schema, option: &str, value: &str) -> Value {
        if option == "cipassword" {
            return json!("**********");
        }
        let kind = schema.config_option(option).map(|property| property.kind);
        match (kind, value.parse::<i64>()) {
            (Some(Kind::Integer | Kind::Boolean), Ok(number)) => json!(number),
            _ => json!(value),
        }
    }
}
