//! Calls about storages: the definitions, and on a node their space and content.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::cluster::storage::{Storage, Volume};
use crate::failure::{Failure, Outcome, Reply};
use crate::load;
use crate::storage_files;

fn visible(call: &Call<'_>, storage: &Storage) -> bool {
    let path = format!("/storage/{}", storage.id);
    call.caller.may(&path, "Datastore.Audit") || call.caller.may(&path, "Datastore.AllocateSpace")
}

/// The digest of the file that all definitions stand in.
fn digest(call: &Call<'_>) -> String {
    let mut hasher = Sha256::new();
    for storage in &call.cluster.storages {
        hasher.update(&storage.id);
    }
    hasher.finalize().iter().take(20).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn definition(storage: &Storage, digest: &str) -> Value {
    let mut entry = Map::from_iter([
        ("storage".to_owned(), json!(storage.id)),
        ("type".to_owned(), json!(storage.kind)),
        ("content".to_owned(), json!(storage.content.join(","))),
        ("digest".to_owned(), json!(digest)),
    ]);
    match storage.kind.as_str() {
        "dir" => {
            entry.insert("path".to_owned(), json!(storage.path()));
            if storage.content.iter().any(|content| content == "backup") {
                entry.insert("prune-backups".to_owned(), json!("keep-all=1"));
            }
        }
        "lvmthin" => {
            entry.insert("vgname".to_owned(), json!("pve"));
            entry.insert("thinpool".to_owned(), json!("data"));
        }
        _ => {
            entry.insert("pool".to_owned(), json!(storage.id));
            entry.insert("krbd".to_owned(), json!(0));
        }
    }
    if storage.shared && storage.kind == "dir" {
        entry.insert("shared".to_owned(), json!(1));
    }
    Value::Object(entry)
}

/// GET /storage
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let digest = digest(call);
    let kind = call.parameters.text("type");
    let shown = call.cluster.storages.iter().filter(|storage| visible(call, storage));
    let shown = shown.filter(|storage| kind.is_none_or(|kind| storage.kind == kind));
    Ok(Reply::data(shown.map(|storage| definition(storage, &digest)).collect::<Vec<_>>()))
}

/// GET /storage/{storage}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let storage = call.cluster.storage(call.text("storage"))?;
    Ok(Reply::data(definition(storage, &digest(call))))
}

fn space(call: &Call<'_>, storage: &Storage) -> Map<String, Value> {
    let used = call.cluster.volumes.used(storage, call.node()).min(storage.size);
    Map::from_iter([
        ("type".to_owned(), json!(storage.kind)),
        ("content".to_owned(), json!(storage.content.join(","))),
        ("shared".to_owned(), json!(i32::from(storage.shared))),
        ("enabled".to_owned(), json!(1)),
        ("active".to_owned(), json!(1)),
        ("total".to_owned(), json!(storage.size)),
        ("used".to_owned(), json!(used)),
        ("avail".to_owned(), json!(storage.size - used)),
    ])
}

/// GET /nodes/{node}/storage
pub(crate) fn list_on_node(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let parameters = &call.parameters;
    if let Some(target) = parameters.text("target").filter(|target| call.cluster.node(target).is_none()) {
        return Err(Failure::died(format!("no such cluster node '{target}'")));
    }
    if let Some(id) = parameters.text("storage") {
        call.cluster.storage(id)?;
    }
    let contents: Option<Vec<&str>> = parameters.text("content").map(|text| text.split([',', ';', ' ']).collect());
    let wanted = |storage: &&Storage| {
        parameters.text("storage").is_none_or(|id| storage.id == id)
            && contents.as_ref().is_none_or(|wanted| storage.content.iter().any(|one| wanted.contains(&one.as_str())))
            && (parameters.text("target").is_none_or(|target| target == call.node()) || storage.shared)
            && visible(call, storage)
    };
    let entries: Vec<Value> = call
        .cluster
        .storages
        .iter()
        .filter(wanted)
        .map(|storage| {
            let mut entry = space(call, storage);
            let used = call.cluster.volumes.used(storage, call.node());
            entry.insert("storage".to_owned(), json!(storage.id));
            entry.insert("used_fraction".to_owned(), json!(load::fraction(used, storage.size)));
            if parameters.flag("format") == Some(true) {
                let supported =
                    if storage.is_directory() { vec!["raw", "qcow2", "vmdk", "subvol"] } else { vec!["raw"] };
                entry.insert("formats".to_owned(), json!({ "supported": supported, "default": supported[0] }));
            }
            Value::Object(entry)
        })
        .collect();
    Ok(Reply::data(entries))
}

fn named<'a>(call: &'a Call<'_>) -> Result<&'a Storage, Failure> {
    let id = call.text("storage");
    call.cluster.storage(id).map_err(|_| Failure::parameter("storage", "No such storage."))
}

/// GET /nodes/{node}/storage/{storage}/status
pub(crate) fn status(call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(space(call, named(call)?)))
}

/// GET /nodes/{node}/storage/{storage}/content
pub(crate) fn content(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let storage = named(call)?;
    let parameters = &call.parameters;
    let vmid: Option<u32> = parameters.number("vmid");
    let wanted = |volume: &&Volume| {
        parameters.text("content").is_none_or(|content| volume.content == content)
            && (vmid.is_none() || volume.vmid == vmid)
            && storage_files::check_access(call, storage, &volume.name, None).is_ok()
    };
    let entries: Vec<Value> = call
        .cluster
        .volumes
        .on(storage, call.node())
        .filter(wanted)
        .map(|volume| {
            let mut entry = Map::from_iter([
                ("volid".to_owned(), json!(volume.volid())),
                ("content".to_owned(), json!(volume.content)),
                ("format".to_owned(), json!(volume.format)),
                ("size".to_owned(), json!(volume.size)),
                ("ctime".to_owned(), json!(volume.created)),
            ]);
            if let Some(owner) = volume.vmid {
                entry.insert("vmid".to_owned(), json!(owner));
            }
            if volume.content == "backup" {
                storage_files::describe_backup(&mut entry, volume);
            } else if volume.vmid.is_some() {
                entry.insert("used".to_owned(), json!(volume.used));
                entry.insert("parent".to_owned(), json!(volume.parent));
            }
            Value::Object(entry)
        })
        .collect();
    Ok(Reply::data(entries))
}
