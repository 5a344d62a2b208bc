//! Mistakes other clients of Proxmox VE have made, one test each: lost error texts, repeated
//! changes, wrong encodings, `null` results, impatient polling. All against a played server.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use std::time::{Duration, Instant};

use proxmox_client::{
    Client, CloneVm, ConfigChange, Error, MaybeDoneCause, NeverSentCause, Settings, TaskEnd, TaskStatus, TaskWait,
    Upid, WaitError, decode_ssh_keys,
};
use support::replay::form;
use support::{Reply, Server, settings};
use tokio::net::TcpListener;

const UPID: &str = "UPID:pve:000005E6:000610B1:6B00B674:qmclone:9000:panel@pve!app:";

fn upid() -> Upid {
    UPID.parse().unwrap()
}

fn quick(deadline: Duration) -> TaskWait {
    TaskWait {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(10),
        failed_looks: 3,
        ..TaskWait::new(deadline)
    }
}

#[tokio::test]
async fn a_request_is_authorised_and_says_nothing_twice() {
    let server = Server::start([Reply::data("[]"), Reply::data(&format!("{UPID:?}"))]).await;
    let client = server.client();
    client.nodes().await.unwrap();
    let clone = CloneVm::new(101).name("web-1").full(false).description("a;b&c=d\n+ä");
    assert_eq!(client.clone_vm("pve", 9000, &clone).await.unwrap(), upid());
    let seen = server.seen();
    let authorization = "PVEAPIToken=panel@pve!app=12345678-1234-1234-1234-123456789abc";
    for request in &seen {
        assert_eq!(request.header("authorization"), Some(authorization));
        assert_eq!(request.header("cookie"), None);
        assert_eq!(request.header("transfer-encoding"), None);
    }
    assert_eq!(seen[1].target, "/api2/json/nodes/pve/qemu/9000/clone");
    assert_eq!(seen[1].header("content-type"), Some("application/x-www-form-urlencoded"));
    let sent = form(&seen[1].body);
    assert_eq!(sent["full"], "0");
    assert_eq!(sent["description"], "a;b&c=d\n+ä");
    assert!(!format!("{client:?}").contains("12345678"));
}

#[tokio::test]
async fn a_post_without_parameters_has_a_length() {
    let server = Server::start([Reply::data(&format!("{UPID:?}"))]).await;
    server.client().start("pve", 101).await.unwrap();
    assert_eq!(server.seen()[0].header("content-length"), Some("0"));
}

#[tokio::test]
async fn ssh_keys_are_encoded_twice_and_come_back() {
    let keys = ["ssh-ed25519 AAAA+B/C== a b@c", "ssh-rsa AAAAB3Nz'()*!~ second"];
    let server = Server::start([Reply::data("null")]).await;
    let change = ConfigChange::new().ssh_keys(&keys).tags(["web", "a"]);
    server.client().set_vm_config("pve", 101, &change).await.unwrap();
    let seen = server.seen();
    assert!(seen[0].body.contains("ssh-ed25519%2520AAAA%252BB%252FC%253D%253D%2520a%2520b%2540c%250Assh"));
    assert!(seen[0].body.contains("tags=a%3Bweb"));
    let value = form(&seen[0].body)["sshkeys"].clone();
    let config = format!(r#"{{"sshkeys":"{value}"}}"#);
    let server = Server::start([Reply::data(&config)]).await;
    let config = server.client().vm_config("pve", 101).await.unwrap();
    assert_eq!(config.ssh_keys, keys);
    assert_eq!(decode_ssh_keys(&value), keys);
}

#[tokio::test]
async fn a_masked_password_is_never_part_of_a_change() {
    let config = r#"{"cores":1,"cipassword":"**********","ciuser":"debian"}"#;
    let server = Server::start([Reply::data(config), Reply::data("null")]).await;
    let client = server.client();
    let config = client.vm_config("pve", 101).await.unwrap();
    assert!(config.has_ci_password);
    let change = ConfigChange::new().cores(config.cores + 1);
    client.set_vm_config("pve", 101, &change).await.unwrap();
    assert_eq!(server.seen()[1].body, "cores=2");
}

#[tokio::test]
async fn a_removal_has_its_parameters_in_the_query() {
    let server = Server::start([Reply::data(&format!("{UPID:?}"))]).await;
    server.client().delete_vm("pve", 101, true, false).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.target, "/api2/json/nodes/pve/qemu/101?purge=1&destroy-unreferenced-disks=0");
    assert_eq!(seen.header("content-length"), None);
    assert!(seen.body.is_empty());
}

#[tokio::test]
async fn null_in_place_of_a_task() {
    let server = Server::start([
        Reply::data("null"),
        Reply::data(&format!("{UPID:?}")),
        Reply::data("null"),
        Reply::data("\"OK\""),
    ])
    .await;
    let client = server.client();
    assert_eq!(client.resize_disk("pve", 101, "scsi0", 20).await.unwrap(), None);
    assert_eq!(client.resize_disk("pve", 101, "scsi0", 20).await.unwrap(), Some(upid()));
    assert_eq!(form(&server.seen()[0].body)["size"], "20G");
    for _ in 0..2 {
        let error = client.start("pve", 101).await.unwrap_err();
        let unreadable = MaybeDoneCause::Unreadable;
        assert!(matches!(error, Error::MaybeDone { cause, .. } if cause == unreadable), "{error}");
    }
}

#[tokio::test]
async fn a_change_that_may_be_done_is_sent_once() {
    for (reply, expected) in [
        (Reply::new(596, "Connection timed out", None, ""), MaybeDoneCause::Node),
        (Reply::Nothing, MaybeDoneCause::Connection),
        (
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":".to_vec()),
            MaybeDoneCause::Connection,
        ),
        (Reply::new(200, "OK", Some("text/html"), "<html>"), MaybeDoneCause::Unreadable),
        (Reply::json(200, "OK", "{\"data\":"), MaybeDoneCause::Unreadable),
    ] {
        let server = Server::start([reply.clone()]).await;
        let result = server.client().clone_vm("pve", 9000, &CloneVm::new(101)).await;
        let Err(Error::MaybeDone { call, cause, .. }) = result else {
            panic!("{reply:?} was read as {result:?}");
        };
        assert_eq!((call.as_str(), cause), ("POST /nodes/pve/qemu/9000/clone", expected));
        assert_eq!(server.seen().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_read_over_a_broken_connection_is_repeated_a_few_times() {
    let server = Server::start([Reply::Nothing, Reply::Nothing, Reply::data("\"100\"")]).await;
    assert_eq!(server.client().next_id().await.unwrap(), 100);
    let server = Server::start([Reply::Nothing, Reply::Nothing, Reply::Nothing, Reply::data("1")]).await;
    assert!(matches!(server.client().next_id().await, Err(Error::MaybeDone { .. })));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_change_whose_connection_never_opened_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(settings(&format!("http://{address}"))).unwrap();
    let result = client.start("pve", 101).await;
    assert!(matches!(result, Err(Error::NeverSent { cause: NeverSentCause::Connect, .. })), "{result:?}");
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        Server::on(listener, [Reply::data(&format!("{UPID:?}"))])
    };
    let (result, server) = tokio::join!(client.start("pve", 101), later);
    assert_eq!(result.unwrap(), upid());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_unreachable_node_was_never_asked() {
    let server = Server::start([Reply::new(595, "No route to host", None, "")]).await;
    let error = server.client().start("pve2", 101).await.unwrap_err();
    assert!(matches!(error, Error::NeverSent { cause: NeverSentCause::Node, .. }), "{error}");
    assert!(error.is_node_out_of_reach());
    assert_eq!(error.to_string(), "POST /nodes/pve2/qemu/101/status/start was not carried out: No route to host");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_host_that_does_not_resolve_was_never_asked() {
    let client = Client::new(settings("https://no-such-host.invalid:8006")).unwrap();
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, Error::NeverSent { .. }), "{error}");
}

#[tokio::test]
async fn silence_ends_with_the_request_time() {
    let server = Server::start([Reply::Hang]).await;
    let limits = Settings { request_timeout: Duration::from_millis(200), ..server.settings() };
    let started = Instant::now();
    let result = Client::new(limits).unwrap().version().await;
    assert!(matches!(result, Err(Error::MaybeDone { cause: MaybeDoneCause::Timeout, .. })));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(server.seen().len(), 1, "a time-out must not be repeated");
}

#[tokio::test]
async fn more_requests_than_allowed_at_once_wait_for_their_turn() {
    let server = Server::start([Reply::Hang, Reply::data("[]")]).await;
    let limits = Settings { request_timeout: Duration::from_millis(300), requests_at_once: 1, ..server.settings() };
    let client = Client::new(limits).unwrap();
    let hanging = tokio::spawn({
        let client = client.clone();
        async move { client.nodes().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let waited = client.nodes().await;
    assert!(hanging.await.unwrap().is_err());
    assert_eq!(waited.unwrap(), []);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn who_you_are_and_what_you_may_are_told_apart_and_asked_once() {
    let server = Server::start([
        Reply::new(401, "Authentication failed!", None, ""),
        Reply::json(403, "Permission check failed (/vms/101, VM.Audit)", r#"{"data":null}"#),
    ])
    .await;
    let client = server.client();
    let Err(Error::Refused(refusal)) = client.version().await else {
        panic!("not refused");
    };
    assert!(refusal.is_unauthenticated() && !refusal.is_forbidden());
    let Err(Error::Refused(refusal)) = client.vm_config("pve", 101).await else {
        panic!("not refused");
    };
    assert!(refusal.is_forbidden() && !refusal.is_unauthenticated());
    assert_eq!(refusal.missing_privilege(), Some(("/vms/101", vec!["VM.Audit"])));
    assert_eq!(refusal.path, "/nodes/pve/qemu/101/config");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::start([Reply::data("[]")]).await;
    let redirect =
        format!("HTTP/1.1 301 Moved Permanently\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", target.address);
    let server = Server::start([Reply::Bytes(redirect.into_bytes())]).await;
    let Err(Error::Refused(refusal)) = server.client().nodes().await else {
        panic!("not refused");
    };
    assert!(refusal.message.contains("redirected to"), "{}", refusal.message);
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 65 * 1024 * 1024);
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + 65 * 1024 * 1024, b' ');
    let server = Server::start([Reply::Bytes(bytes)]).await;
    let result = server.client().nodes().await;
    let Err(Error::MaybeDone { cause: MaybeDoneCause::Unreadable, detail, .. }) = result else {
        panic!("{result:?}");
    };
    assert!(detail.contains("longer than"), "{detail}");
}

#[tokio::test]
async fn names_that_would_lead_elsewhere_are_not_sent() {
    let server = Server::start([]).await;
    let client = server.client();
    for node in ["", "..", "pve/qemu/100/config", "pve\n"] {
        let result = client.start(node, 101).await;
        let argument = NeverSentCause::Argument;
        assert!(matches!(result, Err(Error::NeverSent { cause, .. }) if cause == argument));
    }
    assert!(client.set_vm_config("pve", 1, &ConfigChange::new()).await.is_err());
    assert!(client.resize_disk("pve", 101, "scsi0", 0).await.is_err());
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_taken_number_is_an_answer() {
    let taken =
        r#"{"data":null,"errors":{"vmid":"VM 100 already exists\n"},"message":"Parameter verification failed.\n"}"#;
    let low = r#"{"data":null,"errors":{"vmid":"invalid format - value does not look like a valid VM ID\n"}}"#;
    let server = Server::start([
        Reply::json(400, "Parameter verification failed.", taken),
        Reply::data("\"101\""),
        Reply::data("101"),
        Reply::json(400, "Parameter verification failed.", low),
    ])
    .await;
    let client = server.client();
    assert!(!client.vmid_is_free(100).await.unwrap());
    assert!(client.vmid_is_free(101).await.unwrap());
    assert_eq!(client.next_id().await.unwrap(), 101);
    assert!(client.vmid_is_free(1).await.is_err());
    assert_eq!(server.seen()[0].target, "/api2/json/cluster/nextid?vmid=100");
}

#[tokio::test]
async fn waiting_survives_failed_looks_but_not_for_ever() {
    let unknown = r#"{"data":null,"errors":{"upid":"no such task"}}"#;
    let unknown = Reply::json(400, "Parameter verification failed.", unknown);
    let running = Reply::data(r#"{"status":"running"}"#);
    let ended = |text: &str| Reply::data(&format!(r#"{{"status":"stopped","exitstatus":"{text}"}}"#));
    let long = Duration::from_secs(20);

    let broken = Reply::new(599, "Too many redirections", None, "");
    let replies = [unknown.clone(), broken.clone(), running.clone(), broken, ended("OK")];
    let server = Server::start(replies).await;
    let end = server.client().wait_for_task(&upid(), &quick(long)).await;
    assert_eq!(end, Ok(TaskEnd::Ok));
    assert!(server.seen()[0].target.starts_with("/api2/json/nodes/pve/tasks/UPID:pve:"));

    let server = Server::start(vec![unknown; 9]).await;
    let end = server.client().wait_for_task(&upid(), &quick(long)).await;
    assert!(matches!(end, Err(WaitError::Lost { .. })), "{end:?}");
    assert_eq!(server.seen().len(), 4);

    let server = Server::start([Reply::new(401, "No ticket", None, "")]).await;
    let end = server.client().wait_for_task(&upid(), &quick(long)).await;
    assert!(matches!(end, Err(WaitError::Lost { .. })), "{end:?}");
    assert_eq!(server.seen().len(), 1);

    let server = Server::start(vec![running; 500]).await;
    let wait = quick(Duration::from_millis(150));
    let end = server.client().wait_for_task(&upid(), &wait).await;
    assert_eq!(end, Err(WaitError::TimedOut { upid: upid() }));

    let lock = "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout";
    let server = Server::start([ended("WARNINGS: 2"), ended(lock)]).await;
    let client = server.client();
    let status = client.task_status(&upid()).await.unwrap();
    assert_eq!(status, TaskStatus::Ended(TaskEnd::Warnings(2)));
    let TaskStatus::Ended(TaskEnd::Failed(error)) = client.task_status(&upid()).await.unwrap() else {
        panic!("not failed");
    };
    assert!(error.is_busy() && error.is_locked().is_none());
}

#[tokio::test]
async fn a_log_is_read_whole_or_from_its_end() {
    let lines: Vec<String> = (1..=120).map(|n| format!(r#"{{"n":"{n}","t":"line {n}"}}"#)).collect();
    let whole = format!(r#"{{"data":[{}],"total":120}}"#, lines.join(","));
    let server = Server::start([
        Reply::json(200, "OK", &whole),
        Reply::json(200, "OK", r#"{"total":1,"data":[{"n":1,"t":"no content"}]}"#),
    ])
    .await;
    let client = server.client();
    let log = client.task_log(&upid(), 0, 0).await.unwrap();
    assert_eq!((log.lines.len(), log.total), (120, 120));
    assert_eq!(log.lines[119].text, "line 120");
    assert_eq!(server.seen()[0].query(), "start=0&limit=0");
    let log = client.task_log(&upid(), 0, 0).await.unwrap();
    assert_eq!((log.lines.len(), log.total), (0, 0));
}

#[tokio::test]
async fn numbers_and_flags_in_every_form() {
    let odd = r#"[{"type":"qemu","id":"qemu/100","vmid":"100","template":"","mem":"1e+06","maxmem":2.5e+09,"cpu":"0.25","netin":null,"uptime":"","tags":"b;a","status":"prelaunch","shared":"1"},{"type":"network","id":"network/pve/zone/x"}]"#;
    let server = Server::start([Reply::data(odd)]).await;
    let resources = server.client().resources(None).await.unwrap();
    let guest = &resources[0];
    assert_eq!((guest.vmid, guest.template, guest.shared), (Some(100), false, true));
    assert_eq!((guest.mem, guest.maxmem), (Some(1_000_000), Some(2_500_000_000)));
    assert_eq!((guest.cpu, guest.netin, guest.uptime), (Some(0.25), None, None));
    assert!(guest.tags.contains("a"));
    assert_eq!(resources[1].kind.as_str(), "network");
}

#[tokio::test]
async fn addresses_are_found_by_mac() {
    let answer = r#"{"result":[{"name":"lo","ip-addresses":[{"ip-address":"127.0.0.1","ip-address-type":"ipv4","prefix":8}]},{"name":"eth0","hardware-address":"bc:24:11:00:00:01","ip-addresses":[{"ip-address":"fe80::1%eth0","prefix":64},{"ip-address":"192.0.2.9","prefix":"24"}]},{"name":"eth1","hardware-address":"bc:24:11:00:00:02"}]}"#;
    let server = Server::start([Reply::data(answer)]).await;
    let interfaces = server.client().agent_network_interfaces("pve", 101).await.unwrap();
    let found = interfaces.iter().find(|interface| interface.has_mac("BC:24:11:00:00:01")).unwrap();
    let addresses: Vec<_> = found.addresses.iter().filter_map(|address| address.ip()).collect();
    assert_eq!(addresses[1].to_string(), "192.0.2.9");
    assert_eq!(addresses[0].to_string(), "fe80::1");
    assert_eq!(found.addresses[1].prefix, Some(24));
    assert!(interfaces[2].addresses.is_empty());
}
