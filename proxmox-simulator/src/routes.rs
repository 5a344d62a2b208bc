//! Which handler answers which call, and the order of Proxmox's checks before it: route (501), conflicting parameters
//! (400), privileges (403), node (595 and the like), parameters (400). Authentication comes earlier, in the transport.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::auth::Caller;
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::failure::{Failure, Outcome};
use crate::parameters::{Given, Parameters};
use crate::{backups, cluster_calls, node_calls, qemu, storage_calls, storage_files, tasks};

type Handler = fn(&mut Call<'_>) -> Outcome;

const HANDLERS: &[(&str, &str, Handler)] = &[
    ("GET", "/access/permissions", cluster_calls::permissions),
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
    ("GET", "/storage", storage_calls::list),
    ("GET", "/version", cluster_calls::version),
];

fn handler(method: &str, template: &str) -> Option<Handler> {
    static INDEX: OnceLock<HashMap<(&str, &str), Handler>> = OnceLock::new();
    let index = INDEX.get_or_init(|| HANDLERS.iter().map(|(method, path, run)| ((*method, *path), *run)).collect());
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
    let found = found.and_then(|(route, values)| Some((route, values, handler(&route.method, &route.template)?)));
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
        parameters.set(name, Given::Text(value));
    }
    caller.check(&route.permission, &parameters)?;
    // Pools are not simulated, so a named one does not exist; Proxmox finds that while checking privileges.
    if let Some(pool) = parameters.text("pool").filter(|_| route.parameters.contains_key("pool")) {
        return Err(Failure::forbidden(format!("Permission check failed (pool '{pool}' does not exist)")));
    }
    if let Some(node) = parameters.text("node")
        && cluster.node(node).is_none()
    {
        return Err(Failure::died(format!(
            "hostname lookup '{node}' failed - failed to get address info for: {node}: Temporary failure in name resolution"
        )));
    }
    route.check(&mut parameters).map_err(Failure::parameters)?;
    run(&mut Call { cluster, caller, parameters, now, task_fault })
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
                assert!(handler(&route.method, &route.template).is_some(), "{} {}", route.method, route.template);
            }
            assert_eq!(schema.routes().count(), HANDLERS.len());
        }
    }
}
