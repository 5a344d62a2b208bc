//! Where a machine goes: pure, by what the last look saw, what the operator lets us sell of it, and what is sold already.
//! It never sells more than the limits, keeps machines of one placement group on different nodes, and says of every node
//! why it was passed over.

use std::fmt;

use crate::ids::ClusterId;

/// The most machines that [`fill`] places in one go.
pub const FILL_MAX: u32 = 1000;
/// How many nodes a refusal names in a log line.
const NODES_NAMED_MAX: usize = 50;
/// MiB in a GiB.
const MEBIBYTES: i64 = 1024;

/// How much of something may be sold, how much is, and how much of that is the machine's that looks for a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// At most this.
    pub limit: i64,
    /// Sold, to all machines, running or not.
    pub sold: i64,
    /// What the machine itself holds of that: it does not need that room a second time.
    pub own: i64,
}

impl Room {
    /// What is missing for a machine that needs so much; zero when it fits. A machine that needs no more than it holds
    /// always fits, also where more is sold than the limit allows since that was lowered.
    fn missing(self, need: i64) -> i64 {
        let more = need - self.own;
        if more <= 0 { 0 } else { (self.sold + more - self.limit).clamp(0, need) }
    }

    /// What is free.
    #[must_use]
    pub fn free(self) -> i64 {
        (self.limit - self.sold).max(0)
    }
}

/// The limits of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How much memory may be sold of what is there after the reserve, in percent.
    pub memory_percent: i32,
    /// How many virtual processors may be sold, in percent of the processors.
    pub cpu_percent: i32,
    /// How much disk may be sold, in percent of what the storage holds.
    pub disk_percent: i32,
    /// Memory of each node that is never sold, in MiB.
    pub node_reserve_mib: i32,
}

impl Limits {
    /// How much memory of a node may be sold, in MiB.
    #[must_use]
    pub fn memory_mib(&self, node_memory_mib: i64) -> i64 {
        share((node_memory_mib - i64::from(self.node_reserve_mib)).max(0), self.memory_percent)
    }

    /// How many virtual processors of a node may be sold.
    #[must_use]
    pub fn vcpu(&self, cpu_count: i32) -> i64 {
        share(i64::from(cpu_count), self.cpu_percent)
    }

    /// How much of a storage may be sold, in GiB.
    #[must_use]
    pub fn disk_gib(&self, storage_gib: i64) -> i64 {
        share(storage_gib, self.disk_percent)
    }
}

/// So many percent, rounded down.
fn share(of: i64, percent: i32) -> i64 {
    i64::try_from(i128::from(of) * i128::from(percent) / 100).unwrap_or(i64::MAX)
}

/// A node that a machine could go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's name, for operators.
    pub cluster_name: String,
    /// The node.
    pub node: String,
    /// Whether its cluster takes no new machines.
    pub maintenance: bool,
    /// Whether its cluster answers and the last look saw it online.
    pub online: bool,
    /// Whether the last look saw the storage for disks, usable.
    pub storage_seen: bool,
    /// Whether all nodes of the cluster share that storage, and so the room on it.
    pub storage_shared: bool,
    /// Processors: no machine is wider.
    pub cpu_count: i32,
    /// Virtual processors.
    pub vcpu: Room,
    /// Memory in MiB.
    pub memory_mib: Room,
    /// Disk in GiB.
    pub disk_gib: Room,
    /// Whether the machine is on it already.
    pub is_home: bool,
    /// Other machines of the same organisation and placement group on it.
    pub group_vms: i64,
    /// Other machines of the same organisation on it.
    pub organisation_vms: i64,
    /// Other machines of the same organisation on its cluster.
    pub organisation_vms_on_cluster: i64,
}

/// What a machine needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Virtual processors.
    pub vcpu: i32,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Disk in GiB.
    pub disk_gib: i64,
}

/// Why a machine does not go to a node. It is for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Its cluster takes no new machines.
    Maintenance,
    /// It is offline, or not seen, or its cluster does not answer.
    Offline,
    /// The storage for disks was not seen on it, or it cannot use it.
    StorageAway,
    /// The machine is wider than it.
    TooWide {
        /// What the machine needs.
        vcpu: i32,
        /// What the node has.
        cpu_count: i32,
    },
    /// Another machine of the placement group is on it.
    Group,
    /// So much is missing of what the machine needs.
    Missing {
        /// Of what: `memory`, `vCPU`, `disk`.
        what: &'static str,
        /// How much is missing.
        missing: i64,
        /// How much is needed.
        need: i64,
        /// How many of these units make one of those that are shown.
        scale: i64,
        /// The unit that is shown.
        unit: &'static str,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maintenance => f.write_str("in maintenance"),
            Self::Offline => f.write_str("not online"),
            Self::StorageAway => f.write_str("its storage for disks is not there"),
            Self::TooWide { vcpu, cpu_count } => write!(f, "has {cpu_count} processors, {vcpu} needed"),
            Self::Group => f.write_str("has a VM of the same placement group"),
            Self::Missing { what, missing, need, scale, unit } => {
                let (missing, need) = (Tenths::of(*missing, *scale), Tenths::of(*need, *scale));
                write!(f, "{what} {missing} of {need}{unit} missing")
            }
        }
    }
}

/// A number with at most one digit behind the point, rounded up: what is missing is never shown as nothing.
struct Tenths(i64);

impl Tenths {
    fn of(amount: i64, scale: i64) -> Self {
        let tenths = i128::from(amount) * 10;
        Self(i64::try_from((tenths + i128::from(scale) - 1) / i128::from(scale)).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}", self.0 / 10),
            tenth => write!(f, "{}.{tenth}", self.0 / 10),
        }
    }
}

/// A node that a machine does not go to, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its cluster's name.
    pub cluster: String,
    /// Its name.
    pub node: String,
    /// Every reason, in the order memory, processors, disk when room is missing.
    pub obstacles: Vec<Obstacle>,
}

impl PassedOver {
    /// The reasons, as one text.
    #[must_use]
    pub fn reasons(&self) -> String {
        self.obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.reasons())
    }
}

/// Why there is no place at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No cluster offers the image there.
    NotOffered,
    /// Every cluster there is in maintenance.
    Maintenance,
    /// All nodes are offline or not seen.
    NothingOnline,
    /// There would be room, but only beside a machine of the same placement group.
    Group,
    /// Nothing has that much room.
    Full,
}

/// There is no place. Shown, it is the customer's sentence; the nodes are for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct NoPlace {
    /// Why.
    pub refusal: Refusal,
    /// Every node that was looked at, by cluster and name.
    pub nodes: Vec<PassedOver>,
}

impl NoPlace {
    /// What the customer is told.
    #[must_use]
    pub fn sentence(&self) -> &'static str {
        match self.refusal {
            Refusal::NotOffered => "This image is not offered in this location.",
            Refusal::Maintenance => {
                "This location is being maintained and takes no new VMs just now. Choose another location, or try again later."
            }
            Refusal::NothingOnline => {
                "No machine of this location can be reached just now. Try again in a few minutes."
            }
            Refusal::Group => {
                "Every host of this location that has room already has a VM of this placement group. Choose another group or another location."
            }
            Refusal::Full => "This location is full for this plan. Choose a smaller plan or another location.",
        }
    }

    /// Every node with its reasons, for a line of the log.
    #[must_use]
    pub fn reasons(&self) -> String {
        let named: Vec<_> = self.nodes.iter().take(NODES_NAMED_MAX).map(ToString::to_string).collect();
        named.join("; ")
    }
}

/// Why a machine cannot go to this node; nothing when it can.
fn obstacles(candidate: &Candidate, need: Need) -> Vec<Obstacle> {
    let mut found = Vec::new();
    // Where it is it stays, whatever has become of the node: only what it would take more there needs room.
    if !candidate.is_home {
        if candidate.maintenance {
            found.push(Obstacle::Maintenance);
        }
        if !candidate.online {
            found.push(Obstacle::Offline);
            // What was seen of it is old.
            return found;
        }
        if !candidate.storage_seen {
            found.push(Obstacle::StorageAway);
        }
        if candidate.group_vms > 0 {
            found.push(Obstacle::Group);
        }
    }
    let vcpu = i64::from(need.vcpu);
    let missing = |what, room: Room, need, scale, unit| match room.missing(need) {
        0 => None,
        missing => Some(Obstacle::Missing { what, missing, need, scale, unit }),
    };
    found.extend(missing("memory", candidate.memory_mib, need.memory_mib, MEBIBYTES, " GiB"));
    if need.vcpu > candidate.cpu_count && vcpu > candidate.vcpu.own {
        found.push(Obstacle::TooWide { vcpu: need.vcpu, cpu_count: candidate.cpu_count });
    } else {
        found.extend(missing("vCPU", candidate.vcpu, vcpu, 1, ""));
    }
    if candidate.is_home || candidate.storage_seen {
        found.extend(missing("disk", candidate.disk_gib, need.disk_gib, 1, " GiB"));
    }
    found
}

/// Whether a machine can go to this node.
///
/// # Errors
/// Why it cannot.
pub fn check(candidate: &Candidate, need: Need) -> Result<(), NoPlace> {
    choose(std::slice::from_ref(candidate), need).map(|_| ())
}

/// Chooses a node: where the organisation has the fewest machines, then on the cluster where it has the fewest, then the one
/// with the most free memory. Equal ones are taken in the order of cluster and name, so the same candidates give the same
/// choice in whatever order they come.
///
/// # Errors
/// Why none fits.
pub fn choose(candidates: &[Candidate], need: Need) -> Result<&Candidate, NoPlace> {
    let fitting = candidates.iter().filter(|candidate| obstacles(candidate, need).is_empty()).min_by(|one, other| {
        let crowd = |candidate: &Candidate| (candidate.organisation_vms, candidate.organisation_vms_on_cluster);
        crowd(one)
            .cmp(&crowd(other))
            .then_with(|| other.memory_mib.free().cmp(&one.memory_mib.free()))
            .then_with(|| one.cluster.cmp(&other.cluster))
            .then_with(|| one.node.cmp(&other.node))
    });
    fitting.ok_or_else(|| no_place(candidates, need))
}

fn no_place(candidates: &[Candidate], need: Need) -> NoPlace {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by(|one, other| (&one.cluster_name, &one.node).cmp(&(&other.cluster_name, &other.node)));
    let nodes: Vec<PassedOver> = sorted
        .into_iter()
        .map(|candidate| PassedOver {
            cluster: candidate.cluster_name.clone(),
            node: candidate.node.clone(),
            obstacles: obstacles(candidate, need),
        })
        .collect();
    let each = |rule: fn(&[Obstacle]) -> bool| nodes.iter().all(|node| rule(&node.obstacles));
    let refusal = if nodes.is_empty() {
        Refusal::NotOffered
    } else if each(|obstacles| obstacles.contains(&Obstacle::Maintenance)) {
        Refusal::Maintenance
    } else if each(|obstacles| obstacles.contains(&Obstacle::Offline) || obstacles.contains(&Obstacle::Maintenance)) {
        Refusal::NothingOnline
    } else if nodes.iter().any(|node| node.obstacles == [Obstacle::Group]) {
        Refusal::Group
    } else {
        Refusal::Full
    };
    NoPlace { refusal, nodes }
}

/// Where several machines of one size would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// How many on which node, by cluster and node.
    pub places: Vec<(String, String, u32)>,
    /// Why the next one has no place, when not all have one.
    pub refused: Option<NoPlace>,
}

impl Filled {
    /// How many have a place.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.places.iter().map(|(_, _, count)| count).sum()
    }
}

/// Places several machines of one organisation one after the other, at most [`FILL_MAX`]; `apart`: all on different nodes.
#[must_use]
pub fn fill(mut candidates: Vec<Candidate>, need: Need, count: u32, apart: bool) -> Filled {
    let mut filled = Filled { places: Vec::new(), refused: None };
    for _ in 0..count.min(FILL_MAX) {
        let (cluster, node) = match choose(&candidates, need) {
            Ok(choice) => (choice.cluster, choice.node.clone()),
            Err(refused) => {
                filled.refused = Some(refused);
                break;
            }
        };
        for candidate in &mut candidates {
            take(candidate, cluster, &node, need, apart);
        }
        let name = candidates.iter().find(|known| known.cluster == cluster).map(|known| known.cluster_name.clone());
        let name = name.unwrap_or_default();
        match filled.places.iter_mut().find(|place| place.0 == name && place.1 == node) {
            Some(place) => place.2 += 1,
            None => filled.places.push((name, node, 1)),
        }
    }
    filled.places.sort();
    filled
}

/// What a machine on `node` takes of this candidate.
fn take(candidate: &mut Candidate, cluster: ClusterId, node: &str, need: Need, in_group: bool) {
    if candidate.cluster != cluster {
        return;
    }
    candidate.organisation_vms_on_cluster += 1;
    let here = candidate.node == node;
    if here || candidate.storage_shared {
        candidate.disk_gib.sold += need.disk_gib;
    }
    if here {
        candidate.organisation_vms += 1;
        candidate.group_vms += i64::from(in_group);
        candidate.memory_mib.sold += need.memory_mib;
        candidate.vcpu.sold += i64::from(need.vcpu);
    }
}

#[cfg(test)]
mod tests;
