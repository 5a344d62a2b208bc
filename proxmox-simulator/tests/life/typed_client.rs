use std::time::Duration;

use proxmox_client::{
    ApiToken, BackUp, Client, CloneVm, ConfigChange, CreateSnapshot, Fingerprint, MigrateVm, MoveDisk, RestoreVm,
    Settings, TaskEnd, TaskWait, Trust, Upid,
};
use proxmox_simulator::{Simulator, Timing};

use super::options;

async fn ends(client: &Client, upid: Upid) -> TaskEnd {
    let wait = TaskWait { first_pause: Duration::from_millis(1), ..TaskWait::new(Duration::from_secs(20)) };
    client.wait_for_task(&upid, &wait).await.unwrap()
}

#[tokio::test]
async fn the_typed_client_walks_through_a_life() {
    let simulator = Simulator::start(options(Timing::instant())).unwrap();
    let trust = Trust::Fingerprint(simulator.fingerprint().parse::<Fingerprint>().unwrap());
    let token = ApiToken::parse(simulator.token()).unwrap();
    let client = Client::new(Settings::new(simulator.url(), token, trust)).unwrap();
    let ok = |end: TaskEnd| assert!(matches!(end, TaskEnd::Ok), "{end:?}");

    ok(ends(&client, client.clone_vm("pve1", 9000, &CloneVm::new(200).name("walk").full(true)).await.unwrap()).await);
    ok(ends(&client, client.start("pve1", 200).await.unwrap()).await);
    let snapshot = CreateSnapshot::new("before").description("a plan").with_memory(true);
    ok(ends(&client, client.create_snapshot("pve1", 200, &snapshot).await.unwrap()).await);
    let snapshots = client.snapshots("pve1", 200).await.unwrap();
    assert_eq!((snapshots.all.len(), snapshots.parent.as_deref()), (1, Some("before")));
    assert!(snapshots.all[0].vmstate);
    client.describe_snapshot("pve1", 200, "before", "another").await.unwrap();
    assert_eq!(client.snapshot_config("pve1", 200, "before").await.unwrap()["description"], "another");
    ok(ends(&client, client.rollback_snapshot("pve1", 200, "before", false).await.unwrap()).await);
    ok(ends(&client, client.delete_snapshot("pve1", 200, "before", false).await.unwrap()).await);

    let backup = BackUp::new(200, "vault").notes("{{guestname}}").protected(true);
    let upid = client.back_up("pve1", &backup).await.unwrap().expect("it is there");
    ok(ends(&client, upid).await);
    assert!(client.back_up("pve2", &backup).await.unwrap().is_none(), "it is elsewhere");
    let volumes = simulator.inspect(|cluster| cluster.volumes("vault", "pve1"));
    let archive = volumes[0].volid();
    client.mark_backup("pve1", &archive, Some("kept"), Some(false)).await.unwrap();
    assert_eq!(client.preview_prune("pve1", "vault", "keep-last=1", Some(200)).await.unwrap().len(), 1);
    let restore = RestoreVm::new(201, &archive).unique(true).options(ConfigChange::new().name("restored"));
    ok(ends(&client, client.restore_vm("pve1", &restore).await.unwrap()).await);
    let over = RestoreVm::new(201, &archive).overwrite(true);
    ok(ends(&client, client.restore_vm("pve1", &over).await.unwrap()).await);

    ok(ends(
        &client,
        client.move_disk("pve1", 200, &MoveDisk::new("scsi0", "local-lvm").delete_source(true)).await.unwrap(),
    )
    .await);
    let check = client.check_migration("pve1", 200, Some("pve2")).await.unwrap();
    assert!(check.running && !check.local_disks.is_empty());
    let refused = client.migrate_vm("pve1", 200, &MigrateVm::new("pve2")).await.unwrap_err();
    assert!(refused.to_string().contains("can't migrate running VM without --online"), "{refused}");
    let migrate = MigrateVm::new("pve2").online(true).with_local_disks(true);
    ok(ends(&client, client.migrate_vm("pve1", 200, &migrate).await.unwrap()).await);
    ok(ends(&client, client.suspend_to_disk("pve2", 200, None).await.unwrap()).await);
    ok(ends(&client, client.resume("pve2", 200).await.unwrap()).await);
    ok(ends(&client, client.stop("pve2", 200).await.unwrap()).await);
    client.unlink_disks("pve2", 200, &["scsi0"], false).await.unwrap();
    ok(ends(&client, client.delete_vm("pve2", 200, true, true).await.unwrap()).await);
    assert!(client.vmid_is_free(200).await.unwrap());
    assert!(client.delete_volume("pve1", &archive, Some(5)).await.unwrap().is_none());
    let left = simulator.inspect(|cluster| {
        ["local-lvm", "shared", "vault"]
            .iter()
            .flat_map(|storage| cluster.volumes(storage, "pve2"))
            .filter(|volume| volume.vmid == Some(200))
            .count()
    });
    assert_eq!(left, 0);
}
