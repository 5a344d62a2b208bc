//! The bytes of an upload, as Proxmox's own parser wants them, and what is never sent.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{Error, UPLOAD_BYTES_MAX};
use support::{Reply, Server};

const TASK: &str = r#""UPID:pve:00000877:000622B3:6B00B6A3:imgcopy::panel@pve!app:""#;

#[tokio::test]
async fn the_fields_stand_before_the_file_and_the_length_before_all() {
    let server = Server::start(vec![Reply::data(TASK); 2]).await;
    let client = server.client();
    let task =
        client.upload_iso("pve", "local", "seed-1.iso", b"CD001\r\n--x", Some(("sha256", "00ff"))).await.unwrap();
    assert_eq!(task.worker_type(), "imgcopy");
    client.upload_iso("pve", "local", "seed-1.iso", b"CD001", None).await.unwrap();

    let seen = server.seen();
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("POST", "/api2/json/nodes/pve/storage/local/upload")
    );
    let boundary = seen[0].header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let wanted = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"checksum-algorithm\"\r\n\r\nsha256\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"checksum\"\r\n\r\n00ff\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"seed-1.iso\"\r\n\
         Content-Type: application/octet-stream\r\n\r\nCD001\r\n--x\r\n--{boundary}--\r\n"
    );
    assert_eq!(seen[0].body, wanted);
    assert_eq!(seen[0].header("content-length"), Some(wanted.len().to_string().as_str()));
    assert_eq!(seen[0].header("transfer-encoding"), None);
    assert!(!seen[1].body.contains("checksum"), "{}", seen[1].body);
}

#[tokio::test]
async fn what_proxmox_would_change_or_refuse_is_never_sent() {
    let server = Server::start(Vec::<Reply>::new()).await;
    let client = server.client();
    for name in ["", ".iso", "a.img", "a b.iso", "a\".iso", "../a.iso", &format!("{}.iso", "a".repeat(200))] {
        let error = client.upload_iso("pve", "local", name, b"x", None).await.unwrap_err();
        assert!(matches!(error, Error::NeverSent { .. }), "{name:?}");
    }
    let large = vec![0; UPLOAD_BYTES_MAX + 1];
    for bytes in [&[][..], &large] {
        assert!(matches!(client.upload_iso("pve", "local", "a.iso", bytes, None).await, Err(Error::NeverSent { .. })));
    }
    for checksum in [("crc32", "00"), ("sha256", ""), ("sha256", "xy\r\n")] {
        let sent = client.upload_iso("pve", "local", "a.iso", b"x", Some(checksum)).await;
        assert!(matches!(sent, Err(Error::NeverSent { .. })), "{checksum:?}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_not_sent_twice() {
    let server = Server::start([Reply::Nothing, Reply::data(TASK)]).await;
    let error = server.client().upload_iso("pve", "local", "a.iso", b"x", None).await.unwrap_err();
    assert!(matches!(error, Error::MaybeDone { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}
