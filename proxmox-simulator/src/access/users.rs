//! `/access/users`

use serde_json::{Map, Value, json};

use super::{Access, REALMS, ROOT, Secret, User, split_list};
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};

/// What a user may say about himself.
const PARTICULARS: &[&str] = &["firstname", "lastname", "email", "comment", "keys"];

/// What is shown of a user, without his groups and tokens.
fn shown(user: &User) -> Map<String, Value> {
    let mut entry = Map::from_iter([
        ("enable".to_owned(), json!(i32::from(user.enable))),
        ("expire".to_owned(), json!(user.expire)),
    ]);
    entry.extend(user.particulars.iter().map(|(name, value)| (name.clone(), json!(value))));
    entry
}

fn groups_of<'a>(access: &'a Access, user: &str) -> Vec<&'a str> {
    let groups = access.groups.iter().filter(|(_, group)| group.users.contains(user));
    groups.map(|(id, _)| id.as_str()).collect()
}

/// GET /access/users
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let access = &call.cluster.access;
    let full = call.parameters.flag("full") == Some(true);
    let enabled = call.parameters.flag("enabled");
    let mut entries = Vec::new();
    for (id, user) in &access.users {
        if enabled.is_some_and(|enabled| enabled != user.enable) || !call.caller.may_see_user(id) {
            continue;
        }
        let mut entry = shown(user);
        if full {
            entry.insert("groups".to_owned(), json!(groups_of(access, id).join(",")));
            let tokens = user.tokens.iter().map(|(name, token)| {
                let mut shown = super::tokens::shown(token);
                shown.insert("tokenid".to_owned(), json!(name));
                Value::Object(shown)
            });
            entry.insert("tokens".to_owned(), Value::Array(tokens.collect()));
        }
        let realm = id.rsplit_once('@').map(|(_, realm)| realm).unwrap_or_default();
        if REALMS.iter().any(|(known, _)| *known == realm) {
            entry.insert("realm-type".to_owned(), json!(realm));
        }
        entry.insert("userid".to_owned(), json!(id));
        entries.push(Value::Object(entry));
    }
    Ok(Reply::data(entries))
}

/// Puts a user into groups, which must exist.
fn join_groups(access: &mut Access, user: &str, groups: &str) -> Result<(), String> {
    for group in split_list(groups) {
        let group = access.groups.get_mut(group).ok_or_else(|| format!("no such group '{group}'"))?;
        group.users.insert(user.to_owned());
    }
    Ok(())
}

fn leave_groups(access: &mut Access, user: &str) {
    for group in access.groups.values_mut() {
        group.users.remove(user);
    }
}

/// POST /access/users
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.text("userid").to_owned();
    let failed = |text: String| Failure::died(format!("create user failed: {text}"));
    if call.cluster.access.users.contains_key(&id) {
        return Err(failed(format!("user '{id}' already exists")));
    }
    let realm = id.rsplit_once('@').map(|(_, realm)| realm).unwrap_or_default();
    let password = call.parameters.text("password").map(|password| Secret(password.to_owned()));
    if password.is_some() && !REALMS.iter().any(|(known, _)| *known == realm) {
        return Err(failed(format!("no such realm '{realm}'")));
    }
    let mut user = User {
        enable: call.parameters.flag("enable").unwrap_or(true),
        expire: call.parameters.number("expire").unwrap_or(0),
        password,
        ..User::default()
    };
    for name in PARTICULARS {
        if let Some(value) = call.parameters.text(name).filter(|value| !value.is_empty()) {
            user.particulars.insert((*name).to_owned(), value.to_owned());
        }
    }
    let groups = call.text("groups").to_owned();
    if let Some(missing) = split_list(&groups).find(|group| !call.cluster.access.groups.contains_key(*group)) {
        return Err(failed(format!("no such group '{missing}'")));
    }
    let access = call.access_mut();
    access.users.insert(id.clone(), user);
    join_groups(access, &id, &groups).map_err(failed)?;
    Ok(Reply::null())
}

/// GET /access/users/{userid}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let access = &call.cluster.access;
    let id = call.text("userid");
    let user = access.user(id)?;
    let mut entry = shown(user);
    entry.insert("groups".to_owned(), json!(groups_of(access, id)));
    let tokens = user.tokens.iter().map(|(name, token)| (name.clone(), Value::Object(super::tokens::shown(token))));
    entry.insert("tokens".to_owned(), Value::Object(tokens.collect()));
    Ok(Reply::data(entry))
}

/// PUT /access/users/{userid}
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let id = call.text("userid").to_owned();
    let failed = |text: String| Failure::died(format!("update user failed: {text}"));
    if !call.cluster.access.users.contains_key(&id) {
        return Err(failed(format!("no such user ('{id}')")));
    }
    let parameters = call.parameters.clone();
    let groups = parameters.text("groups").map(str::to_owned);
    if let Some(groups) = &groups
        && let Some(missing) = split_list(groups).find(|group| !call.cluster.access.groups.contains_key(*group))
    {
        return Err(failed(format!("no such group '{missing}'")));
    }
    let access = call.access_mut();
    if let Some(user) = access.users.get_mut(&id) {
        user.enable = parameters.flag("enable").unwrap_or(user.enable);
        user.expire = parameters.number("expire").unwrap_or(user.expire);
        for name in PARTICULARS {
            if let Some(value) = parameters.text(name) {
                user.particulars.insert((*name).to_owned(), value.to_owned());
            }
        }
    }
    if let Some(groups) = groups {
        if parameters.flag("append") != Some(true) {
            leave_groups(access, &id);
        }
        join_groups(access, &id, &groups).map_err(failed)?;
    }
    Ok(Reply::null())
}

/// DELETE /access/users/{userid}
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.text("userid").to_owned();
    if id == ROOT {
        return Err(Failure::died("delete user failed: you can't remove user 'root@pam'"));
    }
    let access = call.access_mut();
    let Some(user) = access.users.remove(&id) else {
        return Err(Failure::died(format!("delete user failed: no such user ('{id}')")));
    };
    leave_groups(access, &id);
    access.forget_in_acl("user", &id);
    for token in user.tokens.keys() {
        access.forget_in_acl("token", &format!("{id}!{token}"));
    }
    Ok(Reply::null())
}
