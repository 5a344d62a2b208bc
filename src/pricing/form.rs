//! What can be priced on a list, each with its present price: the rows of the form that changes them.

use std::collections::BTreeSet;

use billing::{Money, Rate};

use super::db;
use super::lists::Prices;
use crate::app::App;
use crate::catalog::{Item, PowerState};
use crate::error::{Error, Result};
use crate::ids::PriceListId;
use crate::platform_settings;

/// Something that can be priced.
#[derive(Debug, Clone)]
pub struct FormRow {
    /// What it is; of a machine, running.
    pub item: Item,
    /// What it is called.
    pub name: String,
    /// Per hour and unit; none: it has no price.
    pub rate: Option<Rate>,
    /// Of a machine: per hour while stopped.
    pub stopped: Option<Rate>,
    /// The most per month; none: no limit.
    pub cap: Option<Money>,
}

/// The plans on sale or priced, what machines have beside, and the licences, by the newest version of a list.
///
/// # Errors
/// `NotFound` without such a list.
pub async fn form_rows(app: &App, list: PriceListId) -> Result<Vec<FormRow>> {
    let mut connection = app.pool.acquire().await?;
    let versions = db::select_versions(&mut connection, list).await?;
    let newest = versions.iter().find(|version| version.withdrawn_at.is_none()).ok_or(Error::NotFound("price list"))?;
    let prices = db::select_prices(&mut connection, newest.id).await?;
    let names = db::select_names(&mut connection).await?;
    let mut plans: BTreeSet<_> = prices.keys().filter_map(|item| item.plan()).collect();
    plans.extend(db::select_plans_on_sale(&mut connection).await?.into_iter().map(|(plan, _)| plan));
    let machines = plans.into_iter().map(|plan| Item::Vm(plan, PowerState::Running));
    let beside = [Item::Disk, Item::Address, Item::Snapshot, Item::Backup, Item::Traffic];
    let licences = db::select_licensed_images(&mut connection).await?.into_iter().map(Item::ImageLicence);
    let mut items: Vec<_> = machines.chain(beside).chain(licences).collect();
    items.sort_by_key(|item| names.place(*item));
    let row = |item: Item| {
        let price = prices.get(&item);
        let name = item.plan().map_or_else(|| names.of(item), |plan| names.plan(plan).to_owned());
        let (rate, cap) = (price.map(|(rate, _)| *rate), price.and_then(|(_, cap)| *cap));
        FormRow { item, name, rate, stopped: stopped(&prices, item), cap }
    };
    Ok(items.into_iter().map(row).collect())
}

fn stopped(prices: &Prices, item: Item) -> Option<Rate> {
    prices.get(&Item::Vm(item.plan()?, PowerState::Stopped)).map(|(rate, _)| *rate)
}

/// How many days before a price goes up customers are told.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn notice_days(app: &App) -> Result<i32> {
    let mut connection = app.pool.acquire().await?;
    Ok(platform_settings::read(&mut connection).await?.price_notice_days)
}
