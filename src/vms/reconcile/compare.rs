//! What of a look differs from what we believe: pure, without database or cluster.

use std::collections::{HashMap, HashSet};

use proxmox_client::{Resource, ResourceKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::catalog::PowerState;
use crate::clusters;
use crate::error::is_plain_line;
use crate::ids::VmId;
use crate::vms::db::{SeenRow, StandingRow};
use crate::vms::drift::DriftKind;
use crate::vms::identity;

/// How many good looks must miss a guest before we believe that it is gone: lists are filtered and lag.
pub(super) const MISSING_LOOKS_MIN: i32 = 2;
/// The status of a guest of which its node has told nothing for five minutes, or nothing yet.
pub(super) const UNREPORTED: &str = "unknown";
/// A lock that lasts: the guest was put to sleep on its disk, and is off like any other.
const ASLEEP: &str = "suspended";
const GIB: u64 = 1 << 30;

/// The guests of a listing by their VMID, and the nodes that are away.
#[derive(Debug)]
pub(super) struct Guests<'a> {
    by_vmid: HashMap<u32, &'a Resource>,
    nodes_away: HashSet<&'a str>,
}

impl<'a> Guests<'a> {
    /// The virtual machines among what a cluster listed.
    pub fn of(resources: &'a [Resource]) -> Self {
        let kind = |kind: ResourceKind| resources.iter().filter(move |resource| resource.kind == kind);
        let away = kind(ResourceKind::Node).filter(|node| !clusters::is_online(node));
        Self {
            by_vmid: kind(ResourceKind::Qemu).filter_map(|guest| Some((guest.vmid?, guest))).collect(),
            nodes_away: away.filter_map(|node| node.node.as_deref()).collect(),
        }
    }

    pub fn get(&self, vmid: i32) -> Option<&'a Resource> {
        self.by_vmid.get(&u32::try_from(vmid).ok()?).copied()
    }

    /// Whether its node is away: what is listed of it is old, or nothing.
    pub fn is_away(&self, guest: &Resource) -> bool {
        guest.node.as_deref().is_some_and(|node| self.nodes_away.contains(node))
    }

    /// The VMIDs of the guests whose node is away.
    pub fn away(&self) -> Vec<i32> {
        let away = self.by_vmid.iter().filter(|(_, guest)| self.is_away(guest));
        away.filter_map(|(vmid, _)| i32::try_from(*vmid).ok()).collect()
    }
}

/// What the configuration of a guest said about whose it is, when it was listed so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The listing that it holds for.
    pub listing: String,
    /// The SMBIOS uuid is that of our machine.
    pub ours: bool,
    /// It has the tags of our machine.
    pub tagged: bool,
    /// The SMBIOS uuid.
    pub uuid: Option<String>,
}

/// Whose the guest under a machine's VMID is, as far as its listing says.
#[derive(Debug)]
pub(super) enum Listed<'a> {
    /// The machine's.
    Ours(&'a Resource),
    /// Somebody else's, with what its configuration said.
    Foreign(&'a Resource, Option<Verdict>),
    /// It is locked: something is being done to it, and what is listed is not believed.
    Locked,
    /// Its node is away or tells nothing of it.
    Unseen,
    /// The listing does not say: ask for its uuid.
    Unclear(&'a Resource),
    /// None is listed.
    Absent,
}

/// What stands for a listing, to know it again.
pub(super) fn listing(guest: &Resource) -> String {
    format!("{} {}", guest.node.as_deref().unwrap_or_default(), guest.tags)
}

/// Whose the guest under a machine's VMID is.
pub(super) fn whose<'a>(row: &SeenRow, guests: &Guests<'a>, fresh: Option<&Verdict>) -> Listed<'a> {
    let Some(guest) = guests.get(row.vmid) else { return Listed::Absent };
    if guests.is_away(guest) || guest.status.as_deref() == Some(UNREPORTED) {
        return Listed::Unseen;
    }
    if guest.lock.as_deref().is_some_and(|lock| lock != ASLEEP) {
        return Listed::Locked;
    }
    if guest.tags.contains(&identity::tag(row.id)) && guest.node.as_deref() == Some(row.node.as_str()) {
        return Listed::Ours(guest);
    }
    let listing = listing(guest);
    let known = remembered(row);
    match fresh.or(known.as_ref()).filter(|verdict| verdict.listing == listing) {
        Some(verdict) if verdict.ours => Listed::Ours(guest),
        Some(verdict) => Listed::Foreign(guest, Some(verdict.clone())),
        None => Listed::Unclear(guest),
    }
}

fn remembered(row: &SeenRow) -> Option<Verdict> {
    Some(Verdict {
        listing: row.verdict_listing.clone()?,
        ours: row.verdict_ours?,
        tagged: row.verdict_tagged?,
        uuid: row.verdict_uuid.clone(),
    })
}

/// What is believed of a machine from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Belief {
    /// As before.
    Unchanged,
    /// It is there.
    Present {
        /// On this node.
        node: String,
        /// Running or off.
        power: PowerState,
    },
    /// This many good looks in a row have missed it.
    Missed(i32),
}

/// A difference that is to be opened or written anew.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Differing {
    pub kind: DriftKind,
    pub expected: Value,
    pub found: Value,
}

/// What is to be written about one machine.
#[derive(Debug)]
pub(super) struct Change {
    pub row: SeenRow,
    pub belief: Belief,
    pub drifts: Vec<Differing>,
    /// Differences that are none any more.
    pub over: Vec<Uuid>,
    /// What its guest has just been found to be.
    pub verdict: Option<Verdict>,
}

/// The machines about which something is to be written. `verdicts` are those that were just asked for.
pub(super) fn changes(
    rows: Vec<SeenRow>,
    guests: &Guests<'_>,
    standing: &[StandingRow],
    mut verdicts: HashMap<VmId, Verdict>,
) -> Vec<Change> {
    let standing: HashMap<(VmId, DriftKind), &StandingRow> =
        standing.iter().map(|drift| ((drift.vm, drift.kind), drift)).collect();
    let elsewhere = tagged_guests(guests);
    let mut changes = Vec::new();
    for row in rows {
        let verdict = verdicts.remove(&row.id);
        let listed = whose(&row, guests, verdict.as_ref());
        let believed = belief(&row, &listed);
        let mut change = Change { belief: believed, drifts: Vec::new(), over: Vec::new(), verdict, row };
        for (kind, differing) in differences(&change, &listed, &elsewhere) {
            compare(kind, differing, standing.get(&(change.row.id, kind)).copied(), &mut change);
        }
        let nothing = change.belief == Belief::Unchanged
            && change.drifts.is_empty()
            && change.over.is_empty()
            && change.verdict.is_none();
        // One that could not be written and is right again is taken off the list.
        if !nothing || change.row.failed {
            changes.push(change);
        }
    }
    changes
}

/// The guests that carry a tag of a machine, by that machine.
fn tagged_guests<'a>(guests: &Guests<'a>) -> HashMap<VmId, &'a Resource> {
    let mut tagged = HashMap::new();
    for guest in guests.by_vmid.values() {
        for tag in guest.tags.iter() {
            if let Some(vm) = identity::named_by(tag) {
                // Of several the lowest VMID, so that the same listing gives the same answer.
                let first = tagged.entry(vm).or_insert(*guest);
                if guest.vmid < first.vmid {
                    *first = guest;
                }
            }
        }
    }
    tagged
}

fn belief(row: &SeenRow, listed: &Listed<'_>) -> Belief {
    match listed {
        Listed::Ours(guest) => {
            let Some(seen) = guest.status.as_deref().and_then(power_state) else { return Belief::Unchanged };
            let believed = PowerState::parse(&row.state).unwrap_or(seen);
            let power = if row.settling { believed } else { seen };
            let node = guest.node.clone().unwrap_or_else(|| row.node.clone());
            let same = node == row.node && power == believed && row.metered && !row.unseen && row.missing_looks == 0;
            if same { Belief::Unchanged } else { Belief::Present { node, power } }
        }
        Listed::Absent | Listed::Foreign(..) if row.missing_looks < MISSING_LOOKS_MIN => {
            Belief::Missed(row.missing_looks.saturating_add(1))
        }
        Listed::Absent | Listed::Foreign(..) | Listed::Locked | Listed::Unseen | Listed::Unclear(_) => {
            Belief::Unchanged
        }
    }
}

/// What is known about each kind of difference of a machine: none known, right, or how it differs. Kinds that this look
/// says nothing about are left out.
fn differences(
    change: &Change,
    listed: &Listed<'_>,
    elsewhere: &HashMap<VmId, &Resource>,
) -> Vec<(DriftKind, Option<Differing>)> {
    let row = &change.row;
    match listed {
        Listed::Ours(guest) => {
            let mut found = vec![(DriftKind::Missing, None), (DriftKind::Identity, None)];
            found.push((DriftKind::Tags, tags(change, guest)));
            if !row.settling {
                found.extend(size(row, guest).map(|size| (DriftKind::Size, size)));
                found.extend(disk(row, guest).map(|disk| (DriftKind::Disk, disk)));
            }
            found
        }
        Listed::Absent | Listed::Foreign(..) if row.missing_looks.saturating_add(1) >= MISSING_LOOKS_MIN => {
            let (identity, missing) = missing(row, listed, elsewhere);
            vec![(DriftKind::Identity, identity), (DriftKind::Missing, missing)]
        }
        Listed::Absent | Listed::Foreign(..) | Listed::Locked | Listed::Unseen | Listed::Unclear(_) => Vec::new(),
    }
}

fn tags(change: &Change, guest: &Resource) -> Option<Differing> {
    let row = &change.row;
    if guest.tags.contains(&identity::tag(row.id)) {
        return None;
    }
    // The listing does not have them; what counts is the configuration, which was asked.
    if change.verdict.as_ref().map_or(row.verdict_tagged, |verdict| Some(verdict.tagged)) == Some(true) {
        return None;
    }
    Some(Differing {
        kind: DriftKind::Tags,
        expected: json!({ "tags": [identity::TAG, identity::tag(row.id)] }),
        found: json!({ "tags": guest.tags.iter().filter(|tag| is_plain_line(tag)).collect::<Vec<_>>() }),
    })
}

/// None when the listing has no numbers; inside it what differs.
fn size(row: &SeenRow, guest: &Resource) -> Option<Option<Differing>> {
    let (vcpu, memory_mib) = (vcpu(guest)?, memory_mib(guest)?);
    if (vcpu, memory_mib) == (row.vcpu, row.memory_mib) {
        return Some(None);
    }
    Some(Some(Differing {
        kind: DriftKind::Size,
        expected: json!({ "vcpu": row.vcpu, "memory_mib": row.memory_mib }),
        found: json!({ "vcpu": vcpu, "memory_mib": memory_mib }),
    }))
}

fn disk(row: &SeenRow, guest: &Resource) -> Option<Option<Differing>> {
    let disk_gib = disk_gib(guest)?;
    if disk_gib == row.disk_gib {
        return Some(None);
    }
    Some(Some(Differing {
        kind: DriftKind::Disk,
        expected: json!({ "disk_gib": row.disk_gib }),
        found: json!({ "disk_gib": disk_gib }),
    }))
}

/// A guest that has our tag and another uuid is a question of identity; everything else is missing, perhaps with the
/// machine's tag found under another VMID.
fn missing(
    row: &SeenRow,
    listed: &Listed<'_>,
    elsewhere: &HashMap<VmId, &Resource>,
) -> (Option<Differing>, Option<Differing>) {
    if let Listed::Foreign(guest, Some(verdict)) = listed
        && verdict.tagged
    {
        let identity = Differing {
            kind: DriftKind::Identity,
            expected: json!({ "uuid": row.guest_uuid }),
            found: json!({ "uuid": verdict.uuid, "vmid": row.vmid, "name": name(guest) }),
        };
        return (Some(identity), None);
    }
    let mut found = serde_json::Map::new();
    if let Listed::Foreign(guest, _) = listed {
        found.insert("foreign".into(), json!(name(guest)));
    }
    if let Some(guest) = elsewhere.get(&row.id)
        && guest.vmid.is_some_and(|vmid| i32::try_from(vmid) != Ok(row.vmid))
    {
        found.insert("vmid".into(), json!(guest.vmid));
        found.insert("name".into(), json!(name(guest)));
    }
    let missing =
        Differing { kind: DriftKind::Missing, expected: json!({ "vmid": row.vmid }), found: Value::Object(found) };
    (None, Some(missing))
}

/// What a difference means for what stands already.
fn compare(kind: DriftKind, differing: Option<Differing>, standing: Option<&StandingRow>, change: &mut Change) {
    match (differing, standing) {
        (None, None) => {}
        (None, Some(standing)) => change.over.push(standing.id.uuid()),
        (Some(differing), Some(standing))
            if standing.kind == kind
                && standing.found == differing.found
                && standing.expected == differing.expected => {}
        (Some(differing), standing) => {
            if let Some(accepted) = standing.filter(|standing| standing.accepted) {
                change.over.push(accepted.id.uuid());
            }
            change.drifts.push(differing);
        }
    }
}

/// The name of a guest, if it can be stored.
pub(super) fn name(guest: &Resource) -> String {
    guest.name.as_deref().filter(|name| is_plain_line(name)).unwrap_or_default().to_owned()
}

/// Virtual processors, if they are listed.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a count of processors is far below the limit, and a float beyond it saturates"
)]
pub(super) fn vcpu(guest: &Resource) -> Option<i32> {
    guest.maxcpu.map(|count| count as i32).filter(|count| *count > 0)
}

/// Memory in MiB, if it is listed.
pub(super) fn memory_mib(guest: &Resource) -> Option<i32> {
    guest.maxmem.and_then(|bytes| i32::try_from(bytes >> 20).ok()).filter(|mib| *mib > 0)
}

/// The boot disk in GiB, rounded up, if it is listed.
pub(super) fn disk_gib(guest: &Resource) -> Option<i32> {
    guest.maxdisk.and_then(|bytes| i32::try_from(bytes.div_ceil(GIB)).ok()).filter(|gib| *gib > 0)
}

/// What a listed status means for the bill; none when it says nothing (a node that has not reported is `unknown`).
pub(in crate::vms) fn power_state(status: &str) -> Option<PowerState> {
    match status {
        "stopped" => Some(PowerState::Stopped),
        "running" | "paused" | "prelaunch" | "suspended" | "io-error" | "internal-error" | "shutdown" => {
            Some(PowerState::Running)
        }
        _ => None,
    }
}
