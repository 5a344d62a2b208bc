//! `/cluster/ha/groups` until 8.4, and `/cluster/ha/rules`, which replaced them in 9.

use serde_json::{Map, Value, json};

use super::Section;
use crate::access::split_list;
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};
use crate::options::Release;

/// Parameters that are no options of a section.
const NO_OPTIONS: &[&str] = &["group", "rule", "digest", "delete"];

fn is_rule(call: &Call<'_>) -> bool {
    call.template.starts_with("/cluster/ha/rules")
}

/// Groups are gone in 9.
fn refuse(call: &Call<'_>, doing: &str) -> Result<(), Failure> {
    if !is_rule(call) && call.cluster.settings.release == Release::V9_2 {
        return Err(Failure::died(format!("cannot {doing}: ha groups have been migrated to rules")));
    }
    Ok(())
}

fn sections<'a>(call: &'a Call<'_>) -> &'a std::collections::BTreeMap<String, Section> {
    if is_rule(call) { &call.cluster.ha.rules } else { &call.cluster.ha.groups }
}

fn sections_mut<'a>(call: &'a mut Call<'_>) -> &'a mut std::collections::BTreeMap<String, Section> {
    call.cluster.touch();
    if is_rule(call) { &mut call.cluster.ha.rules } else { &mut call.cluster.ha.groups }
}

fn name(call: &Call<'_>) -> (&'static str, String) {
    let kind = if is_rule(call) { "rule" } else { "group" };
    (kind, call.text(kind).to_owned())
}

fn shown(kind: &str, name: &str, section: &Section) -> Value {
    let mut entry = Map::from_iter([
        (kind.to_owned(), json!(name)),
        ("digest".to_owned(), json!("da39a3ee5e6b4b0d3255bfef95601890afd80709")),
    ]);
    if kind == "group" {
        entry.insert("type".to_owned(), json!("group"));
    }
    for (option, value) in section {
        let flag = matches!(option.as_str(), "nofailback" | "restricted" | "strict" | "disable");
        entry.insert(option.clone(), if flag { json!(i32::from(value == "1")) } else { json!(value) });
    }
    Value::Object(entry)
}

/// GET the list.
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    refuse(call, "index groups")?;
    let (kind, _) = name(call);
    let only = call.parameters.text("type");
    let of_resource = call.parameters.text("resource");
    let fitting = sections(call).iter().filter(|(_, section)| {
        let names = |sid: &str| section.get("resources").is_some_and(|list| list.split(',').any(|one| one == sid));
        only.is_none_or(|only| section.get("type").is_some_and(|own| own == only)) && of_resource.is_none_or(names)
    });
    Ok(Reply::data(fitting.map(|(name, section)| shown(kind, name, section)).collect::<Vec<_>>()))
}

/// GET one.
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    refuse(call, "read group")?;
    let (kind, name) = name(call);
    let section = sections(call).get(&name);
    let section = section.ok_or_else(|| Failure::died(format!("no such ha {kind} '{name}'")))?;
    Ok(Reply::data(shown(kind, &name, section)))
}

fn options(call: &Call<'_>) -> Section {
    let given = call.parameters.iter().filter(|(name, _)| !NO_OPTIONS.contains(&name.as_str()));
    given.filter_map(|(name, _)| Some((name.clone(), call.parameters.text(name)?.to_owned()))).collect()
}

/// POST
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    refuse(call, "create group")?;
    let ((kind, name), options) = (name(call), options(call));
    let sections = sections_mut(call);
    if sections.contains_key(&name) {
        return Err(Failure::died(match kind {
            "rule" => format!("HA rule '{name}' already defined"),
            _ => format!("create ha group failed: group ID '{name}' already defined"),
        }));
    }
    sections.insert(name, options);
    Ok(Reply::null())
}

/// PUT
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    refuse(call, "update group")?;
    let ((kind, name), options) = (name(call), options(call));
    let delete: Vec<String> = split_list(call.text("delete")).map(str::to_owned).collect();
    let Some(section) = sections_mut(call).get_mut(&name) else {
        return Err(Failure::died(format!("no such ha {kind} '{name}'")));
    };
    section.extend(options);
    section.retain(|option, _| !delete.contains(option));
    Ok(Reply::null())
}

/// DELETE
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    refuse(call, "delete group")?;
    let (_, name) = name(call);
    if !is_rule(call) {
        let resources = &call.cluster.ha.resources;
        if resources.values().any(|resource| resource.options.get("group") == Some(&name)) {
            return Err(Failure::died("delete ha group failed: ha group is used by service"));
        }
    }
    sections_mut(call).remove(&name);
    Ok(Reply::null())
}
