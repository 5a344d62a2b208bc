//! Which handler answers which call, and the order of Proxmox's checks before it: route (501), conflicting parameters
//! (400), privileges (403), node (595 and the like), parameters (400). Authentication comes earlier, in the transport.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::access::{acl, groups, roles, sessions, tokens, users};
use crate::auth::Caller;
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::failure::{Failure, Outcome};
use crate::firewall::{rules, sets};
use crate::ha::{calls as ha, groups as ha_groups};
use crate::parameters::{Given, Parameters};
use crate::qemu::{agent_exec, agent_facts, agent_files};
use crate::{
    backups, cluster_calls, cluster_pages, directories, firewall, history, node_calls, node_pages, pools, qemu,
    storage_calls, storage_files, tasks,
};

type Handler = fn(&mut Call<'_>) -> Outcome;

/// Calls about users, guests, storages and tasks; those of the firewall are below.
const HANDLERS: &[(&str, &str, Handler)] = &[
    ("GET", "/access/acl", acl::list),
    ("PUT", "/access/acl", acl::update),
    ("GET", "/access/domains", sessions::realms),
    ("GET", "/access/domains/{realm}", sessions::realm),
    ("GET", "/access/groups", groups::list),
    ("POST", "/access/groups", groups::create),
    ("GET", "/access/groups/{groupid}", groups::read),
    ("PUT", "/access/groups/{groupid}", groups::update),
    ("DELETE", "/access/groups/{groupid}", groups::delete),
    ("PUT", "/access/password", sessions::password),
    ("GET", "/access/permissions", sessions::permissions),
    ("GET", "/access/roles", roles::list),
    ("POST", "/access/roles", roles::create),
    ("GET", "/access/roles/{roleid}", roles::read),
    ("PUT", "/access/roles/{roleid}", roles::update),
    ("DELETE", "/access/roles/{roleid}", roles::delete),
    ("GET", "/access/tfa", sessions::factors),
    ("GET", "/access/tfa/{userid}", sessions::factors_of),
    ("GET", "/access/ticket", sessions::look),
    ("POST", "/access/ticket", sessions::login),
    ("GET", "/access/users", users::list),
    ("POST", "/access/users", users::create),
    ("GET", "/access/users/{userid}", users::read),
    ("PUT", "/access/users/{userid}", users::update),
    ("DELETE", "/access/users/{userid}", users::delete),
    ("GET", "/access/users/{userid}/tfa", sessions::kinds_of_factors),
    ("GET", "/access/users/{userid}/token", tokens::list),
    ("GET", "/access/users/{userid}/token/{tokenid}", tokens::read),
    ("POST", "/access/users/{userid}/token/{tokenid}", tokens::create),
    ("PUT", "/access/users/{userid}/token/{tokenid}", tokens::update),
    ("DELETE", "/access/users/{userid}/token/{tokenid}", tokens::delete),
    ("PUT", "/access/users/{userid}/unlock-tfa", sessions::unlock_factors),
    ("GET", "/cluster/nextid", cluster_calls::next_id),
    ("GET", "/cluster/resources", cluster_calls::resources),
    ("GET", "/cluster/status", cluster_calls::status),
    ("GET", "/cluster/tasks", tasks::cluster_list),
    ("GET", "/nodes", node_calls::list),
    ("GET", "/nodes/{node}/qemu", qemu::status::list),
    ("POST", "/nodes/{node}/qemu", qemu::create::call),
    ("DELETE", "/nodes/{node}/qemu/{vmid}", qemu::delete::call),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", qemu::agent::interfaces),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/ping", qemu::agent::ping),
    ("POST", "/nodes/{node}/qemu/{vmid}/clone", qemu::clone::call),
    ("GET", "/nodes/{node}/qemu/{vmid}/cloudinit", qemu::cloud_init::pending),
    ("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit", qemu::cloud_init::regenerate),
    ("GET", "/nodes/{node}/qemu/{vmid}/cloudinit/dump", qemu::cloud_init::dump),
    ("GET", "/nodes/{node}/qemu/{vmid}/config", qemu::config::read),
    ("POST", "/nodes/{node}/qemu/{vmid}/config", qemu::update::call_in_background),
    ("PUT", "/nodes/{node}/qemu/{vmid}/config", qemu::update::call),
    ("GET", "/nodes/{node}/qemu/{vmid}/feature", qemu::features::call),
    ("GET", "/nodes/{node}/qemu/{vmid}/migrate", qemu::migrate::preconditions),
    ("POST", "/nodes/{node}/qemu/{vmid}/migrate", qemu::migrate::call),
    ("POST", "/nodes/{node}/qemu/{vmid}/monitor", qemu::monitor::run),
    ("POST", "/nodes/{node}/qemu/{vmid}/move_disk", qemu::move_disk::call),
    ("GET", "/nodes/{node}/qemu/{vmid}/pending", qemu::config::pending),
    ("PUT", "/nodes/{node}/qemu/{vmid}/resize", qemu::resize::call),
    ("PUT", "/nodes/{node}/qemu/{vmid}/sendkey", qemu::monitor::send_key),
    ("GET", "/nodes/{node}/qemu/{vmid}/snapshot", qemu::snapshots::list),
    ("POST", "/nodes/{node}/qemu/{vmid}/snapshot", qemu::snapshots::create::call),
    ("DELETE", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}", qemu::snapshots::delete::call),
    ("GET", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}", qemu::snapshots::index),
    ("GET", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config", qemu::snapshots::config),
    ("PUT", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config", qemu::snapshots::describe),
    ("POST", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback", qemu::snapshots::rollback::call),
    ("GET", "/nodes/{node}/qemu/{vmid}/status", qemu::status::index),
    ("GET", "/nodes/{node}/qemu/{vmid}/status/current", qemu::status::current),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/reboot", qemu::power::reboot),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/reset", qemu::power::reset),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/resume", qemu::power::resume),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/shutdown", qemu::power::shutdown),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/start", qemu::power::start),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/stop", qemu::power::stop),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/suspend", qemu::power::suspend),
    ("POST", "/nodes/{node}/qemu/{vmid}/spiceproxy", qemu::console::open_spice),
    ("POST", "/nodes/{node}/qemu/{vmid}/template", qemu::template::call),
    ("PUT", "/nodes/{node}/qemu/{vmid}/unlink", qemu::move_disk::unlink),
    ("GET", "/nodes/{node}/query-url-metadata", storage_files::url_metadata),
    ("POST", "/nodes/{node}/qemu/{vmid}/termproxy", qemu::console::open_terminal),
    ("POST", "/nodes/{node}/qemu/{vmid}/vncproxy", qemu::console::open_vnc),
    ("GET", "/nodes/{node}/qemu/{vmid}/vncwebsocket", qemu::console::connect),
    ("GET", "/nodes/{node}/status", node_calls::status),
    ("GET", "/nodes/{node}/storage", storage_calls::list_on_node),
    ("GET", "/nodes/{node}/storage/{storage}/content", storage_calls::content),
    ("POST", "/nodes/{node}/storage/{storage}/content", storage_files::allocate),
    ("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}", storage_files::delete),
    ("GET", "/nodes/{node}/storage/{storage}/content/{volume}", storage_files::read),
    ("PUT", "/nodes/{node}/storage/{storage}/content/{volume}", storage_files::change),
    ("POST", "/nodes/{node}/storage/{storage}/download-url", storage_files::transfer::download),
    ("DELETE", "/nodes/{node}/storage/{storage}/prunebackups", backups::prune::call),
    ("GET", "/nodes/{node}/storage/{storage}/prunebackups", backups::prune::preview),
    ("GET", "/nodes/{node}/storage/{storage}/status", storage_calls::status),
    ("POST", "/nodes/{node}/storage/{storage}/upload", storage_files::transfer::upload),
    ("GET", "/nodes/{node}/tasks", tasks::list),
    ("DELETE", "/nodes/{node}/tasks/{upid}", tasks::stop),
    ("GET", "/nodes/{node}/tasks/{upid}/log", tasks::log),
    ("GET", "/nodes/{node}/tasks/{upid}/status", tasks::status),
    ("POST", "/nodes/{node}/vzdump", backups::vzdump::call),
    ("GET", "/nodes/{node}/vzdump/defaults", backups::defaults),
    ("GET", "/nodes/{node}/vzdump/extractconfig", backups::extract_config),
    ("GET", "/pools", pools::list),
    ("POST", "/pools", pools::create),
    ("PUT", "/pools", pools::update),
    ("DELETE", "/pools", pools::delete),
    ("GET", "/pools/{poolid}", pools::read),
    ("PUT", "/pools/{poolid}", pools::update),
    ("DELETE", "/pools/{poolid}", pools::delete),
    ("GET", "/storage", storage_calls::list),
    ("GET", "/storage/{storage}", storage_calls::read),
    ("GET", "/version", cluster_calls::version),
];

/// Calls about the firewall.
const FIREWALL_HANDLERS: &[(&str, &str, Handler)] = &[
    ("GET", "/cluster/firewall/aliases", sets::aliases),
    ("POST", "/cluster/firewall/aliases", sets::create_alias),
    ("GET", "/cluster/firewall/aliases/{name}", sets::read_alias),
    ("PUT", "/cluster/firewall/aliases/{name}", sets::update_alias),
    ("DELETE", "/cluster/firewall/aliases/{name}", sets::delete_alias),
    ("GET", "/cluster/firewall/groups", rules::groups),
    ("POST", "/cluster/firewall/groups", rules::create_group),
    ("GET", "/cluster/firewall/groups/{group}", rules::list),
    ("POST", "/cluster/firewall/groups/{group}", rules::create),
    ("DELETE", "/cluster/firewall/groups/{group}", rules::delete_group),
    ("GET", "/cluster/firewall/groups/{group}/{pos}", rules::read),
    ("PUT", "/cluster/firewall/groups/{group}/{pos}", rules::update),
    ("DELETE", "/cluster/firewall/groups/{group}/{pos}", rules::delete),
    ("GET", "/cluster/firewall/ipset", sets::list),
    ("POST", "/cluster/firewall/ipset", sets::create),
    ("GET", "/cluster/firewall/ipset/{name}", sets::entries),
    ("POST", "/cluster/firewall/ipset/{name}", sets::add),
    ("DELETE", "/cluster/firewall/ipset/{name}", sets::delete),
    ("GET", "/cluster/firewall/ipset/{name}/{cidr}", sets::read),
    ("PUT", "/cluster/firewall/ipset/{name}/{cidr}", sets::update),
    ("DELETE", "/cluster/firewall/ipset/{name}/{cidr}", sets::remove),
    ("GET", "/cluster/firewall/macros", firewall::macros),
    ("GET", "/cluster/firewall/options", firewall::options),
    ("PUT", "/cluster/firewall/options", firewall::set_options),
    ("GET", "/cluster/firewall/refs", firewall::refs),
    ("GET", "/cluster/firewall/rules", rules::list),
    ("POST", "/cluster/firewall/rules", rules::create),
    ("GET", "/cluster/firewall/rules/{pos}", rules::read),
    ("PUT", "/cluster/firewall/rules/{pos}", rules::update),
    ("DELETE", "/cluster/firewall/rules/{pos}", rules::delete),
    ("GET", "/nodes/{node}/firewall/log", firewall::log),
    ("GET", "/nodes/{node}/firewall/options", firewall::options),
    ("PUT", "/nodes/{node}/firewall/options", firewall::set_options),
    ("GET", "/nodes/{node}/firewall/rules", rules::list),
    ("POST", "/nodes/{node}/firewall/rules", rules::create),
    ("GET", "/nodes/{node}/firewall/rules/{pos}", rules::read),
    ("PUT", "/nodes/{node}/firewall/rules/{pos}", rules::update),
    ("DELETE", "/nodes/{node}/firewall/rules/{pos}", rules::delete),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/aliases", sets::aliases),
    ("POST", "/nodes/{node}/qemu/{vmid}/firewall/aliases", sets::create_alias),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/aliases/{name}", sets::read_alias),
    ("PUT", "/nodes/{node}/qemu/{vmid}/firewall/aliases/{name}", sets::update_alias),
    ("DELETE", "/nodes/{node}/qemu/{vmid}/firewall/aliases/{name}", sets::delete_alias),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/ipset", sets::list),
    ("POST", "/nodes/{node}/qemu/{vmid}/firewall/ipset", sets::create),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}", sets::entries),
    ("POST", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}", sets::add),
    ("DELETE", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}", sets::delete),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}/{cidr}", sets::read),
    ("PUT", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}/{cidr}", sets::update),
    ("DELETE", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}/{cidr}", sets::remove),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/log", firewall::log),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/options", firewall::options),
    ("PUT", "/nodes/{node}/qemu/{vmid}/firewall/options", firewall::set_options),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/refs", firewall::refs),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/rules", rules::list),
    ("POST", "/nodes/{node}/qemu/{vmid}/firewall/rules", rules::create),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}", rules::read),
    ("PUT", "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}", rules::update),
    ("DELETE", "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}", rules::delete),
];

/// Calls of the guest agent, but those every cluster has used since the start.
const AGENT_HANDLERS: &[(&str, &str, Handler)] = &[
    ("POST", "/nodes/{node}/qemu/{vmid}/agent", agent_facts::by_name),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/exec", agent_exec::start),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/exec-status", agent_exec::status),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/file-read", agent_files::read),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/file-write", agent_files::write),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/set-user-password", agent_files::set_password),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-freeze", agent_facts::freeze),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-status", agent_facts::freeze_status),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-thaw", agent_facts::thaw),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/fstrim", agent_facts::trim),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-fsinfo", agent_facts::file_systems),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-host-name", agent_facts::name),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-memory-block-info", agent_facts::memory_block_size),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-memory-blocks", agent_facts::memory_blocks),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-osinfo", agent_facts::system),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-time", agent_facts::time),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-timezone", agent_facts::timezone),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-users", agent_facts::users),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/get-vcpus", agent_facts::processors),
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/info", agent_facts::info),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/shutdown", agent_facts::shutdown),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/suspend-disk", agent_facts::shutdown),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/suspend-hybrid", agent_facts::suspend),
    ("POST", "/nodes/{node}/qemu/{vmid}/agent/suspend-ram", agent_facts::suspend),
];

/// Calls about high availability.
const HA_HANDLERS: &[(&str, &str, Handler)] = &[
    ("GET", "/cluster/ha/groups", ha_groups::list),
    ("POST", "/cluster/ha/groups", ha_groups::create),
    ("GET", "/cluster/ha/groups/{group}", ha_groups::read),
    ("PUT", "/cluster/ha/groups/{group}", ha_groups::update),
    ("DELETE", "/cluster/ha/groups/{group}", ha_groups::delete),
    ("GET", "/cluster/ha/rules", ha_groups::list),
    ("POST", "/cluster/ha/rules", ha_groups::create),
    ("GET", "/cluster/ha/rules/{rule}", ha_groups::read),
    ("PUT", "/cluster/ha/rules/{rule}", ha_groups::update),
    ("DELETE", "/cluster/ha/rules/{rule}", ha_groups::delete),
    ("GET", "/cluster/ha/resources", ha::list),
    ("POST", "/cluster/ha/resources", ha::create),
    ("GET", "/cluster/ha/resources/{sid}", ha::read),
    ("PUT", "/cluster/ha/resources/{sid}", ha::update),
    ("DELETE", "/cluster/ha/resources/{sid}", ha::delete),
    ("POST", "/cluster/ha/resources/{sid}/migrate", ha::send_away),
    ("POST", "/cluster/ha/resources/{sid}/relocate", ha::send_away),
    ("GET", "/cluster/ha/status/current", ha::status),
    ("GET", "/cluster/ha/status/manager_status", ha::manager_status),
];

/// Calls that generic clients walk, and the past.
const PAGE_HANDLERS: &[(&str, &str, Handler)] = &[
    ("GET", "/cluster/backup", backups::jobs::list),
    ("POST", "/cluster/backup", backups::jobs::create),
    ("GET", "/cluster/backup/{id}", backups::jobs::read),
    ("PUT", "/cluster/backup/{id}", backups::jobs::update),
    ("DELETE", "/cluster/backup/{id}", backups::jobs::delete),
    ("GET", "/cluster/backup/{id}/included_volumes", backups::jobs::volumes),
    ("GET", "/cluster/backup-info/not-backed-up", cluster_pages::not_backed_up),
    ("GET", "/cluster/config/apiversion", cluster_pages::join_version),
    ("GET", "/cluster/config/join", cluster_pages::join),
    ("GET", "/cluster/config/nodes", cluster_pages::members),
    ("GET", "/cluster/config/qdevice", cluster_pages::quorum_device),
    ("GET", "/cluster/config/totem", cluster_pages::totem),
    ("GET", "/cluster/jobs/realm-sync", node_pages::empty),
    ("GET", "/cluster/log", cluster_pages::log),
    ("GET", "/cluster/mapping/dir", node_pages::empty),
    ("GET", "/cluster/mapping/pci", node_pages::empty),
    ("GET", "/cluster/mapping/usb", node_pages::empty),
    ("GET", "/cluster/metrics/server", node_pages::empty),
    ("GET", "/cluster/notifications/endpoints/gotify", node_pages::empty),
    ("GET", "/cluster/notifications/endpoints/sendmail", node_pages::empty),
    ("GET", "/cluster/notifications/endpoints/smtp", node_pages::empty),
    ("GET", "/cluster/notifications/endpoints/webhook", node_pages::empty),
    ("GET", "/cluster/notifications/matcher-field-values", node_pages::empty),
    ("GET", "/cluster/notifications/matcher-fields", node_pages::empty),
    ("GET", "/cluster/notifications/matchers", cluster_pages::matchers),
    ("GET", "/cluster/notifications/targets", cluster_pages::targets),
    ("GET", "/cluster/options", cluster_pages::options),
    ("PUT", "/cluster/options", cluster_pages::set_options),
    ("GET", "/cluster/replication", node_pages::empty),
    ("GET", "/cluster/sdn/controllers", node_pages::empty),
    ("GET", "/cluster/sdn/dns", node_pages::empty),
    ("GET", "/cluster/sdn/ipams", cluster_pages::address_managers),
    ("GET", "/cluster/sdn/ipams/{ipam}/status", node_pages::empty),
    ("GET", "/cluster/sdn/vnets", node_pages::empty),
    ("GET", "/cluster/sdn/zones", node_pages::empty),
    ("GET", "/nodes/{node}/aplinfo", node_pages::empty),
    ("GET", "/nodes/{node}/apt/update", node_pages::empty),
    ("GET", "/nodes/{node}/apt/versions", node_pages::packages),
    ("GET", "/nodes/{node}/capabilities/qemu/cpu", node_pages::processors),
    ("GET", "/nodes/{node}/capabilities/qemu/machines", node_pages::machines),
    ("GET", "/nodes/{node}/capabilities/qemu/migration", node_pages::migration),
    ("GET", "/nodes/{node}/certificates/info", node_pages::certificates),
    ("GET", "/nodes/{node}/config", node_pages::config),
    ("GET", "/nodes/{node}/disks/directory", node_pages::empty),
    ("GET", "/nodes/{node}/disks/list", node_pages::disks),
    ("GET", "/nodes/{node}/disks/lvmthin", node_pages::thin_pools),
    ("GET", "/nodes/{node}/disks/smart", node_pages::disk_health),
    ("GET", "/nodes/{node}/disks/zfs", node_pages::empty),
    ("GET", "/nodes/{node}/dns", node_pages::names),
    ("GET", "/nodes/{node}/hardware/pci", node_pages::pci),
    ("GET", "/nodes/{node}/hardware/usb", node_pages::empty),
    ("GET", "/nodes/{node}/hosts", node_pages::hosts),
    ("GET", "/nodes/{node}/journal", node_pages::log),
    ("GET", "/nodes/{node}/lxc", node_pages::empty),
    ("GET", "/nodes/{node}/netstat", node_pages::traffic),
    ("GET", "/nodes/{node}/network", node_pages::network),
    ("GET", "/nodes/{node}/network/{iface}", node_pages::interface),
    ("GET", "/nodes/{node}/qemu/{vmid}/rrddata", history::guest),
    ("GET", "/nodes/{node}/replication", node_pages::empty),
    ("GET", "/nodes/{node}/rrddata", history::node),
    ("GET", "/nodes/{node}/sdn/zones", node_pages::zones),
    ("GET", "/nodes/{node}/services", node_pages::services),
    ("GET", "/nodes/{node}/services/{service}/state", node_pages::service),
    ("POST", "/nodes/{node}/startall", node_pages::power_all),
    ("POST", "/nodes/{node}/stopall", node_pages::power_all),
    ("GET", "/nodes/{node}/storage/{storage}/rrddata", history::storage),
    ("GET", "/nodes/{node}/subscription", node_pages::subscription),
    ("GET", "/nodes/{node}/syslog", node_pages::log),
    ("GET", "/nodes/{node}/time", node_pages::time),
    ("GET", "/nodes/{node}/version", cluster_calls::version),
];

fn handlers() -> impl Iterator<Item = &'static (&'static str, &'static str, Handler)> {
    HANDLERS.iter().chain(FIREWALL_HANDLERS).chain(AGENT_HANDLERS).chain(HA_HANDLERS).chain(PAGE_HANDLERS)
}

fn handler(method: &str, template: &str) -> Option<Handler> {
    static INDEX: OnceLock<HashMap<(&str, &str), Handler>> = OnceLock::new();
    let index = INDEX.get_or_init(|| handlers().map(|(method, path, run)| ((*method, *path), *run)).collect());
    index.get(&(method, template)).copied()
}

/// A request after the transport is through with it.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Decoded path segments after the format.
    pub(crate) path: &'a [String],
    pub(crate) parameters: Parameters,
    pub(crate) caller: &'a Caller,
    pub(crate) task_fault: Option<String>,
}

/// Answers a request.
pub(crate) fn answer(cluster: &mut ClusterState, request: Request<'_>, now: Micros) -> Outcome {
    let Request { method, path, mut parameters, caller, task_fault } = request;
    cluster.draw(cluster.settings.resources_lag, now);
    let found = cluster.schema().find(method, path);
    let found = found.and_then(|(route, values)| {
        let directory = cluster.schema().directory(&route.template).filter(|_| route.method == "GET");
        let run = handler(&route.method, &route.template).or(directory.map(|_| directories::index as Handler));
        Some((route, values, run?))
    });
    let Some((route, values, run)) = found else {
        return Err(Failure {
            // This one text comes without a line feed.
            message: format!("Method '{method} /{}' not implemented", path.join("/")),
            ..Failure::with_status(501, "")
        });
    };
    parameters.remove("_dc");
    let conflicting = values
        .iter()
        .filter(|(name, value)| parameters.get(name).is_some_and(|given| *given != Given::Text(value.clone())));
    let conflicts: Vec<&String> = conflicting.map(|(name, _)| name).collect();
    if !conflicts.is_empty() {
        let text = "duplicate parameter (already defined in URI) with conflicting values!";
        return Err(Failure::parameters(conflicts.into_iter().map(|name| (name.clone(), text.to_owned())).collect()));
    }
    for (name, value) in values {
        // Any node takes this name for itself; the first one is who answers here.
        let own = cluster.nodes.first().filter(|_| name == "node" && value == "localhost");
        let value = own.map_or(value, |node| node.name.clone());
        parameters.set(name, Given::Text(value));
    }
    if caller.is_token() && !route.allows_token {
        return Err(Failure::forbidden("Permission check failed"));
    }
    caller.check(&route.permission, &parameters)?;
    // Proxmox finds out about a pool that does not exist while checking privileges.
    if let Some(pool) = parameters.text("pool").filter(|_| route.parameters.contains_key("pool"))
        && !cluster.access.pools.contains_key(pool)
    {
        return Err(Failure::forbidden(format!("Permission check failed (pool '{pool}' does not exist)")));
    }
    if let Some(node) = parameters.text("node")
        && cluster.node(node).is_none()
    {
        return Err(Failure::died(format!(
            "hostname lookup '{node}' failed - failed to get address info for: {node}: Temporary failure in name resolution"
        )));
    }
    // The firewall of guests lies in the cluster's file system, which every node has.
    let is_forwarded = route.template.starts_with("/nodes/{node}/") && !route.template.contains("/{vmid}/firewall");
    let node = parameters.text("node").and_then(|node| cluster.node(node));
    if is_forwarded && node.is_some_and(|node| node.offline_since.is_some()) {
        return Err(Failure::with_status(595, "No route to host"));
    }
    route.check(&mut parameters).map_err(Failure::parameters)?;
    let template = &route.template;
    run(&mut Call { cluster, caller, parameters, now, template, task_fault })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Release;
    use crate::schema::Schema;

    #[test]
    fn every_route_of_the_schema_has_a_handler_and_the_reverse() {
        for release in [Release::V8_4, Release::V9_2] {
            let schema = Schema::of(release);
            for route in schema.routes() {
                let directory = route.method == "GET" && schema.directory(&route.template).is_some();
                let answered = handler(&route.method, &route.template).is_some() || directory;
                assert!(answered, "{} {}", route.method, route.template);
            }
            for (method, template, _) in handlers() {
                let known = schema.route(method, template).is_some();
                assert!(known || release == Release::V8_4, "{method} {template} is not in the schema");
            }
        }
    }
}
