//! The picture of the guests that `/cluster/resources` is answered from. A real cluster draws it every 10 s; here it is
//! drawn before the first call that finds the last one too old, so that the call itself is not in it yet.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ClusterState;
use super::guest::Guest;
use crate::clock::{Micros, micros};
use crate::qemu::status;

/// What is read at each call, however old the picture is.
const LIVE: &[&str] = &["lock", "tags", "node", "template"];

/// Guests as they were at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    drawn: Micros,
    guests: BTreeMap<u32, Value>,
}

impl ClusterState {
    /// Draws the picture of the last tick. Ticks are `lag` apart; between them nothing changes.
    pub(crate) fn draw(&mut self, lag: Duration, now: Micros) {
        let lag = micros(lag);
        let due = self.picture.drawn == 0 || now.saturating_sub(self.picture.drawn) >= lag;
        if lag > 0 && due {
            let guests = self.guests.values().map(|guest| (guest.vmid, status::resource(self, guest, now)));
            self.picture = Picture { guests: guests.collect(), drawn: now };
        }
    }

    /// A guest's entry in `/cluster/resources`: as it was at the last tick, with what is read live.
    pub(crate) fn pictured(&self, guest: &Guest, lag: Duration, now: Micros) -> Value {
        let live = status::resource(self, guest, now);
        if lag.is_zero() {
            return live;
        }
        let Some(Value::Object(seen)) = self.picture.guests.get(&guest.vmid) else {
            return unknown(guest, &live);
        };
        let mut seen: Map<String, Value> = seen.clone();
        for name in LIVE {
            match live.get(*name) {
                Some(value) => seen.insert((*name).to_owned(), value.clone()),
                None => seen.remove(*name),
            };
        }
        Value::Object(seen)
    }
}

/// A guest no tick has seen: no name, no figures.
fn unknown(guest: &Guest, live: &Value) -> Value {
    let mut entry = json!({
        "id": format!("qemu/{}", guest.vmid), "vmid": guest.vmid, "type": "qemu", "status": "unknown",
    });
    for name in LIVE {
        if let Some(value) = live.get(*name) {
            entry[*name] = value.clone();
        }
    }
    entry
}
