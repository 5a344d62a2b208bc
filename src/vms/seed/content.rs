//! What is on a seed CD beside the customer's user data. All of it is JSON, which is YAML too and needs no quoting rules of
//! our own. Our part is vendor data: what the customer's user data also says wins over it, key by key.

use serde_json::json;

use crate::addresses::Assigned;
use crate::ids::VmId;

/// The guest's name for its first network device, as Proxmox's own cloud-init drive calls it.
const DEVICE: &str = "eth0";

/// Which machine it is. The id never changes, so cloud-init does its work once on each disk.
pub(super) fn meta_data(vm: VmId, name: &str) -> String {
    json!({ "instance-id": vm.to_string(), "local-hostname": name }).to_string() + "\n"
}

/// The address, on the device with this hardware address.
pub(super) fn network_config(mac: &str, address: &Assigned) -> String {
    let device = json!({
        "match": { "macaddress": mac.to_ascii_lowercase() },
        "set-name": DEVICE,
        "addresses": [format!("{}/{}", address.address, address.prefix)],
        "routes": [{ "to": "0.0.0.0/0", "via": address.gateway.to_string() }],
        "nameservers": { "addresses": [address.nameserver.to_string()] },
    });
    json!({ "version": 2, "ethernets": { DEVICE: device } }).to_string() + "\n"
}

/// The login user with the keys, one per line, and no upgrade at the first start: the order is quick, and upgrades are the
/// customer's decision.
pub(super) fn vendor_data(login: &str, authorized_keys: &str) -> String {
    let keys: Vec<&str> = authorized_keys.lines().collect();
    let config = json!({
        "user": login,
        "disable_root": login != "root",
        "ssh_authorized_keys": keys,
        "users": ["default"],
        "manage_etc_hosts": true,
        "package_upgrade": false,
    });
    format!("#cloud-config\n{config}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_found_by_its_hardware_address() {
        let address = Assigned {
            address: "203.0.113.10".parse().unwrap(),
            prefix: 24,
            gateway: "203.0.113.1".parse().unwrap(),
            nameserver: "203.0.113.2".parse().unwrap(),
        };

        let config: serde_json::Value = serde_json::from_str(&network_config("BC:24:11:00:00:0A", &address)).unwrap();

        assert_eq!(config["version"], 2);
        let device = &config["ethernets"]["eth0"];
        assert_eq!(device["match"]["macaddress"], "bc:24:11:00:00:0a");
        assert_eq!(device["addresses"][0], "203.0.113.10/24");
        assert_eq!(device["routes"][0], json!({ "to": "0.0.0.0/0", "via": "203.0.113.1" }));
        assert_eq!(device["nameservers"]["addresses"][0], "203.0.113.2");
    }

    #[test]
    fn vendor_data_quotes_what_a_key_may_hold() {
        let text = vendor_data("debian", "ssh-ed25519 AAAA a: \"b\" #c\nssh-rsa BBBB");

        let config: serde_json::Value = serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        assert_eq!(config["user"], "debian");
        assert_eq!(config["ssh_authorized_keys"], json!(["ssh-ed25519 AAAA a: \"b\" #c", "ssh-rsa BBBB"]));
        assert_eq!(config["package_upgrade"], false);
    }
}
