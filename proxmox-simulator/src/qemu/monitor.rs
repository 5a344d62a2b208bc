//! sendkey and the human monitor: what a person types at a running guest.

use serde_json::json;

use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};
use crate::options::Release;

/// PUT /nodes/{node}/qemu/{vmid}/sendkey
pub(crate) fn send_key(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    let guest = call.cluster.load(call.node(), call.vmid())?;
    guest.check_lock().map_err(Failure::died)?;
    if guest.process.is_none() {
        return Err(Failure::died(format!("VM {} not running", guest.vmid)));
    }
    Ok(Reply::null())
}

/// POST /nodes/{node}/qemu/{vmid}/monitor: a token may look, only root may touch.
pub(crate) fn run(call: &mut Call<'_>) -> Outcome {
    let (node, vmid, command) = (call.node().to_owned(), call.vmid(), call.text("command").trim().to_owned());
    let looks = command == "help" || command == "info" || command.starts_with("info ");
    if !looks && call.caller.id() != "root@pam" {
        return Err(Failure::forbidden("Permission check failed (user != root@pam)"));
    }
    let version = match call.cluster.settings.release {
        Release::V8_4 => "9.2.0 (pve-qemu-kvm_9.2.0)",
        Release::V9_2 => "10.2.1 (pve-qemu-kvm_10.2.1)",
    };
    let guest = call.cluster.load_mut(&node, vmid)?;
    let name = guest.name();
    let uuid = guest.config.get("smbios1").and_then(|text| text.strip_prefix("uuid=")).map(str::to_owned);
    let Some(process) = &mut guest.process else {
        return Ok(Reply::data(json!(format!("ERROR: VM {vmid} not running\n"))));
    };
    let answer = match command.as_str() {
        "info status" if process.prelaunch => "VM status: paused (prelaunch)\r\n".to_owned(),
        "info status" if process.paused => "VM status: paused\r\n".to_owned(),
        "info status" => "VM status: running\r\n".to_owned(),
        "info version" => format!("{version}\r\n"),
        "info name" => format!("{name}\r\n"),
        "info uuid" => format!("{}\r\n", uuid.unwrap_or_default()),
        "help" | "info" => "info name|status|uuid|version -- show what QEMU knows\r\n".to_owned(),
        "stop" | "cont" => {
            process.paused = command == "stop";
            String::new()
        }
        _ => format!("unknown command: '{command}'\r\n"),
    };
    call.cluster.touch();
    Ok(Reply::data(answer))
}
