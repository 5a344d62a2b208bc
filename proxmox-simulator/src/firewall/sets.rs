//! IP sets and aliases of cluster and guests.

use serde_json::{Value, json};

use super::{Alias, Entry, Set, change, check_digest, comment, digest, file, verify};
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};

/// A network as it is stored: a single address has no prefix.
fn clean(cidr: &str) -> String {
    let v6 = cidr.contains(':');
    cidr.strip_suffix(if v6 { "/128" } else { "/32" }).unwrap_or(cidr).to_owned()
}

fn with_comment(mut entry: Value, comment: Option<&String>) -> Value {
    if let Some(comment) = comment {
        entry["comment"] = json!(comment);
    }
    entry
}

/// GET …/firewall/ipset
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let sets = file(call).sets;
    let digest = digest(&sets);
    let entries =
        sets.iter().map(|(name, set)| with_comment(json!({ "name": name, "digest": digest }), set.comment.as_ref()));
    Ok(Reply::data(entries.collect::<Vec<_>>()))
}

/// POST …/firewall/ipset: a new set, or with `rename` another name or comment for one.
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let sets = file(call).sets;
    check_digest(call, &digest(&sets))?;
    let (name, comment) = (call.text("name").to_owned(), comment(call));
    let old = call.parameters.text("rename").map(str::to_owned);
    if old.as_ref() != Some(&name) && sets.contains_key(&name) {
        return Err(Failure::parameter("name", format!("IPSet '{name}' already exists")));
    }
    let set = match &old {
        Some(old) => {
            let set = sets.get(old).cloned();
            let set = set.ok_or_else(|| Failure::parameter("name", format!("IPSet '{old}' does not exist")))?;
            Set { comment, ..set }
        }
        None => Set { comment, ..Set::default() },
    };
    let sets = &mut change(call).sets;
    if let Some(old) = old {
        sets.remove(&old);
    }
    sets.insert(name, set);
    Ok(Reply::null())
}

fn found(call: &Call<'_>) -> Result<Set, Failure> {
    let name = call.text("name");
    file(call).sets.remove(name).ok_or_else(|| Failure::died(format!("no such IPSet '{name}'")))
}

fn shown(entry: &Entry, digest: &str) -> Value {
    let mut shown = json!({ "cidr": entry.cidr, "digest": digest });
    if entry.nomatch {
        shown["nomatch"] = json!(1);
    }
    with_comment(shown, entry.comment.as_ref())
}

/// GET …/firewall/ipset/{name}
pub(crate) fn entries(call: &mut Call<'_>) -> Outcome {
    let set = found(call)?;
    let digest = digest(&set.entries);
    Ok(Reply::data(set.entries.iter().map(|entry| shown(entry, &digest)).collect::<Vec<_>>()))
}

/// DELETE …/firewall/ipset/{name}
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let name = call.text("name").to_owned();
    if !found(call)?.entries.is_empty() && call.parameters.flag("force") != Some(true) {
        return Err(Failure::died(format!("IPSet '{name}' is not empty")));
    }
    change(call).sets.remove(&name);
    Ok(Reply::null())
}

/// POST …/firewall/ipset/{name}
pub(crate) fn add(call: &mut Call<'_>) -> Outcome {
    let set = found(call)?;
    let cidr = clean(call.text("cidr"));
    if verify::is_alias_name(&cidr) {
        let (own, cluster) = (file(call), &call.cluster.firewall.cluster);
        let names = verify::Names { own: &own, cluster, groups_allowed: false, of_guest: false };
        if !names.knows_alias(&cidr) {
            return Err(Failure::died(format!("no such alias '{cidr}'")));
        }
    }
    if set.entries.iter().any(|entry| entry.cidr == cidr) {
        return Err(Failure::parameter("cidr", format!("address '{cidr}' already exists")));
    }
    if cidr.ends_with("/0") {
        return Err(Failure::parameter("cidr", "a zero prefix is not allowed in ipset entries"));
    }
    let entry = Entry { cidr, comment: comment(call), nomatch: call.parameters.flag("nomatch") == Some(true) };
    let name = call.text("name").to_owned();
    change(call).sets.entry(name).or_default().entries.insert(0, entry);
    Ok(Reply::null())
}

/// GET …/firewall/ipset/{name}/{cidr}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let set = found(call)?;
    let digest = digest(&set.entries);
    let entry = set.entries.iter().find(|entry| entry.cidr == call.text("cidr"));
    Ok(Reply::data(shown(entry.ok_or_else(|| Failure::parameter("cidr", "no such IP/Network"))?, &digest)))
}

/// PUT …/firewall/ipset/{name}/{cidr}
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let set = found(call)?;
    check_digest(call, &digest(&set.entries))?;
    let (name, cidr, comment) = (call.text("name").to_owned(), call.text("cidr").to_owned(), comment(call));
    let nomatch = call.parameters.flag("nomatch") == Some(true);
    let entries = &mut change(call).sets.entry(name).or_default().entries;
    let Some(entry) = entries.iter_mut().find(|entry| entry.cidr == cidr) else {
        return Err(Failure::parameter("cidr", "no such IP/Network"));
    };
    (entry.comment, entry.nomatch) = (comment, nomatch);
    Ok(Reply::null())
}

/// DELETE …/firewall/ipset/{name}/{cidr}: also when there is none.
pub(crate) fn remove(call: &mut Call<'_>) -> Outcome {
    check_digest(call, &digest(&found(call)?.entries))?;
    let (name, cidr) = (call.text("name").to_owned(), call.text("cidr").to_owned());
    change(call).sets.entry(name).or_default().entries.retain(|entry| entry.cidr != cidr);
    Ok(Reply::null())
}

fn shown_alias(alias: &Alias, digest: &str) -> Value {
    let version = if alias.cidr.contains(':') { 6 } else { 4 };
    let shown = json!({ "name": alias.name, "cidr": alias.cidr, "ipversion": version, "digest": digest });
    with_comment(shown, alias.comment.as_ref())
}

/// GET …/firewall/aliases
pub(crate) fn aliases(call: &mut Call<'_>) -> Outcome {
    let aliases = file(call).aliases;
    let digest = digest(&aliases);
    Ok(Reply::data(aliases.values().map(|alias| shown_alias(alias, &digest)).collect::<Vec<_>>()))
}

/// POST …/firewall/aliases
pub(crate) fn create_alias(call: &mut Call<'_>) -> Outcome {
    let name = call.text("name").to_owned();
    let alias = Alias { name: name.clone(), cidr: clean(call.text("cidr")), comment: comment(call) };
    let aliases = &mut change(call).aliases;
    let key = name.to_ascii_lowercase();
    if aliases.contains_key(&key) {
        return Err(Failure::parameter("name", format!("alias '{name}' already exists")));
    }
    aliases.insert(key, alias);
    Ok(Reply::null())
}

/// GET …/firewall/aliases/{name}
pub(crate) fn read_alias(call: &mut Call<'_>) -> Outcome {
    let aliases = file(call).aliases;
    let alias = aliases.get(&call.text("name").to_ascii_lowercase());
    let alias = alias.ok_or_else(|| Failure::parameter("name", "no such alias"))?;
    Ok(Reply::data(shown_alias(alias, &digest(&aliases))))
}

/// PUT …/firewall/aliases/{name}
pub(crate) fn update_alias(call: &mut Call<'_>) -> Outcome {
    let aliases = file(call).aliases;
    check_digest(call, &digest(&aliases))?;
    let key = call.text("name").to_ascii_lowercase();
    let old = aliases.get(&key).ok_or_else(|| Failure::parameter("name", "no such alias"))?;
    let name = call.parameters.text("rename").unwrap_or(&old.name).to_owned();
    let new_key = name.to_ascii_lowercase();
    if new_key != key && aliases.contains_key(&new_key) {
        return Err(Failure::parameter("name", format!("alias '{name}' already exists")));
    }
    let alias = Alias { name, cidr: clean(call.text("cidr")), comment: comment(call) };
    let aliases = &mut change(call).aliases;
    aliases.remove(&key);
    aliases.insert(new_key, alias);
    Ok(Reply::null())
}

/// DELETE …/firewall/aliases/{name}: also when there is none.
pub(crate) fn delete_alias(call: &mut Call<'_>) -> Outcome {
    check_digest(call, &digest(&file(call).aliases))?;
    let key = call.text("name").to_ascii_lowercase();
    change(call).aliases.remove(&key);
    Ok(Reply::null())
}
