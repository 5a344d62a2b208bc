//! A cluster that lies or misbehaves on its only endpoint: whatever it answers ends as an error of the right
//! kind, in bounded time and memory, and is never taken for a success.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use std::time::{Duration, Instant};

use proxmox_client::{
    Client, CloneVm, CreateSnapshot, Error, MaybeDoneCause, NeverSentCause, ResourceFilter, Settings, TaskWait, Upid,
    WaitError,
};
use support::{Reply, Server, settings};
use tokio::net::TcpListener;

const UPID: &str = "UPID:pve:000005E6:000610B1:6B00B674:qmclone:9000:panel@pve!app:";

/// Time for one request here.
const PATIENCE: Duration = Duration::from_millis(200);

fn impatient(server: &Server) -> Client {
    Client::new(Settings { request_timeout: PATIENCE, ..server.settings() }).unwrap()
}

fn is_unreadable<T: std::fmt::Debug>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::MaybeDone { cause: MaybeDoneCause::Unreadable, .. }))
}

#[tokio::test]
async fn a_cluster_that_is_down_was_never_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(settings(&format!("http://{address}"))).unwrap();
    for error in [client.version().await.unwrap_err(), client.stop("pve", 101).await.unwrap_err()] {
        assert!(matches!(error, Error::NeverSent { cause: NeverSentCause::Connect, .. }), "{error:?}");
    }
    assert_eq!(client.endpoints()[0].failures, 6, "every try counts");
}

#[tokio::test]
async fn a_task_is_never_made_out_of_something_else() {
    for lie in [
        "null",
        "\"OK\"",
        "\"\"",
        "7",
        "true",
        "[]",
        "{}",
        "\"UPID:pve\"",
        "\"UPID:pve:000005E6:000610B1\"",
        "\"UPID:pve:zz:000610B1:6B00B674:qmclone:9000:root@pam:\"",
        "{\"upid\":\"x\"}",
    ] {
        let server = Server::start(vec![Reply::data(lie); 3]).await;
        let client = server.client();
        assert!(is_unreadable(&client.clone_vm("pve", 9000, &CloneVm::new(101)).await), "{lie}");
        assert!(is_unreadable(&client.start("pve", 101).await), "{lie}");
        assert!(is_unreadable(&client.create_snapshot("pve", 101, &CreateSnapshot::new("s1")).await), "{lie}");
        assert_eq!(server.seen().len(), 3, "{lie}: each is sent once");
    }
}

#[tokio::test]
async fn data_of_another_shape_is_an_error_for_every_kind_of_answer() {
    for lie in ["\"text\"", "7", "true", "[1]", "[[]]", "[null]", "[{\"node\":{}}]", "{\"status\":[]}"] {
        let server = Server::start(vec![Reply::data(lie); 9]).await;
        let client = server.client();
        assert!(is_unreadable(&client.nodes().await), "{lie}");
        assert!(is_unreadable(&client.resources(Some(ResourceFilter::Vm)).await), "{lie}");
        assert!(is_unreadable(&client.vm_status("pve", 101).await), "{lie}");
        assert!(is_unreadable(&client.version().await), "{lie}");
        assert!(is_unreadable(&client.task_status(&UPID.parse().unwrap()).await), "{lie}");
        assert!(is_unreadable(&client.snapshots("pve", 101).await), "{lie}");
        assert!(is_unreadable(&client.storages("pve").await), "{lie}");
    }
    for lie in ["\"abc\"", "-1", "1e30", "4294967296", "[]", "null"] {
        let server = Server::start([Reply::data(lie)]).await;
        assert!(is_unreadable(&server.client().next_id().await), "{lie}");
    }
}

#[tokio::test]
async fn keys_that_come_twice_are_an_error() {
    for body in
        [r#"{"data":"100","data":"101"}"#, r#"{"data":[{"type":"qemu","id":"qemu/100","vmid":100,"vmid":101}]}"#]
    {
        let server = Server::start(vec![Reply::json(200, "OK", body); 2]).await;
        assert!(is_unreadable(&server.client().next_id().await), "{body}");
        assert!(is_unreadable(&server.client().resources(None).await), "{body}");
    }
}

#[tokio::test]
async fn damaged_json_is_an_error_and_not_a_crash() {
    let deep = format!("{{\"data\":{}", "[".repeat(200_000));
    for body in [deep.as_bytes(), b"{\"data\":\"\xff\xfe\"}", b"{\"data\":1e999}", b"{\"data\":\"100\"", b"\0"] {
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let reply = Reply::Bytes([head.as_bytes(), body].concat());
        let server = Server::start(vec![reply; 2]).await;
        assert!(is_unreadable(&server.client().next_id().await));
        assert!(is_unreadable(&server.client().start("pve", 101).await));
    }
}

#[tokio::test]
async fn the_body_counts_and_not_what_it_is_called() {
    for kind in [None, Some("text/html"), Some("text/plain"), Some("application/octet-stream")] {
        let server = Server::start([Reply::new(200, "OK", kind, r#"{"data":"100"}"#)]).await;
        assert_eq!(server.client().next_id().await, Ok(100), "{kind:?}");
    }
    let server = Server::start([Reply::json(200, "OK", "<html><body>Welcome</body></html>")]).await;
    let error = server.client().next_id().await.unwrap_err();
    assert!(error.to_string().contains("a web page came"), "{error}");
    assert!(!error.to_string().contains("Welcome"), "what a stranger's page says is not repeated");
}

#[tokio::test]
async fn an_answer_after_the_time_is_not_given_to_the_next_call() {
    let late = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"data\":\"666\"}".to_vec();
    let server = Server::start([Reply::Late(PATIENCE * 2, late), Reply::data("\"100\"")]).await;
    let client = impatient(&server);
    let error = client.next_id().await.unwrap_err();
    assert!(matches!(error, Error::MaybeDone { cause: MaybeDoneCause::Timeout, .. }), "{error:?}");
    assert_eq!(client.next_id().await, Ok(100));
}

#[tokio::test]
async fn a_slow_answer_does_not_stretch_the_time() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"data\":\"100\"}".to_vec();
    // Once the head drips too, once only the body.
    for at_once in [0, answer.len() - 14] {
        let (at_once, slowly) = answer.split_at(at_once);
        let reply = Reply::Drip(Duration::from_millis(50), at_once.to_vec(), slowly.to_vec());
        let server = Server::start([reply]).await;
        let begun = Instant::now();
        let error = impatient(&server).next_id().await.unwrap_err();
        assert!(matches!(error, Error::MaybeDone { cause: MaybeDoneCause::Timeout, .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn endless_heads_and_bodies_are_cut_off() {
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let server = Server::start(vec![Reply::Endless(head, b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".to_vec()); 3]).await;
    let error = server.client().start("pve", 101).await.unwrap_err();
    assert!(matches!(error, Error::MaybeDone { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1);

    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let server =
        Server::start([Reply::Endless(head, [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat())]).await;
    let error = server.client().start("pve", 101).await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_forgotten_task_is_lost_and_not_done() {
    let upid: Upid = UPID.parse().unwrap();
    let forgotten = r#"{"data":null,"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n"}"#;
    let running = Reply::data(r#"{"status":"running"}"#);
    let server =
        Server::start([vec![running], vec![Reply::json(400, "Parameter verification failed.", forgotten); 9]].concat())
            .await;
    let wait = TaskWait {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        failed_looks: 3,
        ..TaskWait::new(Duration::from_secs(20))
    };
    let end = server.client().wait_for_task(&upid, &wait).await;
    let Err(WaitError::Lost { upid: lost, .. }) = &end else {
        panic!("{end:?}");
    };
    assert_eq!((lost, server.seen().len()), (&upid, 5));
}

#[tokio::test]
async fn no_error_shows_the_token() {
    let echo = r#"{"data":null,"message":"you sent PVEAPIToken"}"#;
    for reply in [
        Reply::new(401, "Authentication failed!", None, ""),
        Reply::json(500, "failed", echo),
        Reply::Nothing,
        Reply::Hang,
        Reply::json(200, "OK", "{\"data\":{}}"),
    ] {
        let server = Server::start(vec![reply; 3]).await;
        let client = impatient(&server);
        let error = client.next_id().await.unwrap_err();
        let shown = format!("{error:?} {error} {client:?} {:?} {:?}", client.endpoints(), server.settings());
        assert!(!shown.contains("12345678"), "{shown}");
    }
}
