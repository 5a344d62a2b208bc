//! Storages and the volumes on them: names, sizes, thin use. What a volume is attached to stands in the configs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::archive::FileAttributes;
use crate::failure::Failure;

/// Names tried for a new disk of one guest.
const DISKS_OF_A_GUEST_MAX: u32 = 1024;

/// How the names of volumes that are no disks begin.
const FILE_FOLDERS: &[&str] = &["backup/", "import/", "iso/", "snippets/", "vztmpl/"];

/// One storage of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Storage {
    /// The storage id.
    pub id: String,
    /// Plugin type: `dir`, `nfs`, `lvm`, `lvmthin`, `zfspool`, `rbd` or `pbs`.
    pub kind: String,
    /// One for all nodes.
    pub shared: bool,
    /// Content types.
    pub content: Vec<String>,
    /// Bytes, on each node when not shared.
    pub size: u64,
}

impl Storage {
    /// Does it keep images as files in a folder per guest?
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind.as_str(), "dir" | "nfs")
    }

    /// The file system path of a directory storage.
    pub(crate) fn path(&self) -> String {
        match (self.id.as_str(), self.kind.as_str()) {
            ("local", _) => "/var/lib/vz".to_owned(),
            (id, "nfs") => format!("/mnt/pve/{id}"),
            (id, _) => format!("/var/lib/{id}"),
        }
    }

    /// Does it take this content type?
    pub(crate) fn takes(&self, content: &str) -> bool {
        self.content.iter().any(|one| one == content)
    }

    /// The own name in a volume name, which for a linked clone begins with that of its base.
    fn own_name<'a>(&self, name: &'a str) -> &'a str {
        if FILE_FOLDERS.iter().any(|folder| name.starts_with(folder)) {
            return name;
        }
        let parts_kept = if self.is_directory() { 2 } else { 1 };
        let start = name.rmatch_indices('/').nth(parts_kept - 1).map_or(0, |(index, _)| index + 1);
        &name[start..]
    }

    /// The name of an image within the storage, such as `101/vm-101-disk-0.qcow2` or `vm-101-disk-0`.
    pub(crate) fn image_name(&self, vmid: u32, kind: &str, suffix: &str, format: &str) -> String {
        if self.is_directory() {
            format!("{vmid}/{kind}-{vmid}-{suffix}.{format}")
        } else {
            format!("{kind}-{vmid}-{suffix}")
        }
    }
}

/// One volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// The storage id.
    pub storage: String,
    /// Its own name within the storage, without that of a base volume.
    pub name: String,
    /// The node that has it; none on shared storage.
    pub node: Option<String>,
    /// Content type.
    pub content: String,
    /// The guest that owns it.
    pub vmid: Option<u32>,
    /// `raw`, `qcow2`, `iso`.
    pub format: String,
    /// Virtual size in bytes.
    pub size: u64,
    /// Bytes taken on the thin storage.
    pub used: u64,
    /// Seconds since the epoch.
    pub created: u64,
    /// Name of the base volume of a linked clone, where the storage records it.
    pub parent: Option<String>,
    /// Linked clones that need this volume.
    pub children: u32,
    /// What is known of it as a file.
    #[serde(default)]
    pub file: FileAttributes,
}

impl Volume {
    /// The volume id: `storage:name`, or `storage:base/name` of a linked clone.
    pub fn volid(&self) -> String {
        match &self.parent {
            Some(base) => format!("{}:{base}/{}", self.storage, self.name),
            None => format!("{}:{}", self.storage, self.name),
        }
    }
}

/// All volumes, by storage, place and name, with the sums of their use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Volumes {
    by_place: BTreeMap<String, BTreeMap<String, Volume>>,
    used: BTreeMap<String, u64>,
}

fn place(storage: &Storage, node: &str) -> String {
    if storage.shared { format!("{}/", storage.id) } else { format!("{}/{node}", storage.id) }
}

impl Volumes {
    /// The volume `name` as seen from `node`.
    pub(crate) fn get(&self, storage: &Storage, node: &str, name: &str) -> Option<&Volume> {
        self.by_place.get(&place(storage, node))?.get(storage.own_name(name))
    }

    /// All volumes of a storage as seen from `node`, sorted by name.
    pub(crate) fn on(&self, storage: &Storage, node: &str) -> impl Iterator<Item = &Volume> {
        self.by_place.get(&place(storage, node)).into_iter().flat_map(BTreeMap::values)
    }

    /// Bytes taken on a storage as seen from `node`.
    pub(crate) fn used(&self, storage: &Storage, node: &str) -> u64 {
        self.used.get(&place(storage, node)).copied().unwrap_or(0)
    }

    /// Adds or replaces a volume.
    pub(crate) fn insert(&mut self, storage: &Storage, node: &str, mut volume: Volume) {
        volume.node = (!storage.shared).then(|| node.to_owned());
        self.remove(storage, node, &volume.name.clone());
        let place = place(storage, node);
        if let Some(parent) = volume.parent.clone() {
            self.count_child(&place, &parent, true);
        }
        *self.used.entry(place.clone()).or_default() += volume.used;
        self.by_place.entry(place).or_default().insert(volume.name.clone(), volume);
    }

    /// Frees a volume.
    pub(crate) fn remove(&mut self, storage: &Storage, node: &str, name: &str) -> Option<Volume> {
        let place = place(storage, node);
        let volume = self.by_place.get_mut(&place)?.remove(storage.own_name(name))?;
        if let Some(used) = self.used.get_mut(&place) {
            *used = used.saturating_sub(volume.used);
        }
        if let Some(parent) = &volume.parent {
            self.count_child(&place, parent, false);
        }
        Some(volume)
    }

    fn count_child(&mut self, place: &str, parent: &str, more: bool) {
        if let Some(base) = self.by_place.get_mut(place).and_then(|volumes| volumes.get_mut(parent)) {
            base.children = if more { base.children + 1 } else { base.children.saturating_sub(1) };
        }
    }

    /// Gives a volume another virtual size; thin storage takes nothing for it.
    pub(crate) fn resize(&mut self, storage: &Storage, node: &str, name: &str, size: u64) {
        let volumes = self.by_place.get_mut(&place(storage, node));
        if let Some(volume) = volumes.and_then(|volumes| volumes.get_mut(storage.own_name(name))) {
            volume.size = size;
        }
    }

    /// The first free `disk-N` of a guest.
    ///
    /// # Errors
    /// When a guest has more disks than the simulator numbers.
    pub(crate) fn free_disk(&self, storage: &Storage, node: &str, vmid: u32, format: &str) -> Result<String, Failure> {
        let volumes = self.by_place.get(&place(storage, node));
        let taken = |index: &u32| {
            let suffix = format!("disk-{index}");
            ["vm", "base"].iter().any(|kind| {
                let name = storage.image_name(vmid, kind, &suffix, format);
                volumes.is_some_and(|volumes| volumes.contains_key(&name))
            })
        };
        (0..DISKS_OF_A_GUEST_MAX).find(|index| !taken(index)).map(|index| format!("disk-{index}")).ok_or_else(|| {
            Failure::died(format!("unable to allocate an image name for VM {vmid} in storage '{}'", storage.id))
        })
    }
}
