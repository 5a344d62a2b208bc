//! Backups and storages: what is sent, and the answers that are no task.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{BackUp, BackupMode, ConfigChange, Download, Error, MaybeDoneCause, PruneMark, RestoreVm};
use support::{Reply, Seen, Server};

const TASK: &str = r#""UPID:pve:00000877:000622B3:6B00B6A3:vzdump:9000:root@pam!lab:""#;
const VOLUME: &str = "local:backup/vzdump-qemu-100-2026_01_31-12_00_00.vma.zst";

fn sent(seen: &Seen) -> (&str, &str, &str) {
    (&seen.method, seen.target.strip_prefix("/api2/json/nodes/pve/").unwrap(), &seen.body)
}

#[tokio::test]
async fn a_backup_of_a_guest_that_is_elsewhere_is_no_task() {
    let server = Server::start([Reply::data(TASK), Reply::data("\"OK\""), Reply::data("\"what\"")]).await;
    let client = server.client();
    let task = client.back_up("pve", &BackUp::new(100, "local")).await.unwrap().unwrap();
    assert_eq!(task.worker_type(), "vzdump");
    let wanted = BackUp::new(100, "local")
        .mode(BackupMode::Stop)
        .compress("0")
        .notes("{{guestname}};x")
        .protected(true)
        .prune(true);
    assert_eq!(client.back_up("pve", &wanted).await.unwrap(), None);
    let error = client.back_up("pve", &wanted).await.unwrap_err();
    assert!(matches!(error, Error::MaybeDone { cause: MaybeDoneCause::Unreadable, .. }), "{error}");
    let seen = server.seen();
    assert_eq!(sent(&seen[0]), ("POST", "vzdump", "vmid=100&storage=local&mode=snapshot&compress=zstd&remove=0"));
    let body = "vmid=100&storage=local&mode=stop&compress=0\
                &notes-template=%7B%7Bguestname%7D%7D%3Bx&protected=1&remove=1";
    assert_eq!(sent(&seen[1]), ("POST", "vzdump", body));
}

#[tokio::test]
async fn a_machine_comes_out_of_a_backup() {
    let server = Server::start([Reply::data(TASK), Reply::data(TASK)]).await;
    let client = server.client();
    client.restore_vm("pve", &RestoreVm::new(101, VOLUME)).await.unwrap();
    let options = ConfigChange::new().name("web-2").on_boot(false);
    let restore = RestoreVm::new(101, "s:b").storage("fast").overwrite(true).unique(true).options(options).pool("p");
    client.restore_vm("pve", &restore).await.unwrap();
    let seen = server.seen();
    let archive = "local%3Abackup%2Fvzdump-qemu-100-2026_01_31-12_00_00.vma.zst";
    assert_eq!(sent(&seen[0]), ("POST", "qemu", format!("vmid=101&archive={archive}").as_str()));
    let body = "vmid=101&archive=s%3Ab&name=web-2&onboot=0&storage=fast&force=1&unique=1&pool=p";
    assert_eq!(sent(&seen[1]), ("POST", "qemu", body));
}

#[tokio::test]
async fn a_volume_is_named_in_the_path() {
    let server =
        Server::start([Reply::data("null"), Reply::data(TASK), Reply::data("null"), Reply::data("null")]).await;
    let client = server.client();
    assert_eq!(client.delete_volume("pve", VOLUME, Some(5)).await.unwrap(), None);
    assert!(client.delete_volume("pve", "lvm:vm-101-disk-0", None).await.unwrap().is_some());
    client.mark_backup("pve", VOLUME, Some("a&b"), Some(false)).await.unwrap();
    client.mark_backup("pve", "pbs:backup/vm/100/2026-01-31T12:00:00Z", None, Some(true)).await.unwrap();
    for wrong in ["", "local", "local:../../x", "local:a//b", "lo/cal:x", ":x/.."] {
        assert!(matches!(client.delete_volume("pve", wrong, None).await, Err(Error::NeverSent { .. })), "{wrong}");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(sent(&seen[0]), ("DELETE", format!("storage/local/content/{VOLUME}?delay=5").as_str(), ""));
    assert_eq!(sent(&seen[1]), ("DELETE", "storage/lvm/content/lvm:vm-101-disk-0", ""));
    let target = format!("storage/local/content/{VOLUME}");
    assert_eq!(sent(&seen[2]), ("PUT", target.as_str(), "notes=a%26b&protected=0"));
    let target = "storage/pbs/content/pbs:backup/vm/100/2026-01-31T12:00:00Z";
    assert_eq!(sent(&seen[3]), ("PUT", target, "protected=1"));
}

#[tokio::test]
async fn an_image_is_downloaded_and_a_rule_is_tried() {
    let marks = r#"[{"volid":"a","mark":"keep","ctime":"1795210780","vmid":100,"type":"qemu"},{"volid":"b","mark":"remove"},
        {"volid":"c","mark":"new word"}]"#;
    let server = Server::start([Reply::data(TASK), Reply::data(TASK), Reply::data(marks)]).await;
    let client = server.client();
    client.download("pve", "local", &Download::new("iso", "a.iso", "https://x/a?b=1&c")).await.unwrap();
    let download =
        Download::new("import", "a.qcow2", "u").checksum("sha256", "ab").compression("zst").verify_certificates(false);
    client.download("pve", "local", &download).await.unwrap();
    let found = client.preview_prune("pve", "local", "keep-last=3", Some(100)).await.unwrap();
    assert_eq!((found[0].ctime, found[0].vmid, &found[0].mark), (Some(1_795_210_780), Some(100), &PruneMark::Keep));
    assert_eq!(found[1].mark, PruneMark::Remove);
    assert_eq!(found[2].mark, PruneMark::Other("new word".to_owned()));
    let seen = server.seen();
    let body = "content=iso&filename=a.iso&url=https%3A%2F%2Fx%2Fa%3Fb%3D1%26c";
    assert_eq!(sent(&seen[0]), ("POST", "storage/local/download-url", body));
    let body = "content=import&filename=a.qcow2&url=u&checksum-algorithm=sha256&checksum=ab&compression=zst\
                &verify-certificates=0";
    assert_eq!(sent(&seen[1]), ("POST", "storage/local/download-url", body));
    let target = "storage/local/prunebackups?prune-backups=keep-last%3D3&type=qemu&vmid=100";
    assert_eq!(sent(&seen[2]), ("GET", target, ""));
}
