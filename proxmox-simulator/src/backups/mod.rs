//! Backups of guests: taking them (`vzdump`), removing old ones (`prune`), bringing them back (`restore`), what stands
//! in them, and the jobs that would take them (`jobs`)
//! and when (`schedule`).

mod contents;
pub(crate) mod jobs;
pub(crate) mod prune;
pub(crate) mod restore;
mod schedule;
pub(crate) mod vzdump;

use serde_json::json;

use crate::call::Call;
use crate::cluster::archive::Archive;
use crate::failure::{Failure, Outcome, Reply};
use crate::simulator::Simulator;
use crate::storage_files;

/// GET /nodes/{node}/vzdump/defaults
pub(crate) fn defaults(call: &mut Call<'_>) -> Outcome {
    if let Some(storage) = call.parameters.text("storage") {
        call.caller.require(&format!("/storage/{storage}"), &["Datastore.AllocateSpace", "Datastore.Audit"])?;
        call.cluster.storage(storage)?;
    }
    Ok(Reply::data(json!({
        "all": 0, "bwlimit": 0, "compress": "0", "ionice": 7, "lockwait": 180, "mailnotification": "always",
        "mode": "snapshot", "notification-mode": "auto", "pigz": 0, "prune-backups": "keep-all=1", "quiet": 0,
        "remove": 1, "stdexcludes": 1, "stop": 0, "stopwait": 10, "zstd": 1,
    })))
}

/// GET /nodes/{node}/vzdump/extractconfig
pub(crate) fn extract_config(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let volid = call.text("volume");
    let (storage, name) = call.cluster.parse_volume_id(volid)?;
    storage_files::check_access(call, storage, name, None)?;
    let volume = call.cluster.volumes.get(storage, call.node(), name);
    match volume.and_then(|volume| volume.file.archive.as_ref()) {
        Some(archive) => Ok(Reply::data(config_text(archive))),
        None => Err(Failure::died(format!("unable to extract configuration from '{volid}' - no such backup"))),
    }
}

impl Simulator {
    /// The backup server has verified a backup as seen from a node, well or not. False when there is no such backup.
    pub fn verify_backup(&self, node: &str, volid: &str, well: bool) -> bool {
        let mut cluster = self.settled();
        let Some(mut volume) = cluster.volume(node, volid).ok().filter(|volume| volume.content == "backup").cloned()
        else {
            return false;
        };
        volume.file.verification = Some(if well { "ok" } else { "failed" }.to_owned());
        cluster.touch();
        cluster.insert_volume(node, volume).is_ok()
    }
}

/// The config file in a backup.
fn config_text(archive: &Archive) -> String {
    let mut text = String::new();
    for line in archive.values.get("description").map(String::as_str).unwrap_or_default().lines() {
        text.push_str(&format!("#{line}\n"));
    }
    for (option, value) in archive.values.iter().filter(|(option, _)| *option != "description") {
        text.push_str(&format!("{option}: {value}\n"));
    }
    for disk in &archive.disks {
        let (option, format) = (&disk.option, &disk.format);
        text.push_str(&format!("#qmdump#map:{option}:drive-{option}:{}:{format}:\n", disk.storage));
    }
    text
}
