//! What is on offer: locations, plans, images, and what they cost when.

mod db;
mod items;
mod prices;

use std::collections::HashMap;

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use items::{Item, PowerState, Resource};
pub use prices::{Metering, Price, PriceBook, PriceError};

use crate::app::App;
use crate::error::Result;
use crate::ids::{ImageId, LocationId, OrganisationId, PlanId, PriceListId};

/// Where machines can be.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
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
    /// The licence that its system needs, if it needs one.
    pub licence: Option<String>,
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

/// The plans on sale that have a price now on the default list, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn plans(app: &App) -> Result<Vec<Plan>> {
    db::select_plans(&app.pool, None, app.clock.now()).await
}

/// The plans on sale that have a price now for an organisation, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn plans_for(app: &App, organisation: OrganisationId) -> Result<Vec<Plan>> {
    db::select_plans(&app.pool, Some(organisation), app.clock.now()).await
}

/// The images on offer, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn images(app: &App) -> Result<Vec<Image>> {
    db::select_images(&app.pool).await
}

/// Every price there is, was or will be, as a customer of the default list sees them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn price_book(connection: &mut PgConnection) -> Result<PriceBook> {
    let list = db::select_list_of(&mut *connection, None).await?;
    db::select_prices(connection, list).await
}

/// Every price there is, was or will be, as an organisation sees them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn price_book_for(connection: &mut PgConnection, organisation: OrganisationId) -> Result<PriceBook> {
    let list = db::select_list_of(&mut *connection, Some(organisation)).await?;
    db::select_prices(connection, list).await
}

/// The price lists of those of the organisations that have one of their own.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn own_lists(
    connection: &mut PgConnection,
    organisations: &[OrganisationId],
) -> Result<HashMap<OrganisationId, PriceListId>> {
    db::select_own_lists(connection, organisations).await
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

/// Adds a plan with its prices on the default list from `valid_from` on, or finds the one with this slug and leaves its
/// prices alone.
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
        let list = db::select_list_of(&mut *connection, None).await?;
        let versions = db::ensure_versions(&mut *connection, list, valid_from).await?;
        for (state, rate) in [(PowerState::Running, new.running), (PowerState::Stopped, new.stopped)] {
            for version in &versions {
                db::insert_price(&mut *connection, *version, Item::Vm(id, state), rate, new.monthly_cap).await?;
            }
        }
    }
    Ok(id)
}
