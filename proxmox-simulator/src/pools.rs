//! `/pools`: pools of guests and storages, under both spellings (`?poolid=` and `/pools/{poolid}`).

use serde_json::{Value, json};

use crate::access::{Pool, split_list};
use crate::call::Call;
use crate::cluster_calls;
use crate::failure::{Failure, Outcome, Reply};
use crate::qemu::status as qemu_status;

fn missing(pool: &str) -> String {
    format!("pool '{pool}' does not exist")
}

fn members(call: &Call<'_>, pool: &Pool) -> Vec<Value> {
    let only = call.parameters.text("type");
    let mut members = Vec::new();
    if only.is_none_or(|only| only == "qemu") {
        let guests = pool.vms.iter().filter_map(|vmid| call.cluster.guest(*vmid));
        members.extend(guests.map(|guest| qemu_status::resource(call.cluster, guest, call.now)));
    }
    if only.is_none_or(|only| only == "storage")
        && let Some(node) = call.cluster.nodes.first()
    {
        let storages = call.cluster.storages.iter().filter(|storage| pool.storage.contains(&storage.id));
        members.extend(storages.map(|storage| cluster_calls::storage_resource(call.cluster, storage, &node.name)));
    }
    members
}

/// GET /pools: all the caller sees, or with `poolid` one with its members.
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let pools = &call.cluster.access.pools;
    if let Some(id) = call.parameters.text("poolid") {
        call.caller.require(&format!("/pool/{id}"), &["Pool.Audit"])?;
        let pool = pools.get(id).ok_or_else(|| Failure::died(missing(id)))?;
        let mut entry = json!({ "poolid": id, "members": members(call, pool) });
        if let Some(comment) = &pool.comment {
            entry["comment"] = json!(comment);
        }
        return Ok(Reply::data(vec![entry]));
    }
    let visible = pools.iter().filter(|(id, _)| call.caller.may(&format!("/pool/{id}"), "Pool.Audit"));
    let entries = visible.map(|(id, pool)| {
        let mut entry = json!({ "poolid": id });
        if let Some(comment) = &pool.comment {
            entry["comment"] = json!(comment);
        }
        entry
    });
    Ok(Reply::data(entries.collect::<Vec<_>>()))
}

/// GET /pools/{poolid}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let id = call.text("poolid");
    let pool = call.cluster.access.pools.get(id).ok_or_else(|| Failure::died(missing(id)))?;
    let mut entry = json!({ "members": members(call, pool) });
    if let Some(comment) = &pool.comment {
        entry["comment"] = json!(comment);
    }
    Ok(Reply::data(entry))
}

/// POST /pools
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.text("poolid").to_owned();
    let comment = call.parameters.text("comment").filter(|text| !text.is_empty()).map(str::to_owned);
    let pools = &call.cluster.access.pools;
    if pools.contains_key(&id) {
        return Err(Failure::died(format!("create pool failed: pool '{id}' already exists")));
    }
    if let Some((parent, _)) = id.rsplit_once('/')
        && !pools.contains_key(parent)
    {
        return Err(Failure::died(format!("create pool failed: parent '{parent}' of pool '{id}' does not exist")));
    }
    call.access_mut().pools.insert(id, Pool { comment, ..Pool::default() });
    Ok(Reply::null())
}

/// PUT /pools and PUT /pools/{poolid}: all of the change or nothing.
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let id = call.text("poolid").to_owned();
    let failed = |text: String| Failure::died(format!("update pools failed: {text}"));
    let delete = call.parameters.flag("delete") == Some(true);
    let allow_move = call.parameters.flag("allow-move") == Some(true);
    let pool = call.cluster.access.pools.get(&id).ok_or_else(|| failed(missing(&id)))?;
    let vms: Vec<u32> = split_list(call.text("vms")).filter_map(|vmid| vmid.parse().ok()).collect();
    let storages: Vec<String> = split_list(call.text("storage")).map(str::to_owned).collect();
    for vmid in &vms {
        call.caller.require_modify(&format!("/vms/{vmid}"))?;
        let text = match (delete, pool.vms.contains(vmid), call.cluster.access.pool_of(*vmid)) {
            (true, false, _) => format!("VM {vmid} is not a pool member"),
            (false, true, _) => format!("VM {vmid} is already a pool member"),
            (false, false, Some(other)) if !allow_move => {
                format!("VM {vmid} belongs already to pool '{other}' and 'allow-move' is not set")
            }
            _ => continue,
        };
        return Err(failed(text));
    }
    for storage in &storages {
        call.caller.require_modify(&format!("/storage/{storage}"))?;
        match (delete, pool.storage.contains(storage)) {
            (true, false) => return Err(failed(format!("Storage '{storage}' is not a pool member"))),
            (false, true) => return Err(failed(format!("Storage '{storage}' is already a pool member"))),
            _ => {}
        }
    }
    let comment = call.parameters.text("comment").map(str::to_owned);
    let pools = &mut call.access_mut().pools;
    if !delete {
        for other in pools.values_mut() {
            other.vms.retain(|vmid| !vms.contains(vmid));
        }
    }
    if let Some(pool) = pools.get_mut(&id) {
        if comment.is_some() {
            pool.comment = comment;
        }
        if delete {
            pool.vms.retain(|vmid| !vms.contains(vmid));
            pool.storage.retain(|storage| !storages.contains(storage));
        } else {
            pool.vms.extend(vms);
            pool.storage.extend(storages);
        }
    }
    Ok(Reply::null())
}

/// DELETE /pools and DELETE /pools/{poolid}: only when empty.
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.text("poolid").to_owned();
    let failed = |text: String| Failure::died(format!("delete pool failed: {text}"));
    let pools = &call.cluster.access.pools;
    let pool = pools.get(&id).ok_or_else(|| failed(missing(&id)))?;
    if let Some(vmid) = pool.vms.iter().find(|vmid| call.cluster.guest(**vmid).is_some()) {
        return Err(failed(format!("pool '{id}' is not empty (contains VM {vmid})")));
    }
    if let Some(storage) = pool.storage.iter().find(|storage| call.cluster.storage(storage).is_ok()) {
        return Err(failed(format!("pool '{id}' is not empty (contains storage '{storage}')")));
    }
    if pools.keys().any(|other| other.starts_with(&format!("{id}/"))) {
        return Err(failed(format!("pool '{id}' is not empty (contains pools)")));
    }
    let access = call.access_mut();
    access.pools.remove(&id);
    access.acl.remove(&format!("/pool/{id}"));
    Ok(Reply::null())
}
