//! Production: web and worker on a database that is there already. Each can be switched off, so that they can run on
//! different machines.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::settings::PlatformArguments;
use crate::app::App;
use crate::clock::Clock;
use crate::{database, web, worker};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// The address to listen on; put a TLS proxy in front of it
    #[arg(long, env = "UNI_MANAGER_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many database connections this process may use
    #[arg(long, env = "UNI_MANAGER_DATABASE_CONNECTIONS", default_value_t = 20)]
    database_connections: u32,
    /// Serve the portal, the admin panel and the API
    #[arg(long, env = "UNI_MANAGER_WEB", default_value_t = true, action = clap::ArgAction::Set)]
    web: bool,
    /// Run jobs, charge, look at clusters
    #[arg(long, env = "UNI_MANAGER_WORKER", default_value_t = true, action = clap::ArgAction::Set)]
    worker: bool,
    #[command(flatten)]
    platform: PlatformArguments,
}

impl Serve {
    /// Serves until Ctrl-C or `SIGTERM`.
    ///
    /// # Errors
    /// When a setting is wrong, the database is not ready, or the address is in use.
    pub async fn run(self) -> anyhow::Result<()> {
        if !self.web && !self.worker {
            bail!("both --web and --worker are off: nothing is left to do");
        }
        log_to_standard_error();
        let settings = self.platform.checked()?;
        let pool = database::connect(self.database_url.expose_secret(), self.database_connections.max(4)).await?;
        database::check_migrations(&pool).await?;
        let app = App::new(pool, Clock::System, settings);
        let listener = if self.web {
            Some(TcpListener::bind(self.listen).await.with_context(|| format!("while listening on {}", self.listen))?)
        } else {
            None
        };
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(async move {
            super::stop_signal().await;
            let _ = stop.send(true);
        });
        tracing::info!(listen = %self.listen, web = self.web, worker = self.worker, "serving");
        run(app, listener, self.worker, stopping).await
    }
}

/// Runs the doors that are open until `stopping` says so.
///
/// # Errors
/// When one of them breaks.
pub(super) async fn run(
    app: Arc<App>,
    listener: Option<TcpListener>,
    work: bool,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let hub = tokio::spawn(app.hub.clone().listen(app.pool.clone()));
    let worker = work.then(|| tokio::spawn(worker::run(Arc::clone(&app))));
    let mut stop = stopping.clone();
    let stop = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let outcome = match listener {
        Some(listener) => super::until_stopped(web::serve(Arc::clone(&app), listener, stop), stopping).await,
        None => {
            stop.await;
            Ok(())
        }
    };
    // Jobs that are cut off here are taken up again by their lease.
    hub.abort();
    if let Some(worker) = worker {
        worker.abort();
    }
    outcome
}

/// JSON lines for machines, plain lines for a person at a terminal.
fn log_to_standard_error() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}
