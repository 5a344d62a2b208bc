//! What the binary can be told to do.

mod audit;
mod create_admin;
mod demo;
mod ledger;
mod migrate;
mod rotate_keys;
mod seed;
mod serve;
mod settings;

use std::time::Duration;

use clap::Parser;

pub use seed::sell_examples;

/// How long what is under way may take to finish after the signal to stop.
const STOP_SECONDS_MAX: u64 = 3;

/// Sells virtual machines on Proxmox VE by the hour: portal, admin panel, API and billing in one binary.
#[derive(Debug, Parser)]
#[command(name = "uni-manager", version, about)]
pub enum Command {
    /// Serve the portal, the admin panel and the API, and do the work behind them.
    Serve(serve::Serve),
    /// Try it out: a private PostgreSQL, a simulated Proxmox, ready logins.
    Demo(demo::Demo),
    /// Bring the database to the version of this binary.
    Migrate(migrate::Migrate),
    /// Make an account with the admin role.
    CreateAdmin(create_admin::CreateAdmin),
    /// Put example locations, plans and images into the catalogue.
    Seed(seed::Seed),
    /// Prove the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Prove the ledger, or hand it to other programs.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// The former name of `ledger verify`.
    #[command(hide = true)]
    LedgerVerify(ledger::Verify),
    /// Encrypt every stored secret with the newest of the secret keys.
    RotateKeys(rotate_keys::RotateKeys),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Demo(demo) => demo.run().await,
            Self::Migrate(migrate) => migrate.run().await,
            Self::CreateAdmin(create_admin) => create_admin.run().await,
            Self::Seed(seed) => seed.run().await,
            Self::Audit(audit) => audit.run().await,
            Self::Ledger(ledger) => ledger.run().await,
            Self::LedgerVerify(verify) => verify.run().await,
            Self::RotateKeys(rotate) => rotate.run().await,
        }
    }
}

/// Resolves at Ctrl-C or `SIGTERM`.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Runs a server until it ends or the signal to stop came; then what is under way gets a moment to finish.
async fn until_stopped(
    server: impl Future<Output = anyhow::Result<()>>,
    stopping: tokio::sync::watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut stopping = stopping;
    let too_long = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(Duration::from_secs(STOP_SECONDS_MAX)).await;
    };
    tokio::select! {
        outcome = server => outcome,
        () = too_long => Ok(()),
    }
}
