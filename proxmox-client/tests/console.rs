//! Consoles: what is sent, and what a WebSocket library is given.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use std::time::Duration;

use proxmox_client::{ApiToken, Client, ConsoleSocket, Error, Fingerprint, Settings, Trust};
use secrecy::{ExposeSecret, SecretString};
use support::{Reply, Server};
use tokio::io::AsyncReadExt;

const TASK: &str = "UPID:pve:000005E6:000610B1:6B00B674:vncproxy:101:panel@pve!app:";
const TICKET: &str = "#'G&6)%+:PVEVNC:6B00BDDA::a/b+c==";
const SECRET: &str = "12345678-1234-1234-1234-123456789abc";

fn proxy(password: &str) -> Reply {
    Reply::data(&format!(
        r#"{{"port":"5901","ticket":{TICKET:?},"user":"panel@pve!app","upid":{TASK:?},"cert":"x"{password}}}"#
    ))
}

#[tokio::test]
async fn a_screen_is_opened_for_a_websocket() {
    let server = Server::start([proxy(r#","password":"abcdefgh""#), proxy("")]).await;
    let client = server.client();
    let console = client.open_vnc("pve", 101).await.unwrap();
    assert_eq!((console.port, console.user.as_str(), console.upid.worker_type()), (5901, "panel@pve!app", "vncproxy"));
    assert_eq!(console.password.expose_secret(), "abcdefgh");
    let shown = format!("{console:?}");
    assert!(!shown.contains("PVEVNC") && !shown.contains("abcdefgh"), "{shown}");
    let older = client.open_vnc("pve", 101).await.unwrap();
    assert_eq!(older.password.expose_secret(), TICKET);
    let seen = &server.seen()[0];
    assert_eq!((seen.target.as_str(), seen.body.as_str()), ("/api2/json/nodes/pve/qemu/101/vncproxy", "websocket=1"));
}

#[tokio::test]
async fn a_terminal_is_greeted() {
    let server = Server::start([proxy(""), proxy("")]).await;
    let client = server.client();
    let console = client.open_terminal("pve", 101, None).await.unwrap();
    assert_eq!(console.greeting().expose_secret(), format!("panel@pve!app:{TICKET}\n"));
    client.open_terminal("pve", 101, Some(1)).await.unwrap();
    let seen = server.seen();
    assert_eq!((seen[0].target.as_str(), seen[0].body.as_str()), ("/api2/json/nodes/pve/qemu/101/termproxy", ""));
    assert_eq!(seen[1].body, "serial=serial1");
    assert!(!format!("{console:?}").contains("PVEVNC"));
}

#[tokio::test]
async fn a_websocket_is_opened() {
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\u{2}\u{c}RFB 003.008\n";
    let bad = Reply::new(401, "permission denied - invalid PVEVNC ticket", None, "");
    let replies =
        [proxy(""), Reply::Bytes(switched.as_bytes().to_vec()), bad, Reply::new(200, "OK", None, ""), Reply::Hang];
    let server = Server::start(replies).await;
    let screen = server.client().open_vnc("pve", 101).await.unwrap();
    let limit = Duration::from_millis(300);
    let mut socket = screen.socket().connect(limit).await.unwrap();
    let mut first = [0; 14];
    socket.read_exact(&mut first).await.unwrap();
    assert_eq!(&first[2..], b"RFB 003.008\n");
    let seen = &server.seen()[1];
    assert!(seen.target.starts_with("/api2/json/nodes/pve/qemu/101/vncwebsocket?port=5901&vncticket=%23"));
    assert_eq!((seen.header("upgrade"), seen.header("sec-websocket-protocol")), (Some("websocket"), Some("binary")));
    assert_eq!(seen.header("sec-websocket-key").map(str::len), Some(24));
    assert!(seen.header("authorization").is_some());

    let Err(Error::Refused(refusal)) = screen.socket().connect(limit).await else {
        panic!("not refused");
    };
    assert!(refusal.is_unauthenticated() && !refusal.to_string().contains("vncticket"), "{refusal}");
    for _ in 0..2 {
        let error = screen.socket().connect(limit).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::MaybeDone { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("PVEVNC"), "{error:?}");
    }
}

fn client(endpoint: &str, trust: Trust) -> Client {
    let token = ApiToken::new("panel@pve!app", SECRET).unwrap();
    Client::new(Settings::new(endpoint, token, trust)).unwrap()
}

#[test]
fn the_socket_has_address_headers_and_trust() {
    let pinned = Fingerprint::of_certificate(b"none");
    let client = client("https://pve1.example:8006", Trust::Fingerprint(pinned));
    let ticket = SecretString::from(TICKET);
    let socket = client.console_socket("pve", 101, 5901, &ticket).unwrap();
    assert_eq!(
        socket.url().expose_secret(),
        "wss://pve1.example:8006/api2/json/nodes/pve/qemu/101/vncwebsocket?port=5901\
         &vncticket=%23%27G%266%29%25%2B%3APVEVNC%3A6B00BDDA%3A%3Aa%2Fb%2Bc%3D%3D"
    );
    let headers = socket.headers();
    assert_eq!(headers[0].0, "Authorization");
    assert_eq!(headers[0].1.expose_secret(), format!("PVEAPIToken=panel@pve!app={SECRET}"));
    assert_eq!((headers[1].0, headers[1].1.expose_secret()), ("Sec-WebSocket-Protocol", ConsoleSocket::PROTOCOL));
    assert!(matches!(socket.trust(), Trust::Fingerprint(own) if *own == pinned));
    let tls = socket.tls().unwrap();
    assert_eq!(tls.alpn_protocols, [b"http/1.1".to_vec()]);
    let shown = format!("{socket:?} {headers:?}");
    assert!(shown.contains("vncwebsocket") && !shown.contains("PVEVNC") && !shown.contains(SECRET), "{shown}");
    assert!(matches!(client.console_socket("a/b", 101, 5901, &ticket), Err(Error::NeverSent { .. })));
}

#[test]
fn a_simulator_is_reached_without_tls() {
    let socket = client("http://127.0.0.1:8006", Trust::Fingerprint(Fingerprint::of_certificate(b"none")))
        .console_socket("pve", 101, 5900, &SecretString::from("t"))
        .unwrap();
    assert_eq!(
        socket.url().expose_secret(),
        "ws://127.0.0.1:8006/api2/json/nodes/pve/qemu/101/vncwebsocket?port=5900&vncticket=t"
    );
}
