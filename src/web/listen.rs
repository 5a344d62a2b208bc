//! Connections: how many at once, how long one may take to say what it wants, and that what is under way is finished at the
//! end. axum's own `serve` has no such limits, and a client that sends a byte a minute would keep its place for ever.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::patience::Patient;
use super::router;
use crate::app::App;
use crate::config::Patience;
use crate::network::Network;

/// How many connections are served at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How many connections one network may have at once: a good many people behind one address, and far from all places. The
/// trusted proxies in front, which are everybody, are not counted.
const CONNECTIONS_PER_NETWORK_MAX: usize = 512;
/// About how large the head of a request may be, in bytes: its line and all its headers. What is read at once may exceed it.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The pause after an accept failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves, then finishes what is under way.
///
/// # Errors
/// Never; connections that break end by themselves.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let router = router(Arc::clone(&app));
    let patience = app.settings.guards.patience;
    let neighbours = Neighbours::default();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let Some((stream, peer, place)) = accepted else { continue };
        let is_counted = !app.settings.guards.trusted_proxies.iter().any(|proxies| proxies.holds(peer.ip()));
        let seat = if is_counted { neighbours.sit(peer.ip()) } else { Some(Seat::Uncounted) };
        let Some(seat) = seat else {
            tracing::debug!(%peer, "its network has too many connections");
            continue;
        };
        let (router, stopped) = (router.clone(), stopped.clone());
        connections.spawn(async move {
            converse(stream, peer, router, patience, stopped).await;
            drop((place, seat));
        });
    }
    drop(listener);
    let _ = stopping.send(true);
    // They are connections no more, but conversations of their own.
    app.consoles.close().await;
    while connections.join_next().await.is_some() {}
    Ok(())
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is a place for it; nothing when accepting failed.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Without this an answer written in several pieces waits for the other side's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// How many connections each network has.
#[derive(Default, Clone)]
struct Neighbours(Arc<Mutex<HashMap<Network, usize>>>);

/// The place of a connection among those of its network.
enum Seat {
    Counted(Neighbours, Network),
    Uncounted,
}

impl Neighbours {
    /// One more connection of a network, if it has not too many.
    fn sit(&self, peer: IpAddr) -> Option<Seat> {
        let network = Network::of_one_line(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= CONNECTIONS_PER_NETWORK_MAX {
            return None;
        }
        *count += 1;
        Some(Seat::Counted(self.clone(), network))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Self::Counted(neighbours, network) = self else { return };
        let mut counts = neighbours.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(network);
            }
        }
    }
}

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    patience: Patience,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream, patience.send)), service)
        .with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = async { let _ = stopped.wait_for(|stopped| *stopped).await; } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}
