//! Plays a recorded exchange with a real Proxmox VE: makes the call that sends the recorded request
//! and answers it with the recorded answer.

use std::collections::BTreeMap;
use std::fmt::Debug;

use percent_encoding::percent_decode_str;
use proxmox_client::{Client, CloneVm, ConfigChange, ContentFilter, Error, ResourceFilter, Upid};
use serde::Deserialize;
use serde_json::Value;

use super::{Reply, Seen, Server, areas};

/// A recorded exchange.
#[derive(Debug, Clone, Deserialize)]
pub struct Exchange {
    pub pve: String,
    pub label: String,
    #[serde(default)]
    pub method: String,
    #[serde(default)]
    pub path: String,
    #[serde(default)]
    pub params: Value,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub body: Value,
    #[serde(default)]
    pub content_type: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The questions that are to be answered with yes; only in the fixtures.
    #[serde(default)]
    pub means: Vec<String>,
}

/// What came of a call: its result as text, and the request the server saw.
pub struct Played {
    pub result: Result<String, Error>,
    pub seen: Seen,
}

impl Exchange {
    pub fn reply(&self) -> Reply {
        let body = match &self.body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let kind = self.content_type.as_deref().or_else(|| self.headers.get("Content-Type").map(String::as_str));
        Reply::new(self.status.unwrap(), self.reason.as_deref().unwrap(), kind, &body)
    }

    /// The parameters as text; a list or map makes an exchange unplayable.
    pub fn parameters(&self) -> Option<BTreeMap<String, String>> {
        match &self.params {
            Value::Null => Some(BTreeMap::new()),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| {
                    let text = match value {
                        Value::String(text) => text.clone(),
                        Value::Number(number) => number.to_string(),
                        _ => return None,
                    };
                    Some((key.clone(), text))
                })
                .collect(),
            _ => None,
        }
    }

    /// The path below `/api2/json`, decoded, without the query.
    pub fn plain_path(&self) -> String {
        let path = self.path.strip_prefix("/api2/json").unwrap_or(&self.path);
        decoded(path.split('?').next().unwrap())
    }

    /// Makes the call; `None` when this crate has none for it.
    pub async fn play(&self) -> Option<Played> {
        let server = Server::start([self.reply()]).await;
        let result = call(&server.client(), self).await?;
        let seen = server.seen();
        assert_eq!(seen.len(), 1, "{}: not one request: {seen:?}", self.label);
        Some(Played { result, seen: seen[0].clone() })
    }
}

pub fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

pub fn form(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            assert!(!part.contains([';', '+', ' ']), "unsafe letters in {part}");
            let (key, value) = part.split_once('=').unwrap();
            (decoded(key), decoded(value))
        })
        .collect()
}

pub fn text<T: Debug>(result: Result<T, Error>) -> Option<Result<String, Error>> {
    Some(result.map(|value| format!("{value:?}")))
}

pub fn only(parameters: &BTreeMap<String, String>, allowed: &[&str]) -> Option<()> {
    parameters.keys().all(|key| allowed.contains(&key.as_str())).then_some(())
}

/// The parameters the calls below the path can send; those of a machine are checked there.
fn known_parameters(parts: &[&str]) -> Option<&'static [&'static str]> {
    Some(match parts {
        ["cluster", "resources"] => &["type"],
        ["cluster", "nextid"] => &["vmid"],
        ["access", "permissions"] => &["path"],
        [.., "content"] => &["content", "vmid"],
        [.., "log"] => &["start", "limit"],
        ["nodes", _, "qemu", ..] => return None,
        [.., "status" | "version" | "storage"] | ["nodes"] => &[],
        _ => return None,
    })
}

async fn call(client: &Client, exchange: &Exchange) -> Option<Result<String, Error>> {
    let parameters = exchange.parameters()?;
    let path = exchange.plain_path();
    let get = |key: &str| parameters.get(key).map(String::as_str);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    if let Some(known) = known_parameters(&parts) {
        only(&parameters, known)?;
    }
    match (exchange.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => text(client.version().await),
        ("GET", ["nodes"]) => text(client.nodes().await),
        ("GET", ["cluster", "status"]) => text(client.cluster_status().await),
        ("GET", ["cluster", "resources"]) => text(client.resources(get("type").map(ResourceFilter::from)).await),
        ("GET", ["cluster", "nextid"]) => match get("vmid") {
            Some(vmid) => text(client.vmid_is_free(vmid.parse().ok()?).await),
            None => text(client.next_id().await),
        },
        ("GET", ["access", "permissions"]) => {
            let query = exchange.path.split_once("path=").map(|(_, path)| decoded(path));
            text(client.permissions(query.as_deref()).await)
        }
        ("GET", ["nodes", node, "storage"]) => text(client.storages(node).await),
        ("GET", ["nodes", node, "storage", storage, "content"]) => {
            let mut filter = ContentFilter::all();
            if let Some(kind) = get("content") {
                filter = filter.content(kind);
            }
            if let Some(vmid) = get("vmid") {
                filter = filter.vmid(vmid.parse().ok()?);
            }
            text(client.storage_content(node, storage, &filter).await)
        }
        ("GET", ["nodes", _, "tasks", upid, "status"]) => text(client.task_status(&upid.parse::<Upid>().ok()?).await),
        ("GET", ["nodes", _, "tasks", upid, "log"]) => {
            let number = |key: &str| get(key).map_or(Ok(0), str::parse);
            let (start, limit) = (number("start").ok()?, number("limit").ok()?);
            text(client.task_log(&upid.parse::<Upid>().ok()?, start, limit).await)
        }
        (method, ["nodes", node, "qemu", vmid, rest @ ..]) => {
            let vmid = vmid.parse().ok()?;
            machine_call(client, method, node, vmid, rest, &parameters).await
        }
        (method, parts) => areas::other_call(client, method, parts, &parameters).await,
    }
}

async fn machine_call(
    client: &Client,
    method: &str,
    node: &str,
    vmid: u32,
    rest: &[&str],
    parameters: &BTreeMap<String, String>,
) -> Option<Result<String, Error>> {
    let get = |key: &str| parameters.get(key).map(String::as_str);
    match (method, rest) {
        ("GET", ["config"]) => {
            only(parameters, &[])?;
            text(client.vm_config(node, vmid).await)
        }
        ("PUT", ["config"]) if !parameters.is_empty() => {
            let mut change = ConfigChange::new();
            for (key, value) in parameters {
                change = change.set(key, value);
            }
            text(client.set_vm_config(node, vmid, &change).await)
        }
        ("GET", ["status", "current"]) => text(client.vm_status(node, vmid).await),
        ("POST", ["status", "shutdown"]) => {
            only(parameters, &["timeout", "forceStop"])?;
            let timeout = get("timeout")?.parse().ok()?;
            let force = get("forceStop") == Some("1");
            text(client.shutdown(node, vmid, timeout, force).await)
        }
        ("POST", ["status", verb]) => {
            only(parameters, &[])?;
            match *verb {
                "start" => text(client.start(node, vmid).await),
                "stop" => text(client.stop(node, vmid).await),
                "reboot" => text(client.reboot(node, vmid).await),
                "reset" => text(client.reset(node, vmid).await),
                "suspend" => text(client.suspend(node, vmid).await),
                "resume" => text(client.resume(node, vmid).await),
                _ => None,
            }
        }
        ("POST", ["clone"]) => {
            only(parameters, &["newid", "name", "description", "full", "storage", "format", "target", "pool"])?;
            let mut clone = CloneVm::new(get("newid")?.parse().ok()?);
            if let Some(name) = get("name") {
                clone = clone.name(name);
            }
            if let Some(description) = get("description") {
                clone = clone.description(description);
            }
            if let Some(full) = get("full") {
                clone = clone.full(full == "1");
            }
            if let Some(storage) = get("storage") {
                clone = clone.storage(storage);
            }
            if let Some(format) = get("format") {
                clone = clone.format(format);
            }
            if let Some(target) = get("target") {
                clone = clone.target(target);
            }
            if let Some(pool) = get("pool") {
                clone = clone.pool(pool);
            }
            text(client.clone_vm(node, vmid, &clone).await)
        }
        ("PUT", ["resize"]) => {
            only(parameters, &["disk", "size"])?;
            let size = get("size")?.strip_suffix('G').filter(|size| !size.starts_with('+'))?.parse().ok()?;
            text(client.resize_disk(node, vmid, get("disk")?, size).await)
        }
        ("DELETE", []) => {
            only(parameters, &["purge", "destroy-unreferenced-disks"])?;
            let is_on = |key: &str| get(key) == Some("1");
            let unreferenced = is_on("destroy-unreferenced-disks");
            text(client.delete_vm(node, vmid, is_on("purge"), unreferenced).await)
        }
        ("GET", ["agent", "network-get-interfaces"]) => text(client.agent_network_interfaces(node, vmid).await),
        (method, rest) => areas::machine_call(client, method, node, vmid, rest, parameters).await,
    }
}
