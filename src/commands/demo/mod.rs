//! A product demo on one machine: a private PostgreSQL, a simulated Proxmox, ready logins. Everything lives in one folder,
//! and a second start goes on where the first one stopped.

mod folder;
mod house;
mod screen;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use proxmox_simulator::Simulator;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::App;
use crate::database::private::{Options, PrivateServer};
use crate::{database, users};
use folder::{Folder, Secrets};

/// How often the clock and the simulated cluster are written down.
const SAVE_MILLISECONDS: u64 = 500;
/// How many connections the private server takes: ours, and a few for curious people.
const CONNECTIONS_MAX: u32 = 100;
/// How many of them we use.
const POOL_CONNECTIONS: u32 = 30;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The name that browsers call it by, such as localhost, where passkeys work [default: the address]
    #[arg(long)]
    host: Option<String>,
    /// Where everything is kept [default: the user's state folder, or /var/lib/uni-manager-demo as root]
    #[arg(long)]
    data: Option<PathBuf>,
    /// How many times faster than life the books run: 3600 is an hour a second
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    speed: u32,
    /// The address of the simulated Proxmox
    #[arg(long, default_value = "127.0.0.1:0")]
    simulator_listen: SocketAddr,
}

impl Demo {
    /// Runs the demo until Ctrl-C.
    ///
    /// # Errors
    /// When PostgreSQL is missing, the folder cannot be used or an address is taken.
    pub async fn run(self) -> anyhow::Result<()> {
        // A signal that comes while things start must find somebody who listens.
        let (stop, mut stopping) = watch::channel(false);
        tokio::spawn(async move {
            super::stop_signal().await;
            let _ = stop.send(true);
        });
        tokio::select! {
            outcome = self.start_and_serve(stopping.clone()) => outcome,
            _ = async { let _ = stopping.wait_for(|stop| *stop).await; std::future::pending::<()>().await } => Ok(()),
        }
    }

    async fn start_and_serve(self, stopping: watch::Receiver<bool>) -> anyhow::Result<()> {
        let folder = Folder::open(self.data.clone())?;
        let secrets = Secrets::load_or_make(&folder)?;
        folder.log_into_file()?;

        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("{} cannot be listened on: choose another address with --listen", self.listen))?;
        let address = listener.local_addr()?;

        let url = match &self.host {
            Some(host) => format!("http://{host}:{}", address.port()),
            None => format!("http://{address}"),
        };

        screen::progress("Starting PostgreSQL");
        let options = Options { directory: folder.path().to_owned(), durable: true, connections_max: CONNECTIONS_MAX };
        let server = tokio::task::spawn_blocking(move || PrivateServer::start(&options))
            .await
            .context("while starting PostgreSQL")??;
        let pool = house::open_database(&server, POOL_CONNECTIONS).await?;
        screen::progress("Applying migrations");
        database::migrate(&pool).await?;

        screen::progress("Starting the simulated Proxmox");
        let simulator = house::start_simulator(&folder, self.simulator_listen)?;
        let clock = house::clock(&folder, &pool, self.speed).await?;
        let settings = secrets.settings(&url)?;
        let app = App::new(pool, clock, settings);
        screen::progress("Preparing the catalogue, the cluster and the logins");
        house::furnish(&app, &simulator, &secrets).await?;

        folder.write_demo_json(&url, &secrets, &simulator, &server.url(house::DATABASE))?;
        screen::ready(&url, &secrets, folder.path(), self.speed);
        let keeper = tokio::spawn(keep(folder.clone(), Arc::clone(&app), Arc::clone(&simulator)));
        let outcome = super::serve::run(Arc::clone(&app), Some(listener), true, stopping).await;
        screen::stopping();
        keeper.abort();
        save(&folder, &app, &simulator);
        app.pool.close().await;
        // Waits for PostgreSQL to write down everything.
        tokio::task::spawn_blocking(move || drop(server)).await.context("while stopping PostgreSQL")?;
        outcome
    }
}

/// Writes down the clock and the cluster while the demo runs, so that even a killed demo goes on.
async fn keep(folder: Folder, app: Arc<App>, simulator: Arc<Simulator>) {
    let mut saved = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(SAVE_MILLISECONDS)).await;
        folder.save_clock(app.clock.now());
        let changes = simulator.changes();
        if changes != saved {
            saved = changes;
            folder.save_simulator(&simulator);
        }
    }
}

fn save(folder: &Folder, app: &App, simulator: &Simulator) {
    folder.save_clock(app.clock.now());
    folder.save_simulator(simulator);
}

/// The people of the demo.
pub(super) const ADMIN_EMAIL: &str = "admin@demo.example";
/// The customer of the demo.
pub(super) const CUSTOMER_EMAIL: &str = "customer@demo.example";

/// What the customer starts with: enough for a small machine to be billed for two days.
pub(super) const CUSTOMER_CREDIT: &str = "1.00";

impl Secrets {
    fn new_user(email: &str, name: &str, organisation: &str, password: secrecy::SecretString) -> users::NewUser {
        users::NewUser { email: email.into(), name: name.into(), organisation: organisation.into(), password }
    }
}
