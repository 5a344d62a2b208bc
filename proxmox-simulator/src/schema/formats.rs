//! The named formats of the schema (`pve-vmid`, `dns-name`, `urlencoded`, …) with Proxmox's texts. Formats of options
//! the simulator stores without understanding are accepted as they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::firewall::verify;

/// Checks `value` against the format `name`; a `-list` checks every element.
///
/// # Errors
/// Proxmox's text, without its line feed.
pub(super) fn check(name: &str, value: &str) -> Result<(), String> {
    if let Some(element) = name.strip_suffix("-list") {
        return value
            .split([',', ';', ' ', '\t', '\n', '\0'])
            .filter(|part| !part.is_empty())
            .try_for_each(|part| check(element, part));
    }
    if name == "pve-hotplug-features" {
        return hotplug(value);
    }
    let (valid, text) = match name {
        "pve-vmid" => (vmid(value), "value does not look like a valid VM ID".to_owned()),
        "pve-node" => (label(value), "value does not look like a valid node name".to_owned()),
        "dns-name" => (dns_name(value), "value does not look like a valid DNS name".to_owned()),
        "pve-storage-id" => (storage_id(value), format!("storage ID '{value}' contains illegal characters")),
        "pve-configid" => (config_id(value), format!("invalid configuration ID '{value}'")),
        "pve-poolid" => (pool_id(value), format!("value '{value}' does not look like a valid pool name")),
        "pve-tag" => (tag(value), "invalid characters in tag".to_owned()),
        "pve-bridge-id" => (
            value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) && !value.is_empty(),
            format!("invalid bridge ID '{value}'"),
        ),
        "urlencoded" => (
            value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-%_.!~*'()".contains(&byte)),
            format!("invalid urlencoded string: {value}"),
        ),
        "mac-addr" => (mac(value), "value does not look like a valid unicast MAC address".to_owned()),
        "disk-size" => (disk_size(value), "invalid disk size".to_owned()),
        "pve-volume-id" => (volume(value), format!("unable to parse volume ID '{value}'")),
        "pve-volume-id-or-qm-path" => (
            matches!(value, "none" | "cdrom") || value.starts_with('/') || is_new_disk(value) || volume(value),
            format!("unable to parse volume ID '{value}'"),
        ),
        "pve-volume-id-or-absolute-path" => {
            (value.starts_with('/') || volume(value), format!("unable to parse volume ID '{value}'"))
        }
        "address" => (
            value.parse::<IpAddr>().is_ok() || dns_name(value),
            format!("value does not look like a valid address: {value}"),
        ),
        "pve-qm-ipconfig" => return ip_config(value),
        "pve-storage-content" => (
            matches!(value, "images" | "rootdir" | "vztmpl" | "iso" | "backup" | "snippets" | "import" | "none"),
            format!("invalid content type '{value}'"),
        ),
        "IPorCIDR" | "IPorCIDRorAlias" | "CIDR" => (
            verify::is_cidr(value) || (name == "IPorCIDRorAlias" && verify::is_alias_name(value)),
            "value does not look like a valid IP address or CIDR network".to_owned(),
        ),
        "pve-fw-dport-spec" | "pve-fw-sport-spec" => return verify::check_ports(value),
        "pve-fw-protocol-spec" => return verify::check_protocol(value),
        "pve-fw-addr-spec" => return verify::check_addresses(value),
        "pve-userid" => {
            let long = value.chars().count() >= 3;
            let text = if long {
                format!("value '{value}' does not look like a valid user name")
            } else {
                format!("user name '{value}' is too short")
            };
            (long && user_id(value), text)
        }
        "pve-tokenid" => (
            value.split_once('!').is_some_and(|(user, token)| user_id(user) && realm(token)),
            format!("token ID '{value}' is not a valid token ID"),
        ),
        "pve-groupid" => (word(value), format!("group name '{value}' contains invalid characters")),
        "pve-roleid" => (word(value), format!("role name '{value}' contains invalid characters")),
        "pve-realm" => (realm(value), "value does not look like a valid realm".to_owned()),
        "pve-task-status-type" => (
            matches!(value, "ok" | "error" | "warning" | "unknown"),
            format!("value '{value}' does not have a value in the enumeration 'unknown, warning, ok, error'"),
        ),
        _ => (true, String::new()),
    };
    if valid { Ok(()) } else { Err(text) }
}

fn vmid(value: &str) -> bool {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    digits && (3..=9).contains(&value.len()) && !value.starts_with('0')
}

fn label(value: &str) -> bool {
    let inner = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    inner && !value.is_empty() && value.len() <= 63 && !value.starts_with('-') && !value.ends_with('-')
}

fn dns_name(value: &str) -> bool {
    value.split('.').all(label)
}

fn storage_id(value: &str) -> bool {
    let inner = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    inner
        && value.len() >= 2
        && value.starts_with(|first: char| first.is_ascii_alphabetic())
        && value.ends_with(|last: char| last.is_ascii_alphanumeric())
}

/// Letters, digits and `.-_`.
fn word(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

fn realm(value: &str) -> bool {
    value.len() >= 2 && word(value) && value.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn user_id(value: &str) -> bool {
    value.rsplit_once('@').is_some_and(|(name, of)| {
        !name.is_empty() && realm(of) && !name.contains([':', '/']) && !name.contains(char::is_whitespace)
    })
}

fn config_id(value: &str) -> bool {
    let inner = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    inner && value.len() >= 2 && value.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn pool_id(value: &str) -> bool {
    let parts: Vec<&str> = value.split('/').collect();
    let inner = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    parts.len() <= 3 && parts.iter().all(inner)
}

fn tag(value: &str) -> bool {
    let inner = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+.".contains(&byte));
    inner && value.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
}

fn mac(value: &str) -> bool {
    let octets: Vec<&str> = value.split(':').collect();
    let hexadecimal = octets.iter().all(|octet| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let unicast = u8::from_str_radix(octets[0], 16).is_ok_and(|first| first & 1 == 0);
    octets.len() == 6 && hexadecimal && unicast
}

fn disk_size(value: &str) -> bool {
    let number = value.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(value);
    crate::cluster::sizes::is_decimal(number)
}

fn volume(value: &str) -> bool {
    value.split_once(':').is_some_and(|(storage, name)| storage_id(storage) && !name.is_empty())
}

fn is_new_disk(value: &str) -> bool {
    let size = value.split_once(':').map_or(value, |(_, size)| size);
    crate::cluster::sizes::is_decimal(size)
}

fn hotplug(value: &str) -> Result<(), String> {
    let known = ["network", "disk", "cpu", "memory", "usb", "cloudinit"];
    let valid = matches!(value, "0" | "1") || value.split([',', ';', ' ']).all(|part| known.contains(&part));
    if valid { Ok(()) } else { Err("unable to parse hotplug option".to_owned()) }
}

/// `ip=…,gw=…,ip6=…,gw6=…`; a gateway needs an address of its family.
fn ip_config(value: &str) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    let mut errors: Vec<String> = Vec::new();
    for part in value.split(',').filter(|part| !part.is_empty()) {
        let Some((key, address)) = part.split_once('=') else {
            return Err("value without key, but schema does not define a default key".to_owned());
        };
        if seen.contains(&key) {
            return Err(format!("duplicate key in comma-separated list property: {key}"));
        }
        seen.push(key);
        let (valid, what) = match key {
            "ip" => (address == "dhcp" || network::<Ipv4Addr>(address, 32), "ipv4 network configuration"),
            "ip6" => {
                (matches!(address, "dhcp" | "auto") || network::<Ipv6Addr>(address, 128), "ipv6 network configuration")
            }
            "gw" => (address.parse::<Ipv4Addr>().is_ok(), "ipv4 address"),
            "gw6" => (address.parse::<Ipv6Addr>().is_ok(), "ipv6 address"),
            _ => return Err(format!("invalid key in comma-separated list property: {key}")),
        };
        if !valid {
            errors.push(format!("{key}: invalid format - value does not look like a valid {what}\n"));
        }
    }
    for (gateway, address) in [("gw", "ip"), ("gw6", "ip6")] {
        if seen.contains(&gateway) && !seen.contains(&address) {
            errors.push(format!("{address}: missing property required by '{gateway}'"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(format!("format error\n{}", errors.join("\n"))) }
}

fn network<Address: std::str::FromStr>(value: &str, longest: u8) -> bool {
    value.split_once('/').is_some_and(|(address, length)| {
        address.parse::<Address>().is_ok() && length.parse::<u8>().is_ok_and(|length| length <= longest)
    })
}
