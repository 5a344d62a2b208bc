//! The SQL of plans: what is on sale and what was.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::error::{Error, OnConstraint, Result};
use crate::ids::{OrganisationId, PlanId, PriceListId, PriceListVersionId};
use crate::pricing::plans::PlanLine;

pub(in crate::pricing) async fn select_plans(connection: &mut PgConnection) -> Result<Vec<PlanLine>> {
    let plans = sqlx::query_as!(
        PlanLine,
        r#"select p.id as "id: PlanId", p.slug, p.name, p.vcpu, p.memory_mib, p.disk_gib, p.retired_at,
                  (select count(*) from vms v where v.plan_id = p.id and v.deleted_at is null) as "vms!"
           from plans p order by p.retired_at is not null, p.position, p.name"#
    )
    .fetch_all(connection)
    .await?;
    Ok(plans)
}

/// The ids and names of the plans on sale.
pub(in crate::pricing) async fn select_plans_on_sale(connection: &mut PgConnection) -> Result<Vec<(PlanId, String)>> {
    let rows =
        sqlx::query!(r#"select id as "id: PlanId", name from plans where retired_at is null order by position, name"#)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

pub(in crate::pricing) struct NewPlanRow<'a> {
    pub slug: &'a str,
    pub name: &'a str,
    pub vcpu: i32,
    pub memory_mib: i32,
    pub disk_gib: i32,
}

pub(in crate::pricing) async fn insert_plan(connection: &mut PgConnection, new: &NewPlanRow<'_>) -> Result<PlanId> {
    let id = PlanId::new();
    sqlx::query!(
        "insert into plans (id, slug, name, vcpu, memory_mib, disk_gib, position)
         values ($1, $2, $3, $4, $5, $6, coalesce((select max(position) + 1 from plans), 0))",
        id.uuid(),
        new.slug,
        new.name,
        new.vcpu,
        new.memory_mib,
        new.disk_gib,
    )
    .execute(connection)
    .await
    .on_constraint("plans_slug_key", || Error::invalid("slug", "There is a plan of this short name already."))?;
    Ok(id)
}

/// The name of a plan after it was taken off sale, or put on sale again.
pub(in crate::pricing) async fn update_retired(
    connection: &mut PgConnection,
    plan: PlanId,
    retired_at: Option<DateTime<Utc>>,
) -> Result<Option<String>> {
    let name =
        sqlx::query_scalar!("update plans set retired_at = $2 where id = $1 returning name", plan.uuid(), retired_at)
            .fetch_optional(connection)
            .await?;
    Ok(name)
}

/// The versions of all lists that are in force now or will be, with their lists.
pub(in crate::pricing) async fn select_versions_from(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<(PriceListId, PriceListVersionId)>> {
    let rows = sqlx::query!(
        r#"select price_list_id as "list!: PriceListId", id as "id!: PriceListVersionId" from price_list_periods where not during << tstzrange($1, null)"#,
        now
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.list, row.id)).collect())
}

/// The plans that an organisation has machines of.
pub(in crate::pricing) async fn select_plans_of(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<Vec<PlanId>> {
    let plans = sqlx::query_scalar!(
        r#"select distinct plan_id as "id: PlanId" from vms where organisation_id = $1 and deleted_at is null"#,
        organisation.uuid(),
    )
    .fetch_all(connection)
    .await?;
    Ok(plans)
}
