use proxmox_simulator::Timing;
use serde_json::json;

use super::{get, make, run, start};

const VM: &str = "/nodes/pve1/qemu/200";

#[tokio::test]
async fn a_rollback_brings_options_sizes_and_memory_back() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    let snapshot = format!("{VM}/snapshot");
    assert_eq!(
        run(&client, "POST", &snapshot, &[("snapname", "off1"), ("description", "offline"), ("vmstate", "1")]).await,
        "OK"
    );
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    assert_eq!(run(&client, "POST", &snapshot, &[("snapname", "on1"), ("vmstate", "1")]).await, "OK");
    let volumes = |content: &'static str| {
        simulator.inspect(|cluster| {
            cluster.volumes("local-lvm", "pve1").iter().filter(|volume| volume.name.contains(content)).count()
        })
    };
    assert_eq!(volumes("state-on1"), 1, "the memory is a volume");
    assert_eq!(volumes("state-off1"), 0, "a stopped guest has no memory to save");

    let list = get(&client, &snapshot).await;
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["off1", "on1", "current"]);
    assert_eq!(list[0]["description"], "offline");
    assert_eq!((&list[0]["vmstate"], &list[1]["vmstate"], &list[1]["parent"]), (&json!(0), &json!(1), &json!("off1")));
    assert_eq!((&list[2]["running"], &list[2]["parent"]), (&json!(1), &json!("on1")));

    assert_eq!(run(&client, "PUT", &format!("{VM}/resize"), &[("disk", "scsi0"), ("size", "9G")]).await, "OK");
    client
        .send("PUT", &format!("{VM}/config"), &[("name", "later"), ("scsi1", "local-lvm:1"), ("description", "mine")])
        .await
        .data();
    let pid = simulator.inspect(|cluster| cluster.guest(200).unwrap().process.clone().unwrap().pid);
    assert_eq!(run(&client, "POST", &format!("{snapshot}/on1/rollback"), &[]).await, "OK");
    let config = get(&client, &format!("{VM}/config")).await;
    assert_eq!((config["name"].as_str(), config["description"].as_str()), (Some("life"), Some("mine")));
    assert_eq!(config["scsi0"], "local-lvm:vm-200-disk-0,size=4G");
    let size = simulator.inspect(|cluster| {
        let volumes = cluster.volumes("local-lvm", "pve1");
        volumes.iter().find(|volume| volume.name == "vm-200-disk-0").unwrap().size
    });
    assert_eq!(size, 4 << 30, "the disk is as small as it was");
    assert_eq!(config["unused0"], "local-lvm:vm-200-disk-1", "what came after the snapshot is unused");
    assert_eq!((config.get("scsi1"), config.get("lock")), (None, None));
    let process = simulator.inspect(|cluster| cluster.guest(200).unwrap().process.clone().unwrap());
    assert_ne!(process.pid, pid, "it runs on in a new process");

    // Without memory it stays stopped, unless it is asked to start.
    assert_eq!(run(&client, "POST", &format!("{snapshot}/off1/rollback"), &[]).await, "OK");
    assert_eq!(get(&client, &format!("{VM}/status/current")).await["status"], "stopped");
    assert_eq!(run(&client, "POST", &format!("{snapshot}/off1/rollback"), &[("start", "1")]).await, "OK");
    assert_eq!(get(&client, &format!("{VM}/status/current")).await["status"], "running");

    // Removing the first gives its child no parent, and the memory goes with its snapshot.
    assert_eq!(run(&client, "DELETE", &format!("{snapshot}/off1"), &[]).await, "OK");
    let list = get(&client, &snapshot).await;
    assert_eq!((list[0]["name"].as_str(), list[0].get("parent")), (Some("on1"), None));
    assert_eq!(run(&client, "DELETE", &format!("{snapshot}/on1"), &[]).await, "OK");
    assert_eq!(volumes("state-on1"), 0);
    assert_eq!(get(&client, &snapshot).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn snapshots_are_refused_in_proxmoxs_words() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "shared:4").await;
    make(&client, "201", "thick:4").await;
    make(&client, "202", "files:4").await;
    let snapshot = format!("{VM}/snapshot");
    assert_eq!(run(&client, "POST", &snapshot, &[("snapname", "s1")]).await, "OK");
    assert_eq!(run(&client, "POST", &snapshot, &[("snapname", "s1")]).await, "snapshot name 's1' already used");
    let reserved = client.post(&snapshot, &[("snapname", "current")]).await;
    assert_eq!(
        (reserved.status, reserved.reason.as_str()),
        (500, "unable to use snapshot name 'current' (reserved name)")
    );
    let long = "a".repeat(41);
    let answer = client.post(&snapshot, &[("snapname", &long)]).await;
    assert_eq!(answer.body["errors"]["snapname"], "value may only be 40 characters long");
    for other in ["201", "202"] {
        let path = format!("/nodes/pve1/qemu/{other}");
        assert_eq!(
            run(&client, "POST", &format!("{path}/snapshot"), &[("snapname", "s1")]).await,
            "snapshot feature is not available"
        );
        assert_eq!(
            get(&client, &format!("{path}/feature?feature=snapshot")).await,
            json!({ "hasFeature": 0, "nodes": ["pve1"] })
        );
    }
    assert_eq!(get(&client, &format!("{VM}/feature?feature=snapshot")).await["hasFeature"], 1);
    let missing = "snapshot 'nosuch' does not exist";
    assert_eq!(run(&client, "POST", &format!("{snapshot}/nosuch/rollback"), &[]).await, missing);
    assert_eq!(run(&client, "DELETE", &format!("{snapshot}/nosuch"), &[]).await, missing);
    assert_eq!(client.get(&format!("{snapshot}/nosuch/config")).await.reason, missing);
    assert_eq!(client.get(&format!("{VM}/config?snapshot=nosuch")).await.reason, missing);
    assert_eq!(
        client.post(&format!("{VM}/template"), &[]).await.reason,
        "unable to create template, because VM contains snapshots"
    );
    client.send("PUT", &format!("{snapshot}/s1/config"), &[("description", "kept")]).await.data();
    assert_eq!(get(&client, &format!("{snapshot}/s1/config")).await["description"], "kept");
    simulator.set_lock(200, Some("backup"));
    for (method, path, form) in [
        ("POST", snapshot.clone(), vec![("snapname", "s2")]),
        ("POST", format!("{snapshot}/s1/rollback"), vec![]),
        ("DELETE", format!("{snapshot}/s1"), vec![]),
    ] {
        assert_eq!(run(&client, method, &path, &form).await, "VM is locked (backup)", "{method} {path}");
    }
    simulator.set_lock(200, None);
    // The guest goes with its snapshots.
    assert_eq!(run(&client, "DELETE", VM, &[]).await, "OK");
    assert!(
        simulator.inspect(|cluster| cluster.volumes("shared", "pve1").iter().all(|volume| volume.vmid != Some(200)))
    );
}

#[tokio::test]
async fn the_lock_stands_while_the_task_works_and_after_it_died() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "shared:4").await;
    let snapshot = format!("{VM}/snapshot");
    let lock = || simulator.inspect(|cluster| cluster.guest(200).unwrap().lock().map(str::to_owned));
    simulator.freeze_task("qmsnapshot");
    let upid = client.post(&snapshot, &[("snapname", "s1")]).await.upid();
    assert_eq!(lock().as_deref(), Some("snapshot"));
    assert_eq!(client.send("PUT", &format!("{VM}/config"), &[("cores", "2")]).await.reason, "VM is locked (snapshot)");
    assert_eq!(get(&client, &snapshot).await[0]["snapstate"], "prepare");
    assert!(simulator.thaw_task("qmsnapshot"));
    assert_eq!((client.exit(&upid).await.as_str(), lock()), ("OK", None));

    // A failed one cleans up; a dead one leaves everything as it was.
    simulator.freeze_task("qmsnapshot");
    let upid = client.post(&snapshot, &[("snapname", "s2")]).await.upid();
    assert_eq!(simulator.fail_task("qmsnapshot", "snapshot failed"), 1);
    assert_eq!((client.exit(&upid).await.as_str(), lock()), ("snapshot failed", None));
    assert_eq!(get(&client, &snapshot).await.as_array().unwrap().len(), 2);
    simulator.freeze_task("qmdelsnapshot");
    let upid = client.send("DELETE", &format!("{snapshot}/s1"), &[]).await.upid();
    assert_eq!(simulator.kill_task(&upid), 1);
    assert_eq!(client.exit(&upid).await, "unexpected status");
    assert_eq!(lock().as_deref(), Some("snapshot-delete"));
    assert_eq!(get(&client, &snapshot).await[0]["snapstate"], "delete");
    simulator.set_lock(200, None);
    assert_eq!(
        run(&client, "POST", &format!("{snapshot}/s1/rollback"), &[]).await,
        "unable to rollback to incomplete snapshot (snapstate = delete)"
    );
    simulator.thaw_task("qmdelsnapshot");
    assert_eq!(run(&client, "DELETE", &format!("{snapshot}/s1?force=1"), &[]).await, "OK");
    simulator.freeze_task("qmrollback");
    simulator.thaw_task("qmsnapshot");
    assert_eq!(run(&client, "POST", &snapshot, &[("snapname", "s3")]).await, "OK");
    client.post(&format!("{snapshot}/s3/rollback"), &[]).await.upid();
    assert_eq!(lock().as_deref(), Some("rollback"));
    simulator.thaw_task("qmrollback");
    assert_eq!(lock(), None);
}

#[tokio::test]
async fn a_clone_of_a_snapshot_has_the_options_of_then() {
    let (_simulator, client) = start(Timing::instant());
    make(&client, "200", "shared:4").await;
    assert_eq!(run(&client, "POST", &format!("{VM}/snapshot"), &[("snapname", "s1")]).await, "OK");
    client.send("PUT", &format!("{VM}/config"), &[("cores", "4")]).await.data();
    let form = [("newid", "210"), ("snapname", "s1"), ("full", "1")];
    assert_eq!(run(&client, "POST", &format!("{VM}/clone"), &form).await, "OK");
    assert_eq!(get(&client, "/nodes/pve1/qemu/210/config").await["cores"], 1);
    assert_eq!(
        client.post(&format!("{VM}/clone"), &[("newid", "211"), ("snapname", "xx")]).await.reason,
        "snapshot 'xx' does not exist"
    );
}
