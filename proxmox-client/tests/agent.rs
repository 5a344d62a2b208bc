//! The guest agent: what is sent, and how its answers are read that no recording has.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{CommandStatus, Error, NeverSentCause};
use secrecy::SecretString;
use support::{Reply, Seen, Server};

fn sent(seen: &Seen) -> (&str, &str, &str) {
    (&seen.method, seen.target.strip_prefix("/api2/json/nodes/pve/qemu/101/agent/").unwrap(), &seen.body)
}

fn is_unsent<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::NeverSent { cause: NeverSentCause::Argument, .. }))
}

#[tokio::test]
async fn a_command_is_a_list_of_words() {
    let server = Server::start([
        Reply::data(r#"{"pid":"325"}"#),
        Reply::data(r#"{"pid":7}"#),
        Reply::data(r#"{"exited":0}"#),
        Reply::data(r#"{"exited":1,"exitcode":-1,"out-data":"a","err-data":"b","out-truncated":"1"}"#),
    ])
    .await;
    let client = server.client();
    assert_eq!(client.agent_exec("pve", 101, &["sh", "-c", "echo a; b"], None).await.unwrap(), 325);
    assert_eq!(client.agent_exec("pve", 101, &["cat"], Some("x=1&y")).await.unwrap(), 7);
    assert!(!client.agent_exec_status("pve", 101, 325).await.unwrap().exited);
    let ended = CommandStatus {
        exited: true,
        exit_code: Some(-1),
        signal: None,
        output: "a".to_owned(),
        error_output: "b".to_owned(),
        output_truncated: true,
        error_output_truncated: false,
    };
    assert_eq!(client.agent_exec_status("pve", 101, 325).await.unwrap(), ended);
    assert!(is_unsent(client.agent_exec("pve", 101, &[], None).await));
    assert!(is_unsent(client.agent_exec("pve", 101, &["cat"], Some(&"x".repeat(65_537))).await));
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(sent(&seen[0]), ("POST", "exec", "command=sh&command=-c&command=echo%20a%3B%20b"));
    assert_eq!(sent(&seen[1]), ("POST", "exec", "command=cat&input-data=x%3D1%26y"));
    assert_eq!(sent(&seen[2]), ("GET", "exec-status?pid=325", ""));
}

#[tokio::test]
async fn files_are_read_and_written_whatever_is_in_them() {
    let server =
        Server::start([Reply::data(r#"{"content":"héllo","bytes-read":6,"truncated":true}"#), Reply::data("null")])
            .await;
    let client = server.client();
    let file = client.agent_file_read("pve", 101, "/etc/motd").await.unwrap();
    assert!(file.content == "héllo" && file.truncated);
    client.agent_file_write("pve", 101, "/etc/motd", "日\u{0}\n".as_bytes()).await.unwrap();
    assert!(is_unsent(client.agent_file_write("pve", 101, "/x", &vec![0; 46_081]).await));
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(sent(&seen[0]), ("GET", "file-read?file=%2Fetc%2Fmotd", ""));
    assert_eq!(sent(&seen[1]), ("POST", "file-write", "file=%2Fetc%2Fmotd&content=5pelAAo%3D&encode=0"));
}

#[tokio::test]
async fn passwords_and_shutting_down() {
    let done = Reply::data(r#"{"result":{}}"#);
    let server = Server::start([done.clone(), done.clone(), done.clone(), Reply::data("null")]).await;
    let client = server.client();
    let password = SecretString::from("a&b;c");
    client.agent_set_password("pve", 101, "root", &password, false).await.unwrap();
    client.agent_set_password("pve", 101, "root", &password, true).await.unwrap();
    client.agent_ping("pve", 101).await.unwrap();
    client.agent_shutdown("pve", 101).await.unwrap();
    let seen = server.seen();
    assert_eq!(sent(&seen[0]), ("POST", "set-user-password", "username=root&password=a%26b%3Bc"));
    assert_eq!(sent(&seen[1]), ("POST", "set-user-password", "username=root&password=a%26b%3Bc&crypted=1"));
    assert_eq!(sent(&seen[2]), ("POST", "ping", ""));
    assert_eq!(sent(&seen[3]), ("POST", "shutdown", ""));
}

#[tokio::test]
async fn what_a_guest_tells_about_itself() {
    let server = Server::start([
        Reply::data(r#"{"result":{"id":"debian","pretty-name":"Debian 12","version-id":12,"machine":"x86_64"}}"#),
        Reply::data(r#"{"result":{"host-name":"web-1"}}"#),
        Reply::data(
            r#"{"result":[{"name":"sda1","mountpoint":"/","type":"ext4","total-bytes":"1e9","used-bytes":5}]}"#,
        ),
    ])
    .await;
    let client = server.client();
    let system = client.agent_system("pve", 101).await.unwrap();
    assert_eq!((system.id.as_deref(), system.version_id.as_deref()), (Some("debian"), Some("12")));
    assert_eq!((system.pretty_name.as_deref(), system.kernel_release), (Some("Debian 12"), None));
    assert_eq!(client.agent_host_name("pve", 101).await.unwrap(), "web-1");
    let disks = client.agent_file_systems("pve", 101).await.unwrap();
    assert_eq!(
        (disks[0].kind.as_str(), disks[0].total_bytes, disks[0].used_bytes),
        ("ext4", Some(1_000_000_000), Some(5))
    );
    let asked: Vec<String> = server.seen().iter().map(|seen| sent(seen).1.to_owned()).collect();
    assert_eq!(asked, ["get-osinfo", "get-host-name", "get-fsinfo"]);
}
