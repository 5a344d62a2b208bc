use proxmox_simulator::Timing;
use serde_json::json;

use super::{get, log, make, run, start};

const VM: &str = "/nodes/pve1/qemu/200";

#[tokio::test]
async fn a_guest_moves_with_its_local_disks_and_lives_under_the_other_node() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    let before = get(&client, &format!("{VM}/migrate?target=pve2")).await;
    assert_eq!(before["allowed_nodes"], json!(["pve2", "pve3"]));
    assert_eq!(before["local_disks"].as_array().unwrap().len(), 2);
    let migrate = format!("{VM}/migrate");
    let refused = client.post(&migrate, &[("target", "pve1")]).await;
    assert_eq!(refused.body["errors"]["target"], "target is local node.");
    assert_eq!(client.post(&migrate, &[("target", "ghost")]).await.reason, "no such cluster node 'ghost'");
    let root = client.post(&migrate, &[("target", "pve2"), ("force", "1")]).await;
    assert_eq!(root.body["errors"]["force"], "Only root may use this option.");

    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    assert_eq!(client.post(&migrate, &[("target", "pve2")]).await.reason, "can't migrate running VM without --online");
    let upid = client.post(&migrate, &[("target", "pve2"), ("online", "1")]).await.upid();
    assert_eq!(client.exit(&upid).await, "migration aborted");
    let lines = log(&client, &upid).await;
    let reason = "can't migrate local disk 'local-lvm:vm-200-disk-0': can't live migrate attached local disks without with-local-disks option";
    assert!(lines.iter().any(|line| line.ends_with(reason)), "{lines:?}");
    assert_eq!(get(&client, &format!("{VM}/config")).await.get("lock"), None);

    let process = || simulator.inspect(|cluster| cluster.guest(200).unwrap().process.clone().unwrap());
    let before = process();
    simulator.freeze_task("qmigrate");
    let form = [("target", "pve2"), ("online", "1"), ("with-local-disks", "1"), ("targetstorage", "thick")];
    let upid = client.post(&migrate, &form).await.upid();
    assert_eq!(get(&client, &format!("{VM}/config")).await["lock"], "migrate");
    simulator.thaw_task("qmigrate");
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(
        client.get(&format!("{VM}/config")).await.reason,
        "Configuration file 'nodes/pve1/qemu-server/200.conf' does not exist"
    );
    let config = get(&client, "/nodes/pve2/qemu/200/config").await;
    assert_eq!(config["scsi0"], "thick:vm-200-disk-0,size=4G");
    let after = process();
    assert!(after.pid != before.pid && after.started > before.started, "the counters begin again");
    assert_eq!(after.booted, before.booted, "the guest did not notice");
    let volumes = |storage: &'static str, node: &'static str| {
        simulator
            .inspect(|cluster| cluster.volumes(storage, node).iter().filter(|volume| volume.vmid == Some(200)).count())
    };
    assert_eq!((volumes("local-lvm", "pve1"), volumes("thick", "pve2")), (0, 2));
    let resources = get(&client, "/cluster/resources?type=vm").await;
    let own = resources.as_array().unwrap().iter().find(|entry| entry["vmid"] == 200).unwrap().clone();
    assert_eq!((&own["node"], &own["status"], &own["netin"]), (&json!("pve2"), &json!("running"), &json!(0)));
    // A stopped guest goes without being asked twice.
    assert_eq!(run(&client, "POST", "/nodes/pve2/qemu/200/status/stop", &[]).await, "OK");
    assert_eq!(run(&client, "POST", "/nodes/pve2/qemu/200/migrate", &[("target", "pve3")]).await, "OK");
    assert_eq!((volumes("thick", "pve2"), volumes("thick", "pve3")), (0, 2));
}

#[tokio::test]
async fn a_local_disc_image_and_snapshots_on_thin_volumes_hold_a_guest() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    let migrate = format!("{VM}/migrate");
    let disc = "local:iso/debian-12.11.0-amd64-netinst.iso,media=cdrom";
    client.send("PUT", &format!("{VM}/config"), &[("sata0", disc)]).await.data();
    let reason = |log: Vec<String>, end: &str| log.iter().any(|line| line.ends_with(end));
    let upid = client.post(&migrate, &[("target", "pve2")]).await.upid();
    assert_eq!(client.exit(&upid).await, "migration aborted");
    assert!(reason(log(&client, &upid).await, "netinst.iso': local cdrom image"));
    client.send("PUT", &format!("{VM}/config"), &[("delete", "sata0")]).await.data();
    assert_eq!(run(&client, "POST", &format!("{VM}/snapshot"), &[("snapname", "s1")]).await, "OK");
    let upid = client.post(&migrate, &[("target", "pve2")]).await.upid();
    assert_eq!(client.exit(&upid).await, "migration aborted");
    assert!(reason(log(&client, &upid).await, "non-migratable snapshot exists"));
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    let form = [("target", "pve2"), ("online", "1"), ("with-local-disks", "1")];
    let upid = client.post(&migrate, &form).await.upid();
    assert!(reason(log(&client, &upid).await, "online storage migration not possible if snapshot exists"));
    assert_eq!(simulator.inspect(|cluster| cluster.guest(200).unwrap().node.clone()), "pve1");
}

#[tokio::test]
async fn a_migration_that_fails_or_dies_leaves_the_guest_where_it_was() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "shared:4").await;
    simulator.freeze_task("qmigrate");
    let place = || {
        simulator.inspect(|cluster| {
            let guest = cluster.guest(200).unwrap();
            (guest.node.clone(), guest.lock().map(str::to_owned))
        })
    };
    let first = client.post(&format!("{VM}/migrate"), &[("target", "pve2")]).await.upid();
    simulator.fail_task(&first, "migration aborted");
    assert_eq!(client.exit(&first).await, "migration aborted");
    assert_eq!(place(), ("pve1".to_owned(), None));
    client.post(&format!("{VM}/migrate"), &[("target", "pve2")]).await.upid();
    assert_eq!(simulator.kill_task("qmigrate"), 1);
    assert_eq!(place(), ("pve1".to_owned(), Some("migrate".to_owned())));
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "VM is locked (migrate)");
}
