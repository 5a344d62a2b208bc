//! The calls of [`super::replay`] that are not the daily ones of a machine, by the area of the
//! crate they are from.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::collections::BTreeMap;

use proxmox_client::{
    BackUp, Client, CloudInitFile, ConfigChange, CreateSnapshot, CreateVm, Error, FirewallOptions, FirewallPolicy,
    FirewallRule, Holder, MigrateVm, MoveDisk, TaskFilter,
};
use secrecy::SecretString;

use super::replay::{only, text};

type Parameters = BTreeMap<String, String>;

fn options(parameters: &Parameters, but: &[&str]) -> ConfigChange {
    let others = parameters.iter().filter(|(key, _)| !but.contains(&key.as_str()));
    others.fold(ConfigChange::new(), |change, (key, value)| change.set(key, value))
}

/// Calls below a machine.
pub async fn machine_call(
    client: &Client,
    method: &str,
    node: &str,
    vmid: u32,
    rest: &[&str],
    parameters: &Parameters,
) -> Option<Result<String, Error>> {
    let get = |key: &str| parameters.get(key).map(String::as_str);
    match (method, rest) {
        ("POST", ["template"]) => {
            only(parameters, &[])?;
            text(client.make_template(node, vmid).await)
        }
        ("POST", ["config"]) if !parameters.is_empty() => {
            text(client.set_vm_config_as_task(node, vmid, &options(parameters, &[])).await)
        }
        ("GET", ["pending"]) => text(client.pending_config(node, vmid).await),
        ("GET", ["migrate"]) => text(client.check_migration(node, vmid, get("target")).await),
        ("POST", ["migrate"]) => {
            only(parameters, &["target"])?;
            text(client.migrate_vm(node, vmid, &MigrateVm::new(get("target")?)).await)
        }
        ("POST", ["move_disk"]) => {
            only(parameters, &["disk", "storage"])?;
            text(client.move_disk(node, vmid, &MoveDisk::new(get("disk")?, get("storage")?)).await)
        }
        ("PUT", ["unlink"]) => {
            only(parameters, &["idlist", "force"])?;
            text(client.unlink_disks(node, vmid, &[get("idlist")?], get("force") == Some("1")).await)
        }
        (method, ["snapshot", rest @ ..]) => snapshot_call(client, method, node, vmid, rest, parameters).await,
        ("POST", ["vncproxy"]) if get("websocket") == Some("1") => text(client.open_vnc(node, vmid).await),
        ("GET", ["cloudinit"]) => text(client.pending_cloud_init(node, vmid).await),
        ("GET", ["cloudinit", "dump"]) => {
            text(client.dump_cloud_init(node, vmid, &CloudInitFile::from(get("type")?)).await)
        }
        (method, ["firewall", rest @ ..]) => firewall_call(client, method, node, vmid, rest, parameters).await,
        (method, ["agent", question]) => agent_call(client, method, node, vmid, question, parameters).await,
        _ => None,
    }
}

async fn snapshot_call(
    client: &Client,
    method: &str,
    node: &str,
    vmid: u32,
    rest: &[&str],
    parameters: &Parameters,
) -> Option<Result<String, Error>> {
    let get = |key: &str| parameters.get(key).map(String::as_str);
    match (method, rest) {
        ("GET", []) => text(client.snapshots(node, vmid).await),
        ("POST", []) => {
            only(parameters, &["snapname", "description", "vmstate"])?;
            let mut create = CreateSnapshot::new(get("snapname")?).with_memory(get("vmstate") == Some("1"));
            if let Some(description) = get("description") {
                create = create.description(description);
            }
            text(client.create_snapshot(node, vmid, &create).await)
        }
        ("POST", [name, "rollback"]) => {
            text(client.rollback_snapshot(node, vmid, name, get("start") == Some("1")).await)
        }
        ("DELETE", [name]) => text(client.delete_snapshot(node, vmid, name, get("force") == Some("1")).await),
        ("GET", [name, "config"]) => text(client.snapshot_config(node, vmid, name).await),
        _ => None,
    }
}

async fn agent_call(
    client: &Client,
    method: &str,
    node: &str,
    vmid: u32,
    question: &str,
    parameters: &Parameters,
) -> Option<Result<String, Error>> {
    let get = |key: &str| parameters.get(key).map(String::as_str);
    match (method, question) {
        ("POST", "ping") => text(client.agent_ping(node, vmid).await),
        ("GET", "get-osinfo") => text(client.agent_system(node, vmid).await),
        ("GET", "get-host-name") => text(client.agent_host_name(node, vmid).await),
        ("GET", "get-fsinfo") => text(client.agent_file_systems(node, vmid).await),
        ("POST", "exec") => {
            only(parameters, &["command", "input-data"])?;
            text(client.agent_exec(node, vmid, &[get("command")?], get("input-data")).await)
        }
        ("GET", "exec-status") => text(client.agent_exec_status(node, vmid, get("pid")?.parse().ok()?).await),
        ("POST", "set-user-password") => {
            let password = SecretString::from(get("password")?);
            text(client.agent_set_password(node, vmid, get("username")?, &password, false).await)
        }
        _ => None,
    }
}

async fn firewall_call(
    client: &Client,
    method: &str,
    node: &str,
    vmid: u32,
    rest: &[&str],
    parameters: &Parameters,
) -> Option<Result<String, Error>> {
    let get = |key: &str| parameters.get(key).map(String::as_str);
    let flag = |key: &str| get(key).map(|text| text == "1");
    match (method, rest) {
        ("GET", ["options"]) => text(client.firewall_options(node, vmid).await),
        ("PUT", ["options"]) => {
            only(parameters, &["enable", "ipfilter", "macfilter", "policy_in"])?;
            let options = FirewallOptions {
                enable: flag("enable"),
                ipfilter: flag("ipfilter"),
                macfilter: flag("macfilter"),
                policy_in: get("policy_in").map(FirewallPolicy::from),
                ..FirewallOptions::default()
            };
            text(client.set_firewall_options(node, vmid, &options).await)
        }
        ("GET", ["rules"]) => text(client.firewall_rules(node, vmid).await),
        ("POST", ["rules"]) => {
            only(parameters, &["type", "action", "enable", "proto", "dport"])?;
            let mut rule = FirewallRule::new(get("type")?, get("action")?);
            // The client always says it; left out, a rule is off.
            rule.enable = flag("enable") == Some(true);
            rule.proto = get("proto").map(str::to_owned);
            rule.dport = get("dport").map(str::to_owned);
            text(client.add_firewall_rule(node, vmid, &rule).await)
        }
        ("DELETE", ["rules", pos]) => {
            text(client.delete_firewall_rule(node, vmid, pos.parse().ok()?, get("digest")).await)
        }
        ("GET", ["ipset"]) => text(client.address_sets(node, vmid).await),
        ("POST", ["ipset"]) => text(client.create_address_set(node, vmid, get("name")?).await),
        ("GET", ["ipset", set]) => text(client.address_set(node, vmid, set).await),
        ("POST", ["ipset", set]) => text(client.add_address(node, vmid, set, get("cidr")?).await),
        ("DELETE", ["ipset", set]) => text(client.delete_address_set(node, vmid, set, get("force") == Some("1")).await),
        _ => None,
    }
}

/// Calls that are not below a machine.
pub async fn other_call(
    client: &Client,
    method: &str,
    parts: &[&str],
    parameters: &Parameters,
) -> Option<Result<String, Error>> {
    let get = |key: &str| parameters.get(key).map(String::as_str);
    match (method, parts) {
        ("POST", ["nodes", node, "qemu"]) if !parameters.contains_key("archive") => {
            let create = CreateVm::new(get("vmid")?.parse().ok()?).options(options(parameters, &["vmid"]));
            text(client.create_vm(node, &create).await)
        }
        ("POST", ["nodes", node, "vzdump"]) => {
            only(parameters, &["vmid", "storage"])?;
            text(client.back_up(node, &BackUp::new(get("vmid")?.parse().ok()?, get("storage")?)).await)
        }
        ("GET", ["pools"]) => match get("poolid") {
            Some(pool) => text(client.pool(pool).await),
            None => text(client.pools().await),
        },
        ("POST", ["pools"]) => text(client.create_pool(get("poolid")?, get("comment")).await),
        ("PUT", ["pools"]) => {
            let vmids: Vec<u32> = get("vms")?.split(',').map(|vmid| vmid.parse().unwrap()).collect();
            match get("delete") {
                Some("1") => text(client.remove_from_pool(get("poolid")?, &vmids).await),
                _ => text(client.add_to_pool(get("poolid")?, &vmids, get("allow-move") == Some("1")).await),
            }
        }
        ("DELETE", ["pools"]) => text(client.delete_pool(get("poolid")?).await),
        ("PUT", ["access", "acl"]) if !parameters.contains_key("delete") => {
            let holder = match (get("users"), get("tokens")) {
                (Some(user), _) => Holder::User(user),
                (None, token) => Holder::Token(token?),
            };
            text(client.grant(get("path")?, holder, &[get("roles")?], true).await)
        }
        ("GET", ["cluster", "tasks"]) => text(client.cluster_tasks().await),
        ("GET", ["nodes", node, "tasks"]) => {
            only(parameters, &["errors", "limit", "vmid"])?;
            let mut filter = TaskFilter::newest(get("limit").map_or(Ok(50), str::parse).ok()?);
            if get("errors") == Some("1") {
                filter = filter.failed();
            }
            if let Some(vmid) = get("vmid") {
                filter = filter.vmid(vmid.parse().ok()?);
            }
            text(client.node_tasks(node, &filter).await)
        }
        ("DELETE", ["nodes", _, "tasks", upid]) => text(client.stop_task(&upid.parse().ok()?).await),
        _ => None,
    }
}
