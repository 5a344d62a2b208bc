use proxmox_simulator::Timing;
use serde_json::json;

use super::{get, make, run, start};

const VM: &str = "/nodes/pve1/qemu/200";

#[tokio::test]
async fn a_disk_moves_and_its_source_stays_unless_it_is_to_go() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    let move_disk = format!("{VM}/move_disk");
    assert_eq!(
        client.post(&move_disk, &[("disk", "scsi0"), ("storage", "local-lvm")]).await.reason,
        "you can't move to the same storage with same format"
    );
    assert_eq!(
        client.post(&move_disk, &[("disk", "scsi7"), ("storage", "shared")]).await.reason,
        "disk 'scsi7' does not exist"
    );
    assert_eq!(client.post(&move_disk, &[("disk", "scsi0")]).await.status, 400);
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    let upid = client.post(&move_disk, &[("disk", "scsi0"), ("storage", "files"), ("format", "qcow2")]).await.upid();
    assert!(upid.contains(":qmmove:200:"));
    assert_eq!(client.exit(&upid).await, "OK");
    let config = get(&client, &format!("{VM}/config")).await;
    assert_eq!(config["scsi0"], "files:200/vm-200-disk-0.qcow2,size=4G");
    assert_eq!(config["unused0"], "local-lvm:vm-200-disk-0");
    client.send("PUT", &format!("{VM}/unlink"), &[("idlist", "unused0"), ("force", "1")]).await.data();
    let free = || {
        simulator.inspect(|cluster| {
            cluster.volumes("local-lvm", "pve1").iter().all(|volume| !volume.name.ends_with("disk-0"))
        })
    };
    assert!(free());
    assert_eq!(run(&client, "POST", &format!("{VM}/snapshot"), &[("snapname", "s1")]).await, "OK");
    let form = [("disk", "scsi0"), ("storage", "shared"), ("delete", "1")];
    assert_eq!(
        client.post(&move_disk, &form).await.reason,
        "you can't move a disk with snapshots and delete the source"
    );
    let unlink = format!("{VM}/unlink");
    let destroyed = client.send("PUT", &unlink, &[("idlist", "scsi0"), ("force", "1")]).await;
    let text = "unable to delete 'files:200/vm-200-disk-0.qcow2' - volume is still in use (snapshot?)";
    assert_eq!(destroyed.reason, text);
    client.send("PUT", &format!("{VM}/config"), &[("protection", "1")]).await.data();
    let protected = client.send("PUT", &unlink, &[("idlist", "scsi0")]).await;
    assert_eq!(protected.reason, "can't remove drive 'scsi0' - protection mode enabled");
    client.send("PUT", &format!("{VM}/config"), &[("protection", "0")]).await.data();
    assert_eq!(run(&client, "DELETE", &format!("{VM}/snapshot/s1"), &[]).await, "OK");
    assert_eq!(run(&client, "POST", &move_disk, &form).await, "OK");
    let config = get(&client, &format!("{VM}/config")).await;
    assert_eq!((config["scsi0"].as_str(), config.get("unused0")), (Some("shared:vm-200-disk-0,size=4G"), None));
    // Failed half-way: the copy goes again.
    simulator.freeze_task("qmmove");
    let upid = client.post(&move_disk, &[("disk", "scsi0"), ("storage", "local-lvm")]).await.upid();
    assert!(!free());
    simulator.fail_task(&upid, "storage migration failed: mirroring error");
    assert_eq!(client.exit(&upid).await, "storage migration failed: mirroring error");
    assert!(free());
}

#[tokio::test]
async fn a_suspended_guest_keeps_its_memory_in_a_volume_until_it_goes_on() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    assert_eq!(
        run(&client, "POST", &format!("{VM}/status/suspend"), &[("todisk", "1"), ("statestorage", "shared")]).await,
        "OK"
    );
    let current = get(&client, &format!("{VM}/status/current")).await;
    assert_eq!((&current["status"], &current["lock"]), (&json!("stopped"), &json!("suspended")));
    let memory = get(&client, &format!("{VM}/config")).await["vmstate"].as_str().unwrap().to_owned();
    assert!(memory.starts_with("shared:vm-200-state-suspend-20"), "{memory}");
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    let current = get(&client, &format!("{VM}/status/current")).await;
    assert_eq!((&current["status"], current.get("lock")), (&json!("running"), None));
    assert!(
        simulator
            .inspect(|cluster| cluster.volumes("shared", "pve1").iter().all(|volume| !memory.ends_with(&volume.name)))
    );
}

#[tokio::test]
async fn cloud_init_tells_what_waits_and_shows_its_files() {
    let (_simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    client.send("PUT", &format!("{VM}/config"), &[("ipconfig0", "ip=192.0.2.9/24,gw=192.0.2.1,ip6=auto")]).await.data();
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    client.send("PUT", &format!("{VM}/config"), &[("ciuser", "admin"), ("searchdomain", "lab.test")]).await.data();
    let pending = get(&client, &format!("{VM}/cloudinit")).await;
    assert_eq!(
        pending,
        json!([
            { "key": "ciuser", "value": "debian", "pending": "admin" }, { "key": "searchdomain", "pending": "lab.test" },
        ])
    );
    client.send("PUT", &format!("{VM}/cloudinit"), &[]).await.data();
    let pending = get(&client, &format!("{VM}/cloudinit")).await;
    assert!(pending.as_array().unwrap().iter().all(|entry| entry.get("pending").is_none()), "{pending}");
    let network = get(&client, &format!("{VM}/cloudinit/dump?type=network")).await;
    let network = network.as_str().unwrap();
    assert!(
        network.contains("address: '192.0.2.9'\n        netmask: '255.255.255.0'\n        gateway: '192.0.2.1'\n"),
        "{network}"
    );
    assert!(network.contains("ipv6_slaac") && network.contains("- 'lab.test'"), "{network}");
    let user = get(&client, &format!("{VM}/cloudinit/dump?type=user")).await;
    assert!(user.as_str().unwrap().starts_with("#cloud-config\nhostname: life\n"), "{user}");
    let meta = get(&client, &format!("{VM}/cloudinit/dump?type=meta")).await;
    client.send("PUT", &format!("{VM}/config"), &[("ciuser", "other")]).await.data();
    assert_ne!(
        get(&client, &format!("{VM}/cloudinit/dump?type=meta")).await,
        meta,
        "any change makes another instance"
    );
}

#[tokio::test]
async fn keys_reach_a_running_guest_and_the_monitor_only_looks_for_a_token() {
    let (_simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    let key = [("key", "ctrl-alt-delete")];
    assert_eq!(client.send("PUT", &format!("{VM}/sendkey"), &key).await.reason, "VM 200 not running");
    let monitor = format!("{VM}/monitor");
    assert_eq!(client.post(&monitor, &[("command", "info status")]).await.data(), "ERROR: VM 200 not running\n");
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    client.send("PUT", &format!("{VM}/sendkey"), &key).await.data();
    assert_eq!(client.post(&monitor, &[("command", "info status")]).await.data(), "VM status: running\r\n");
    assert_eq!(client.post(&monitor, &[("command", "quit")]).await.status, 403);
}

#[tokio::test]
async fn a_disk_goes_to_another_vm_of_the_node() {
    let (_simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    make(&client, "201", "local-lvm:4").await;
    client.send("PUT", "/nodes/pve1/qemu/200/config", &[("scsi1", "local-lvm:2")]).await.data();
    let path = "/nodes/pve1/qemu/200/move_disk";
    let to =
        |target: &'static str, disk: &'static str| [("disk", "scsi1"), ("target-vmid", target), ("target-disk", disk)];
    let taken = client.post(path, &to("201", "scsi0")).await;
    assert_eq!((taken.status, taken.reason.as_str()), (500, "Target disk key 'scsi0' is already in use for VM '201'"));
    assert_eq!(client.post(path, &to("999", "scsi3")).await.reason, "could not find target VM 999");
    assert_eq!(client.post(path, &to("200", "scsi3")).await.status, 400);
    client.post("/nodes/pve1/qemu/200/status/start", &[]).await.upid();
    let running = client.post(path, &to("201", "scsi3")).await;
    assert_eq!(running.reason, "Cannot move disk to another VM while the source VM is running - detach first");
    client.post("/nodes/pve1/qemu/200/status/stop", &[]).await.upid();
    assert_eq!(run(&client, "POST", path, &to("201", "scsi3")).await, "OK");
    assert_eq!(get(&client, "/nodes/pve1/qemu/200/config").await.get("scsi1"), None);
    let config = get(&client, "/nodes/pve1/qemu/201/config").await;
    assert_eq!(config["scsi3"], "local-lvm:vm-201-disk-1,size=2G");
    let content = get(&client, "/nodes/pve1/storage/local-lvm/content?vmid=201").await;
    let volumes =
        content.as_array().unwrap().iter().map(|volume| volume["volid"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(volumes.contains(&"local-lvm:vm-201-disk-1"), "the volume has its new owner: {volumes:?}");
}
