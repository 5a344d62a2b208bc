//! What happens to one wallet at zero, for its owner and for operators: the rules that hold for it, and where it is after the end
//! of its credit. It only reads.

use billing::Money;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{db, grace, rescue};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::OrganisationId;
use crate::{ledger, platform_settings};

/// What happens at zero.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AtZero {
    /// Machines are shut down when the credit ends; else the balance may go below zero first.
    pub auto_shutdown: bool,
    /// How far below zero it may go; zero or more.
    pub credit_limit: Money,
    /// How long disks are kept after that, in days of 24 hours.
    pub grace_days: i32,
    /// Whether stopped machines are charged meanwhile, as a debt.
    pub grace_charged: bool,
    /// Whether machines are deleted after that time.
    pub delete_after_grace: bool,
    /// How many notices must have been delivered by mail before that.
    pub deletion_notices_min: i32,
    /// How many hours of rescue time there are, once for each end of the credit; zero: none.
    pub rescue_hours: i32,
    /// Where it is, if the credit has ended.
    pub ended: Option<Ended>,
}

/// An end of the credit that lasts.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = EndedCredit)]
pub struct Ended {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Until when disks are kept at least.
    pub grace_until: DateTime<Utc>,
    /// When machines are deleted, at the earliest; none when nothing is going to be deleted.
    pub deletion_on: Option<DateTime<Utc>>,
    /// How many notices of that have been given.
    pub notices: usize,
    /// Until when its machines may run in their rescue time, while it lasts.
    pub rescue_until: Option<DateTime<Utc>>,
    /// Whether rescue time can be had now.
    pub can_rescue: bool,
}

/// What happens to a wallet at zero.
///
/// # Errors
/// `NotFound` without such an organisation.
pub async fn at_zero(app: &App, organisation: OrganisationId) -> Result<AtZero> {
    let now = app.clock.now();
    let mut connection = app.pool.acquire().await?;
    let settings = platform_settings::read(&mut connection).await?;
    let own = db::select_own(&mut *connection, organisation).await?.ok_or(Error::NotFound("organisation"))?;
    let credit_limit = ledger::credit_limit_of(&mut connection, organisation).await?;
    let known = db::select_exhausted(&mut *connection, organisation).await?;
    let ended = match &known {
        None => None,
        Some(known) => {
            let told = db::select_deletion_notices(&mut connection, known.id).await?;
            let is_doomed =
                settings.delete_after_grace && grace::has_deletable(&mut connection, organisation, now).await?;
            let named = told.iter().map(|notice| notice.deletion_on).max();
            Some(Ended {
                at: known.at,
                grace_until: known.grace_until(),
                deletion_on: is_doomed.then(|| known.grace_until().max(named.unwrap_or(known.at))),
                notices: told.len(),
                rescue_until: known.rescue_until.filter(|until| now < *until),
                can_rescue: rescue::is_granted(&settings, known, now),
            })
        }
    };
    Ok(AtZero {
        auto_shutdown: own.0.unwrap_or(settings.auto_shutdown),
        credit_limit,
        grace_days: known.map_or(settings.grace_days, |known| known.grace_days),
        grace_charged: settings.grace_charged,
        delete_after_grace: settings.delete_after_grace,
        deletion_notices_min: settings.deletion_notices_min,
        rescue_hours: settings.rescue_hours,
        ended,
    })
}
