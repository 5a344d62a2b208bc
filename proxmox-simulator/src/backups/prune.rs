//! prunebackups: which backups a rule keeps, and removing the others.

use serde_json::{Value, json};

use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::ClusterState;
use crate::cluster::dates;
use crate::cluster::storage::{Storage, Volume};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// Seconds of a week, and how far the epoch's Thursday is into its week.
const WEEK: (u64, u64) = (7 * 86_400, 3 * 86_400);
/// The periods of a rule, in the order in which they are applied.
const PERIODS: [&str; 6] = ["keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"];

/// A rule, such as `keep-last=3,keep-daily=7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    counts: [u64; PERIODS.len()],
    all: bool,
}

impl Keep {
    /// Reads a rule.
    ///
    /// # Errors
    /// Proxmox's text about what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut keep = Self { counts: [0; PERIODS.len()], all: false };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err("value without key, but schema does not define a default key".to_owned());
            };
            if name == "keep-all" {
                keep.all = value == "1";
                continue;
            }
            let Some(index) = PERIODS.iter().position(|period| *period == name) else {
                return Err(format!("invalid key in comma-separated list property: {name}"));
            };
            let wrong = || format!("format error\n{name}: type check ('integer') failed - got '{value}'");
            keep.counts[index] = value.parse().map_err(|_| wrong())?;
        }
        if keep.all && keep.counts.iter().any(|count| *count > 0) {
            return Err("keep-all cannot be set together with other options.".to_owned());
        }
        Ok(keep)
    }

    fn keeps_all(&self) -> bool {
        self.all || self.counts.iter().all(|count| *count == 0)
    }
}

impl std::fmt::Display for Keep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.keeps_all() {
            return formatter.write_str("keep-all=1");
        }
        let set = PERIODS.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let parts: Vec<String> = set.map(|(name, count)| format!("{name}={count}")).collect();
        formatter.write_str(&parts.join(", "))
    }
}

/// What is to happen to a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Keep,
    Remove,
    Protected,
}

impl Mark {
    fn text(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Protected => "protected",
        }
    }
}

/// The period of a kind that a time lies in.
fn period(kind: usize, seconds: u64) -> String {
    let date = dates::date(seconds, "-");
    match PERIODS[kind] {
        "keep-hourly" => format!("{date} {}", &dates::time(seconds, ":")[..2]),
        "keep-daily" => date,
        "keep-weekly" => ((seconds + WEEK.1) / WEEK.0).to_string(),
        "keep-monthly" => date[..7].to_owned(),
        "keep-yearly" => date[..4].to_owned(),
        _ => seconds.to_string(),
    }
}

/// Marks the backups of one guest, newest first: each period keeps the newest of as many as are wanted and not kept
/// already.
fn mark(times: &[u64], keep: &Keep) -> Vec<Mark> {
    if keep.keeps_all() {
        return vec![Mark::Keep; times.len()];
    }
    let mut marks: Vec<Option<Mark>> = vec![None; times.len()];
    for (kind, count) in keep.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let kept: Vec<String> = times
            .iter()
            .zip(&marks)
            .filter(|(_, mark)| **mark == Some(Mark::Keep))
            .map(|(time, _)| period(kind, *time))
            .collect();
        let mut new: Vec<String> = Vec::new();
        for (time, mark) in times.iter().zip(&mut marks) {
            let period = period(kind, *time);
            if mark.is_some() || kept.contains(&period) {
                continue;
            }
            if new.contains(&period) {
                *mark = Some(Mark::Remove);
                continue;
            }
            if new.len() as u64 >= *count {
                break;
            }
            new.push(period);
            *mark = Some(Mark::Keep);
        }
    }
    marks.into_iter().map(|mark| mark.unwrap_or(Mark::Remove)).collect()
}

/// All backups on a storage with their marks, by guest, newest first.
fn marked<'a>(
    cluster: &'a ClusterState,
    storage: &Storage,
    node: &str,
    vmid: Option<u32>,
    keep: &Keep,
) -> Vec<(&'a Volume, Mark)> {
    let backups = cluster.volumes.on(storage, node).filter(|volume| volume.content == "backup");
    let mut backups: Vec<&Volume> = backups.filter(|volume| vmid.is_none() || volume.vmid == vmid).collect();
    backups.sort_by_key(|volume| (volume.vmid, std::cmp::Reverse(volume.created)));
    let mut found = Vec::new();
    for group in backups.chunk_by(|left, right| left.vmid == right.vmid) {
        let (protected, open): (Vec<&Volume>, Vec<&Volume>) = group.iter().partition(|volume| volume.file.protected);
        let times: Vec<u64> = open.iter().map(|volume| volume.created).collect();
        found.extend(open.into_iter().zip(mark(&times, keep)));
        found.extend(protected.into_iter().map(|volume| (volume, Mark::Protected)));
    }
    found
}

/// Removes what a rule does not keep; returns the volume ids.
pub(crate) fn remove(
    cluster: &mut ClusterState,
    storage: &Storage,
    node: &str,
    vmid: Option<u32>,
    keep: &Keep,
) -> Vec<String> {
    let marked = marked(cluster, storage, node, vmid, keep);
    let gone: Vec<String> =
        marked.iter().filter(|(_, mark)| *mark == Mark::Remove).map(|(volume, _)| volume.volid()).collect();
    for volid in &gone {
        cluster.free_volume(node, volid);
    }
    gone
}

/// The rule of a call; without one the storage's own, which keeps everything.
fn rule(call: &Call<'_>) -> Result<Keep, Failure> {
    Keep::parse(call.parameters.text("prune-backups").unwrap_or("keep-all=1"))
        .map_err(|text| Failure::parameter("prune-backups", format!("invalid format - {text}\n")))
}

fn backup_storage<'a>(call: &'a Call<'_>) -> Result<&'a Storage, Failure> {
    let storage = call.cluster.storage(call.text("storage"))?;
    if storage.takes("backup") {
        return Ok(storage);
    }
    Err(Failure::died(format!("storage '{}' does not support backups", storage.id)))
}

/// GET /nodes/{node}/storage/{storage}/prunebackups
pub(crate) fn preview(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let keep = rule(call)?;
    let storage = backup_storage(call)?;
    if call.parameters.text("type") == Some("lxc") {
        return Ok(Reply::data(Vec::<Value>::new()));
    }
    let marked = marked(call.cluster, storage, call.node(), call.parameters.number("vmid"), &keep);
    let entries = marked.into_iter().map(|(volume, mark)| {
        json!({
            "volid": volume.volid(), "ctime": volume.created, "type": "qemu", "vmid": volume.vmid,
            "mark": mark.text(),
        })
    });
    Ok(Reply::data(entries.collect::<Vec<Value>>()))
}

/// What a `prunebackups` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    storage: String,
    vmid: Option<u32>,
    keep: Keep,
    /// Backups of containers, of which there are none.
    nothing: bool,
}

/// DELETE /nodes/{node}/storage/{storage}/prunebackups
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    let keep = rule(call)?;
    let vmid: Option<u32> = call.parameters.number("vmid");
    let storage = call.text("storage").to_owned();
    let path = format!("/storage/{storage}");
    match vmid {
        Some(vmid) if !call.caller.may(&path, "Datastore.Allocate") => {
            call.caller.require(&path, &["Datastore.AllocateSpace"])?;
            call.caller.require(&format!("/vms/{vmid}"), &["VM.Backup"])?;
        }
        _ => call.caller.require(&path, &["Datastore.Allocate"])?,
    }
    backup_storage(call)?;
    let id = vmid.map_or_else(|| storage.clone(), |vmid| format!("{vmid}@{storage}"));
    let nothing = call.parameters.text("type") == Some("lxc");
    let plan = Plan { node: call.node().to_owned(), storage, vmid, keep, nothing };
    Ok(Reply::data(call.spawn_as("prunebackups", id, None, Work::Prune(plan))))
}

/// Removes them.
pub(crate) fn finish(
    plan: &Plan,
    cluster: &mut ClusterState,
    _at: Micros,
    log: &mut Vec<String>,
) -> Result<u32, String> {
    let storage = cluster.storage(&plan.storage).map_err(|failure| failure.text().to_owned())?.clone();
    if plan.nothing {
        return Ok(0);
    }
    let removed = remove(cluster, &storage, &plan.node, plan.vmid, &plan.keep);
    log.extend(removed.iter().map(|volid| format!("Removed volume '{volid}'")));
    cluster.touch();
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_rule_keeps_the_newest_of_each_period() {
        let noon = 1_706_702_400;
        // Two today, one on each of the five days before.
        let times: Vec<u64> = [noon, noon - 3_600].into_iter().chain((1..=5).map(|days| noon - days * DAY)).collect();
        let kept = |rule: &str| {
            let marks = mark(&times, &Keep::parse(rule).unwrap());
            marks.iter().enumerate().filter(|(_, mark)| **mark == Mark::Keep).map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(kept("keep-last=2"), [0, 1]);
        assert_eq!(kept("keep-daily=3"), [0, 2, 3]);
        // The day of the last one is covered already.
        assert_eq!(kept("keep-last=1,keep-daily=2"), [0, 2, 3]);
        assert_eq!(kept("keep-all=1").len(), times.len());
        assert_eq!(kept("keep-monthly=1"), [0]);
        assert!(Keep::parse("keep-all=1,keep-last=2").is_err());
        assert!(Keep::parse("keep-forever=1").is_err());
        assert!(Keep::parse("keep-last=x").is_err());
    }
}
