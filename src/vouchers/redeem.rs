//! Redeeming a code: once per organisation, as often as the voucher says, all of it in one transaction. Wrong codes are
//! counted per person, and too many of them end in waiting.

use anyhow::Context;
use billing::{Money, Posting};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use super::code::Code;
use super::{State, db};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::charging;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, VoucherId};
use crate::ledger::{self, Cause};

/// How many wrong codes a person may give within an hour of the first of them.
pub const WRONG_TRIES_MAX: i32 = 10;
/// For how long wrong codes are counted from the first of them.
const WRONG_TRIES_MINUTES: i64 = 60;

/// A voucher that was never made and one that was revoked look the same.
const UNKNOWN: &str = "No voucher has this code. Look at each character again.";
const EXPIRED: &str = "This voucher has expired.";
const USED_UP: &str = "This voucher has been used up.";
const TOO_MANY: &str = "Too many wrong codes. Wait an hour at most, then try again.";

/// What a voucher did.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Redeemed {
    /// Which.
    pub voucher: VoucherId,
    /// How much was added.
    pub amount: Money,
    /// When.
    pub redeemed_at: DateTime<Utc>,
    /// How many machines are being started again.
    pub started: usize,
    /// The organisation had redeemed it before: it was then that the amount was added.
    pub repeated: bool,
}

/// Adds what a code is worth to a wallet and resumes what it carries. An organisation gets it once, however often it asks.
///
/// # Errors
/// `Invalid` when the code is none, unknown, used up or past its time; `TooManyTries` after too many wrong ones.
pub async fn redeem(app: &App, organisation: OrganisationId, typed: &str, actor: &Actor) -> Result<Redeemed> {
    let user = actor.user().ok_or(Error::Forbidden("Only a person redeems a voucher."))?;
    let code = Code::parse(typed)?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let tries = db::lock_tries(&mut transaction, user, now).await?;
    let free_again = tries.since + TimeDelta::minutes(WRONG_TRIES_MINUTES);
    let wrong = if free_again <= now { 0 } else { tries.wrong };
    if wrong >= WRONG_TRIES_MAX {
        let retry_after_seconds = (free_again - now).num_seconds() + 1;
        return Err(Error::TooManyTries { sentence: TOO_MANY, retry_after_seconds });
    }

    let voucher = db::lock_by_hash(&mut transaction, &code.hash()).await?;
    let refusal = match &voucher {
        None => UNKNOWN,
        Some(voucher) => {
            if let Some(redeemed_at) = db::select_redeemed_at(&mut transaction, voucher.id, organisation).await? {
                let (voucher, amount) = (voucher.id, voucher.amount);
                return Ok(Redeemed { voucher, amount, redeemed_at, started: 0, repeated: true });
            }
            match voucher.state(now) {
                State::Revoked => UNKNOWN,
                State::Expired => EXPIRED,
                State::UsedUp => USED_UP,
                State::Open => "",
            }
        }
    };
    let Some(voucher) = voucher.filter(|_| refusal.is_empty()) else {
        let since = if wrong == 0 { now } else { tries.since };
        db::update_tries(&mut transaction, user, since, wrong + 1).await?;
        transaction.commit().await?;
        return Err(Error::invalid("code", refusal));
    };

    db::insert_redemption(&mut transaction, voucher.id, organisation, user, now).await?;
    let posting = Posting::voucher(organisation, voucher.amount).context("the voucher cannot be posted")?;
    let source = format!("voucher:{}:{organisation}", voucher.id);
    let memo = format!("Voucher {}…", voucher.prefix);
    let cause = Cause { source: &source, at: now, memo: &memo, created_by: Some(user) };
    if !ledger::post(&mut transaction, &posting, &cause).await? {
        return Err(anyhow::anyhow!("{source} is in the ledger without its redemption").into());
    }
    let detail = json!({ "amount": voucher.amount });
    let event = Event::VoucherRedeemed;
    audit::record(&mut transaction, now, actor, Some(organisation), event, voucher.subject(), detail).await?;
    let started = charging::receive(app, &mut transaction, organisation, now).await?;
    transaction.commit().await?;
    Ok(Redeemed { voucher: voucher.id, amount: voucher.amount, redeemed_at: now, started, repeated: false })
}
