//! Telling customers that prices change, or that they will not after all: each who uses something of it, once, in batches. How
//! far it has come is written down in the transaction of each batch, so that a crash tells nobody twice and forgets nobody.

use std::collections::HashMap;
use std::fmt::Write;

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::change::key_prefix;
use super::db::{self, ToAnnounce};
use super::lists::{Prices, in_order};
use super::{Names, PricedItem};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::Item;
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::notifications::{self, Notice, Severity};

/// How many customers are told in one transaction.
const CUSTOMERS_PER_BATCH: i64 = 200;
/// How many batches one turn tells before it lets its caller look around.
const BATCHES_MAX: usize = 1_000;
/// The most changes that one notice lists.
const CHANGES_TOLD_MAX: usize = 40;

/// Tells customers of changes of prices that they have not been told of. Answers how many were told.
///
/// # Errors
/// When PostgreSQL fails; who has been told until then is not told again.
pub async fn announce_due(app: &App) -> Result<usize> {
    let mut told = 0;
    for _ in 0..BATCHES_MAX {
        match announce_batch(app).await? {
            Some(customers) => told += customers,
            None => break,
        }
    }
    Ok(told)
}

async fn announce_batch(app: &App) -> Result<Option<usize>> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let Some(version) = db::lock_to_announce(&mut transaction).await? else { return Ok(None) };
    let (told, through) = match version.withdrawn_at {
        None => tell(app, &mut transaction, &version, now).await?,
        Some(_) => take_back(app, &mut transaction, &version, now).await?,
    };
    let done = i64::try_from(told).is_ok_and(|told| told < CUSTOMERS_PER_BATCH);
    // A version that was withdrawn keeps the number of those who had been told of it.
    let counted = if version.withdrawn_at.is_none() { i32::try_from(told).unwrap_or(i32::MAX) } else { 0 };
    db::update_announced(&mut transaction, version.id, counted, through, done.then_some(now)).await?;
    if done {
        let name = db::select_lists(&mut transaction, Some(version.list), now).await?.pop().map(|line| line.name);
        let subject = Subject::new("price_list", version.list, name.unwrap_or_default());
        let detail = json!({ "version": version.number, "withdrawn": version.withdrawn_at.is_some() });
        audit::record(&mut transaction, now, &Actor::system(), None, Event::PricesAnnounced, subject, detail).await?;
    }
    transaction.commit().await?;
    Ok(Some(told))
}

async fn tell(
    app: &App,
    connection: &mut PgConnection,
    version: &ToAnnounce,
    now: DateTime<Utc>,
) -> Result<(usize, Option<OrganisationId>)> {
    let before = db::select_prices_before(&mut *connection, version).await?;
    let after = db::select_prices(&mut *connection, version.id).await?;
    let items = before.keys().chain(after.keys().filter(|item| !before.contains_key(item)));
    let changed: Vec<_> = items.filter(|item| before.get(item) != after.get(item)).copied().collect();
    let names = db::select_names(&mut *connection).await?;
    let users =
        db::select_users_of(&mut *connection, version.list, &changed, version.through, CUSTOMERS_PER_BATCH).await?;
    let told = users.len();
    let through = users.last().map(|(organisation, _)| *organisation);
    for (organisation, used) in users {
        let notice = Notice {
            key: format!("{}told", key_prefix(version.id)),
            kind: "prices.change",
            severity: Severity::Warning,
            title: format!("Prices change on {}", version.effective_from.format("%-d %b %Y")),
            body: body(app, version, &before, &after, &used, &names),
            link: Some("/prices".into()),
        };
        notifications::tell_organisation(app, &mut *connection, organisation, notice, now).await?;
    }
    Ok((told, through))
}

/// The old and the new prices of what a customer uses.
fn body(
    app: &App,
    version: &ToAnnounce,
    before: &Prices,
    after: &Prices,
    used: &HashMap<Item, i64>,
    names: &Names,
) -> String {
    let mut text = format!(
        "From {} UTC on, something that you use costs this, per hour:\n\n",
        version.effective_from.format("%-d %b %Y %H:%M")
    );
    text.push_str(&lines(before, after, used, names, &app.settings.currency));
    if !version.note.is_empty() {
        let _ = write!(text, "\n{}\n", version.note);
    }
    text.push_str("\nWhat has been charged until then stays as it is. The whole list is in the portal under Prices.");
    text
}

/// A line for each price of what is used, as it was and as it will be.
pub(super) fn lines(
    before: &Prices,
    after: &Prices,
    used: &HashMap<Item, i64>,
    names: &Names,
    currency: &str,
) -> String {
    let mut text = String::new();
    let of_used: Prices =
        used.keys().filter_map(|item| Some((*item, *after.get(item).or_else(|| before.get(item))?))).collect();
    for PricedItem { item, name, .. } in in_order(&of_used, names).into_iter().take(CHANGES_TOLD_MAX) {
        let (was, will_be) = (words(before.get(&item), currency), words(after.get(&item), currency));
        let _ = writeln!(text, "{name}: {was} until then, {will_be} from then on.");
    }
    if used.len() > CHANGES_TOLD_MAX {
        let _ = writeln!(text, "And {} more.", used.len() - CHANGES_TOLD_MAX);
    }
    text
}

fn words(price: Option<&(Rate, Option<Money>)>, currency: &str) -> String {
    match price {
        None => "free".into(),
        Some((rate, None)) => format!("{rate} {currency}"),
        Some((rate, Some(cap))) => format!("{rate} {currency}, at most {cap} {currency} a month"),
    }
}

/// Tells those who had been told that it will not be so.
async fn take_back(
    app: &App,
    connection: &mut PgConnection,
    version: &ToAnnounce,
    now: DateTime<Utc>,
) -> Result<(usize, Option<OrganisationId>)> {
    let prefix = key_prefix(version.id);
    let key = format!("{prefix}told");
    let told = db::select_told(&mut *connection, &key, version.through, CUSTOMERS_PER_BATCH).await?;
    for organisation in &told {
        notifications::withdraw_from(&mut *connection, *organisation, &key, now).await?;
        let notice = Notice {
            key: format!("{prefix}withdrawn"),
            kind: "prices.change_withdrawn",
            severity: Severity::Info,
            title: "Prices stay as they are".into(),
            body: format!(
                "The change of prices that was announced for {} UTC will not take place.",
                version.effective_from.format("%-d %b %Y %H:%M")
            ),
            link: Some("/prices".into()),
        };
        notifications::tell_organisation(app, &mut *connection, *organisation, notice, now).await?;
    }
    Ok((told.len(), told.last().copied()))
}
