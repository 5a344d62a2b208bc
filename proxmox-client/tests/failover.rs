//! Two endpoints of one cluster, the first of which is down, lies, hangs or shows another certificate:
//! what goes on to the second, what does not, and what an operator can see of it.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proxmox_client::{Client, Endpoint, Error, Fingerprint, NeverSentCause, Settings, Trust};
use secrecy::ExposeSecret;
use support::encrypted::{signed, start};
use support::{Busy, Reply, Server, settings};
use tokio::net::TcpListener;

/// Time for one request here.
const PATIENCE: Duration = Duration::from_millis(300);

fn url(server: &Server) -> String {
    format!("http://{}", server.address)
}

async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn client(first: impl Into<Endpoint>, second: impl Into<Endpoint>) -> Client {
    let endpoints = vec![first.into(), second.into()];
    Client::new(Settings { request_timeout: PATIENCE, endpoints, ..settings("") }).unwrap()
}

fn page(status: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\n\r\n<html>hello</html>").into_bytes())
}

/// What a first endpoint may do with a request, and whether another may be asked to make a change then.
fn failures() -> Vec<(&'static str, Reply, bool)> {
    let no_quorum = r#"{"data":null,"message":"cluster not ready - no quorum?\n"}"#;
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":".to_vec();
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n".to_vec();
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{\"data\":".to_vec();
    vec![
        ("a web page", page("200 OK"), false),
        ("a web page that says it is missing", page("404 Not Found"), false),
        ("a gateway's web page", page("502 Bad Gateway"), false),
        ("nothing", Reply::new(200, "OK", None, ""), false),
        ("no JSON", Reply::json(200, "OK", "pong"), false),
        ("half an answer", Reply::Bytes(cut), false),
        ("a hang-up", Reply::Nothing, false),
        ("silence", Reply::Hang, false),
        ("a byte now and then", Reply::Drip(Duration::from_millis(20), Vec::new(), whole), false),
        (
            "an answer after the time",
            Reply::Late(PATIENCE * 2, b"HTTP/1.1 200 OK\r\n\r\n{\"data\":[]}".to_vec()),
            false,
        ),
        ("a redirect", Reply::Bytes(redirect), false),
        ("no quorum", Reply::json(500, "cluster not ready - no quorum?", no_quorum), false),
        ("its own daemon is down", Reply::new(595, "Connection refused", None, ""), true),
        ("its own daemon fell silent", Reply::new(596, "Connection timed out", None, ""), false),
    ]
}

#[tokio::test]
async fn a_read_goes_on_to_the_next_endpoint_and_stays_there() {
    for (what, reply, _) in failures() {
        let bad = Server::start([reply]).await;
        let good = Server::start([Reply::data("[]"), Reply::data("[]")]).await;
        let client = client(url(&bad), url(&good));
        assert_eq!(client.pools().await, Ok(Vec::new()), "{what}");
        assert_eq!(client.endpoint(), url(&good), "{what}");
        let states = client.endpoints();
        assert_eq!((states[0].failures, states[1].failures), (1, 0), "{what}");
        assert!(states[0].passed_over.is_some() && states[0].last_error.is_some(), "{what}");
        assert!(!states[0].is_current && states[1].is_current, "{what}");
        assert_eq!(client.pools().await, Ok(Vec::new()), "{what}");
        assert_eq!((bad.seen().len(), good.seen().len()), (1, 2), "{what}: the second call asks the good one only");
    }
}

#[tokio::test]
async fn a_change_goes_on_only_if_it_was_never_sent() {
    for (what, reply, goes_on) in failures() {
        let bad = Server::start([reply]).await;
        let good = Server::start([Reply::data("null"), Reply::data("null")]).await;
        let client = client(url(&bad), url(&good));
        let result = client.create_pool("p", None).await;
        assert_eq!((bad.seen().len(), good.seen().len()), (1, usize::from(goes_on)), "{what}");
        if goes_on {
            assert_eq!(result, Ok(()), "{what}");
            continue;
        }
        let error = result.unwrap_err();
        assert!(!matches!(error, Error::NeverSent { .. }), "{what}: {error:?}");
        if what == "no quorum" {
            let refusal = error.refusal().unwrap();
            assert!(refusal.is_without_quorum() && refusal.is_busy(), "{error:?}");
        }
        // Whoever repeats it, having looked, reaches the other one.
        assert_eq!(client.create_pool("p", None).await, Ok(()), "{what}");
        assert_eq!((bad.seen().len(), good.seen().len()), (1, 1), "{what}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_left_for_the_next_endpoint() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n{\"data\":[".to_vec();
    let bad = Server::start([Reply::Endless(head, b" ".to_vec())]).await;
    let good = Server::start([Reply::data("[]")]).await;
    let endpoints = vec![url(&bad).into(), url(&good).into()];
    let client = Client::new(Settings { endpoints, ..settings("") }).unwrap();
    assert_eq!(client.pools().await, Ok(Vec::new()));
    let error = client.endpoints()[0].last_error.clone().unwrap();
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_no_change() {
    let good = Server::start([Reply::data("null"), Reply::data("[]")]).await;
    let client = client(closed_port().await, url(&good));
    assert_eq!(client.create_pool("p", None).await, Ok(()));
    assert_eq!(client.pools().await, Ok(Vec::new()));
    assert_eq!(good.seen().len(), 2);
    let error = client.endpoints()[0].last_error.clone().unwrap();
    assert!(matches!(error, Error::NeverSent { cause: NeverSentCause::Connect, .. }), "{error:?}");
}

#[tokio::test]
async fn answers_of_the_api_are_not_asked_for_twice() {
    let lie = Reply::data(r#"{"an":"object"}"#);
    for reply in [
        Reply::new(401, "No ticket", None, ""),
        Reply::json(403, "Permission check failed (/pool/p, Pool.Audit)", r#"{"data":null}"#),
        Reply::json(500, "something failed", r#"{"data":null}"#),
        lie,
    ] {
        let first = Server::start([reply.clone()]).await;
        let second = Server::start([]).await;
        let client = client(url(&first), url(&second));
        assert!(client.pools().await.is_err());
        assert!(second.seen().is_empty(), "{reply:?}");
        assert_eq!(client.endpoints()[0].failures, 0, "{reply:?}");
    }
}

#[tokio::test]
async fn a_dead_node_is_not_the_fault_of_the_endpoint_that_says_so() {
    for status in [595, 596, 599] {
        let first = Server::start([Reply::new(status, "No route to host", None, ""), Reply::data("[]")]).await;
        let second = Server::start([]).await;
        let client = client(url(&first), url(&second));
        let error = client.vm_status("pve7", 101).await.unwrap_err();
        assert!(error.is_node_out_of_reach(), "{error:?}");
        assert_eq!(client.endpoints()[0].failures, 0);
        assert_eq!(client.pools().await, Ok(Vec::new()));
        assert!(second.seen().is_empty());
    }
}

#[tokio::test]
async fn each_endpoint_has_a_certificate_of_its_own_and_a_changed_one_is_reported() {
    let (one, two) = (signed(), signed());
    let (first, first_requests) = start(&one).await;
    let (second, second_requests) = start(&two).await;
    let endpoint = |address: std::net::SocketAddr, leaf: &[u8]| {
        Endpoint::new(format!("https://{address}")).trust(Trust::Fingerprint(Fingerprint::of_certificate(leaf)))
    };
    let both = client(endpoint(first, &one.leaf), endpoint(second, &two.leaf));
    assert!(both.check_endpoints().await.iter().all(|state| state.failures == 0 && state.last_error.is_none()));
    assert_eq!((first_requests.load(Ordering::SeqCst), second_requests.load(Ordering::SeqCst)), (1, 1));

    // The first one's certificate is not the pinned one any more: nothing is sent there.
    let changed = client(endpoint(first, b"the old one"), endpoint(second, &two.leaf));
    assert_eq!(changed.next_id().await, Ok(100));
    let state = &changed.endpoints()[0];
    assert!(state.is_tls_failure());
    let shown = Fingerprint::of_certificate(&one.leaf).to_string();
    assert!(state.last_error.as_ref().unwrap().to_string().contains(&shown), "{state:?}");
    assert_eq!(first_requests.load(Ordering::SeqCst), 1);
    assert!(!changed.endpoints()[1].is_tls_failure());

    // One that nobody has needed yet is found by looking.
    let spare = client(endpoint(second, &two.leaf), endpoint(first, b"the old one"));
    assert_eq!(spare.next_id().await, Ok(100));
    assert!(!spare.endpoints()[1].is_tls_failure());
    assert!(spare.check_endpoints().await[1].is_tls_failure());
    assert!(spare.endpoint().ends_with(&second.to_string()));
}

#[tokio::test]
async fn when_all_are_dead_the_error_says_why_each_is() {
    let signed = signed();
    let (tls, _) = start(&signed).await;
    let closed = closed_port().await;
    let all = client(closed.clone(), format!("https://{tls}"));
    let error = all.create_pool("p", None).await.unwrap_err();
    let Error::NeverSent { cause: NeverSentCause::Tls, detail, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(detail.contains(&format!("{closed}: no connection")), "{detail}");
    assert!(detail.contains(&format!("https://{tls}: the server's certificate has the fingerprint")), "{detail}");
    assert!(!format!("{error:?} {error} {all:?} {:?}", all.endpoints()).contains("12345678"), "a secret is shown");
}

#[tokio::test]
async fn one_that_is_passed_over_is_asked_when_nothing_else_answers() {
    let first = Server::start([page("200 OK"), Reply::data("[]")]).await;
    let second = Server::start([Reply::data("[]"), page("200 OK")]).await;
    let client = client(url(&first), url(&second));
    assert_eq!(client.pools().await, Ok(Vec::new()));
    assert_eq!(client.pools().await, Ok(Vec::new()));
    assert_eq!((first.seen().len(), second.seen().len()), (2, 2));
    assert_eq!(client.endpoint(), url(&first));
}

#[tokio::test]
async fn trying_all_of_them_ends_in_time() {
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(Server::start([Reply::Hang]).await);
    }
    let endpoints = servers.iter().map(|server| url(server).into()).collect();
    let limits = Settings { request_timeout: PATIENCE, failover_timeout: PATIENCE / 2 * 3, endpoints, ..settings("") };
    let client = Client::new(limits).unwrap();
    let begun = Instant::now();
    let error = client.pools().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let asked: Vec<usize> = servers.iter().map(|server| server.seen().len()).collect();
    assert_eq!(asked, [1, 1, 0, 0]);
    let text = error.to_string();
    assert!(text.contains(&format!("{}: no complete answer in time", url(&servers[1]))), "{text}");
    assert!(text.contains(&format!("{}: not asked, the time was up", url(&servers[3]))), "{text}");
}

#[tokio::test]
async fn the_limit_of_requests_at_once_is_one_for_all_endpoints() {
    for (limit, most) in [(1, 1), (8, 4)] {
        let busy = Arc::new(Busy::default());
        let mut servers = Vec::new();
        for _ in 0..4 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let answer =
                b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\":{\"version\":\"9.2\",\"release\":\"9\"}}";
            let reply = Reply::Late(Duration::from_millis(100), answer.to_vec());
            servers.push(Server::counting(listener, [reply], Arc::clone(&busy)));
        }
        let endpoints = servers.iter().map(|server| url(server).into()).collect();
        let client = Client::new(Settings { requests_at_once: limit, endpoints, ..settings("") }).unwrap();
        let states = client.check_endpoints().await;
        assert!(states.iter().all(|state| state.last_error.is_none()), "{states:?}");
        assert_eq!(busy.most(), most, "limit {limit}");
    }
}

#[tokio::test]
async fn a_console_is_opened_where_its_port_is() {
    let task = "UPID:pve:000005E6:000610B1:6B00B674:vncproxy:101:panel@pve!app:";
    let proxy = format!(r#"{{"port":"5901","ticket":"PVEVNC:x","user":"panel@pve!app","upid":"{task}"}}"#);
    let good = Server::start([Reply::data(&proxy), Reply::data(&proxy)]).await;
    let pinned = Fingerprint::of_certificate(b"of the second");
    let second = Endpoint::new(url(&good)).trust(Trust::Fingerprint(pinned));
    let client = client(closed_port().await, second);
    let screen = client.open_vnc("pve", 101).await.unwrap();
    let terminal = client.open_terminal("pve", 101, None).await.unwrap();
    for socket in [screen.socket(), terminal.socket()] {
        let address = socket.url().expose_secret();
        assert!(address.starts_with(&format!("ws://{}/api2/json/nodes/pve/qemu/101/", good.address)), "{address}");
        assert!(matches!(socket.trust(), Trust::Fingerprint(own) if *own == pinned));
    }
    assert!(!format!("{screen:?} {terminal:?}").contains("PVEVNC"));
}
