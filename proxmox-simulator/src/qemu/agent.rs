//! The guest agent: ping and the addresses it reports. It answers some time after the guest began to boot.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::agent_state::AgentState;
use crate::call::Call;
use crate::clock::micros;
use crate::cluster::drive::mac_address;
use crate::cluster::guest::{Config, Guest};
use crate::failure::{Failure, Outcome, Reply};
use crate::load;

/// Is the agent option on?
pub(crate) fn is_configured(config: &Config) -> bool {
    let first = config.get("agent").and_then(|text| text.split(',').find(|part| !part.starts_with("type=")));
    let enabled = first.map(|part| part.strip_prefix("enabled=").unwrap_or(part));
    matches!(enabled, Some("1" | "on" | "yes" | "true"))
}

/// The guest, if its agent answers.
pub(super) fn answering<'a>(call: &'a Call<'_>) -> Result<&'a Guest, Failure> {
    let guest = call.cluster.load(call.node(), call.vmid())?;
    if !is_configured(&guest.config) {
        return Err(Failure::died("No QEMU guest agent configured"));
    }
    let Some(process) = &guest.process else {
        return Err(Failure::died(format!("VM {} is not running", guest.vmid)));
    };
    let boot = match guest.inside.agent {
        AgentState::Ready => Some(micros(call.cluster.timing().guest_boot)),
        AgentState::ReadyAfter(seconds) => Some(u64::from(seconds) * 1_000_000),
        AgentState::NotRunning => None,
    };
    let answers = boot.is_some_and(|boot| call.now >= process.booted.saturating_add(boot));
    if process.paused || guest.ignores_power_button || !answers {
        return Err(Failure::died("QEMU guest agent is not running"));
    }
    Ok(guest)
}

/// As `answering`, to change what is inside.
pub(super) fn answering_mut<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Guest, Failure> {
    let vmid = answering(call)?.vmid;
    call.cluster.touch();
    call.cluster.load_mut(call.parameters.text("node").unwrap_or_default(), vmid)
}

/// POST agent/ping
pub(crate) fn ping(call: &mut Call<'_>) -> Outcome {
    answering(call)?;
    Ok(Reply::data(json!({ "result": {} })))
}

/// GET agent/network-get-interfaces
pub(crate) fn interfaces(call: &mut Call<'_>) -> Outcome {
    let guest = answering(call)?;
    let [received, sent, _, _] = load::traffic(guest, call.now);
    let statistics = |received: u64, sent: u64| {
        json!({
            "rx-bytes": received, "rx-packets": received / 600, "rx-errs": 0, "rx-dropped": 0,
            "tx-bytes": sent, "tx-packets": sent / 600, "tx-errs": 0, "tx-dropped": 0,
        })
    };
    let address = |address: &str, kind: &str, prefix: u8| json!({ "ip-address": address, "ip-address-type": kind, "prefix": prefix });
    let mut found = vec![json!({
        "name": "lo", "hardware-address": "00:00:00:00:00:00", "statistics": statistics(0, 0),
        "ip-addresses": [address("127.0.0.1", "ipv4", 8), address("::1", "ipv6", 128)],
    })];
    if let Some(mac) = guest.config.get("net0").and_then(mac_address) {
        let mac = mac.to_ascii_lowercase();
        let mut addresses: Vec<Value> = Vec::new();
        let (ip, prefix) = ipv4(guest);
        addresses.push(address(&ip, "ipv4", prefix));
        if let Some((ip, prefix)) = configured(guest, "ip6") {
            addresses.push(address(&ip, "ipv6", prefix));
        }
        addresses.push(address(&link_local(&mac), "ipv6", 64));
        found.push(json!({
            "name": "eth0", "hardware-address": mac, "statistics": statistics(received, sent), "ip-addresses": addresses,
        }));
    }
    Ok(Reply::data(json!({ "result": found })))
}

/// The static address of `ipconfig0`.
fn configured(guest: &Guest, key: &str) -> Option<(String, u8)> {
    let text = guest.config.get("ipconfig0")?;
    let value = text.split(',').find_map(|part| part.split_once('=').filter(|(name, _)| *name == key))?.1;
    let (address, prefix) = value.split_once('/')?;
    Some((address.to_owned(), prefix.parse().ok()?))
}

/// The configured address, or one a DHCP server would have given.
fn ipv4(guest: &Guest) -> (String, u8) {
    configured(guest, "ip").unwrap_or_else(|| {
        let [_, high, middle, low] = guest.vmid.to_be_bytes();
        (Ipv4Addr::new(10, high, middle, low).to_string(), 8)
    })
}

/// `fe80::` with the EUI-64 of the MAC address.
fn link_local(mac: &str) -> String {
    let octets: Vec<u8> = mac.split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    let [first, second, third, fourth, fifth, sixth] = octets[..] else { return "fe80::1".to_owned() };
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let address = std::net::Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        word(first ^ 2, second),
        word(third, 0xff),
        word(0xfe, fourth),
        word(fifth, sixth),
    );
    address.to_string()
}
