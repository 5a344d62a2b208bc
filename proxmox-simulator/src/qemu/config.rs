//! GET config and GET pending: what is set, and what waits for the next start.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::cluster::guest::Config;
use crate::failure::{Failure, Outcome, Reply};

/// GET /nodes/{node}/qemu/{vmid}/config
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let guest = call.cluster.load(call.node(), call.vmid())?;
    let current = call.parameters.flag("current") == Some(true);
    if let Some(snapshot) = call.parameters.text("snapshot") {
        if current {
            let text = "cannot use 'snapshot' parameter with 'current'";
            return Err(Failure::parameters(
                [("snapshot", text), ("current", text)].map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
            ));
        }
        let snapshot = guest.snapshot(snapshot).map_err(Failure::died)?;
        let mut shown = super::snapshots::shown(call, snapshot);
        if shown.contains_key("cipassword") {
            shown.insert("cipassword".to_owned(), json!("**********"));
        }
        shown.insert("digest".to_owned(), json!(guest.config.digest()));
        return Ok(Reply::data(shown));
    }
    let schema = call.cluster.schema();
    let config = &guest.config;
    let mut shown = Map::new();
    for option in config.options() {
        let value = if current { config.get(option) } else { config.wanted(option) };
        if let Some(value) = value {
            shown.insert(option.clone(), Config::shown(schema, option, value));
        }
    }
    shown.insert("digest".to_owned(), json!(config.digest()));
    Ok(Reply::data(shown))
}

/// GET /nodes/{node}/qemu/{vmid}/pending
pub(crate) fn pending(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let guest = call.cluster.load(call.node(), call.vmid())?;
    let schema = call.cluster.schema();
    let config = &guest.config;
    let mut entries: Vec<Value> = Vec::new();
    for option in config.options() {
        let mut entry = json!({ "key": option });
        if let Some(value) = config.get(option) {
            entry["value"] = Config::shown(schema, option, value);
        }
        if let Some(value) = config.pending.get(option) {
            entry["pending"] = Config::shown(schema, option, value);
        }
        if let Some(force) = config.pending_delete.get(option) {
            entry["delete"] = json!(if *force { 2 } else { 1 });
        }
        entries.push(entry);
    }
    entries.push(json!({ "key": "digest", "value": config.digest() }));
    Ok(Reply::data(entries))
}
