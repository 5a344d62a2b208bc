//! The SQL of a month that is rated anew: organisations in order, and what their meters were.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalog::{Item, Metering};
use crate::error::Result;
use crate::ids::{ImageId, MeterId, OrganisationId, PlanId, PriceListId};

/// One snapshot for the whole month, and no lock on anything.
pub(in crate::pricing) async fn make_read_only(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("set transaction isolation level repeatable read read only").execute(connection).await?;
    Ok(())
}

pub(in crate::pricing) struct OrganisationRow {
    pub id: OrganisationId,
    pub name: String,
}

pub(in crate::pricing) async fn select_organisations(
    connection: &mut PgConnection,
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<OrganisationRow>> {
    let rows = sqlx::query_as!(
        OrganisationRow,
        r#"select id as "id: OrganisationId", name from organisations where $1::uuid is null or id > $1 order by id limit $2"#,
        after.map(OrganisationId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// A time in which a meter was one thing.
pub(in crate::pricing) struct MonthSpan {
    pub what: Metering,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
}

/// What a meter was in a month.
pub(in crate::pricing) struct OfMeter {
    meter: MeterId,
    /// Where the charging of its wallet stands.
    pub charged_through: DateTime<Utc>,
    /// In the order of time.
    pub spans: Vec<MonthSpan>,
}

pub(in crate::pricing) async fn select_meters(
    connection: &mut PgConnection,
    organisations: &[Uuid],
    list: Option<PriceListId>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<HashMap<OrganisationId, Vec<OfMeter>>> {
    let rows = sqlx::query!(
        r#"select m.organisation_id as "organisation: OrganisationId", m.id as "meter: MeterId", w.charged_through, i.kind, i.plan_id as "plan: PlanId",
                  i.image_id as "image: ImageId", i.quantity, i.price_list_id as "list: PriceListId", lower(i.during) as "from!", upper(i.during) as "to"
           from meters m join wallets w on w.organisation_id = m.organisation_id
           join meter_intervals i on i.meter_id = m.id and i.during && tstzrange($2, $3)
           where m.organisation_id = any($1) and ($4::uuid is null or i.price_list_id = $4)
           order by m.organisation_id, m.id, lower(i.during)"#,
        organisations,
        from,
        until,
        list.map(PriceListId::uuid),
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<OrganisationId, Vec<OfMeter>> = HashMap::with_capacity(organisations.len());
    for row in rows {
        let item = Item::parse(&row.kind, row.plan, row.image).context("a meter interval is of an unknown kind")?;
        let what = Metering { list: row.list, item, quantity: row.quantity };
        let span = MonthSpan { what, from: row.from, to: row.to };
        let meters = found.entry(row.organisation).or_default();
        match meters.last_mut() {
            Some(last) if last.meter == row.meter => last.spans.push(span),
            _ => meters.push(OfMeter { meter: row.meter, charged_through: row.charged_through, spans: vec![span] }),
        }
    }
    Ok(found)
}
