//! The SQL of locations, plans, prices and images.

use std::collections::HashMap;

use anyhow::Context;
use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::{Image, Item, Location, NewPlan, Plan, Price, PriceBook};
use crate::error::Result;
use crate::ids::{ImageId, LocationId, OrganisationId, PlanId, PriceId, PriceListId, PriceListVersionId};
use crate::ledger::{money, rate};

pub(super) async fn select_locations(pool: &PgPool) -> Result<Vec<Location>> {
    let locations = sqlx::query_as!(
        Location,
        r#"select l.id as "id: LocationId", l.slug, l.name, l.country,
                  exists (select 1 from clusters c where c.location_id = l.id and not c.maintenance) as "open!"
           from locations l order by l.position, l.name"#
    )
    .fetch_all(pool)
    .await?;
    Ok(locations)
}

pub(super) async fn select_plans(
    pool: &PgPool,
    organisation: Option<OrganisationId>,
    now: DateTime<Utc>,
) -> Result<Vec<Plan>> {
    let rows = sqlx::query!(
        r#"select p.id as "id: PlanId", p.slug, p.name, p.vcpu, p.memory_mib, p.disk_gib,
                  running.hourly_rate as running, running.monthly_cap, stopped.hourly_rate as stopped
           from price_list_periods t
           join prices running on running.price_list_version_id = t.id and running.kind = 'vm_running'
           join prices stopped on stopped.price_list_version_id = t.id and stopped.kind = 'vm_stopped' and stopped.plan_id = running.plan_id
           join plans p on p.id = running.plan_id
           where t.price_list_id = coalesce((select o.price_list_id from organisations o where o.id = $2), (select l.id from price_lists l where l.is_default))
             and t.during @> $1::timestamptz and p.retired_at is null order by p.position, p.name"#,
        now,
        organisation.map(OrganisationId::uuid),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Plan {
                id: row.id,
                slug: row.slug,
                name: row.name,
                vcpu: row.vcpu,
                memory_mib: row.memory_mib,
                disk_gib: row.disk_gib,
                running: rate(row.running)?,
                stopped: rate(row.stopped)?,
                monthly_cap: row.monthly_cap.map(money).transpose()?,
            })
        })
        .collect()
}

pub(super) async fn select_images(pool: &PgPool) -> Result<Vec<Image>> {
    let images = sqlx::query_as!(
        Image,
        r#"select i.id as "id: ImageId", i.slug, i.name, i.login, i.minimum_disk_gib, i.licence,
                  coalesce(array_agg(distinct c.location_id) filter (where c.id is not null and not c.maintenance), '{}') as "locations!: Vec<LocationId>"
           from images i
           left join image_templates t on t.image_id = i.id
           left join clusters c on c.id = t.cluster_id
           where i.retired_at is null group by i.id order by i.position, i.name"#
    )
    .fetch_all(pool)
    .await?;
    Ok(images)
}

/// The price list of an organisation; without one, the default list.
pub(super) async fn select_list_of(
    connection: &mut PgConnection,
    organisation: Option<OrganisationId>,
) -> Result<PriceListId> {
    let list = sqlx::query_scalar!(
        r#"select coalesce((select o.price_list_id from organisations o where o.id = $1), (select l.id from price_lists l where l.is_default)) as "id!: PriceListId""#,
        organisation.map(OrganisationId::uuid),
    )
    .fetch_one(connection)
    .await?;
    Ok(list)
}

pub(super) async fn select_own_lists(
    connection: &mut PgConnection,
    organisations: &[OrganisationId],
) -> Result<HashMap<OrganisationId, PriceListId>> {
    let ids: Vec<_> = organisations.iter().map(|organisation| organisation.uuid()).collect();
    let rows = sqlx::query!(
        r#"select id as "id: OrganisationId", price_list_id as "list!: PriceListId" from organisations where id = any($1) and price_list_id is not null"#,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.list)).collect())
}

pub(super) async fn select_prices(connection: &mut PgConnection, list: PriceListId) -> Result<PriceBook> {
    let rows = sqlx::query!(
        r#"select p.id as "id: PriceId", t.number as "version!", t.price_list_id as "list!: PriceListId", p.kind, p.plan_id as "plan: PlanId", p.image_id as "image: ImageId",
                  p.hourly_rate, p.monthly_cap, lower(t.during) as "from!", upper(t.during) as "to"
           from prices p join price_list_periods t on t.id = p.price_list_version_id order by lower(t.during)"#
    )
    .fetch_all(connection)
    .await?;
    let mut book = PriceBook::new(list);
    for row in rows {
        let item = Item::parse(&row.kind, row.plan, row.image).context("a price is of an unknown kind")?;
        let price = Price {
            id: row.id,
            version: row.version,
            from: row.from,
            to: row.to,
            rate: rate(row.hourly_rate)?,
            monthly_cap: row.monthly_cap.map(money).transpose()?,
        };
        book.add(row.list, item, price);
    }
    Ok(book)
}

/// The versions of a list that are in force at an instant or later. A list that had none then gets one.
pub(super) async fn ensure_versions(
    connection: &mut PgConnection,
    list: PriceListId,
    from: DateTime<Utc>,
) -> Result<Vec<PriceListVersionId>> {
    sqlx::query!(
        "insert into price_list_versions (id, price_list_id, number, effective_from, created_at)
         select $1, $2, coalesce((select max(number) from price_list_versions where price_list_id = $2), 0) + 1, $3, $3
         where not exists (select 1 from price_list_versions where price_list_id = $2 and effective_from <= $3)",
        PriceListVersionId::new().uuid(),
        list.uuid(),
        from,
    )
    .execute(&mut *connection)
    .await?;
    let versions = sqlx::query_scalar!(
        r#"select id as "id!: PriceListVersionId" from price_list_periods where price_list_id = $1 and not during << tstzrange($2, null) order by lower(during)"#,
        list.uuid(),
        from,
    )
    .fetch_all(connection)
    .await?;
    Ok(versions)
}

pub(super) async fn upsert_location(
    connection: &mut PgConnection,
    slug: &str,
    name: &str,
    country: &str,
    position: i32,
) -> Result<LocationId> {
    let id = sqlx::query_scalar!(
        r#"insert into locations (id, slug, name, country, position) values ($1, $2, $3, $4, $5)
           on conflict (slug) do update set slug = excluded.slug returning id as "id: LocationId""#,
        LocationId::new().uuid(),
        slug,
        name,
        country,
        position
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

pub(super) async fn upsert_image(
    connection: &mut PgConnection,
    slug: &str,
    name: &str,
    login: &str,
    minimum_disk_gib: i32,
    position: i32,
) -> Result<ImageId> {
    let id = sqlx::query_scalar!(
        r#"insert into images (id, slug, name, login, minimum_disk_gib, position) values ($1, $2, $3, $4, $5, $6)
           on conflict (slug) do update set slug = excluded.slug returning id as "id: ImageId""#,
        ImageId::new().uuid(),
        slug,
        name,
        login,
        minimum_disk_gib,
        position
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// The plan's id, and whether it is new.
pub(super) async fn upsert_plan(
    connection: &mut PgConnection,
    new: &NewPlan<'_>,
    position: i32,
) -> Result<(PlanId, bool)> {
    let row = sqlx::query!(
        r#"insert into plans (id, slug, name, vcpu, memory_mib, disk_gib, position) values ($1, $2, $3, $4, $5, $6, $7)
           on conflict (slug) do update set slug = excluded.slug returning id as "id: PlanId", (xmax = 0) as "inserted!""#,
        PlanId::new().uuid(),
        new.slug,
        new.name,
        new.vcpu,
        new.memory_mib,
        new.disk_gib,
        position
    )
    .fetch_one(connection)
    .await?;
    Ok((row.id, row.inserted))
}

pub(super) async fn insert_price(
    connection: &mut PgConnection,
    version: PriceListVersionId,
    item: Item,
    rate: Rate,
    monthly_cap: Option<Money>,
) -> Result<()> {
    sqlx::query!(
        "insert into prices (id, price_list_version_id, kind, plan_id, image_id, hourly_rate, monthly_cap) values ($1, $2, $3, $4, $5, $6, $7)",
        PriceId::new().uuid(),
        version.uuid(),
        item.kind(),
        item.plan().map(PlanId::uuid),
        item.image().map(ImageId::uuid),
        rate.to_decimal(),
        monthly_cap.map(Money::to_decimal),
    )
    .execute(connection)
    .await?;
    Ok(())
}
