//! Codes that are worth credit. Who has a code has the money, so only its hash is kept and it is shown once. A code is good
//! for one or several organisations, each once; what it was made for never changes, it can only be used up and revoked.

mod code;
mod create;
mod db;
mod redeem;

use billing::Money;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgPool;

pub use code::Code;
pub use create::{Created, JustMade, MADE_AT_ONCE_MAX, NOTE_CHARACTERS_MAX, NewVouchers, USES_MAX, create, end_of_day};
pub use redeem::{Redeemed, WRONG_TRIES_MAX, redeem};

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, VoucherId};

/// The most vouchers or redemptions one page shows.
pub const PAGE_MAX: i64 = 100;

/// How a voucher stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = VoucherState)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It can be redeemed.
    Open,
    /// As many have redeemed it as may.
    UsedUp,
    /// Its time is over.
    Expired,
    /// An operator has ended it.
    Revoked,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::UsedUp, Self::Expired, Self::Revoked];

    /// Its name in queries and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::UsedUp => "used_up",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A voucher, as operators see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Voucher {
    /// Its id.
    pub id: VoucherId,
    /// How its code begins.
    pub prefix: String,
    /// What it is worth.
    pub amount: Money,
    /// How many have redeemed it.
    pub uses: i32,
    /// How many may.
    pub uses_max: i32,
    /// From when on it is worth nothing.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// What its maker noted; only for operators.
    pub note: String,
    /// Who made it.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Voucher {
    /// How it stands at an instant. It is worth nothing from the very instant at which it expires.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> State {
        if self.revoked_at.is_some() {
            State::Revoked
        } else if self.uses >= self.uses_max {
            State::UsedUp
        } else if self.expires_at.is_some_and(|at| at <= now) {
            State::Expired
        } else {
            State::Open
        }
    }

    /// It as the subject of an audit event.
    fn subject(&self) -> Subject {
        Subject::new("voucher", self.id, format!("{}…", self.prefix))
    }
}

/// Who has redeemed a voucher.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Redemption {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub organisation_name: String,
    /// When.
    pub redeemed_at: DateTime<Utc>,
    /// The e-mail address of the person.
    pub redeemed_by: Option<String>,
}

/// Which vouchers to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub state: Option<State>,
    /// Only those before this one.
    pub after: Option<VoucherId>,
}

/// Vouchers, newest first, at most `limit` of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, filter: &Filter, limit: i64) -> Result<Vec<Voucher>> {
    db::select(&app.pool, filter, app.clock.now(), limit.clamp(1, PAGE_MAX + 1)).await
}

/// How many vouchers there are in each state, in the order of [`State::ALL`].
///
/// # Errors
/// When PostgreSQL fails.
pub async fn counts(app: &App) -> Result<[i64; 4]> {
    db::count(&app.pool, app.clock.now()).await
}

/// One voucher.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn find(app: &App, id: VoucherId) -> Result<Voucher> {
    db::select_one(&app.pool, id).await?.ok_or(Error::NotFound("voucher"))
}

/// Who has redeemed a voucher, latest first, at most a page of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn redemptions(app: &App, id: VoucherId) -> Result<Vec<Redemption>> {
    db::select_redemptions(&app.pool, id, PAGE_MAX).await
}

/// Ends a voucher: nobody can redeem it any more. What was redeemed stays. One that is revoked already stays as it is.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn revoke(app: &App, id: VoucherId, actor: &Actor) -> Result<Voucher> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    if !db::update_revoked(&mut transaction, id, now).await? {
        return find(app, id).await;
    }
    let voucher = db::select_one(&mut *transaction, id).await?.ok_or(Error::NotFound("voucher"))?;
    let detail = json!({ "amount": voucher.amount, "uses": voucher.uses, "uses_max": voucher.uses_max });
    audit::record(&mut transaction, now, actor, None, Event::VoucherRevoked, voucher.subject(), detail).await?;
    transaction.commit().await?;
    Ok(voucher)
}

/// The first thing about vouchers that does not add up, if any: each redemption has its transfer in the ledger and each
/// transfer its redemption, and a voucher counts as many uses as it has redemptions.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn first_difference(pool: &PgPool) -> Result<Option<String>> {
    db::select_first_difference(pool).await
}
