//! The SQL of locations, plans, prices and images.

use anyhow::Context;
use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::{Image, Location, NewPlan, Plan, PowerState, Price, PriceBook};
use crate::error::Result;
use crate::ids::{ImageId, LocationId, PlanId, PriceId};
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

pub(super) async fn select_plans(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Plan>> {
    let rows = sqlx::query!(
        r#"select p.id as "id: PlanId", p.slug, p.name, p.vcpu, p.memory_mib, p.disk_gib,
                  running.hourly_rate as running, running.monthly_cap, stopped.hourly_rate as stopped
           from plans p
           join prices running on running.plan_id = p.id and running.state = 'running' and running.valid @> $1::timestamptz
           join prices stopped on stopped.plan_id = p.id and stopped.state = 'stopped' and stopped.valid @> $1::timestamptz
           where p.retired_at is null order by p.position, p.name"#,
        now
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
        r#"select i.id as "id: ImageId", i.slug, i.name, i.login, i.minimum_disk_gib,
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

pub(super) async fn select_prices(connection: &mut PgConnection) -> Result<PriceBook> {
    let rows = sqlx::query!(
        r#"select id as "id: PriceId", plan_id as "plan_id: PlanId", state, hourly_rate, monthly_cap, lower(valid) as "from!", upper(valid) as "to"
           from prices order by plan_id, state, lower(valid)"#
    )
    .fetch_all(connection)
    .await?;
    let mut book = PriceBook::default();
    for row in rows {
        let state = PowerState::parse(&row.state).context("a price has an unknown state")?;
        let price = Price {
            id: row.id,
            from: row.from,
            to: row.to,
            rate: rate(row.hourly_rate)?,
            monthly_cap: row.monthly_cap.map(money).transpose()?,
        };
        book.add(row.plan_id, state, price);
    }
    Ok(book)
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
    id: PriceId,
    plan: PlanId,
    state: PowerState,
    rate: Rate,
    monthly_cap: Option<Money>,
    valid_from: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into prices (id, plan_id, state, hourly_rate, monthly_cap, valid) values ($1, $2, $3, $4, $5, tstzrange($6, null))",
        id.uuid(),
        plan.uuid(),
        state.name(),
        rate.to_decimal(),
        monthly_cap.map(Money::to_decimal),
        valid_from,
    )
    .execute(connection)
    .await?;
    Ok(())
}
