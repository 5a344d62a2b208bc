//! The door for requests: pages for people, JSON for programs, both faces of the same operations.

pub mod api;
mod assets;
mod error;
pub mod format;
mod forms;
mod live;
pub mod pages;
mod read;
mod request;
mod router;
mod session;
pub mod views;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

pub use router::router;

use crate::app::App;

/// Serves until `stop` resolves, then finishes what is under way.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    // Without this an answer written in several pieces waits for the other side's delayed acknowledgement.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await.context("while serving")
}
