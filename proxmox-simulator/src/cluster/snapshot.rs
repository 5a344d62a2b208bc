//! A snapshot of a VM as it stands in the config file: the options of then, and what they need to come back. What the
//! calls do with it is in `qemu::snapshots`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::drive::{Drive, is_drive_key};

/// One snapshot section of a config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The options of then, with the `parent` of then; without description, lock and unused volumes.
    pub values: BTreeMap<String, String>,
    /// Its own description.
    pub description: Option<String>,
    /// When it was taken, in seconds since the epoch.
    pub time: u64,
    /// The volume with the memory of the running guest.
    pub vmstate: Option<String>,
    /// `prepare` or `delete` while a task works on it, and after that task died.
    pub state: Option<String>,
}

impl Snapshot {
    /// The snapshot before it.
    pub fn parent(&self) -> Option<&str> {
        self.values.get("parent").map(String::as_str)
    }

    /// Its drives with a volume, in order of their keys; CD drives are not among them.
    pub(crate) fn disks(&self) -> Vec<(String, Drive)> {
        let drives = self.values.iter().filter(|(option, _)| is_drive_key(option));
        let drives = drives.map(|(option, text)| (option.clone(), Drive::parse(text)));
        drives.filter(|(_, drive)| !drive.is_cdrom() && drive.volume_id().is_some()).collect()
    }

    /// Does it need this volume, be it as a drive or as its memory?
    pub(crate) fn refers_to(&self, volid: &str) -> bool {
        let drives = self.values.iter().filter(|(option, _)| is_drive_key(option));
        self.vmstate.as_deref() == Some(volid)
            || drives.map(|(_, text)| Drive::parse(text)).any(|drive| drive.volume_id() == Some(volid))
    }
}
