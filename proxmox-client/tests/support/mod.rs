//! A tiny HTTP server for the tests: it plays a list of replies, one per connection, and keeps what
//! the client sent. It knows nothing of Proxmox VE.

#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxmox_client::{ApiToken, Client, Fingerprint, Settings, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub mod areas;
pub mod encrypted;
pub mod replay;

/// The largest request a test sends.
const LONGEST_REQUEST: usize = 1 << 20;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Closes without a word.
    Nothing,
    /// Never answers.
    Hang,
    /// Writes these bytes after this time.
    Late(Duration, Vec<u8>),
    /// Writes the first bytes at once and the others one by one, with a pause after each.
    Drip(Duration, Vec<u8>, Vec<u8>),
    /// Writes these bytes, and the last ones of them again and again while anybody reads.
    Endless(Vec<u8>, Vec<u8>),
}

impl Reply {
    pub fn new(status: u16, reason: &str, kind: Option<&str>, body: &str) -> Self {
        let kind = kind.map_or(String::new(), |kind| format!("Content-Type: {kind}\r\n"));
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nServer: pve-api-daemon/3.0\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        );
        Self::Bytes([head.as_bytes(), body.as_bytes()].concat())
    }

    pub fn json(status: u16, reason: &str, body: &str) -> Self {
        Self::new(status, reason, Some("application/json;charset=UTF-8"), body)
    }

    pub fn data(data: &str) -> Self {
        Self::json(200, "OK", &format!(r#"{{"data":{data}}}"#))
    }
}

/// How many requests are being answered, and the most there ever were.
#[derive(Debug, Default)]
pub struct Busy {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Busy {
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// The server; it ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Plays these replies in their order; afterwards every request gets status 418.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, replies)
    }

    pub fn on(listener: TcpListener, replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::counting(listener, replies, Arc::default())
    }

    /// As [`Server::on`], and counts its requests together with others.
    pub fn counting(listener: TcpListener, replies: impl IntoIterator<Item = Reply>, busy: Arc<Busy>) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let replies: VecDeque<Reply> = replies.into_iter().collect();
        let replies = Arc::new(Mutex::new(replies));
        let notes = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(one(stream, Arc::clone(&replies), Arc::clone(&notes), Arc::clone(&busy)));
            }
        });
        Self { address, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn settings(&self) -> Settings {
        settings(&format!("http://{}", self.address))
    }

    pub fn client(&self) -> Client {
        Client::new(self.settings()).unwrap()
    }
}

/// Settings for an endpoint with short limits.
pub fn settings(endpoint: &str) -> Settings {
    let token = ApiToken::new("panel@pve!app", "12345678-1234-1234-1234-123456789abc").unwrap();
    // Loading the public authorities takes longer than most tests.
    let trust = Trust::Fingerprint(Fingerprint::of_certificate(b"none"));
    Settings {
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(10),
        ..Settings::new(endpoint, token, trust)
    }
}

async fn one(
    mut stream: TcpStream,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    busy: Arc<Busy>,
) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    seen.lock().unwrap().push(request);
    busy.most.fetch_max(busy.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    // Counted down before the last byte leaves, or the next request might come sooner.
    let done = |stream: TcpStream, bytes: Vec<u8>| {
        busy.now.fetch_sub(1, Ordering::SeqCst);
        write(stream, bytes)
    };
    let reply = replies
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or_else(|| Reply::json(418, "Nothing left to play", r#"{"data":null}"#));
    match reply {
        Reply::Bytes(bytes) => done(stream, bytes).await,
        Reply::Nothing => {}
        Reply::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
        Reply::Late(pause, bytes) => {
            tokio::time::sleep(pause).await;
            done(stream, bytes).await;
        }
        Reply::Drip(pause, at_once, slowly) => {
            let _ = stream.write_all(&at_once).await;
            for byte in slowly {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        }
        Reply::Endless(start, again) => {
            let again = again.repeat(64 * 1024 / again.len());
            let mut next = &start;
            while stream.write_all(next).await.is_ok() {
                next = &again;
            }
        }
    }
}

async fn write(mut stream: TcpStream, bytes: Vec<u8>) {
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let mut first = lines.next()?.split(' ');
            let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers
                .iter()
                .find(|(name, _)| name == "content-length")
                .map_or(0, |(_, length)| length.parse().unwrap());
            while bytes.len() < end + 4 + length {
                let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
                bytes.extend_from_slice(&chunk[..count]);
            }
            let body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
            return Some(Seen { method, target, headers, body });
        }
        assert!(bytes.len() < LONGEST_REQUEST, "a request without end");
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    }
}
