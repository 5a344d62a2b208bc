//! What a node tells about itself that no guest depends on: time, names, network, services, packages, hardware. Most of
//! it is the same on every simulated node.

use serde_json::{Value, json};

use crate::call::Call;
use crate::clock::seconds;
use crate::cluster::drive::is_network_key;
use crate::failure::{Failure, Outcome, Reply};
use crate::load;
use crate::options::Release;
use crate::tasks::Work;

/// Services of a node, with what systemd says about them.
const SERVICES: &[(&str, &str)] = &[
    ("chrony", "chrony, an NTP client/server"),
    ("corosync", "Corosync Cluster Engine"),
    ("cron", "Regular background program processing daemon"),
    ("ksmtuned", "Kernel Samepage Merging (KSM) Tuning Daemon"),
    ("postfix", "Postfix Mail Transport Agent"),
    ("pve-cluster", "The Proxmox VE cluster filesystem"),
    ("pve-firewall", "Proxmox VE firewall"),
    ("pve-ha-crm", "PVE Cluster HA Resource Manager Daemon"),
    ("pve-ha-lrm", "PVE Local HA Resource Manager Daemon"),
    ("pvedaemon", "PVE API Daemon"),
    ("pveproxy", "PVE API Proxy Server"),
    ("pvescheduler", "Proxmox VE scheduler"),
    ("pvestatd", "PVE Status Daemon"),
    ("spiceproxy", "PVE SPICE Proxy Server"),
    ("sshd", "OpenBSD Secure Shell server"),
    ("systemd-journald", "Journal Service"),
];
/// Processor models every release offers.
const PROCESSORS: &[(&str, &str)] = &[
    ("host", "default"),
    ("kvm64", "default"),
    ("max", "default"),
    ("qemu64", "default"),
    ("x86-64-v2", "default"),
    ("x86-64-v2-AES", "default"),
    ("x86-64-v3", "default"),
    ("x86-64-v4", "default"),
    ("EPYC", "AuthenticAMD"),
    ("EPYC-Milan", "AuthenticAMD"),
    ("Skylake-Server", "GenuineIntel"),
];

/// A list there is nothing in: containers, replication jobs, updates, USB devices.
pub(crate) fn empty(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(Vec::<Value>::new()))
}

/// GET /nodes/{node}/time
pub(crate) fn time(call: &mut Call<'_>) -> Outcome {
    let now = seconds(call.now);
    Ok(Reply::data(json!({ "time": now, "localtime": now, "timezone": "Etc/UTC" })))
}

/// GET /nodes/{node}/dns
pub(crate) fn names(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(json!({ "search": "example.com", "dns1": "192.0.2.1" })))
}

/// GET /nodes/{node}/hosts
pub(crate) fn hosts(call: &mut Call<'_>) -> Outcome {
    let text = format!("127.0.0.1 localhost\n192.0.2.10 {0}.example.com {0}\n", call.node());
    Ok(Reply::data(json!({ "data": text, "digest": "da39a3ee5e6b4b0d3255bfef95601890afd80709" })))
}

fn interfaces(call: &Call<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for (index, bridge) in call.cluster.bridges.iter().enumerate() {
        let port = format!("eno{}", index + 1);
        all.push(json!({
            "iface": port, "type": "eth", "method": "manual", "method6": "manual", "exists": 1, "active": 1,
            "families": ["inet"], "priority": 2 * index + 1,
        }));
        let mut entry = json!({
            "iface": bridge, "type": "bridge", "method": "manual", "method6": "manual", "active": 1, "autostart": 1,
            "bridge_ports": port, "bridge_stp": "off", "bridge_fd": "0", "families": ["inet"],
            "priority": 2 * index + 2,
        });
        if index == 0 {
            for (name, value) in [
                ("method", "static"),
                ("cidr", "192.0.2.10/24"),
                ("address", "192.0.2.10"),
                ("netmask", "24"),
                ("gateway", "192.0.2.1"),
            ] {
                entry[name] = json!(value);
            }
        }
        all.push(entry);
    }
    all
}

/// GET /nodes/{node}/network
pub(crate) fn network(call: &mut Call<'_>) -> Outcome {
    let wanted = |entry: &Value| match call.parameters.text("type") {
        None => true,
        Some("any_bridge" | "any_local_bridge" | "include_sdn") => entry["type"] == "bridge",
        Some(kind) => entry["type"] == kind,
    };
    Ok(Reply::data(interfaces(call).into_iter().filter(wanted).collect::<Vec<_>>()))
}

/// GET /nodes/{node}/network/{iface}
pub(crate) fn interface(call: &mut Call<'_>) -> Outcome {
    let found = interfaces(call).into_iter().find(|entry| entry["iface"] == call.text("iface"));
    let missing = || Failure::parameter("iface", "interface does not exist");
    Ok(Reply::data(found.ok_or_else(missing)?))
}

fn service_entry(service: &(&str, &str)) -> Value {
    json!({
        "service": service.0, "name": service.0, "desc": service.1, "state": "running", "active-state": "active",
        "unit-state": "enabled",
    })
}

/// GET /nodes/{node}/services
pub(crate) fn services(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(SERVICES.iter().map(service_entry).collect::<Vec<_>>()))
}

/// GET /nodes/{node}/services/{service}/state
pub(crate) fn service(call: &mut Call<'_>) -> Outcome {
    let name = call.text("service");
    let found = SERVICES.iter().find(|(known, _)| *known == name);
    Ok(Reply::data(service_entry(found.ok_or_else(|| Failure::died(format!("no such service '{name}'")))?)))
}

/// GET /nodes/{node}/subscription
pub(crate) fn subscription(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(json!({
        "status": "notfound", "message": "There is no subscription key", "serverid": "0".repeat(32),
        "url": "https://www.proxmox.com/en/proxmox-virtual-environment/pricing",
    })))
}

/// GET /nodes/{node}/syslog and /journal
pub(crate) fn log(call: &mut Call<'_>) -> Outcome {
    let line = format!("{} systemd[1]: Reached target multi-user.target - Multi-User System.", call.node());
    if call.template.ends_with("/journal") {
        return Ok(Reply::data(vec![line]));
    }
    Ok(Reply { total: Some(1), ..Reply::data(vec![json!({ "n": 1, "t": line })]) })
}

/// GET /nodes/{node}/apt/versions
pub(crate) fn packages(call: &mut Call<'_>) -> Outcome {
    let (_, version, _) = crate::cluster_calls::release_words(call.cluster.settings.release);
    let packages = ["proxmox-ve", "pve-manager", "qemu-server", "pve-container", "libpve-access-control"];
    let entry = |name: &&str| {
        json!({
            "Package": name, "Title": name, "Description": name, "Version": version, "OldVersion": version,
            "Origin": "Proxmox", "Arch": "all", "Section": "admin", "Priority": "optional", "CurrentState": "Installed",
        })
    };
    Ok(Reply::data(packages.iter().map(entry).collect::<Vec<_>>()))
}

/// GET /nodes/{node}/disks/list
pub(crate) fn disks(_call: &mut Call<'_>) -> Outcome {
    let disk = |name: &str, used: &str| {
        json!({
            "devpath": format!("/dev/{name}"), "by_id_link": format!("/dev/disk/by-id/{name}"), "size": 1_920_383_410_176_u64,
            "type": "nvme", "model": "SAMSUNG MZQL21T9HCJR-00A07", "serial": format!("S64GNE0{name}"), "vendor": "unknown",
            "health": "PASSED", "wearout": 99, "gpt": 1, "used": used, "wwn": "unknown", "rpm": 0, "osdid": -1,
            "osdid-list": null,
        })
    };
    Ok(Reply::data(vec![disk("nvme0n1", "BIOS boot"), disk("nvme1n1", "LVM")]))
}

/// GET /nodes/{node}/disks/smart
pub(crate) fn disk_health(call: &mut Call<'_>) -> Outcome {
    let disk = call.text("disk");
    if !matches!(disk, "/dev/nvme0n1" | "/dev/nvme1n1") {
        return Err(Failure::died(format!("disk {disk} does not exist")));
    }
    if call.parameters.flag("healthonly") == Some(true) {
        return Ok(Reply::data(json!({ "health": "PASSED" })));
    }
    let text = "\nSMART/Health Information (NVMe Log 0x02)\nCritical Warning: 0x00\nPercentage Used: 1%\n";
    Ok(Reply::data(json!({ "health": "PASSED", "type": "text", "text": text })))
}

/// GET /nodes/{node}/disks/lvmthin: the pool of each thin storage.
pub(crate) fn thin_pools(call: &mut Call<'_>) -> Outcome {
    let thin = call.cluster.storages.iter().filter(|storage| storage.kind == "lvmthin");
    let pools = thin.map(|storage| {
        let metadata = storage.size / 256;
        let used = call.cluster.volumes.used(storage, call.node());
        json!({
            "lv": "data", "vg": "pve", "lv_size": storage.size, "used": used, "metadata_size": metadata,
            "metadata_used": used / 256,
        })
    });
    Ok(Reply::data(pools.collect::<Vec<_>>()))
}

/// GET /nodes/{node}/hardware/pci
pub(crate) fn pci(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(vec![json!({
        "id": "0000:41:00.0", "class": "0x020000", "vendor": "0x8086", "device": "0x1563", "iommugroup": 12,
        "vendor_name": "Intel Corporation", "device_name": "Ethernet Controller X550",
    })]))
}

/// GET /nodes/{node}/capabilities/qemu/cpu
pub(crate) fn processors(_call: &mut Call<'_>) -> Outcome {
    let models = PROCESSORS.iter().map(|(name, vendor)| json!({ "name": name, "vendor": vendor, "custom": 0 }));
    Ok(Reply::data(models.collect::<Vec<_>>()))
}

/// GET /nodes/{node}/capabilities/qemu/machines
pub(crate) fn machines(call: &mut Call<'_>) -> Outcome {
    let versions: &[&str] = match call.cluster.settings.release {
        Release::V8_4 => &["9.2", "9.0", "8.2", "8.1"],
        Release::V9_2 => &["10.2", "10.1", "10.0", "9.2", "9.0"],
    };
    let machine = |kind: &str, version: &str| {
        let (id, version) = (format!("pc-{kind}-{version}"), version.to_owned());
        json!({ "id": id, "type": kind, "version": version })
    };
    let all = ["i440fx", "q35"].iter().flat_map(|kind| versions.iter().map(|version| machine(kind, version)));
    Ok(Reply::data(all.collect::<Vec<_>>()))
}

/// GET /nodes/{node}/capabilities/qemu/migration
pub(crate) fn migration(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(json!({ "has-dbus-vmstate": 1 })))
}

/// GET /nodes/{node}/netstat: counters of every card, as text.
pub(crate) fn traffic(call: &mut Call<'_>) -> Outcome {
    let mut entries = Vec::new();
    for guest in call.cluster.guests.values().filter(|guest| guest.node == call.node() && guest.process.is_some()) {
        let [received, sent, _, _] = load::traffic(guest, call.now);
        for (position, card) in guest.config.values.keys().filter(|option| is_network_key(option)).enumerate() {
            let (received, sent) = if position == 0 { (received, sent) } else { (0, 0) };
            entries.push(json!({
                "vmid": guest.vmid.to_string(), "dev": card, "in": received.to_string(), "out": sent.to_string(),
            }));
        }
    }
    Ok(Reply::data(entries))
}

/// GET /nodes/{node}/certificates/info
pub(crate) fn certificates(call: &mut Call<'_>) -> Outcome {
    let fingerprint = &call.cluster.settings.fingerprint;
    Ok(Reply::data(vec![json!({
        "filename": "pve-ssl.pem", "fingerprint": fingerprint, "subject": format!("/CN={}", call.node()),
        "issuer": "/CN=Proxmox Virtual Environment", "san": ["localhost", "127.0.0.1"],
        "public-key-type": "id-ecPublicKey", "public-key-bits": 256,
    })]))
}

/// GET /nodes/{node}/config
pub(crate) fn config(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(json!({ "digest": "da39a3ee5e6b4b0d3255bfef95601890afd80709" })))
}

/// GET /nodes/{node}/sdn/zones
pub(crate) fn zones(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(vec![json!({ "zone": "localnetwork", "status": "available" })]))
}

/// POST /nodes/{node}/startall and /stopall: one task, and one for each guest.
pub(crate) fn power_all(call: &mut Call<'_>) -> Outcome {
    let start = call.template.ends_with("/startall");
    let force = call.parameters.flag("force") == Some(true);
    let only: Vec<u32> = crate::access::split_list(call.text("vms")).filter_map(|vmid| vmid.parse().ok()).collect();
    let node = call.node().to_owned();
    let chosen: Vec<u32> = call
        .cluster
        .guests
        .values()
        .filter(|guest| guest.node == node && !guest.is_template() && guest.process.is_some() != start)
        .filter(|guest| only.is_empty() || only.contains(&guest.vmid))
        .filter(|guest| !start || force || guest.config.flag("onboot") || !only.is_empty())
        .filter(|guest| call.caller.may(&format!("/vms/{}", guest.vmid), "VM.PowerMgmt"))
        .map(|guest| guest.vmid)
        .collect();
    let upid = call.spawn(if start { "startall" } else { "stopall" }, None, Work::Nothing);
    for vmid in chosen {
        let (node, kind) = (node.clone(), if start { "qmstart" } else { "qmshutdown" });
        let work =
            if start { Work::Start { node: node.clone(), vmid } } else { Work::Stop { node: node.clone(), vmid } };
        let owner = call.caller.id().to_owned();
        let id = vmid.to_string();
        let task = crate::tasks::NewTask { node, kind, id, owner, locks: Some(vmid), work, fault: None };
        call.cluster.spawn(task, call.now);
    }
    Ok(Reply::data(upid))
}
