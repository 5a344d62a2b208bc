//! Calls about the cluster as a whole: version, permissions, next id, status, resources.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::cluster::ClusterState;
use crate::cluster::storage::Storage;
use crate::failure::{Failure, Outcome, Reply};
use crate::node_calls;
use crate::options::Release;

/// Version and repository id of a release.
pub(crate) fn release_words(release: Release) -> (&'static str, &'static str, &'static str) {
    match release {
        Release::V8_4 => ("8.4", "8.4.21", "2606ac8500000000"),
        Release::V9_2 => ("9.2", "9.2.11", "14a22df35955d97d"),
    }
}

/// GET /version
pub(crate) fn version(call: &mut Call<'_>) -> Outcome {
    let (release, version, repository) = release_words(call.cluster.settings.release);
    Ok(Reply::data(json!({ "release": release, "version": version, "repoid": repository })))
}

/// GET /cluster/nextid: a string, and no reservation.
pub(crate) fn next_id(call: &mut Call<'_>) -> Outcome {
    match call.parameters.number::<u32>("vmid") {
        Some(vmid) if call.cluster.guest(vmid).is_some() => {
            Err(Failure::parameter("vmid", format!("VM {vmid} already exists")))
        }
        Some(vmid) => Ok(Reply::data(vmid.to_string())),
        None => Ok(Reply::data(call.cluster.next_id().to_string())),
    }
}

/// GET /cluster/status: without the cluster's own entry when there is only one node.
pub(crate) fn status(call: &mut Call<'_>) -> Outcome {
    let cluster = &*call.cluster;
    let alone = cluster.nodes.len() == 1;
    let mut entries = Vec::new();
    if !alone {
        entries.push(json!({
            "type": "cluster", "id": "cluster", "name": cluster.name, "nodes": cluster.nodes.len(),
            "quorate": i32::from(cluster.is_quorate()), "version": cluster.nodes.len(),
        }));
    }
    for (index, node) in cluster.nodes.iter().enumerate() {
        entries.push(json!({
            "type": "node", "id": format!("node/{}", node.name), "name": node.name,
            "online": i32::from(node.offline_since.is_none()),
            "ip": cluster.settings.address, "nodeid": if alone { 0 } else { index + 1 },
            "local": i32::from(index == 0), "level": "",
        }));
    }
    Ok(Reply::data(entries))
}

/// GET /cluster/resources
pub(crate) fn resources(call: &mut Call<'_>) -> Outcome {
    let (lag, now) = (call.cluster.settings.resources_lag, call.now);
    let only = call.parameters.text("type");
    let wanted = |kind: &str| only.is_none_or(|only| only == kind);
    let mut entries = Vec::new();
    if wanted("vm") {
        let visible = |vmid: u32| call.caller.may(&format!("/vms/{vmid}"), "VM.Audit");
        let guests = call.cluster.guests.values().filter(|guest| visible(guest.vmid));
        entries.extend(guests.map(|guest| {
            let mut entry = call.cluster.pictured(guest, lag, now);
            if let Some(state) = crate::ha::state(call.cluster, guest.vmid) {
                entry["hastate"] = json!(state);
            }
            let pool = call.cluster.access.pool_of(guest.vmid);
            if let Some(pool) = pool.filter(|pool| call.caller.may(&format!("/pool/{pool}"), "Pool.Audit")) {
                entry["pool"] = json!(pool);
            }
            entry
        }));
        if only.is_none() {
            let pools = call.cluster.access.pools.keys();
            let pools = pools.filter(|pool| call.caller.may(&format!("/pool/{pool}"), "Pool.Audit"));
            entries.extend(pools.map(|pool| json!({ "id": format!("/pool/{pool}"), "type": "pool", "pool": pool })));
        }
    }
    if wanted("node") {
        for node in &call.cluster.nodes {
            let mut entry = node_calls::entry(call, node);
            entry.remove("ssl_fingerprint");
            entry.insert("cgroup-mode".to_owned(), json!(2));
            entries.push(Value::Object(entry));
        }
    }
    if wanted("storage") {
        for node in &call.cluster.nodes {
            for storage in &call.cluster.storages {
                let path = format!("/storage/{}", storage.id);
                if !call.caller.may(&path, "Datastore.Audit") && !call.caller.may(&path, "Datastore.AllocateSpace") {
                    continue;
                }
                entries.push(storage_resource(call.cluster, storage, &node.name));
            }
        }
    }
    if wanted("sdn") && call.caller.may("/sdn/zones/localnetwork", "SDN.Audit") {
        entries.extend(call.cluster.nodes.iter().map(|node| zone(call.cluster.settings.release, &node.name)));
    }
    Ok(Reply::data(entries))
}

/// A storage's entry in /cluster/resources.
pub(crate) fn storage_resource(cluster: &ClusterState, storage: &Storage, node: &str) -> Value {
    let online = cluster.node(node).is_some_and(|node| node.offline_since.is_none());
    json!({
        "type": "storage", "id": format!("storage/{node}/{}", storage.id), "storage": storage.id, "node": node,
        "status": if online { "available" } else { "unknown" }, "shared": i32::from(storage.shared), "plugintype": storage.kind,
        "content": storage.content.join(","), "maxdisk": storage.size, "disk": cluster.volumes.used(storage, node),
    })
}

fn zone(release: Release, node: &str) -> Value {
    let mut entry = Map::from_iter([("node".to_owned(), json!(node)), ("status".to_owned(), json!("ok"))]);
    match release {
        Release::V8_4 => {
            entry.insert("type".to_owned(), json!("sdn"));
            entry.insert("sdn".to_owned(), json!("localnetwork"));
            entry.insert("id".to_owned(), json!(format!("sdn/{node}/localnetwork")));
        }
        Release::V9_2 => {
            entry.insert("type".to_owned(), json!("network"));
            entry.insert("network".to_owned(), json!("localnetwork"));
            entry.insert("network-type".to_owned(), json!("zone"));
            entry.insert("id".to_owned(), json!(format!("network/{node}/zone/localnetwork")));
        }
    }
    Value::Object(entry)
}
