//! Consoles through the door: what a browser and a program see, who is let in, and what ends it.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use uni_manager::sessions::Standing;

use crate::doors::{browser, new_key};
use crate::organisations::{ask, member};
use crate::world::{Answer, Customer, World, send, text};

/// How long anything may take before a test fails.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A WebSocket as a browser or a program opens it.
struct Socket {
    stream: WebSocketStream<TcpStream>,
    received: Vec<u8>,
}

/// How a console was closed: the code and the sentence.
type Closed = (u16, String);

impl Socket {
    /// Opens it; the status of the refusal when there is one.
    async fn open(world: &World, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let url = format!("{}{path}", world.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers.iter().chain(&[("sec-websocket-protocol", "binary")]) {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(world.url.trim_start_matches("http://")).await.unwrap();
        match tokio::time::timeout(ANSWER_MAX, client_async(request, stream)).await.unwrap() {
            Ok((stream, answer)) => {
                assert_eq!(answer.headers()["sec-websocket-protocol"], "binary");
                Ok(Self { stream, received: Vec::new() })
            }
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.send(Message::Binary(bytes.to_vec().into())).await.unwrap();
    }

    /// The next bytes, or how it was closed.
    async fn more(&mut self) -> Result<(), Closed> {
        loop {
            match tokio::time::timeout(ANSWER_MAX, self.stream.next()).await.expect("something in time") {
                Some(Ok(Message::Binary(bytes))) => {
                    self.received.extend_from_slice(&bytes);
                    return Ok(());
                }
                Some(Ok(Message::Close(Some(frame)))) => return Err((frame.code.into(), frame.reason.to_string())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err((0, error.to_string())),
                None => return Err((0, "no close frame".into())),
            }
        }
    }

    async fn read(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            self.more().await.unwrap();
        }
        self.received.drain(..length).collect()
    }

    async fn read_until(&mut self, text: &str) -> String {
        while !String::from_utf8_lossy(&self.received).contains(text) {
            self.more().await.unwrap();
        }
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.more().await {
                return closed;
            }
        }
    }

    /// RFB up to the picture, as noVNC does it; gives the name of the screen and the dots.
    async fn picture(&mut self) -> (String, Vec<u8>) {
        assert_eq!(self.read(12).await, b"RFB 003.008\n");
        self.send(b"RFB 003.008\n").await;
        assert_eq!(self.read(2).await, [1, 1], "nothing is asked for: no secret reaches the browser");
        self.send(&[1]).await;
        assert_eq!(self.read(4).await, [0; 4]);
        self.send(&[1]).await;
        let init = self.read(24).await;
        let name = self.read(usize::from(init[23])).await;
        let (width, height) =
            (usize::from(u16::from_be_bytes([init[0], init[1]])), usize::from(u16::from_be_bytes([init[2], init[3]])));
        self.send(&[3, 0, 0, 0, 0, 0, init[0], init[1], init[2], init[3]]).await;
        let head = self.read(4).await;
        let mut dots = Vec::new();
        for _ in 0..u16::from_be_bytes([head[2], head[3]]) {
            let head = self.read(12).await;
            let size = |index: usize| usize::from(u16::from_be_bytes([head[index], head[index + 1]]));
            dots.extend(self.read(size(4) * size(6) * 4).await);
        }
        assert_eq!(dots.len(), width * height * 4);
        (String::from_utf8(name).unwrap(), dots)
    }
}

/// What a browser on one of our pages sends.
async fn open(world: &World, cookie: &str, vm: &str, kind: &str) -> Result<Socket, u16> {
    let headers = [("cookie", cookie), ("origin", world.url.as_str())];
    Socket::open(world, &format!("/vms/{vm}/console/socket?kind={kind}"), &headers).await
}

async fn ticket(world: &World, cookie: &str, csrf: &str, vm: &str, kind: &str) -> Answer {
    let form = [("csrf", csrf), ("kind", kind)];
    send(world.request(Method::POST, &format!("/vms/{vm}/console/ticket")).header("cookie", cookie).form(&form)).await
}

/// Waits until the log has the event so many times: what ends a console writes after the socket is closed.
async fn until_told(world: &World, event: &str, times: usize) {
    let told = async {
        while world.events().await.iter().filter(|told| *told == event).count() < times {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(ANSWER_MAX, told).await.unwrap_or_else(|_| panic!("{event} was not written {times} times"));
}

async fn start(name: &str) -> (World, Customer, String, String, String) {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, name).await;
    let (cookie, csrf) = browser(&world, &ann).await;
    (world, ann, vm, cookie, csrf)
}

#[tokio::test]
async fn a_browser_sees_the_screen_and_what_it_types_and_the_log_tells_of_it() {
    let (world, _, vm, cookie, _) = start("web").await;

    let mut socket = open(&world, &cookie, &vm, "screen").await.ok().unwrap();
    let (name, dots) = socket.picture().await;
    assert_eq!(name, "QEMU (web)");
    assert!(dots.iter().any(|dot| *dot > 0x80), "something is drawn");
    socket.send(&[4, 1, 0, 0, 0, 0, 0, b'x']).await;
    socket.send(&[3, 1, 0, 0, 0, 0, 2, 0xd0, 1, 0x90]).await;
    assert_eq!(socket.read(4).await, [0, 0, 0, 1], "the line with the key is drawn again");
    drop(socket);
    until_told(&world, "vm.console_closed", 1).await;

    assert!(world.events().await.contains(&"vm.console_opened".to_owned()));
    let detail = world.text("select detail::text from audit_events where event = 'vm.console_closed'").await;
    assert!(detail.contains("\"console\": \"screen\"") && detail.contains("\"why\": \"left\""), "{detail}");
    world.finish().await;
}

#[tokio::test]
async fn a_new_vm_has_a_serial_line_with_a_shell() {
    let (world, _, vm, cookie, csrf) = start("web").await;
    assert_eq!(world.guest(&vm).unwrap().config.get("serial0"), Some("socket"));
    assert_eq!(ticket(&world, &cookie, &csrf, &vm, "serial").await.expect(200)["has_serial"], true);

    let mut socket = open(&world, &cookie, &vm, "serial").await.ok().unwrap();
    assert!(socket.read_until("# ").await.starts_with("starting serial terminal"), "no ticket, no OK");
    socket.stream.send(Message::text(r#"{"columns":132,"rows":43}"#)).await.unwrap();
    socket.send(b"hostname\r").await;
    assert_eq!(socket.read_until("# ").await, "hostname\r\nweb\r\nroot@web:~# ");
    socket.stream.send(Message::text("nonsense")).await.unwrap();
    assert_eq!(socket.closed().await.0, 4006);
    until_told(&world, "vm.console_closed", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn only_its_owner_gets_in_and_only_from_a_page_of_this_site() {
    let (world, _, vm, cookie, csrf) = start("web").await;
    let bob = world.customer("bob", "5").await;
    let (bobs, bobs_csrf) = browser(&world, &bob).await;
    let path = format!("/vms/{vm}/console/socket");

    assert_eq!(open(&world, &bobs, &vm, "screen").await.err(), Some(404));
    ticket(&world, &bobs, &bobs_csrf, &vm, "screen").await.problem(404);
    world.post(&bob, &format!("/vms/{vm}/console"), &json!({})).await.problem(404);
    let page = send(world.request(Method::GET, &format!("/vms/{vm}/console")).header("cookie", &bobs)).await;
    assert_eq!(page.status, 404);
    let stranger = Socket::open(&world, &path, &[("origin", &world.url)]).await;
    assert!(matches!(stranger.err(), Some(303 | 401)));
    for origin in ["https://evil.example", "null", ""] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        assert_eq!(Socket::open(&world, &path, &headers).await.err(), Some(403), "{origin}");
    }
    let no_origin = Socket::open(&world, &path, &[("cookie", &cookie)]).await;
    assert_eq!(no_origin.err(), Some(403), "a browser always says where it is from");
    let url = ticket(&world, &cookie, &csrf, &vm, "screen").await.expect(200);
    let other = Socket::open(&world, text(&url, "/url"), &[("origin", "https://evil.example")]).await;
    assert_eq!(other.err(), Some(403));
    assert!(!world.events().await.contains(&"vm.console_opened".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn a_programs_address_opens_once_within_half_a_minute() {
    let (world, ann, vm, ..) = start("web").await;
    let new = async || {
        let answer = world.post(&ann, &format!("/vms/{vm}/console"), &json!({ "kind": "serial" })).await.expect(201);
        let url = text(&answer, "/url").to_owned();
        assert_eq!(answer["expires_in"], 30);
        url.strip_prefix(&world.url.replacen("http", "ws", 1)).unwrap().to_owned()
    };

    let path = new().await;
    let mut socket = Socket::open(&world, &path, &[]).await.ok().unwrap();
    socket.read_until("# ").await;
    assert_eq!(Socket::open(&world, &path, &[]).await.err(), Some(401), "once");
    let late = new().await;
    world.advance(TimeDelta::seconds(31));
    assert_eq!(Socket::open(&world, &late, &[]).await.err(), Some(401), "in time");
    let other = new().await.replace(&vm, "01a1fbed-31c8-742a-973c-6a7a37dc7ee6");
    assert_eq!(Socket::open(&world, &other, &[]).await.err(), Some(401), "for its own machine");
    let mine = world.text("select actor from audit_events where event = 'vm.console_opened'").await;
    assert_eq!(mine, "ann@example.org");
    drop(socket);
    until_told(&world, "vm.console_closed", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_does_not_run_has_no_console_and_says_so() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let refused =
        async || text(&ticket(&world, &cookie, &csrf, &vm, "screen").await.problem(409), "/detail").to_owned();
    let page = async || send(world.request(Method::GET, &format!("/vms/{vm}/console")).header("cookie", &cookie)).await;

    assert!(refused().await.contains("still being made"));
    world.run_due_jobs().await;
    let shown = page().await;
    assert!(shown.status == 200 && shown.text.contains("data-running=\"true\""), "{}", shown.text);
    // It turns itself off, and nobody has looked yet.
    world.simulator.power_off_from_inside(world.vmid(&vm));
    assert_eq!(open(&world, &cookie, &vm, "screen").await.err(), Some(409));
    // A listing may be older than what a job has just done, so it is not believed at once.
    world.advance(TimeDelta::seconds(20));
    world.look().await;
    assert_eq!(refused().await, "web is stopped. Start it to open its console.");
    assert_eq!(open(&world, &cookie, &vm, "screen").await.err(), Some(409));
    let shown = page().await;
    assert!(shown.text.contains("data-running=\"false\"") && shown.text.contains("Start web"), "{}", shown.text);
    assert!(shown.text.contains("<noscript>") && shown.text.contains("needs JavaScript"));
    world.finish().await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_said_in_a_sentence() {
    let (world, _, vm, cookie, csrf) = start("web").await;
    world.simulator.set_away(true);

    let problem = ticket(&world, &cookie, &csrf, &vm, "screen").await.problem(503);
    assert!(text(&problem, "/detail").contains("is not answering"), "{problem}");
    assert!(!problem.to_string().contains("127.0.0.1"), "what is behind us stays with us: {problem}");
    assert_eq!(open(&world, &cookie, &vm, "screen").await.err(), Some(503));
    world.simulator.set_away(false);
    world.finish().await;
}

#[tokio::test]
async fn a_foreign_guest_under_our_vmid_is_not_looked_at() {
    let (world, _, vm, cookie, csrf) = start("web").await;
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    let guest = world.guest(&vm).unwrap();
    let change = proxmox_client::ConfigChange::new()
        .smbios_uuid("01a1fbed-31c8-742a-973c-6a7a37dc7ee6")
        .tags(["somebody-elses"])
        .description("mine");
    client.set_vm_config(&guest.node, guest.vmid, &change).await.unwrap();

    ticket(&world, &cookie, &csrf, &vm, "screen").await.problem(409);
    for kind in ["screen", "serial"] {
        assert_eq!(open(&world, &cookie, &vm, kind).await.err(), Some(409));
    }
    let opened = world.simulator.inspect(|cluster| format!("{cluster:?}").contains("vncproxy"));
    assert!(!opened, "nothing was asked of the guest");
    let back = proxmox_client::ConfigChange::new()
        .smbios_uuid(&vm)
        .tags(["uni-manager".to_owned(), format!("vm-{vm}")])
        .description(&format!("Uni-Manager VM {vm}. Managed: changes made here are seen and may be set back."));
    client.set_vm_config(&guest.node, guest.vmid, &back).await.unwrap();
    world.finish().await;
}

#[tokio::test]
async fn a_console_ends_with_the_login_and_with_the_machine() {
    let (world, ann, vm, cookie, csrf) = start("web").await;
    let mut logged_out = open(&world, &cookie, &vm, "screen").await.ok().unwrap();
    logged_out.picture().await;
    let form = [("csrf", csrf.as_str())];
    send(world.request(Method::POST, "/logout").header("cookie", &cookie).form(&form)).await;
    assert_eq!(logged_out.closed().await, (4003, "You were logged out.".into()));

    let (cookie, _) = browser(&world, &ann).await;
    let mut stopped = open(&world, &cookie, &vm, "screen").await.ok().unwrap();
    stopped.picture().await;
    world.tell(&ann, &vm, "stop").await.expect(202);
    world.run_due_jobs().await;
    let (code, sentence) = stopped.closed().await;
    assert!(matches!(code, 4000 | 4001) && sentence.contains("VM"), "{code} {sentence}");
    until_told(&world, "vm.console_closed", 2).await;
    world.finish().await;
}

#[tokio::test]
async fn a_console_ends_when_its_person_may_open_it_no_more() {
    let (world, ann, vm, ..) = start("web").await;
    let (bob, admin) = (member(&world, "bob", ann.organisation, "operator").await, world.admin().await);
    let gets = async |role: &str| {
        let path = format!("/members/{}", bob.user.id);
        ask(&world, &ann, ann.organisation, "PATCH", &path, &json!({ "role": role })).await.expect(200);
    };
    let address = async || {
        let answer = world.post(&bob, &format!("/vms/{vm}/console"), &json!({ "kind": "serial" })).await.expect(201);
        text(&answer, "/url").strip_prefix(&world.url.replacen("http", "ws", 1)).unwrap().to_owned()
    };
    let (cookie, _) = browser(&world, &bob).await;
    let screen = async || {
        let mut socket = open(&world, &cookie, &vm, "screen").await.ok().unwrap();
        socket.picture().await;
        socket
    };

    let mut watched = screen().await;
    let mut typed = Socket::open(&world, &address().await, &[]).await.ok().unwrap();
    typed.read_until("# ").await;
    let unopened = address().await;
    gets("viewer").await;
    assert_eq!((watched.closed().await.0, typed.closed().await.0), (4003, 4003), "a browser's and a program's");
    assert_eq!(Socket::open(&world, &unopened, &[]).await.err(), Some(401));
    assert!(open(&world, &cookie, &vm, "screen").await.is_err());

    gets("operator").await;
    let mut watched = screen().await;
    let path = format!("/admin/organisations/{}/people/{}/standing", ann.organisation, bob.user.id);
    world.put(&admin, &path, &json!({ "state": "suspended", "reason": "Tests" })).await.expect(200);
    assert_eq!(watched.closed().await.0, 4003, "who is suspended changes nothing, so he types nothing");
    until_told(&world, "vm.console_closed", 3).await;
    world.finish().await;
}

#[tokio::test]
async fn a_key_is_good_for_consoles_as_long_as_its_maker_may_open_them() {
    let (world, ann, ..) = start("web").await;
    let (bob, admin) = (member(&world, "bob", ann.organisation, "admin").await, world.admin().await);
    let key = new_key(&world, &bob, &["*"]).await;
    let standing = Standing::of_bearer(&world.app, &key.text).await.unwrap();
    let is_good = async |organisation| standing.is_good_for_console(&world.app, organisation).await.unwrap();
    let gets = async |role: &str| {
        let path = format!("/members/{}", bob.user.id);
        ask(&world, &ann, ann.organisation, "PATCH", &path, &json!({ "role": role })).await.expect(200);
    };
    let stands = async |state: &str| {
        let path = format!("/admin/organisations/{}/people/{}/standing", ann.organisation, bob.user.id);
        world.put(&admin, &path, &json!({ "state": state, "reason": "Tests" })).await.expect(200);
    };

    assert!(is_good(ann.organisation).await);
    assert!(!is_good(admin.organisation).await, "of another organisation");
    gets("operator").await;
    assert!(is_good(ann.organisation).await, "he may still open them");
    gets("viewer").await;
    assert!(!is_good(ann.organisation).await);
    gets("operator").await;
    stands("suspended").await;
    assert!(!is_good(ann.organisation).await, "who is suspended types nothing");
    stands("active").await;
    assert!(is_good(ann.organisation).await);
    world.finish().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_it_and_a_large_one_arrives() {
    let (world, _, vm, cookie, _) = start("web").await;
    let mut socket = open(&world, &cookie, &vm, "serial").await.ok().unwrap();
    socket.read_until("# ").await;

    // More than one message of the other side, whose line holds 200 letters.
    socket.send(&[vec![b'x'; 10_000], b"\rhostname\r".to_vec()].concat()).await;
    assert!(socket.read_until("\nweb\r\n").await.contains(": command not found"));
    socket.send(&vec![b'x'; 64 * 1024 + 1]).await;
    socket.closed().await;
    until_told(&world, "vm.console_closed", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn four_consoles_of_one_machine_are_enough() {
    let (world, _, vm, cookie, _) = start("web").await;
    let mut open_ones = Vec::new();
    for _ in 0..4 {
        open_ones.push(open(&world, &cookie, &vm, "screen").await.ok().unwrap());
    }
    assert_eq!(open(&world, &cookie, &vm, "screen").await.err(), Some(409));
    open_ones.pop();
    until_told(&world, "vm.console_closed", 1).await;
    open_ones.push(open(&world, &cookie, &vm, "screen").await.ok().unwrap());
    drop(open_ones);
    until_told(&world, "vm.console_closed", 5).await;
    world.finish().await;
}

#[tokio::test]
async fn an_operator_says_why_and_the_customer_reads_it() {
    let (world, ann, vm, ..) = start("web").await;
    let admin = world.admin().await;
    let (cookie, csrf) = browser(&world, &admin).await;
    let post = async |path: &str, reason: &str| {
        let form = [("csrf", csrf.as_str()), ("reason", reason), ("kind", "screen")];
        send(world.request(Method::POST, &format!("/admin/vms/{vm}{path}")).header("cookie", &cookie).form(&form)).await
    };

    assert_eq!(open(&world, &cookie, &vm, "screen").await.err(), Some(404), "not as if it were his own");
    assert_eq!(post("/console", " ").await.status, 422);
    post("/console/ticket", "").await.problem(422);
    let page = post("/console", "Ticket 17: it does not boot").await;
    assert!(page.status == 200 && page.text.contains("data-reason=\"Ticket 17: it does not boot\""), "{}", page.text);
    let answer = post("/console/ticket", "Ticket 17: it does not boot").await.expect(200);
    let mut socket = Socket::open(&world, text(&answer, "/url"), &[("origin", &world.url)]).await.ok().unwrap();
    socket.picture().await;

    let (anns, _) = browser(&world, &ann).await;
    let log = send(world.request(Method::GET, "/audit").header("cookie", &anns)).await;
    assert!(log.text.contains("Ticket 17: it does not boot"), "{}", log.text);
    let event = "select actor || ' ' || (detail->>'reason') from audit_events where event = 'vm.console_opened'";
    assert_eq!(world.text(event).await, "admin@example.org Ticket 17: it does not boot");
    drop(socket);
    until_told(&world, "vm.console_closed", 1).await;
    world.finish().await;
}
