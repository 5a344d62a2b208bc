//! `/cluster/backup`: the jobs that back guests up. They are kept and checked, and say which guests they cover; nothing
//! runs them, since time in a simulator passes as its user likes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::schedule::Event;
use super::{prune, vzdump};
use crate::access::split_list;
use crate::call::Call;
use crate::clock::seconds;
use crate::cluster::ClusterState;
use crate::cluster::drive::{drives, new_uuid};
use crate::cluster::guest::Guest;
use crate::failure::{Failure, Outcome, Reply};
use crate::parameters::Given;

/// Jobs a cluster may have here.
const JOBS_MAX: usize = 1_000;
/// Characters of a UUID in the id of a job that was given none.
const ID_LENGTH: usize = 13;
/// Days of a job in the old form that names none.
const EVERY_DAY: &str = "mon,tue,wed,thu,fri,sat,sun";
/// Options that answer numbers.
const NUMBERS: &[&str] = &[
    "all",
    "bwlimit",
    "enabled",
    "ionice",
    "lockwait",
    "pigz",
    "protected",
    "quiet",
    "remove",
    "repeat-missed",
    "stdexcludes",
    "stop",
    "stopwait",
    "zstd",
];
/// What says which guests a job is for; one takes the place of the others.
const SELECTIONS: &[&str] = &["all", "pool", "vmid"];
/// Parameters only root may give.
const ROOT_ONLY: &[&str] = &["dumpdir", "script", "tmpdir"];

/// The options of a job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Job(BTreeMap<String, String>);

impl Job {
    fn is_set(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value == "1")
    }

    fn covers(&self, cluster: &ClusterState, guest: &Guest) -> bool {
        let names = |list: &str| split_list(list).any(|part| part.parse() == Ok(guest.vmid));
        if self.0.get("node").is_some_and(|node| *node != guest.node) {
            return false;
        }
        if let Some(list) = self.0.get("vmid") {
            return names(list);
        }
        if self.0.get("exclude").is_some_and(|list| names(list)) {
            return false;
        }
        match self.0.get("pool") {
            Some(pool) => cluster.access.pool_of(guest.vmid) == Some(pool),
            None => self.is_set("all"),
        }
    }

    fn show(&self, id: &str, now: u64) -> Value {
        let mut shown = Map::from_iter([("id".to_owned(), json!(id)), ("type".to_owned(), json!("vzdump"))]);
        for (name, value) in &self.0 {
            let number = NUMBERS.contains(&name.as_str()).then(|| value.parse::<i64>().ok()).flatten();
            let value = match (name.as_str(), number) {
                (_, Some(number)) => json!(number),
                ("prune-backups" | "fleecing" | "performance", None) => {
                    let pairs = value.split(',').filter_map(|part| part.split_once('='));
                    Value::Object(pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect())
                }
                _ => json!(value),
            };
            shown.insert(name.clone(), value);
        }
        shown.entry("enabled").or_insert(json!(1));
        let event = self.0.get("schedule").and_then(|text| Event::parse(text).ok());
        if let Some(next) = event.and_then(|event| event.next(now)) {
            shown.insert("next-run".to_owned(), json!(next));
        }
        Value::Object(shown)
    }
}

fn unknown(id: &str) -> Failure {
    Failure::parameter("id", format!("No such job '{id}'"))
}

fn named<'a>(call: &'a Call<'_>) -> Result<(&'a str, &'a Job), Failure> {
    let id = call.text("id");
    call.cluster.backup_jobs.get(id).map(|job| (id, job)).ok_or_else(|| unknown(id))
}

/// GET /cluster/backup
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(
        call.cluster.backup_jobs.iter().map(|(id, job)| job.show(id, seconds(call.now))).collect::<Vec<_>>(),
    ))
}

/// GET /cluster/backup/{id}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let (id, job) = named(call)?;
    Ok(Reply::data(job.show(id, seconds(call.now))))
}

fn refuse_what_is_not_theirs(call: &Call<'_>) -> Result<(), Failure> {
    if let Some(name) = ROOT_ONLY.iter().find(|name| call.parameters.get(name).is_some() && !call.caller.is_root()) {
        return Err(Failure::parameter(name, "Only root may set this option."));
    }
    if let Some(text) = call.parameters.text("prune-backups") {
        prune::Keep::parse(text)
            .map_err(|text| Failure::parameter("prune-backups", format!("invalid format - {text}\n")))?;
    }
    if let Some(text) = call.parameters.text("schedule") {
        Event::parse(text).map_err(|text| Failure::parameter("schedule", format!("invalid format - {text}\n")))?;
    }
    if let Some(storage) = call.parameters.text("storage") {
        call.caller.require(&format!("/storage/{storage}"), &["Datastore.Allocate"])?;
        call.cluster.storage(storage)?;
    }
    Ok(())
}

/// The options of the call, the time in its old form turned into a schedule.
fn given(call: &Call<'_>) -> BTreeMap<String, String> {
    let mut given = BTreeMap::new();
    for (name, value) in call.parameters.iter() {
        let value = match value {
            Given::Text(text) => text.clone(),
            Given::List(list) => list.join(","),
            Given::Object => continue,
        };
        given.insert(name.clone(), value);
    }
    for name in ["delete", "dow", "id", "starttime"] {
        given.remove(name);
    }
    if let Some(time) = call.parameters.text("starttime") {
        let days = call.parameters.text("dow").unwrap_or(EVERY_DAY);
        let schedule = if days == EVERY_DAY { time.to_owned() } else { format!("{days} {time}") };
        given.insert("schedule".to_owned(), schedule);
    }
    given
}

/// POST /cluster/backup
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    vzdump::conflicts(call)?;
    refuse_what_is_not_theirs(call)?;
    let id = match call.parameters.text("id") {
        Some(id) => id.to_owned(),
        None => format!("backup-{}", &new_uuid()[..ID_LENGTH]),
    };
    if call.cluster.backup_jobs.contains_key(&id) {
        return Err(Failure::died(format!("Job '{id}' already exists")));
    }
    if call.cluster.backup_jobs.len() >= JOBS_MAX {
        return Err(Failure::died("too many backup jobs"));
    }
    let mut job = Job(given(call));
    if !job.0.contains_key("schedule") {
        return Err(Failure::died("missing value for required option 'schedule'"));
    }
    if job.0.contains_key("exclude") && !job.0.contains_key("pool") {
        job.0.insert("all".to_owned(), "1".to_owned());
    }
    call.cluster.backup_jobs.insert(id, job);
    call.cluster.touch();
    Ok(Reply::null())
}

/// PUT /cluster/backup/{id}
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    named(call)?;
    refuse_what_is_not_theirs(call)?;
    if call.parameters.get("vmid").is_some() {
        vzdump::conflicts(call)?;
    }
    let (id, given) = (call.text("id").to_owned(), given(call));
    let delete: Vec<String> = split_list(call.text("delete")).map(str::to_owned).collect();
    let Some(job) = call.cluster.backup_jobs.get_mut(&id) else { return Err(unknown(&id)) };
    job.0.retain(|name, _| !delete.contains(name));
    if let Some(chosen) = SELECTIONS.iter().find(|name| given.contains_key(**name)) {
        job.0.retain(|name, _| name == chosen || !SELECTIONS.contains(&name.as_str()));
        if *chosen == "vmid" {
            job.0.remove("exclude");
        }
    }
    job.0.extend(given);
    call.cluster.touch();
    Ok(Reply::null())
}

/// DELETE /cluster/backup/{id}
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.text("id").to_owned();
    call.cluster.backup_jobs.remove(&id).ok_or_else(|| unknown(&id))?;
    call.cluster.touch();
    Ok(Reply::null())
}

/// GET /cluster/backup/{id}/included_volumes
pub(crate) fn volumes(call: &mut Call<'_>) -> Outcome {
    let (_, job) = named(call)?;
    let covered = call.cluster.guests.values().filter(|guest| job.covers(call.cluster, guest));
    let children = covered.map(|guest| {
        let disks = drives(&guest.config).into_iter().filter_map(|(key, drive)| {
            let volume = drive.volume_id().filter(|_| !drive.is_cdrom())?;
            let left_out = drive.options.get("backup").is_some_and(|value| value == "0");
            let reason = if left_out { "disabled" } else { "enabled" };
            Some(json!({ "id": key, "name": volume, "included": i32::from(!left_out), "reason": reason }))
        });
        json!({ "id": guest.vmid, "name": guest.name(), "type": "qemu", "children": disks.collect::<Vec<_>>() })
    });
    Ok(Reply::data(json!({ "children": children.collect::<Vec<_>>() })))
}

/// The guests that a job covers.
pub(crate) fn covered(cluster: &ClusterState) -> BTreeSet<u32> {
    let jobs = cluster.backup_jobs.values();
    jobs.flat_map(|job| cluster.guests.values().filter(|guest| job.covers(cluster, guest)))
        .map(|guest| guest.vmid)
        .collect()
}

/// Takes a guest that was purged out of the jobs that name it; a job for nobody is no job.
pub(crate) fn forget(cluster: &mut ClusterState, vmid: u32) {
    cluster.backup_jobs.retain(|_, job| {
        let Some(list) = job.0.get_mut("vmid") else { return true };
        let left: Vec<&str> = split_list(list).filter(|part| part.parse() != Ok(vmid)).collect();
        let left = left.join(",");
        *list = left;
        !list.is_empty()
    });
}
