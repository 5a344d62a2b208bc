//! Drives and network cards as they stand in a config: what is in the text, and how it is printed again. Volumes are
//! allocated elsewhere.

use std::collections::BTreeMap;

use rand::RngExt as _;

use super::guest::Config;

/// First half of generated MAC addresses, Proxmox's own prefix.
const MAC_PREFIX: [u8; 3] = [0xBC, 0x24, 0x11];

/// A drive: the volume id (or `none`), and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    pub(crate) file: String,
    pub(crate) options: BTreeMap<String, String>,
}

impl Drive {
    /// Reads a stored or checked drive string.
    pub(crate) fn parse(text: &str) -> Self {
        let mut drive = Self { file: String::new(), options: BTreeMap::new() };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("file" | "volume", value)) => drive.file = value.to_owned(),
                Some((key, value)) => {
                    drive.options.insert(key.to_owned(), value.to_owned());
                }
                None => drive.file = part.to_owned(),
            }
        }
        drive
    }

    /// The volume first, then the options sorted, as Proxmox prints them.
    pub(crate) fn print(&self) -> String {
        let options = self.options.iter().map(|(key, value)| format!("{key}={value}"));
        std::iter::once(self.file.clone()).chain(options).collect::<Vec<_>>().join(",")
    }

    /// A CD drive, including a cloud-init drive?
    pub(crate) fn is_cdrom(&self) -> bool {
        self.options.get("media").map(String::as_str) == Some("cdrom")
    }

    /// A cloud-init drive?
    pub(crate) fn is_cloud_init(&self) -> bool {
        self.is_cdrom() && self.file.contains("-cloudinit")
    }

    /// Does it name a volume, not `none`, `cdrom` or a path?
    pub(crate) fn volume_id(&self) -> Option<&str> {
        let names_volume = self.file.contains(':') && !self.file.starts_with('/');
        names_volume.then_some(self.file.as_str())
    }
}

/// Is `option` a drive key, such as `scsi0`?
pub(crate) fn is_drive_key(option: &str) -> bool {
    let family = option.trim_end_matches(|last: char| last.is_ascii_digit());
    let indexed = matches!(family, "ide" | "sata" | "scsi" | "virtio") && family.len() < option.len();
    indexed || matches!(option, "efidisk0" | "tpmstate0")
}

/// Is `option` a detached volume, such as `unused0`?
pub(crate) fn is_unused_key(option: &str) -> bool {
    option.strip_prefix("unused").is_some_and(|index| index.parse::<u8>().is_ok())
}

/// Is `option` a network card, such as `net0`?
pub(crate) fn is_network_key(option: &str) -> bool {
    option.strip_prefix("net").is_some_and(|index| index.parse::<u8>().is_ok())
}

/// The drives of a config in order of their keys.
pub(crate) fn drives(config: &Config) -> Vec<(String, Drive)> {
    let drives = config.values.iter().filter(|(option, _)| is_drive_key(option));
    drives.map(|(option, text)| (option.clone(), Drive::parse(text))).collect()
}

/// The size in bytes of the disk a config boots from.
pub(crate) fn boot_disk_size(config: &Config) -> u64 {
    let order = config.get("boot").and_then(|boot| boot.strip_prefix("order=")).unwrap_or_default();
    let is_disk = |option: &&str| config.get(option).is_some_and(|text| !Drive::parse(text).is_cdrom());
    let first = order.split(';').find(is_disk);
    let first = first.or_else(|| ["scsi0", "virtio0", "sata0", "ide0"].into_iter().find(is_disk));
    first
        .and_then(|option| config.get(option))
        .and_then(|text| Drive::parse(text).options.get("size").and_then(|size| super::sizes::parse(size)))
        .unwrap_or(0)
}

/// The MAC address in a stored network card.
pub(crate) fn mac_address(text: &str) -> Option<&str> {
    let (_, mac) = text.split(',').next()?.split_once('=')?;
    (mac.len() == 17).then_some(mac)
}

/// A network card's option, such as `bridge`.
pub(crate) fn network_option<'a>(text: &'a str, option: &str) -> Option<&'a str> {
    text.split(',').find_map(|part| part.split_once('=').filter(|(key, _)| *key == option).map(|(_, value)| value))
}

/// The same card with another MAC address.
pub(crate) fn with_new_mac(text: &str) -> String {
    match mac_address(text) {
        Some(mac) => text.replacen(mac, &new_mac(), 1),
        None => text.to_owned(),
    }
}

/// A random address with Proxmox's prefix.
pub(crate) fn new_mac() -> String {
    let random: [u8; 3] = rand::rng().random();
    let octets = MAC_PREFIX.iter().chain(&random).map(|octet| format!("{octet:02X}"));
    octets.collect::<Vec<_>>().join(":")
}

/// A random UUID, version 4.
pub(crate) fn new_uuid() -> String {
    uuid::Builder::from_random_bytes(rand::rng().random()).into_uuid().to_string()
}
