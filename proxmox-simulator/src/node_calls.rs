//! Calls about nodes: the list and a node's own status. Load figures are invented in `load`.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::Node;
use crate::cluster_calls::release_words;
use crate::failure::{Outcome, Reply};
use crate::load;
use crate::options::{GIB, Release};

/// Memory a node takes for itself.
const OWN_MEMORY: u64 = 2 * GIB;
/// Size of a node's root file system, and how much of it is in use.
pub(crate) const ROOT_SIZE: u64 = 100 * GIB;
pub(crate) const ROOT_USED: u64 = 9 * GIB;

/// Memory in use on a node: its own and that of its running guests.
fn memory_used(call: &Call<'_>, node: &Node) -> u64 {
    memory_used_at(call, node, call.now)
}

/// The same at another time.
pub(crate) fn memory_used_at(call: &Call<'_>, node: &Node, at: Micros) -> u64 {
    let guests = call.cluster.guests.values().filter(|guest| guest.node == node.name && guest.process.is_some());
    let used: u64 = guests.map(|guest| load::memory(guest, at)).sum();
    (OWN_MEMORY + used).min(node.memory)
}

fn processor_load(call: &Call<'_>, node: &Node) -> f64 {
    let guests = call.cluster.guests.values().filter(|guest| guest.node == node.name);
    load::node_processors(guests, node.cores, call.now)
}

/// What GET /nodes and /cluster/resources say about a node.
pub(crate) fn entry(call: &Call<'_>, node: &Node) -> Map<String, Value> {
    let mut entry = Map::from_iter([
        ("type".to_owned(), json!("node")),
        ("id".to_owned(), json!(format!("node/{}", node.name))),
        ("node".to_owned(), json!(node.name)),
        ("status".to_owned(), json!(if node.offline_since.is_some() { "offline" } else { "online" })),
        ("level".to_owned(), json!("")),
        ("ssl_fingerprint".to_owned(), json!(call.cluster.settings.fingerprint)),
    ]);
    if node.offline_since.is_none() && call.caller.may(&format!("/nodes/{}", node.name), "Sys.Audit") {
        entry.insert("maxcpu".to_owned(), json!(node.cores));
        entry.insert("cpu".to_owned(), json!(processor_load(call, node)));
        entry.insert("maxmem".to_owned(), json!(node.memory));
        entry.insert("mem".to_owned(), json!(memory_used(call, node)));
        entry.insert("maxdisk".to_owned(), json!(ROOT_SIZE));
        entry.insert("disk".to_owned(), json!(ROOT_USED));
        entry.insert("uptime".to_owned(), json!(call.now.saturating_sub(node.booted) / 1_000_000));
    }
    entry
}

/// GET /nodes
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let entries: Vec<Value> = call.cluster.nodes.iter().map(|node| Value::Object(entry(call, node))).collect();
    Ok(Reply::data(entries))
}

/// GET /nodes/{node}/status
pub(crate) fn status(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let Some(node) = call.cluster.node(call.node()) else { return Ok(Reply::null()) };
    let release = call.cluster.settings.release;
    let (_, version, repository) = release_words(release);
    let kernel = match release {
        Release::V8_4 => "6.8.12-13-pve",
        Release::V9_2 => "6.17.4-1-pve",
    };
    let build = "#1 SMP PREEMPT_DYNAMIC PMX";
    let used = memory_used(call, node);
    let processors = processor_load(call, node);
    let average = load::average(processors, node.cores);
    let mut memory = json!({ "total": node.memory, "used": used, "free": node.memory - used });
    let mut processor = json!({
        "model": "AMD EPYC 7313P 16-Core Processor", "sockets": 1, "cores": (node.cores / 2).max(1),
        "cpus": node.cores, "mhz": "2994.375", "hvm": "1", "user_hz": 100,
        "flags": "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx lm svm avx avx2 aes",
    });
    if release == Release::V9_2 {
        memory["available"] = json!(node.memory - used);
        processor["vendor"] = json!("AuthenticAMD");
        processor["family"] = json!("25");
    }
    Ok(Reply::data(json!({
        "uptime": call.now.saturating_sub(node.booted) / 1_000_000, "idle": 0, "wait": 0, "cpu": processors,
        "loadavg": [average, average, average], "memory": memory, "swap": { "total": 8 * GIB, "used": 0, "free": 8 * GIB },
        "rootfs": { "total": ROOT_SIZE, "used": ROOT_USED, "free": ROOT_SIZE - ROOT_USED, "avail": ROOT_SIZE - ROOT_USED },
        "ksm": { "shared": 0 }, "cpuinfo": processor, "boot-info": { "mode": "efi", "secureboot": 0 },
        "pveversion": format!("pve-manager/{version}/{repository}"), "kversion": format!("Linux {kernel} {build}"),
        "current-kernel": { "sysname": "Linux", "release": kernel, "version": build, "machine": "x86_64" },
    })))
}
