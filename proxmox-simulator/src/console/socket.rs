//! The WebSocket of a console: the upgrade, and the conversation until either side ends it, the guest stops or the task
//! is killed.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::frames::{Frame, Reader, accept, data, pong};
use super::rfb::Rfb;
use super::terminal::Terminal;
use super::tty::Scene;
use super::{Console, Kind};
use crate::clock::micros;
use crate::cluster::ClusterState;
use crate::transport::{Answer, Cut, Payload, Shared, refused};

/// How often a console looks at its guest.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to read what it was sent.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// How much is read at once, bytes.
const READ_BYTES: usize = 16 * 1024;

/// The other side left, or must.
pub(super) struct Ended;

/// What a session asks for beyond bytes to send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    /// Ctrl-Alt-Del was pressed.
    pub(super) resets: bool,
}

/// A request that may become a WebSocket.
pub(crate) struct Upgrade {
    pub(crate) stream: OnUpgrade,
    pub(crate) shared: Arc<Shared>,
    /// Changes when the cluster goes away.
    pub(crate) cut: watch::Receiver<()>,
}

impl Upgrade {
    /// Answers 101 and serves the console.
    ///
    /// # Errors
    /// [`Cut`] when the console does not wait any more.
    pub(crate) async fn answer(self, head: &Parts, console: Console, shared: &Shared) -> Result<Answer, Cut> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let asks = header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
        let key = header("sec-websocket-key");
        let (true, Some(key), Some("13")) = (asks, key, header("sec-websocket-version")) else {
            return Ok(refused(400, "unable to upgrade connection"));
        };
        let silence = {
            let mut cluster = shared.cluster();
            cluster.settle(shared.clock.now());
            let waits = cluster.console_connected(&console.upid);
            if waits { None } else { Some(cluster.timing().console_silence) }
        };
        if let Some(silence) = silence {
            // Nobody listens on the port any more; Proxmox gives no answer at all.
            tokio::time::sleep(silence).await;
            return Err(Cut);
        }
        let mut answer: Answer = Response::new(Payload::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let protocol = head.headers.get(SEC_WEBSOCKET_PROTOCOL).cloned();
        let mut set = |name: HeaderName, value| answer.headers_mut().insert(name, value);
        set(UPGRADE, HeaderValue::from_static("websocket"));
        set(CONNECTION, HeaderValue::from_static("upgrade"));
        // What is offered is given back word for word, and `binary` when nothing is.
        set(SEC_WEBSOCKET_PROTOCOL, protocol.unwrap_or_else(|| HeaderValue::from_static("binary")));
        if let Ok(accepted) = HeaderValue::from_str(&accept(key)) {
            set(SEC_WEBSOCKET_ACCEPT, accepted);
        }
        tokio::spawn(self.converse(console));
        Ok(answer)
    }

    async fn converse(self, console: Console) {
        let Self { stream, shared, mut cut } = self;
        let upid = console.upid.clone();
        let result = tokio::select! {
            result = serve(&shared, console, stream) => result,
            _ = cut.changed() => Ok(()),
        };
        let mut cluster = shared.cluster();
        let now = shared.clock.now();
        cluster.settle(now);
        cluster.console_closed(&upid, now, result);
    }
}

enum Session {
    Screen(Box<Rfb>),
    Serial(Box<Terminal>),
}

/// Serves a console to its end; gives the task's exit text when that is an error.
async fn serve(shared: &Shared, console: Console, stream: OnUpgrade) -> Result<(), String> {
    let Ok(upgraded) = stream.await else { return Ok(()) };
    let mut stream = TokioIo::new(upgraded);
    let Some(scene) = look(shared, &console) else {
        return Err(match console.kind {
            Kind::Screen => "Failed to run vncproxy.".to_owned(),
            Kind::Serial => terminal_failed(&console),
        });
    };
    let mut reader = Reader::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut looks = tokio::time::interval(LOOK_PAUSE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut session, first) = match console.kind {
        Kind::Screen => {
            let (rfb, first) = Rfb::new(&console.password, &scene);
            (Session::Screen(Box::new(rfb)), first)
        }
        Kind::Serial => (Session::Serial(Box::new(Terminal::new(&console, &scene))), Vec::new()),
    };
    if write(&mut stream, &data(&first)).await.is_err() {
        return Ok(());
    }
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => Some(read),
            _ = looks.tick() => None,
        };
        let Some(scene) = look(shared, &console) else { return Ok(()) };
        let mut output = Output::default();
        let mut sent = Vec::new();
        let mut ended = false;
        match read {
            None => ended = session.look(&scene, &mut output).is_err(),
            Some(Ok(0) | Err(_)) => return Ok(()),
            Some(Ok(length)) => {
                reader.add(&buffer[..length]);
                loop {
                    match reader.next() {
                        Ok(None) => break,
                        Ok(Some(Frame::Data(bytes))) => {
                            ended = session.receive(&bytes, &scene, &mut output).is_err();
                        }
                        Ok(Some(Frame::Ping(payload))) => sent.extend(pong(&payload)),
                        Ok(Some(Frame::Pong)) => {}
                        Ok(Some(Frame::Close)) | Err(_) => ended = true,
                    }
                    if ended {
                        break;
                    }
                }
            }
        }
        if output.resets {
            reset(shared, console.vmid);
        }
        sent.extend(data(&output.bytes));
        if write(&mut stream, &sent).await.is_err() || ended {
            return match &session {
                Session::Serial(terminal) if terminal.has_failed() => Err(terminal_failed(&console)),
                Session::Serial(_) | Session::Screen(_) => Ok(()),
            };
        }
    }
}

impl Session {
    fn receive(&mut self, bytes: &[u8], scene: &Scene, output: &mut Output) -> Result<(), Ended> {
        match self {
            Self::Screen(rfb) => rfb.receive(bytes, scene, output),
            Self::Serial(terminal) => terminal.receive(bytes, scene, output),
        }
    }

    fn look(&mut self, scene: &Scene, output: &mut Output) -> Result<(), Ended> {
        match self {
            Self::Screen(rfb) => {
                rfb.look(scene, output);
                Ok(())
            }
            Self::Serial(terminal) => terminal.look(scene, output),
        }
    }
}

async fn write(stream: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Ended> {
    match tokio::time::timeout(WRITE_MAX, stream.write_all(bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Ended),
    }
}

fn terminal_failed(console: &Console) -> String {
    let Console { port, vmid, .. } = console;
    format!(
        "command '/usr/bin/termproxy {port} --path /vms/{vmid} --perm VM.Console -- /usr/sbin/qm terminal {vmid} -escape 0' failed: exit code 1"
    )
}

/// The guest as it is now; none when it does not run, or the task was killed.
fn look(shared: &Shared, console: &Console) -> Option<Scene> {
    let mut cluster = shared.cluster();
    let now = shared.clock.now();
    cluster.settle(now);
    let scene = scene(&cluster, console, now)?;
    cluster.runs(&console.upid).then_some(scene)
}

fn scene(cluster: &ClusterState, console: &Console, now: crate::clock::Micros) -> Option<Scene> {
    let guest = cluster.guest_on(&console.node, console.vmid)?;
    let booted = guest.process.as_ref()?.booted;
    let serial = match &console.serial {
        Some(line) => guest.config.get(line).filter(|kind| *kind == "socket").map(|_| line.clone()),
        None => (0..4).map(|index| format!("serial{index}")).find(|line| guest.config.get(line) == Some("socket")),
    };
    Some(Scene { host: guest.name(), serial, booted, now, boot: micros(cluster.timing().guest_boot) })
}

/// What Ctrl-Alt-Del does: the guest boots again, its process stays.
fn reset(shared: &Shared, vmid: u32) {
    let mut cluster = shared.cluster();
    let now = shared.clock.now();
    if let Some(process) = cluster.guests.get_mut(&vmid).and_then(|guest| guest.process.as_mut()) {
        process.booted = now;
    }
    cluster.touch();
}
