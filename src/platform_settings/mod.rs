//! What operators set for the whole platform while it runs: what happens at zero, how long disks are kept, when a pass waits
//! for a person. What the program needs to start is in `config`.

mod db;

use billing::Money;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Problem, Result};

/// The furthest a wallet may go below zero.
const CREDIT_LIMIT_MAX: Money = Money::from_micros(1_000_000_000_000);

/// The settings of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlatformSettings {
    /// Machines are shut down when the credit ends. An organisation may have its own answer.
    pub auto_shutdown: bool,
    /// How far below zero a wallet may go where machines are not shut down at zero.
    pub credit_limit: Money,
    /// How many days disks are kept after the credit ended.
    #[schema(minimum = 1, maximum = 365)]
    pub grace_days: i32,
    /// Whether the price of a stopped machine is charged meanwhile, as a debt.
    pub grace_charged: bool,
    /// Whether machines are deleted after the grace period.
    pub delete_after_grace: bool,
    /// How many notices must have been delivered before anything is deleted.
    #[schema(minimum = 1, maximum = 10)]
    pub deletion_notices_min: i32,
    /// How many hours of rescue time an empty wallet can have, once.
    #[schema(minimum = 0, maximum = 48)]
    pub rescue_hours: i32,
    /// A machine that lives shorter is charged as if it had lived so many seconds.
    #[schema(minimum = 0, maximum = 3_600)]
    pub life_seconds_min: i32,
    /// A pass that would charge more than this many times the usual waits for a person; in hundredths.
    #[schema(minimum = 110, maximum = 10_000)]
    pub breaker_factor_hundredths: i32,
    /// A pass that would stop more than this share of all running machines, in percent, waits for a person.
    #[schema(minimum = 1, maximum = 100)]
    pub breaker_stop_percent: i32,
    /// The share counts from so many running machines on.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub breaker_vms_min: i32,
    /// Missed hours are charged by themselves if they are not more than this; older ones wait for a person.
    #[schema(minimum = 1, maximum = 8_760)]
    pub catch_up_hours: i32,
    /// How many days before a price goes up customers are told.
    #[schema(minimum = 0, maximum = 365)]
    pub price_notice_days: i32,
    /// Whether staff must have a second factor.
    pub staff_second_factor: bool,
}

/// Reads the settings.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn read(connection: &mut PgConnection) -> Result<PlatformSettings> {
    db::select(connection).await
}

/// The settings as they are now.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn current(app: &App) -> Result<PlatformSettings> {
    read(&mut *app.pool.acquire().await?).await
}

impl PlatformSettings {
    /// The whole numbers with the ranges in which they must be.
    fn ranges(&self) -> [(&'static str, i32, i32, i32); 9] {
        [
            ("grace_days", self.grace_days, 1, 365),
            ("deletion_notices_min", self.deletion_notices_min, 1, 10),
            ("rescue_hours", self.rescue_hours, 0, 48),
            ("life_seconds_min", self.life_seconds_min, 0, 3_600),
            ("breaker_factor_hundredths", self.breaker_factor_hundredths, 110, 10_000),
            ("breaker_stop_percent", self.breaker_stop_percent, 1, 100),
            ("breaker_vms_min", self.breaker_vms_min, 1, 1_000_000),
            ("catch_up_hours", self.catch_up_hours, 1, 8_760),
            ("price_notice_days", self.price_notice_days, 0, 365),
        ]
    }

    /// What is wrong with them.
    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self
            .ranges()
            .into_iter()
            .filter(|(_, value, least, most)| !(least..=most).contains(&value))
            .map(|(field, _, least, most)| Problem::new(field, format!("A whole number from {least} to {most}.")))
            .collect();
        if self.credit_limit.is_negative() || self.credit_limit > CREDIT_LIMIT_MAX {
            let problem = "From 0 to 1,000,000: how far below zero, without a sign.";
            problems.push(Problem::new("credit_limit", problem));
        }
        problems
    }
}

/// Changes the settings, in somebody's transaction. Answers whether any is another now. What follows from that for wallets is
/// the business of `charging`.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn change(
    connection: &mut PgConnection,
    new: &PlatformSettings,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<bool> {
    let problems = new.problems();
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let before = db::select_for_update(&mut *connection).await?;
    let changes = Changes::between(&before, new)?;
    if changes.is_empty() {
        return Ok(false);
    }
    db::update(&mut *connection, new, actor.user(), now).await?;
    let subject = Subject::new("settings", "platform", "Settings");
    audit::record(connection, now, actor, None, Event::SettingsChanged, subject, changes).await?;
    Ok(true)
}
