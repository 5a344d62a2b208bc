//! What 8.4 has not or asks otherwise, compared with the 9.2 schema: computed from the two official schemas.

use serde_json::{Value, json};

use crate::options::Release;

/// Paths (and what lies below them) that came with 9.
const PATHS_SINCE_9: &[&str] = &[
    "/access/vncticket",
    "/cluster/bulk-action",
    "/cluster/ha/rules",
    "/cluster/ha/status/arm-ha",
    "/cluster/ha/status/disarm-ha",
    "/cluster/qemu",
    "/cluster/sdn/fabrics",
    "/cluster/sdn/prefix-lists",
    "/cluster/sdn/route-maps",
    "/nodes/{node}/capabilities/qemu/cpu-flags",
    "/nodes/{node}/capabilities/qemu/migration",
    "/nodes/{node}/qemu/{vmid}/dbus-vmstate",
    "/nodes/{node}/sdn/fabrics",
    "/nodes/{node}/sdn/vnets",
];
/// Parameters that came with 9, by path.
const PARAMETERS_SINCE_9: &[(&str, &[&str])] = &[
    ("/access/users/{userid}/token/{tokenid}", &["delete", "regenerate"]),
    ("/cluster/ha/resources", &["auto-rebalance", "failback"]),
    ("/cluster/ha/resources/{sid}", &["auto-rebalance", "failback", "purge"]),
    ("/cluster/options", &["location", "replication"]),
    ("/nodes/{node}/qemu/{vmid}/agent/file-read", &["count", "decode", "offset"]),
    ("/nodes/{node}/startall", &["max-workers"]),
    ("/nodes/{node}/stopall", &["max-workers"]),
];
/// Where the calls of the guest agent are.
const AGENT: &str = "/nodes/{node}/qemu/{vmid}/agent";

/// Does a release know this path?
pub(super) fn has_path(release: Release, path: &str) -> bool {
    release == Release::V9_2
        || !PATHS_SINCE_9
            .iter()
            .any(|new| path.strip_prefix(new).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Does a release know this parameter of a path?
pub(super) fn has_parameter(release: Release, path: &str, name: &str) -> bool {
    release == Release::V9_2 || !PARAMETERS_SINCE_9.iter().any(|(of, names)| *of == path && names.contains(&name))
}

/// The permission a release asks for: until 8.4 one privilege opened the whole guest agent.
pub(super) fn permission(release: Release, path: &str, since_9: &Value) -> Value {
    let of_agent = path.strip_prefix(AGENT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if release == Release::V8_4 && of_agent && since_9.get("check").is_some() {
        return json!({ "check": ["perm", "/vms/{vmid}", ["VM.Monitor"]] });
    }
    since_9.clone()
}
