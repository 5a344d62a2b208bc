//! What operators set for the whole platform while it runs: what happens at zero, how long disks are kept, when a pass waits
//! for a person. What the program needs to start is in `config`.

mod db;

use billing::Money;
use sqlx::PgConnection;

use crate::error::Result;

/// The settings of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformSettings {
    /// Machines are shut down when the credit ends. An organisation may have its own answer.
    pub auto_shutdown: bool,
    /// How far below zero a wallet may go where machines are not shut down at zero.
    pub credit_limit: Money,
    /// How many days disks are kept after the credit ended.
    pub grace_days: i32,
    /// Whether the price of a stopped machine is charged meanwhile, as a debt.
    pub grace_charged: bool,
    /// Whether machines are deleted after the grace period.
    pub delete_after_grace: bool,
    /// How many notices must have been delivered before anything is deleted.
    pub deletion_notices_min: i32,
    /// How many hours of rescue time an empty wallet can have, once.
    pub rescue_hours: i32,
    /// A machine that lives shorter is charged as if it had lived so many seconds.
    pub life_seconds_min: i32,
    /// A pass that would charge more than this many times the usual waits for a person; in hundredths.
    pub breaker_factor_hundredths: i32,
    /// A pass that would stop more than this share of all running machines, in percent, waits for a person.
    pub breaker_stop_percent: i32,
    /// The share counts from so many running machines on.
    pub breaker_vms_min: i32,
    /// Missed hours are charged by themselves if they are not more than this; older ones wait for a person.
    pub catch_up_hours: i32,
    /// How many days before a price goes up customers are told.
    pub price_notice_days: i32,
}

/// Reads the settings.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn read(connection: &mut PgConnection) -> Result<PlatformSettings> {
    db::select(connection).await
}
