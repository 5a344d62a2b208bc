//! cloudinit: what waits for the next generated image, generating it now, and the files in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::options::CLOUD_INIT;
use crate::call::Call;
use crate::cluster::drive::{is_network_key, mac_address};
use crate::cluster::guest::{Config, Guest};
use crate::failure::{Failure, Outcome, Reply};

/// Resolver of the simulated nodes, which a guest without one of its own gets.
const NODE_NAMESERVER: &str = "192.0.2.1";
/// Search domain of the simulated nodes.
const NODE_DOMAIN: &str = "example.test";

/// The options that go into the image.
pub(crate) fn options(config: &Config) -> BTreeMap<String, String> {
    let belongs = |option: &str| CLOUD_INIT.contains(&option) || option.starts_with("ipconfig");
    let values = config.values.iter().filter(|(option, _)| belongs(option));
    values.map(|(option, value)| (option.clone(), value.clone())).collect()
}

/// GET /nodes/{node}/qemu/{vmid}/cloudinit
pub(crate) fn pending(call: &mut Call<'_>) -> Outcome {
    let guest = call.cluster.load(call.node(), call.vmid())?;
    let now = options(&guest.config);
    // Only a running guest can have an older image than its options.
    let image = guest.cloud_init_image.as_ref().filter(|_| guest.process.is_some()).unwrap_or(&now);
    let shown = |option: &str, value: &str| if option == "cipassword" { json!("**********") } else { json!(value) };
    let mut entries: Vec<Value> = Vec::new();
    for (option, value) in &now {
        match image.get(option) {
            None => entries.push(json!({ "key": option, "pending": shown(option, value) })),
            Some(old) if old != value => {
                entries.push(json!({ "key": option, "value": shown(option, old), "pending": shown(option, value) }))
            }
            // Unchanged addresses are not listed.
            Some(_) if option.starts_with("ipconfig") => {}
            Some(_) => entries.push(json!({ "key": option, "value": shown(option, value) })),
        }
    }
    let gone = image.keys().filter(|option| !now.contains_key(*option));
    entries.extend(gone.map(|option| json!({ "key": option, "delete": 1 })));
    Ok(Reply::data(entries))
}

/// PUT /nodes/{node}/qemu/{vmid}/cloudinit
pub(crate) fn regenerate(call: &mut Call<'_>) -> Outcome {
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    let guest = call.cluster.load_mut(&node, vmid)?;
    if let Some(lock) = &guest.file_lock {
        return Err(Failure::busy(vmid, lock.until));
    }
    guest.check_lock().map_err(Failure::died)?;
    guest.cloud_init_image = Some(options(&guest.config));
    call.cluster.touch();
    Ok(Reply::null())
}

/// GET /nodes/{node}/qemu/{vmid}/cloudinit/dump
pub(crate) fn dump(call: &mut Call<'_>) -> Outcome {
    let guest = call.cluster.load(call.node(), call.vmid())?;
    Ok(Reply::data(match call.text("type") {
        "user" => user(guest),
        "network" => network(guest),
        _ => meta(guest),
    }))
}

fn user(guest: &Guest) -> String {
    let config = &guest.config;
    let name = guest.name();
    let host = name.split('.').next().unwrap_or_default();
    let mut text = format!("#cloud-config\nhostname: {host}\nmanage_etc_hosts: true\nfqdn: {name}\n");
    if let Some(user) = config.get("ciuser") {
        let _ = writeln!(text, "user: {user}");
        if user == "root" {
            text.push_str("disable_root: False\n");
        }
    }
    if let Some(password) = config.get("cipassword") {
        let _ = writeln!(text, "password: {password}");
    }
    if let Some(keys) = config.get("sshkeys") {
        text.push_str("ssh_authorized_keys:\n");
        for key in percent_decode_str(keys).decode_utf8_lossy().lines().filter(|key| !key.trim().is_empty()) {
            let _ = writeln!(text, "  - {key}");
        }
    }
    text.push_str("chpasswd:\n  expire: False\n");
    if config.get("ciuser") != Some("root") {
        text.push_str("users:\n  - default\n");
    }
    let upgrades = config.get("ciupgrade") != Some("0");
    let _ = writeln!(text, "package_upgrade: {upgrades}");
    text
}

fn network(guest: &Guest) -> String {
    let config = &guest.config;
    let mut text = "version: 1\nconfig:\n".to_owned();
    for (option, card) in config.values.iter().filter(|(option, _)| is_network_key(option)) {
        let index = option.trim_start_matches("net");
        let Some(addresses) = config.get(&format!("ipconfig{index}")) else { continue };
        let mac = mac_address(card).unwrap_or_default().to_ascii_lowercase();
        let _ =
            write!(text, "    - type: physical\n      name: eth{index}\n      mac_address: '{mac}'\n      subnets:\n");
        let value = |key: &str| addresses.split(',').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        match value("ip") {
            Some("dhcp") => text.push_str("      - type: dhcp4\n"),
            Some(address) => {
                let (address, length) = address.split_once('/').unwrap_or((address, "32"));
                let _ = write!(
                    text,
                    "      - type: static\n        address: '{address}'\n        netmask: '{}'\n",
                    netmask(length)
                );
                if let Some(gateway) = value("gw") {
                    let _ = writeln!(text, "        gateway: '{gateway}'");
                }
            }
            None => {}
        }
        match value("ip6") {
            Some("dhcp") => text.push_str("      - type: dhcp6\n"),
            Some("auto") => text.push_str("      - type: ipv6_slaac\n"),
            Some(address) => {
                let _ = write!(text, "      - type: static6\n        address: '{address}'\n");
                if let Some(gateway) = value("gw6") {
                    let _ = writeln!(text, "        gateway: '{gateway}'");
                }
            }
            None => {}
        }
    }
    let list = |option: &str, default: &str| -> Vec<String> {
        config.get(option).unwrap_or(default).split_whitespace().map(|part| format!("      - '{part}'\n")).collect()
    };
    let _ = write!(
        text,
        "    - type: nameserver\n      address:\n{}      search:\n{}",
        list("nameserver", NODE_NAMESERVER).concat(),
        list("searchdomain", NODE_DOMAIN).concat()
    );
    text
}

fn netmask(length: &str) -> Ipv4Addr {
    let length: u32 = length.parse().unwrap_or(32);
    Ipv4Addr::from(u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0))
}

/// The instance id is derived from the contents, so that a change makes a new instance.
fn meta(guest: &Guest) -> String {
    let digest = Sha256::digest(user(guest) + &network(guest));
    let id = digest.iter().take(20).fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    });
    format!("instance-id: {id}\n")
}
