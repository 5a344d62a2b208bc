//! Views of the options that describe a guest's parts: network devices, disks, the agent and the
//! SMBIOS identity. They read a property string and keep it whole, so that a caller can change one
//! key and send the rest back unchanged.

use std::str::FromStr;

use crate::lenient::word_as_bool;
use crate::property_string::{PropertyString, PropertyStringError};

/// The network card models of QEMU in Proxmox VE; one of them as a key carries the MAC address.
const MODELS: [&str; 15] = [
    "virtio",
    "e1000",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "e1000e",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "vmxnet3",
    "macaddr",
];

/// A `netN` option, such as `virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1`. A changed option
/// must be sent with its MAC address, or Proxmox gives the guest a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkDevice {
    /// The whole option.
    pub properties: PropertyString,
}

impl NetworkDevice {
    /// Reads the option.
    ///
    /// # Errors
    /// When it is not a property string.
    pub fn parse(text: &str) -> Result<Self, PropertyStringError> {
        Ok(Self { properties: PropertyString::parse_with_default(text, "model")? })
    }

    /// The card's model, such as `virtio`.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.properties.get("model").or_else(|| self.model_and_mac().map(|(model, _)| model))
    }

    /// The MAC address as Proxmox writes it, in capitals.
    #[must_use]
    pub fn mac(&self) -> Option<&str> {
        self.properties.get("macaddr").or_else(|| self.model_and_mac().map(|(_, mac)| mac))
    }

    /// The bridge, such as `vmbr0`.
    #[must_use]
    pub fn bridge(&self) -> Option<&str> {
        self.properties.get("bridge")
    }

    /// The VLAN.
    #[must_use]
    pub fn vlan(&self) -> Option<u16> {
        self.properties.get("tag")?.parse().ok()
    }

    /// Whether firewall rules apply to this device.
    #[must_use]
    pub fn firewall(&self) -> bool {
        self.is_on("firewall")
    }

    /// Whether the cable is pulled.
    #[must_use]
    pub fn link_down(&self) -> bool {
        self.is_on("link_down")
    }

    /// The rate limit in MiB/s, as text because it may be a fraction.
    #[must_use]
    pub fn rate_mib_per_second(&self) -> Option<&str> {
        self.properties.get("rate")
    }

    fn is_on(&self, key: &str) -> bool {
        self.properties.get(key).and_then(word_as_bool) == Some(true)
    }

    fn model_and_mac(&self) -> Option<(&str, &str)> {
        self.properties.iter().find(|(key, _)| *key != "macaddr" && MODELS.contains(key))
    }
}

/// A disk option, such as `local-lvm:vm-101-disk-0,size=32G`. Sending it back carries its `size=`
/// with it, which may be stale after a resize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The whole option.
    pub properties: PropertyString,
}

impl Disk {
    /// Reads the option.
    ///
    /// # Errors
    /// When it is not a property string.
    pub fn parse(text: &str) -> Result<Self, PropertyStringError> {
        Ok(Self { properties: PropertyString::parse_with_default(text, "file")? })
    }

    /// The volume, such as `local-lvm:vm-101-disk-0`; `none` for an empty drive.
    #[must_use]
    pub fn volume(&self) -> Option<&str> {
        self.properties.get("file")
    }

    /// The storage of the volume.
    #[must_use]
    pub fn storage(&self) -> Option<&str> {
        self.volume()?.split_once(':').map(|(storage, _)| storage)
    }

    /// The size as the configuration has it.
    #[must_use]
    pub fn size(&self) -> Option<DiskSize> {
        self.properties.get("size")?.parse().ok()
    }

    /// Whether it is a CD drive. The cloud-init drive is one too.
    #[must_use]
    pub fn is_cdrom(&self) -> bool {
        self.properties.get("media") == Some("cdrom")
    }

    /// Whether it is the cloud-init drive.
    #[must_use]
    pub fn is_cloud_init(&self) -> bool {
        self.volume().is_some_and(|volume| {
            volume.ends_with(":cloudinit")
                || volume
                    .rsplit([':', '/'])
                    .next()
                    .is_some_and(|name| name.starts_with("vm-") && name.contains("-cloudinit"))
        })
    }
}

/// The size of a disk. Proxmox writes `32G`, `528K`, `1.5T` or plain bytes; the units are powers
/// of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskSize(u64);

/// Bytes in one GiB.
const GIB: u64 = 1 << 30;

impl DiskSize {
    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// In GiB, rounded up.
    #[must_use]
    pub fn gib_rounded_up(self) -> u64 {
        self.0.div_ceil(GIB)
    }
}

/// The text is not a disk size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a disk size: '{0}'")]
pub struct DiskSizeError(String);

impl FromStr for DiskSize {
    type Err = DiskSizeError;

    fn from_str(text: &str) -> Result<Self, DiskSizeError> {
        read_size(text).ok_or_else(|| DiskSizeError(String::from(text)))
    }
}

fn read_size(text: &str) -> Option<DiskSize> {
    let (digits, unit) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) => (digits, text.chars().next_back()?),
        None => (text, 'B'),
    };
    let unit: u128 = match unit {
        'K' => 1 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        'T' => 1 << 40,
        _ => 1,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    let fraction = fraction.parse::<u128>().ok()?.checked_mul(unit)? / scale;
    u64::try_from(whole.checked_add(fraction)?).ok().map(DiskSize)
}

/// The `agent` option: `1` or `enabled=1,fstrim_cloned_disks=1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOption {
    /// The whole option.
    pub properties: PropertyString,
}

impl AgentOption {
    /// Reads the option.
    ///
    /// # Errors
    /// When it is not a property string.
    pub fn parse(text: &str) -> Result<Self, PropertyStringError> {
        Ok(Self { properties: PropertyString::parse_with_default(text, "enabled")? })
    }

    /// Whether the guest has an agent device.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.properties.get("enabled").and_then(word_as_bool) == Some(true)
    }
}

/// The `smbios1` option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smbios1 {
    /// The whole option. Other values than the UUID may be base64 (`base64=1`).
    pub properties: PropertyString,
}

impl Smbios1 {
    /// Reads the option.
    ///
    /// # Errors
    /// When it is not a property string.
    pub fn parse(text: &str) -> Result<Self, PropertyStringError> {
        Ok(Self { properties: PropertyString::parse(text)? })
    }

    /// The machine's UUID. A clone gets a new one.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.properties.get("uuid")
    }
}

#[cfg(test)]
mod tests {
    use super::{AgentOption, Disk, DiskSize, NetworkDevice, Smbios1};

    #[test]
    fn a_network_device_in_all_notations() {
        let device = NetworkDevice::parse("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,rate=12.5,tag=7").unwrap();
        assert_eq!(device.model(), Some("virtio"));
        assert_eq!(device.mac(), Some("BC:24:11:00:00:01"));
        assert_eq!(device.bridge(), Some("vmbr0"));
        assert_eq!(device.vlan(), Some(7));
        assert_eq!(device.rate_mib_per_second(), Some("12.5"));
        assert!(device.firewall() && !device.link_down());
        let spelled = NetworkDevice::parse("model=e1000,macaddr=BC:24:11:00:00:02,bridge=vmbr1").unwrap();
        assert_eq!(spelled.model(), Some("e1000"));
        assert_eq!(spelled.mac(), Some("BC:24:11:00:00:02"));
        let bare = NetworkDevice::parse("virtio,bridge=vmbr0,link_down=1").unwrap();
        assert_eq!((bare.model(), bare.mac()), (Some("virtio"), None));
        assert!(bare.link_down());
    }

    #[test]
    fn a_changed_network_device_keeps_its_mac() {
        let mut device = NetworkDevice::parse("virtio=BC:24:11:00:00:01,bridge=vmbr0").unwrap();
        device.properties.set("link_down", 1).unwrap();
        assert_eq!(device.properties.to_string(), "virtio=BC:24:11:00:00:01,bridge=vmbr0,link_down=1");
    }

    #[test]
    fn disks_and_their_sizes() {
        let disk = Disk::parse("local-lvm:vm-101-disk-0,iothread=1,size=32G").unwrap();
        assert_eq!(disk.volume(), Some("local-lvm:vm-101-disk-0"));
        assert_eq!(disk.storage(), Some("local-lvm"));
        assert_eq!(disk.size().unwrap().gib_rounded_up(), 32);
        assert!(!disk.is_cdrom());
        for text in ["local:101/vm-101-cloudinit.qcow2,media=cdrom,size=4M", "local-lvm:cloudinit"] {
            assert!(Disk::parse(text).unwrap().is_cloud_init(), "{text}");
        }
        let empty = Disk::parse("none,media=cdrom").unwrap();
        assert_eq!((empty.volume(), empty.storage()), (Some("none"), None));
        for (text, bytes) in
            [("528K", 528 << 10), ("4M", 4 << 20), ("1.5G", 3 << 29), ("2T", 2 << 40), ("1048576", 1 << 20)]
        {
            assert_eq!(text.parse::<DiskSize>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "G", "1.G", ".5G", "-1G", "1P", "99999999999999999999999T", "1G "] {
            assert!(text.parse::<DiskSize>().is_err(), "{text}");
        }
        assert_eq!("1025M".parse::<DiskSize>().unwrap().gib_rounded_up(), 2);
    }

    #[test]
    fn agent_and_smbios() {
        for (text, enabled) in
            [("1", true), ("0", false), ("enabled=1,type=isa", true), ("1,fstrim_cloned_disks=1", true)]
        {
            assert_eq!(AgentOption::parse(text).unwrap().enabled(), enabled, "{text}");
        }
        let smbios = Smbios1::parse("uuid=8191bdaa-1fbb-4d5d-b205-145607d8778f").unwrap();
        assert_eq!(smbios.uuid(), Some("8191bdaa-1fbb-4d5d-b205-145607d8778f"));
    }
}
