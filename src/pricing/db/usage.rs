//! The SQL of what is used now: which items of a list are metered, and whose they are.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalog::Item;
use crate::error::Result;
use crate::ids::{ImageId, OrganisationId, PlanId, PriceListId};

/// What is metered on a list now.
pub(in crate::pricing) struct Usage {
    pub item: Item,
    pub customers: i64,
    pub vms: i64,
    pub quantity: i64,
}

pub(in crate::pricing) async fn select_usage(connection: &mut PgConnection, list: PriceListId) -> Result<Vec<Usage>> {
    let rows = sqlx::query!(
        r#"select i.kind, i.plan_id as "plan: PlanId", i.image_id as "image: ImageId", count(distinct m.organisation_id) as "customers!",
                  count(distinct m.vm_id) as "vms!", sum(i.quantity)::bigint as "quantity!"
           from meter_intervals i join meters m on m.id = i.meter_id
           where not i.settled and upper_inf(i.during) and i.price_list_id = $1 group by i.kind, i.plan_id, i.image_id"#,
        list.uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let item = Item::parse(&row.kind, row.plan, row.image).context("a meter interval is of an unknown kind")?;
            Ok(Usage { item, customers: row.customers, vms: row.vms, quantity: row.quantity })
        })
        .collect()
}

/// The kinds and the plans or images of items, as columns.
fn columns(items: &[Item]) -> (Vec<String>, Vec<Option<Uuid>>) {
    let subject = |item: &Item| item.plan().map(PlanId::uuid).or(item.image().map(ImageId::uuid));
    (items.iter().map(|item| item.kind().to_owned()).collect(), items.iter().map(subject).collect())
}

/// How many customers and machines use any of these on a list now.
pub(in crate::pricing) async fn select_concerned(
    connection: &mut PgConnection,
    list: PriceListId,
    items: &[Item],
) -> Result<(i64, i64)> {
    let (kinds, subjects) = columns(items);
    let row = sqlx::query!(
        r#"select count(distinct m.organisation_id) as "customers!", count(distinct m.vm_id) as "vms!"
           from meter_intervals i join meters m on m.id = i.meter_id
           where not i.settled and upper_inf(i.during) and i.price_list_id = $1
             and exists (select 1 from unnest($2::text[], $3::uuid[]) as c(kind, subject)
                         where c.kind = i.kind and c.subject is not distinct from coalesce(i.plan_id, i.image_id))"#,
        list.uuid(),
        &kinds,
        &subjects as &[Option<Uuid>],
    )
    .fetch_one(connection)
    .await?;
    Ok((row.customers, row.vms))
}

/// The next customers of a list that use any of these, each with what of it it uses.
pub(in crate::pricing) async fn select_users_of(
    connection: &mut PgConnection,
    list: PriceListId,
    items: &[Item],
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<(OrganisationId, HashMap<Item, i64>)>> {
    let (kinds, subjects) = columns(items);
    let rows = sqlx::query!(
        r#"with concerned as (
               select m.organisation_id, i.kind, i.plan_id, i.image_id, sum(i.quantity)::bigint as quantity
               from meter_intervals i join meters m on m.id = i.meter_id
               where not i.settled and upper_inf(i.during) and i.price_list_id = $1 and ($4::uuid is null or m.organisation_id > $4)
                 and exists (select 1 from unnest($2::text[], $3::uuid[]) as c(kind, subject)
                             where c.kind = i.kind and c.subject is not distinct from coalesce(i.plan_id, i.image_id))
               group by m.organisation_id, i.kind, i.plan_id, i.image_id)
           select organisation_id as "organisation: OrganisationId", kind, plan_id as "plan: PlanId", image_id as "image: ImageId", quantity as "quantity!"
           from concerned where organisation_id in (select distinct organisation_id from concerned order by 1 limit $5) order by organisation_id"#,
        list.uuid(),
        &kinds,
        &subjects as &[Option<Uuid>],
        after.map(OrganisationId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let mut found: Vec<(OrganisationId, HashMap<Item, i64>)> = Vec::new();
    for row in rows {
        let item = Item::parse(&row.kind, row.plan, row.image).context("a meter interval is of an unknown kind")?;
        match found.last_mut() {
            Some((organisation, items)) if *organisation == row.organisation => {
                items.insert(item, row.quantity);
            }
            _ => found.push((row.organisation, HashMap::from([(item, row.quantity)]))),
        }
    }
    Ok(found)
}

/// What an organisation uses now, and how many units of each.
pub(in crate::pricing) async fn select_used(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<HashMap<Item, i64>> {
    let rows = sqlx::query!(
        r#"select i.kind, i.plan_id as "plan: PlanId", i.image_id as "image: ImageId", sum(i.quantity)::bigint as "quantity!"
           from meter_intervals i where i.organisation_id = $1 and not i.settled and upper_inf(i.during) group by 1, 2, 3"#,
        organisation.uuid(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let item = Item::parse(&row.kind, row.plan, row.image).context("a meter interval is of an unknown kind")?;
            Ok((item, row.quantity))
        })
        .collect()
}

/// The name of a plan that an organisation has machines of and that has no price on a list now or later.
pub(in crate::pricing) async fn select_unpriced(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    list: PriceListId,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    let plan = sqlx::query_scalar!(
        r#"select p.name from plans p
           where p.id in (select v.plan_id from vms v where v.organisation_id = $1 and v.deleted_at is null
                          union select v.next_plan_id from vms v where v.organisation_id = $1 and v.deleted_at is null and v.next_plan_id is not null)
             and (not exists (select 1 from price_list_periods t where t.price_list_id = $2 and t.during @> $3::timestamptz)
                  or exists (select 1 from price_list_periods t where t.price_list_id = $2 and not t.during << tstzrange($3, null)
                             and (select count(*) from prices pr where pr.price_list_version_id = t.id and pr.plan_id = p.id) < 2))
           order by p.name limit 1"#,
        organisation.uuid(),
        list.uuid(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(plan)
}
