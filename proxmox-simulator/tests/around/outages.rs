//! Dead nodes, high availability, and faults on demand.

use std::time::Duration;

use proxmox_simulator::{Fault, FaultKind, Options, Release, Timing};
use serde_json::{Value, json};

use crate::client::Client;
use crate::{machine, refused, start};

fn slow_manager() -> Options {
    let timing =
        Timing { ha_reaction: Duration::from_secs(10), ha_failover: Duration::from_secs(120), ..Timing::instant() };
    Options { nodes: 3, timing, ..Options::default() }
}

async fn resource(client: &Client, id: &str) -> Value {
    let resources = client.get("/cluster/resources").await;
    resources.data().as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone()
}

#[tokio::test]
async fn a_managed_guest_starts_and_stops_a_while_after_it_was_asked_to() {
    let (simulator, client) = start(slow_manager());
    machine(&client).await;
    client.post("/cluster/ha/resources", &[("sid", "vm:100"), ("state", "stopped")]).await.data();
    let again = client.post("/cluster/ha/resources", &[("sid", "100")]).await;
    refused(&again, 500, "create resource failed: resource ID 'vm:100' already defined");
    let status = || async { client.get("/nodes/pve1/qemu/100/status/current").await.data()["status"].clone() };
    let upid = client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
    assert!(upid.contains(":hastart:100:"), "{upid}");
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(status().await, "stopped", "asked is not done");
    assert_eq!(resource(&client, "qemu/100").await["hastate"], "starting");
    simulator.advance(Duration::from_secs(10));
    assert_eq!(status().await, "running");
    assert_eq!(resource(&client, "qemu/100").await["hastate"], "started");
    assert!(simulator.power_off_from_inside(100));
    simulator.advance(Duration::from_secs(11));
    assert_eq!(status().await, "running", "the manager wants it to run");
    let delete = client.send("DELETE", "/nodes/pve1/qemu/100", &[]).await;
    refused(&delete, 500, "VM 100 is running - destroy failed");
    let upid = client.post("/nodes/pve1/qemu/100/status/stop", &[]).await.upid();
    assert!(upid.contains(":hastop:100:"), "{upid}");
    simulator.advance(Duration::from_secs(11));
    assert_eq!(status().await, "stopped");
    let delete = client.send("DELETE", "/nodes/pve1/qemu/100", &[]).await;
    refused(&delete, 500, "unable to remove VM 100 - used in HA resources and purge parameter not set.");
    client.post("/cluster/ha/resources/vm:100/migrate", &[("node", "pve2")]).await.data();
    simulator.advance(Duration::from_secs(11));
    assert_eq!(resource(&client, "qemu/100").await["node"], "pve2");
    let upid = client.post("/nodes/pve2/qemu/100/migrate", &[("target", "pve3")]).await.upid();
    assert!(upid.contains(":hamigrate:100:"), "{upid}");
    assert_eq!(resource(&client, "qemu/100").await["node"], "pve2");
    simulator.advance(Duration::from_secs(11));
    let upid = client.send("DELETE", "/nodes/pve3/qemu/100?purge=1", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(client.get("/cluster/ha/resources").await.data(), &json!([]));
}

#[tokio::test]
async fn a_dead_node_loses_its_managed_guests_to_the_others_and_keeps_the_rest() {
    let (simulator, client) = start(slow_manager());
    for vmid in ["100", "101"] {
        let form = [("newid", vmid), ("target", "pve2")];
        let upid = client.post("/nodes/pve1/qemu/9000/clone", &form).await.upid();
        assert_eq!(client.exit(&upid).await, "OK");
        client.post(&format!("/nodes/pve2/qemu/{vmid}/status/start"), &[]).await.upid();
    }
    client.post("/cluster/ha/resources", &[("sid", "vm:100")]).await.data();
    assert!(simulator.kill_node("pve2"));
    let gone = client.get("/nodes/pve2/qemu/101/status/current").await;
    refused(&gone, 595, "No route to host");
    assert_eq!(gone.text, "");
    assert_eq!(resource(&client, "node/pve2").await["status"], "offline");
    let unknown = resource(&client, "qemu/101").await;
    assert_eq!((&unknown["status"], &unknown["name"]), (&json!("unknown"), &Value::Null));
    assert_eq!(resource(&client, "qemu/100").await["hastate"], "fence");
    simulator.advance(Duration::from_secs(131));
    let moved = resource(&client, "qemu/100").await;
    assert_ne!(moved["node"], "pve2");
    assert_eq!(moved["status"], "running");
    assert_eq!(resource(&client, "qemu/101").await["node"], "pve2");
    assert_eq!(client.get("/cluster/status").await.data()[0]["quorate"], 1);
    assert!(simulator.revive_node("pve2"));
    assert_eq!(resource(&client, "qemu/101").await["status"], "stopped");
}

#[tokio::test]
async fn groups_became_rules() {
    let (_simulator, client) = start(Options { release: Release::V8_4, ..Options::default() });
    client.post("/cluster/ha/groups", &[("group", "g1"), ("nodes", "pve1")]).await.data();
    assert_eq!(client.get("/cluster/ha/groups/g1").await.data()["nodes"], "pve1");
    assert_eq!(client.get("/cluster/ha/rules").await.status, 501);
    let (_simulator, client) = start(Options::default());
    let text = "cannot create group: ha groups have been migrated to rules";
    refused(&client.post("/cluster/ha/groups", &[("group", "g1"), ("nodes", "pve1")]).await, 500, text);
    let rule = [("rule", "r1"), ("type", "node-affinity"), ("nodes", "pve1"), ("resources", "vm:100")];
    client.post("/cluster/ha/rules", &rule).await.data();
    assert_eq!(client.get("/cluster/ha/rules?resource=vm:100").await.data()[0]["rule"], "r1");
    client.send("DELETE", "/cluster/ha/rules/r1", &[]).await.data();
    assert_eq!(client.get("/cluster/ha/rules").await.data(), &json!([]));
}

#[tokio::test]
async fn answers_can_be_cut_or_lie() {
    let (simulator, client) = start(Options::default());
    let faults = simulator.faults();
    let next = |kind: FaultKind| faults.inject(Fault::once("GET", "/version", kind));
    next(FaultKind::TruncatedJson);
    let half = client.get("/version").await;
    assert!(half.status == 200 && half.text.starts_with("{\"data\"") && half.body.is_null(), "{}", half.text);
    next(FaultKind::WrongContentLength);
    assert!(client.try_send("GET", "/version", &[]).await.is_err(), "the answer ends too early");
    for (kind, status) in [(FaultKind::Proxy596, 596), (FaultKind::Proxy599, 599)] {
        next(kind);
        assert_eq!(client.get("/version").await.status, status);
    }
    assert_eq!(client.get("/version").await.status, 200);
}

#[tokio::test]
async fn everything_can_be_done_over_http_too() {
    let (simulator, client) = start(Options { nodes: 2, admin_token: Some("admin".to_owned()), ..Options::default() });
    machine(&client).await;
    client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
    let admin = |path: &str, body: Value| {
        let request = client.http.post(format!("{}/simulator/{path}", client.url)).bearer_auth("admin");
        async move { request.body(body.to_string()).send().await.unwrap().status().as_u16() }
    };
    let current = || client.get("/nodes/pve1/qemu/100/status/current");
    assert_eq!(admin("power-off-vm", json!({ "vmid": 100 })).await, 200);
    assert_eq!(current().await.data()["status"], "stopped");
    assert_eq!(admin("set-lock", json!({ "vmid": 100, "lock": "backup" })).await, 200);
    assert_eq!(current().await.data()["lock"], "backup");
    assert_eq!(admin("set-lock", json!({ "vmid": 100, "lock": null })).await, 200);
    assert_eq!(admin("set-agent", json!({ "vmid": 100, "agent": { "ready_after": 5 } })).await, 200);
    assert_eq!(admin("move-vm", json!({ "vmid": 100, "node": "pve2" })).await, 200);
    assert_eq!(current().await.status, 500);
    assert_eq!(admin("kill-node", json!({ "node": "pve2" })).await, 200);
    assert_eq!(client.get("/nodes/pve2/qemu").await.status, 595);
    assert_eq!(admin("revive-node", json!({ "node": "pve2" })).await, 200);
    assert_eq!(admin("expire-tokens", json!({ "expired": true })).await, 200);
    refused(&client.get("/version").await, 401, "Authentication failed!");
    assert_eq!(admin("expire-tokens", json!({ "expired": false })).await, 200);
    assert_eq!(client.get("/version").await.status, 200);
    let before = simulator.now_seconds();
    assert_eq!(admin("advance", json!({ "seconds": 500 })).await, 200);
    assert!(simulator.now_seconds() >= before + 500);
    let status = async |upid: String| client.get(&format!("/nodes/pve2/tasks/{upid}/status")).await.body;
    for (ending, body, exit) in [
        ("thaw-task", json!({ "task": "qmstart" }), "OK"),
        ("fail-task", json!({ "task": "qmstart", "text": "no space" }), "no space"),
        ("kill-task", json!({ "task": "qmstart" }), "unexpected status"),
    ] {
        assert_eq!(admin("freeze-task", json!({ "task": "qmstart" })).await, 200);
        let upid = client.post("/nodes/pve2/qemu/100/status/start", &[]).await.upid();
        assert_eq!(status(upid.clone()).await["data"]["status"], "running", "it is frozen");
        assert_eq!(admin(ending, body).await, 200);
        assert_eq!(status(upid).await["data"]["exitstatus"], exit);
        admin("thaw-task", json!({ "task": "qmstart" })).await;
        client.post("/nodes/pve2/qemu/100/status/stop", &[]).await.upid();
    }
    assert_eq!(admin("kill-task", json!({ "task": "qmstart" })).await, 404, "none runs");
    assert_eq!(admin("delete-vm", json!({ "vmid": 100 })).await, 200);
    assert_eq!(admin("delete-vm", json!({ "vmid": 100 })).await, 404);
    assert_eq!(admin("frobnicate", json!({})).await, 400);
    assert_eq!(admin("faults", json!({ "path": "/x", "kind": { "delay": 50 } })).await, 200);
    let listed = client.with(Some("Bearer admin")).get("/simulator/faults").await;
    assert_eq!(listed.data(), &json!([{ "method": null, "path": "/x", "times": 1, "kind": { "delay": 50 } }]));
    assert_eq!(client.get("/simulator/faults").await.status, 401);
}
