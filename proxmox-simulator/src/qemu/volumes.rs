//! Allocating volumes for drives, with the lines the tools print. Which drive asks for what is decided by the callers.

use std::time::Duration;

use crate::clock::{Micros, seconds};
use crate::cluster::build::CLOUD_INIT_SIZE;
use crate::cluster::drive::Drive;
use crate::cluster::storage::{Storage, Volume};
use crate::cluster::{ClusterState, sizes};
use crate::failure::Failure;
use crate::options::GIB;

/// Bytes an empty thin volume takes.
const EMPTY_USED: u64 = 196_608;

/// For whom and when volumes are made.
pub(crate) struct Place<'a> {
    pub(crate) node: &'a str,
    pub(crate) vmid: u32,
    pub(crate) at: Micros,
}

/// What is wanted.
pub(crate) struct Wanted<'a> {
    pub(crate) storage: &'a str,
    pub(crate) format: Option<&'a str>,
    /// `cloudinit`, or none for the next free `disk-N`.
    pub(crate) suffix: Option<&'a str>,
    pub(crate) size: u64,
    /// Bytes it takes from the start, for copies.
    pub(crate) used: u64,
    pub(crate) parent: Option<String>,
}

/// How long so many bytes take at so much for a GiB; less than one counts as one.
pub(crate) fn time_for(per_gib: Duration, bytes: u64) -> Duration {
    per_gib.saturating_mul(u32::try_from(bytes.div_ceil(GIB).max(1)).unwrap_or(u32::MAX))
}

/// Makes a volume.
pub(crate) fn allocate(
    cluster: &mut ClusterState,
    place: &Place<'_>,
    wanted: Wanted<'_>,
    log: &mut Vec<String>,
) -> Result<Volume, Failure> {
    let storage = cluster.storage(wanted.storage)?.clone();
    check_content(&storage)?;
    let format = match wanted.format {
        Some(format) if storage.is_directory() => format,
        _ => "raw",
    };
    let suffix = match wanted.suffix {
        Some(suffix) => suffix.to_owned(),
        None => cluster.volumes.free_disk(&storage, place.node, place.vmid, format)?,
    };
    let name = storage.image_name(place.vmid, "vm", &suffix, format);
    if cluster.volumes.get(&storage, place.node, &name).is_some() {
        return Err(Failure::died(format!("disk image '{}' already exists", shown_path(&storage, &name))));
    }
    if storage.kind == "lvm" {
        // Thick volumes need their space at once; everything else promises more than there is.
        let free = storage.size.saturating_sub(cluster.volumes.used(&storage, place.node));
        if wanted.size > free {
            return Err(Failure::died(format!("not enough free space ({free} < {})", wanted.size)));
        }
    }
    log_creation(&storage, &name, format, wanted.size, log);
    let volume = Volume {
        storage: storage.id.clone(),
        name,
        node: None,
        content: "images".to_owned(),
        vmid: Some(place.vmid),
        format: format.to_owned(),
        size: wanted.size,
        used: if storage.kind == "lvm" { wanted.size } else { wanted.used },
        created: seconds(place.at),
        parent: wanted.parent,
        children: 0,
        file: crate::cluster::archive::FileAttributes::default(),
    };
    cluster.volumes.insert(&storage, place.node, volume.clone());
    Ok(volume)
}

fn shown_path(storage: &Storage, name: &str) -> String {
    if storage.is_directory() { format!("{}/images/{name}", storage.path()) } else { name.to_owned() }
}

fn log_creation(storage: &Storage, name: &str, format: &str, size: u64, log: &mut Vec<String>) {
    match (storage.kind.as_str(), format) {
        ("dir", "qcow2") => log.push(format!(
            "Formatting '{}', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib size={size} lazy_refcounts=off refcount_bits=16",
            shown_path(storage, name)
        )),
        ("dir", _) => {
            log.push(format!("Formatting '{}', fmt={format} size={size} preallocation=off", shown_path(storage, name)));
        }
        ("lvmthin", _) => log.push(format!("  Logical volume \"{name}\" created.")),
        _ => {}
    }
}

fn check_content(storage: &Storage) -> Result<(), Failure> {
    if storage.content.iter().any(|content| content == "images") {
        return Ok(());
    }
    Err(Failure::died(format!("storage '{}' does not support content-type 'images'", storage.id)))
}

/// What is checked of a drive's value before the task begins; returns the storage that will have to give space.
pub(crate) fn check(cluster: &ClusterState, text: &str, default: Option<&str>) -> Result<Option<String>, Failure> {
    let drive = Drive::parse(text);
    if drive.file.starts_with('/') {
        return Err(Failure::died("Only root can pass arbitrary filesystem paths."));
    }
    let storage = match new_disk(&drive.file) {
        Some((storage, _)) => cluster.storage(storage.or(default).unwrap_or("local"))?,
        None => match drive.volume_id() {
            Some(volid) => cluster.parse_volume_id(volid)?.0,
            None => return Ok(None),
        },
    };
    if new_disk(&drive.file).is_none() && !drive.file.ends_with(":cloudinit") {
        return Ok(None);
    }
    check_content(storage)?;
    Ok(Some(storage.id.clone()))
}

/// `storage:32` or `32`: a new disk of that many GiB.
fn new_disk(file: &str) -> Option<(Option<&str>, &str)> {
    let (storage, size) = file.split_once(':').map_or((None, file), |(storage, size)| (Some(storage), size));
    sizes::is_decimal(size).then_some((storage, size))
}

/// Turns what was asked for into a drive with a volume, allocating it if need be.
pub(crate) fn resolve(
    cluster: &mut ClusterState,
    place: &Place<'_>,
    option: &str,
    text: &str,
    log: &mut Vec<String>,
) -> Result<Drive, Failure> {
    let mut drive = Drive::parse(text);
    if let Some(storage) = drive.file.strip_suffix(":cloudinit").map(str::to_owned) {
        let wanted = Wanted {
            storage: &storage,
            format: Some("qcow2"),
            suffix: Some("cloudinit"),
            size: CLOUD_INIT_SIZE,
            used: EMPTY_USED,
            parent: None,
        };
        drive.file = allocate(cluster, place, wanted, log)?.volid();
        drive.options.insert("media".to_owned(), "cdrom".to_owned());
        drive.options.remove("format");
        log.push(format!("{option}: successfully created disk '{}'", drive.print()));
        return Ok(drive);
    }
    if let Some((storage, gibibytes)) = new_disk(&drive.file) {
        let storage = storage.unwrap_or("local").to_owned();
        let (mut size, mut used) = (sizes::scaled(gibibytes, GIB).unwrap_or(0), EMPTY_USED);
        if let Some(source) = drive.options.remove("import-from") {
            let source = cluster.volume(place.node, &source)?;
            (size, used) = (source.size, source.used);
        }
        if matches!(option, "efidisk0" | "tpmstate0") {
            size = if option == "efidisk0" { 528 << 10 } else { 4 << 20 };
        }
        let format = drive.options.remove("format");
        let wanted = Wanted { storage: &storage, format: format.as_deref(), suffix: None, size, used, parent: None };
        let volume = allocate(cluster, place, wanted, log)?;
        drive.file = volume.volid();
        drive.options.insert("size".to_owned(), sizes::print(volume.size));
        log.push(format!("{option}: successfully created disk '{}'", drive.print()));
        return Ok(drive);
    }
    if let Some(volid) = drive.volume_id() {
        let volume = cluster.volume(place.node, volid)?;
        if volume.vmid.is_some_and(|owner| owner != place.vmid) && !drive.is_cdrom() {
            let owner = volume.vmid.unwrap_or_default();
            return Err(Failure::died(format!(
                "can't use volume '{volid}' owned by VM {owner} as a drive of VM {}",
                place.vmid
            )));
        }
        let size = sizes::print(volume.size);
        drive.options.insert("size".to_owned(), size);
    }
    Ok(drive)
}
