//! What a client goes through: creating and deleting in numbers, locks, pending changes, the agent, the transport.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use client::{Client, read};
use proxmox_simulator::{Options, Simulator, Timing};
use serde_json::json;

fn start(timing: Timing) -> (Simulator, Client) {
    let simulator = Simulator::start(Options { nodes: 3, timing, ..Options::default() }).unwrap();
    let client = Client::new(&simulator);
    (simulator, client)
}

#[tokio::test]
async fn twenty_clones_racing_for_one_id_have_one_winner_each_round() {
    let (simulator, client) = start(Timing::realistic().scaled(0.02));
    for _ in 0..3 {
        let id = client.get("/cluster/nextid").await.data().as_str().unwrap().to_owned();
        let attempts = (0..20).map(|index| {
            let (client, id) = (client.clone(), id.clone());
            tokio::spawn(async move {
                let name = format!("racer-{index}");
                client.post("/nodes/pve1/qemu/9000/clone", &[("newid", &id), ("name", &name)]).await
            })
        });
        let mut won = Vec::new();
        for attempt in attempts.collect::<Vec<_>>() {
            let answer = attempt.await.unwrap();
            if answer.status == 200 {
                won.push(answer.upid());
            } else {
                assert_eq!(answer.status, 500);
                assert_eq!(answer.reason, format!("unable to create VM {id}: config file already exists"));
            }
        }
        assert_eq!(won.len(), 1, "one winner");
        assert!(won[0].contains(":qmclone:9000:"), "the id of a clone's task is its source: {}", won[0]);
        assert_eq!(client.wait(&won[0]).await, "OK");
    }
    assert_eq!(simulator.guests().len(), 3 + 3);
}

#[tokio::test]
async fn clones_retried_with_the_next_id_are_all_different() {
    let (simulator, client) = start(Timing::instant());
    let workers = (0..20).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                let id = client.get("/cluster/nextid").await.data().as_str().unwrap().to_owned();
                let answer = client.post("/nodes/pve1/qemu/9000/clone", &[("newid", &id), ("target", "pve2")]).await;
                if answer.status == 200 && client.exit(&answer.upid()).await == "OK" {
                    return id;
                }
            }
            panic!("no id in 100 attempts");
        })
    });
    let mut ids = BTreeSet::new();
    for worker in workers.collect::<Vec<_>>() {
        assert!(ids.insert(worker.await.unwrap()), "two workers were told they had the same id");
    }
    simulator.inspect(|cluster| {
        assert!(ids.iter().all(|id| cluster.guest(id.parse().unwrap()).unwrap().node == "pve2"));
    });
}

#[tokio::test]
async fn instant_timing_is_done_when_it_answers_and_quick() {
    let (simulator, client) = start(Timing::instant());
    let begun = Instant::now();
    for vmid in 1000..1200 {
        let vmid = vmid.to_string();
        let form = [("vmid", vmid.as_str()), ("scsi0", "local-lvm:8"), ("net0", "virtio,bridge=vmbr0"), ("start", "1")];
        client.post("/nodes/pve1/qemu", &form).await.upid();
    }
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(5), "200 creates took {taken:?}");
    let running =
        simulator.inspect(|cluster| cluster.guests().values().filter(|guest| guest.process.is_some()).count());
    assert_eq!(running, 200);
    let config = client.get("/nodes/pve1/qemu/1000/config").await;
    assert_eq!(config.data()["scsi0"], "local-lvm:vm-1000-disk-0,size=8G");
    assert!(config.data()["net0"].as_str().unwrap().starts_with("virtio=BC:24:11:"), "{}", config.text);
    assert_eq!(config.data()["boot"], "order=scsi0;net0");
}

#[tokio::test]
async fn a_guest_lives_from_clone_to_delete_and_leaves_nothing() {
    let (simulator, client) = start(Timing::realistic().scaled(0.3));
    let before = simulator.inspect(|cluster| cluster.volumes("shared", "pve1").len());
    let upid = client
        .post(
            "/nodes/pve1/qemu/9000/clone",
            &[("newid", "500"), ("full", "1"), ("target", "pve3"), ("storage", "shared")],
        )
        .await
        .upid();
    // While it is cloned the copy exists, locked, on the node of its source.
    let config = client.get("/nodes/pve1/qemu/500/config").await;
    assert_eq!(config.data()["lock"], "clone");
    let started = client.post("/nodes/pve1/qemu/500/status/start", &[]).await.upid();
    assert_eq!(client.wait(&started).await, "VM is locked (clone)");
    assert_eq!(
        client.send("PUT", "/nodes/pve1/qemu/500/config", &[("cores", "1")]).await.reason,
        "VM is locked (clone)"
    );
    assert_eq!(client.wait(&upid).await, "OK");
    assert_eq!(
        client.get("/nodes/pve1/qemu/500/config").await.reason,
        "Configuration file 'nodes/pve1/qemu-server/500.conf' does not exist"
    );

    let put = client
        .send(
            "PUT",
            "/nodes/pve3/qemu/500/config",
            &[("ipconfig0", "ip=10.1.2.3/24,gw=10.1.2.1"), ("tags", "Zeta,alpha;alpha"), ("cipassword", "secret")],
        )
        .await;
    assert!(put.data().is_null());
    let upid = client.send("PUT", "/nodes/pve3/qemu/500/resize", &[("disk", "scsi0"), ("size", "20G")]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    let config = client.get("/nodes/pve3/qemu/500/config").await;
    assert_eq!(config.data()["tags"], "alpha;zeta");
    assert_eq!(config.data()["cipassword"], "**********");
    assert_eq!(config.data()["scsi0"], "shared:vm-500-disk-0,size=20G");
    assert!(config.data().get("template").is_none());
    let source = client.get("/nodes/pve1/qemu/9000/config").await;
    assert_ne!(config.data()["net0"], source.data()["net0"]);
    assert_ne!(config.data()["smbios1"], source.data()["smbios1"]);

    let upid = client.post("/nodes/pve3/qemu/500/status/start", &[]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    let delete = client.send("DELETE", "/nodes/pve3/qemu/500", &[]).await;
    assert_eq!(delete.reason, "VM 500 is running - destroy failed");
    let upid = client.post("/nodes/pve3/qemu/500/status/shutdown", &[]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    let upid = client.send("DELETE", "/nodes/pve3/qemu/500?purge=1", &[]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    simulator.inspect(|cluster| {
        assert!(cluster.guest(500).is_none());
        assert_eq!(cluster.volumes("shared", "pve1").len(), before);
    });
}

#[tokio::test]
async fn a_running_guest_takes_what_it_can_and_keeps_the_rest_pending() {
    let (_simulator, client) = start(Timing::instant());
    client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "300")]).await.upid();
    client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    let put = client
        .send("PUT", "/nodes/pve1/qemu/300/config", &[("cores", "4"), ("name", "renamed"), ("delete", "cpu")])
        .await;
    assert_eq!(put.status, 200, "{}", put.text);
    let pending = client.get("/nodes/pve1/qemu/300/pending").await;
    let entry =
        |key: &str| pending.data().as_array().unwrap().iter().find(|entry| entry["key"] == key).unwrap().clone();
    assert_eq!(entry("cores"), json!({ "key": "cores", "value": 2, "pending": 4 }));
    assert_eq!(entry("cpu")["delete"], 1);
    assert_eq!(entry("name")["value"], "renamed");
    assert_eq!(client.get("/nodes/pve1/qemu/300/config").await.data()["cores"], 4);
    assert_eq!(client.get("/nodes/pve1/qemu/300/config?current=1").await.data()["cores"], 2);
    client.post("/nodes/pve1/qemu/300/status/reboot", &[]).await.upid();
    let current = client.get("/nodes/pve1/qemu/300/config?current=1").await;
    assert_eq!(current.data()["cores"], 4);
    assert!(current.data().get("cpu").is_none());
}

#[tokio::test]
async fn a_disk_taken_away_stays_unused_and_a_failed_change_leaves_no_volume() {
    let (simulator, client) = start(Timing::instant());
    let form = [("vmid", "300"), ("scsi0", "local-lvm:8"), ("sata1", "local-lvm:4")];
    client.post("/nodes/pve1/qemu", &form).await.upid();
    client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    let put = client.send("PUT", "/nodes/pve1/qemu/300/config", &[("delete", "sata1")]).await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert!(client.get("/nodes/pve1/qemu/300/config?current=1").await.data()["sata1"].is_string());
    client.post("/nodes/pve1/qemu/300/status/stop", &[]).await.upid();
    let config = client.get("/nodes/pve1/qemu/300/config").await;
    assert!(config.data().get("sata1").is_none());
    assert_eq!(config.data()["unused0"], "local-lvm:vm-300-disk-0");
    let volumes = || simulator.inspect(|cluster| cluster.volumes("local-lvm", "pve1").len());
    assert_eq!(volumes(), 2);
    let both = [("scsi2", "local-lvm:1"), ("scsi3", "local-lvm:vm-300-disk-99")];
    let put = client.send("PUT", "/nodes/pve1/qemu/300/config", &both).await;
    assert_eq!(put.reason, "volume 'local-lvm:vm-300-disk-99' does not exist");
    assert_eq!(volumes(), 2);
    client.send("PUT", "/nodes/pve1/qemu/300/config", &[("delete", "unused0")]).await.data();
    assert_eq!(volumes(), 1);
}

#[tokio::test]
async fn the_config_file_lock_makes_tasks_and_changes_wait_their_turn() {
    let (_simulator, client) = start(Timing::realistic().scaled(0.1));
    let upid = client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "300")]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    let first = client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    let second = client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    // A synchronous change waits for the start, and then finds a running guest.
    let put = client.send("PUT", "/nodes/pve1/qemu/300/config", &[("cores", "8")]).await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(client.exit(&first).await, "OK");
    assert_eq!(client.wait(&second).await, "VM 300 already running");
    assert_eq!(client.get("/nodes/pve1/qemu/300/config?current=1").await.data()["cores"], 2);
}

#[tokio::test]
async fn locks_refuse_as_recorded() {
    let (simulator, client) = start(Timing::instant());
    client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "300")]).await.upid();
    client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    assert!(simulator.set_lock(300, Some("backup")));
    for verb in ["stop", "shutdown"] {
        let upid = client.post(&format!("/nodes/pve1/qemu/300/status/{verb}"), &[]).await.upid();
        assert_eq!(client.exit(&upid).await, "VM is locked (backup)");
    }
    let clone = client.post("/nodes/pve1/qemu/300/clone", &[("newid", "301")]).await;
    assert_eq!((clone.status, clone.reason.as_str()), (500, "VM is locked (backup)"));
    assert!(simulator.power_off_from_inside(300));
    let upid = client.post("/nodes/pve1/qemu/300/status/stop", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK", "a stopped guest may be stopped whatever its lock");
    let upid = client.send("DELETE", "/nodes/pve1/qemu/300", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "VM is locked (backup)");
    assert!(simulator.guests().iter().any(|guest| guest.vmid == 300));
}

#[tokio::test]
async fn the_agent_answers_once_the_guest_has_booted() {
    let timing = Timing { guest_boot: Duration::from_millis(1000), ..Timing::instant() };
    let (simulator, client) = start(timing);
    client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "300")]).await.upid();
    let ask = "/nodes/pve1/qemu/300/agent/network-get-interfaces";
    assert_eq!(client.get(ask).await.reason, "VM 300 is not running");
    client.send("PUT", "/nodes/pve1/qemu/300/config", &[("ipconfig0", "ip=10.9.8.7/24,gw=10.9.8.1")]).await;
    client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    assert_eq!(client.get(ask).await.reason, "QEMU guest agent is not running");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(client.post("/nodes/pve1/qemu/300/agent/ping", &[]).await.data(), &json!({ "result": {} }));
    let answer = client.get(ask).await;
    let interfaces = answer.data()["result"].as_array().unwrap();
    assert_eq!(interfaces[0]["name"], "lo");
    let mac =
        simulator.inspect(|cluster| cluster.guest(300).unwrap().config.get("net0").unwrap()[7..24].to_lowercase());
    assert_eq!(interfaces[1]["hardware-address"], mac);
    assert_eq!(
        interfaces[1]["ip-addresses"][0],
        json!({ "ip-address": "10.9.8.7", "ip-address-type": "ipv4", "prefix": 24 })
    );
    client.post("/nodes/pve1/qemu/300/status/stop", &[]).await.upid();
    client.send("PUT", "/nodes/pve1/qemu/300/config", &[("delete", "agent")]).await;
    assert_eq!(client.get(ask).await.reason, "No QEMU guest agent configured");
}

#[tokio::test]
async fn a_stubborn_guest_runs_into_the_timeout_and_a_task_can_be_killed() {
    let timing = Timing { second: Duration::from_millis(100), ..Timing::instant() };
    let (simulator, client) = start(timing);
    client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "300")]).await.upid();
    client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    assert!(simulator.ignore_power_button(300, true));
    let upid = client.post("/nodes/pve1/qemu/300/status/shutdown", &[("timeout", "2")]).await.upid();
    assert_eq!(client.wait(&upid).await, "VM quit/powerdown failed - got timeout");
    let upid = client.post("/nodes/pve1/qemu/300/status/shutdown", &[("timeout", "60")]).await.upid();
    assert!(client.send("DELETE", &format!("/nodes/pve1/tasks/{upid}"), &[]).await.data().is_null());
    assert_eq!(client.exit(&upid).await, "unexpected status");
    let upid = client.post("/nodes/pve1/qemu/300/status/shutdown", &[("timeout", "60")]).await.upid();
    let stop = client.post("/nodes/pve1/qemu/300/status/stop", &[("overrule-shutdown", "1")]).await.upid();
    assert_eq!(client.exit(&stop).await, "OK");
    assert_eq!(client.exit(&upid).await, "unexpected status");
}

#[tokio::test]
async fn what_happens_behind_a_clients_back_shows_in_the_resources() {
    let (simulator, client) = start(Timing::instant());
    client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "300")]).await.upid();
    client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    assert!(simulator.move_guest(300, "pve2"));
    let resources = client.get("/cluster/resources?type=vm").await;
    let entry = resources.data().as_array().unwrap().iter().find(|entry| entry["vmid"] == 300).unwrap().clone();
    assert_eq!(
        (entry["node"].as_str(), entry["status"].as_str(), entry["template"].as_i64()),
        (Some("pve2"), Some("running"), Some(0))
    );
    assert_eq!(client.get("/nodes/pve1/qemu/300/status/current").await.status, 500);
    let changes = simulator.changes();
    assert!(simulator.power_off_from_inside(300));
    assert!(simulator.changes() > changes);
    assert_eq!(client.get("/nodes/pve2/qemu/300/status/current").await.data()["status"], "stopped");
    assert!(simulator.remove_guest(300));
    assert_eq!(client.get("/cluster/nextid?vmid=300").await.data(), "300");
    assert_eq!(client.get("/cluster/nextid?vmid=9000").await.body["errors"]["vmid"], "VM 9000 already exists");
}

#[tokio::test]
async fn the_wire_is_proxmoxs() {
    let (simulator, client) = start(Timing::instant());
    let url = |path: &str| format!("{}{path}", simulator.url());
    let request = |method: reqwest::Method, path: &str| {
        client.http.request(method, url(path)).header("Authorization", client.authorization.clone().unwrap())
    };
    let response = request(reqwest::Method::GET, "/api2/json/version").send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("server"), "pve-api-daemon/3.0");
    assert_eq!(header("content-type"), "application/json;charset=UTF-8");
    assert_eq!((header("cache-control").as_str(), header("pragma").as_str()), ("max-age=0", "no-cache"));
    let response = request(reqwest::Method::GET, "/api2/json/nodes/pve1/qemu/1000/config").send().await.unwrap();
    assert_eq!(response.headers()["connection"], "close");
    // Bodies where none belong, wrong content types, too much of it.
    let answer =
        read(request(reqwest::Method::DELETE, "/api2/json/nodes/pve1/qemu/1000").body("purge=1").send().await.unwrap())
            .await
            .unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (501, "Unexpected content for method 'DELETE'"));
    let xml =
        request(reqwest::Method::POST, "/api2/json/nodes/pve1/qemu").header("Content-Type", "text/xml").body("<a/>");
    assert_eq!(read(xml.send().await.unwrap()).await.unwrap().status, 506);
    let big = request(reqwest::Method::POST, "/api2/json/nodes/pve1/qemu").header("Content-Length", "600000");
    let big = read(big.body(vec![b'a'; 600_000]).send().await.unwrap()).await.unwrap();
    assert_eq!((big.status, big.reason.as_str()), (501, "for data too large"));
    let no_format = read(request(reqwest::Method::GET, "/api2/xml/version").send().await.unwrap()).await.unwrap();
    assert_eq!((no_format.status, no_format.reason.as_str()), (501, "no such uri"));
    // JSON bodies, query over body, conflicts with the path, the cache buster.
    let json = request(reqwest::Method::POST, "/api2/json/nodes/pve1/qemu/9000/clone?name=from-query&_dc=1");
    let json = json.json(&json!({ "newid": 700, "name": "from-body", "full": true })).send().await.unwrap();
    read(json).await.unwrap().upid();
    assert_eq!(simulator.inspect(|cluster| cluster.guest(700).unwrap().name()), "from-query");
    let conflict = client.get("/nodes/pve1/qemu/700/config?vmid=701").await;
    assert_eq!(
        conflict.body["errors"]["vmid"],
        "duplicate parameter (already defined in URI) with conflicting values!"
    );
    // A raw semicolon cuts a value off.
    let cut = request(reqwest::Method::PUT, "/api2/json/nodes/pve1/qemu/700/config")
        .header("Content-Type", "application/x-www-form-urlencoded");
    let cut = read(cut.body("tags=a;b").send().await.unwrap()).await.unwrap();
    assert_eq!(
        cut.body["errors"]["b"],
        "property is not defined in schema and the schema does not allow additional properties"
    );
    let extjs = client.get("/api2/extjs/nodes/pve1/qemu/9999/config").await;
    assert_eq!(
        (extjs.status, extjs.body["success"].as_i64(), extjs.body["status"].as_i64()),
        (200, Some(0), Some(500))
    );
}

#[tokio::test]
async fn parameters_are_judged_by_the_schema() {
    let (_simulator, client) = start(Timing::instant());
    let long = "x".repeat(8193);
    let answer = client
        .send(
            "PUT",
            "/nodes/pve1/qemu/9000/config",
            &[
                ("description", &long),
                ("cores", "0"),
                ("onboot", "true"),
                ("net0", "model=virtio,nonsense=1"),
                ("scsi1", "local-lvm:8,iothread=maybe"),
                ("ipconfig0", "gw=10.0.0.1"),
                ("vmgenid", "2"),
                ("cpulimit", "129"),
                ("bios", "none"),
                ("unknown", "1"),
            ],
        )
        .await;
    assert_eq!((answer.status, answer.reason.as_str()), (400, "Parameter verification failed."));
    assert_eq!(
        answer.body["errors"],
        json!({
            "description": "value may only be 8192 characters long",
            "cores": "value must have a minimum value of 1",
            "onboot": "type check ('boolean') failed - got 'true'",
            "net0": "invalid format - invalid key in comma-separated list property: nonsense\n",
            "scsi1": "invalid format - format error\nscsi1.iothread: type check ('boolean') failed - got 'maybe'\n",
            "ipconfig0": "invalid format - format error\nip: missing property required by 'gw'\n",
            "vmgenid": "value does not match the regex pattern",
            "cpulimit": "value must have a maximum value of 128",
            "bios": "value 'none' does not have a value in the enumeration 'seabios, ovmf'",
            "unknown": "property is not defined in schema and the schema does not allow additional properties",
        })
    );
    assert_eq!(client.send("PUT", "/nodes/pve1/qemu/9000/config", &[]).await.reason, "no options specified");
}
