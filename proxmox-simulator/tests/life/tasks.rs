use std::time::Duration;

use proxmox_simulator::{Options, Simulator, Timing};
use serde_json::json;

use super::{Client, get, make, options, run, start};

const VM: &str = "/nodes/pve1/qemu/200";

#[tokio::test]
async fn durations_are_those_of_the_timing_and_grow_with_the_disks() {
    let timing = Timing {
        backup_per_gib: Duration::from_millis(40),
        migrate: Duration::from_millis(60),
        snapshot: Duration::from_millis(60),
        ..Timing::instant()
    };
    let (simulator, client) = start(timing);
    make(&client, "200", "shared:1").await;
    let upid = client.post("/nodes/pve1/qemu/9002/clone", &[("newid", "201"), ("full", "1")]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    for (path, form) in [
        (format!("{VM}/snapshot"), vec![("snapname", "s1")]),
        ("/nodes/pve1/vzdump".to_owned(), vec![("vmid", "201"), ("storage", "vault")]),
        (format!("{VM}/migrate"), vec![("target", "pve2")]),
    ] {
        let begun = std::time::Instant::now();
        let upid = client.post(&path, &form).await.upid();
        assert_eq!(client.wait(&upid).await, "OK", "{path}");
        // The second guest has 2 GiB in use.
        let least = if path.contains("vzdump") { 80 } else { 60 };
        assert!(begun.elapsed() >= Duration::from_millis(least), "{path} took {:?}", begun.elapsed());
    }
    assert_eq!(simulator.kill_task("vzdump"), 0, "nothing is left running");
    let doubled = Timing::realistic().scaled(2.0);
    assert_eq!(doubled.rollback, Timing::realistic().rollback * 2);
}

#[tokio::test]
async fn snapshots_backups_and_locks_survive_a_restart() {
    let (first, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    assert_eq!(run(&client, "POST", &format!("{VM}/snapshot"), &[("snapname", "s1"), ("vmstate", "1")]).await, "OK");
    let form = [("vmid", "200"), ("storage", "vault"), ("protected", "1"), ("notes-template", "kept")];
    assert_eq!(run(&client, "POST", "/nodes/pve1/vzdump", &form).await, "OK");
    let config = get(&client, &format!("{VM}/snapshot/s1/config")).await;
    let backups = get(&client, "/nodes/pve1/storage/vault/content").await;
    first.freeze_task("qmsnapshot");
    client.post(&format!("{VM}/snapshot"), &[("snapname", "s2")]).await.upid();
    let whole = first.snapshot();
    assert_eq!(first.kill_task("qmsnapshot"), 1);
    let stuck = first.snapshot();
    drop(first);
    let again = |state| Simulator::start(Options { state: Some(state), ..options(Timing::instant()) }).unwrap();
    // What was frozen appears ended, with its effect.
    let second = again(whole);
    let client = Client::new(&second);
    assert_eq!(get(&client, &format!("{VM}/snapshot")).await.as_array().unwrap().len(), 3);
    assert_eq!(get(&client, &format!("{VM}/config")).await.get("lock"), None);
    let third = again(stuck);
    let client = Client::new(&third);
    assert_eq!(get(&client, &format!("{VM}/config")).await["lock"], "snapshot");
    assert_eq!(get(&client, &format!("{VM}/snapshot/s1/config")).await, config);
    assert_eq!(get(&client, "/nodes/pve1/storage/vault/content").await, backups);
    third.set_lock(200, None);
    assert_eq!(run(&client, "POST", &format!("{VM}/snapshot/s1/rollback"), &[]).await, "OK");
    assert_eq!(get(&client, &format!("{VM}/status/current")).await["status"], "running");
    let archive = backups[0]["volid"].as_str().unwrap();
    let form = [("vmid", "201"), ("archive", archive), ("unique", "1")];
    assert_eq!(run(&client, "POST", "/nodes/pve1/qemu", &form).await, "OK");
}

#[tokio::test]
async fn counters_grow_with_the_process_and_begin_again_with_the_next() {
    let (_simulator, client) = start(Timing::instant());
    make(&client, "200", "shared:1").await;
    let counters = || async {
        let current = get(&client, &format!("{VM}/status/current")).await;
        ["netin", "netout", "diskread", "diskwrite"].map(|name| current[name].as_u64().unwrap_or(0))
    };
    assert_eq!(counters().await, [0; 4]);
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    for _ in 0..400 {
        if counters().await[0] > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(counters().await.iter().all(|count| *count > 0));
    assert_eq!(run(&client, "POST", &format!("{VM}/status/stop"), &[]).await, "OK");
    assert_eq!(counters().await, [0; 4]);
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    assert_eq!(counters().await, [0; 4]);
}

#[tokio::test]
async fn a_new_guest_is_unknown_until_the_next_picture() {
    let lag = Duration::from_secs(3600);
    let simulator = Simulator::start(Options { resources_lag: lag, ..options(Timing::instant()) }).unwrap();
    let client = Client::new(&simulator);
    make(&client, "200", "shared:1").await;
    let own = |entries: serde_json::Value| {
        entries.as_array().unwrap().iter().find(|entry| entry["vmid"] == 200).cloned().unwrap()
    };
    let entry = own(get(&client, "/cluster/resources?type=vm").await);
    assert_eq!((&entry["status"], entry.get("name"), entry.get("maxmem")), (&json!("unknown"), None, None));
    assert_eq!((&entry["node"], &entry["template"]), (&json!("pve1"), &json!(0)));
    let template = get(&client, "/cluster/resources?type=vm").await;
    assert!(template.as_array().unwrap().iter().any(|entry| entry["name"] == "debian-12"), "{template}");
    // A lock is read live; a later simulator with a shorter lag sees everything.
    simulator.set_lock(200, Some("backup"));
    assert_eq!(own(get(&client, "/cluster/resources").await)["lock"], "backup");
    let options = Options { state: Some(simulator.snapshot()), ..options(Timing::instant()) };
    let simulator = Simulator::start(Options { resources_lag: Duration::from_millis(1), ..options }).unwrap();
    let client = Client::new(&simulator);
    let entry = own(get(&client, "/cluster/resources").await);
    assert_eq!((&entry["status"], &entry["name"]), (&json!("stopped"), &json!("life")));
}
