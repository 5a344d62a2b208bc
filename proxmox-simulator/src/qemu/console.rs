//! Opening consoles: the port and ticket of a screen or a serial line, and the check before the WebSocket. The node that
//! is asked opens the port, so only that node has it.

use serde_json::{Value, json};

use crate::call::Call;
use crate::clock::micros;
use crate::console::{Console, Kind};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// The port of SPICE on a node.
const SPICE_PORT: u16 = 61_000;

/// POST vncproxy
pub(crate) fn open_vnc(call: &mut Call<'_>) -> Outcome {
    let console = open(call, Kind::Screen, None)?;
    let mut answer = common(&console);
    answer["cert"] = json!(call.cluster.settings.certificate);
    answer["password"] = json!(console.password);
    Ok(Reply::data(answer))
}

/// POST termproxy. It answers for a guest without serial line too: that is said on the line itself.
pub(crate) fn open_terminal(call: &mut Call<'_>) -> Outcome {
    let serial = call.parameters.text("serial").map(str::to_owned);
    let console = open(call, Kind::Serial, serial)?;
    Ok(Reply::data(common(&console)))
}

/// POST spiceproxy
pub(crate) fn open_spice(call: &mut Call<'_>) -> Outcome {
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    let guest = call.cluster.load(&node, vmid)?;
    let (name, has_spice) = (guest.name(), guest.config.get("vga").is_some_and(|vga| vga.starts_with("qxl")));
    if guest.process.is_none() {
        return Err(Failure::died(format!("VM {vmid} not running")));
    }
    if !has_spice {
        return Err(Failure::died("no spice port"));
    }
    let secrets = Console::new(Kind::Screen, &node, vmid, SPICE_PORT, call.caller.id(), call.now);
    let proxy = call.parameters.text("proxy").unwrap_or(&call.cluster.settings.address);
    Ok(Reply::data(json!({
        "type": "spice",
        "title": format!("VM {vmid} - {name}"),
        "host": format!("pvespiceproxy:{}:{vmid}:{node}::{SPICE_PORT}", crate::clock::seconds(call.now)),
        "proxy": format!("http://{proxy}:3128"),
        "tls-port": SPICE_PORT,
        "password": secrets.password,
        "ca": call.cluster.settings.certificate.replace('\n', "\\n"),
        "host-subject": format!("OU=PVE Cluster Node,O=Proxmox Virtual Environment,CN={node}"),
        "secure-attention": "Ctrl+Alt+Ins",
        "toggle-fullscreen": "Shift+F11",
        "release-cursor": "Ctrl+Alt+R",
        "delete-this-file": 1,
    })))
}

/// GET vncwebsocket: whose the port is, and whether the ticket is good for it.
pub(crate) fn connect(call: &mut Call<'_>) -> Outcome {
    let (node, vmid) = (call.node().to_owned(), call.vmid());
    let port: u16 = call.parameters.number("port").unwrap_or_default();
    call.cluster.load(&node, vmid)?;
    let denied = || Failure::with_status(401, "permission denied - invalid PVEVNC ticket");
    let ticket = call.text("vncticket");
    let console = call.cluster.consoles.at(&node, port).ok_or_else(denied)?;
    let age = call.now.saturating_sub(console.opened);
    let good = console.vmid == vmid
        && console.user == call.caller.id()
        && console.has_ticket(ticket)
        && age <= micros(call.cluster.timing().console_ticket);
    if !good {
        return Err(denied());
    }
    let console = console.clone();
    Ok(Reply { console: Some(console), ..Reply::data(json!({ "port": port.to_string() })) })
}

fn open(call: &mut Call<'_>, kind: Kind, serial: Option<String>) -> Result<Console, Failure> {
    let (node, vmid, now) = (call.node().to_owned(), call.vmid(), call.now);
    let vga = call.cluster.load(&node, vmid)?.config.get("vga").map(str::to_owned);
    // Those whose ticket may still be shown stay known a while longer than their task.
    let ticket = micros(call.cluster.timing().console_ticket);
    call.cluster.forget_consoles(now.saturating_sub(ticket));
    if call.cluster.consoles.free_port(&node).is_none() {
        call.cluster.forget_consoles(now);
    }
    let port = call.cluster.consoles.free_port(&node);
    let port = port.ok_or_else(|| Failure::died("unable to find free port (5900-6000)"))?;
    let mut console = Console::new(kind, &node, vmid, port, call.caller.id(), now);
    console.serial = serial.or_else(|| vga.filter(|vga| kind == Kind::Serial && vga.starts_with("serial")));
    console.upid = call.spawn("vncproxy", None, Work::Console);
    let until = now.saturating_add(micros(call.cluster.timing().console_wait));
    call.cluster.console_waits(&console.upid, until);
    call.cluster.consoles.add(console.clone());
    Ok(console)
}

fn common(console: &Console) -> Value {
    json!({
        "user": console.user,
        "ticket": console.long_ticket(),
        // The port comes as a text.
        "port": console.port.to_string(),
        "upid": console.upid,
    })
}
