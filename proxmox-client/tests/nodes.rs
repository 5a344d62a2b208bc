//! Nodes, roles and what else is read about a cluster besides its guests.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{AddressSetEntry, Consolidation, Timeframe};
use support::replay::form;
use support::{Reply, Server};

#[tokio::test]
async fn a_node_is_seen_from_near_and_over_time() {
    let near = r#"{"pveversion":"pve-manager/9.2.11/0","cpu":0.25,"uptime":77,"loadavg":["0.10","0.20","0.30"],
        "memory":{"total":1000,"used":400,"free":600,"available":500},"rootfs":{"total":"9","used":3,"free":6,"avail":6},"ksm":{}}"#;
    let samples = r#"[{"time":1795208760,"cpu":0.1,"iowait":0.01,"memused":4e2,"memtotal":1000,"netin":5.5},{"time":1795208820}]"#;
    let server = Server::start([Reply::data(near), Reply::data(samples)]).await;
    let client = server.client();
    let node = client.node_details("pve").await.unwrap();
    assert_eq!((node.uptime, node.cpu, node.loadavg[2].as_str()), (Some(77), Some(0.25), "0.30"));
    assert_eq!((node.memory.used, node.rootfs.total), (Some(400), Some(9)));
    let samples = client.node_history("pve", &Timeframe::Hour, &Consolidation::Average).await.unwrap();
    assert_eq!((samples[0].memused, samples[1].cpu), (Some(400.0), None));
    let seen = server.seen();
    assert_eq!(seen[0].target, "/api2/json/nodes/pve/status");
    assert_eq!(seen[1].target, "/api2/json/nodes/pve/rrddata?timeframe=hour&cf=AVERAGE");
}

#[tokio::test]
async fn who_has_which_role_where_is_read() {
    let acl = r#"[{"path":"/pool/p","type":"token","ugid":"panel@pve!app","roleid":"Panel","propagate":1}]"#;
    let roles = r#"[{"roleid":"Panel","privs":"VM.Audit,VM.PowerMgmt","special":0},{"roleid":"NoAccess","special":1}]"#;
    let server = Server::start([Reply::data(acl), Reply::data(roles)]).await;
    let client = server.client();
    let entry = client.acl().await.unwrap().remove(0);
    assert_eq!(
        (entry.path.as_str(), entry.kind.as_str(), entry.holder.as_str()),
        ("/pool/p", "token", "panel@pve!app")
    );
    assert!(entry.propagate && entry.role == "Panel");
    let roles = client.roles().await.unwrap();
    assert_eq!(roles[0].privileges.as_deref(), Some("VM.Audit,VM.PowerMgmt"));
    assert!(!roles[0].special && roles[1].special);
}

#[tokio::test]
async fn snapshots_and_backups_are_looked_into() {
    let config = "boot: order=scsi0\nmemory: 512\n";
    let replies = [Reply::data(r#"{"hasFeature":1,"nodes":["pve"]}"#), Reply::data(r#"{"hasFeature":""}"#)];
    let server = Server::start(replies.into_iter().chain([Reply::data(&format!("{config:?}"))])).await;
    let client = server.client();
    assert!(client.can_snapshot("pve", 101).await.unwrap());
    assert!(!client.can_snapshot("pve", 101).await.unwrap());
    let volume = "local:backup/vzdump-qemu-101-2026_11_21-03_50_32.vma.zst";
    assert_eq!(client.backup_config("pve", volume).await.unwrap(), config);
    let seen = server.seen();
    assert_eq!(seen[0].target, "/api2/json/nodes/pve/qemu/101/feature?feature=snapshot");
    assert_eq!(form(seen[2].query())["volume"], volume);
}

#[tokio::test]
async fn an_entry_of_a_set_is_changed() {
    let server = Server::start([Reply::data("null")]).await;
    let entry = AddressSetEntry {
        cidr: String::from("10.0.0.0/24"),
        nomatch: true,
        comment: Some(String::from("a b")),
        digest: None,
    };
    server.client().set_address("pve", 101, "ipfilter-net0", &entry).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.target, "/api2/json/nodes/pve/qemu/101/firewall/ipset/ipfilter-net0/10.0.0.0/24");
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("PUT", "nomatch=1&comment=a%20b"));
}

#[tokio::test]
async fn file_systems_are_frozen_thawed_and_trimmed() {
    let replies = [r#"{"result":2}"#, r#"{"result":"frozen"}"#, r#"{"result":"2"}"#, r#"{"result":{"paths":[]}}"#];
    let server = Server::start(replies.map(Reply::data)).await;
    let client = server.client();
    assert_eq!(client.agent_freeze("pve", 101).await, Ok(2));
    assert_eq!(client.agent_is_frozen("pve", 101).await, Ok(true));
    assert_eq!(client.agent_thaw("pve", 101).await, Ok(2));
    client.agent_trim("pve", 101).await.unwrap();
    let asked: Vec<String> =
        server.seen().iter().map(|seen| seen.target.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(asked, ["fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim"]);
}
