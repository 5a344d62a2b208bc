//! The SQL of price lists and their versions. What reads a whole month is in `month`, who uses what in `usage`, who is told of
//! changes in `announce`, what is on sale in `plans`.

mod announce;
pub(super) mod images;
pub(super) mod month;
mod plans;
mod usage;

pub(super) use announce::*;
pub(super) use plans::*;
pub(super) use usage::*;

use anyhow::Context;
use billing::Money;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Names;
use super::lists::{ListLine, Prices, Version};
use crate::catalog::Item;
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{ImageId, OrganisationId, PlanId, PriceId, PriceListId, PriceListVersionId, UserId};
use crate::ledger::{money, rate};

pub(super) async fn select_lists(
    connection: &mut PgConnection,
    only: Option<PriceListId>,
    now: DateTime<Utc>,
) -> Result<Vec<ListLine>> {
    let lines = sqlx::query_as!(
        ListLine,
        r#"select l.id as "id: PriceListId", l.slug, l.name, l.is_default,
                  (select count(*) from price_list_versions v where v.price_list_id = l.id and v.withdrawn_at is null) as "versions!",
                  t.number as "in_force?", lower(t.during) as "in_force_since?",
                  (select min(v.effective_from) from price_list_versions v where v.price_list_id = l.id and v.withdrawn_at is null and v.effective_from > $2) as next_from,
                  (select count(*) from organisations o where o.price_list_id = l.id or (l.is_default and o.price_list_id is null)) as "customers!"
           from price_lists l left join price_list_periods t on t.price_list_id = l.id and t.during @> $2::timestamptz
           where $1::uuid is null or l.id = $1 order by l.is_default desc, l.name"#,
        only.map(PriceListId::uuid),
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(lines)
}

/// Every version of a list, newest first.
pub(super) async fn select_versions(connection: &mut PgConnection, list: PriceListId) -> Result<Vec<Version>> {
    let versions = sqlx::query_as!(
        Version,
        r#"select v.id as "id: PriceListVersionId", v.number, v.effective_from, upper(t.during) as "until?", v.note, v.reason, v.withdrawn_at,
                  v.announcing_since, v.announced_to, v.announced_at, u.email as "created_by?", v.created_at
           from price_list_versions v left join price_list_periods t on t.id = v.id left join users u on u.id = v.created_by
           where v.price_list_id = $1 order by v.number desc"#,
        list.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(versions)
}

pub(super) struct VersionRef {
    pub id: PriceListVersionId,
    pub number: i32,
}

/// The version of a list that is in force at an instant.
pub(super) async fn select_version_at(
    connection: &mut PgConnection,
    list: PriceListId,
    at: DateTime<Utc>,
) -> Result<Option<VersionRef>> {
    let found = sqlx::query_as!(
        VersionRef,
        r#"select id as "id!: PriceListVersionId", number as "number!" from price_list_periods where price_list_id = $1 and during @> $2::timestamptz"#,
        list.uuid(),
        at,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}

pub(super) async fn select_prices(connection: &mut PgConnection, version: PriceListVersionId) -> Result<Prices> {
    let rows = sqlx::query!(
        r#"select kind, plan_id as "plan: PlanId", image_id as "image: ImageId", hourly_rate, monthly_cap from prices where price_list_version_id = $1"#,
        version.uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let item = Item::parse(&row.kind, row.plan, row.image).context("a price is of an unknown kind")?;
            Ok((item, (rate(row.hourly_rate)?, row.monthly_cap.map(money).transpose()?)))
        })
        .collect()
}

pub(super) async fn select_names(connection: &mut PgConnection) -> Result<Names> {
    let plans = sqlx::query!(r#"select id as "id: PlanId", name from plans order by position, name"#)
        .fetch_all(&mut *connection)
        .await?;
    let images = sqlx::query!(r#"select id as "id: ImageId", name from images order by position, name"#)
        .fetch_all(connection)
        .await?;
    Ok(Names {
        plans: plans.into_iter().enumerate().map(|(place, row)| (row.id, (row.name, place))).collect(),
        images: images.into_iter().enumerate().map(|(place, row)| (row.id, (row.name, place))).collect(),
    })
}

/// Images whose systems must be licensed, in the operator's order.
pub(super) async fn select_licensed_images(connection: &mut PgConnection) -> Result<Vec<ImageId>> {
    let images = sqlx::query_scalar!(
        r#"select i.id as "id: ImageId" from images i where i.licence is not null or exists (select from prices p where p.image_id = i.id)
           order by i.position, i.name"#
    )
    .fetch_all(connection)
    .await?;
    Ok(images)
}

/// Makes the versions of a list follow each other.
pub(super) async fn lock_list(connection: &mut PgConnection, list: PriceListId) -> Result<()> {
    sqlx::query!("select id from price_lists where id = $1 for update", list.uuid())
        .fetch_optional(connection)
        .await?
        .map(drop)
        .ok_or(Error::NotFound("price list"))
}

pub(super) async fn insert_list(
    connection: &mut PgConnection,
    id: PriceListId,
    slug: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into price_lists (id, slug, name, created_at) values ($1, $2, $3, $4)",
        id.uuid(),
        slug,
        name,
        now,
    )
    .execute(connection)
    .await
    .on_constraint("price_lists_slug_once", || Error::invalid("name", "There is a list of this name already."))?;
    Ok(())
}

pub(super) struct NewVersionRow<'a> {
    pub list: PriceListId,
    pub number: i32,
    pub effective_from: DateTime<Utc>,
    pub note: &'a str,
    pub reason: &'a str,
    pub announcing: bool,
}

/// A version with all its prices: two statements, whatever is metered by them.
pub(super) async fn insert_version(
    connection: &mut PgConnection,
    new: &NewVersionRow<'_>,
    prices: &Prices,
    by: Option<UserId>,
    now: DateTime<Utc>,
) -> Result<PriceListVersionId> {
    let id = PriceListVersionId::new();
    sqlx::query!(
        "insert into price_list_versions (id, price_list_id, number, effective_from, note, reason, created_by, created_at, announcing_since)
         values ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz, case when $9 then $8::timestamptz end)",
        id.uuid(),
        new.list.uuid(),
        new.number,
        new.effective_from,
        new.note,
        new.reason,
        by.map(UserId::uuid),
        now,
        new.announcing,
    )
    .execute(&mut *connection)
    .await
    .on_constraint("price_list_versions_one_at_a_time", || {
        Error::invalid("effective_from", "Another version begins at that instant.")
    })?;
    insert_prices(connection, id, prices).await?;
    Ok(id)
}

pub(super) async fn insert_prices(
    connection: &mut PgConnection,
    version: PriceListVersionId,
    prices: &Prices,
) -> Result<()> {
    let (mut ids, mut kinds, mut plans, mut images) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut rates, mut caps) = (Vec::new(), Vec::new());
    for (item, (rate, cap)) in prices {
        ids.push(PriceId::new().uuid());
        kinds.push(item.kind().to_owned());
        plans.push(item.plan().map(PlanId::uuid));
        images.push(item.image().map(ImageId::uuid));
        rates.push(rate.to_decimal());
        caps.push(cap.map(Money::to_decimal));
    }
    sqlx::query!(
        "insert into prices (id, price_list_version_id, kind, plan_id, image_id, hourly_rate, monthly_cap)
         select n.id, $1, n.kind, n.plan, n.image, n.rate, n.cap
         from unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::numeric[], $7::numeric[]) as n(id, kind, plan, image, rate, cap)",
        version.uuid(),
        &ids,
        &kinds,
        &plans as &[Option<Uuid>],
        &images as &[Option<Uuid>],
        &rates,
        &caps as &[Option<rust_decimal::Decimal>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_withdrawn(
    connection: &mut PgConnection,
    version: PriceListVersionId,
    by: Option<UserId>,
    now: DateTime<Utc>,
) -> Result<()> {
    // Those who were told of it are told again from the beginning.
    sqlx::query!(
        "update price_list_versions set withdrawn_at = $2::timestamptz, withdrawn_by = $3, announced_through = null, announced_at = null,
                announcing_since = case when announced_to > 0 then $2::timestamptz end
         where id = $1",
        version.uuid(),
        now,
        by.map(UserId::uuid),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Has the wallets of a list looked at.
pub(super) async fn update_due(connection: &mut PgConnection, list: PriceListId, at: DateTime<Utc>) -> Result<()> {
    // In the order of the keys, as whoever locks several does.
    sqlx::query!(
        "with due as (
             select w.organisation_id from wallets w join organisations o on o.id = w.organisation_id
             where w.metered and (w.due_at is null or w.due_at > $2)
               and (o.price_list_id = $1 or (o.price_list_id is null and (select l.is_default from price_lists l where l.id = $1)))
             order by w.organisation_id for update of w)
         update wallets w set due_at = $2 from due where due.organisation_id = w.organisation_id",
        list.uuid(),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_list_of(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    list: Option<PriceListId>,
) -> Result<()> {
    sqlx::query!(
        "update organisations set price_list_id = $2 where id = $1",
        organisation.uuid(),
        list.map(PriceListId::uuid)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The prices of a list that hold at an instant.
pub(super) async fn select_prices_at(
    connection: &mut PgConnection,
    list: PriceListId,
    at: DateTime<Utc>,
) -> Result<Prices> {
    let version = sqlx::query_scalar!(
        r#"select id as "id!: PriceListVersionId" from price_list_periods where price_list_id = $1 and during @> $2::timestamptz"#,
        list.uuid(),
        at,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match version {
        Some(version) => select_prices(connection, version).await,
        None => Ok(Prices::new()),
    }
}

/// The versions of a list that will be in force, and have not begun.
pub(super) async fn select_upcoming(
    connection: &mut PgConnection,
    list: PriceListId,
    now: DateTime<Utc>,
) -> Result<Vec<(PriceListVersionId, DateTime<Utc>, String)>> {
    let rows = sqlx::query!(
        r#"select id as "id: PriceListVersionId", effective_from, note from price_list_versions
           where price_list_id = $1 and withdrawn_at is null and effective_from > $2 order by effective_from"#,
        list.uuid(),
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.effective_from, row.note)).collect())
}
