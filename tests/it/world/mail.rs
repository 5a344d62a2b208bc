//! A mail server of the test's own: it speaks as much SMTP as a mail needs, on loopback, and can be told to be in a bad mood.
//! And what the platform has written to whom, for tests that need no server.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uni_manager::accounts;
use uni_manager::mail::{self, Filter, Mailer, Server};

use super::World;

/// How the server treats whoever talks to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It takes every mail.
    Good,
    /// It answers this to every recipient.
    Refuses(&'static str),
    /// It says nothing at all.
    Hangs,
    /// It takes a mail and hangs up before it says so.
    DropsAfterData,
}

/// What the server was given.
#[derive(Debug, Clone)]
pub struct Received {
    pub to: String,
    pub text: String,
}

impl Received {
    /// A header's value, as it crossed the wire.
    pub fn header(&self, name: &str) -> String {
        let (head, _) = self.text.split_once("\r\n\r\n").unwrap();
        head.replace("\r\n ", " ")
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
            .unwrap_or_else(|| panic!("no header {name}: {head}"))
    }
}

/// A mail server that ends with the test.
pub struct MailServer {
    pub port: u16,
    mood: Arc<Mutex<Mood>>,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MailServer {
    /// A server on a free port.
    pub async fn start() -> Self {
        Self::start_at(0).await
    }

    /// A server on this port.
    pub async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mood = Arc::new(Mutex::new(Mood::Good));
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (its_mood, its_received) = (Arc::clone(&mood), Arc::clone(&received));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mood = *its_mood.lock().unwrap();
                let received = Arc::clone(&its_received);
                tokio::spawn(async move {
                    // Who hangs up in the middle is no trouble of ours.
                    let _ = talk(stream, mood, &received).await;
                });
            }
        });
        Self { port, mood, received, task }
    }

    /// A port on which nothing listens.
    pub async fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    /// The way to a server on a port.
    pub fn mailer_to(port: u16) -> Mailer {
        let server = Server::new(&Self::url_of(port), None, "panel@example.org", "Pänel");
        Mailer::Server(server.unwrap().with_patience(std::time::Duration::from_secs(2)))
    }

    pub fn mailer(&self) -> Mailer {
        Self::mailer_to(self.port)
    }

    pub fn url_of(port: u16) -> String {
        format!("smtp://127.0.0.1:{port}")
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Everything it was given, in order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn talk(stream: TcpStream, mood: Mood, received: &Mutex<Vec<Received>>) -> std::io::Result<()> {
    if mood == Mood::Hangs {
        std::future::pending::<()>().await;
    }
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 test ESMTP\r\n").await?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await? {
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer = match (verb.as_str(), mood) {
            ("RCPT", Mood::Refuses(answer)) => answer,
            ("RCPT", _) => {
                to = line.trim_start_matches("RCPT TO:<").split('>').next().unwrap_or_default().to_owned();
                "250 ok"
            }
            ("DATA", _) => {
                write.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push_str("\r\n");
                }
                received.lock().unwrap().push(Received { to: to.clone(), text });
                if mood == Mood::DropsAfterData {
                    return Ok(());
                }
                "250 taken"
            }
            ("QUIT", _) => "221 bye",
            _ => "250 ok",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// A mail as the platform has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Sent {
    pub to_address: String,
    pub subject: String,
    pub body: String,
    pub status: String,
}

impl World {
    /// Writes the mails that were asked for, carries those that are due, and answers with all there are, oldest first.
    pub async fn mails(&self) -> Vec<Sent> {
        accounts::answer_reset_requests(&self.app).await.unwrap();
        mail::send_due(&self.app).await.unwrap();
        sqlx::query_as("select to_address, subject, body, status from mails order by id")
            .fetch_all(&self.app.pool)
            .await
            .unwrap()
    }

    /// The token of the newest link that was sent to an address, as its reader finds it where mails are kept.
    pub async fn link_to(&self, address: &str) -> String {
        self.mails().await;
        for listed in mail::list(&self.app, &Filter::default(), 50).await.unwrap() {
            let whole = mail::find(&self.app, listed.id).await.unwrap();
            if whole.to_address == address
                && let Some(token) = token_in(&whole.body)
            {
                return token;
            }
        }
        panic!("no link was sent to {address}");
    }
}

/// The token of the link in a text.
pub fn token_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("?token=")?;
    Some(rest.chars().take_while(|character| character.is_ascii_alphanumeric() || "-_".contains(*character)).collect())
}
