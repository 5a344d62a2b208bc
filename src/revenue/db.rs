//! The SQL of figures for operators. Revenue is summed from its parts, of which there are some for each pass and not one for
//! each charge; wallets are read by the indexes of what is looked for.

use anyhow::Context;
use billing::Money;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgPool;

use super::{Part, Sold, WalletCounts, WalletLine};
use crate::catalog::Item;
use crate::error::{Error, Result};
use crate::ids::{ImageId, OrganisationId, PlanId};
use crate::ledger::{money, rate};

pub(super) async fn select_parts(
    pool: &PgPool,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    zone: &str,
) -> Result<Vec<Part>> {
    // Summed by price first: there are few prices, and only their kinds and plans are looked up.
    let rows = sqlx::query!(
        r#"select s.day as "day!", p.kind, p.plan_id as "plan: PlanId", p.image_id as "image: ImageId", coalesce(pl.name, '') as "plan_name!", s.amount as "amount!"
           from (select (r.period_start at time zone $3)::date as day, r.price_id, sum(r.amount) as amount from revenue_parts r
                 where r.period_start >= $1 and r.period_start < $2 group by 1, 2) s
           join prices p on p.id = s.price_id left join plans pl on pl.id = p.plan_id
           order by s.day, pl.position, pl.name"#,
        from,
        to,
        zone,
    )
    .fetch_all(pool)
    .await?;
    let mut parts: Vec<Part> = Vec::new();
    for row in rows {
        let item = Item::parse(&row.kind, row.plan, row.image).context("a price is of an unknown kind")?;
        let sold = Sold { resource: item.resource(), plan: item.plan(), plan_name: row.plan_name };
        let amount = money(row.amount)?;
        match parts.iter_mut().rev().take_while(|part| part.day == row.day).find(|part| part.sold == sold) {
            Some(part) => part.amount += amount,
            None => parts.push(Part { day: row.day, sold, amount }),
        }
    }
    Ok(parts)
}

pub(super) async fn select_total(pool: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Money> {
    let total = sqlx::query_scalar!(
        r#"select coalesce(sum(amount), 0) as "total!" from revenue_parts where period_start >= $1 and period_start < $2"#,
        from,
        to,
    )
    .fetch_one(pool)
    .await?;
    money(total)
}

struct Row {
    organisation: OrganisationId,
    name: String,
    balance: Decimal,
    credit_limit: Decimal,
    burn: Decimal,
    runs_out_at: Option<DateTime<Utc>>,
    exhausted_at: Option<DateTime<Utc>>,
    charged_through: DateTime<Utc>,
    charging_error: Option<String>,
}

impl TryFrom<Row> for WalletLine {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            organisation: row.organisation,
            name: row.name,
            balance: money(row.balance)?,
            credit_limit: money(row.credit_limit)?,
            burn_per_hour: rate(row.burn)?,
            runs_out_at: row.runs_out_at,
            exhausted_at: row.exhausted_at,
            charged_through: row.charged_through,
            charging_error: row.charging_error,
        })
    }
}

fn lines(rows: Vec<Row>) -> Result<Vec<WalletLine>> {
    rows.into_iter().map(WalletLine::try_from).collect()
}

pub(super) async fn select_ending(
    pool: &PgPool,
    before: DateTime<Utc>,
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<WalletLine>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select w.organisation_id as "organisation: OrganisationId", o.name, w.balance, w.credit_limit, w.burn, w.runs_out_at, w.exhausted_at, w.charged_through, w.charging_error
           from wallets w join organisations o on o.id = w.organisation_id
           where w.runs_out_at is not null and w.exhausted_at is null and w.runs_out_at < $1
             and ($2::uuid is null or (w.runs_out_at, w.organisation_id) > (select a.runs_out_at, a.organisation_id from wallets a where a.organisation_id = $2))
           order by w.runs_out_at, w.organisation_id limit $3"#,
        before,
        after.map(OrganisationId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    lines(rows)
}

pub(super) async fn select_run_out(
    pool: &PgPool,
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<WalletLine>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select w.organisation_id as "organisation: OrganisationId", o.name, w.balance, w.credit_limit, w.burn, w.runs_out_at, w.exhausted_at, w.charged_through, w.charging_error
           from wallets w join organisations o on o.id = w.organisation_id
           where w.exhausted_at is not null
             and ($1::uuid is null or (w.exhausted_at, w.organisation_id) > (select a.exhausted_at, a.organisation_id from wallets a where a.organisation_id = $1))
           order by w.exhausted_at, w.organisation_id limit $2"#,
        after.map(OrganisationId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    lines(rows)
}

pub(super) async fn select_below_zero(
    pool: &PgPool,
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<WalletLine>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select w.organisation_id as "organisation: OrganisationId", o.name, w.balance, w.credit_limit, w.burn, w.runs_out_at, w.exhausted_at, w.charged_through, w.charging_error
           from wallets w join organisations o on o.id = w.organisation_id
           where w.balance < 0 and ($1::uuid is null or w.organisation_id > $1)
           order by w.organisation_id limit $2"#,
        after.map(OrganisationId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    lines(rows)
}

pub(super) async fn select_parked(pool: &PgPool, after: Option<OrganisationId>, limit: i64) -> Result<Vec<WalletLine>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select w.organisation_id as "organisation: OrganisationId", o.name, w.balance, w.credit_limit, w.burn, w.runs_out_at, w.exhausted_at, w.charged_through, w.charging_error
           from wallets w join organisations o on o.id = w.organisation_id
           where w.charging_error is not null
             and ($1::uuid is null or (w.charged_through, w.organisation_id) > (select a.charged_through, a.organisation_id from wallets a where a.organisation_id = $1))
           order by w.charged_through, w.organisation_id limit $2"#,
        after.map(OrganisationId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    lines(rows)
}

/// One look at each wallet: there is one for each organisation.
pub(super) async fn select_counts(pool: &PgPool, [hour, day, week]: [DateTime<Utc>; 3]) -> Result<WalletCounts> {
    let row = sqlx::query!(
        r#"select count(*) filter (where exhausted_at is null and runs_out_at is not null) as "any!",
                  count(*) filter (where exhausted_at is null and runs_out_at < $1) as "hour!",
                  count(*) filter (where exhausted_at is null and runs_out_at < $2) as "day!",
                  count(*) filter (where exhausted_at is null and runs_out_at < $3) as "week!",
                  count(exhausted_at) as "run_out!", count(*) filter (where balance < 0) as "below_zero!", count(charging_error) as "parked!",
                  coalesce(sum(burn), 0) as "burn!", coalesce(sum(balance) filter (where balance > 0), 0) as "credit!",
                  coalesce(-sum(balance) filter (where balance < 0), 0) as "debt!"
           from wallets"#,
        hour,
        day,
        week,
    )
    .fetch_one(pool)
    .await?;
    Ok(WalletCounts {
        any: row.any,
        hour: row.hour,
        day: row.day,
        week: row.week,
        run_out: row.run_out,
        below_zero: row.below_zero,
        parked: row.parked,
        burn_per_hour: rate(row.burn)?,
        credit: money(row.credit)?,
        debt: money(row.debt)?,
    })
}
