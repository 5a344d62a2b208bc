//! The calls about tasks: `/nodes/{node}/tasks…` and `/cluster/tasks`.

use serde_json::{Map, Value, json};

use super::Task;
use crate::call::Call;
use crate::clock::seconds;
use crate::failure::{Failure, Outcome, Reply};

/// Lines or entries returned when no limit is given.
const LIMIT_DEFAULT: usize = 50;
/// Finished tasks per node that `/cluster/tasks` shows.
const CLUSTER_FINISHED_MAX: usize = 25;

fn describe(task: &Task) -> Map<String, Value> {
    let (user, token) = task.owner.split_once('!').map_or((task.owner.as_str(), None), |(user, id)| (user, Some(id)));
    let mut entry = Map::from_iter([
        ("upid".to_owned(), json!(task.upid)),
        ("node".to_owned(), json!(task.node)),
        ("pid".to_owned(), json!(task.pid)),
        ("pstart".to_owned(), json!(task.pstart)),
        ("starttime".to_owned(), json!(seconds(task.started))),
        ("type".to_owned(), json!(task.kind)),
        ("id".to_owned(), json!(task.id)),
        ("user".to_owned(), json!(user)),
    ]);
    if let Some(token) = token {
        entry.insert("tokenid".to_owned(), json!(token));
    }
    entry
}

/// The task named in the path, if the caller may see it.
fn find<'a>(call: &'a Call<'_>, privilege: &str) -> Result<&'a Task, Failure> {
    let upid = call.text("upid");
    let parts: Vec<&str> = upid.split(':').collect();
    let hexadecimal = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let well_formed = parts.len() == 9
        && parts[0] == "UPID"
        && parts[8].is_empty()
        && hexadecimal(parts[2], &[8])
        && hexadecimal(parts[3], &[8, 9])
        && hexadecimal(parts[4], &[8]);
    if !well_formed {
        return Err(Failure::parameter("upid", "unable to parse worker upid"));
    }
    if parts[7] != call.caller.id() {
        call.caller.require(&format!("/nodes/{}", call.node()), &[privilege])?;
    }
    let task = call.cluster.tasks.get(upid).filter(|task| task.node == call.node());
    task.ok_or_else(|| Failure::parameter("upid", "no such task"))
}

/// GET /nodes/{node}/tasks/{upid}/status
pub(crate) fn status(call: &mut Call<'_>) -> Outcome {
    let task = find(call, "Sys.Audit")?;
    let mut entry = describe(task);
    match task.ended() {
        Some((_, exit)) => {
            entry.insert("status".to_owned(), json!("stopped"));
            entry.insert("exitstatus".to_owned(), json!(exit));
        }
        None => {
            entry.insert("status".to_owned(), json!("running"));
        }
    }
    Ok(Reply::data(entry))
}

/// GET /nodes/{node}/tasks/{upid}/log
pub(crate) fn log(call: &mut Call<'_>) -> Outcome {
    let task = find(call, "Sys.Audit")?;
    let start: usize = call.parameters.number("start").unwrap_or(0);
    let limit = match call.parameters.number("limit").unwrap_or(LIMIT_DEFAULT) {
        0 => usize::MAX,
        limit => limit,
    };
    let no_content = ["no content".to_owned()];
    let lines: &[String] = if task.log.is_empty() { &no_content } else { &task.log };
    let shown: Vec<Value> = lines
        .iter()
        .enumerate()
        .skip(start)
        .take(limit)
        .map(|(index, line)| json!({ "n": index + 1, "t": line }))
        .collect();
    Ok(Reply { total: Some(lines.len()), ..Reply::data(shown) })
}

/// DELETE /nodes/{node}/tasks/{upid}
pub(crate) fn stop(call: &mut Call<'_>) -> Outcome {
    let upid = find(call, "Sys.Modify")?.upid.clone();
    let now = call.now;
    call.cluster.kill_task(&upid, now);
    call.cluster.settle(now);
    Ok(Reply::null())
}

/// GET /nodes/{node}/tasks
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let parameters = &call.parameters;
    let source = parameters.text("source").unwrap_or("archive");
    let start: usize = parameters.number("start").unwrap_or(0);
    let limit: usize = parameters.number("limit").unwrap_or(LIMIT_DEFAULT);
    let sees_all = call.caller.may(&format!("/nodes/{}", call.node()), "Sys.Audit");
    let kinds: Vec<&str> = parameters.text("statusfilter").map(|text| text.split(',').collect()).unwrap_or_default();
    let since: u64 = parameters.number("since").unwrap_or(0);
    let until: u64 = parameters.number("until").unwrap_or(u64::MAX);
    let wanted = |task: &&Task| {
        let running = task.ended().is_none();
        let exit = task.ended().map(|(_, exit)| exit).unwrap_or_default();
        let class = exit_class(exit);
        (match source {
            "active" => running,
            "all" => true,
            _ => !running,
        }) && (sees_all || task.owner == call.caller.id())
            && parameters.text("vmid").is_none_or(|vmid| task.id == vmid)
            && parameters.text("typefilter").is_none_or(|kind| task.kind == kind)
            && parameters.text("userfilter").is_none_or(|user| task.owner.contains(user))
            && (parameters.flag("errors") != Some(true) || (!running && class == "error"))
            && (kinds.is_empty() || running || kinds.contains(&class))
            && (since..=until).contains(&seconds(task.started))
    };
    let matching: Vec<&Task> = call.cluster.tasks.of_node(call.node()).filter(wanted).collect();
    let shown: Vec<Value> = matching
        .iter()
        .skip(start)
        .take(limit)
        .map(|task| {
            let mut entry = describe(task);
            match task.ended() {
                Some((at, exit)) => {
                    entry.insert("endtime".to_owned(), json!(seconds(at)));
                    entry.insert("status".to_owned(), json!(exit));
                }
                None => {
                    entry.insert("status".to_owned(), json!("RUNNING"));
                }
            }
            Value::Object(entry)
        })
        .collect();
    Ok(Reply { total: Some(matching.len()), ..Reply::data(shown) })
}

/// The class `statusfilter` speaks of.
fn exit_class(exit: &str) -> &'static str {
    match exit {
        "OK" => "ok",
        "unexpected status" => "unknown",
        _ if exit.starts_with("WARNINGS: ") => "warning",
        _ => "error",
    }
}

/// GET /cluster/tasks
pub(crate) fn cluster_list(call: &mut Call<'_>) -> Outcome {
    let sees_all = call.caller.may("/", "Sys.Audit");
    let mut shown: Vec<&Task> = Vec::new();
    for node in &call.cluster.nodes {
        let visible = |task: &&Task| sees_all || task.owner == call.caller.id();
        let mut finished = 0;
        for task in call.cluster.tasks.of_node(&node.name).filter(visible) {
            if task.ended().is_some() {
                finished += 1;
                if finished > CLUSTER_FINISHED_MAX {
                    continue;
                }
            }
            shown.push(task);
        }
    }
    shown.sort_by_key(|task| std::cmp::Reverse(task.started));
    let entries: Vec<Value> = shown
        .into_iter()
        .map(|task| {
            let mut entry = describe(task);
            if let Some((at, exit)) = task.ended() {
                entry.remove("pid");
                entry.remove("pstart");
                entry.insert("saved".to_owned(), json!("1"));
                entry.insert("endtime".to_owned(), json!(seconds(at)));
                entry.insert("status".to_owned(), json!(exit));
            }
            Value::Object(entry)
        })
        .collect();
    Ok(Reply::data(entries))
}
