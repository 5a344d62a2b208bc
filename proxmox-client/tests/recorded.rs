//! Exchanges recorded from real Proxmox VE 8.4 and 9.2: the client must send the recorded requests
//! and read the recorded answers. A selection is in `fixtures`; the whole recording is played too
//! where it is at hand.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use proxmox_client::{Error, PowerState, Refusal, ResourceKind, TaskEnd, TaskError, TaskStatus};
use support::Server;
use support::replay::{Exchange, decoded, form};

/// Where the whole recording is, from this crate's folder.
const RECORDING: &str = "../../shared/proxmox/captures.jsonl";
/// Exchanges by the area of the crate that has their calls.
const AREAS: [&str; 7] = [
    "machine_life.json",
    "snapshots.json",
    "console.json",
    "agent.json",
    "backups.json",
    "firewall.json",
    "around.json",
];
/// What the client always says and the recorded callers sometimes left to the default.
const SAID_ANYWAY: [(&str, &str); 11] = [
    ("purge", "0"),
    ("destroy-unreferenced-disks", "0"),
    ("start", "0"),
    ("limit", "0"),
    ("enable", "0"),
    ("mode", "snapshot"),
    ("compress", "zstd"),
    ("remove", "0"),
    ("propagate", "1"),
    ("source", "all"),
    ("limit", "50"),
];
/// Statuses that are not the API's own word.
const PSEUDO_STATUSES: std::ops::RangeInclusive<u16> = 595..=599;

fn fixture(name: &str) -> Vec<Exchange> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn recording() -> Vec<Exchange> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING);
    let Ok(text) = std::fs::read_to_string(path) else {
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Plays an exchange and checks request and result; false when the crate has no call for it.
async fn check(exchange: &Exchange) -> bool {
    let name = format!("{} {} {}", exchange.pve, exchange.method, exchange.label);
    let Some(played) = exchange.play().await else {
        return false;
    };
    let seen = &played.seen;
    assert_eq!(seen.method, exchange.method, "{name}");
    let target = seen.target.strip_prefix("/api2/json").unwrap();
    let path = decoded(target.split('?').next().unwrap());
    assert_eq!(path, exchange.plain_path(), "{name}");
    let mut sent = form(if seen.body.is_empty() { seen.query() } else { &seen.body });
    if matches!(seen.method.as_str(), "GET" | "DELETE") {
        assert!(seen.body.is_empty() && seen.header("content-length").is_none(), "{name}");
    } else {
        assert!(seen.query().is_empty() && seen.header("content-length").is_some(), "{name}");
    }
    let recorded = exchange.parameters().unwrap();
    for (key, usual) in SAID_ANYWAY {
        if !recorded.contains_key(key) && sent.get(key).map(String::as_str) == Some(usual) {
            sent.remove(key);
        }
    }
    if exchange.params.is_object() {
        assert_eq!(sent, recorded, "{name}");
    }
    match (exchange.status.unwrap(), &played.result) {
        (200, Ok(_)) => {}
        (200, Err(error)) => panic!("{name}: {error}"),
        (status, Err(Error::Refused(refusal))) => {
            assert_eq!(refusal.status, status, "{name}");
            check_words(exchange, refusal);
        }
        (status, other) => panic!("{name}: {status} was read as {other:?}"),
    }
    true
}

/// Every word of a refusal must have arrived.
fn check_words(exchange: &Exchange, refusal: &Refusal) {
    assert_eq!(refusal.message, exchange.reason.as_deref().unwrap().trim(), "{}", exchange.label);
    if let Some(errors) = exchange.body.get("errors").and_then(serde_json::Value::as_object) {
        let recorded: BTreeMap<String, String> =
            errors.iter().map(|(key, text)| (key.clone(), text.as_str().unwrap().trim().to_owned())).collect();
        assert_eq!(refusal.errors, recorded, "{}", exchange.label);
    }
}

/// The names of all questions a refusal answers with yes.
fn meanings(refusal: &Refusal) -> Vec<String> {
    let mut found: Vec<String> = [
        (refusal.is_missing_guest(), "missing_guest"),
        (refusal.is_busy(), "busy"),
        (refusal.is_not_running(), "not_running"),
        (refusal.is_already_running(), "already_running"),
        (refusal.is_running(), "running"),
        (refusal.is_already_exists(), "already_exists"),
        (refusal.is_agent_not_ready(), "agent_not_ready"),
        (refusal.is_agent_not_configured(), "agent_not_configured"),
        (refusal.is_shutdown_ignored(), "shutdown_ignored"),
        (refusal.is_protected(), "protected"),
        (refusal.is_changed_meanwhile(), "changed_meanwhile"),
        (refusal.is_unknown_task(), "unknown_task"),
        (refusal.is_root_only(), "root_only"),
        (refusal.is_unauthenticated(), "unauthenticated"),
        (refusal.is_forbidden(), "forbidden"),
    ]
    .into_iter()
    .filter(|(yes, _)| *yes)
    .map(|(_, name)| name.to_owned())
    .collect();
    found.extend(refusal.is_locked().map(|lock| format!("locked:{lock}")));
    found.extend(refusal.missing_privilege().map(|(path, any_of)| format!("lacks:{} on {path}", any_of.join("|"))));
    found.sort();
    found
}

/// The refusal a recorded answer is read as, whatever was asked.
async fn refusal_of(exchange: &Exchange) -> Refusal {
    let server = Server::start([exchange.reply()]).await;
    match server.client().nodes().await {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{}: not a refusal: {other:?}", exchange.label),
    }
}

/// A wording with its numbers taken out.
fn wording(exchange: &Exchange) -> String {
    let text = format!(
        "{:?} {:?} {}",
        exchange.status,
        exchange.reason,
        exchange.body.get("errors").unwrap_or(&serde_json::Value::Null)
    );
    let mut plain = String::new();
    for letter in text.chars() {
        let letter = if letter.is_ascii_digit() { 'N' } else { letter };
        if letter != 'N' || !plain.ends_with('N') {
            plain.push(letter);
        }
    }
    plain
}

#[tokio::test]
async fn reads_of_both_versions() {
    for exchange in fixture("reads.json") {
        assert!(check(&exchange).await, "no call for {}", exchange.label);
    }
}

#[tokio::test]
async fn the_areas_of_both_versions() {
    for file in AREAS {
        for exchange in fixture(file) {
            assert!(check(&exchange).await, "no call for {} of {file}", exchange.label);
        }
    }
}

/// The recorded answer with this label, played to one call of a client.
async fn client_for(label: &str, pve: &str, file: &str) -> (Server, proxmox_client::Client) {
    let exchanges = fixture(file);
    let exchange = exchanges.iter().find(|exchange| exchange.label == label && exchange.pve == pve).unwrap();
    let server = Server::start([exchange.reply()]).await;
    let client = server.client();
    (server, client)
}

#[tokio::test]
async fn the_values_of_real_configurations() {
    let (_server, client) = client_for("config after", "8.4.21", "reads.json").await;
    let config = client.vm_config("pve", 101).await.unwrap();
    assert_eq!(config.name.as_deref(), Some("c1"));
    assert_eq!((config.cores, config.sockets, config.memory_mib), (1, 1, 384));
    assert_eq!(config.nets[&0].mac(), Some("BC:24:11:6E:2B:06"));
    assert_eq!(config.disks["scsi0"].volume(), Some("local:101/vm-101-disk-0.qcow2"));
    assert_eq!(config.disks["scsi0"].size().unwrap().bytes(), 1 << 30);
    assert!(config.disks["ide2"].is_cloud_init() && config.disks["ide2"].is_cdrom());
    assert_eq!(config.smbios1.unwrap().uuid(), Some("014c846a-538c-4e6a-9055-1f598164b1e5"));
    assert!(config.agent.unwrap().enabled() && config.has_ci_password);
    assert_eq!(config.ip_configs[&0].to_string(), "ip=192.0.2.51/24,gw=192.0.2.1");
    assert_eq!(config.name_servers, ["192.0.2.1"]);
    assert!(config.ssh_keys[0].ends_with(" test@x"), "{:?}", config.ssh_keys);
    assert_eq!(config.description.as_deref(), Some("hello\nworld"));

    let (_server, client) = client_for("perms: vm config", "9.2.11", "reads.json").await;
    let config = client.vm_config("pve9", 101).await.unwrap();
    assert_eq!(config.tags, ["a", "b"].into_iter().collect());
    assert_eq!(config.nets[&0].rate_mib_per_second(), Some("12.5"));
    assert!(config.nets[&0].firewall());
    assert_eq!(config.raw["parent"], "s2");
}

#[tokio::test]
async fn the_values_of_other_real_answers() {
    let (_server, client) = client_for("good token", "9.2.11", "reads.json").await;
    assert_eq!(client.version().await.unwrap().major(), Some(9));
    let (_server, client) = client_for("list /cluster/resources", "9.2.11", "reads.json").await;
    let resources = client.resources(None).await.unwrap();
    let template = resources.iter().find(|resource| resource.vmid == Some(9001)).unwrap();
    assert!(template.template && template.kind == ResourceKind::Qemu);
    let (_server, client) = client_for("privsep: path perm", "8.4.21", "reads.json").await;
    let permissions = client.permissions(Some("/vms/9001")).await.unwrap();
    assert_eq!(permissions["/vms/9001"].get("VM.Audit"), Some(&true));
    assert!(!permissions["/vms/9001"].contains_key("VM.Clone"));
    let (_server, client) = client_for("status current stopped", "8.4.21", "reads.json").await;
    let status = client.vm_status("pve", 9000).await.unwrap();
    assert_eq!((status.status, status.maxmem), (PowerState::Stopped, Some(256 << 20)));
    let (_server, client) = client_for("list /nodes/pve/storage", "8.4.21", "reads.json").await;
    let storages = client.storages("pve").await.unwrap();
    assert!(storages[0].holds("images") && storages[0].active && !storages[0].holds("image"));
    assert_eq!(storages[0].avail, Some(63_748_071_424));
}

#[tokio::test]
async fn the_ends_of_real_tasks() {
    let mut seen = Vec::new();
    for exchange in fixture("tasks.json") {
        let data = &exchange.body["data"];
        let (Some(upid), Some(_)) = (data["upid"].as_str(), data["status"].as_str()) else {
            continue;
        };
        let server = Server::start([exchange.reply()]).await;
        let status = server.client().task_status(&upid.parse().unwrap()).await.unwrap();
        let expected = match data["exitstatus"].as_str() {
            None => TaskStatus::Running,
            Some("OK") => TaskStatus::Ended(TaskEnd::Ok),
            Some("WARNINGS: 1") => TaskStatus::Ended(TaskEnd::Warnings(1)),
            Some(text) => TaskStatus::Ended(TaskEnd::Failed(TaskError(text.to_owned()))),
        };
        assert_eq!(status, expected, "{}", exchange.label);
        if let TaskStatus::Ended(TaskEnd::Failed(error)) = status {
            seen.push((error.is_locked().is_some(), error.is_already_running(), error.is_busy()));
            seen.push((error.is_shutdown_ignored(), error.is_worker_lost(), false));
        }
    }
    for (place, name) in [((true, false, false), "locked or ignored"), ((false, true, false), "running or lost")] {
        assert_eq!(seen.iter().filter(|found| **found == place).count(), 2, "{name}");
    }
    assert_eq!(seen.iter().filter(|found| found.2).count(), 1, "busy");
}

#[tokio::test]
async fn changes_of_both_versions() {
    let mut played = 0;
    for exchange in fixture("changes.json") {
        played += usize::from(check(&exchange).await);
    }
    assert!(played >= 18, "only {played} were played");
}

#[tokio::test]
async fn tasks_of_both_versions() {
    for exchange in fixture("tasks.json") {
        assert!(check(&exchange).await, "no call for {}", exchange.label);
    }
}

#[tokio::test]
async fn every_recorded_refusal_is_understood() {
    for exchange in fixture("refusals.json") {
        let refusal = refusal_of(&exchange).await;
        check_words(&exchange, &refusal);
        assert_eq!(meanings(&refusal), exchange.means, "{refusal:?}");
    }
}

#[tokio::test]
async fn the_whole_recording() {
    let exchanges = recording();
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for exchange in fixture("refusals.json") {
        known.insert(wording(&exchange), exchange.means);
    }
    let (mut played, mut refused) = (0, 0);
    for exchange in &exchanges {
        let Some(status) = exchange.status else {
            continue;
        };
        assert!(!PSEUDO_STATUSES.contains(&status));
        if exchange.path.contains("/api2/extjs") {
            continue;
        }
        played += usize::from(check(exchange).await);
        if status >= 400 {
            refused += 1;
            let refusal = refusal_of(exchange).await;
            let named = |text: &String| text.starts_with("lacks:");
            let mut expected = known
                .get(&wording(exchange))
                .cloned()
                .unwrap_or_else(|| panic!("a wording without a fixture: {}", wording(exchange)));
            let mut found = meanings(&refusal);
            // The same wording names other numbers in paths.
            assert_eq!(expected.iter().any(named), found.iter().any(named), "{refusal:?}");
            expected.retain(|text| !named(text));
            found.retain(|text| !named(text));
            assert_eq!(found, expected, "{refusal:?}");
        }
    }
    assert!(exchanges.is_empty() || (played >= 350 && refused >= 100), "{played} {refused}");
}
