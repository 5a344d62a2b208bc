//! Consoles over the wire: VNC with its password, the serial line, who may connect, when and where, and the task that
//! lives as long as the connection.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod client;

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use des::Des;
use des::cipher::{BlockEncrypt as _, KeyInit as _};
use proxmox_simulator::{Options, Simulator, Timing, TokenGrant};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long an answer may take before a test fails.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const GUEST: &str = "/nodes/pve1/qemu/101";

/// A plain WebSocket, so that a test can break its rules.
struct Socket {
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
}

impl Socket {
    /// Asks for the WebSocket; the status line and headers, and the connection.
    async fn open(simulator: &Simulator, path: &str, token: &str) -> (String, Self) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(simulator.certificate_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(simulator.address()).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let head = format!(
            "GET /api2/json{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: PVEAPIToken={token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match tokio::time::timeout(ANSWER_MAX, stream.read(&mut byte)).await.unwrap() {
                Ok(1..) => answer.push(byte[0]),
                Ok(0) | Err(_) => break,
            }
        }
        (String::from_utf8(answer).unwrap(), Self { stream, received: Vec::new() })
    }

    async fn send(&mut self, bytes: &[u8]) {
        let mask = [7, 77, 177, 17];
        let mut frame = vec![0x82];
        match bytes.len() {
            length @ ..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(bytes.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Reads frames until so many bytes are there; fewer when the connection ended.
    async fn read(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length && self.read_frame().await {}
        let length = length.min(self.received.len());
        self.received.drain(..length).collect()
    }

    /// Reads until the text is there, or the connection ended.
    async fn read_until(&mut self, text: &str) -> String {
        while !String::from_utf8_lossy(&self.received).contains(text) && self.read_frame().await {}
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    async fn read_frame(&mut self) -> bool {
        let whole = async {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head).await.ok()?;
            assert_eq!(head[0], 0x82, "whole binary frames");
            let length = match head[1] {
                126 => usize::from(self.stream.read_u16().await.ok()?),
                127 => usize::try_from(self.stream.read_u64().await.ok()?).unwrap(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            self.received.extend(payload);
            Some(())
        };
        tokio::time::timeout(ANSWER_MAX, whole).await.expect("an answer in time").is_some()
    }

    /// Nothing more comes: the other side has ended.
    async fn has_ended(&mut self) -> bool {
        while self.read_frame().await {}
        true
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn socket_path(node: &str, vmid: u32, opened: &serde_json::Value) -> String {
    let port = opened["port"].as_str().unwrap();
    format!(
        "/nodes/{node}/qemu/{vmid}/vncwebsocket?port={port}&vncticket={}",
        encode(opened["ticket"].as_str().unwrap())
    )
}

/// A simulator with a running guest 101 called `web`.
async fn running(timing: Timing, serial: bool) -> (Simulator, Client) {
    let restricted_tokens = vec![TokenGrant {
        id: "other@pve!app".into(),
        secret: "00000000-0000-4000-8000-000000000000".into(),
        grants: vec![("/vms".into(), vec!["VM.Console".into()])],
    }];
    let simulator = Simulator::start(Options { nodes: 2, timing, restricted_tokens, ..Options::default() }).unwrap();
    let client = Client::new(&simulator);
    let mut form = vec![("vmid", "101"), ("name", "web")];
    if serial {
        form.push(("serial0", "socket"));
    }
    client.wait(&client.post("/nodes/pve1/qemu", &form).await.upid()).await;
    client.wait(&client.post(&format!("{GUEST}/status/start"), &[]).await.upid()).await;
    (simulator, client)
}

async fn open(client: &Client, what: &str) -> serde_json::Value {
    client
        .post(&format!("{GUEST}/{what}"), &[("websocket", "1")][..usize::from(what == "vncproxy")])
        .await
        .data()
        .clone()
}

fn response(password: &str, challenge: &[u8]) -> Vec<u8> {
    let mut key = [0; 8];
    for (byte, letter) in key.iter_mut().zip(password.bytes()) {
        *byte = letter.reverse_bits();
    }
    let mut answer = challenge.to_vec();
    for block in answer.chunks_exact_mut(8) {
        Des::new(&key.into()).encrypt_block(block.into());
    }
    answer
}

/// The handshake up to the result of the authentication.
async fn authenticate(socket: &mut Socket, password: &str) -> Vec<u8> {
    assert_eq!(socket.read(12).await, b"RFB 003.008\n");
    socket.send(b"RFB 003.008\n").await;
    assert_eq!(socket.read(2).await, [1, 2], "only VNC authentication");
    socket.send(&[2]).await;
    let challenge = socket.read(16).await;
    socket.send(&response(password, &challenge)).await;
    socket.read(4).await
}

/// Asks for the picture and gives its dots.
async fn picture(socket: &mut Socket, only_changed: u8) -> Vec<u8> {
    socket.send(&[3, only_changed, 0, 0, 0, 0, 2, 0xd0, 1, 0x90]).await;
    let head = socket.read(4).await;
    let count = u16::from_be_bytes([head[2], head[3]]);
    let mut dots = Vec::new();
    for _ in 0..count {
        let head = socket.read(12).await;
        let size = |index: usize| usize::from(u16::from_be_bytes([head[index], head[index + 1]]));
        assert_eq!(&head[8..], [0; 4], "raw");
        dots.extend(socket.read(size(4) * size(6) * 4).await);
    }
    dots
}

#[tokio::test]
async fn the_screen_is_shown_to_who_knows_the_password_and_echoes_keys() {
    let (simulator, client) = running(Timing::instant(), true).await;
    let opened = open(&client, "vncproxy").await;
    assert_eq!(opened["password"].as_str().unwrap().len(), 8);
    assert!(opened["ticket"].as_str().unwrap().contains(":PVEVNC:"));
    let path = socket_path("pve1", 101, &opened);
    assert_eq!(client.get(&path).await.data()["port"], opened["port"], "without an upgrade it only names the port");
    let (head, mut socket) = Socket::open(&simulator, &path, simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("Sec-Websocket-Protocol: binary"), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert_eq!(authenticate(&mut socket, opened["password"].as_str().unwrap()).await, [0; 4]);
    socket.send(&[1]).await;
    let init = socket.read(24).await;
    assert_eq!(&init[..4], [2, 0xd0, 1, 0x90], "720 by 400");
    let name = socket.read(usize::from(init[23])).await;
    assert_eq!(name, b"QEMU (web)");
    let dots = picture(&mut socket, 0).await;
    assert_eq!(dots.len(), 720 * 400 * 4);
    assert!(dots.contains(&0xaa), "something is written");
    socket.send(&[4, 1, 0, 0, 0, 0, 0, b'x']).await;
    assert_eq!(picture(&mut socket, 1).await.len(), 720 * 16 * 4, "the key is echoed: one line is drawn again");
    let before = simulator.guests().into_iter().find(|guest| guest.vmid == 101).unwrap().process.unwrap().booted;
    for key in [0xe3, 0xe9, 0xff] {
        socket.send(&[4, 1, 0, 0, 0, 0, 0xff, key]).await;
    }
    assert_eq!(picture(&mut socket, 1).await.len(), 720 * 400 * 4, "the picture begins again");
    let after = simulator.guests().into_iter().find(|guest| guest.vmid == 101).unwrap().process.unwrap().booted;
    assert!(after > before);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_connection_ends() {
    let (simulator, client) = running(Timing::instant(), true).await;
    let opened = open(&client, "vncproxy").await;
    let (_, mut socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    assert_eq!(authenticate(&mut socket, "wrong").await, [0, 0, 0, 1]);
    assert!(socket.read_until("never").await.ends_with("Authentication failed"));
    assert!(socket.has_ended().await);
}

#[tokio::test]
async fn the_task_runs_while_somebody_is_connected_and_ends_with_him() {
    let (simulator, client) = running(Timing::instant(), true).await;
    let opened = open(&client, "termproxy").await;
    let upid = opened["upid"].as_str().unwrap();
    let (_, socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    let status = client.get(&format!("/nodes/pve1/tasks/{upid}/status")).await;
    assert_eq!((&status.data()["status"], &status.data()["type"]), (&"running".into(), &"vncproxy".into()));
    drop(socket);
    assert_eq!(client.wait(upid).await, "OK");
}

#[tokio::test]
async fn a_serial_line_wants_its_ticket_first_and_has_a_shell() {
    let (simulator, client) = running(Timing::instant(), true).await;
    let opened = open(&client, "termproxy").await;
    let (_, mut socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    let (user, ticket) = (opened["user"].as_str().unwrap(), opened["ticket"].as_str().unwrap());
    socket.send(format!("{user}:{ticket}\n").as_bytes()).await;
    let text = socket.read_until("# ").await;
    assert!(text.starts_with("OKstarting serial terminal on interface serial0"), "{text}");
    socket.send(b"1:80:24:20:9:host").await;
    socket.send(b"name\r").await;
    assert_eq!(socket.read_until("# ").await, "hostname\r\nweb\r\nroot@web:~# ");

    let opened = open(&client, "termproxy").await;
    let (_, mut socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    socket.send(format!("{user}:{ticket}\n").as_bytes()).await;
    assert_eq!(socket.read_until("OK").await, "", "the ticket of another console");
    assert!(client.wait(opened["upid"].as_str().unwrap()).await.contains("termproxy"));
}

#[tokio::test]
async fn a_guest_without_a_serial_line_says_so_in_proxmoxs_words() {
    let (simulator, client) = running(Timing::instant(), false).await;
    let opened = open(&client, "termproxy").await;
    let (_, mut socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    let (user, ticket) = (opened["user"].as_str().unwrap(), opened["ticket"].as_str().unwrap());
    socket.send(format!("{user}:{ticket}\n").as_bytes()).await;
    assert_eq!(socket.read_until("never").await, "OKunable to find a serial interface\r\n");
    assert!(client.wait(opened["upid"].as_str().unwrap()).await.contains("failed: exit code 1"));
}

#[tokio::test]
async fn a_ticket_is_good_for_one_guest_port_node_and_caller() {
    let (simulator, client) = running(Timing::instant(), true).await;
    client.wait(&client.post("/nodes/pve1/qemu", &[("vmid", "102")]).await.upid()).await;
    let opened = open(&client, "vncproxy").await;
    let good = socket_path("pve1", 101, &opened);
    let denied = "permission denied - invalid PVEVNC ticket";
    let (head, _) = Socket::open(&simulator, &good.replace("qemu/101", "qemu/102"), simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 401") && head.contains(denied), "{head}");
    let (head, _) = Socket::open(&simulator, &good.replace("port=5900", "port=5901"), simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 401") && head.contains(denied), "{head}");
    let (head, _) = Socket::open(&simulator, &good.replace("port=5900", "port=80"), simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let (head, _) = Socket::open(&simulator, &format!("{good}x"), simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 401") && head.contains(denied), "{head}");
    let other = "other@pve!app=00000000-0000-4000-8000-000000000000";
    let (head, _) = Socket::open(&simulator, &good, other).await;
    assert!(head.starts_with("HTTP/1.1 401") && head.contains(denied), "{head}");
    let (head, _) = Socket::open(&simulator, &good, "other@pve!app=wrong").await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let (head, _) = Socket::open(&simulator, &good.replace("pve1", "pve2"), simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 500") && head.contains("nodes/pve2/qemu-server/101.conf"), "{head}");
    let short = opened["ticket"].as_str().unwrap().split_once(":PVEVNC").unwrap().1;
    let short = format!("/nodes/pve1/qemu/101/vncwebsocket?port=5900&vncticket={}", encode(&format!("PVEVNC{short}")));
    let (head, _socket) = Socket::open(&simulator, &short, simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 101"), "without the password before it: {head}");
    let (head, _) = Socket::open(&simulator, &good, simulator.token()).await;
    assert_eq!(head, "", "somebody is connected already");
}

#[tokio::test]
async fn nobody_waits_for_a_websocket_that_does_not_come() {
    let timing = Timing { console_wait: Duration::from_millis(1), ..Timing::instant() };
    let (simulator, client) = running(timing, true).await;
    let opened = open(&client, "vncproxy").await;
    assert_eq!(client.wait(opened["upid"].as_str().unwrap()).await, "connection timed out");
    let (head, _) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    assert_eq!(head, "", "no answer at all");

    let timing = Timing { console_ticket: Duration::ZERO, ..Timing::instant() };
    let (simulator, client) = running(timing, true).await;
    let opened = open(&client, "vncproxy").await;
    let (head, _) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 401"), "the ticket is too old: {head}");
}

#[tokio::test]
async fn frames_that_are_not_masked_or_not_whole_end_the_connection() {
    let (simulator, client) = running(Timing::instant(), true).await;
    for frame in [&[0x82, 1, b'R'][..], &[0x02, 0x81, 0, 0, 0, 0, b'R']] {
        let opened = open(&client, "vncproxy").await;
        let (_, mut socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
        assert_eq!(socket.read(12).await, b"RFB 003.008\n");
        socket.stream.write_all(frame).await.unwrap();
        assert!(socket.has_ended().await);
        assert_eq!(client.wait(opened["upid"].as_str().unwrap()).await, "OK");
    }
}

#[tokio::test]
async fn a_console_of_a_stopped_guest_opens_and_closes() {
    let (simulator, client) = running(Timing::instant(), true).await;
    let opened = open(&client, "vncproxy").await;
    let (_, mut socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    assert_eq!(socket.read(12).await, b"RFB 003.008\n");
    client.wait(&client.post(&format!("{GUEST}/status/stop"), &[]).await.upid()).await;
    assert!(socket.has_ended().await, "it ends with the guest");

    let opened = open(&client, "vncproxy").await;
    let (head, mut socket) = Socket::open(&simulator, &socket_path("pve1", 101, &opened), simulator.token()).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(socket.has_ended().await);
    assert_eq!(client.wait(opened["upid"].as_str().unwrap()).await, "Failed to run vncproxy.");
}

#[tokio::test]
async fn spice_needs_its_own_display() {
    let (_simulator, client) = running(Timing::instant(), true).await;
    let answer = client.post(&format!("{GUEST}/spiceproxy"), &[]).await;
    assert_eq!((answer.status, answer.reason.as_str()), (500, "no spice port"));
    client.send("PUT", &format!("{GUEST}/config"), &[("vga", "qxl")]).await.data();
    client.wait(&client.post(&format!("{GUEST}/status/stop"), &[]).await.upid()).await;
    assert_eq!(client.post(&format!("{GUEST}/spiceproxy"), &[]).await.reason, "VM 101 not running");
    client.wait(&client.post(&format!("{GUEST}/status/start"), &[]).await.upid()).await;
    let answer = client.post(&format!("{GUEST}/spiceproxy"), &[]).await;
    assert_eq!(answer.data()["type"], "spice");
}
