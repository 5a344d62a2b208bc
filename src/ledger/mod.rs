//! Double entry by two-sided transfers, and the wallets that are their projection. Transfers are only ever added; what
//! caused one is its unique source, so that a cause that runs twice posts once.

mod db;
mod export;
mod history;
mod proof;

use std::collections::HashMap;

use anyhow::Context;
use billing::{Account, Money, Posting, Rate};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;

pub use db::bulk::{BulkTransfers, BulkWallets, bulk_post};
pub use export::{Exported, Format, Raw, Selection, export, export_raw, organisation_numbered};
pub use history::{
    BalancePoint, Filter, Kind, Line, STATEMENT_CHUNK, Statement, WalletTransfer, balances_since, statement,
    statement_lines, transfers, transfers_of, uncharged_since,
};
pub use proof::{first_difference, first_difference_from};

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{AccountId, OrganisationId, PostingId, PriceListId, UserId, VmId};

/// The most transfers one page shows.
pub const PAGE_MAX: i64 = 100;

/// A wallet, locked for the rest of the transaction.
#[derive(Debug, Clone)]
pub struct Wallet {
    /// Whose.
    pub organisation: OrganisationId,
    /// Its account in the ledger.
    pub account: AccountId,
    /// Credits less debits.
    pub balance: Money,
    /// Everything before this instant is charged.
    pub charged_through: DateTime<Utc>,
    /// What runs up charges now, per hour.
    pub burn_per_hour: Rate,
    /// When the credit runs out, if it does within the horizon.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// When the engine looks again, if that is before the next full hour.
    pub due_at: Option<DateTime<Utc>>,
    /// Whether something runs up charges, or has and is not charged yet.
    pub metered: bool,
    /// Since when it has run out.
    pub exhausted_at: Option<DateTime<Utc>>,
    /// Set aside for machines that are being made.
    pub held: Money,
    /// How far below zero the balance may go; zero or more.
    pub credit_limit: Money,
    /// Until when machines of this empty wallet may run, at no charge.
    pub rescue_until: Option<DateTime<Utc>>,
    /// Until when the price of stopped machines is charged to this empty wallet, as a debt.
    pub grace_charged_until: Option<DateTime<Utc>>,
    /// Whose prices hold for what its organisation begins to use now.
    pub price_list: PriceListId,
}

impl Wallet {
    /// What may be spent on something new.
    #[must_use]
    pub fn available(&self) -> Money {
        self.balance - self.held
    }

    /// Whether machines that cost something must be off at an instant: the credit has run out, and there is no rescue time.
    #[must_use]
    pub fn keeps_off(&self, at: DateTime<Utc>) -> bool {
        self.exhausted_at.is_some() && self.rescue_until.is_none_or(|until| until <= at)
    }

    /// What is left until the credit has run out.
    #[must_use]
    pub fn credit(&self) -> Money {
        self.balance + self.credit_limit
    }
}

/// An amount of the database as money.
///
/// # Errors
/// When it is out of range, which the column's type excludes.
pub fn money(decimal: Decimal) -> Result<Money> {
    Ok(Money::try_from(decimal).context("a stored amount is out of range")?)
}

/// A rate of the database.
///
/// # Errors
/// When it is out of range, which the column's type excludes.
pub fn rate(decimal: Decimal) -> Result<Rate> {
    Ok(Rate::try_from(decimal).context("a stored rate is out of range")?)
}

/// Opens the wallet of a new organisation.
///
/// # Errors
/// When PostgreSQL fails, or it has one.
pub async fn open_wallet(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<()> {
    db::insert_wallet(connection, organisation, now).await
}

/// Locks a wallet: the first lock of every transaction that changes money or machines.
///
/// # Errors
/// `NotFound` when the organisation has none.
pub async fn lock_wallet(connection: &mut PgConnection, organisation: OrganisationId) -> Result<Wallet> {
    db::select_wallet_for_update(connection, organisation).await?.ok_or(Error::NotFound("wallet"))
}

/// Locks the wallets of several organisations, in the order of their ids, so that nobody waits in a circle.
///
/// # Errors
/// `NotFound` when one of them has none.
pub async fn lock_wallets(
    connection: &mut PgConnection,
    organisations: &[OrganisationId],
) -> Result<HashMap<OrganisationId, Wallet>> {
    let wallets = db::select_wallets_for_update(connection, organisations).await?;
    if organisations.iter().any(|organisation| !wallets.contains_key(organisation)) {
        return Err(Error::NotFound("wallet"));
    }
    Ok(wallets)
}

/// Reads a wallet without locking it.
///
/// # Errors
/// `NotFound` when the organisation has none.
pub async fn wallet(app: &App, organisation: OrganisationId) -> Result<Wallet> {
    db::select_wallet(&app.pool, organisation).await?.ok_or(Error::NotFound("wallet"))
}

/// Writes down a wallet's outlook: burn, run-out and when to look again; never, when nothing of it runs up charges. At full
/// hours every wallet is looked at, so only another instant is written down.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn set_outlook(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    burn_per_hour: Rate,
    runs_out_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
) -> Result<()> {
    db::update_outlook(connection, organisation, burn_per_hour, runs_out_at, due_at).await
}

/// Moves an idle wallet's cursor: nothing ran up charges before `at`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn set_charged_through(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: DateTime<Utc>,
) -> Result<()> {
    db::update_charged_through(connection, organisation, at).await
}

/// Marks a wallet as run out since `at`, or as no longer run out. Rescue time and the debt of a grace end with it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn set_exhausted(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: Option<DateTime<Utc>>,
) -> Result<()> {
    db::update_exhausted(connection, organisation, at).await
}

/// Lets machines of an empty wallet run until an instant, or no longer.
///
/// # Errors
/// When PostgreSQL fails, or the wallet has not run out.
pub async fn set_rescue(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    until: Option<DateTime<Utc>>,
) -> Result<()> {
    db::update_rescue(connection, organisation, until).await
}

/// Lets an empty wallet owe the price of its stopped machines until an instant, at most `debt_max` beyond the limit that is
/// set for it; or no longer.
///
/// # Errors
/// When PostgreSQL fails, or the wallet has not run out.
pub async fn set_charged_grace(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    until: Option<DateTime<Utc>>,
    debt_max: Money,
) -> Result<()> {
    db::update_charged_grace(connection, organisation, until, debt_max).await
}

/// How far below zero a wallet may go by what operators have set; zero or more.
///
/// # Errors
/// `NotFound` when there is no such organisation.
pub async fn credit_limit_of(connection: &mut PgConnection, organisation: OrganisationId) -> Result<Money> {
    db::select_credit_limit(connection, organisation).await?.ok_or(Error::NotFound("wallet"))
}

/// Gives every wallet the limit that is set for it now, and has those that run up charges looked at again by the next pass,
/// a batch at a time. Answers how many have another limit.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn renew_credit_limits(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<u64> {
    let changed = db::update_credit_limits(&mut *connection, now).await?;
    crate::live::wake_billing(&mut *connection).await?;
    crate::live::announce(connection, None, "wallet").await?;
    Ok(changed)
}

/// Where a posting comes from.
#[derive(Debug, Clone)]
pub struct Cause<'a> {
    /// Unique; the same cause posts once.
    pub source: &'a str,
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// A sentence for the owner of the wallet.
    pub memo: &'a str,
    /// The person behind it.
    pub created_by: Option<UserId>,
}

/// Posts to the ledger and moves the wallets' balances with it. Says whether it did: a source that was posted before does
/// nothing.
///
/// # Errors
/// When PostgreSQL fails or a wallet does not exist.
pub async fn post(connection: &mut PgConnection, posting: &Posting<OrganisationId>, cause: &Cause<'_>) -> Result<bool> {
    let id = PostingId::new();
    for (index, leg) in posting.legs().iter().enumerate() {
        let debit = db::account(&mut *connection, &leg.debit).await?;
        let credit = db::account(&mut *connection, &leg.credit).await?;
        let source = if index == 0 { cause.source.to_owned() } else { format!("{}/{index}", cause.source) };
        if !db::insert_transfer(&mut *connection, id, debit, credit, leg, &source, cause).await? {
            // Its first leg says whether a posting was made before: the others cannot be there without it.
            if index > 0 {
                return Err(anyhow::anyhow!("leg {index} of {} was posted without the first", cause.source).into());
            }
            return Ok(false);
        }
        for (account, change) in [(&leg.debit, -leg.amount), (&leg.credit, leg.amount)] {
            if let Account::Wallet(organisation) = account {
                db::add_to_balance(&mut *connection, *organisation, change).await?;
            }
        }
    }
    Ok(true)
}

/// What the transfer with this source moved, if there is one.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn amount_of(connection: &mut PgConnection, source: &str) -> Result<Option<Money>> {
    db::select_amount(connection, source).await
}

/// What a wallet was charged and has not been given back. The wallet is locked in this transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn charged_and_not_refunded(connection: &mut PgConnection, account: AccountId) -> Result<Money> {
    db::select_charged_and_not_refunded(connection, account).await
}

/// Posts the credit that a new organisation starts with, once.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn sign_up_credit(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<()> {
    let posting = Posting::sign_up_credit(organisation, amount).context("the sign-up credit cannot be posted")?;
    let source = format!("sign_up:{organisation}");
    post(connection, &posting, &Cause { source: &source, at: now, memo: "Credit to start with", created_by: None })
        .await?;
    Ok(())
}

/// Sets credit aside for a machine that is being made. Nothing is set aside for a machine that costs nothing.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn hold(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<()> {
    if amount.is_positive() { db::insert_hold(connection, organisation, vm, amount, now).await } else { Ok(()) }
}

/// Gives back what was set aside for a machine; fine when nothing was.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn release_hold(connection: &mut PgConnection, vm: VmId) -> Result<()> {
    db::delete_hold(connection, vm).await
}

/// All wallets together.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    /// What runs up charges now, per hour.
    pub burn_per_hour: Rate,
    /// How many run out before the instant that was asked for.
    pub ending: i64,
    /// How many have run out.
    pub empty: i64,
}

/// How all wallets stand together, and how many of them run out before `until`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn outlook(app: &App, until: DateTime<Utc>) -> Result<Outlook> {
    db::select_outlook(&app.pool, until).await
}

/// A wallet that the last pass could not charge.
#[derive(Debug, Clone)]
pub struct Uncharged {
    /// Whose.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub organisation_name: String,
    /// Everything before this instant is charged.
    pub charged_through: DateTime<Utc>,
    /// Why, for operators.
    pub error: String,
    /// Since when nobody tries any more; none: it is tried again by itself.
    pub parked_at: Option<DateTime<Utc>>,
}

/// The wallets that the last pass could not charge, longest waiting first, at most a page of them.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn uncharged(app: &App) -> Result<Vec<Uncharged>> {
    db::select_uncharged(&app.pool, PAGE_MAX).await
}
