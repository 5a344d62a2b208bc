//! The guest agent: when it answers, and what it does.

use std::time::Duration;

use proxmox_simulator::{AgentState, Options, Release, Timing, TokenGrant};
use serde_json::json;

use crate::{machine, refused, start};

const AGENT: &str = "/nodes/pve1/qemu/100/agent";

#[tokio::test]
async fn it_answers_only_when_configured_running_and_ready() {
    let timing = Timing { guest_boot: Duration::from_secs(30), ..Timing::instant() };
    let (simulator, client) = start(Options { timing, ..Options::default() });
    machine(&client).await;
    let ping = || client.post("/nodes/pve1/qemu/100/agent/ping", &[]);
    refused(&ping().await, 500, "VM 100 is not running");
    client.send("PUT", "/nodes/pve1/qemu/100/config", &[("agent", "0")]).await.data();
    refused(&ping().await, 500, "No QEMU guest agent configured");
    client.send("PUT", "/nodes/pve1/qemu/100/config", &[("agent", "1")]).await.data();
    let upid = client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    refused(&ping().await, 500, "QEMU guest agent is not running");
    simulator.advance(Duration::from_secs(30));
    assert_eq!(ping().await.data(), &json!({ "result": {} }));
    assert!(simulator.set_agent(100, AgentState::ReadyAfter(60)));
    refused(&ping().await, 500, "QEMU guest agent is not running");
    simulator.advance(Duration::from_secs(30));
    assert_eq!(ping().await.status, 200);
    assert!(simulator.set_agent(100, AgentState::NotRunning));
    refused(&ping().await, 500, "QEMU guest agent is not running");
}

#[tokio::test]
async fn commands_are_polled_and_told_once() {
    let (simulator, client) = start(Options::default());
    machine(&client).await;
    client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
    let run = |form: &'static [(&'static str, &'static str)]| {
        let client = client.clone();
        async move {
            let pid = client.post(&format!("{AGENT}/exec"), form).await.data()["pid"].as_u64().unwrap();
            format!("{AGENT}/exec-status?pid={pid}")
        }
    };
    let status = run(&[("command", "echo"), ("command", "a b")]).await;
    let done = json!({ "exited": 1, "exitcode": 0, "out-data": "a b\n", "out-truncated": 0 });
    assert_eq!(client.get(&status).await.data(), &done);
    refused(&client.get(&status).await, 500, "Agent error: Invalid parameter 'pid'");
    let status = run(&[("command", "sleep"), ("command", "5")]).await;
    assert_eq!(client.get(&status).await.data(), &json!({ "exited": 0 }));
    simulator.advance(Duration::from_secs(5));
    assert_eq!(client.get(&status).await.data()["exited"], 1);
    let status = run(&[("command", "sh"), ("command", "-c"), ("command", "hostname")]).await;
    assert_eq!(client.get(&status).await.data()["out-data"], "web\n");
    let status = run(&[("command", "frobnicate")]).await;
    assert_eq!(client.get(&status).await.data()["exitcode"], 127);
    let status = run(&[("command", "false")]).await;
    assert_eq!(client.get(&status).await.data()["exitcode"], 1);
}

#[tokio::test]
async fn files_passwords_and_facts() {
    let (simulator, client) = start(Options::default());
    machine(&client).await;
    client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
    let path = |name: &str| format!("{AGENT}/{name}");
    client.post(&path("file-write"), &[("file", "/etc/motd"), ("content", "hello")]).await.data();
    assert_eq!(
        client.get(&path("file-read?file=/etc/motd")).await.data(),
        &json!({ "content": "hello", "bytes-read": 5 })
    );
    let part = client.get(&path("file-read?file=/etc/motd&offset=1&count=2&decode=0")).await;
    assert_eq!(part.data(), &json!({ "content": "ZWw=", "bytes-read": 2, "truncated": 1 }));
    let encoded = [("file", "/etc/name"), ("content", "w7xiZXI="), ("encode", "0")];
    client.post(&path("file-write"), &encoded).await.data();
    assert_eq!(client.get(&path("file-read?file=/etc/name")).await.data()["content"], "über");
    let missing = client.get(&path("file-read?file=/none")).await;
    refused(&missing, 500, "Agent error: failed to open file '/none' (mode: 'r'): No such file or directory");
    let password = [("username", "debian"), ("password", "newpass1")];
    client.post(&path("set-user-password"), &password).await.data();
    assert_eq!(
        simulator.inspect(|cluster| cluster.guest(100).unwrap().password_of("debian").map(str::to_owned)).as_deref(),
        Some("newpass1")
    );
    let stranger = client.post(&path("set-user-password"), &[("username", "nobodyx"), ("password", "newpass1")]).await;
    refused(&stranger, 500, "Agent error: child process has failed to set user password");
    client.post(&path("fsfreeze-freeze"), &[]).await.data();
    assert_eq!(client.post(&path("fsfreeze-status"), &[]).await.data()["result"], "frozen");
    assert_eq!(client.post(&path("fsfreeze-thaw"), &[]).await.data()["result"], 1);
    for name in [
        "get-osinfo",
        "get-host-name",
        "get-users",
        "get-time",
        "get-timezone",
        "get-vcpus",
        "get-fsinfo",
        "get-memory-blocks",
        "get-memory-block-info",
        "info",
    ] {
        let answer = client.get(&path(name)).await;
        assert!(!answer.data()["result"].is_null(), "{name}: {}", answer.text);
        let by_name = client.post(AGENT, &[("command", name)]).await;
        assert!(!by_name.data()["result"].is_null(), "{name}: {}", by_name.text);
    }
    client.post(&path("shutdown"), &[]).await.data();
    assert_eq!(client.get("/nodes/pve1/qemu/100/status/current").await.data()["status"], "stopped");
}

#[tokio::test]
async fn one_privilege_opens_it_until_8_4_and_finer_ones_since_9() {
    for (release, privilege) in [(Release::V8_4, "VM.Monitor"), (Release::V9_2, "VM.GuestAgent.Audit")] {
        let (id, secret) = ("app@pve!agent", "7c1b0a4e-5d8e-4f6c-9b8d-2f1d3c4b5a69");
        let grants = |privileges: &[&str]| {
            let privileges = privileges.iter().map(|one| (*one).to_owned()).collect();
            TokenGrant { id: id.into(), secret: secret.into(), grants: vec![("/vms".into(), privileges)] }
        };
        for (held, status) in [(privilege, 200), ("VM.Audit", 403)] {
            let options = Options { release, restricted_tokens: vec![grants(&[held])], ..Options::default() };
            let (_simulator, client) = start(options);
            machine(&client).await;
            client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
            let theirs = client.with(Some(&format!("PVEAPIToken={id}={secret}")));
            let answers = [
                theirs.post(&format!("{AGENT}/ping"), &[]).await,
                theirs.get(&format!("{AGENT}/network-get-interfaces")).await,
                theirs.get(&format!("{AGENT}/info")).await,
            ];
            assert!(answers.iter().all(|answer| answer.status == status), "{release:?} {held}: {answers:?}");
            // What runs commands in the guest needs more since 9.
            let exec = theirs.post(&format!("{AGENT}/exec"), &[("command", "true")]).await;
            let expected = if release == Release::V8_4 && status == 200 { 200 } else { 403 };
            assert_eq!(exec.status, expected, "{}", exec.text);
        }
    }
}
