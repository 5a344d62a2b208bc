//! Putting a customer on a price list. What it uses goes on by the new prices at once; it is told of each that is another one,
//! and a rise needs a reason that it reads.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::announce::lines;
use super::change::{NOTE_CHARACTERS_MAX, is_rise};
use super::db;
use super::lists::Prices;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::catalog::Item;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, PriceListId};
use crate::notifications::{self, Notice, Severity};
use crate::{ledger, live, metering, runway};

/// Puts an organisation on a list, or back on the default one. What it uses goes on by the new prices from now; what was
/// charged stays. Answers how many meters that are.
///
/// # Errors
/// `NotFound` without such an organisation or list, `Conflict` when the list has no price for something that it uses,
/// `Invalid` when something that it uses gets dearer and no reason is given, or the reason is too long.
pub async fn assign(
    app: &App,
    organisation: OrganisationId,
    list: Option<PriceListId>,
    reason: &str,
    actor: &Actor,
) -> Result<u64> {
    let now = app.clock.now();
    let reason = reason.trim();
    if reason.chars().count() > NOTE_CHARACTERS_MAX {
        return Err(Error::invalid("reason", format!("At most {NOTE_CHARACTERS_MAX} characters.")));
    }
    let mut transaction = app.pool.begin().await?;
    let before = ledger::lock_wallet(&mut transaction, organisation).await?;
    let line = match list {
        Some(list) => db::select_lists(&mut transaction, Some(list), now).await?.pop(),
        None => db::select_lists(&mut transaction, None, now).await?.into_iter().find(|line| line.is_default),
    };
    let line = line.ok_or(Error::NotFound("price list"))?;
    db::update_list_of(&mut transaction, organisation, list).await?;
    if before.price_list == line.id {
        transaction.commit().await?;
        return Ok(0);
    }
    if let Some(item) = db::select_unpriced(&mut transaction, organisation, line.id, now).await? {
        return Err(Error::conflict(format!("{} has no price for plan {item}, which this customer uses.", line.name)));
    }
    let mut used = db::select_used(&mut transaction, organisation).await?;
    let old = db::select_prices_at(&mut transaction, before.price_list, now).await?;
    let new = db::select_prices_at(&mut transaction, line.id, now).await?;
    used.retain(|item, _| old.get(item) != new.get(item));
    if reason.is_empty() && used.keys().any(|item| is_rise(old.get(item), new.get(item))) {
        return Err(Error::invalid(
            "reason",
            "Something that this customer uses gets dearer at once. Say why; the customer reads it.",
        ));
    }
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let meters = metering::change_list(&mut transaction, &wallet, now).await?;
    runway::recompute(app, &mut transaction, organisation, now).await?;
    if !used.is_empty() {
        let notice = Notice {
            key: format!("prices.{}.{}", line.id, Uuid::now_v7()),
            kind: "prices.list",
            severity: Severity::Warning,
            title: format!("Other prices since {}", now.format("%-d %b %Y")),
            body: body(app, &old, &new, &used, reason, &db::select_names(&mut transaction).await?),
            link: Some("/prices".into()),
        };
        notifications::tell_organisation(app, &mut transaction, organisation, notice, now).await?;
    }
    let subject = Subject::new("price_list", line.id, &line.name);
    let detail =
        Changes::of("price_list", &before.price_list, &line.id)?.with(json!({ "meters": meters, "reason": reason }));
    audit::record(&mut transaction, now, actor, Some(organisation), Event::PriceListAssigned, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    transaction.commit().await?;
    Ok(meters)
}

fn body(
    app: &App,
    old: &Prices,
    new: &Prices,
    used: &HashMap<Item, i64>,
    reason: &str,
    names: &super::Names,
) -> String {
    let mut text = format!(
        "From {} UTC on, something that you use costs this, per hour:\n\n",
        app.clock.now().format("%-d %b %Y %H:%M")
    );
    text.push_str(&lines(old, new, used, names, &app.settings.currency));
    if !reason.is_empty() {
        text.push_str(&format!("\n{reason}\n"));
    }
    text.push_str("\nWhat has been charged until then stays as it is. The whole list is in the portal under Prices.");
    text
}
