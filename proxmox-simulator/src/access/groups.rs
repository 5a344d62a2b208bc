//! `/access/groups`

use serde_json::json;

use super::Group;
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};

/// GET /access/groups
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let visible = |id: &str| {
        let path = format!("/access/groups/{id}");
        ["User.Modify", "Sys.Audit", "Group.Allocate"].iter().any(|privilege| call.caller.may(&path, privilege))
    };
    let groups = call.cluster.access.groups.iter().filter(|(id, _)| visible(id));
    let entries = groups.map(|(id, group)| {
        let users: Vec<&str> = group.users.iter().map(String::as_str).collect();
        let mut entry = json!({ "groupid": id, "users": users.join(",") });
        if let Some(comment) = &group.comment {
            entry["comment"] = json!(comment);
        }
        entry
    });
    Ok(Reply::data(entries.collect::<Vec<_>>()))
}

fn comment(call: &Call<'_>) -> Option<String> {
    call.parameters.text("comment").map(str::to_owned)
}

/// POST /access/groups
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let (id, comment) = (call.text("groupid").to_owned(), comment(call));
    if call.cluster.access.groups.contains_key(&id) {
        return Err(Failure::died(format!("create group failed: group '{id}' already exists")));
    }
    call.access_mut().groups.insert(id, Group { comment, ..Group::default() });
    Ok(Reply::null())
}

/// GET /access/groups/{groupid}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let id = call.text("groupid");
    let group = call.cluster.access.groups.get(id);
    let group = group.ok_or_else(|| Failure::died(format!("group '{id}' does not exist")))?;
    let mut entry = json!({ "members": group.users });
    if let Some(comment) = &group.comment {
        entry["comment"] = json!(comment);
    }
    Ok(Reply::data(entry))
}

/// PUT /access/groups/{groupid}
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let (id, comment) = (call.text("groupid").to_owned(), comment(call));
    let Some(group) = call.access_mut().groups.get_mut(&id) else {
        return Err(Failure::died(format!("update group failed: group '{id}' does not exist")));
    };
    if comment.is_some() {
        group.comment = comment;
    }
    Ok(Reply::null())
}

/// DELETE /access/groups/{groupid}
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.text("groupid").to_owned();
    let access = call.access_mut();
    if access.groups.remove(&id).is_none() {
        return Err(Failure::died(format!("delete group failed: group '{id}' does not exist")));
    }
    access.forget_in_acl("group", &id);
    Ok(Reply::null())
}
