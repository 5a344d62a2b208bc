//! The WebSocket to the cluster: address, header and trust come from the Proxmox client, the bytes are somebody else's.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use axum::body::Bytes;
use futures_util::{SinkExt, StreamExt};
use proxmox_client::ConsoleSocket;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{BUFFERED_BYTES_MAX, SEND_MAX};

/// The largest frame read from the cluster, bytes. It sends what it reads at once, which is far less.
const FRAME_BYTES_MAX: usize = 1024 * 1024;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection to a console.
pub(super) struct Upstream {
    socket: WebSocketStream<Box<dyn Wire>>,
    /// What came and was not taken yet.
    left: Bytes,
}

impl Upstream {
    /// Connects. Says nothing of ticket or token when it fails.
    ///
    /// # Errors
    /// When the cluster cannot be reached, is not whom it should be, or refuses.
    pub async fn connect(console: &ConsoleSocket) -> anyhow::Result<Self> {
        let mut request =
            console.url().expose_secret().into_client_request().ok().context("the address of the console is none")?;
        for (name, value) in console.headers() {
            let mut value = HeaderValue::from_str(value.expose_secret()).ok().context("a header cannot be sent")?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes())?, value);
        }
        let is_tls = request.uri().scheme_str() == Some("wss");
        let host = request.uri().host().context("the address of the console has no host")?.to_owned();
        let port = request.uri().port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        // An address of the sixth version stands in brackets there, and without them here.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = TcpStream::connect((host.as_str(), port)).await.context("while connecting to the cluster")?;
        stream.set_nodelay(true)?;
        let wire: Box<dyn Wire> = if is_tls {
            let connector = TlsConnector::from(Arc::new(console.tls()?));
            let name = ServerName::try_from(host)?;
            Box::new(connector.connect(name, stream).await.context("while checking the cluster's certificate")?)
        } else {
            Box::new(stream)
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX))
            .max_write_buffer_size(BUFFERED_BYTES_MAX);
        let (socket, _) = client_async_with_config(request, wire, Some(config))
            .await
            .context("while asking the cluster for the console's WebSocket")?;
        Ok(Self { socket, left: Bytes::new() })
    }

    /// The next bytes; none when the other side has ended. Nothing is lost when it is given up half-way.
    ///
    /// # Errors
    /// When the connection breaks or something else than bytes comes.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        if !self.left.is_empty() {
            return Ok(Some(std::mem::take(&mut self.left)));
        }
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => bail!("the cluster sent text"),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Exactly so many bytes, for handshakes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn read<const LENGTH: usize>(&mut self) -> anyhow::Result<[u8; LENGTH]> {
        let mut read = Vec::with_capacity(LENGTH);
        while read.len() < LENGTH {
            let mut bytes = self.next().await?.context("the console ended during its handshake")?;
            let taken = bytes.split_to(bytes.len().min(LENGTH - read.len()));
            read.extend_from_slice(&taken);
            self.left = bytes;
        }
        let read = <[u8; LENGTH]>::try_from(read.as_slice());
        read.context("exactly so many bytes were gathered")
    }

    /// Sends bytes, in frames as long as Proxmox reads them.
    ///
    /// # Errors
    /// When the connection breaks, or the cluster does not read.
    pub async fn send(&mut self, mut bytes: Bytes) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(ConsoleSocket::LONGEST_FRAME));
            let sent = tokio::time::timeout(SEND_MAX, self.socket.send(Message::Binary(part))).await;
            ensure!(sent.is_ok(), "the cluster does not read");
            sent??;
        }
        Ok(())
    }
}
