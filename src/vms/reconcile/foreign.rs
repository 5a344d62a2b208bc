//! The guests of a listing that are not ours, and what of them has changed: pure.

use std::collections::{HashMap, HashSet};

use proxmox_client::{Resource, ResourceKind};

use super::compare::{UNREPORTED, disk_gib, memory_mib, name, vcpu};
use crate::error::is_plain_line;
use crate::vms::db::ForeignRow;

/// What is to be written about guests that are not ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ForeignChanges {
    /// New or changed.
    pub upserts: Vec<ForeignRow>,
    /// Gone, or ours now.
    pub gone: Vec<i32>,
}

impl ForeignChanges {
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.gone.is_empty()
    }
}

/// Compares the guests that are not ours with those that are stored.
pub(super) fn changes(resources: &[Resource], ours: &[i32], known: Vec<ForeignRow>) -> ForeignChanges {
    let ours: HashSet<i32> = ours.iter().copied().collect();
    let mut known: HashMap<i32, ForeignRow> = known.into_iter().map(|row| (row.vmid, row)).collect();
    let mut changes = ForeignChanges::default();
    for guest in resources.iter().filter(|resource| resource.kind == ResourceKind::Qemu) {
        let Some(vmid) = guest.vmid.and_then(|vmid| i32::try_from(vmid).ok()).filter(|vmid| !ours.contains(vmid))
        else {
            continue;
        };
        let before = known.remove(&vmid);
        let row = row(vmid, guest, before.as_ref());
        if before.as_ref() != Some(&row) {
            changes.upserts.push(row);
        }
    }
    changes.gone = known.into_keys().collect();
    changes.gone.sort_unstable();
    changes
}

/// What is not reported just now stays as it was.
fn row(vmid: i32, guest: &Resource, before: Option<&ForeignRow>) -> ForeignRow {
    let listed = name(guest);
    let text = |text: Option<&str>| text.filter(|text| is_plain_line(text)).unwrap_or_default().to_owned();
    ForeignRow {
        vmid,
        name: if listed.is_empty() { before.map(|row| row.name.clone()).unwrap_or_default() } else { listed },
        node: text(guest.node.as_deref()),
        status: guest.status.as_deref().map_or_else(|| UNREPORTED.to_owned(), |status| text(Some(status))),
        template: guest.template,
        vcpu: vcpu(guest).or(before.map(|row| row.vcpu)).unwrap_or(0),
        memory_mib: memory_mib(guest).or(before.map(|row| row.memory_mib)).unwrap_or(0),
        disk_gib: disk_gib(guest).or(before.map(|row| row.disk_gib)).unwrap_or(0),
        tags: guest.tags.iter().filter(|tag| is_plain_line(tag)).map(str::to_owned).collect(),
    }
}
