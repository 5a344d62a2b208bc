//! Replays real exchanges of an 8.4.21 and a 9.2.11 node in their order and compares what comes back: status, reason,
//! message, error map, the shape of data, and where they are no accident the values.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use client::Client;
use proxmox_simulator::{Options, Release, Simulator, StorageDefinition, TemplateDefinition};
use serde_json::Value;

/// Exchanges that cannot happen again here, with the reason.
const NOT_REPLAYABLE: &[(&str, &str)] = &[
    ("cookie ", "the replay has one way in per call; tests/around has cookies"),
    ("shutdown (long", "nothing takes long with instant timing"),
    ("ws", "each needs a WebSocket and a ticket of its own: tests/console.rs does them"),
    ("vncwebsocket without upgrade", "it needs a ticket of its own: tests/console.rs does it"),
    ("termproxy", "the recorded machine had no termproxy to start"),
    ("task status running", "nothing takes long with instant timing"),
    ("task log running", "nothing takes long with instant timing"),
    ("task stop", "nothing takes long with instant timing"),
    ("aborted task", "nothing takes long with instant timing"),
    ("task log paging", "it reads the aborted task"),
    ("clone unknown target node", "the token's pool check comes first there"),
    ("list /nodes/pve9/time", "the laboratory had no timedatectl"),
    ("node rrddata", "the laboratory had no past; tests/around has one"),
    ("no api2", "the web interface is not simulated"),
    ("root", "the web interface is not simulated"),
    ("double slash", "clients normalise it away"),
    ("privsep: config after acl", "the recorded template was made elsewhere, with other options"),
];
/// Exchanges of 8.4 that show the laboratory's kernel, not Proxmox.
const KERNEL_OF_8: &[&str] =
    &["start locked", "config locked", "delete locked", "delete again", "tasks by vmid", "tasks errors"];
/// Exchanges of 9.2 in which the slow laboratory still held a lock from the call before.
const SLOW_IN_9: &[&str] = &["delete snapshot", "rollback missing task status (final)", "rollback missing task log"];
/// Keys only a laboratory without Proxmox's own QEMU, or a snapshot, brings forth or leaves out.
const OTHER_KEYS: &[&str] =
    &["diskread", "diskwrite", "running-machine", "running-qemu", "parent", "secureboot", "changes"];
/// Config values that are random or counted.
const RANDOM: &[&str] = &["smbios1", "vmgenid", "digest", "meta", "parent", "unused0", "snaptime"];

struct Replay {
    client: Client,
    simulator: Simulator,
    upids: HashMap<String, String>,
    /// Secrets of tokens made on the way.
    secrets: HashMap<String, String>,
    compared: usize,
    differences: Vec<String>,
    returns: Option<Value>,
    returned: usize,
}

fn start(release: Release, node: &str) -> Simulator {
    let everything = ["backup", "images", "iso", "rootdir", "snippets", "vztmpl"].map(str::to_owned).to_vec();
    let storage = |id: &str| StorageDefinition {
        id: id.to_owned(),
        kind: "dir".to_owned(),
        shared: false,
        content: everything.clone(),
        size: 270_553_174_016,
        files: if id == "local" { vec![("iso/tiny-1.0.iso".to_owned(), 358_400)] } else { Vec::new() },
    };
    let template = TemplateDefinition {
        vmid: 9001,
        name: "debian-12-lab".to_owned(),
        disk: 64 << 20,
        node: 0,
        storage: "local".to_owned(),
    };
    Simulator::start(Options {
        node_names: Some(vec![node.to_owned()]),
        storages: vec![storage("local"), storage("fast")],
        templates: vec![template],
        token: Some(("root@pam!lab".to_owned(), "s".to_owned())),
        root_password: Some("PASSWORD".to_owned()),
        release,
        ..Options::default()
    })
    .unwrap()
}

impl Replay {
    /// The credentials a recorded request had, known by its label.
    fn client_for(&self, label: &str) -> Client {
        let bad =
            ["bad token value", "unknown token id", "unknown user token", "malformed token", "empty token secret"];
        let authorization = match label {
            "no auth" => None,
            "malformed scheme" => Some("Bearer abc=x".to_owned()),
            "malformed token" => Some("PVEAPIToken=garbage".to_owned()),
            "empty token secret" => Some("PVEAPIToken=root@pam!lab=".to_owned()),
            _ if bad.contains(&label) => Some("PVEAPIToken=root@pam!other=x".to_owned()),
            _ if label.starts_with("ticket ") || label == "disabled user login" => None,
            _ if label.starts_with("privsep:") => Some(self.token("root@pam!sep")),
            _ if label.starts_with("perms") || label.starts_with("no perms:") => Some(self.token("panel@pve!t1")),
            _ => Some("PVEAPIToken=root@pam!lab=s".to_owned()),
        };
        self.client.with(authorization.as_deref())
    }

    fn token(&self, id: &str) -> String {
        format!("PVEAPIToken={id}={}", self.secrets.get(id).map_or("", String::as_str))
    }

    /// Calls that were made between the recorded ones.
    async fn call_before(&self, label: &str, path: &str) {
        let (method, path, form): (&str, &str, &[(&str, &str)]) = match label {
            // The tags were set by a call that was not recorded.
            "perms: vm config" => ("PUT", "/nodes/pve9/qemu/101/config", &[("tags", "a;b")]),
            // So was this snapshot.
            "snapshot running vmstate" => {
                self.client.send("POST", path, &[("snapname", "s1")]).await;
                return;
            }
            "pool get" => ("PUT", "/pools", &[("poolid", "cust1"), ("vms", "101")]),
            "token del old" => ("POST", "/access/users/root@pam/token/old", &[]),
            "user off token" => ("POST", "/access/users", &[("userid", "off@pve"), ("enable", "0")]),
            _ => return,
        };
        self.client.send(method, path, form).await.data();
    }

    /// What happened between the recorded calls.
    fn prepare(&self, label: &str) {
        let simulator = &self.simulator;
        match label {
            "agent ping, no agent" | "shutdown timeout" => drop(simulator.ignore_power_button(101, true)),
            "suspend" | "overrule shutdown stop" => drop(simulator.ignore_power_button(101, false)),
            "guest: agent ping before boot" => drop(simulator.ignore_power_button(110, true)),
            "guest: status/current running" | "guest: agent get-fsinfo" => {
                simulator.ignore_power_button(110, false);
            }
            "lock set by token" => drop(simulator.remove_guest(9999)),
            "list with locked VM" | "locked: start" => drop(simulator.set_lock(110, Some("backup"))),
            "delete with snapshots" => drop(simulator.set_lock(110, None)),
            _ => {}
        }
    }

    async fn run(&mut self, exchange: &Value) {
        let text = |name: &str| exchange[name].as_str().unwrap_or_default();
        let (label, method) = (text("label"), text("method"));
        let normalised_away = text("path").contains("..");
        if normalised_away
            || NOT_REPLAYABLE.iter().any(|(start, _)| label.starts_with(start))
            || label.contains("(running)")
        {
            return;
        }
        if text("pve").starts_with('9') && SLOW_IN_9.iter().any(|start| label.starts_with(start)) {
            return;
        }
        if text("pve").starts_with('8') && KERNEL_OF_8.iter().any(|start| label.starts_with(start)) {
            return;
        }
        let mut path = text("path").replace("/api2/json", "");
        if let Some(recorded) = path.split('/').find(|part| part.starts_with("UPID:")) {
            match self.upids.get(recorded) {
                Some(ours) => path = path.replace(recorded, ours),
                None if !label.contains("unknown upid") => return,
                None => {}
            }
        }
        self.prepare(label);
        self.call_before(label, &path).await;
        let mut form: Vec<(&str, String)> = Vec::new();
        if matches!(method, "POST" | "PUT") {
            for (name, value) in exchange["params"].as_object().into_iter().flatten() {
                form.push((name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            }
        }
        let client = self.client_for(label);
        let answer = client.try_send(method, &path, &form).await.unwrap();
        let recorded_status = exchange["status"].as_u64().unwrap_or_default();
        if answer.status == 501 && recorded_status != 501 {
            return;
        }
        let recorded = match &exchange["body"] {
            Value::String(body) => serde_json::from_str(body).unwrap_or(Value::Null),
            body => body.clone(),
        };
        if let (Some(recorded), Some(ours)) = (recorded["data"].as_str(), answer.body["data"].as_str())
            && recorded.starts_with("UPID:")
        {
            self.upids.insert(recorded.to_owned(), ours.to_owned());
        }
        if let (Some(id), Some(secret)) =
            (answer.body["data"]["full-tokenid"].as_str(), answer.body["data"]["value"].as_str())
        {
            self.secrets.insert(id.to_owned(), secret.to_owned());
        }
        self.compared += 1;
        let mut different = |what: String| self.differences.push(format!("{} {label}: {what}", text("pve")));
        if u64::from(answer.status) != recorded_status || answer.reason != text("reason") {
            different(format!(
                "{recorded_status} {} became {} {}: {}",
                text("reason"),
                answer.status,
                answer.reason,
                answer.text
            ));
            return;
        }
        for part in ["message", "errors"] {
            if recorded[part] != answer.body[part] {
                different(format!("{part} {} became {}", recorded[part], answer.body[part]));
            }
        }
        let mut found = Vec::new();
        compare_shape("data", &recorded["data"], &answer.body["data"], &mut found);
        if label.ends_with("(final)") {
            let (theirs, ours) = (&recorded["data"]["exitstatus"], &answer.body["data"]["exitstatus"]);
            if theirs != ours {
                found.push(format!("exit status {theirs} became {ours}"));
            }
        }
        if label.ends_with("task log") && last_line(&recorded) != last_line(&answer.body) {
            found.push(format!("last line {:?} became {:?}", last_line(&recorded), last_line(&answer.body)));
        }
        if path.ends_with("/config") && method == "GET" {
            compare_config(&recorded["data"], &answer.body["data"], &mut found);
        }
        found.into_iter().for_each(&mut different);
        if let Some(schema) = &self.returns
            && answer.status == 200
        {
            let template = template_of(schema, method, path.split('?').next().unwrap_or_default());
            if let Some(template) = template {
                self.returned += 1;
                let mut found = Vec::new();
                check_returns(
                    schema,
                    &schema["paths"][&template][method]["returns"],
                    &answer.body["data"],
                    &template,
                    &mut found,
                );
                self.differences.extend(found);
            }
        }
    }
}

fn last_line(body: &Value) -> Option<&str> {
    body["data"].as_array()?.last()?["t"].as_str()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn compare_shape(path: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    if kind(recorded) != kind(ours) {
        // A base volume is a name or null.
        if !path.ends_with(".parent") && !path.ends_with(".saved") {
            found.push(format!("{path}: {} became {}", kind(recorded), kind(ours)));
        }
        return;
    }
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            for (key, value) in recorded {
                match ours.get(key) {
                    Some(own) => compare_shape(&format!("{path}.{key}"), value, own, found),
                    None if OTHER_KEYS.contains(&key.as_str()) || key == "unused0" => {}
                    None => found.push(format!("{path}.{key} is missing")),
                }
            }
            for key in ours.keys() {
                if !recorded.contains_key(key) && !OTHER_KEYS.contains(&key.as_str()) {
                    found.push(format!("{path}.{key} is too much"));
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            for element in recorded {
                let same = |own: &&Value| {
                    [
                        "type",
                        "content",
                        "status",
                        "template",
                        "key",
                        "serial",
                        "lock",
                        "name",
                        "drivename",
                        "is_vmstate",
                    ]
                    .iter()
                    .all(|key| own.get(*key) == element.get(*key))
                };
                if let Some(own) = ours.iter().find(same) {
                    compare_shape(&format!("{path}[]"), element, own, found);
                }
            }
        }
        _ => {}
    }
}

fn compare_config(recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    for (option, value) in recorded.as_object().into_iter().flatten() {
        // A snapshot shows the hash itself.
        let hash = option == "cipassword" && value.as_str().is_some_and(|value| value.starts_with('$'));
        if RANDOM.contains(&option.as_str()) || hash {
            continue;
        }
        let masked = |value: &Value| match value.as_str() {
            Some(text) if option.starts_with("net") => {
                let (_, rest) = text.split_once(',').unwrap_or_default();
                Value::from(format!("{}…,{rest}", &text[..text.find("BC:").unwrap_or(0)]))
            }
            _ => value.clone(),
        };
        // The template of the second half of the recording was made elsewhere.
        if !ours["name"].as_str().unwrap_or_default().contains("lab") && masked(value) != masked(&ours[option]) {
            found.push(format!("{option}: {value} became {}", ours[option]));
        }
    }
}

fn template_of(schema: &Value, method: &str, path: &str) -> Option<String> {
    let given: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let fits = |template: &String| {
        let parts: Vec<&str> = template.split('/').filter(|part| !part.is_empty()).collect();
        parts.len() == given.len()
            && parts.iter().zip(&given).all(|(part, given)| part.starts_with('{') || part == given)
    };
    let paths = schema["paths"].as_object()?;
    let mut fitting: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
    fitting.sort_by_key(|template| template.matches('{').count());
    fitting.into_iter().find(|template| !paths[*template][method].is_null()).cloned()
}

fn check_returns(schema: &Value, rule: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let rule = match rule["$ref"].as_str() {
        Some(name) => &schema["defs"][name],
        None => rule,
    };
    if rule.is_null() || path == "/cluster/nextid" {
        return;
    }
    // Proxmox repeats what was sent as text, and the port of a console comes as one, whatever the schema says.
    if path.ends_with(".info.privsep") || (value.is_string() && path.ends_with("proxy.port")) {
        return;
    }
    // Proxmox's own answers give a missing base volume as null.
    if value.is_null() && path.ends_with(".parent") {
        return;
    }
    let fits = match rule["type"].as_str() {
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean() || matches!(value.as_i64(), Some(0 | 1)),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        Some("string") | None => value.is_string() || value.is_number() || rule["type"].is_null(),
        Some(_) => true,
    };
    if !fits {
        found.push(format!("{path} does not return {}: {value}", rule["type"]));
    }
    for element in value.as_array().into_iter().flatten() {
        check_returns(schema, &rule["items"], element, path, found);
    }
    for (name, own) in rule["properties"].as_object().into_iter().flatten() {
        match value.get(name) {
            Some(value) => check_returns(schema, own, value, &format!("{path}.{name}"), found),
            None if value.is_object()
                && own["optional"] != 1
                && own["$ref"].is_null()
                && name != "ha"
                && !(name == "size" && path.ends_with(".local_disks")) =>
            {
                found.push(format!("{path}.{name} is not returned"));
            }
            None => {}
        }
    }
}

async fn replay(exchanges: &str, returns: Option<Value>) -> BTreeMap<&'static str, usize> {
    let mut compared = BTreeMap::new();
    let mut differences = Vec::new();
    for (version, release, node) in [("8.4", Release::V8_4, "pve"), ("9.2", Release::V9_2, "pve9")] {
        let simulator = start(release, node);
        let mut replay = Replay {
            client: Client::new(&simulator),
            simulator,
            upids: HashMap::new(),
            secrets: HashMap::new(),
            compared: 0,
            differences: Vec::new(),
            returns: returns.clone().filter(|_| release == Release::V9_2),
            returned: 0,
        };
        for line in exchanges.lines().filter(|line| !line.is_empty()) {
            let exchange: Value = serde_json::from_str(line).unwrap();
            if exchange["pve"].as_str().unwrap().starts_with(version) {
                replay.run(&exchange).await;
            }
        }
        compared.insert(version, replay.compared);
        differences.append(&mut replay.differences);
        if replay.returns.is_some() {
            compared.insert("returned", replay.returned);
        }
    }
    differences.sort();
    differences.dedup();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    compared
}

#[tokio::test]
async fn recorded_exchanges_come_out_the_same() {
    let compared = replay(include_str!("fixtures/exchanges.jsonl"), None).await;
    eprintln!("compared exchanges: {compared:?}");
    assert!(compared["8.4"] >= 315 && compared["9.2"] >= 240, "too few compared: {compared:?}");
}

#[tokio::test]
async fn the_whole_recording_and_the_official_schema_agree_where_they_are_at_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/proxmox");
    let (Ok(exchanges), Ok(schema)) = (
        std::fs::read_to_string(folder.join("captures.jsonl")),
        std::fs::read_to_string(folder.join("api-schema.json")),
    ) else {
        return;
    };
    // Long texts were shortened when they were recorded.
    let shortened =
        |line: &&str| !line.contains("\"label\": \"big body\"") && !line.contains("\"label\": \"long url\"");
    let exchanges: Vec<&str> = exchanges.lines().filter(shortened).collect();
    let compared = replay(&exchanges.join("\n"), serde_json::from_str(&schema).ok()).await;
    eprintln!("compared exchanges of the whole recording: {compared:?}");
    assert!(compared["8.4"] >= 340 && compared["9.2"] >= 245 && compared["returned"] >= 170, "too few: {compared:?}");
}
