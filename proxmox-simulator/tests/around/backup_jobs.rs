//! Backup jobs: kept, changed, and what they cover.

use proxmox_simulator::{Options, Release};
use serde_json::{Value, json};

use crate::{machine, refused, start};

const JOBS: &str = "/cluster/backup";

#[tokio::test]
async fn a_job_is_kept_shown_changed_and_removed() {
    for release in [Release::V8_4, Release::V9_2] {
        let (_simulator, client) = start(Options { nodes: 2, release, ..Options::default() });
        machine(&client).await;
        let form = [
            ("id", "nightly"),
            ("schedule", "21:00"),
            ("storage", "local"),
            ("vmid", "100"),
            ("mode", "snapshot"),
            ("prune-backups", "keep-last=3"),
        ];
        client.post(JOBS, &form).await.data();
        let shown = json!({
            "id": "nightly", "type": "vzdump", "enabled": 1, "schedule": "21:00", "storage": "local", "vmid": "100",
            "mode": "snapshot", "prune-backups": { "keep-last": "3" },
        });
        let mut listed = client.get(JOBS).await.data().clone();
        let next = listed[0].as_object_mut().unwrap().remove("next-run").unwrap().as_u64().unwrap();
        assert_eq!(next % 86_400, 21 * 3_600, "at nine in the evening");
        assert_eq!(listed, json!([shown]));
        refused(&client.post(JOBS, &form).await, 500, "Job 'nightly' already exists");
        let uncovered = client.get("/cluster/backup-info/not-backed-up").await;
        assert!(uncovered.data().as_array().unwrap().iter().all(|guest| guest["vmid"] != 100));
        let volumes = client.get(&format!("{JOBS}/nightly/included_volumes")).await;
        let guest = &volumes.data()["children"][0];
        assert_eq!((&guest["id"], &guest["children"][0]["id"]), (&json!(100), &json!("scsi0")));

        let change = [("all", "1"), ("exclude", "9000"), ("enabled", "0"), ("delete", "mode")];
        client.send("PUT", &format!("{JOBS}/nightly"), &change).await.data();
        let job = client.get(&format!("{JOBS}/nightly")).await;
        let job = job.data();
        assert_eq!((&job["all"], &job["enabled"]), (&json!(1), &json!(0)));
        assert_eq!((&job["vmid"], &job["mode"]), (&Value::Null, &Value::Null), "one selection takes the other's place");
        let volumes = client.get(&format!("{JOBS}/nightly/included_volumes")).await;
        let covered = volumes.data()["children"].as_array().unwrap().iter().map(|guest| guest["id"].as_u64().unwrap());
        assert_eq!(covered.collect::<Vec<_>>(), [100, 9001, 9002]);

        client.send("DELETE", &format!("{JOBS}/nightly"), &[]).await.data();
        let gone = client.get(&format!("{JOBS}/nightly")).await;
        assert_eq!((gone.status, &gone.body["errors"]["id"]), (400, &json!("No such job 'nightly'")));
    }
}

#[tokio::test]
async fn a_job_gets_an_id_and_loses_a_guest_that_is_purged() {
    let (_simulator, client) = start(Options::default());
    machine(&client).await;
    let upid = client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "101")]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    client.post(JOBS, &[("starttime", "02:30"), ("dow", "sat"), ("vmid", "100,101")]).await.data();
    let id = client.get(JOBS).await.data()[0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("backup-") && id.len() == 20, "{id}");
    assert_eq!(client.get(JOBS).await.data()[0]["schedule"], "sat 02:30");
    for (path, left) in [("100", json!("100,101")), ("101?purge=1", json!("100"))] {
        client.send("DELETE", &format!("/nodes/pve1/qemu/{path}"), &[]).await.upid();
        assert_eq!(client.get(JOBS).await.data()[0]["vmid"], left, "only purge cleans up");
    }
    let both = client.post(JOBS, &[("schedule", "daily"), ("all", "1"), ("vmid", "100")]).await;
    assert_eq!((both.status, &both.body["errors"]["all"]), (400, &json!("option conflicts with option 'vmid'")));
    assert_eq!(client.post(JOBS, &[("schedule", "daily")]).await.status, 400);
    assert_eq!(client.post(JOBS, &[("schedule", "sometimes"), ("all", "1")]).await.status, 400);
    refused(&client.post(JOBS, &[("all", "1")]).await, 500, "missing value for required option 'schedule'");
    let scripted = client.post(JOBS, &[("schedule", "daily"), ("all", "1"), ("script", "/bin/true")]).await;
    assert_eq!(scripted.body["errors"]["script"], "Only root may set this option.");
}
