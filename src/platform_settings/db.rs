//! The SQL of the platform's settings.

use sqlx::PgConnection;

use super::PlatformSettings;
use crate::error::Result;
use crate::ledger::money;

pub(super) async fn select(connection: &mut PgConnection) -> Result<PlatformSettings> {
    let row = sqlx::query!(
        "select auto_shutdown, credit_limit, grace_days, grace_charged, delete_after_grace, deletion_notices_min, rescue_hours, life_seconds_min,
                breaker_factor_hundredths, breaker_stop_percent, breaker_vms_min, catch_up_hours, price_notice_days
         from settings"
    )
    .fetch_one(connection)
    .await?;
    Ok(PlatformSettings {
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
    })
}
