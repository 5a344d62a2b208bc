//! What the guest agent tells about its system, and the commands that change nothing but the system's state.

use serde_json::{Value, json};

use super::agent::{answering, answering_mut};
use super::process;
use crate::call::Call;
use crate::cluster::drive::boot_disk_size;
use crate::cluster::guest::Guest;
use crate::failure::{Failure, Outcome, Reply};

/// Version of the agent.
const AGENT_VERSION: &str = "7.2.22";
/// Bytes of a block of hot-plugged memory.
const MEMORY_BLOCK: u64 = 128 << 20;
/// Blocks shown at most.
const MEMORY_BLOCKS_MAX: u64 = 1_024;
/// Commands the agent has; those it has switched off are left out.
const COMMANDS: &[&str] = &[
    "guest-exec",
    "guest-exec-status",
    "guest-file-close",
    "guest-file-open",
    "guest-file-read",
    "guest-file-write",
    "guest-fsfreeze-freeze",
    "guest-fsfreeze-status",
    "guest-fsfreeze-thaw",
    "guest-fstrim",
    "guest-get-fsinfo",
    "guest-get-host-name",
    "guest-get-memory-block-info",
    "guest-get-memory-blocks",
    "guest-get-osinfo",
    "guest-get-time",
    "guest-get-timezone",
    "guest-get-users",
    "guest-get-vcpus",
    "guest-info",
    "guest-network-get-interfaces",
    "guest-ping",
    "guest-set-user-password",
    "guest-shutdown",
    "guest-suspend-disk",
    "guest-suspend-hybrid",
    "guest-suspend-ram",
    "guest-sync",
];

fn result(value: Value) -> Outcome {
    Ok(Reply::data(json!({ "result": value })))
}

/// The name the system calls itself.
pub(super) fn host_name(guest: &Guest) -> String {
    guest.name().replace(' ', "-")
}

/// GET agent/info
pub(crate) fn info(call: &mut Call<'_>) -> Outcome {
    answering(call)?;
    let commands = COMMANDS.iter().map(|name| json!({ "name": name, "enabled": true, "success-response": true }));
    result(json!({ "version": AGENT_VERSION, "supported_commands": commands.collect::<Vec<_>>() }))
}

/// GET agent/get-osinfo
pub(crate) fn system(call: &mut Call<'_>) -> Outcome {
    let guest = answering(call)?;
    let name = guest.name().to_ascii_lowercase();
    let (id, version, pretty) = match name {
        name if name.contains("ubuntu") => ("ubuntu", "24.04", "Ubuntu 24.04.2 LTS"),
        name if name.contains("rocky") => ("rocky", "9.5", "Rocky Linux 9.5 (Blue Onyx)"),
        _ => ("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
    };
    result(json!({
        "id": id, "name": pretty.split(" 12").next().unwrap_or(pretty), "pretty-name": pretty, "version-id": version,
        "version": version, "machine": "x86_64", "kernel-release": "6.1.0-31-amd64",
        "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.128-1 (2025-02-07)",
    }))
}

/// GET agent/get-host-name
pub(crate) fn name(call: &mut Call<'_>) -> Outcome {
    let name = host_name(answering(call)?);
    result(json!({ "host-name": name }))
}

/// GET agent/get-users: nobody is logged in.
pub(crate) fn users(call: &mut Call<'_>) -> Outcome {
    answering(call)?;
    result(json!([]))
}

/// GET agent/get-time: nanoseconds.
pub(crate) fn time(call: &mut Call<'_>) -> Outcome {
    answering(call)?;
    result(json!(call.now.saturating_mul(1_000)))
}

/// GET agent/get-timezone
pub(crate) fn timezone(call: &mut Call<'_>) -> Outcome {
    answering(call)?;
    result(json!({ "zone": "UTC", "offset": 0 }))
}

/// GET agent/get-vcpus
pub(crate) fn processors(call: &mut Call<'_>) -> Outcome {
    let count = answering(call)?.config.cpus();
    let all = (0..count).map(|id| json!({ "logical-id": id, "online": true, "can-offline": id > 0 }));
    result(Value::Array(all.collect()))
}

/// GET agent/get-fsinfo
pub(crate) fn file_systems(call: &mut Call<'_>) -> Outcome {
    let guest = answering(call)?;
    let size = boot_disk_size(&guest.config);
    if size == 0 {
        return result(json!([]));
    }
    result(json!([{
        "name": "sda1", "mountpoint": "/", "type": "ext4", "total-bytes": size / 100 * 95, "used-bytes": size / 5,
        "disk": [{
            "dev": "/dev/sda1", "bus-type": "scsi", "bus": 0, "target": 0, "unit": 0, "serial": "drive-scsi0",
            "pci-controller": { "domain": 0, "bus": 9, "slot": 1, "function": 0 },
        }],
    }]))
}

/// GET agent/get-memory-blocks
pub(crate) fn memory_blocks(call: &mut Call<'_>) -> Outcome {
    let count = ((answering(call)?.config.memory_mib() << 20) / MEMORY_BLOCK).clamp(1, MEMORY_BLOCKS_MAX);
    let all = (0..count).map(|index| json!({ "phys-index": index, "online": true, "can-offline": true }));
    result(Value::Array(all.collect()))
}

/// GET agent/get-memory-block-info
pub(crate) fn memory_block_size(call: &mut Call<'_>) -> Outcome {
    answering(call)?;
    result(json!({ "size": MEMORY_BLOCK }))
}

/// POST agent/fsfreeze-freeze
pub(crate) fn freeze(call: &mut Call<'_>) -> Outcome {
    answering_mut(call)?.inside.frozen = true;
    result(json!(1))
}

/// POST agent/fsfreeze-thaw
pub(crate) fn thaw(call: &mut Call<'_>) -> Outcome {
    let guest = answering_mut(call)?;
    let frozen = std::mem::take(&mut guest.inside.frozen);
    result(json!(i32::from(frozen)))
}

/// POST agent/fsfreeze-status
pub(crate) fn freeze_status(call: &mut Call<'_>) -> Outcome {
    let frozen = answering(call)?.inside.frozen;
    result(json!(if frozen { "frozen" } else { "thawed" }))
}

/// POST agent/fstrim
pub(crate) fn trim(call: &mut Call<'_>) -> Outcome {
    let guest = answering(call)?;
    if guest.inside.frozen {
        return Err(Failure::died("Agent error: Command guest-fstrim has been disabled: the agent is in frozen state"));
    }
    result(json!({ "paths": [{ "path": "/", "trimmed": boot_disk_size(&guest.config) / 10, "minimum": 0 }] }))
}

/// POST agent/shutdown: the guest goes down by itself, without a task.
pub(crate) fn shutdown(call: &mut Call<'_>) -> Outcome {
    let vmid = answering(call)?.vmid;
    process::end(call.cluster, vmid, call.now);
    result(json!({}))
}

/// POST agent/suspend-ram and suspend-hybrid: the processors stop until somebody resumes.
pub(crate) fn suspend(call: &mut Call<'_>) -> Outcome {
    if let Some(process) = &mut answering_mut(call)?.process {
        process.paused = true;
    }
    result(json!({}))
}

/// POST agent: the same commands by name, those that need no further parameters.
pub(crate) fn by_name(call: &mut Call<'_>) -> Outcome {
    let run: fn(&mut Call<'_>) -> Outcome = match call.text("command") {
        "fsfreeze-freeze" => freeze,
        "fsfreeze-status" => freeze_status,
        "fsfreeze-thaw" => thaw,
        "fstrim" => trim,
        "get-fsinfo" => file_systems,
        "get-host-name" => name,
        "get-memory-block-info" => memory_block_size,
        "get-memory-blocks" => memory_blocks,
        "get-osinfo" => system,
        "get-time" => time,
        "get-timezone" => timezone,
        "get-users" => users,
        "get-vcpus" => processors,
        "info" => info,
        "network-get-interfaces" => super::agent::interfaces,
        "ping" => super::agent::ping,
        "shutdown" | "suspend-disk" => shutdown,
        _ => suspend,
    };
    run(call)
}
