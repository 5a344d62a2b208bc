//! Snapshots that a later simulator continues from, faults on demand, the cluster going away, the TLS identity.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use proxmox_simulator::{Fault, FaultKind, Options, Simulator, Timing};
use serde_json::json;

#[tokio::test]
async fn a_later_simulator_continues_from_a_snapshot() {
    let first =
        Simulator::start(Options { nodes: 2, timing: Timing::realistic().scaled(0.05), ..Options::default() }).unwrap();
    let client = Client::new(&first);
    let upid = client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "300")]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    let upid = client.post("/nodes/pve1/qemu/300/status/start", &[]).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
    let changes = first.changes();
    let unfinished = client.post("/nodes/pve1/qemu/9001/clone", &[("newid", "301"), ("full", "1")]).await.upid();
    assert!(first.changes() > changes);
    let state = first.snapshot();
    assert_eq!(state, serde_json::from_str::<serde_json::Value>(&state.to_string()).unwrap());
    let pid = first.inspect(|cluster| cluster.guest(300).unwrap().process.clone().unwrap().pid);
    let (identity, fingerprint) = (first.identity().clone(), first.fingerprint().to_owned());
    let token = first.token().split_once('=').map(|(id, secret)| (id.to_owned(), secret.to_owned()));
    first.shutdown();

    let second =
        Simulator::start(Options { state: Some(state), identity: Some(identity), token, ..Options::default() })
            .unwrap();
    assert_eq!(second.fingerprint(), fingerprint);
    let client = Client::new(&second);
    let current = client.get("/nodes/pve1/qemu/300/status/current").await;
    assert_eq!(
        (current.data()["status"].as_str(), current.data()["pid"].as_u64()),
        (Some("running"), Some(u64::from(pid)))
    );
    assert_eq!(client.exit(&unfinished).await, "OK", "a task under way appears ended, with its effect");
    assert_eq!(client.get("/nodes/pve1/qemu/301/config").await.data()["scsi0"], "shared:vm-301-disk-0,size=4G");
    let upid = client.send("DELETE", "/nodes/pve1/qemu/301", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(client.get("/cluster/nextid").await.data(), "100");
}

#[tokio::test]
async fn faults_spoil_as_many_calls_as_they_say() {
    let simulator = Simulator::start(Options { admin_token: Some("admin".to_owned()), ..Options::default() }).unwrap();
    let client = Client::new(&simulator);
    let clone = |id: &'static str| {
        let client = client.clone();
        async move { client.try_send("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", id.to_owned())]).await }
    };
    let exists = |vmid: u32| simulator.inspect(|cluster| cluster.guest(vmid).is_some());
    let inject = |kind: FaultKind| simulator.faults().inject(Fault::once("POST", "/clone", kind));

    inject(FaultKind::DropBefore);
    assert!(clone("101").await.is_err());
    assert!(!exists(101));
    inject(FaultKind::DropAfter);
    assert!(clone("102").await.is_err());
    assert!(exists(102));
    inject(FaultKind::Proxy595);
    let answer = clone("103").await.unwrap();
    assert_eq!((answer.status, answer.text.as_str(), exists(103)), (595, "", false));
    inject(FaultKind::Proxy596AfterWork);
    let answer = clone("104").await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str(), exists(104)), (596, "Connection timed out", true));
    inject(FaultKind::TaskFails("clone failed: no space left".to_owned()));
    let upid = clone("105").await.unwrap().upid();
    assert_eq!((client.exit(&upid).await.as_str(), exists(105)), ("clone failed: no space left", false));
    inject(FaultKind::TaskFails("WARNINGS: 1".to_owned()));
    let upid = clone("106").await.unwrap().upid();
    assert_eq!((client.exit(&upid).await.as_str(), exists(106)), ("WARNINGS: 1", true));
    inject(FaultKind::Html);
    let answer = clone("107").await.unwrap();
    assert!(answer.status == 502 && answer.text.starts_with("<html>") && !exists(107));
    simulator.faults().inject(Fault {
        times: 2,
        ..Fault::once(
            "POST",
            "/clone",
            FaultKind::Refuse { status: 500, message: "can't lock file 'x' - got timeout".to_owned() },
        )
    });
    for _ in 0..2 {
        assert_eq!(clone("108").await.unwrap().body["message"], "can't lock file 'x' - got timeout\n");
    }
    clone("108").await.unwrap().upid();
    inject(FaultKind::Delay(Duration::from_millis(150)));
    let begun = std::time::Instant::now();
    clone("109").await.unwrap().upid();
    assert!(begun.elapsed() >= Duration::from_millis(150));
    assert_eq!(simulator.faults().waiting(), 0);

    // The same over HTTP, for who has the administration token.
    let fault = json!({ "method": "GET", "path": "/version", "times": 3, "kind": { "refuse": { "status": 500, "message": "no" } } });
    let post =
        |token: &str| client.http.post(format!("{}/simulator/faults", simulator.url())).bearer_auth(token).json(&fault);
    assert_eq!(post("wrong").send().await.unwrap().status(), 401);
    assert_eq!(post("admin").send().await.unwrap().status(), 200);
    assert_eq!(client.get("/version").await.reason, "no");
    let delete = client.http.delete(format!("{}/simulator/faults", simulator.url())).bearer_auth("admin");
    assert_eq!(delete.send().await.unwrap().status(), 200);
    assert_eq!(client.get("/version").await.status, 200);
}

#[tokio::test]
async fn a_cluster_that_is_away_refuses_and_comes_back() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let client = Client::new(&simulator);
    assert_eq!(client.get("/version").await.status, 200);
    simulator.set_away(true);
    // The client needs a moment to notice that its idle connection is gone.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = client.try_send("GET", "/version", &[]).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    simulator.set_away(false);
    simulator.set_away(false);
    assert_eq!(client.get("/version").await.status, 200);
    // Its address is free as soon as it is gone.
    let listen = simulator.address();
    simulator.shutdown();
    let again = Simulator::start(Options { listen, ..Options::default() }).unwrap();
    assert_eq!(again.address(), listen);
}

#[tokio::test]
async fn refused_authentication_is_held_back_as_long_as_asked() {
    let simulator = Simulator::start(Options { auth_delay: Duration::from_millis(200), ..Options::default() }).unwrap();
    let client = Client::new(&simulator);
    let begun = std::time::Instant::now();
    let answer = client.with(Some("PVEAPIToken=root@pam!simulator=wrong")).get("/version").await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.text.as_str()), (401, "Authentication failed!", ""));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(client.with(None).get("/version").await.reason, "No ticket");
}

#[test]
fn the_fingerprint_is_that_of_the_certificate_on_the_wire() {
    use tokio_rustls::rustls;
    let simulator = Simulator::start(Options::default()).unwrap();
    let certificate = {
        use rustls::pki_types::pem::PemObject as _;
        rustls::pki_types::CertificateDer::from_pem_slice(simulator.certificate_pem().as_bytes()).unwrap()
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut socket = std::net::TcpStream::connect(simulator.address()).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).unwrap();
    }
    let leaf = &connection.peer_certificates().unwrap()[0];
    let octets: Vec<String> =
        <sha2::Sha256 as sha2::Digest>::digest(leaf).iter().map(|octet| format!("{octet:02X}")).collect();
    assert_eq!(simulator.fingerprint(), octets.join(":"));
    assert_eq!(simulator.fingerprint().len(), 32 * 3 - 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio_rustls::rustls;
    let keep_alive = Duration::from_millis(300);
    let simulator = Simulator::start(Options { keep_alive, ..Options::default() }).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let certificate = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
        simulator.certificate_pem().as_bytes(),
    );
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = tokio::net::TcpStream::connect(simulator.address()).await.unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    let request = format!(
        "GET /api2/json/version HTTP/1.1\r\nHost: x\r\nAuthorization: PVEAPIToken={}\r\n\r\n",
        simulator.token()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let begun = std::time::Instant::now();
    let mut received = Vec::new();
    // The end may come without TLS's own farewell.
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut received)).await;
    assert!(ended.is_ok(), "the connection stayed open");
    assert!(begun.elapsed() >= Duration::from_millis(250), "closed after {:?}", begun.elapsed());
    assert!(
        received.starts_with(b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n"),
        "{}",
        String::from_utf8_lossy(&received)
    );
}

#[cfg(unix)]
#[tokio::test]
async fn the_program_shows_its_certificate_and_keeps_its_state_when_it_is_terminated() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("terminated-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (certificate, state) = (folder.join("certificate.pem"), folder.join("state.json"));
    let token = "root@pam!mine=7c1b0a4e-5d8e-4f6c-9b8d-2f1d3c4b5a69";
    for vmid in ["100", "101"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_proxmox-simulator"))
            .args(["--listen", "127.0.0.1:0", "--nodes", "1", "--timing", "instant", "--token", token])
            .args([std::ffi::OsStr::new("--certificate"), certificate.as_os_str()])
            .args([std::ffi::OsStr::new("--state"), state.as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok).take(4);
        let said: Vec<String> = said.collect();
        let url = said[0].strip_prefix("url").unwrap().trim().to_owned();
        let trusted = reqwest::Certificate::from_pem(&std::fs::read(&certificate).unwrap()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
        let call = |request: reqwest::RequestBuilder| {
            let request = request.header("Authorization", format!("PVEAPIToken={token}"));
            async move { request.send().await.unwrap() }
        };
        let clone = http.post(format!("{url}/api2/json/nodes/pve1/qemu/9000/clone")).form(&[("newid", vmid)]);
        assert_eq!(call(clone).await.status().as_u16(), 200);
        let first = call(http.get(format!("{url}/api2/json/nodes/pve1/qemu/100/config"))).await;
        assert_eq!(first.status().as_u16(), 200, "the first guest is there, also after a restart");
        let told = Command::new("kill").arg(program.id().to_string()).status().unwrap();
        assert!(told.success());
        assert!(program.wait().unwrap().success(), "it ends in order");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
