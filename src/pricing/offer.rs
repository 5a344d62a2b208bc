//! What everything costs one customer now, and the changes that are announced.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::db;
use super::lists::{PricedItem, Prices, in_order};
use crate::app::App;
use crate::catalog;
use crate::error::Result;
use crate::ids::{OrganisationId, PriceListId};

/// A price that will change.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AnnouncedPrice {
    /// The price that will hold; null: it will be free.
    pub after: Option<PricedItem>,
    /// What it is called.
    pub name: String,
    /// Per hour and unit until then; null: it is free.
    pub price_before: Option<Rate>,
    /// The most per month until then; null: no limit.
    pub cap_before: Option<Money>,
}

/// Changes of prices from an instant on.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = AnnouncedPrices)]
pub struct Announced {
    /// From here on.
    pub effective_from: DateTime<Utc>,
    /// What the operator says about it.
    pub note: String,
    /// What changes.
    pub changes: Vec<AnnouncedPrice>,
}

/// What everything costs.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Offer {
    /// The customer's price list.
    pub price_list: PriceListId,
    /// Its name.
    pub name: String,
    /// The version in force.
    pub version: Option<i32>,
    /// Since when it is in force.
    pub since: Option<DateTime<Utc>>,
    /// In the order of the list; plans that are no longer sold only if the list still has them.
    pub items: Vec<PricedItem>,
    /// What will change, soonest first.
    pub announced: Vec<Announced>,
}

/// What everything costs an organisation.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn offer_for(app: &App, organisation: OrganisationId) -> Result<Offer> {
    let now = app.clock.now();
    let on_sale: Vec<_> = catalog::plans_for(app, organisation).await?.into_iter().map(|plan| plan.id).collect();
    let mut connection = app.pool.acquire().await?;
    let list = catalog::price_book_for(&mut connection, organisation).await?.list();
    let line = db::select_lists(&mut connection, Some(list), now).await?.pop();
    let used = db::select_plans_of(&mut connection, organisation).await?;
    let names = db::select_names(&mut connection).await?;
    let shown = |prices: &Prices| -> Prices {
        let keep = |plan| on_sale.contains(&plan) || used.contains(&plan);
        prices.iter().filter(|(item, _)| item.plan().is_none_or(keep)).map(|(item, price)| (*item, *price)).collect()
    };
    let mut before = match db::select_version_at(&mut connection, list, now).await? {
        Some(version) => shown(&db::select_prices(&mut connection, version.id).await?),
        None => Prices::new(),
    };
    let items = in_order(&before, &names);
    let mut announced = Vec::new();
    for (version, effective_from, note) in db::select_upcoming(&mut connection, list, now).await? {
        let after = shown(&db::select_prices(&mut connection, version).await?);
        let changed: Prices = after
            .iter()
            .filter(|(item, price)| before.get(item) != Some(price))
            .map(|(item, price)| (*item, *price))
            .collect();
        let gone: Prices =
            before.iter().filter(|(item, _)| !after.contains_key(item)).map(|(item, price)| (*item, *price)).collect();
        let change = |priced: PricedItem, is_gone: bool| {
            let was = before.get(&priced.item);
            AnnouncedPrice {
                name: priced.name.clone(),
                price_before: was.map(|(rate, _)| *rate),
                cap_before: was.and_then(|(_, cap)| *cap),
                after: (!is_gone).then_some(priced),
            }
        };
        let changes = in_order(&changed, &names).into_iter().map(|priced| change(priced, false));
        let changes = changes.chain(in_order(&gone, &names).into_iter().map(|priced| change(priced, true))).collect();
        announced.push(Announced { effective_from, note, changes });
        before = after;
    }
    Ok(Offer {
        price_list: list,
        name: line.as_ref().map(|line| line.name.clone()).unwrap_or_default(),
        version: line.as_ref().and_then(|line| line.in_force),
        since: line.and_then(|line| line.in_force_since),
        items,
        announced,
    })
}
