//! The wire: TLS listener, connections, and what all requests share. HTTP/1.1 only, as Proxmox's own server.

mod administration;
mod body;
mod plain;
mod request;
mod response;
mod upload;

pub(crate) use response::{Answer, Payload, refused};

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
use crate::cluster::ClusterState;
use crate::faults::Faults;
use crate::options::Identity;

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Pause after the listener failed to accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Buffer for the request head: Proxmox takes 8 KiB of headers after the request line.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What every connection needs.
pub(crate) struct Shared {
    cluster: Mutex<ClusterState>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    /// Calls of the API so far.
    pub(crate) requests: AtomicU64,
    pub(crate) auth_delay: Duration,
    pub(crate) admin_token: Option<String>,
    pub(crate) keep_alive: Duration,
}

impl Shared {
    pub(crate) fn new(cluster: ClusterState, clock: Clock, options: &crate::options::Options) -> Self {
        Self {
            cluster: Mutex::new(cluster),
            clock,
            faults: Faults::default(),
            requests: AtomicU64::new(0),
            auth_delay: options.auth_delay,
            admin_token: options.admin_token.clone(),
            keep_alive: options.keep_alive,
        }
    }

    /// The state. A panic of another thread while it held the state does not matter to the next.
    pub(crate) fn cluster(&self) -> MutexGuard<'_, ClusterState> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection is to be cut without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection was cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// What the listener is told.
pub(crate) enum Order {
    /// Close the listener and every connection, then say so.
    Leave(SyncSender<()>),
    /// Listen again on this socket.
    Return(std::net::TcpListener),
}

/// The TLS side of an identity.
///
/// # Errors
/// When the certificate or key cannot be read or do not fit.
pub(crate) fn acceptor(identity: &Identity) -> anyhow::Result<TlsAcceptor> {
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
            .collect::<Result<_, _>>()
            .context("the certificate is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).context("the key is not PEM")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Listens on an address with the options a restart on the same port needs.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts connections until the orders end.
pub(crate) async fn listen(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut listener = TcpListener::from_std(listener).ok();
    let mut cut = watch::channel(()).0;
    loop {
        let accepted = tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Order::Return(socket)) => {
                    listener = TcpListener::from_std(socket).ok();
                    continue;
                }
                Some(Order::Leave(done)) => {
                    drop(listener.take());
                    // Every connection watches this; the sender closes when the last of them is gone.
                    if cut.send(()).is_ok() {
                        cut.closed().await;
                    }
                    cut = watch::channel(()).0;
                    // Nobody waits any more when the caller gave up.
                    let _ = done.send(());
                    continue;
                }
            },
            accepted = accept(listener.as_ref()) => accepted,
        };
        match accepted {
            Ok(stream) => {
                tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&shared), cut.subscribe()));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>, mut cut: watch::Receiver<()>) {
    let watched = cut.clone();
    let serving = async move {
        stream.set_nodelay(true)?;
        if tokio::time::timeout(HANDSHAKE_MAX, plain::speaks_plain(&stream)).await?? {
            return tokio::time::timeout(HANDSHAKE_MAX, plain::redirect(stream)).await?;
        }
        let stream = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await??;
        let keep_alive = shared.keep_alive;
        let consoles = watched;
        let service = service_fn(move |incoming| request::serve(Arc::clone(&shared), consoles.clone(), incoming));
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(keep_alive)
            .title_case_headers(true)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await?;
        anyhow::Ok(())
    };
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::debug!(%error, "a connection ended");
        },
        _ = cut.changed() => {}
    }
}
