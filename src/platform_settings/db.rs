//! The SQL of the platform's settings.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::PlatformSettings;
use crate::error::Result;
use crate::ids::UserId;
use crate::ledger::money;

pub(super) async fn select(connection: &mut PgConnection) -> Result<PlatformSettings> {
    let row = sqlx::query_as!(
        Row,
        "select auto_shutdown, credit_limit, grace_days, grace_charged, delete_after_grace, deletion_notices_min, rescue_hours, life_seconds_min,
                breaker_factor_hundredths, breaker_stop_percent, breaker_vms_min, catch_up_hours, price_notice_days, staff_second_factor
         from settings"
    )
    .fetch_one(connection)
    .await?;
    PlatformSettings::try_from(row)
}

struct Row {
    auto_shutdown: bool,
    credit_limit: Decimal,
    grace_days: i32,
    grace_charged: bool,
    delete_after_grace: bool,
    deletion_notices_min: i32,
    rescue_hours: i32,
    life_seconds_min: i32,
    breaker_factor_hundredths: i32,
    breaker_stop_percent: i32,
    breaker_vms_min: i32,
    catch_up_hours: i32,
    price_notice_days: i32,
    staff_second_factor: bool,
}

impl TryFrom<Row> for PlatformSettings {
    type Error = crate::error::Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            auto_shutdown: row.auto_shutdown,
            credit_limit: money(row.credit_limit)?,
            grace_days: row.grace_days,
            grace_charged: row.grace_charged,
            delete_after_grace: row.delete_after_grace,
            deletion_notices_min: row.deletion_notices_min,
            rescue_hours: row.rescue_hours,
            life_seconds_min: row.life_seconds_min,
            breaker_factor_hundredths: row.breaker_factor_hundredths,
            breaker_stop_percent: row.breaker_stop_percent,
            breaker_vms_min: row.breaker_vms_min,
            catch_up_hours: row.catch_up_hours,
            price_notice_days: row.price_notice_days,
            staff_second_factor: row.staff_second_factor,
        })
    }
}

/// The settings, locked for the rest of the transaction.
pub(super) async fn select_for_update(connection: &mut PgConnection) -> Result<PlatformSettings> {
    sqlx::query!("select only_row from settings for update").fetch_one(&mut *connection).await?;
    select(connection).await
}

pub(super) async fn update(
    connection: &mut PgConnection,
    new: &PlatformSettings,
    by: Option<UserId>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update settings set auto_shutdown = $1, credit_limit = $2, grace_days = $3, grace_charged = $4, delete_after_grace = $5, deletion_notices_min = $6,
                rescue_hours = $7, life_seconds_min = $8, breaker_factor_hundredths = $9, breaker_stop_percent = $10, breaker_vms_min = $11,
                catch_up_hours = $12, price_notice_days = $13, updated_at = $14, updated_by = $15, staff_second_factor = $16",
        new.auto_shutdown,
        new.credit_limit.to_decimal(),
        new.grace_days,
        new.grace_charged,
        new.delete_after_grace,
        new.deletion_notices_min,
        new.rescue_hours,
        new.life_seconds_min,
        new.breaker_factor_hundredths,
        new.breaker_stop_percent,
        new.breaker_vms_min,
        new.catch_up_hours,
        new.price_notice_days,
        now,
        by.map(UserId::uuid),
        new.staff_second_factor,
    )
    .execute(connection)
    .await?;
    Ok(())
}
