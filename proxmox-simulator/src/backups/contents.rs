//! What goes into a backup: options, disks, notes; and what its log says is left out.

use std::collections::BTreeMap;

use crate::cluster::archive::{Archive, ArchivedDisk};
use crate::cluster::drive::{drives, is_unused_key};
use crate::cluster::guest::Guest;
use crate::cluster::{ClusterState, sizes};
use crate::failure::Failure;

/// The options and disks that go into the archive.
pub(super) fn assemble(cluster: &ClusterState, guest: &Guest, log: &mut Vec<String>) -> Result<Archive, Failure> {
    let mut archive = Archive::default();
    for (option, drive) in drives(&guest.config) {
        let Some(volid) = drive.volume_id().filter(|_| !drive.is_cdrom()) else { continue };
        if drive.options.get("backup").map(String::as_str) == Some("0") {
            log.push(format!("INFO: exclude disk '{option}' '{volid}' (backup=no)"));
            continue;
        }
        let volume = cluster.volume(&guest.node, volid)?;
        log.push(format!("INFO: include disk '{option}' '{volid}' {}", sizes::print(volume.size)));
        archive.disks.push(ArchivedDisk {
            option,
            storage: volume.storage.clone(),
            format: volume.format.clone(),
            size: volume.size,
            used: volume.used,
        });
    }
    let left_out = ["lock", "parent", "vmstate"];
    let kept = guest.config.values.iter();
    let kept = kept.filter(|(option, _)| !left_out.contains(&option.as_str()) && !is_unused_key(option));
    archive.values = kept.map(|(option, value)| (option.clone(), value.clone())).collect::<BTreeMap<_, _>>();
    Ok(archive)
}

/// Says what is left out.
pub(super) fn note_left_out(guest: &Guest, log: &mut Vec<String>) {
    for (_, volid) in guest.config.values.iter().filter(|(option, _)| is_unused_key(option)) {
        log.push(format!("INFO: skip unused drive '{volid}' (not included into backup)"));
    }
    if !guest.snapshots.is_empty() {
        log.push("INFO: snapshots found (not included into backup)".to_owned());
    }
    if guest.config.is_waiting() {
        log.push("INFO: pending configuration changes found (not included into backup)".to_owned());
    }
}

/// The notes of a backup from their template.
pub(super) fn fill_notes(template: &str, guest: &Guest, cluster: &str) -> String {
    let filled = template.replace("\\n", "\n").replace("\\\\", "\\");
    [
        ("{{guestname}}", guest.name()),
        ("{{vmid}}", guest.vmid.to_string()),
        ("{{node}}", guest.node.clone()),
        ("{{cluster}}", cluster.to_owned()),
    ]
    .iter()
    .fold(filled, |text, (name, value)| text.replace(name, value))
}
