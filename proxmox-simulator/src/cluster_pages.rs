//! What a cluster tells about itself that no guest depends on: its log, its options, its members, and lists that are
//! empty until somebody fills them elsewhere.

use serde_json::{Map, Value, json};

use crate::access::split_list;
use crate::backups::jobs;
use crate::call::Call;
use crate::clock::seconds;
use crate::failure::{Failure, Outcome, Reply};

/// Entries of the log when no number is given.
const LOG_ENTRIES: usize = 50;
/// Identifier of the corosync interface.
const TOTEM_INTERFACE: &str = "0";

/// GET /cluster/options
pub(crate) fn options(call: &mut Call<'_>) -> Outcome {
    let mut shown: Map<String, Value> =
        call.cluster.options.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    shown.entry("mac_prefix").or_insert_with(|| json!("BC:24:11"));
    shown.insert("allowed-tags".to_owned(), json!([]));
    Ok(Reply::data(shown))
}

/// PUT /cluster/options
pub(crate) fn set_options(call: &mut Call<'_>) -> Outcome {
    let delete: Vec<String> = split_list(call.text("delete")).map(str::to_owned).collect();
    let given: Vec<(String, String)> = call
        .parameters
        .iter()
        .filter(|(name, _)| *name != "delete")
        .filter_map(|(name, _)| Some((name.clone(), call.parameters.text(name)?.to_owned())))
        .collect();
    call.cluster.options.extend(given);
    call.cluster.options.retain(|name, _| !delete.contains(name));
    call.cluster.touch();
    Ok(Reply::null())
}

/// GET /cluster/log: the tasks' beginnings and ends, newest first.
pub(crate) fn log(call: &mut Call<'_>) -> Outcome {
    let sees_all = call.caller.may("/", "Sys.Syslog");
    let most = call.parameters.number("max").unwrap_or(LOG_ENTRIES);
    let mut lines: Vec<(u64, String, String, String)> = Vec::new();
    for node in &call.cluster.nodes {
        for task in call.cluster.tasks.of_node(&node.name) {
            if !sees_all && task.owner != call.caller.id() {
                continue;
            }
            let begun = format!("starting task {}", task.upid);
            lines.push((seconds(task.started), node.name.clone(), task.owner.clone(), begun));
            if let Some((at, exit)) = task.ended() {
                let ended = format!("end task {} {exit}", task.upid);
                lines.push((seconds(at), node.name.clone(), task.owner.clone(), ended));
            }
        }
    }
    lines.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
    let count = lines.len();
    let entries = lines.into_iter().take(most).enumerate().map(|(index, (time, node, user, text))| {
        let uid = (count - index).to_string();
        json!({
            "uid": uid, "id": format!("{uid}:{node}"), "time": time, "node": node, "user": user, "msg": text, "pri": 6,
            "pid": 64, "tag": "pvedaemon",
        })
    });
    Ok(Reply::data(entries.collect::<Vec<_>>()))
}

/// GET /cluster/config/nodes
pub(crate) fn members(call: &mut Call<'_>) -> Outcome {
    let address = &call.cluster.settings.address;
    let members = call.cluster.nodes.iter().enumerate().map(|(index, node)| {
        let id = (index + 1).to_string();
        json!({ "node": node.name, "name": node.name, "nodeid": id, "quorum_votes": "1", "ring0_addr": address })
    });
    let alone = call.cluster.nodes.len() == 1;
    Ok(Reply::data(if alone { Vec::new() } else { members.collect::<Vec<_>>() }))
}

fn totem_of(call: &Call<'_>) -> Value {
    json!({
        "cluster_name": call.cluster.name, "config_version": "3", "ip_version": "ipv4-6", "secauth": "on", "version": "2",
        "interface": { TOTEM_INTERFACE: { "linknumber": TOTEM_INTERFACE } },
    })
}

/// GET /cluster/config/totem
pub(crate) fn totem(call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(if call.cluster.nodes.len() == 1 { json!({}) } else { totem_of(call) }))
}

/// GET /cluster/config/qdevice: there is none.
pub(crate) fn quorum_device(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(json!({})))
}

/// GET /cluster/config/apiversion
pub(crate) fn join_version(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(json!(1)))
}

/// GET /cluster/config/join
pub(crate) fn join(call: &mut Call<'_>) -> Outcome {
    if call.cluster.nodes.len() == 1 {
        return Err(Failure::died("node is not in a cluster, no join info available!"));
    }
    let settings = &call.cluster.settings;
    let nodes = call.cluster.nodes.iter().enumerate().map(|(index, node)| {
        json!({
            "name": node.name, "nodeid": (index + 1).to_string(), "pve_addr": settings.address,
            "pve_fp": settings.fingerprint, "quorum_votes": "1", "ring0_addr": settings.address,
        })
    });
    Ok(Reply::data(json!({
        "config_digest": "da39a3ee5e6b4b0d3255bfef95601890afd80709", "totem": totem_of(call),
        "preferred_node": call.cluster.nodes.first().map(|node| node.name.as_str()),
        "nodelist": nodes.collect::<Vec<_>>(),
    })))
}

/// GET /cluster/backup-info/not-backed-up: guests that no backup job covers.
pub(crate) fn not_backed_up(call: &mut Call<'_>) -> Outcome {
    let covered = jobs::covered(call.cluster);
    let open = call.cluster.guests.values().filter(|guest| !covered.contains(&guest.vmid));
    let visible = open.filter(|guest| call.caller.may(&format!("/vms/{}", guest.vmid), "VM.Audit"));
    let guests = visible.map(|guest| json!({ "vmid": guest.vmid, "name": guest.name(), "type": "qemu" }));
    Ok(Reply::data(guests.collect::<Vec<_>>()))
}

/// GET /cluster/notifications/targets
pub(crate) fn targets(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(vec![json!({ "name": "mail-to-root", "type": "sendmail", "origin": "builtin" })]))
}

/// GET /cluster/notifications/matchers
pub(crate) fn matchers(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(vec![json!({
        "name": "default-matcher", "mode": "all", "target": ["mail-to-root"], "origin": "builtin",
    })]))
}

/// GET /cluster/sdn/ipams
pub(crate) fn address_managers(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(vec![json!({ "ipam": "pve", "type": "pve" })]))
}
