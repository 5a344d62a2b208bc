//! What a demo is made of: database, simulated cluster, clock, catalogue, people. Each is made the first time and found
//! again later.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use proxmox_simulator::{Identity, Options, Simulator, Timing};
use sqlx::{Connection, PgConnection, PgPool};

use super::folder::{Folder, Secrets};
use super::{ADMIN_EMAIL, CUSTOMER_EMAIL};
use crate::app::App;
use crate::audit::Actor;
use crate::clock::Clock;
use crate::clusters::{self, NewCluster};
use crate::commands::seed::sell_examples;
use crate::database;
use crate::database::private::PrivateServer;
use crate::error::Error;
use crate::invoices::{self, InvoiceSettings};
use crate::users;

/// The name of the database.
pub(super) const DATABASE: &str = "uni_manager";
/// The name of the simulated cluster.
const CLUSTER: &str = "demo";
/// What the simulated nodes have: enough for hundreds of machines.
const NODES: u16 = 3;
const NODE_MEMORY_BYTES: u64 = 1 << 40;
const NODE_CORES: u32 = 64;

/// Opens the database, making it the first time.
pub(super) async fn open_database(server: &PrivateServer, connections_max: u32) -> anyhow::Result<PgPool> {
    let mut connection =
        PgConnection::connect(&server.url("postgres")).await.context("while connecting to the private PostgreSQL")?;
    let known =
        sqlx::query_scalar!(r#"select exists (select 1 from pg_database where datname = $1) as "known!""#, DATABASE)
            .fetch_one(&mut connection)
            .await?;
    if !known {
        sqlx::query("create database uni_manager")
            .execute(&mut connection)
            .await
            .context("while making the database")?;
    }
    connection.close().await?;
    database::connect(&server.url(DATABASE), connections_max).await
}

/// Starts the simulated Proxmox as it was left, at its old address unless another one is asked for.
pub(super) fn start_simulator(folder: &Folder, listen: SocketAddr) -> anyhow::Result<Arc<Simulator>> {
    let mut options = Options {
        listen,
        nodes: NODES,
        node_memory: NODE_MEMORY_BYTES,
        node_cores: NODE_CORES,
        timing: Timing::realistic(),
        ..Options::default()
    };
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    if let Some(saved) = folder.saved_simulator()? {
        let (id, secret) = saved.token.split_once('=').context("the saved token of the simulator is damaged")?;
        options.token = Some((id.to_owned(), secret.to_owned()));
        options.identity = Some(Identity { certificate_pem: saved.certificate_pem, key_pem: saved.key_pem });
        options.state = Some(saved.state);
        if listen == any {
            let old = Options { listen: saved.address, ..options.clone() };
            if let Ok(simulator) = Simulator::start(old) {
                return Ok(Arc::new(simulator));
            }
        }
    }
    Ok(Arc::new(Simulator::start(options).context("while starting the simulated Proxmox")?))
}

/// The clock of the books: no time passes while the demo is off, and it never goes back behind what was charged.
pub(super) async fn clock(folder: &Folder, pool: &PgPool, speed: u32) -> anyhow::Result<Clock> {
    let charged = sqlx::query_scalar!("select max(charged_through) from wallets").fetch_one(pool).await?;
    let origin = folder.saved_clock().max(charged).unwrap_or_else(|| Clock::System.now());
    Ok(Clock::scaled(origin, speed))
}

/// Puts examples on sale, connects the cluster and makes the people, as far as they are not there yet.
pub(super) async fn furnish(app: &App, simulator: &Simulator, secrets: &Secrets) -> anyhow::Result<()> {
    let mut transaction = app.pool.begin().await?;
    let examples = sell_examples(&mut transaction, app.clock.now()).await?;
    transaction.commit().await?;

    match clusters::list(app).await?.into_iter().find(|cluster| cluster.name == CLUSTER) {
        Some(cluster) => {
            clusters::set_endpoint(app, cluster.id, &simulator.url()).await?;
            // Pages that are opened at once should not show yesterday's silence.
            let _ = crate::vms::reconcile(app, cluster.id).await;
        }
        None => {
            let (token_id, token_secret) =
                simulator.token().split_once('=').context("the simulator's token has no secret")?;
            let new = NewCluster {
                name: CLUSTER.into(),
                location: Some(examples.location),
                endpoint: simulator.url(),
                token_id: token_id.into(),
                token_secret: token_secret.into(),
                fingerprint: simulator.fingerprint().into(),
                storage: "shared".into(),
                bridge: "vmbr0".into(),
                vmid_from: "10000".into(),
                vmid_to: "99999".into(),
            };
            let cluster = clusters::add(app, &new, &Actor::system()).await.map_err(said)?;
            let templates: Vec<_> = examples.images.iter().map(|(image, vmid)| (*image, Some(*vmid))).collect();
            clusters::set_templates(app, cluster, &templates, &Actor::system()).await.map_err(said)?;
        }
    }

    // Whoever tries the demo should not need an app on his phone first.
    sqlx::query!("update settings set staff_second_factor = false where updated_by is null").execute(&app.pool).await?;
    say_who_issues(app).await?;
    let admin = Secrets::new_user(ADMIN_EMAIL, "Demo Admin", "Operators", secrets.admin_password.clone());
    unless_known(users::create_admin(app, admin).await)?;
    let customer = Secrets::new_user(CUSTOMER_EMAIL, "Demo Customer", "Acme Studio", secrets.customer_password.clone());
    unless_known(users::register(app, customer, Actor::system()).await)?;
    Ok(())
}

/// So that months that go by have invoices.
async fn say_who_issues(app: &App) -> anyhow::Result<()> {
    let settings = invoices::current_settings(app).await?;
    if settings.issuer().is_some() {
        return Ok(());
    }
    let new = InvoiceSettings {
        issuer_name: "Demo Hosting".into(),
        issuer_address: "1 Example Street\n12345 Exampletown".into(),
        tax_rate: "19".parse().context("the tax of the demo is no rate")?,
        ..settings
    };
    invoices::change_settings(app, &new, &Actor::system()).await.map_err(said)
}

/// An account that is there already is the one of an earlier start.
fn unless_known<T>(outcome: Result<T, Error>) -> anyhow::Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(Error::Invalid(problems)) if problems.iter().any(|problem| problem.field == "email") => Ok(()),
        Err(error) => Err(said(error)),
    }
}

/// An error with everything it says about fields.
fn said(error: Error) -> anyhow::Error {
    match error {
        Error::Invalid(problems) => {
            let problems: Vec<_> =
                problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.problem)).collect();
            anyhow::anyhow!("{}", problems.join("; "))
        }
        other => other.into(),
    }
}
