//! Single volumes of a storage: reading and changing what is known of one, making one, removing one. Getting files from
//! elsewhere is in `transfer`, lists are in `storage_calls`.

pub(crate) mod transfer;

use serde_json::{Map, Value, json};

use crate::backups::vzdump;
use crate::call::Call;
use crate::clock::seconds;
use crate::cluster::ClusterState;
use crate::cluster::archive::FileAttributes;
use crate::cluster::storage::{Storage, Volume};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

pub(crate) use transfer::{Plan, Received, begin, finish, url_metadata};

/// Formats of disk images.
const IMAGE_FORMATS: &[&str] = &["raw", "qcow2", "vmdk"];

/// What a volume's name says: its content type, and the guest it belongs to.
fn kind_of(name: &str) -> (&str, Option<u32>) {
    let digits = |text: &str| text.split(|one: char| !one.is_ascii_digit()).next().and_then(|part| part.parse().ok());
    match name.split_once('/') {
        Some(("backup", rest)) => {
            let owner = rest.strip_prefix("vzdump-qemu-").or_else(|| rest.strip_prefix("vm/"));
            ("backup", owner.and_then(digits))
        }
        Some((kind @ ("iso" | "vztmpl" | "import" | "snippets"), _)) => (kind, None),
        _ => {
            let own = name.rsplit('/').next().unwrap_or_default();
            let owner = own.strip_prefix("vm-").or_else(|| own.strip_prefix("base-"));
            ("images", owner.and_then(digits))
        }
    }
}

/// May the caller see and use a volume? `vmid` is the guest it is wanted for.
///
/// # Errors
/// 403 in Proxmox's words.
pub(crate) fn check_access(call: &Call<'_>, storage: &Storage, name: &str, vmid: Option<u32>) -> Result<(), Failure> {
    let path = format!("/storage/{}", storage.id);
    if call.caller.may(&path, "Datastore.Allocate") {
        return Ok(());
    }
    let (kind, owner) = kind_of(name);
    match (kind, owner) {
        ("iso" | "vztmpl" | "import", _) => call.caller.require(&path, &["Datastore.AllocateSpace", "Datastore.Audit"]),
        (_, Some(owner)) if vmid == Some(owner) => Ok(()),
        ("backup", Some(owner)) => {
            call.caller.require(&path, &["Datastore.AllocateSpace"])?;
            call.caller.require(&format!("/vms/{owner}"), &["VM.Backup"])
        }
        ("images", Some(owner)) => {
            call.caller.require(&path, &["Datastore.Audit"])?;
            call.caller.require(&format!("/vms/{owner}"), &["VM.Config.Disk"])
        }
        _ => call.caller.require(&path, &["Datastore.Allocate"]),
    }
}

/// What a list says of a backup; of the notes only the first line.
pub(crate) fn describe_backup(entry: &mut Map<String, Value>, volume: &Volume) {
    entry.insert("subtype".to_owned(), json!("qemu"));
    if let Some(line) = volume.file.notes.as_deref().and_then(|notes| notes.lines().next()) {
        entry.insert("notes".to_owned(), json!(line));
    }
    if volume.file.protected {
        entry.insert("protected".to_owned(), json!(1));
    }
    if let Some(state) = &volume.file.verification {
        entry.insert("verification".to_owned(), json!({ "state": state, "upid": verification_task(volume) }));
    }
}

/// The task of the backup server that verified a backup.
fn verification_task(volume: &Volume) -> String {
    format!(
        "UPID:backup:00000500:00000500:00000001:{:08X}:verificationjob:{}:root@pam:",
        volume.created, volume.storage
    )
}

/// The storage and name of the volume in the path, which may or may not begin with the storage.
fn named(call: &Call<'_>) -> Result<(Storage, String), Failure> {
    let (storage, volume) = (call.text("storage"), call.text("volume"));
    let name = match volume.split_once(':') {
        Some((own, _)) if own != storage => {
            return Err(Failure::parameter("volume", format!("storage ID mismatch ({own} != {storage})\n")));
        }
        Some((_, name)) => name,
        None => volume,
    };
    Ok((call.cluster.storage(storage)?.clone(), name.to_owned()))
}

/// Where a volume is in the node's file system.
fn path_of(storage: &Storage, volume: &Volume) -> String {
    let name = volume.name.split_once('/').map_or(volume.name.as_str(), |(_, name)| name);
    match (volume.content.as_str(), storage.kind.as_str()) {
        ("backup", "pbs") => format!("pbs:{}", volume.name),
        ("backup", _) => format!("{}/dump/{name}", storage.path()),
        ("iso", _) => format!("{}/template/iso/{name}", storage.path()),
        ("vztmpl", _) => format!("{}/template/cache/{name}", storage.path()),
        ("import" | "snippets", _) => format!("{}/{}", storage.path(), volume.name),
        (_, "rbd") => format!("rbd:{}/{}", storage.id, volume.name),
        (_, "zfspool") => format!("/dev/zvol/{}/{}", storage.id, volume.name),
        (_, "lvm" | "lvmthin") => format!("/dev/pve/{}", volume.name),
        _ => format!("{}/images/{}", storage.path(), volume.name),
    }
}

/// GET /nodes/{node}/storage/{storage}/content/{volume}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let (storage, name) = named(call)?;
    check_access(call, &storage, &name, None)?;
    let volume = call.cluster.volumes.get(&storage, call.node(), &name);
    let volume = volume
        .ok_or_else(|| Failure::died(format!("volume_size_info on '{}:{name}' failed - no format", storage.id)))?;
    let mut entry = json!({
        "path": path_of(&storage, volume), "size": volume.size, "used": volume.used, "format": volume.format,
    });
    if volume.content == "backup" {
        entry["notes"] = json!(volume.file.notes.as_deref().unwrap_or_default());
        entry["protected"] = json!(i32::from(volume.file.protected));
    }
    Ok(Reply::data(entry))
}

/// PUT /nodes/{node}/storage/{storage}/content/{volume}
pub(crate) fn change(call: &mut Call<'_>) -> Outcome {
    let (storage, name) = named(call)?;
    check_access(call, &storage, &name, None)?;
    let node = call.node().to_owned();
    let notes = call.parameters.text("notes").map(str::to_owned);
    let protected = call.parameters.flag("protected");
    let volid = format!("{}:{name}", storage.id);
    let volume = call.cluster.volumes.get(&storage, &node, &name).cloned();
    let mut volume = volume.ok_or_else(|| Failure::died(format!("volume '{volid}' does not exist")))?;
    if volume.content != "backup" && (notes.is_some() || protected.is_some()) {
        let attribute = if notes.is_some() { "notes" } else { "protected" };
        return Err(Failure::died(format!("only backups support attribute '{attribute}'")));
    }
    if protected == Some(true)
        && !volume.file.protected
        && !call.caller.may(&format!("/storage/{}", storage.id), "Datastore.Allocate")
        && let Some(owner) = volume.vmid
    {
        vzdump::check_protected(call.cluster, &storage, &node, owner).map_err(Failure::died)?;
    }
    if let Some(notes) = notes {
        volume.file.notes = Some(notes).filter(|notes| !notes.is_empty());
    }
    volume.file.protected = protected.unwrap_or(volume.file.protected);
    call.cluster.insert_volume(&node, volume)?;
    call.cluster.touch();
    Ok(Reply::null())
}

/// DELETE /nodes/{node}/storage/{storage}/content/{volume}: null when it is gone within `delay` seconds, else a UPID.
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let (storage, name) = named(call)?;
    let path = format!("/storage/{}", storage.id);
    let (kind, owner) = kind_of(&name);
    match owner.filter(|_| kind == "backup") {
        Some(owner) => {
            call.caller.require(&path, &["Datastore.AllocateSpace"])?;
            call.caller.require(&format!("/vms/{owner}"), &["VM.Backup"])?;
        }
        None => call.caller.require(&path, &["Datastore.Allocate"])?,
    }
    let id = owner.map_or_else(|| storage.id.clone(), |owner| format!("{owner}@{}", storage.id));
    let (node, volid) = (call.node().to_owned(), format!("{}:{name}", storage.id));
    let upid = call.spawn_as("imgdel", id, None, Work::DeleteVolume { node, volid });
    if call.parameters.get("delay").is_some()
        && let Some((_, exit)) = call.cluster.tasks.get(&upid).and_then(|task| task.ended())
    {
        return if exit == "OK" { Ok(Reply::null()) } else { Err(Failure::died(exit)) };
    }
    Ok(Reply::data(upid))
}

/// Frees the volume of an `imgdel` task.
pub(crate) fn finish_delete(
    cluster: &mut ClusterState,
    node: &str,
    volid: &str,
    log: &mut Vec<String>,
) -> Result<u32, String> {
    let (storage, name) = cluster.parse_volume_id(volid).map_err(|failure| failure.text().to_owned())?;
    let (storage, name) = (storage.clone(), name.to_owned());
    match cluster.volumes.get(&storage, node, &name) {
        Some(volume) if volume.file.protected => {
            return Err(format!("cannot remove protected volume '{name}' on '{}'", storage.id));
        }
        Some(volume) if volume.children > 0 => {
            return Err(format!("base volume '{name}' is still in use by linked cloned"));
        }
        Some(_) => {
            cluster.volumes.remove(&storage, node, &name);
        }
        None if storage.is_directory() => log.push(format!("disk image '{name}' does not exist")),
        None => return Err(format!("volume '{volid}' does not exist")),
    }
    log.push(format!("Removed volume '{volid}'"));
    cluster.touch();
    Ok(0)
}

/// POST /nodes/{node}/storage/{storage}/content: an empty disk.
pub(crate) fn allocate(call: &mut Call<'_>) -> Outcome {
    let (node, vmid, given) = (call.node().to_owned(), call.vmid(), call.text("filename").to_owned());
    let size = call.text("size");
    let (number, unit) = match size.strip_suffix('M') {
        Some(number) => (number, 1_u64 << 20),
        None => size.strip_suffix('G').map_or((size, 1 << 10), |number| (number, 1 << 30)),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let bytes = bytes.ok_or_else(|| Failure::parameter("size", format!("unable to parse size '{size}'")))?;
    let of_name = given.rsplit_once('.').map(|(_, format)| format).filter(|format| IMAGE_FORMATS.contains(format));
    let asked = call.parameters.text("format");
    if let (Some(asked), Some(of_name)) = (asked, of_name)
        && asked != of_name
    {
        return Err(Failure::parameter("format", format!("different storage formats ({asked} != {of_name})")));
    }
    let storage = call.cluster.storage(call.text("storage"))?.clone();
    if !storage.takes("images") {
        return Err(Failure::died(format!("storage '{}' does not support content-type 'images'", storage.id)));
    }
    let format = of_name.or(asked).unwrap_or("raw").to_owned();
    if !storage.is_directory() && format != "raw" {
        return Err(Failure::died(format!("unsupported format '{format}'")));
    }
    if !given.starts_with(&format!("vm-{vmid}-")) {
        return Err(Failure::died(format!("illegal name '{given}' - should be 'vm-{vmid}-*'")));
    }
    let name = if storage.is_directory() { format!("{vmid}/{given}") } else { given };
    if call.cluster.volumes.get(&storage, &node, &name).is_some() {
        return Err(Failure::died(format!("disk image '{name}' already exists")));
    }
    let free = storage.size.saturating_sub(call.cluster.volumes.used(&storage, &node));
    if storage.kind == "lvm" && bytes > free {
        return Err(Failure::died(format!("not enough free space ({free} < {bytes})")));
    }
    let volume = Volume {
        storage: storage.id.clone(),
        name,
        node: None,
        content: "images".to_owned(),
        vmid: Some(vmid),
        format,
        size: bytes,
        used: if storage.kind == "lvm" { bytes } else { 0 },
        created: seconds(call.now),
        parent: None,
        children: 0,
        file: FileAttributes::default(),
    };
    let volid = volume.volid();
    call.cluster.volumes.insert(&storage, &node, volume);
    call.cluster.touch();
    Ok(Reply::data(volid))
}
