//! Consoles of a virtual machine: opening one on the node, and the connection to it, or all that a
//! WebSocket library needs to make it. The frames of the WebSocket are the caller's.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::answer::{Answer, Envelope, read};
use crate::client::{Client, transport_failure};
use crate::error::{Error, MaybeDoneCause, NeverSentCause};
use crate::lenient;
use crate::request::{Call, Parameters, VALUE, vm_path};
use crate::settings::{SettingsError, Trust};
use crate::tls;
use crate::upid::Upid;

/// A screen that waits for a WebSocket.
#[derive(Debug, Clone)]
pub struct VncConsole {
    /// The port on the node that answered.
    pub port: u16,
    /// What the WebSocket is opened with.
    pub ticket: SecretString,
    /// What the VNC client is given; it uses the first 8 letters.
    pub password: SecretString,
    /// Who opened it.
    pub user: String,
    /// The task that waits.
    pub upid: Upid,
    socket: ConsoleSocket,
}

/// A serial console that waits for a WebSocket.
#[derive(Debug, Clone)]
pub struct TermConsole {
    /// The port on the node that answered.
    pub port: u16,
    /// What the WebSocket is opened with.
    pub ticket: SecretString,
    /// Who opened it.
    pub user: String,
    /// The task that waits.
    pub upid: Upid,
    socket: ConsoleSocket,
}

impl VncConsole {
    /// What opens the WebSocket, on the endpoint that opened the console: no other one can. Use it
    /// within 10 s. Refused with 401 when the ticket is older than 40 s.
    #[must_use]
    pub fn socket(&self) -> &ConsoleSocket {
        &self.socket
    }
}

impl TermConsole {
    /// As [`VncConsole::socket`].
    #[must_use]
    pub fn socket(&self) -> &ConsoleSocket {
        &self.socket
    }

    /// The first message the WebSocket is to be sent; the answer begins with `OK`. Afterwards input
    /// is `0:LENGTH:DATA`, a new size `1:COLUMNS:ROWS:` and a sign of life `2`; output comes bare.
    #[must_use]
    pub fn greeting(&self) -> SecretString {
        SecretString::from(format!("{}:{}\n", self.user, self.ticket.expose_secret()))
    }
}

/// All that opens the WebSocket of a console. Its `Debug` shows neither ticket nor token.
#[derive(Clone)]
pub struct ConsoleSocket {
    url: SecretString,
    authorization: SecretString,
    trust: Trust,
    http: reqwest::Client,
    /// The request without the ticket.
    call: Call,
}

impl ConsoleSocket {
    /// The only subprotocol to offer.
    pub const PROTOCOL: &'static str = "binary";
    /// The largest frame Proxmox VE reads, bytes; split what is longer. It reads no fragments and no
    /// compressed frames.
    pub const LONGEST_FRAME: usize = 128 * 1024;

    /// The address, `wss://…`, with the ticket in it.
    #[must_use]
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// The headers the request needs: `Authorization` with the token, which must be the one the
    /// console was opened with, and `Sec-WebSocket-Protocol`.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, SecretString); 2] {
        [("Authorization", self.authorization.clone()), ("Sec-WebSocket-Protocol", SecretString::from(Self::PROTOCOL))]
    }

    /// Opens the WebSocket, within `limit`. What comes back is the connection after the handshake, at the
    /// first byte of the first frame: for a WebSocket library that takes a connection over. A library
    /// with a handshake of its own takes [`ConsoleSocket::url`], `headers` and `tls` instead.
    ///
    /// # Errors
    /// See [`Error`]. Refused with 401 when the ticket is older than 40 s, or of another machine, port,
    /// token or endpoint.
    pub async fn connect(
        &self,
        limit: Duration,
    ) -> Result<impl AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + use<>, Error> {
        let mut key = [0; 16];
        tls::fill_random(&mut key).map_err(|why| Error::never_sent(&self.call, NeverSentCause::Argument, why))?;
        let url = self.url.expose_secret().replacen("ws", "http", 1);
        let opening = async {
            let request = self
                .http
                .get(url)
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_VERSION, "13")
                .header(SEC_WEBSOCKET_KEY, STANDARD.encode(key))
                .header(SEC_WEBSOCKET_PROTOCOL, Self::PROTOCOL);
            let response = request.send().await.map_err(|error| transport_failure(&self.call, &error))?;
            if response.status() != reqwest::StatusCode::SWITCHING_PROTOCOLS {
                return Err(not_opened(&self.call, &response));
            }
            response.upgrade().await.map_err(|error| transport_failure(&self.call, &error))
        };
        tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            Err(Error::maybe_done(&self.call, MaybeDoneCause::Timeout, "the console did not open in time"))
        })
    }

    /// Which certificate is believed.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// TLS that believes what the client believes, for a library on rustls. Without meaning for
    /// `ws://` addresses.
    ///
    /// # Errors
    /// When the TLS library refuses the settings; the client was made with the same ones.
    pub fn tls(&self) -> Result<rustls::ClientConfig, SettingsError> {
        match &self.trust {
            Trust::PublicRoots => tls::public_authorities(),
            Trust::Ca(pem) => tls::own_authority(pem),
            Trust::Fingerprint(fingerprint) => tls::pinned(*fingerprint),
        }
    }
}

impl fmt::Debug for ConsoleSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.expose_secret();
        let shown = url.split_once('?').map_or(url, |(shown, _)| shown);
        formatter.debug_struct("ConsoleSocket").field("url", &shown).field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// Why there is an answer and no WebSocket. The text is in the reason phrase; the body is not read.
fn not_opened(call: &Call, response: &reqwest::Response) -> Error {
    let phrase: Option<&hyper::ext::ReasonPhrase> = response.extensions().get();
    let answer = Answer {
        status: response.status().as_u16(),
        reason: phrase.map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned()),
        content_type: None,
        location: None,
        body: Vec::new(),
    };
    match read::<IgnoredAny>(call, &answer) {
        Err(error) => error,
        Ok(_) => Error::maybe_done(call, MaybeDoneCause::Unreadable, "the answer is no WebSocket"),
    }
}

#[derive(Deserialize)]
struct ProxyAnswer {
    #[serde(deserialize_with = "lenient::port")]
    port: u16,
    ticket: SecretString,
    #[serde(default)]
    password: Option<SecretString>,
    user: String,
    upid: Upid,
}

impl Client {
    /// `POST /nodes/{node}/qemu/{vmid}/vncproxy` with `websocket`. Needs VM.Console. The node that
    /// is *asked* opens the port and waits 10 s for [`VncConsole::socket`]: an endpoint must be a
    /// node and never a balancer. Answers for a stopped
    /// machine too, whose WebSocket closes at once. Refused with
    /// [`crate::Refusal::is_missing_guest`], [`crate::Refusal::missing_privilege`].
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use std::time::Duration;
    /// let screen = client.open_vnc("pve1", 101).await?;
    /// let websocket = screen.socket().connect(Duration::from_secs(10)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_vnc(&self, node: &str, vmid: u32) -> Result<VncConsole, Error> {
        let parameters = Parameters::new().flag("websocket", Some(true));
        let path = vm_path(node, vmid, "/vncproxy")?;
        let answer: Envelope<ProxyAnswer> = self.request(Method::POST, path, &parameters).await?;
        let ProxyAnswer { port, ticket, password, user, upid } = answer.data;
        let socket = self.socket_at(answer.endpoint, node, vmid, port, &ticket)?;
        // Older versions give no password of its own: there it is the ticket.
        let password = password.unwrap_or_else(|| ticket.clone());
        Ok(VncConsole { port, ticket, password, user, upid, socket })
    }

    /// `POST /nodes/{node}/qemu/{vmid}/termproxy`. Needs VM.Console. It answers for a machine without
    /// serial port (`serial0=socket` in the configuration) too: then the console says `unable to find
    /// a serial interface` after its `OK` and ends. Tokens are accepted from version 9.0 on (late
    /// 2025). Otherwise as [`Client::open_vnc`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_terminal(&self, node: &str, vmid: u32, serial: Option<u8>) -> Result<TermConsole, Error> {
        let parameters = Parameters::new().maybe("serial", serial.map(|number| format!("serial{number}")));
        let path = vm_path(node, vmid, "/termproxy")?;
        let answer: Envelope<ProxyAnswer> = self.request(Method::POST, path, &parameters).await?;
        let ProxyAnswer { port, ticket, user, upid, .. } = answer.data;
        let socket = self.socket_at(answer.endpoint, node, vmid, port, &ticket)?;
        Ok(TermConsole { port, ticket, user, upid, socket })
    }

    /// `GET /nodes/{node}/qemu/{vmid}/vncwebsocket?port=&vncticket=`, for both kinds of console.
    /// Needs VM.Console. Nothing is sent here; open it within 10 s of the console. Refused with 401
    /// when the ticket is older than 40 s, or of another machine, port, token or endpoint: this is for
    /// a client with one endpoint whose ticket was kept; otherwise take [`VncConsole::socket`].
    ///
    /// # Errors
    /// See [`Error`]; only for a node's name that cannot be.
    pub fn console_socket(
        &self,
        node: &str,
        vmid: u32,
        port: u16,
        ticket: &SecretString,
    ) -> Result<ConsoleSocket, Error> {
        self.socket_at(self.current_place(), node, vmid, port, ticket)
    }

    fn socket_at(
        &self,
        place: usize,
        node: &str,
        vmid: u32,
        port: u16,
        ticket: &SecretString,
    ) -> Result<ConsoleSocket, Error> {
        let path = vm_path(node, vmid, "/vncwebsocket")?;
        let reach = self.reach(place);
        // `https` becomes `wss`, and a simulator's `http` becomes `ws`.
        let endpoint = reach.url.replacen("http", "ws", 1);
        let ticket = utf8_percent_encode(ticket.expose_secret(), VALUE);
        Ok(ConsoleSocket {
            url: SecretString::from(format!("{endpoint}/api2/json{path}?port={port}&vncticket={ticket}")),
            authorization: self.authorization(),
            trust: reach.trust.clone(),
            http: reach.http.clone(),
            call: Call::new(Method::GET, path),
        })
    }
}
