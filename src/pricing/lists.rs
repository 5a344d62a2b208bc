//! Price lists and their versions: what there is, a new list as a copy of another, and who is on which.

use std::collections::HashMap;

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Names, db};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::Item;
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{ImageId, PlanId, PriceListId, PriceListVersionId};

/// The longest name of a list, in characters.
pub const NAME_CHARACTERS_MAX: usize = 60;

/// A price list among the others.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PriceListLine)]
pub struct ListLine {
    /// Its id.
    pub id: PriceListId,
    /// Its name in programs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Of every organisation that has none of its own.
    pub is_default: bool,
    /// How many versions it has had, also those to come.
    pub versions: i64,
    /// The number of the version in force.
    pub in_force: Option<i32>,
    /// Since when it is.
    pub in_force_since: Option<DateTime<Utc>>,
    /// When the next version begins.
    pub next_from: Option<DateTime<Utc>>,
    /// How many organisations are on it.
    pub customers: i64,
}

/// A version of a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PriceListVersion)]
pub struct Version {
    /// Its id.
    pub id: PriceListVersionId,
    /// Its number on the list, from one on.
    pub number: i32,
    /// In force from here, unless it was withdrawn.
    pub effective_from: DateTime<Utc>,
    /// In force until here; null: until there is another.
    pub until: Option<DateTime<Utc>>,
    /// What the operator says about it; customers read it.
    pub note: String,
    /// Why a rise needed no notice.
    pub reason: String,
    /// When it was taken back.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// Since when customers are being told.
    pub announcing_since: Option<DateTime<Utc>>,
    /// How many customers have been told.
    pub announced_to: i32,
    /// When all had been told.
    pub announced_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What an item costs by a version.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PricedItem {
    /// What it is.
    #[serde(skip)]
    pub item: Item,
    /// Its kind as it is stored.
    pub kind: &'static str,
    /// The plan, of a machine.
    pub plan: Option<PlanId>,
    /// The image, of a licence.
    pub image: Option<ImageId>,
    /// What it is called.
    pub name: String,
    /// Per hour and unit.
    pub price_per_hour: Rate,
    /// The most per month and unit; null: no limit.
    pub monthly_cap: Option<Money>,
}

/// A list with its versions and the prices of one of them.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PriceList)]
pub struct List {
    /// The list.
    #[serde(flatten)]
    pub line: ListLine,
    /// The number of the version whose prices follow.
    pub shown: Option<i32>,
    /// Its prices, in the order of the list.
    pub prices: Vec<PricedItem>,
    /// Newest first.
    pub timeline: Vec<Version>,
}

/// Rates and caps of a version.
pub(super) type Prices = HashMap<Item, (Rate, Option<Money>)>;

/// The prices in the order of a list.
pub(super) fn in_order(prices: &Prices, names: &Names) -> Vec<PricedItem> {
    let mut items: Vec<_> = prices
        .iter()
        .map(|(item, (rate, cap))| PricedItem {
            item: *item,
            kind: item.kind(),
            plan: item.plan(),
            image: item.image(),
            name: names.of(*item),
            price_per_hour: *rate,
            monthly_cap: *cap,
        })
        .collect();
    items.sort_by_key(|priced| names.place(priced.item));
    items
}

/// All price lists, the default one first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn lists(app: &App) -> Result<Vec<ListLine>> {
    let mut connection = app.pool.acquire().await?;
    db::select_lists(&mut connection, None, app.clock.now()).await
}

/// A price list with the prices of a version: of this number, else of the one in force.
///
/// # Errors
/// `NotFound` when there is no such list or version.
pub async fn show(app: &App, list: PriceListId, number: Option<i32>) -> Result<List> {
    let mut connection = app.pool.acquire().await?;
    let line = db::select_lists(&mut connection, Some(list), app.clock.now()).await?.pop();
    let line = line.ok_or(Error::NotFound("price list"))?;
    let timeline = db::select_versions(&mut connection, list).await?;
    let shown = number.or(line.in_force);
    let version = timeline.iter().find(|version| Some(version.number) == shown);
    if number.is_some() && version.is_none() {
        return Err(Error::NotFound("version"));
    }
    let prices = match version {
        Some(version) => db::select_prices(&mut connection, version.id).await?,
        None => Prices::new(),
    };
    let names = db::select_names(&mut connection).await?;
    Ok(List { shown: version.map(|version| version.number), prices: in_order(&prices, &names), line, timeline })
}

/// A list to be made.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[schema(as = NewPriceList)]
pub struct NewList {
    /// What it is called.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 60)]
    pub name: String,
    /// Whose present prices it begins with.
    pub copy_of: Option<PriceListId>,
}

/// Makes a list with the present prices of another one. Nobody is on it yet.
///
/// # Errors
/// `Invalid` with a problem per field, `Conflict` when there is one of that name.
pub async fn add_list(app: &App, new: &NewList, actor: &Actor) -> Result<PriceListId> {
    let now = app.clock.now();
    let name = new.name.trim();
    let mut problems = Vec::new();
    if name.is_empty() {
        problems.push(Problem::new("name", "Give it a name."));
    } else if name.chars().count() > NAME_CHARACTERS_MAX {
        problems.push(Problem::new("name", format!("At most {NAME_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(name) {
        problems.push(Problem::new("name", NOT_A_PLAIN_LINE));
    } else if slug(name).is_empty() {
        problems.push(Problem::new("name", "At least one letter or digit."));
    }
    let mut transaction = app.pool.begin().await?;
    let base = match new.copy_of {
        Some(list) => db::select_version_at(&mut transaction, list, now).await?,
        None => None,
    };
    if base.is_none() {
        problems.push(Problem::new("copy_of", "Choose a list that has prices now."));
    }
    let Some(base) = base.filter(|_| problems.is_empty()) else { return Err(Error::Invalid(problems)) };
    let id = PriceListId::new();
    db::insert_list(&mut transaction, id, &slug(name), name, now).await?;
    let prices = db::select_prices(&mut transaction, base.id).await?;
    let row = db::NewVersionRow { list: id, number: 1, effective_from: now, note: "", reason: "", announcing: false };
    db::insert_version(&mut transaction, &row, &prices, actor.user(), now).await?;
    let subject = Subject::new("price_list", id, name);
    let detail = json!({ "copy_of": new.copy_of, "version": base.number });
    audit::record(&mut transaction, now, actor, None, Event::PriceListAdded, subject, detail).await?;
    transaction.commit().await?;
    Ok(id)
}

/// A name as a word for programs: small letters, digits and dashes.
fn slug(name: &str) -> String {
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    let words: Vec<_> = plain.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_word_for_programs() {
        for (name, word) in [("Resellers 2027", "resellers-2027"), ("  É–A  ", "a"), ("--", "")] {
            assert_eq!(slug(name), word, "{name}");
        }
    }
}
