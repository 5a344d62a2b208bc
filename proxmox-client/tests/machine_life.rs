//! What is sent for the life of a machine, and how the answers are read that no recording has.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{ConfigChange, CreateVm, Error, MigrateVm, MoveDisk, NeverSentCause};
use secrecy::SecretString;
use support::{Reply, Seen, Server};

const TASK: &str = r#""UPID:pve:000005E6:000610B1:6B00B674:qmcreate:101:panel@pve!app:""#;

async fn server(replies: usize) -> Server {
    Server::start(vec![Reply::data(TASK); replies]).await
}

fn sent(seen: &Seen) -> (&str, &str, &str) {
    (&seen.method, seen.target.strip_prefix("/api2/json/nodes/pve/qemu").unwrap(), &seen.body)
}

#[tokio::test]
async fn a_machine_is_made_from_what_is_set() {
    let server = server(2).await;
    let options = ConfigChange::new()
        .name("web-1")
        .set("scsi0", "local-lvm:32")
        .ci_password(&SecretString::from("$6$salt$hash"))
        .tags(Vec::<String>::new())
        .digest("abc");
    let create = CreateVm::new(101).options(options).pool("cust1").start(true);
    assert!(!format!("{create:?}").contains("hash"));
    let client = server.client();
    assert_eq!(client.create_vm("pve", &create).await.unwrap().worker_type(), "qmcreate");
    client.make_template("pve", 101).await.unwrap();
    let seen = server.seen();
    let body = "vmid=101&cipassword=%246%24salt%24hash&name=web-1&scsi0=local-lvm%3A32&pool=cust1&start=1";
    assert_eq!(sent(&seen[0]), ("POST", "", body));
    assert_eq!(sent(&seen[1]), ("POST", "/101/template", ""));
}

#[tokio::test]
async fn power_has_its_words() {
    let server = server(5).await;
    let client = server.client();
    client.suspend("pve", 101).await.unwrap();
    client.suspend_to_disk("pve", 101, None).await.unwrap();
    client.suspend_to_disk("pve", 101, Some("local-lvm")).await.unwrap();
    client.resume("pve", 101).await.unwrap();
    client.stop_overruling_shutdown("pve", 101).await.unwrap();
    let seen = server.seen();
    assert_eq!(sent(&seen[0]), ("POST", "/101/status/suspend", ""));
    assert_eq!(sent(&seen[1]), ("POST", "/101/status/suspend", "todisk=1"));
    assert_eq!(sent(&seen[2]), ("POST", "/101/status/suspend", "todisk=1&statestorage=local-lvm"));
    assert_eq!(sent(&seen[3]), ("POST", "/101/status/resume", ""));
    assert_eq!(sent(&seen[4]), ("POST", "/101/status/stop", "overrule-shutdown=1"));
}

#[tokio::test]
async fn disks_are_grown_moved_and_detached() {
    let server = Server::start([
        Reply::data(TASK),
        Reply::data(TASK),
        Reply::data(TASK),
        Reply::data("null"),
        Reply::data("null"),
    ])
    .await;
    let client = server.client();
    client.resize_disk_if_unchanged("pve", 101, "scsi0", 20, "abc").await.unwrap();
    client.move_disk("pve", 101, &MoveDisk::new("scsi0", "ceph")).await.unwrap();
    let change = MoveDisk::new("scsi0", "local").format("qcow2").delete_source(true).digest("abc");
    client.move_disk("pve", 101, &change).await.unwrap();
    client.unlink_disks("pve", 101, &["scsi1", "unused0"], false).await.unwrap();
    client.unlink_disks("pve", 101, &["scsi1"], true).await.unwrap();
    let error = client.unlink_disks("pve", 101, &[], true).await.unwrap_err();
    assert!(matches!(error, Error::NeverSent { cause: NeverSentCause::Argument, .. }), "{error}");
    let seen = server.seen();
    assert_eq!(seen.len(), 5);
    assert_eq!(sent(&seen[0]), ("PUT", "/101/resize", "disk=scsi0&size=20G&digest=abc"));
    assert_eq!(sent(&seen[1]), ("POST", "/101/move_disk", "disk=scsi0&storage=ceph"));
    let body = "disk=scsi0&storage=local&format=qcow2&delete=1&digest=abc";
    assert_eq!(sent(&seen[2]), ("POST", "/101/move_disk", body));
    assert_eq!(sent(&seen[3]), ("PUT", "/101/unlink", "idlist=scsi1%2Cunused0"));
    assert_eq!(sent(&seen[4]), ("PUT", "/101/unlink", "idlist=scsi1&force=1"));
}

#[tokio::test]
async fn a_move_says_how_and_is_asked_about_first() {
    let answer = r#"{"running":1,"allowed_nodes":["b"],"local_disks":[{"volid":"local:101/a.raw","size":"4e3"}],
        "not_allowed_nodes":{"c":{"unavailable_storages":["fast"]}},"local_resources":["usb0"]}"#;
    let server = Server::start([Reply::data(answer), Reply::data(TASK)]).await;
    let client = server.client();
    let check = client.check_migration("pve", 101, Some("b")).await.unwrap();
    assert!(check.running && check.allowed_nodes == Some(vec!["b".to_owned()]));
    assert_eq!(check.not_allowed_nodes["c"]["unavailable_storages"][0], "fast");
    assert_eq!((check.local_disks[0].size, check.local_resources[0].as_str()), (Some(4000), "usb0"));
    let migrate = MigrateVm::new("b").online(true).with_local_disks(true).target_storage("a:b");
    client.migrate_vm("pve", 101, &migrate).await.unwrap();
    let seen = server.seen();
    assert_eq!(sent(&seen[0]), ("GET", "/101/migrate?target=b", ""));
    let body = "target=b&online=1&with-local-disks=1&targetstorage=a%3Ab";
    assert_eq!(sent(&seen[1]), ("POST", "/101/migrate", body));
}

#[tokio::test]
async fn changes_that_wait_are_told_from_those_in_force() {
    let answer = r#"[{"key":"cores","value":1,"pending":2},{"key":"memory","value":"512"},
        {"key":"tags","value":"a","delete":1},{"key":"net1","pending":"virtio"},{"key":"x","value":"","delete":"0"}]"#;
    let server = Server::start([Reply::data(answer), Reply::data("null"), Reply::data(TASK)]).await;
    let client = server.client();
    let options = client.pending_config("pve", 101).await.unwrap();
    let waiting: Vec<&str> = options.iter().filter(|one| one.is_waiting()).map(|one| one.key.as_str()).collect();
    assert_eq!(waiting, ["cores", "tags", "net1"]);
    assert_eq!(options[0].pending.as_deref(), Some("2"));
    assert!(options[2].is_going() && !options[3].is_going());
    let change = ConfigChange::new().cores(2).delete("tags").digest("abc");
    assert_eq!(client.set_vm_config_as_task("pve", 101, &change).await.unwrap(), None);
    assert!(client.set_vm_config_as_task("pve", 101, &change).await.unwrap().is_some());
    assert!(client.set_vm_config_as_task("pve", 101, &ConfigChange::new()).await.is_err());
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(sent(&seen[1]), ("POST", "/101/config", "cores=2&delete=tags&digest=abc"));
}
