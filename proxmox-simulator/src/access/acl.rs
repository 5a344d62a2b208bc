//! `/access/acl`

use serde_json::{Value, json};

use super::split_list;
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};

/// The path in its one spelling, or nothing when it cannot be one.
pub(crate) fn normalized(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let fits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    (!path.is_empty() && parts.iter().all(fits)).then(|| format!("/{}", parts.join("/")))
}

/// Is it a path privileges can be given on?
fn is_known(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let number = |text: &str, longest: usize| {
        text.len() <= longest && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    match parts[..] {
        []
        | ["access" | "nodes" | "pool" | "sdn" | "storage" | "vms" | "mapping"]
        | ["access", "groups" | "realm"]
        | ["access", "groups" | "realm", _]
        | ["nodes" | "storage", _]
        | ["sdn", "zones" | "fabrics" | "prefix-lists" | "route-maps"]
        | ["sdn", "zones" | "fabrics" | "prefix-lists" | "route-maps", _]
        | ["sdn", "zones", _, _]
        | ["mapping", "dir" | "hwrng" | "pci" | "usb"]
        | ["mapping", "dir" | "hwrng" | "pci" | "usb", _] => true,
        ["pool", ..] => (2..=4).contains(&parts.len()),
        ["sdn", "zones", _, _, tag] => number(tag, 4),
        ["vms", vmid] => vmid.len() >= 3 && number(vmid, 9),
        _ => false,
    }
}

/// GET /access/acl
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let audit = call.caller.may("/access", "Sys.Audit");
    let mut shown: Vec<Value> = Vec::new();
    for (path, entries) in &call.cluster.access.acl {
        if !audit && call.caller.require_modify(path).is_err() {
            continue;
        }
        for (kind, by_id) in entries.kinds() {
            for (id, roles) in by_id {
                shown.extend(roles.iter().map(|(role, propagate)| {
                    json!({
                        "path": path, "type": kind, "ugid": id, "roleid": role, "propagate": i32::from(*propagate),
                    })
                }));
            }
        }
    }
    Ok(Reply::data(shown))
}

/// PUT /access/acl
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let lists: Vec<(&str, Vec<String>)> = [("group", "groups"), ("user", "users"), ("token", "tokens")]
        .map(|(kind, name)| (kind, split_list(call.text(name)).map(str::to_owned).collect()))
        .into();
    if lists.iter().all(|(_, ids)| ids.is_empty()) {
        let text = "either 'users', 'groups' or 'tokens' is required.";
        let names = ["users", "groups", "tokens"];
        return Err(Failure::parameters(names.map(|name| (name.to_owned(), text.to_owned())).into()));
    }
    let given = call.text("path").to_owned();
    let delete = call.parameters.flag("delete") == Some(true);
    let path = normalized(&given).filter(|path| delete || is_known(path));
    let path = path.ok_or_else(|| Failure::parameter("path", format!("invalid ACL path '{given}'")))?;
    let propagate = call.parameters.flag("propagate").unwrap_or(true);
    let roles: Vec<String> = split_list(call.text("roles")).map(str::to_owned).collect();
    let access = &call.cluster.access;
    let failed = |text: String| Failure::died(format!("ACL update failed: {text}"));
    for role in &roles {
        if !access.role_exists(role) {
            return Err(failed(format!("role '{role}' does not exist")));
        }
        // Who may only give away what he has may not give more.
        if !call.caller.may(&path, "Permissions.Modify") {
            let missing = access.privileges_of_role(role).into_iter().find(|one| !call.caller.may(&path, one));
            if missing.is_some() || delete {
                return Err(Failure::forbidden(format!("Permission check failed ({path}, Permissions.Modify)")));
            }
        }
    }
    for (kind, ids) in &lists {
        for id in ids {
            let exists = match *kind {
                "group" => access.groups.contains_key(id),
                "user" => access.users.contains_key(id),
                _ => access.token(id).is_some(),
            };
            if exists {
                continue;
            }
            return Err(failed(match (*kind, id.split_once('!')) {
                ("token", Some((user, token))) if access.users.contains_key(user) => {
                    format!("no such token '{token}' for user '{user}'")
                }
                ("token", Some((user, _))) => format!("no such user ('{user}')"),
                (kind, _) => format!("{kind} '{id}' does not exist"),
            }));
        }
    }
    let access = call.access_mut();
    let entries = access.acl.entry(path).or_default();
    for (kind, ids) in lists {
        for id in ids {
            let by_id = entries.kind_mut(kind);
            for role in &roles {
                if delete {
                    if let Some(held) = by_id.get_mut(&id) {
                        held.remove(role);
                    }
                } else {
                    by_id.entry(id.clone()).or_default().insert(role.clone(), propagate);
                }
            }
            by_id.retain(|_, roles| !roles.is_empty());
        }
    }
    access.acl.retain(|_, entries| !entries.is_empty());
    Ok(Reply::null())
}
