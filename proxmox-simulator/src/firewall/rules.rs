//! Firewall rules of cluster, node, guest or security group: an ordered list without ids, guarded by its digest. And
//! the security groups themselves.

use serde_json::{Map, Value, json};

use super::{Group, Rule, change, check_digest, comment, digest, file, verify};
use crate::access::split_list;
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};

/// Fields of a rule.
const FIELDS: &[&str] = &[
    "type",
    "action",
    "macro",
    "iface",
    "source",
    "dest",
    "proto",
    "enable",
    "sport",
    "dport",
    "comment",
    "log",
    "icmp-type",
];

fn is_group(call: &Call<'_>) -> bool {
    call.template.starts_with("/cluster/firewall/groups/")
}

fn rules(call: &Call<'_>) -> Result<Vec<Rule>, Failure> {
    if !is_group(call) {
        return Ok(file(call).rules);
    }
    let name = call.text("group");
    let group = call.cluster.firewall.groups.get(name);
    Ok(group.ok_or_else(|| Failure::died(format!("no such security group '{name}'")))?.rules.clone())
}

fn store(call: &mut Call<'_>, rules: Vec<Rule>) {
    if !is_group(call) {
        change(call).rules = rules;
        return;
    }
    let name = call.text("group").to_owned();
    call.cluster.touch();
    call.cluster.firewall.groups.entry(name).or_default().rules = rules;
}

fn shown(rule: &Rule, position: usize, digest: &str) -> Value {
    let mut entry = Map::new();
    for (field, value) in rule {
        let value = if field == "enable" { json!(value.parse::<i64>().unwrap_or(0)) } else { json!(value) };
        entry.insert(field.clone(), value);
    }
    entry.insert("pos".to_owned(), json!(position));
    entry.insert("digest".to_owned(), json!(digest));
    Value::Object(entry)
}

/// The position in the path, which must be one of a rule.
fn position(call: &Call<'_>, rules: &[Rule]) -> Result<usize, Failure> {
    let position: usize = call.parameters.number("pos").unwrap_or(usize::MAX);
    if position < rules.len() {
        return Ok(position);
    }
    Err(Failure::died(format!("no rule at position {}", call.text("pos"))))
}

/// GET the list.
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let rules = rules(call)?;
    let digest = digest(&rules);
    let entries = rules.iter().enumerate().map(|(position, rule)| shown(rule, position, &digest));
    Ok(Reply::data(entries.collect::<Vec<_>>()))
}

/// GET one.
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let rules = rules(call)?;
    let position = position(call, &rules)?;
    Ok(Reply::data(shown(&rules[position], position, &digest(&rules))))
}

/// Takes over what a call says; an empty value removes a field.
fn take(call: &Call<'_>, rule: &mut Rule) {
    for field in FIELDS {
        match call.parameters.text(field) {
            Some("") => drop(rule.remove(*field)),
            Some(value) => drop(rule.insert((*field).to_owned(), value.trim_end().to_owned())),
            None => {}
        }
    }
}

fn check(call: &Call<'_>, rule: &Rule) -> Result<(), Failure> {
    let names = verify::Names {
        own: &file(call),
        cluster: &call.cluster.firewall.cluster,
        groups_allowed: !is_group(call),
        of_guest: call.template.contains("/qemu/"),
    };
    let errors = verify::errors(rule, &names);
    if errors.is_empty() { Ok(()) } else { Err(Failure::parameters(errors)) }
}

/// POST: at the top, disabled, unless the call says otherwise.
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let mut rules = rules(call)?;
    check_digest(call, &digest(&rules))?;
    let mut rule = Rule::new();
    take(call, &mut rule);
    check(call, &rule)?;
    rule.entry("enable".to_owned()).or_insert_with(|| "0".to_owned());
    let position = call.parameters.number::<usize>("pos").unwrap_or(0).min(rules.len());
    rules.insert(position, rule);
    store(call, rules);
    Ok(Reply::null())
}

/// PUT: a change, or with `moveto` another place.
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let mut rules = rules(call)?;
    check_digest(call, &digest(&rules))?;
    let position = position(call, &rules)?;
    match call.parameters.number::<usize>("moveto") {
        Some(target) if target != position => {
            let count = rules.len();
            let rule = rules.remove(position);
            // The target counts the rules as they were, this one included.
            let place = if target >= count {
                count - 1
            } else if target > position {
                target - 1
            } else {
                target
            };
            rules.insert(place, rule);
        }
        _ => {
            let mut rule = rules[position].clone();
            take(call, &mut rule);
            for field in split_list(call.text("delete")) {
                rule.remove(field);
            }
            check(call, &rule)?;
            rules[position] = rule;
        }
    }
    store(call, rules);
    Ok(Reply::null())
}

/// DELETE one.
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let mut rules = rules(call)?;
    check_digest(call, &digest(&rules))?;
    let position = position(call, &rules)?;
    rules.remove(position);
    store(call, rules);
    Ok(Reply::null())
}

/// GET /cluster/firewall/groups
pub(crate) fn groups(call: &mut Call<'_>) -> Outcome {
    let groups = &call.cluster.firewall.groups;
    let digest = digest(groups);
    let entries = groups.iter().map(|(name, group)| {
        let mut entry = json!({ "group": name, "digest": digest });
        if let Some(comment) = &group.comment {
            entry["comment"] = json!(comment);
        }
        entry
    });
    Ok(Reply::data(entries.collect::<Vec<_>>()))
}

/// POST /cluster/firewall/groups: a new group, or with `rename` another name or comment for one.
pub(crate) fn create_group(call: &mut Call<'_>) -> Outcome {
    check_digest(call, &digest(&call.cluster.firewall.groups))?;
    let (name, comment) = (call.text("group").to_owned(), comment(call));
    let old = call.parameters.text("rename").map(str::to_owned);
    let groups = &mut call.cluster.firewall.groups;
    if old.as_ref() != Some(&name) && groups.contains_key(&name) {
        return Err(Failure::parameter("group", format!("Security group '{name}' already exists")));
    }
    let mut group = Group::default();
    if let Some(old) = old {
        let text = format!("Security group '{old}' does not exist");
        group = groups.remove(&old).ok_or_else(|| Failure::parameter("group", text))?;
    }
    group.comment = comment;
    groups.insert(name, group);
    call.cluster.touch();
    Ok(Reply::null())
}

/// DELETE /cluster/firewall/groups/{group}: only when empty.
pub(crate) fn delete_group(call: &mut Call<'_>) -> Outcome {
    let name = call.text("group").to_owned();
    if !rules(call)?.is_empty() {
        return Err(Failure::died(format!("Security group '{name}' is not empty")));
    }
    call.cluster.firewall.groups.remove(&name);
    call.cluster.touch();
    Ok(Reply::null())
}
