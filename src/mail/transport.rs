//! The way to the mail server. It knows nothing of the platform: it is given a letter and says what became of it.

use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};

use crate::error::is_plain_line;
use crate::ids::MailId;

/// How long the whole talk with the mail server about one mail may take.
const TALK_SECONDS_MAX: u64 = 60;
/// The longest words of a mail server that are kept, in characters.
const WORDS_CHARACTERS_MAX: usize = 1_000;
/// What a server answers about our login and not about a mail (RFC 4954): to log in, or a login that it does not accept.
const ABOUT_THE_LOGIN: [u16; 4] = [530, 534, 535, 538];
/// What a server answers that is shutting down or refuses to talk (RFC 5321, RFC 7504).
const ABOUT_THE_SERVER: [u16; 2] = [421, 521];

/// Where mails go.
#[expect(clippy::large_enum_variant, reason = "there is one for the whole process")]
#[derive(Debug, Clone)]
pub enum Mailer {
    /// Nowhere: no mail server is set up.
    None,
    /// Nowhere but the table, and they count as sent: in the demo and in tests people read them there.
    Kept,
    /// To a mail server.
    Server(Server),
}

/// A mail server with our login and our address.
#[derive(Clone)]
pub struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    name: String,
    patience: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("name", &self.name).field("from", &self.from.to_string()).finish_non_exhaustive()
    }
}

/// A mail as it leaves.
#[derive(Clone)]
pub(super) struct Letter {
    /// Names it in its Message-ID, so that whoever gets it twice can tell.
    pub id: MailId,
    pub to_address: String,
    pub to_name: String,
    pub subject: String,
    pub body: String,
}

impl fmt::Debug for Letter {
    /// Without the text: there may be a link in it that only the recipient may follow.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, to_address, subject, .. } = self;
        formatter
            .debug_struct("Letter")
            .field("id", id)
            .field("to_address", to_address)
            .field("subject", subject)
            .finish_non_exhaustive()
    }
}

/// Why a mail was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The server could not be asked, or is not fit to take any mail just now.
    Away(String),
    /// It took no mail to this address just now.
    Later(String),
    /// It will never take this mail.
    Never(String),
}

impl Server {
    /// A mail server by its URL (`smtps://host`, `starttls://host`, `smtp://host`, each with a port where it is not the usual
    /// one), with a login if it wants one, and the address and name that mails come from. Talks to nobody yet.
    ///
    /// # Errors
    /// Says which part is wrong. A login is never sent in the clear to another machine.
    pub fn new(url: &str, login: Option<(String, SecretString)>, from: &str, from_name: &str) -> anyhow::Result<Self> {
        const FORM: &str = "UNI_MANAGER_SMTP_URL must be smtps://host, starttls://host or smtp://host, with :port if it is not the usual one";
        let (scheme, place) = url.trim().trim_end_matches('/').split_once("://").context(FORM)?;
        if place.contains(['@', '/', '?', '#']) || !is_plain_line(place) {
            bail!("{FORM}; the login has settings of its own");
        }
        let (host, port) = host_and_port(place).context(FORM)?;
        let builder = match scheme {
            "smtps" => AsyncSmtpTransport::<Tokio1Executor>::relay(host)?,
            "starttls" => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host)?,
            "smtp" => {
                let is_here =
                    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                if login.is_some() && !is_here {
                    bail!(
                        "a login would cross the network in the clear: use smtps:// or starttls:// in UNI_MANAGER_SMTP_URL"
                    );
                }
                AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            }
            _ => bail!(FORM),
        };
        let mut builder = builder.timeout(Some(Duration::from_secs(TALK_SECONDS_MAX)));
        if let Some(port) = port {
            builder = builder.port(port);
        }
        if let Some((user, password)) = login {
            builder = builder.credentials(Credentials::new(user, password.expose_secret().to_owned()));
        }
        let address: Address = from.trim().parse().context("UNI_MANAGER_MAIL_FROM is not a mail address")?;
        if !is_plain_line(from_name) {
            bail!("UNI_MANAGER_MAIL_FROM_NAME must be one line");
        }
        let from_name = Some(from_name.trim().to_owned()).filter(|name| !name.is_empty());
        Ok(Self {
            transport: builder.build(),
            from: Mailbox::new(from_name, address),
            name: place.to_owned(),
            patience: Duration::from_secs(TALK_SECONDS_MAX),
        })
    }

    /// The same server, with which the whole talk about one mail may take as long as this.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Hands a mail to the server. When this is well the server has said that it takes care of it.
    pub(super) async fn send(&self, letter: &Letter, at: SystemTime) -> Result<(), Refusal> {
        let message = self.message(letter, at).map_err(|error| Refusal::Never(format!("{error:#}")))?;
        match tokio::time::timeout(self.patience, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(Refusal::Away(format!("{} did not answer within {} s", self.name, self.patience.as_secs()))),
        }
    }

    /// The mail as it crosses the wire. Every part that becomes a header is parsed or encoded by `lettre`, so that no text can
    /// add a header of its own.
    fn message(&self, letter: &Letter, at: SystemTime) -> anyhow::Result<Message> {
        let address: Address = letter.to_address.parse().context("no mail can be sent to this address")?;
        let name = Some(letter.to_name.clone()).filter(|name| !name.is_empty());
        if !is_plain_line(&letter.subject) || !is_plain_line(&letter.to_name) {
            bail!("the subject or the name is not one line");
        }
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(name, address))
            .subject(&letter.subject)
            .date(at)
            .message_id(Some(format!("<{}@{}>", letter.id, self.from.email.domain())))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.clone())
            .context("the mail cannot be put together")?;
        Ok(message)
    }
}

/// `host`, `host:25`, `[::1]:25`.
fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        None => None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// What the server's answer means for the mail, with its words.
fn judge(error: &lettre::transport::smtp::Error) -> Refusal {
    let said = words(error);
    let Some(code) = error.status().map(u16::from) else { return Refusal::Away(said) };
    if ABOUT_THE_LOGIN.contains(&code) || ABOUT_THE_SERVER.contains(&code) {
        Refusal::Away(said)
    } else if error.is_permanent() {
        Refusal::Never(said)
    } else {
        Refusal::Later(said)
    }
}

/// An error with its causes, as one line that can be kept.
fn words(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = error.source();
    }
    super::text::line(&said, WORDS_CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> anyhow::Result<Server> {
        Server::new(url, None, "panel@example.org", "Pänel")
    }

    fn letter() -> Letter {
        Letter {
            id: MailId::new(),
            to_address: "ann@example.org".into(),
            to_name: "Änn".into(),
            subject: "Guthaben läuft ab".into(),
            body: "Grüße\n".into(),
        }
    }

    fn wire(letter: &Letter) -> anyhow::Result<String> {
        let message = server("smtp://localhost").unwrap().message(letter, SystemTime::UNIX_EPOCH)?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn a_server_is_named_by_a_url_and_nothing_else() {
        for good in
            ["smtp://localhost", "smtps://mail.example.org:4465", "starttls://mail.example.org", "smtp://[::1]:25"]
        {
            assert!(server(good).is_ok(), "{good}");
        }
        for bad in
            ["mail.example.org", "http://x", "smtp://", "smtp://u:p@x", "smtp://x:0", "smtp://x:port", "smtp://x/y"]
        {
            assert!(server(bad).is_err(), "{bad}");
        }
        assert!(Server::new("smtp://localhost", None, "not an address", "x").is_err());
    }

    #[test]
    fn a_login_does_not_cross_the_network_in_the_clear_and_is_not_printed() {
        let login = || Some(("panel".to_owned(), SecretString::from("hush-hush")));
        let new = |url: &str| Server::new(url, login(), "panel@example.org", "Panel");

        assert!(new("smtp://mail.example.org").unwrap_err().to_string().contains("in the clear"));
        assert!(new("smtp://127.0.0.1:2525").is_ok());
        assert!(!format!("{:?}", new("smtps://mail.example.org").unwrap()).contains("hush"));
    }

    #[test]
    fn the_wire_has_seven_bits_and_the_id_of_the_row() {
        let letter = letter();
        let wire = wire(&letter).unwrap();

        assert!(wire.is_ascii(), "{wire}");
        assert!(wire.contains(&format!("Message-ID: <{}@example.org>\r\n", letter.id)), "{wire}");
        assert!(wire.contains("Auto-Submitted: auto-generated\r\n"), "{wire}");
    }

    #[test]
    fn no_text_adds_a_header() {
        let evil = "x\r\nBcc: everybody@example.org";
        for letter in [
            Letter { subject: evil.into(), ..letter() },
            Letter { to_name: evil.into(), ..letter() },
            Letter { to_address: format!("ann@example.org{evil}"), ..letter() },
        ] {
            assert!(wire(&letter).is_err(), "{letter:?}");
        }
        let body = wire(&Letter { body: format!("{evil}\r\n.\r\nQUIT\r\n"), ..letter() }).unwrap();
        let (head, _) = body.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Bcc"), "{head}");
    }
}
