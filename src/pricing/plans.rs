//! Plans: what is on sale, a new one with its prices on every list, and taking one off sale. Machines keep a plan that is no
//! longer sold, at the prices it has.

use std::collections::HashMap;

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::db;
use super::lists::Prices;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::catalog::{Item, PowerState};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{PlanId, PriceListId};

/// The longest name and short name, in characters.
const NAME_CHARACTERS_MAX: usize = 60;
const VCPU_MAX: i32 = 512;
const MEMORY_MIB_MIN: i32 = 128;
const MEMORY_MIB_MAX: i32 = 8_388_608;
const DISK_GIB_MAX: i32 = 65_536;

/// A plan among the others.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PlanLine {
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
    /// Since when it is no longer sold.
    pub retired_at: Option<DateTime<Utc>>,
    /// How many machines have it.
    pub vms: i64,
}

/// A plan as it is typed.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewPlan {
    /// Its name in programs.
    #[serde(default)]
    #[schema(pattern = "^[a-z0-9.-]{1,60}$")]
    pub slug: String,
    /// Its name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 60)]
    pub name: String,
    /// Virtual processors.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 512)]
    pub vcpu: i32,
    /// Memory in MiB.
    #[serde(default)]
    #[schema(minimum = 128, maximum = 8_388_608)]
    pub memory_mib: i32,
    /// Disk in GiB.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65_536)]
    pub disk_gib: i32,
    /// Its prices on lists; those of the default list hold where a list is not named.
    #[serde(default)]
    pub prices: Vec<NewPlanPrice>,
}

/// What a new plan costs on a list.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewPlanPrice {
    /// The list; none: the default list.
    pub price_list: Option<PriceListId>,
    /// Per hour while running, as a decimal.
    #[serde(default)]
    #[schema(value_type = Rate)]
    pub price_running_per_hour: String,
    /// Per hour while stopped, as a decimal.
    #[serde(default)]
    #[schema(value_type = Rate)]
    pub price_stopped_per_hour: String,
    /// The most per month; empty: no limit.
    #[serde(default)]
    #[schema(example = "5.60")]
    pub monthly_cap: String,
}

/// All plans, those on sale first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn plans(app: &App) -> Result<Vec<PlanLine>> {
    let mut connection = app.pool.acquire().await?;
    db::select_plans(&mut connection).await
}

type PlanPrice = (Rate, Rate, Option<Money>);

/// Puts a plan on sale, with a price in every version of every list that is in force or to come: it has had none so far, so
/// nothing that was charged changes.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn add_plan(app: &App, new: &NewPlan, actor: &Actor) -> Result<PlanId> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let lists = db::select_lists(&mut transaction, None, now).await?;
    let default = lists.iter().find(|list| list.is_default).map(|list| list.id);
    let mut problems = checked(new);
    let mut prices: HashMap<PriceListId, PlanPrice> = HashMap::new();
    for price in &new.prices {
        let Some(list) = price.price_list.or(default).filter(|id| lists.iter().any(|list| list.id == *id)) else {
            problems.push(Problem::new("prices", "There is no such price list."));
            continue;
        };
        match checked_price(price, list) {
            Ok(price) => drop(prices.insert(list, price)),
            Err(wrong) => problems.extend(wrong),
        }
    }
    let usual = default.and_then(|list| prices.get(&list).copied());
    let Some(usual) = usual.filter(|_| problems.is_empty()) else {
        if problems.is_empty() {
            problems.push(Problem::new("prices", "Give its price on the default list."));
        }
        return Err(Error::Invalid(problems));
    };
    let (slug, name) = (new.slug.trim(), new.name.trim());
    let row = db::NewPlanRow { slug, name, vcpu: new.vcpu, memory_mib: new.memory_mib, disk_gib: new.disk_gib };
    let plan = db::insert_plan(&mut transaction, &row).await?;
    for list in &lists {
        db::lock_list(&mut transaction, list.id).await?;
    }
    for (list, version) in db::select_versions_from(&mut transaction, now).await? {
        let (running, stopped, cap) = prices.get(&list).copied().unwrap_or(usual);
        let items = [(PowerState::Running, running), (PowerState::Stopped, stopped)];
        let priced: Prices = items.into_iter().map(|(state, rate)| (Item::Vm(plan, state), (rate, cap))).collect();
        db::insert_prices(&mut transaction, version, &priced).await?;
    }
    let (running, stopped, cap) = usual;
    let detail = json!({ "slug": slug, "vcpu": new.vcpu, "memory_mib": new.memory_mib, "disk_gib": new.disk_gib, "price_running_per_hour": running, "price_stopped_per_hour": stopped, "monthly_cap": cap });
    let subject = Subject::new("plan", plan, name);
    audit::record(&mut transaction, now, actor, None, Event::PlanAdded, subject, detail).await?;
    transaction.commit().await?;
    Ok(plan)
}

fn checked(new: &NewPlan) -> Vec<Problem> {
    let mut problems = Vec::new();
    let slug = new.slug.trim();
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if slug.is_empty() || slug.len() > NAME_CHARACTERS_MAX || !slug.bytes().all(is_word) {
        problems.push(Problem::new(
            "slug",
            format!("Small letters, digits, dots and dashes, at most {NAME_CHARACTERS_MAX}."),
        ));
    }
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
        problems.push(Problem::new("name", format!("Between 1 and {NAME_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(name) {
        problems.push(Problem::new("name", NOT_A_PLAIN_LINE));
    }
    for (field, value, least, most) in [
        ("vcpu", new.vcpu, 1, VCPU_MAX),
        ("memory_mib", new.memory_mib, MEMORY_MIB_MIN, MEMORY_MIB_MAX),
        ("disk_gib", new.disk_gib, 1, DISK_GIB_MAX),
    ] {
        if !(least..=most).contains(&value) {
            problems.push(Problem::new(field, format!("Between {least} and {most}.")));
        }
    }
    problems
}

fn checked_price(price: &NewPlanPrice, list: PriceListId) -> std::result::Result<PlanPrice, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut rate = |field: &str, text: &str| {
        let parsed = text.trim().parse::<Rate>();
        if parsed.is_err() {
            let words = "A price such as 0.0083: zero or more, at most ten decimals.";
            problems.push(Problem::new(format!("{field}.{list}"), words));
        }
        parsed.unwrap_or(Rate::ZERO)
    };
    let (running, stopped) =
        (rate("running", &price.price_running_per_hour), rate("stopped", &price.price_stopped_per_hour));
    let cap = match price.monthly_cap.trim() {
        "" => None,
        text => match text.parse::<Money>() {
            Ok(cap) if !cap.is_negative() && cap >= running.max(stopped).for_hours(1) => Some(cap),
            Ok(_) => {
                problems.push(Problem::new(format!("cap.{list}"), "At least what an hour costs."));
                None
            }
            Err(_) => {
                let words = "An amount such as 5.60, with at most six decimals.";
                problems.push(Problem::new(format!("cap.{list}"), words));
                None
            }
        },
    };
    if problems.is_empty() { Ok((running, stopped, cap)) } else { Err(problems) }
}

/// Takes a plan off sale. Machines that have it keep it.
///
/// # Errors
/// `NotFound` without such a plan.
pub async fn retire(app: &App, plan: PlanId, actor: &Actor) -> Result<()> {
    set_retired(app, plan, Some(app.clock.now()), Event::PlanRetired, actor).await
}

/// Puts a plan on sale again, at the prices it has.
///
/// # Errors
/// `NotFound` without such a plan.
pub async fn sell_again(app: &App, plan: PlanId, actor: &Actor) -> Result<()> {
    set_retired(app, plan, None, Event::PlanOffered, actor).await
}

async fn set_retired(
    app: &App,
    plan: PlanId,
    retired_at: Option<DateTime<Utc>>,
    event: Event,
    actor: &Actor,
) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let name = db::update_retired(&mut transaction, plan, retired_at).await?.ok_or(Error::NotFound("plan"))?;
    let subject = Subject::new("plan", plan, name);
    let sold = retired_at.is_none();
    let changes = Changes::of("on_sale", &!sold, &sold)?;
    audit::record(&mut transaction, app.clock.now(), actor, None, event, subject, changes).await?;
    transaction.commit().await?;
    Ok(())
}
