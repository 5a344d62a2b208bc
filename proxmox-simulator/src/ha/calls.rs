//! `/cluster/ha/resources` and `/cluster/ha/status`

use serde_json::{Map, Value, json};

use super::{Resource, Section, state};
use crate::access::split_list;
use crate::call::Call;
use crate::clock::seconds;
use crate::failure::{Failure, Outcome, Reply};
use crate::options::Release;

/// Options of a resource that are numbers.
const NUMBERS: &[&str] = &["max_restart", "max_relocate", "failback", "auto-rebalance"];

/// The VMID of `vm:100` or `100`.
fn vmid(call: &Call<'_>) -> Result<u32, Failure> {
    let sid = call.text("sid");
    let number = sid.strip_prefix("vm:").unwrap_or(sid);
    number.parse().map_err(|_| Failure::died(format!("unable to parse service id '{sid}'")))
}

fn shown(vmid: u32, resource: &Resource) -> Value {
    let mut entry = Map::from_iter([
        ("sid".to_owned(), json!(format!("vm:{vmid}"))),
        ("type".to_owned(), json!("vm")),
        ("state".to_owned(), json!(resource.wanted)),
        ("digest".to_owned(), json!("da39a3ee5e6b4b0d3255bfef95601890afd80709")),
    ]);
    for (option, value) in &resource.options {
        let number = value.parse::<u32>().ok().filter(|_| NUMBERS.contains(&option.as_str()));
        entry.insert(option.clone(), number.map_or_else(|| json!(value), |number| json!(number)));
    }
    Value::Object(entry)
}

fn found<'a>(call: &'a Call<'_>) -> Result<(u32, &'a Resource), Failure> {
    let vmid = vmid(call)?;
    let resource = call.cluster.ha.resources.get(&vmid);
    Ok((vmid, resource.ok_or_else(|| Failure::died(format!("no such resource 'vm:{vmid}'")))?))
}

/// GET /cluster/ha/resources
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let resources = call.cluster.ha.resources.iter().filter(|_| call.parameters.text("type") != Some("ct"));
    Ok(Reply::data(resources.map(|(vmid, resource)| shown(*vmid, resource)).collect::<Vec<_>>()))
}

/// GET /cluster/ha/resources/{sid}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let (vmid, resource) = found(call)?;
    Ok(Reply::data(shown(vmid, resource)))
}

fn refuse_group(call: &Call<'_>) -> Result<(), Failure> {
    let Some(group) = call.parameters.text("group") else { return Ok(()) };
    if call.cluster.settings.release == Release::V9_2 {
        return Err(Failure::died("invalid parameter 'group': ha groups have been migrated to rules"));
    }
    if !call.cluster.ha.groups.contains_key(group) {
        return Err(Failure::died(format!("HA group '{group}' does not exist")));
    }
    Ok(())
}

/// `enabled` is the old word for `started`.
fn wanted(call: &Call<'_>) -> Option<String> {
    call.parameters.text("state").map(|state| if state == "enabled" { "started" } else { state }.to_owned())
}

fn options(call: &Call<'_>) -> Section {
    let fixed = ["sid", "state", "type", "digest", "delete"];
    let given = call.parameters.iter().filter(|(name, _)| !fixed.contains(&name.as_str()));
    given.filter_map(|(name, _)| Some((name.clone(), call.parameters.text(name)?.to_owned()))).collect()
}

/// POST /cluster/ha/resources
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let vmid = vmid(call)?;
    if call.cluster.guest(vmid).is_none() {
        return Err(Failure::died(format!("resource 'vm:{vmid}' does not exists in cluster")));
    }
    refuse_group(call)?;
    if call.cluster.ha.resources.contains_key(&vmid) {
        return Err(Failure::died(format!("create resource failed: resource ID 'vm:{vmid}' already defined")));
    }
    let resource = Resource::new(&wanted(call).unwrap_or_else(|| "started".to_owned()), options(call));
    call.cluster.ha.resources.insert(vmid, resource);
    call.cluster.touch();
    call.cluster.settle(call.now);
    Ok(Reply::null())
}

/// PUT /cluster/ha/resources/{sid}
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    refuse_group(call)?;
    let vmid = vmid(call)?;
    let (wanted, options) = (wanted(call), options(call));
    let delete: Vec<String> = split_list(call.text("delete")).map(str::to_owned).collect();
    let Some(resource) = call.cluster.ha.resources.get_mut(&vmid) else {
        return Err(Failure::died(format!("update resource failed: no such resource 'vm:{vmid}'")));
    };
    if resource.has_failed() && wanted.as_deref() != Some("disabled") {
        return Err(Failure::died(format!("service 'vm:{vmid}' in error state, must be disabled and fixed first")));
    }
    resource.options.extend(options);
    for option in delete {
        resource.options.remove(&option);
    }
    if let Some(wanted) = wanted {
        resource.want(&wanted);
    }
    call.cluster.touch();
    call.cluster.settle(call.now);
    Ok(Reply::null())
}

/// DELETE /cluster/ha/resources/{sid}
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let vmid = vmid(call)?;
    if call.cluster.ha.resources.remove(&vmid).is_none() {
        return Err(Failure::died(format!("cannot delete service 'vm:{vmid}', not HA managed!")));
    }
    call.cluster.touch();
    Ok(Reply::null())
}

/// POST /cluster/ha/resources/{sid}/migrate and /relocate: the guest goes when the manager comes to it.
pub(crate) fn send_away(call: &mut Call<'_>) -> Outcome {
    let vmid = found(call)?.0;
    let node = call.text("node").to_owned();
    if let Some(resource) = call.cluster.ha.resources.get_mut(&vmid) {
        resource.target = Some(node.clone());
    }
    call.cluster.touch();
    call.cluster.settle(call.now);
    match call.cluster.settings.release {
        Release::V8_4 => Ok(Reply::null()),
        Release::V9_2 => Ok(Reply::data(json!({ "sid": format!("vm:{vmid}"), "requested-node": node }))),
    }
}

/// The node that leads: the first that is online.
fn master<'a>(call: &'a Call<'_>) -> &'a str {
    let online = call.cluster.nodes.iter().find(|node| node.offline_since.is_none());
    online.or(call.cluster.nodes.first()).map_or("", |node| node.name.as_str())
}

/// GET /cluster/ha/status/current
pub(crate) fn status(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let (cluster, now) = (&*call.cluster, seconds(call.now));
    let master = master(call);
    let quorate = i32::from(cluster.is_quorate());
    let mut entries = vec![
        json!({ "id": "quorum", "type": "quorum", "node": master, "status": if quorate == 1 { "OK" } else { "No quorum!" }, "quorate": quorate }),
    ];
    if !cluster.ha.resources.is_empty() {
        let status = format!("{master} (active)");
        entries.push(json!({ "id": "master", "type": "master", "node": master, "status": status, "timestamp": now }));
    }
    for node in &cluster.nodes {
        let used =
            cluster.ha.resources.keys().any(|vmid| cluster.guest(*vmid).is_some_and(|guest| guest.node == node.name));
        let what = match (node.offline_since, used) {
            (Some(_), _) => "old timestamp - dead?",
            (None, true) => "active",
            (None, false) => "idle",
        };
        let stamp = node.offline_since.map_or(now, seconds);
        let (id, status) = (format!("lrm:{}", node.name), format!("{} ({what})", node.name));
        entries.push(json!({ "id": id, "type": "lrm", "node": node.name, "status": status, "timestamp": stamp }));
    }
    for (vmid, resource) in &cluster.ha.resources {
        let Some((guest, state)) = cluster.guest(*vmid).zip(state(cluster, *vmid)) else { continue };
        let sid = format!("vm:{vmid}");
        let mut entry = json!({
            "id": format!("service:{sid}"), "type": "service", "sid": sid, "node": guest.node, "state": state,
            "crm_state": state, "request_state": resource.wanted, "status": format!("{sid} ({}, {state})", guest.node),
        });
        for name in ["max_restart", "max_relocate"] {
            let value = resource.options.get(name).and_then(|value| value.parse::<u32>().ok());
            entry[name] = json!(value.unwrap_or(1));
        }
        entries.push(entry);
    }
    Ok(Reply::data(entries))
}

/// GET /cluster/ha/status/manager_status
pub(crate) fn manager_status(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let (cluster, now) = (&*call.cluster, seconds(call.now));
    let nodes: Map<String, Value> = cluster
        .nodes
        .iter()
        .map(|node| (node.name.clone(), json!(if node.offline_since.is_some() { "fence" } else { "online" })))
        .collect();
    let services: Map<String, Value> = cluster
        .ha
        .resources
        .keys()
        .filter_map(|vmid| {
            let entry = json!({ "node": cluster.guest(*vmid)?.node, "state": state(cluster, *vmid)?, "running": 1 });
            Some((format!("vm:{vmid}"), entry))
        })
        .collect();
    Ok(Reply::data(json!({
        "manager_status": {
            "master_node": master(call), "timestamp": now, "node_status": nodes, "service_status": services,
        },
        "quorum": { "node": master(call), "quorate": if cluster.is_quorate() { "1" } else { "0" } },
        "lrm_status": {},
    })))
}
