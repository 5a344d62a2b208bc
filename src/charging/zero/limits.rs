//! Whether machines are shut down at zero, and how far below it a wallet may go where they are not: for the platform, and for
//! one organisation. And the other settings of the platform, as some of them change what happens at zero.

use billing::Money;
use serde::{Deserialize, Serialize};

use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::charging::resume;
use crate::error::{Error, Result};
use crate::ids::OrganisationId;
use crate::platform_settings::{self, PlatformSettings};
use crate::{ledger, live, organisations, runway};

/// The furthest a wallet may go below zero.
pub const LIMIT_MAX: Money = Money::from_micros(1_000_000_000_000);

/// An organisation's own answers; none: the platform's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, utoipa::ToSchema)]
pub struct OwnZero {
    /// Machines are shut down when the credit ends.
    #[serde(default)]
    pub auto_shutdown: Option<bool>,
    /// How far below zero the wallet may go where they are not.
    #[serde(default)]
    pub credit_limit: Option<Money>,
}

/// What is set for one organisation.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn own(app: &App, organisation: OrganisationId) -> Result<OwnZero> {
    let found = db::select_own(&app.pool, organisation).await?.ok_or(Error::NotFound("organisation"))?;
    Ok(OwnZero { auto_shutdown: found.0, credit_limit: found.1 })
}

/// Sets what happens at zero for one organisation. Its limit, its outlook and what can run again follow at once.
///
/// # Errors
/// `Invalid` for a limit out of range, `NotFound` without such an organisation.
pub async fn change_own(app: &App, organisation: OrganisationId, new: OwnZero, actor: &Actor) -> Result<()> {
    if new.credit_limit.is_some_and(|limit| limit.is_negative() || limit > LIMIT_MAX) {
        return Err(Error::invalid("credit_limit", "From 0 to 1,000,000: how far below zero, without a sign."));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let before = db::select_own(&mut *transaction, organisation).await?.ok_or(Error::NotFound("organisation"))?;
    let before = OwnZero { auto_shutdown: before.0, credit_limit: before.1 };
    if before == new {
        return Ok(());
    }
    db::update_own(&mut transaction, organisation, new.auto_shutdown, new.credit_limit).await?;
    ledger::renew_credit_limits(&mut transaction, now).await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    if wallet.exhausted_at.is_some() {
        resume::receive(app, &mut transaction, organisation, now).await?;
    } else {
        runway::recompute(app, &mut transaction, organisation, now).await?;
    }
    let subject = Subject::new("wallet", organisation, organisations::name_of(&mut transaction, organisation).await?);
    let detail = Changes::between(&before, &new)?;
    audit::record(&mut transaction, now, actor, Some(organisation), Event::CreditLimitChanged, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "wallet").await?;
    transaction.commit().await?;
    Ok(())
}

/// Sets the platform's settings. Limits follow in the same transaction, and their wallets are looked at by the next pass, a
/// batch at a time; empty ones are looked at anew as well.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn change_settings(app: &App, new: &PlatformSettings, actor: &Actor) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    if platform_settings::change(&mut transaction, new, actor, now).await? {
        ledger::renew_credit_limits(&mut transaction, now).await?;
        db::look_at_all(&mut transaction, now).await?;
        live::announce(&mut transaction, None, "exceptions").await?;
    }
    transaction.commit().await?;
    Ok(())
}
