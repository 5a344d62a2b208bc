//! High availability: which guests are managed, what is wanted of them, and the manager that sees to it. The manager
//! looks at the state whenever somebody else does, and acts a while after it finds a difference. The calls are in
//! `calls` and `groups`.

pub(crate) mod calls;
pub(crate) mod groups;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::clock::{Micros, micros};
use crate::cluster::ClusterState;
use crate::cluster::drive::drives;
use crate::cluster::guest::Guest;
use crate::failure::Reply;
use crate::tasks::{NewTask, Work};

/// Starts the manager tries on one node before it gives a guest up.
const STARTS_MAX: u32 = 2;
/// Actions of the manager in one look.
const ACTIONS_MAX: usize = 1_000;

/// Options by name, as a config section holds them.
pub(crate) type Section = BTreeMap<String, String>;

/// Everything about high availability.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ha {
    pub(crate) resources: BTreeMap<u32, Resource>,
    /// Until 8.4.
    pub(crate) groups: BTreeMap<String, Section>,
    /// Since 9.
    pub(crate) rules: BTreeMap<String, Section>,
}

/// A managed guest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Resource {
    /// `started`, `stopped`, `disabled` or `ignored`.
    pub(crate) wanted: String,
    pub(crate) options: Section,
    /// Where somebody wants it to go.
    pub(crate) target: Option<String>,
    /// Starts that were tried since it last ran.
    attempts: u32,
    /// The manager gave it up.
    failed: bool,
    /// When the manager acts.
    due: Option<Micros>,
}

/// What a `hastart`, `hastop` or `hamigrate` task asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    vmid: u32,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    State(&'static str),
    Node(String),
}

impl Resource {
    pub(crate) fn new(wanted: &str, options: Section) -> Self {
        Self { wanted: wanted.to_owned(), options, ..Self::default() }
    }

    /// Something new is wanted: earlier failures do not count.
    pub(crate) fn want(&mut self, wanted: &str) {
        wanted.clone_into(&mut self.wanted);
        (self.attempts, self.failed, self.due) = (0, false, None);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }
}

/// Is the guest managed, so that power calls only ask the manager?
pub(crate) fn manages(cluster: &ClusterState, vmid: u32) -> bool {
    cluster.ha.resources.get(&vmid).is_some_and(|resource| resource.wanted != "ignored")
}

/// The answer of a power call when the guest is managed: a task that ends at once.
pub(crate) fn intercept(call: &mut Call<'_>, kind: &'static str) -> Option<Reply> {
    let vmid = call.vmid();
    if !manages(call.cluster, vmid) {
        return None;
    }
    let wanted = Wanted::State(if kind == "hastart" { "started" } else { "stopped" });
    Some(Reply::data(call.spawn(kind, None, Work::AskManager(Request { vmid, wanted }))))
}

/// The answer of a migration when the guest is managed.
pub(crate) fn intercept_migration(call: &mut Call<'_>, target: &str) -> Option<Reply> {
    let vmid = call.vmid();
    if !manages(call.cluster, vmid) {
        return None;
    }
    let wanted = Wanted::Node(target.to_owned());
    Some(Reply::data(call.spawn("hamigrate", None, Work::AskManager(Request { vmid, wanted }))))
}

/// The end of such a task.
pub(crate) fn finish_request(cluster: &mut ClusterState, request: &Request) -> Result<u32, String> {
    let resource = cluster.ha.resources.get_mut(&request.vmid);
    let resource = resource.ok_or_else(|| format!("no such resource 'vm:{}'", request.vmid))?;
    match &request.wanted {
        Wanted::State(state) => resource.want(state),
        Wanted::Node(node) => resource.target = Some(node.clone()),
    }
    cluster.touch();
    Ok(0)
}

/// What the manager says a guest is doing.
pub(crate) fn state(cluster: &ClusterState, vmid: u32) -> Option<&'static str> {
    let resource = cluster.ha.resources.get(&vmid)?;
    let guest = cluster.guest(vmid)?;
    let offline = cluster.node(&guest.node).is_some_and(|node| node.offline_since.is_some());
    Some(match (resource.wanted.as_str(), guest.process.is_some()) {
        ("ignored", _) => "ignored",
        _ if resource.failed => "error",
        _ if offline => "fence",
        ("started", true) if resource.target.is_some() => "migrate",
        ("started", true) => "started",
        ("started", false) => "starting",
        (_, true) => "request_stop",
        (_, false) => "stopped",
    })
}

impl ClusterState {
    /// Lets the manager do what fell due by `now`.
    pub(crate) fn settle_ha(&mut self, now: Micros) {
        for _ in 0..ACTIONS_MAX {
            self.schedule_ha(now);
            let due = self.ha.resources.iter().filter_map(|(vmid, resource)| Some((resource.due?, *vmid)));
            let Some((at, vmid)) = due.min().filter(|(at, _)| *at <= now) else { return };
            self.settle_tasks(at);
            if let Some(resource) = self.ha.resources.get_mut(&vmid) {
                resource.due = None;
            }
            self.act(vmid, at);
        }
    }

    /// Notes when the manager will act on what is not as it is wanted.
    fn schedule_ha(&mut self, now: Micros) {
        let reaction = micros(self.timing().ha_reaction);
        let failover = micros(self.timing().ha_failover);
        let any_online = self.nodes.iter().any(|node| node.offline_since.is_none());
        for (vmid, resource) in &mut self.ha.resources {
            let Some(guest) = self.guests.get(vmid).filter(|_| resource.wanted != "ignored" && !resource.failed) else {
                resource.due = None;
                continue;
            };
            if guest.process.is_some() {
                resource.attempts = 0;
            }
            let node = self.nodes.iter().find(|node| node.name == guest.node);
            let idle = guest.file_lock.is_none() && guest.lock().is_none() && !guest.is_template();
            let at = match (node.and_then(|node| node.offline_since), resource.wanted.as_str(), guest.process.is_some())
            {
                (Some(since), _, _) if any_online => since.saturating_add(failover),
                (Some(_), _, _) => continue,
                (None, _, _) if resource.target.is_some() && idle => now.saturating_add(reaction),
                (None, "started", false) | (None, "stopped" | "disabled", true) if idle => now.saturating_add(reaction),
                _ => {
                    resource.due = None;
                    continue;
                }
            };
            resource.due = Some(resource.due.map_or(at, |earlier| earlier.min(at)));
        }
    }

    fn act(&mut self, vmid: u32, at: Micros) {
        let Some(guest) = self.guest(vmid) else { return };
        let (node, runs) = (guest.node.clone(), guest.process.is_some());
        let offline = self.node(&node).is_some_and(|node| node.offline_since.is_some());
        let Some(resource) = self.ha.resources.get_mut(&vmid) else { return };
        let wants_start = resource.wanted == "started";
        let target = resource.target.take();
        if offline {
            if let Some(target) = self.preferred_node(vmid) {
                if let Some(guest) = self.guests.get_mut(&vmid) {
                    guest.node = target;
                }
                // Nobody may have looked since; the start follows the move, not the look.
                let start = at.saturating_add(micros(self.timing().ha_reaction));
                if let Some(resource) = self.ha.resources.get_mut(&vmid).filter(|_| wants_start) {
                    resource.due = Some(start);
                }
                self.touch();
            }
        } else if let Some(target) = target {
            let online = self.node(&target).is_some_and(|node| node.offline_since.is_none());
            if online {
                self.move_guest(vmid, &target, at);
            }
        } else if wants_start && !runs {
            self.start_managed(vmid, &node, at);
        } else if !wants_start && runs {
            let work = Work::Stop { node: node.clone(), vmid };
            self.spawn_for_manager(&node, "qmstop", vmid, work, at);
        }
    }

    fn start_managed(&mut self, vmid: u32, node: &str, at: Micros) {
        let unreachable = self.guest(vmid).is_some_and(|guest| {
            let volumes = drives(&guest.config);
            volumes.iter().filter_map(|(_, drive)| drive.volume_id()).any(|volid| self.volume(node, volid).is_err())
        });
        let Some(resource) = self.ha.resources.get_mut(&vmid) else { return };
        resource.attempts += 1;
        if unreachable || resource.attempts > STARTS_MAX {
            resource.failed = true;
            self.touch();
            return;
        }
        let work = Work::Start { node: node.to_owned(), vmid };
        self.spawn_for_manager(node, "qmstart", vmid, work, at);
    }

    fn spawn_for_manager(&mut self, node: &str, kind: &'static str, vmid: u32, work: Work, at: Micros) {
        let (node, owner) = (node.to_owned(), crate::access::ROOT.to_owned());
        self.spawn(NewTask { node, kind, id: vmid.to_string(), owner, locks: Some(vmid), work, fault: None }, at);
    }

    /// The online node with the fewest guests, of those a group or rule names if any of them is online.
    fn preferred_node(&self, vmid: u32) -> Option<String> {
        let named = self.nodes_named_for(vmid);
        let online = || self.nodes.iter().filter(|node| node.offline_since.is_none()).map(|node| node.name.as_str());
        let guests_on = |name: &str| {
            let running = |guest: &&Guest| guest.node == name && guest.process.is_some();
            self.guests.values().filter(running).count()
        };
        let by_name = online().filter(|name| named.iter().any(|one| one == name)).min_by_key(|name| guests_on(name));
        by_name.or_else(|| online().min_by_key(|name| guests_on(name))).map(str::to_owned)
    }

    fn nodes_named_for(&self, vmid: u32) -> Vec<String> {
        let sid = format!("vm:{vmid}");
        let of_group = self.ha.resources.get(&vmid).and_then(|resource| resource.options.get("group"));
        let group = of_group.and_then(|group| self.ha.groups.get(group));
        let rules = self.ha.rules.values().filter(|rule| {
            let of_guest = rule.get("resources").is_some_and(|list| list.split(',').any(|one| one == sid));
            of_guest && rule.get("disable").map(String::as_str) != Some("1")
        });
        let lists = group.into_iter().chain(rules).filter_map(|section| section.get("nodes"));
        let names = lists.flat_map(|list| list.split(',')).filter_map(|node| node.split(':').next());
        names.map(str::to_owned).collect()
    }
}
