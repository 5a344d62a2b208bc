//! What is known of a file on a storage beyond its size: notes, protection, checksums, and for a backup the guest it
//! holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Attributes of a file on a storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAttributes {
    /// Notes, all lines.
    pub notes: Option<String>,
    /// Kept from removal and pruning.
    pub protected: bool,
    /// Result of the last verification on a backup server: `ok` or `failed`.
    pub verification: Option<String>,
    /// Checksums by algorithm, as hexadecimal digits.
    pub checksums: BTreeMap<String, String>,
    /// The bytes of an uploaded file, if it is small; the rest is only counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Vec<u8>>,
    /// What a backup holds.
    pub archive: Option<Archive>,
}

/// A guest in a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Its options, without lock, snapshots, pending changes and unused volumes.
    pub values: BTreeMap<String, String>,
    /// Its disks.
    pub disks: Vec<ArchivedDisk>,
}

/// A disk in a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedDisk {
    /// The option, such as `scsi0`.
    pub option: String,
    /// The storage it was on.
    pub storage: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// Virtual size in bytes.
    pub size: u64,
    /// Bytes in use.
    pub used: u64,
}
