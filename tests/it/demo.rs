//! `uni-manager demo` as a real process: started twice on one folder, stopped by Ctrl-C, leaving nothing running.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::world::text;

const READY_SECONDS_MAX: u64 = 90;
/// Ctrl-C ends a demo within this time, PostgreSQL's last writing included.
const STOP_SECONDS_MAX: u64 = 15;

struct Demo {
    process: Child,
    known: Value,
    http: reqwest::Client,
}

impl Demo {
    /// Starts it and waits for the one short screen.
    async fn start(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_uni-manager"))
            .args(["demo", "--speed", "3600", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("Ctrl-C stops it") {
                    return;
                }
            }
            panic!("the demo ended before it was ready");
        };
        tokio::time::timeout(Duration::from_secs(READY_SECONDS_MAX), ready).await.unwrap();
        // Whatever else it says is read, so that it never waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let known = serde_json::from_str(&std::fs::read_to_string(folder.join("demo.json")).unwrap()).unwrap();
        Self { process, known, http: reqwest::Client::new() }
    }

    /// A request to its API as the customer.
    async fn ask(&self, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/api/v1", text(&self.known, "/url"));
        let login = json!({ "email": self.known["customer"]["email"], "password": self.known["customer"]["password"] });
        let tokens: Value =
            self.http.post(format!("{url}/auth/login")).json(&login).send().await.unwrap().json().await.unwrap();
        let request = match body {
            Some(body) => self.http.post(format!("{url}{path}")).json(&body),
            None => self.http.get(format!("{url}{path}")),
        };
        let response = request.bearer_auth(text(&tokens, "/access_token")).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    /// Asks until the answer is as wanted.
    async fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let answer = self.ask(path, None).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(READY_SECONDS_MAX), asking)
            .await
            .unwrap_or_else(|_| panic!("{path} never became what was waited for"))
    }

    /// Ctrl-C.
    async fn stop(mut self) {
        let began = Instant::now();
        kill_process(Pid::from_raw(i32::try_from(self.process.id().unwrap()).unwrap()).unwrap(), Signal::INT).unwrap();
        let status = tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), self.process.wait())
            .await
            .expect("it ends in time")
            .unwrap();
        assert_eq!(status.code(), Some(0), "after {:?}", began.elapsed());
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether any process has this folder on its command line.
fn somebody_uses(folder: &Path) -> bool {
    let wanted = folder.to_string_lossy().into_owned();
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        std::fs::read(process.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&wanted))
    })
}

#[tokio::test]
async fn a_demo_goes_on_where_it_was_stopped() {
    let folder = Folder(std::env::temp_dir().join(format!("uni-manager-demo-test-{}", std::process::id())));
    let demo = Demo::start(&folder.0).await;
    let mode = std::fs::metadata(folder.0.join("demo.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner may read it");
    for field in [
        "/url",
        "/admin/email",
        "/admin/password",
        "/customer/email",
        "/customer/password",
        "/simulator/url",
        "/simulator/token",
        "/simulator/fingerprint",
        "/database_url",
    ] {
        assert!(!text(&demo.known, field).is_empty(), "{field}");
    }
    let (user, secret) = text(&demo.known, "/simulator/token").split_once('=').unwrap();
    assert!(user.contains('@') && user.contains('!') && !secret.is_empty());
    let first = |list: Value| list["items"][0]["id"].clone();
    let order = json!({
        "name": "web",
        "location": first(demo.ask("/locations", None).await),
        "image": first(demo.ask("/images", None).await),
        "plan": first(demo.ask("/plans", None).await),
        "new_key": { "name": "laptop", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann" },
    });
    let vm = text(&demo.ask("/vms", Some(order)).await, "/vm/id").to_owned();
    demo.wait_for(&format!("/vms/{vm}"), |vm| vm["state"] == "running").await;
    demo.wait_for("/charges", |charges| charges["items"].as_array().is_some_and(|items| items.len() >= 2)).await;
    let known = demo.known.clone();
    demo.stop().await;
    assert!(!somebody_uses(&folder.0), "nothing is left running");
    let saved: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.0.join("simulator.json")).unwrap()).unwrap();
    assert!(saved["state"].to_string().contains(&vm), "the guest is in what was saved of the cluster");

    let again = Demo::start(&folder.0).await;
    assert_eq!(again.known["customer"], known["customer"]);
    assert_eq!(again.known["simulator"]["fingerprint"], known["simulator"]["fingerprint"]);
    let charged = again.ask("/transfers?limit=100", None).await["items"].as_array().unwrap().len();
    assert!(charged >= 2);
    let shown = again.ask(&format!("/vms/{vm}"), None).await;
    assert!(["running", "stopped"].contains(&text(&shown, "/state")), "{shown}");
    again
        .wait_for("/transfers?limit=100", |transfers| {
            transfers["items"].as_array().is_some_and(|items| items.len() > charged)
        })
        .await;
    let second = Command::new(env!("CARGO_BIN_EXE_uni-manager"))
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(&folder.0)
        .output()
        .await
        .unwrap();
    assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("another demo is using"));
    again.stop().await;
    assert!(!somebody_uses(&folder.0), "nothing is left running");
}
