//! Changing the prices of a list: checked, shown with its effect, written as one version with all its prices. A rise needs
//! notice. The version holds from its instant on for whatever goes on; what was charged before stays as it is.

use billing::{Money, Rate};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::lists::{ListLine, Prices, Version};
use super::{Names, db};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::Item;
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{ImageId, PlanId, PriceListId, PriceListVersionId};
use crate::{live, platform_settings};

/// The soonest a version can begin. A pass that read the prices before the version was written charges through an instant before
/// that, so nothing is ever charged by prices that were not in force.
const LEAD_SECONDS: i64 = 60;
/// The latest, in days.
const AHEAD_DAYS_MAX: i64 = 730;
/// The longest note and the longest reason, in characters.
pub(super) const NOTE_CHARACTERS_MAX: usize = 200;
/// The most prices one change names.
const PRICES_MAX: usize = 2_000;

/// The price of an item as it is typed.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewPrice {
    /// `vm_running`, `vm_stopped`, `disk`, `address`, `snapshot`, `backup`, `image_licence`, `traffic`.
    #[schema(pattern = "^(vm_running|vm_stopped|disk|address|snapshot|backup|image_licence|traffic)$")]
    pub kind: String,
    /// The plan, of a machine.
    pub plan: Option<PlanId>,
    /// The image, of a licence.
    pub image: Option<ImageId>,
    /// Per hour and unit, as a decimal; empty or null: it is free from then on.
    #[schema(value_type = Option<Rate>)]
    pub price_per_hour: Option<String>,
    /// The most per month and unit, as a decimal; empty or null: no limit.
    #[schema(value_type = Option<Money>)]
    pub monthly_cap: Option<String>,
}

/// A change of prices as it is typed. What is not named keeps its price.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[schema(as = NewPriceListVersion)]
pub struct NewVersion {
    /// From when on; as soon as possible when nothing is said.
    pub effective_from: Option<DateTime<Utc>>,
    /// What customers read about it.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub note: String,
    /// Why a rise needs no notice; only for a list without customers.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub reason: String,
    /// What changes.
    #[serde(default)]
    #[schema(max_items = 2000)]
    pub prices: Vec<NewPrice>,
}

impl NewPrice {
    /// The field of a form that has its rate; problems are told by it.
    fn field(&self, what: &str) -> String {
        let subject = self.plan.map(PlanId::uuid).or(self.image.map(ImageId::uuid));
        subject.map_or_else(|| format!("{what}.{}", self.kind), |subject| format!("{what}.{}.{subject}", self.kind))
    }
}

/// A price before and after.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PriceChange)]
pub struct ItemChange {
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
    /// Per hour and unit before; null: it was free.
    pub price_before: Option<Rate>,
    /// Per hour and unit after; null: it is free.
    pub price_after: Option<Rate>,
    /// The most per month before; null: no limit.
    pub cap_before: Option<Money>,
    /// The most per month after; null: no limit.
    pub cap_after: Option<Money>,
    /// Whether it costs somebody more.
    pub is_rise: bool,
    /// How many customers use it now.
    pub customers: i64,
    /// How many machines have it now.
    pub vms: i64,
    /// How many units of it there are now.
    pub quantity: i64,
}

/// What a change would do, counted over everything that is metered on the list now.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PriceListEffect)]
pub struct Preview {
    /// The list.
    pub list: PriceListId,
    /// The number that the version would have.
    pub number: i32,
    /// From when on it would hold.
    pub effective_from: DateTime<Utc>,
    /// What changes, in the order of the list.
    pub changes: Vec<ItemChange>,
    /// Whether anything gets dearer.
    pub is_rise: bool,
    /// How many customers use something that changes.
    pub customers: i64,
    /// How many machines have something that changes.
    pub vms: i64,
    /// What everything on the list brings per hour now, before caps.
    pub revenue_before: Rate,
    /// What it would then.
    pub revenue_after: Rate,
}

/// A change that may be made.
struct Checked {
    line: ListLine,
    effective_from: DateTime<Utc>,
    note: String,
    reason: String,
    before: Prices,
    after: Prices,
    number: i32,
}

impl Checked {
    fn changed(&self) -> Vec<Item> {
        let items = self.before.keys().chain(self.after.keys().filter(|item| !self.before.contains_key(item)));
        items.filter(|item| self.before.get(item) != self.after.get(item)).copied().collect()
    }
}

/// Says what a change would do; nothing is written.
///
/// # Errors
/// As [`change`].
pub async fn preview(app: &App, list: PriceListId, new: &NewVersion) -> Result<Preview> {
    let mut transaction = app.pool.begin().await?;
    let checked = check(&mut transaction, list, new, app.clock.now()).await?;
    effect(&mut transaction, &checked).await
}

/// Writes a version of a list. Customers who use what changes are told by [`super::announce_due`].
///
/// # Errors
/// `NotFound` without such a list, `Invalid` with a problem per field, `Conflict` when a later version is planned already.
pub async fn change(app: &App, list: PriceListId, new: &NewVersion, actor: &Actor) -> Result<(i32, Preview)> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    db::lock_list(&mut transaction, list).await?;
    let checked = check(&mut transaction, list, new, now).await?;
    let effect = effect(&mut transaction, &checked).await?;
    let Checked { line, effective_from, note, reason, after, number, .. } = &checked;
    let row = db::NewVersionRow {
        list,
        number: *number,
        effective_from: *effective_from,
        note,
        reason,
        announcing: line.customers > 0,
    };
    let id = db::insert_version(&mut transaction, &row, after, actor.user(), now).await?;
    look_in_time(&mut transaction, list, *effective_from, now).await?;
    let subject = Subject::new("price_list", list, &line.name);
    let detail = json!({ "version": number, "id": id, "effective_from": effective_from, "note": note, "reason": reason, "changes": effect.changes });
    audit::record(&mut transaction, now, actor, None, Event::PricesChanged, subject, detail).await?;
    live::announce(&mut transaction, None, "price-lists").await?;
    transaction.commit().await?;
    Ok((*number, effect))
}

/// Takes back a version that has not begun. It stays as a record. Customers who were told of it are told again.
///
/// # Errors
/// `NotFound` without such a version, `Conflict` when it has begun or begins at once.
pub async fn withdraw(app: &App, list: PriceListId, number: i32, actor: &Actor) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    db::lock_list(&mut transaction, list).await?;
    let versions = db::select_versions(&mut transaction, list).await?;
    let version = versions.iter().find(|version| version.number == number).ok_or(Error::NotFound("version"))?;
    if version.withdrawn_at.is_some() {
        return Ok(());
    }
    if !can_be_withdrawn(version.effective_from, None, now) {
        return Err(Error::conflict(
            "This version has begun, or begins within a minute. Change the prices again instead.",
        ));
    }
    db::update_withdrawn(&mut transaction, version.id, actor.user(), now).await?;
    look_in_time(&mut transaction, list, version.effective_from, now).await?;
    let name = db::select_lists(&mut transaction, Some(list), now).await?.pop().map(|line| line.name);
    let subject = Subject::new("price_list", list, name.unwrap_or_default());
    let detail = json!({ "version": number, "effective_from": version.effective_from });
    audit::record(&mut transaction, now, actor, None, Event::PricesWithdrawn, subject, detail).await?;
    live::announce(&mut transaction, None, "price-lists").await?;
    transaction.commit().await?;
    Ok(())
}

/// Whether a version that begins then can still be taken back.
#[must_use]
pub fn can_be_withdrawn(
    effective_from: DateTime<Utc>,
    withdrawn_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    withdrawn_at.is_none() && effective_from >= now + TimeDelta::seconds(LEAD_SECONDS)
}

/// Every wallet that uses something is looked at each full hour, and then its outlook counts with the prices of any time. When
/// prices change before that, all wallets of the list are looked at now.
async fn look_in_time(
    connection: &mut PgConnection,
    list: PriceListId,
    effective_from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    if effective_from <= billing::hour_floor(now) + TimeDelta::hours(1) {
        db::update_due(&mut *connection, list, now).await?;
        live::wake_billing(connection).await?;
    }
    Ok(())
}

/// The first full minute at which a version can begin.
fn soonest(now: DateTime<Utc>) -> DateTime<Utc> {
    let at = now + TimeDelta::seconds(LEAD_SECONDS);
    let minute = at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at);
    if minute < at { minute + TimeDelta::minutes(1) } else { minute }
}

async fn check(
    connection: &mut PgConnection,
    list: PriceListId,
    new: &NewVersion,
    now: DateTime<Utc>,
) -> Result<Checked> {
    let line = db::select_lists(&mut *connection, Some(list), now).await?.pop();
    let line = line.ok_or(Error::NotFound("price list"))?;
    let versions = db::select_versions(&mut *connection, list).await?;
    let base = versions.iter().find(|version| version.withdrawn_at.is_none());
    let base = base.ok_or_else(|| Error::conflict("This list has no prices to change."))?;
    let before = db::select_prices(&mut *connection, base.id).await?;
    let effective_from = new.effective_from.unwrap_or_else(|| soonest(now));

    let mut problems = checked_texts(new);
    let (after, wrong) = applied(&before, &new.prices);
    problems.extend(wrong);
    if let Some(plan) = db::select_plans_on_sale(&mut *connection).await?.into_iter().find(|plan| {
        let item = |state| Item::Vm(plan.0, state);
        !after.contains_key(&item(crate::catalog::PowerState::Running))
            || !after.contains_key(&item(crate::catalog::PowerState::Stopped))
    }) {
        problems.push(Problem::new(
            "prices",
            format!("Plan {} is on sale and needs a price, running and stopped.", plan.1),
        ));
    }
    let rises = after.iter().any(|(item, after)| is_rise(before.get(item), Some(after)));
    problems.extend(checked_time(&mut *connection, &line, base, new, effective_from, rises, now).await?);
    if problems.is_empty() && before == after {
        problems.push(Problem::new("", "Nothing changes: every price is as it was."));
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let number = versions.iter().map(|version| version.number).max().unwrap_or(0) + 1;
    let (note, reason) = (new.note.trim().to_owned(), new.reason.trim().to_owned());
    Ok(Checked { line, effective_from, note, reason, before, after, number })
}

fn checked_texts(new: &NewVersion) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, text) in [("note", new.note.trim()), ("reason", new.reason.trim())] {
        if text.chars().count() > NOTE_CHARACTERS_MAX {
            problems.push(Problem::new(field, format!("At most {NOTE_CHARACTERS_MAX} characters.")));
        } else if !is_plain_line(text) {
            problems.push(Problem::new(field, NOT_A_PLAIN_LINE));
        }
    }
    if new.prices.len() > PRICES_MAX {
        problems.push(Problem::new("prices", format!("At most {PRICES_MAX} at once.")));
    }
    problems
}

/// Whether it may begin then.
async fn checked_time(
    connection: &mut PgConnection,
    line: &ListLine,
    latest: &Version,
    new: &NewVersion,
    from: DateTime<Utc>,
    rises: bool,
    now: DateTime<Utc>,
) -> Result<Option<Problem>> {
    let notice = TimeDelta::days(platform_settings::read(connection).await?.price_notice_days.into());
    let excused = line.customers == 0 && !new.reason.trim().is_empty();
    Ok(if from <= now {
        Some("It lies in the past: what was charged is never charged anew.".to_owned())
    } else if from < now + TimeDelta::seconds(LEAD_SECONDS) {
        Some("Not before a minute from now.".to_owned())
    } else if from > now + TimeDelta::days(AHEAD_DAYS_MAX) {
        Some(format!("At most {AHEAD_DAYS_MAX} days ahead."))
    } else if from <= latest.effective_from {
        let number = latest.number;
        Some(format!("Version {number} begins later than that. Withdraw it first, or choose a time after it."))
    } else if rises && from < now + notice && !excused {
        let days = notice.num_days();
        Some(match line.customers {
            0 => format!("A price goes up: customers are told {days} days before. The list has none: give a reason to do without."),
            _ => format!("A price goes up: customers are told {days} days before. Prices that only fall may begin at once."),
        })
    } else {
        None
    }
    .map(|problem| Problem::new("effective_from", problem)))
}

/// The prices with the changes, and what is wrong with those.
fn applied(before: &Prices, changes: &[NewPrice]) -> (Prices, Vec<Problem>) {
    let (mut after, mut problems) = (before.clone(), Vec::new());
    for new in changes.iter().take(PRICES_MAX) {
        let Some(item) = Item::parse(&new.kind, new.plan, new.image) else {
            problems.push(Problem::new(new.field("rate"), "There is no such thing to price."));
            continue;
        };
        let rate = new.price_per_hour.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let cap = new.monthly_cap.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let Some(rate) = rate else {
            if !item.may_be_free() && before.contains_key(&item) {
                problems.push(Problem::new(new.field("rate"), "A machine needs a price; 0 is one."));
            } else if cap.is_some() {
                problems.push(Problem::new(new.field("rate"), "There is a cap and no price."));
            }
            after.remove(&item);
            continue;
        };
        let Ok(rate) = rate.parse::<Rate>() else {
            problems
                .push(Problem::new(new.field("rate"), "A price such as 0.0083: zero or more, at most ten decimals."));
            continue;
        };
        let cap = match cap.map(str::parse::<Money>) {
            None => None,
            Some(Ok(cap)) if !cap.is_negative() && cap >= rate.for_hours(1) => Some(cap),
            Some(Ok(_)) => {
                problems.push(Problem::new(new.field("cap"), "At least what an hour costs."));
                continue;
            }
            Some(Err(_)) => {
                problems.push(Problem::new(new.field("cap"), "An amount such as 5.60, with at most six decimals."));
                continue;
            }
        };
        after.insert(item, (rate, cap));
    }
    (after, problems)
}

/// Whether somebody who uses it pays more.
pub(super) fn is_rise(before: Option<&(Rate, Option<Money>)>, after: Option<&(Rate, Option<Money>)>) -> bool {
    let free = (Rate::ZERO, Some(Money::ZERO));
    let (rate_before, cap_before) = before.copied().unwrap_or(free);
    let (rate_after, cap_after) = after.copied().unwrap_or(free);
    let higher_cap = match (cap_before, cap_after) {
        (Some(before), Some(after)) => after > before,
        (Some(_), None) => true,
        (None, _) => false,
    };
    // Under a price of nothing a cap says nothing.
    rate_after > rate_before || (higher_cap && !rate_after.is_zero())
}

async fn effect(connection: &mut PgConnection, checked: &Checked) -> Result<Preview> {
    let names: Names = db::select_names(&mut *connection).await?;
    let list = checked.line.id;
    let usage = db::select_usage(&mut *connection, list).await?;
    let changed = checked.changed();
    let (customers, vms) = db::select_concerned(connection, list, &changed).await?;
    let revenue = |prices: &Prices| -> Rate {
        let of = |used: &db::Usage| prices.get(&used.item).and_then(|(rate, _)| rate.times(used.quantity).ok());
        usage.iter().filter_map(of).sum()
    };
    let mut changes: Vec<_> = changed
        .into_iter()
        .map(|item| {
            let (before, after) = (checked.before.get(&item), checked.after.get(&item));
            let used = usage.iter().find(|used| used.item == item);
            ItemChange {
                item,
                kind: item.kind(),
                plan: item.plan(),
                image: item.image(),
                name: names.of(item),
                price_before: before.map(|(rate, _)| *rate),
                price_after: after.map(|(rate, _)| *rate),
                cap_before: before.and_then(|(_, cap)| *cap),
                cap_after: after.and_then(|(_, cap)| *cap),
                is_rise: is_rise(before, after),
                customers: used.map_or(0, |used| used.customers),
                vms: used.map_or(0, |used| used.vms),
                quantity: used.map_or(0, |used| used.quantity),
            }
        })
        .collect();
    changes.sort_by_key(|change| names.place(change.item));
    Ok(Preview {
        list,
        number: checked.number,
        effective_from: checked.effective_from,
        is_rise: changes.iter().any(|change| change.is_rise),
        changes,
        customers,
        vms,
        revenue_before: revenue(&checked.before),
        revenue_after: revenue(&checked.after),
    })
}

/// What the keys of all notices of a version begin with.
pub(super) fn key_prefix(version: PriceListVersionId) -> String {
    format!("prices:{version}:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(rate: &str, cap: Option<&str>) -> (Rate, Option<Money>) {
        (rate.parse().unwrap(), cap.map(|cap| cap.parse().unwrap()))
    }

    #[test]
    fn what_costs_anybody_more_is_a_rise() {
        let dear = price("0.02", Some("10"));
        for (before, after, rises) in [
            (Some(dear), Some(price("0.02", Some("10"))), false),
            (Some(dear), Some(price("0.01", Some("5"))), false),
            (Some(dear), Some(price("0.03", Some("10"))), true),
            (Some(dear), Some(price("0.02", Some("11"))), true),
            (Some(dear), Some(price("0.01", None)), true),
            (Some(dear), Some(price("0", None)), false),
            (Some(price("0.02", None)), Some(price("0.02", Some("99"))), false),
            (None, Some(price("0", None)), false),
            (None, Some(price("0.001", None)), true),
            (Some(dear), None, false),
        ] {
            assert_eq!(is_rise(before.as_ref(), after.as_ref()), rises, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_version_begins_at_a_full_minute() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(soonest(at("2026-11-10T12:00:00Z")), at("2026-11-10T12:01:00Z"));
        assert_eq!(soonest(at("2026-11-10T12:00:00.000001Z")), at("2026-11-10T12:02:00Z"));
    }

    #[test]
    fn what_is_not_named_keeps_its_price_and_what_is_wrong_is_told_by_its_field() {
        let before = Prices::from([(Item::Address, price("0.001", None)), (Item::Disk, price("0.002", Some("1")))]);
        let new = |kind: &str, rate: &str, cap: &str| NewPrice {
            kind: kind.into(),
            price_per_hour: Some(rate.into()),
            monthly_cap: Some(cap.into()),
            ..NewPrice::default()
        };
        let (after, problems) = applied(&before, &[new("disk", "", ""), new("backup", "0.1", "2")]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            after,
            Prices::from([(Item::Address, price("0.001", None)), (Item::Backup, price("0.1", Some("2")))])
        );

        let wrong =
            [new("disk", "-1", ""), new("address", "1", "0.5"), new("backup", "1", "x"), new("vm_running", "1", "")];
        let (_, problems) = applied(&before, &wrong);
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_ref()).collect();
        assert_eq!(fields, ["rate.disk", "cap.address", "cap.backup", "rate.vm_running"]);
    }
}
