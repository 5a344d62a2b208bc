//! Snapshots: what is sent, and what of the answers the caller gets to see.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::CreateSnapshot;
use support::{Reply, Seen, Server};

const TASK: &str = r#""UPID:pve:000005E6:000610B1:6B00B674:qmsnapshot:101:panel@pve!app:""#;

fn sent(seen: &Seen) -> (&str, &str, &str) {
    (&seen.method, seen.target.strip_prefix("/api2/json/nodes/pve/qemu/101/snapshot").unwrap(), &seen.body)
}

#[tokio::test]
async fn the_present_state_is_no_snapshot() {
    let answer = r#"[{"name":"s2","parent":"s1","vmstate":"1","snaptime":"1795208840","description":""},
        {"name":"s1","vmstate":0,"snaptime":1795208836,"snapstate":"delete"},
        {"name":"current","parent":"s2","running":1,"digest":"ab","description":"You are here!"}]"#;
    let server = Server::start([Reply::data(answer), Reply::data("[]")]).await;
    let client = server.client();
    let found = client.snapshots("pve", 101).await.unwrap();
    let names: Vec<&str> = found.all.iter().map(|snapshot| snapshot.name.as_str()).collect();
    assert_eq!((names, found.parent.as_deref()), (vec!["s2", "s1"], Some("s2")));
    assert_eq!((found.all[0].vmstate, found.all[0].snaptime), (true, Some(1_795_208_840)));
    assert_eq!(found.all[1].snapstate.as_deref(), Some("delete"));
    assert_eq!(client.snapshots("pve", 101).await.unwrap().all, []);
}

#[tokio::test]
async fn every_change_has_its_words() {
    let tasks = (0..6).map(|_| Reply::data(TASK));
    let server = Server::start(tasks.chain([Reply::data("null")])).await;
    let client = server.client();
    client.create_snapshot("pve", 101, &CreateSnapshot::new("s1")).await.unwrap();
    let create = CreateSnapshot::new("s2").description("a;b").with_memory(true);
    client.create_snapshot("pve", 101, &create).await.unwrap();
    client.rollback_snapshot("pve", 101, "s1", false).await.unwrap();
    client.rollback_snapshot("pve", 101, "s1", true).await.unwrap();
    client.delete_snapshot("pve", 101, "s1", false).await.unwrap();
    client.delete_snapshot("pve", 101, "s1", true).await.unwrap();
    client.describe_snapshot("pve", 101, "s1", "before the upgrade").await.unwrap();
    assert!(client.delete_snapshot("pve", 101, "../..", true).await.is_err());
    assert!(client.delete_snapshot("pve", 101, "", true).await.is_err());
    let seen = server.seen();
    assert_eq!(seen.len(), 7);
    assert_eq!(sent(&seen[0]), ("POST", "", "snapname=s1"));
    assert_eq!(sent(&seen[1]), ("POST", "", "snapname=s2&description=a%3Bb&vmstate=1"));
    assert_eq!(sent(&seen[2]), ("POST", "/s1/rollback", ""));
    assert_eq!(sent(&seen[3]), ("POST", "/s1/rollback", "start=1"));
    assert_eq!(sent(&seen[4]), ("DELETE", "/s1", ""));
    assert_eq!(sent(&seen[5]), ("DELETE", "/s1?force=1", ""));
    assert_eq!(sent(&seen[6]), ("PUT", "/s1/config", "description=before%20the%20upgrade"));
}

#[tokio::test]
async fn a_snapshots_configuration_does_not_show_the_password() {
    let answer = r#"{"cores":1,"cipassword":"$5$salt$hash","name":"c1"}"#;
    let server = Server::start([Reply::data(answer)]).await;
    let config = server.client().snapshot_config("pve", 101, "s1").await.unwrap();
    assert_eq!(config["cores"], "1");
    assert!(!format!("{config:?}").contains("hash"));
}
