//! Reading a virtual machine's configuration. Changing it is in `config_change.rs`: what was read
//! is never written back as a whole, for passwords are masked in it and sizes go stale.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::Client;
use crate::cloud_init::{IpConfig, decode_ssh_keys};
use crate::devices::{AgentOption, Disk, NetworkDevice, Smbios1};
use crate::error::Error;
use crate::lenient::{as_text, as_u32, as_u64, word_as_bool};
use crate::property_string::PropertyString;
use crate::request::{Parameters, vm_path};
use crate::tags::Tags;

/// Proxmox' own memory size where none is set.
const DEFAULT_MEMORY_MIB: u64 = 512;

/// The configuration of a virtual machine, changes not yet in force included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmConfig {
    /// The name; missing when none is set.
    pub name: Option<String>,
    /// Cores per socket; 1 when not set.
    pub cores: u32,
    /// Sockets; 1 when not set.
    pub sockets: u32,
    /// Memory in MiB; 512 when not set.
    pub memory_mib: u64,
    /// The network devices by their number (`net0` is 0).
    pub nets: BTreeMap<u8, NetworkDevice>,
    /// Disks and CD drives by their option (`scsi0`, `ide2`). Detached ones (`unusedN`) are only in
    /// `raw`.
    pub disks: BTreeMap<String, Disk>,
    /// The tags.
    pub tags: Tags,
    /// The description; may have several lines.
    pub description: Option<String>,
    /// The SMBIOS identity.
    pub smbios1: Option<Smbios1>,
    /// The guest agent's option.
    pub agent: Option<AgentOption>,
    /// Whether it starts with the node.
    pub on_boot: bool,
    /// Whether it is protected against removal.
    pub protection: bool,
    /// Whether it is a template.
    pub template: bool,
    /// The configuration lock, such as `clone` or `backup`.
    pub lock: Option<String>,
    /// The state of the configuration, to be sent with a change that depends on it.
    pub digest: Option<String>,
    /// cloud-init: the user.
    pub ci_user: Option<String>,
    /// cloud-init: whether a password is set. Proxmox never shows it.
    pub has_ci_password: bool,
    /// cloud-init: the SSH keys.
    pub ssh_keys: Vec<String>,
    /// cloud-init: addresses by the number of the network device.
    pub ip_configs: BTreeMap<u8, IpConfig>,
    /// cloud-init: name servers.
    pub name_servers: Vec<String>,
    /// cloud-init: the search domain.
    pub search_domain: Option<String>,
    /// Every option as text, as Proxmox gave it.
    pub raw: BTreeMap<String, String>,
}

impl VmConfig {
    /// Reads the `data` of a configuration.
    fn read(data: BTreeMap<String, Value>) -> Result<Self, String> {
        let raw: BTreeMap<String, String> =
            data.iter().filter_map(|(key, value)| as_text(value).map(|text| (key.clone(), text))).collect();
        let text = |key: &str| raw.get(key).filter(|text| !text.is_empty()).cloned();
        let flag = |key: &str| raw.get(key).and_then(|text| word_as_bool(text)) == Some(true);
        let count = |key: &str| match data.get(key) {
            None | Some(Value::Null) => Ok(1),
            Some(value) => as_u32(value).ok_or_else(|| wrong(key, "not a number")),
        };
        let mut config = Self {
            name: text("name"),
            cores: count("cores")?,
            sockets: count("sockets")?,
            memory_mib: memory(raw.get("memory"))?,
            nets: BTreeMap::new(),
            disks: BTreeMap::new(),
            tags: raw.get("tags").map(|tags| Tags::parse(tags)).unwrap_or_default(),
            description: text("description"),
            smbios1: parsed(&raw, "smbios1", Smbios1::parse)?,
            agent: parsed(&raw, "agent", AgentOption::parse)?,
            on_boot: flag("onboot"),
            protection: flag("protection"),
            template: flag("template"),
            lock: text("lock"),
            digest: text("digest"),
            ci_user: text("ciuser"),
            has_ci_password: raw.contains_key("cipassword"),
            ssh_keys: raw.get("sshkeys").map(|keys| decode_ssh_keys(keys)).unwrap_or_default(),
            ip_configs: BTreeMap::new(),
            name_servers: words(raw.get("nameserver")),
            search_domain: text("searchdomain"),
            raw: BTreeMap::new(),
        };
        for (key, value) in &raw {
            if let Some(number) = index(key, "net") {
                let device = NetworkDevice::parse(value).map_err(|error| wrong(key, error))?;
                config.nets.insert(number, device);
            } else if let Some(number) = index(key, "ipconfig") {
                let addresses = value.parse().map_err(|error| wrong(key, error))?;
                config.ip_configs.insert(number, addresses);
            } else if is_disk(key) {
                let disk = Disk::parse(value).map_err(|error| wrong(key, error))?;
                config.disks.insert(key.clone(), disk);
            }
        }
        config.raw = raw;
        Ok(config)
    }
}

fn wrong(key: &str, error: impl std::fmt::Display) -> String {
    format!("{key}: {error}")
}

fn parsed<T, E: std::fmt::Display>(
    raw: &BTreeMap<String, String>,
    key: &str,
    parse: fn(&str) -> Result<T, E>,
) -> Result<Option<T>, String> {
    raw.get(key).map(|text| parse(text).map_err(|error| wrong(key, error))).transpose()
}

/// A plain number until 8.0, a property string with the key `current` since.
fn memory(option: Option<&String>) -> Result<u64, String> {
    let Some(text) = option else {
        return Ok(DEFAULT_MEMORY_MIB);
    };
    let properties = PropertyString::parse_with_default(text, "current").map_err(|error| wrong("memory", error))?;
    match properties.get("current") {
        None => Ok(DEFAULT_MEMORY_MIB),
        Some(number) => as_u64(&Value::from(number)).ok_or_else(|| wrong("memory", "not a number")),
    }
}

fn words(option: Option<&String>) -> Vec<String> {
    option
        .map(|text| text.split([' ', ',', ';']))
        .into_iter()
        .flatten()
        .filter(|word| !word.is_empty())
        .map(String::from)
        .collect()
}

/// The number behind `prefix`, if that is all the key has.
fn index(key: &str, prefix: &str) -> Option<u8> {
    let digits = key.strip_prefix(prefix)?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

fn is_disk(key: &str) -> bool {
    ["ide", "sata", "scsi", "virtio", "efidisk", "tpmstate"].iter().any(|bus| index(key, bus).is_some())
}

impl<'de> serde::Deserialize<'de> for VmConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(BTreeMap::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/config`. Needs VM.Audit on `/vms/{vmid}`. Changes that wait
    /// for a restart are included. Refused with [`crate::Refusal::is_missing_guest`] when the
    /// machine is not on that node.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let config = client.vm_config("pve1", 101).await?;
    /// println!("{} cores, {} MiB", config.cores, config.memory_mib);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn vm_config(&self, node: &str, vmid: u32) -> Result<VmConfig, Error> {
        self.get(vm_path(node, vmid, "/config")?, Parameters::new()).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::VmConfig;

    #[test]
    fn defaults_and_both_notations_of_memory() {
        let empty: VmConfig = serde_json::from_value(json!({})).unwrap();
        assert_eq!((empty.cores, empty.sockets, empty.memory_mib), (1, 1, 512));
        for value in [json!(2048), json!("2048"), json!("current=2048")] {
            let config: VmConfig = serde_json::from_value(json!({ "memory": value })).unwrap();
            assert_eq!(config.memory_mib, 2048);
        }
        assert!(serde_json::from_value::<VmConfig>(json!({"memory": "lots"})).is_err());
        assert!(serde_json::from_value::<VmConfig>(json!({"cores": "x"})).is_err());
    }

    #[test]
    fn only_devices_are_taken_for_devices() {
        let config: VmConfig = serde_json::from_value(json!({
            "scsihw": "virtio-scsi-pci", "scsi0": "a:b,size=1G", "scsi30": "a:c", "ide2": "none,media=cdrom",
            "efidisk0": "a:d", "unused0": "a:e", "virtiofs0": "x", "netx": "y", "net1": "virtio,bridge=b",
            "onboot": "1", "template": 1, "protection": true, "agent": 1, "lock": "backup", "kvm": 0,
        }))
        .unwrap();
        let disks: Vec<&str> = config.disks.keys().map(String::as_str).collect();
        assert_eq!(disks, ["efidisk0", "ide2", "scsi0", "scsi30"]);
        assert_eq!(config.nets.keys().copied().collect::<Vec<_>>(), [1]);
        assert!(config.on_boot && config.template && config.protection);
        assert!(config.agent.unwrap().enabled());
        assert_eq!(config.lock.as_deref(), Some("backup"));
        assert_eq!(config.raw["kvm"], "0");
    }
}
