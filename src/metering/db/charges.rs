//! The SQL that writes the charges of a batch.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;

/// Charges of one batch as columns.
#[derive(Debug, Default)]
pub struct BulkCharges {
    /// The meters.
    pub meters: Vec<Uuid>,
    /// Whose they are.
    pub organisations: Vec<Uuid>,
    /// From.
    pub from: Vec<DateTime<Utc>>,
    /// Until.
    pub to: Vec<DateTime<Utc>>,
    /// How many units.
    pub quantities: Vec<i64>,
    /// At which price.
    pub prices: Vec<Uuid>,
    /// Per hour.
    pub rates: Vec<Decimal>,
    /// How much.
    pub amounts: Vec<Decimal>,
}

/// The meters of one batch that have intervals which are wholly charged now, as columns.
#[derive(Debug, Default)]
pub struct BulkMeters {
    /// The meters.
    pub meters: Vec<Uuid>,
    /// The month their sums belong to.
    pub months: Vec<NaiveDate>,
    /// The sums.
    pub accrued: Vec<Decimal>,
    /// The highest caps of the month.
    pub caps: Vec<Option<Decimal>>,
    /// The ends of the last of these intervals: until there the sums are.
    pub through: Vec<DateTime<Utc>>,
    /// The intervals.
    pub settled: Vec<i64>,
}

/// Writes charges and settles intervals: three statements at most, whatever the size of the batch. Of what goes on nothing
/// but its charge is written.
///
/// # Errors
/// When PostgreSQL fails, or one of the charges exists (then the whole batch is undone with its transaction).
pub async fn bulk_charge(connection: &mut PgConnection, charges: &BulkCharges, meters: &BulkMeters) -> Result<()> {
    sqlx::query!(
        "insert into charges (meter_id, organisation_id, period_start, period_end, quantity, price_id, rate, amount)
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::uuid[], $7::numeric[], $8::numeric[])",
        &charges.meters,
        &charges.organisations,
        &charges.from,
        &charges.to,
        &charges.quantities,
        &charges.prices,
        &charges.rates,
        &charges.amounts,
    )
    .execute(&mut *connection)
    .await?;
    if meters.settled.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update meters m set month = b.month, accrued = b.accrued, cap = b.cap, accrued_through = b.through
         from unnest($1::uuid[], $2::date[], $3::numeric[], $4::numeric[], $5::timestamptz[]) as b (id, month, accrued, cap, through) where m.id = b.id",
        &meters.meters,
        &meters.months,
        &meters.accrued,
        &meters.caps as &[Option<Decimal>],
        &meters.through,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("update meter_intervals set settled = true where id = any($1)", &meters.settled)
        .execute(connection)
        .await?;
    Ok(())
}
