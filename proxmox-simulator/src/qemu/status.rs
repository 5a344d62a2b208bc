//! What a guest is doing: the list of a node, status/current, and its line in /cluster/resources.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::cluster::ClusterState;
use crate::cluster::drive::{boot_disk_size, is_network_key};
use crate::cluster::guest::Guest;
use crate::failure::{Outcome, Reply};
use crate::load;
use crate::options::Release;

/// `running`, `paused` or `stopped`.
fn machine_status(guest: &Guest) -> &'static str {
    match &guest.process {
        None => "stopped",
        Some(process) if process.prelaunch => "prelaunch",
        Some(process) if process.paused => "paused",
        Some(_) => "running",
    }
}

/// `vmstatus`: what list and status have in common.
fn common(cluster: &ClusterState, guest: &Guest, now: u64) -> Map<String, Value> {
    let config = &guest.config;
    let [netin, netout, diskread, diskwrite] = load::traffic(guest, now);
    let mut entry = Map::from_iter([
        ("vmid".to_owned(), json!(guest.vmid)),
        ("name".to_owned(), json!(guest.name())),
        ("status".to_owned(), json!(if guest.process.is_some() { "running" } else { "stopped" })),
        ("cpus".to_owned(), json!(config.cpus())),
        ("cpu".to_owned(), fraction_or_zero(guest, load::processors(guest, now))),
        ("maxmem".to_owned(), json!(config.memory_mib() << 20)),
        ("mem".to_owned(), json!(load::memory(guest, now))),
        ("maxdisk".to_owned(), json!(boot_disk_size(config))),
        ("disk".to_owned(), json!(0)),
        ("netin".to_owned(), json!(netin)),
        ("netout".to_owned(), json!(netout)),
        ("uptime".to_owned(), json!(load::uptime(guest, now))),
    ]);
    if cluster.settings.release == Release::V9_2 {
        entry.insert("memhost".to_owned(), json!(load::memory(guest, now)));
    }
    if let Some(process) = &guest.process {
        entry.insert("pid".to_owned(), json!(process.pid));
        entry.insert("diskread".to_owned(), json!(diskread));
        entry.insert("diskwrite".to_owned(), json!(diskwrite));
        if cluster.settings.release == Release::V9_2 {
            for kind in ["cpu", "io", "memory"] {
                for share in ["some", "full"] {
                    entry.insert(format!("pressure{kind}{share}"), json!(0));
                }
            }
        }
    }
    if guest.is_template() {
        entry.insert("template".to_owned(), json!(1));
    }
    if config.values.keys().any(|option| option.starts_with("serial")) {
        entry.insert("serial".to_owned(), json!(1));
    }
    for option in ["lock", "tags"] {
        if let Some(value) = config.get(option) {
            entry.insert(option.to_owned(), json!(value));
        }
    }
    entry
}

/// A stopped guest's load is the integer 0.
fn fraction_or_zero(guest: &Guest, fraction: f64) -> Value {
    if guest.process.is_some() { json!(fraction) } else { json!(0) }
}

/// What QEMU itself is asked for.
fn add_machine(entry: &mut Map<String, Value>, guest: &Guest, now: u64) {
    entry.insert("qmpstatus".to_owned(), json!(machine_status(guest)));
    if guest.process.is_none() {
        return;
    }
    let [netin, netout, _, _] = load::traffic(guest, now);
    let cards: Vec<String> = guest.config.values.keys().filter(|option| is_network_key(option)).cloned().collect();
    let nics: Map<String, Value> = cards
        .iter()
        .enumerate()
        .map(|(position, option)| {
            let first = position == 0;
            let name = format!("tap{}i{}", guest.vmid, option.trim_start_matches("net"));
            (name, json!({ "netin": if first { netin } else { 0 }, "netout": if first { netout } else { 0 } }))
        })
        .collect();
    entry.insert("nics".to_owned(), Value::Object(nics));
}

/// GET /nodes/{node}/qemu
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let full = call.parameters.flag("full") == Some(true);
    let visible =
        |guest: &&Guest| guest.node == call.node() && call.caller.may(&format!("/vms/{}", guest.vmid), "VM.Audit");
    let entries: Vec<Value> = call
        .cluster
        .guests
        .values()
        .filter(visible)
        .map(|guest| {
            let mut entry = common(call.cluster, guest, call.now);
            if full {
                add_machine(&mut entry, guest, call.now);
            }
            Value::Object(entry)
        })
        .collect();
    Ok(Reply::data(entries))
}

/// GET /nodes/{node}/qemu/{vmid}/status
pub(crate) fn index(_call: &mut Call<'_>) -> Outcome {
    let names = ["current", "start", "stop", "reset", "shutdown", "suspend", "reboot"];
    Ok(Reply::data(names.map(|name| json!({ "subdir": name })).to_vec()))
}

/// GET /nodes/{node}/qemu/{vmid}/status/current
pub(crate) fn current(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let guest = call.cluster.load(call.node(), call.vmid())?;
    let mut entry = common(call.cluster, guest, call.now);
    add_machine(&mut entry, guest, call.now);
    let managed = match crate::ha::state(call.cluster, guest.vmid) {
        Some(state) => json!({ "managed": 1, "state": state }),
        None => json!({ "managed": 0 }),
    };
    entry.insert("ha".to_owned(), managed);
    if super::agent::is_configured(&guest.config) {
        entry.insert("agent".to_owned(), json!(1));
    }
    if guest.process.is_some() {
        let (machine, qemu) = match call.cluster.settings.release {
            Release::V8_4 => ("pc-i440fx-9.2+pve1", "9.2.0"),
            Release::V9_2 => ("pc-i440fx-10.2+pve1", "10.2.1"),
        };
        entry.insert("running-machine".to_owned(), json!(machine));
        entry.insert("running-qemu".to_owned(), json!(qemu));
    }
    Ok(Reply::data(entry))
}

/// A guest's entry in /cluster/resources.
pub(crate) fn resource(cluster: &ClusterState, guest: &Guest, now: u64) -> Value {
    if cluster.node(&guest.node).is_some_and(|node| node.offline_since.is_some()) {
        return json!({
            "id": format!("qemu/{}", guest.vmid), "vmid": guest.vmid, "type": "qemu", "node": guest.node,
            "status": "unknown", "template": i32::from(guest.is_template()),
        });
    }
    let mut entry = common(cluster, guest, now);
    let [_, _, diskread, diskwrite] = load::traffic(guest, now);
    entry.retain(|name, _| !name.starts_with("pressure") && !matches!(name.as_str(), "pid" | "serial"));
    let cpus = entry.remove("cpus").unwrap_or_default();
    entry.extend([
        ("id".to_owned(), json!(format!("qemu/{}", guest.vmid))),
        ("type".to_owned(), json!("qemu")),
        ("node".to_owned(), json!(guest.node)),
        ("status".to_owned(), json!(machine_status(guest))),
        ("template".to_owned(), json!(i32::from(guest.is_template()))),
        ("maxcpu".to_owned(), cpus),
        ("diskread".to_owned(), json!(diskread)),
        ("diskwrite".to_owned(), json!(diskwrite)),
    ]);
    Value::Object(entry)
}
