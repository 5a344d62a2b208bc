//! rrddata: the past of guests, nodes and storages on the grids of each release. Nothing is recorded; the same object
//! at the same time always had the same load, so the past is computed.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::clock::{Micros, seconds};
use crate::cluster::drive::boot_disk_size;
use crate::cluster::guest::Guest;
use crate::failure::{Failure, Outcome, Reply};
use crate::load;
use crate::node_calls;
use crate::options::{GIB, Release};

/// Seconds between rows, and rows.
fn grid(release: Release, timeframe: &str) -> (u64, u64) {
    match (release, timeframe) {
        (_, "hour") => (60, 60),
        (Release::V9_2, "day") => (60, 1440),
        (Release::V9_2, "week") => (1_800, 336),
        (Release::V9_2, "month") => (1_800, 1440),
        (Release::V9_2, "year") => (21_600, 1440),
        (Release::V9_2, _) => (604_800, 570),
        (Release::V8_4, "day") => (1_800, 70),
        (Release::V8_4, "week") => (10_800, 70),
        (Release::V8_4, "month") => (43_200, 70),
        (Release::V8_4, _) => (604_800, 70),
    }
}

/// Rows up to now; of the newest only the sizes are known yet.
fn rows(call: &Call<'_>, sizes: &[&str], row: impl Fn(Micros, u64) -> Map<String, Value>) -> Outcome {
    let release = call.cluster.settings.release;
    let timeframe = call.text("timeframe");
    if release == Release::V8_4 && timeframe == "decade" {
        let text = "value 'decade' does not have a value in the enumeration 'hour, day, week, month, year'";
        return Err(Failure::parameter("timeframe", text));
    }
    let (step, count) = grid(release, timeframe);
    let last = seconds(call.now) / step * step;
    let peak = call.parameters.text("cf") == Some("MAX");
    let entries = (0..count).rev().map(|back| {
        let time = last.saturating_sub(back * step);
        let at = time * 1_000_000;
        let mut entry = row(at, step);
        if peak {
            // The highest of a few moments within the row.
            for part in 1..4 {
                for (name, value) in row(at.saturating_sub(step * 250_000 * part), step) {
                    if let (Some(old), Some(new)) = (entry.get(&name).and_then(Value::as_f64), value.as_f64())
                        && new > old
                    {
                        entry.insert(name, value);
                    }
                }
            }
        }
        if back == 0 {
            entry.retain(|name, _| sizes.contains(&name.as_str()));
        }
        entry.insert("time".to_owned(), json!(time));
        Value::Object(entry)
    });
    Ok(Reply::data(entries.collect::<Vec<_>>()))
}

/// Seconds since the epoch at which a guest was made.
fn created(guest: &Guest) -> u64 {
    let meta = guest.config.get("meta").unwrap_or_default();
    let time = meta.split(',').find_map(|part| part.strip_prefix("ctime="));
    time.and_then(|time| time.parse().ok()).unwrap_or(0)
}

/// GET /nodes/{node}/qemu/{vmid}/rrddata
pub(crate) fn guest(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let guest = call.cluster.load(call.node(), call.vmid())?;
    let is_9 = call.cluster.settings.release == Release::V9_2;
    rows(call, &["maxcpu", "maxmem", "maxdisk"], |at, step| {
        let mut entry = Map::new();
        if seconds(at) < created(guest) {
            return entry;
        }
        let before = load::traffic(guest, at.saturating_sub(step * 1_000_000));
        let rates: Vec<f64> = load::traffic(guest, at)
            .iter()
            .zip(before)
            .map(|(now, then)| load::rate(now.saturating_sub(then), step))
            .collect();
        let running = guest.process.as_ref().is_some_and(|process| process.started <= at);
        let memory = if running { load::memory(guest, at) } else { 0 };
        entry.insert("cpu".to_owned(), json!(load::processors(guest, at)));
        entry.insert("maxcpu".to_owned(), json!(guest.config.cpus()));
        entry.insert("mem".to_owned(), json!(memory));
        entry.insert("maxmem".to_owned(), json!(guest.config.memory_mib() << 20));
        entry.insert("disk".to_owned(), json!(0));
        entry.insert("maxdisk".to_owned(), json!(boot_disk_size(&guest.config)));
        for (name, rate) in ["netin", "netout", "diskread", "diskwrite"].iter().zip(rates) {
            entry.insert((*name).to_owned(), json!(rate));
        }
        if is_9 {
            entry.insert("memhost".to_owned(), json!(memory));
            for kind in ["cpu", "io", "memory"] {
                for share in ["some", "full"] {
                    entry.insert(format!("pressure{kind}{share}"), json!(0));
                }
            }
        }
        entry
    })
}

/// GET /nodes/{node}/rrddata
pub(crate) fn node(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let Some(node) = call.cluster.node(call.node()) else { return Ok(Reply::null()) };
    rows(call, &["maxcpu", "memtotal", "roottotal", "swaptotal"], |at, step| {
        if at < node.booted {
            return Map::new();
        }
        let guests = || call.cluster.guests.values().filter(|guest| guest.node == node.name);
        let processors = load::node_processors(guests(), node.cores, at);
        let before = at.saturating_sub(step * 1_000_000);
        let traffic = |index: usize| -> f64 {
            let of = |guest: &Guest, at| load::traffic(guest, at).get(index).copied().unwrap_or(0);
            load::rate(guests().map(|guest| of(guest, at).saturating_sub(of(guest, before))).sum(), step)
        };
        let used = node_calls::memory_used_at(call, node, at);
        let row = json!({
            "cpu": processors, "maxcpu": node.cores, "iowait": 0.001, "memtotal": node.memory, "memused": used,
            "loadavg": load::average(processors, node.cores).parse::<f64>().unwrap_or(0.0),
            "swaptotal": 8 * GIB, "swapused": 0, "roottotal": node_calls::ROOT_SIZE, "rootused": node_calls::ROOT_USED,
            "netin": traffic(0), "netout": traffic(1),
        });
        let mut row = row.as_object().cloned().unwrap_or_default();
        if call.cluster.settings.release == Release::V9_2 {
            let pressures = ["cpusome", "iosome", "iofull", "memorysome", "memoryfull"];
            row.extend(pressures.map(|what| (format!("pressure{what}"), json!(0))));
            row.insert("arcsize".to_owned(), json!(0));
            row.insert("memavailable".to_owned(), json!(node.memory.saturating_sub(used)));
        }
        row
    })
}

/// GET /nodes/{node}/storage/{storage}/rrddata
pub(crate) fn storage(call: &mut Call<'_>) -> Outcome {
    let call = &*call;
    let storage = call.cluster.storage(call.text("storage"))?;
    let used = call.cluster.volumes.used(storage, call.node());
    rows(call, &["total"], |_, _| {
        Map::from_iter([("total".to_owned(), json!(storage.size)), ("used".to_owned(), json!(used))])
    })
}
