//! What is on offer: locations, plans, images, and what they cost when.

mod db;
mod prices;

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use prices::{PowerState, Price, PriceBook, PriceMissing};

use crate::app::App;
use crate::error::Result;
use crate::ids::{ImageId, LocationId, PlanId, PriceId};

/// Where machines can be.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Location {
    /// Its id.
    pub id: LocationId,
    /// Its name in URLs and programs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The country it is in.
    pub country: String,
    /// Whether a cluster there takes new machines.
    pub open: bool,
}

/// A size of machine, with today's prices.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Its name in programs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Virtual processors.
    pub vcpu: i32,
    /// Memory in MiB.
    pub memory_mib: i32,
    /// Disk in GiB.
    pub disk_gib: i32,
    /// Per hour while running.
    pub running: Rate,
    /// Per hour while stopped.
    pub stopped: Rate,
    /// The most it costs per month; none: no limit.
    pub monthly_cap: Option<Money>,
}

/// What a machine is cloned from.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its name in programs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The user that gets the SSH keys.
    pub login: String,
    /// The smallest disk it fits on, in GiB.
    pub minimum_disk_gib: i32,
    /// The locations where a cluster has its template.
    pub locations: Vec<LocationId>,
}

/// The locations, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn locations(app: &App) -> Result<Vec<Location>> {
    db::select_locations(&app.pool).await
}

/// The plans on sale that have a price now, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn plans(app: &App) -> Result<Vec<Plan>> {
    db::select_plans(&app.pool, app.clock.now()).await
}

/// The images on offer, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn images(app: &App) -> Result<Vec<Image>> {
    db::select_images(&app.pool).await
}

/// Every price there is or was.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn price_book(connection: &mut PgConnection) -> Result<PriceBook> {
    db::select_prices(connection).await
}

/// A plan to offer.
#[derive(Debug, Clone)]
pub struct NewPlan<'a> {
    /// Its name in programs.
    pub slug: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Virtual processors.
    pub vcpu: i32,
    /// Memory in MiB.
    pub memory_mib: i32,
    /// Disk in GiB.
    pub disk_gib: i32,
    /// Per hour while running.
    pub running: Rate,
    /// Per hour while stopped.
    pub stopped: Rate,
    /// The most it costs per month.
    pub monthly_cap: Option<Money>,
}

/// Adds a location, or finds the one with this slug.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn ensure_location(
    connection: &mut PgConnection,
    slug: &str,
    name: &str,
    country: &str,
    position: i32,
) -> Result<LocationId> {
    db::upsert_location(connection, slug, name, country, position).await
}

/// Adds an image, or finds the one with this slug.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn ensure_image(
    connection: &mut PgConnection,
    slug: &str,
    name: &str,
    login: &str,
    minimum_disk_gib: i32,
    position: i32,
) -> Result<ImageId> {
    db::upsert_image(connection, slug, name, login, minimum_disk_gib, position).await
}

/// Adds a plan with its prices from `valid_from` on, or finds the one with this slug and leaves its prices alone.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn ensure_plan(
    connection: &mut PgConnection,
    new: &NewPlan<'_>,
    position: i32,
    valid_from: DateTime<Utc>,
) -> Result<PlanId> {
    let (id, inserted) = db::upsert_plan(&mut *connection, new, position).await?;
    if inserted {
        for (state, rate) in [(PowerState::Running, new.running), (PowerState::Stopped, new.stopped)] {
            db::insert_price(&mut *connection, PriceId::new(), id, state, rate, new.monthly_cap, valid_from).await?;
        }
    }
    Ok(id)
}
