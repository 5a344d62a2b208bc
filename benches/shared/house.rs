//! A house to measure in: settings, a small catalogue, a simulated cluster whose tasks take no time.

use anyhow::Context;
use billing::Money;
use chrono::{DateTime, Utc};
use proxmox_simulator::{Options, Simulator, Timing};
use secrecy::SecretString;
use std::net::Ipv4Addr;
use uni_manager::addresses::{self, NewPool};
use uni_manager::app::App;
use uni_manager::audit::Actor;
use uni_manager::catalog::{self, NewPlan};
use uni_manager::clusters::{self, NewCluster};
use uni_manager::config::{Guards, Settings, Vault, token_key};
use uni_manager::ids::{ImageId, LocationId, PlanId};

/// Four nodes of a terabyte and many processors, so that room never stops an order.
const NODES: u16 = 4;
const NODE_MEMORY_BYTES: u64 = 1 << 40;
const NODE_CORES: u32 = 512;
/// The template of the one image.
pub const TEMPLATE: u32 = 9000;
/// Where disks are made: every node has it.
pub const STORAGE: &str = "shared";
/// The bridge of every machine.
pub const BRIDGE: &str = "vmbr0";
/// What signs access tokens.
pub const TOKEN_KEY: &str = "a key for measurements and nothing else";

/// Settings with this Fernet key and sign-up credit.
///
/// # Errors
/// When the key is not one.
pub fn settings(secret_key: &SecretString, sign_up_credit: Money) -> anyhow::Result<Settings> {
    Ok(Settings {
        public_url: "http://127.0.0.1".into(),
        guards: Guards::default(),
        currency: "EUR".into(),
        time_zone: chrono_tz::UTC,
        sign_up_credit,
        registration_open: true,
        credit_contact: "Ask the operator.".into(),
        vault: Vault::from_keys(secret_key)?,
        token_key: token_key(TOKEN_KEY.into())?,
        // Without a way to write to them, shoppers need not confirm their addresses.
        mailer: uni_manager::mail::Mailer::None,
        oidc: None,
        demo: false,
        charging_workers: 2,
    })
}

/// Starts the cluster, as a snapshot has it if there is one.
///
/// # Errors
/// When it cannot listen.
pub fn simulator(state: Option<serde_json::Value>) -> anyhow::Result<Simulator> {
    Simulator::start(Options {
        nodes: NODES,
        node_memory: NODE_MEMORY_BYTES,
        node_cores: NODE_CORES,
        timing: Timing::instant(),
        state,
        ..Options::default()
    })
}

/// What is on sale.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Where.
    pub location: LocationId,
    /// Which image.
    pub image: ImageId,
    /// The smallest plan.
    pub plan: PlanId,
}

/// Puts things on sale from `valid_from` on, and connects the cluster.
///
/// # Errors
/// When PostgreSQL or the cluster fails.
pub async fn furnish(app: &App, simulator: &Simulator, valid_from: DateTime<Utc>) -> anyhow::Result<Offer> {
    let mut transaction = app.pool.begin().await?;
    let location = catalog::ensure_location(&mut transaction, "here", "Here", "Nowhere", 0).await?;
    let plan = NewPlan {
        slug: "s",
        name: "S",
        vcpu: 2,
        memory_mib: 4096,
        disk_gib: 40,
        running: "0.02".parse().context("the price of running")?,
        stopped: "0.005".parse().context("the price of being off")?,
        monthly_cap: Some("13.44".parse().context("the monthly cap")?),
    };
    let plan = catalog::ensure_plan(&mut transaction, &plan, 0, valid_from).await?;
    let image = catalog::ensure_image(&mut transaction, "debian-12", "Debian 12", "debian", 10, 0).await?;
    let pool = NewPool {
        location,
        name: "here-v4",
        network: Ipv4Addr::new(10, 10, 0, 0),
        prefix: 20,
        gateway: Ipv4Addr::new(10, 10, 0, 1),
        nameserver: Ipv4Addr::new(9, 9, 9, 9),
    };
    addresses::ensure_pool(&mut transaction, &pool, valid_from).await?;
    transaction.commit().await?;
    let (token_id, token_secret) = simulator.token().split_once('=').context("the simulator's token has no secret")?;
    let cluster = NewCluster {
        name: "measured".into(),
        location: Some(location),
        endpoint: simulator.url(),
        token_id: token_id.into(),
        token_secret: token_secret.into(),
        fingerprint: simulator.fingerprint().into(),
        storage: STORAGE.into(),
        bridge: BRIDGE.into(),
        vmid_from: "10000".into(),
        vmid_to: "99999".into(),
    };
    let cluster = clusters::add(app, &cluster, &Actor::system()).await?;
    clusters::set_templates(app, cluster, &[(image, Some(TEMPLATE))], &Actor::system()).await?;
    Ok(Offer { location, image, plan })
}
