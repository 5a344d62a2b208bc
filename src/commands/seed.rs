//! Example locations, plans and images, to begin with. What is there already stays as it is.

use std::net::Ipv4Addr;

use anyhow::Context;
use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use crate::addresses::{self, NewPool};
use crate::catalog::{self, NewPlan};
use crate::clock::Clock;
use crate::database;
use crate::ids::{ImageId, LocationId};

/// Arguments of `seed`.
#[derive(Debug, Args)]
pub struct Seed {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
}

impl Seed {
    /// Seeds.
    ///
    /// # Errors
    /// When the database cannot be reached.
    #[expect(clippy::print_stdout, reason = "it answers a person at a terminal")]
    pub async fn run(self) -> anyhow::Result<()> {
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        database::check_migrations(&pool).await?;
        let mut transaction = pool.begin().await?;
        sell_examples(&mut transaction, Clock::System.now()).await?;
        transaction.commit().await?;
        println!(
            "The catalogue has a location, four plans and three images. Add a cluster in the admin panel to sell them."
        );
        Ok(())
    }
}

/// What was put on sale.
#[derive(Debug)]
pub struct Examples {
    /// The location.
    pub location: LocationId,
    /// The images with the VMIDs of the templates that the simulator has for them.
    pub images: Vec<(ImageId, u32)>,
}

/// Puts the examples on sale, with prices from `valid_from` on.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn sell_examples(connection: &mut PgConnection, valid_from: DateTime<Utc>) -> anyhow::Result<Examples> {
    let location = catalog::ensure_location(&mut *connection, "falkenstein", "Falkenstein", "Germany", 1).await?;
    for (position, (slug, name, vcpu, memory_gib, disk_gib, running, stopped, cap)) in [
        ("xs", "XS", 1, 2, 20, "0.0100", "0.0025", "6.72"),
        ("s", "S", 2, 4, 40, "0.0200", "0.0050", "13.44"),
        ("m", "M", 4, 8, 80, "0.0400", "0.0100", "26.88"),
        ("l", "L", 8, 16, 160, "0.0800", "0.0200", "53.76"),
    ]
    .into_iter()
    .enumerate()
    {
        let plan = NewPlan {
            slug,
            name,
            vcpu,
            memory_mib: memory_gib * 1024,
            disk_gib,
            running: running.parse::<Rate>().context("an example price")?,
            stopped: stopped.parse::<Rate>().context("an example price")?,
            monthly_cap: Some(cap.parse::<Money>().context("an example cap")?),
        };
        catalog::ensure_plan(&mut *connection, &plan, i32::try_from(position).unwrap_or(0), valid_from).await?;
    }
    let mut images = Vec::new();
    for (position, (slug, name, login, vmid)) in [
        ("debian-12", "Debian 12", "debian", 9000),
        ("ubuntu-24.04", "Ubuntu 24.04", "ubuntu", 9001),
        ("rocky-9", "Rocky Linux 9", "rocky", 9002),
    ]
    .into_iter()
    .enumerate()
    {
        let image =
            catalog::ensure_image(&mut *connection, slug, name, login, 10, i32::try_from(position).unwrap_or(0))
                .await?;
        images.push((image, vmid));
    }
    let pool = NewPool {
        location,
        name: "falkenstein-v4",
        network: Ipv4Addr::new(10, 10, 0, 0),
        prefix: 20,
        gateway: Ipv4Addr::new(10, 10, 0, 1),
        nameserver: Ipv4Addr::new(9, 9, 9, 9),
    };
    addresses::ensure_pool(connection, &pool, valid_from).await?;
    Ok(Examples { location, images })
}
