//! The SQL of accounts, transfers, wallets and holds. What people read of a ledger is in `history`.

pub(super) mod bulk;
pub(super) mod export;
pub(super) mod history;
pub(super) mod proof;
pub(super) mod raw;

use std::collections::HashMap;

use billing::{Account, Leg, Money, Provider, Rate};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};
use uuid::{Uuid, uuid};

use super::{Cause, Outlook, Uncharged, Wallet, money, rate};
use crate::error::{Error, Result};
use crate::ids::{AccountId, OrganisationId, PostingId, PriceListId, TransferId, UserId, VmId};

/// The platform's own accounts, as the migration inserts them.
const REVENUE: Uuid = uuid!("00000000-0000-7000-8000-000000000001");
const MANUAL_CREDITS: Uuid = uuid!("00000000-0000-7000-8000-000000000002");
const PROMOTIONS: Uuid = uuid!("00000000-0000-7000-8000-000000000003");
const CLEARING_BANK: Uuid = uuid!("00000000-0000-7000-8000-000000000004");
const CLEARING_STRIPE: Uuid = uuid!("00000000-0000-7000-8000-000000000005");
const REFUNDS: Uuid = uuid!("00000000-0000-7000-8000-000000000006");
const TAX: Uuid = uuid!("00000000-0000-7000-8000-000000000007");
const WRITE_OFF: Uuid = uuid!("00000000-0000-7000-8000-000000000008");

pub(super) async fn insert_wallet(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<()> {
    let account = AccountId::new();
    sqlx::query!(
        "insert into accounts (id, kind, organisation_id) values ($1, 'wallet', $2)",
        account.uuid(),
        organisation.uuid()
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into wallets (organisation_id, account_id, charged_through, credit_limit) select $1, $2, $3, credit_limit from credit_limits where organisation_id = $1",
        organisation.uuid(),
        account.uuid(),
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

struct WalletRow {
    organisation: OrganisationId,
    account: AccountId,
    balance: Decimal,
    charged_through: DateTime<Utc>,
    burn: Decimal,
    runs_out_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    metered: bool,
    exhausted_at: Option<DateTime<Utc>>,
    held: Decimal,
    credit_limit: Decimal,
    rescue_until: Option<DateTime<Utc>>,
    grace_charged_until: Option<DateTime<Utc>>,
    price_list: PriceListId,
}

impl TryFrom<WalletRow> for Wallet {
    type Error = Error;
    fn try_from(row: WalletRow) -> Result<Self> {
        Ok(Self {
            organisation: row.organisation,
            account: row.account,
            balance: money(row.balance)?,
            charged_through: row.charged_through,
            burn_per_hour: rate(row.burn)?,
            runs_out_at: row.runs_out_at,
            due_at: row.due_at,
            metered: row.metered,
            exhausted_at: row.exhausted_at,
            held: money(row.held)?,
            credit_limit: money(row.credit_limit)?,
            rescue_until: row.rescue_until,
            grace_charged_until: row.grace_charged_until,
            price_list: row.price_list,
        })
    }
}

pub(super) async fn select_wallet_for_update(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<Option<Wallet>> {
    // Locked first, then read: the holds are summed by a statement that begins after the lock is had.
    let locked =
        sqlx::query!("select organisation_id from wallets where organisation_id = $1 for update", organisation.uuid())
            .fetch_optional(&mut *connection)
            .await?;
    if locked.is_none() {
        return Ok(None);
    }
    select_wallet(connection, organisation).await
}

pub(super) async fn select_wallets_for_update(
    connection: &mut PgConnection,
    organisations: &[OrganisationId],
) -> Result<HashMap<OrganisationId, Wallet>> {
    let ids: Vec<Uuid> = organisations.iter().map(|organisation| organisation.uuid()).collect();
    // Locked first, then read, as with a single one.
    sqlx::query!(
        "select organisation_id from wallets where organisation_id = any($1) order by organisation_id for update",
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let rows = sqlx::query_as!(
        WalletRow,
        r#"select w.organisation_id as "organisation: OrganisationId", w.account_id as "account: AccountId", w.balance, w.charged_through, w.burn,
                  w.runs_out_at, w.due_at, w.metered, w.exhausted_at,
                  coalesce((select sum(h.amount) from holds h where h.organisation_id = w.organisation_id), 0) as "held!", w.credit_limit,
                  w.rescue_until, w.grace_charged_until,
                  coalesce(o.price_list_id, (select l.id from price_lists l where l.is_default)) as "price_list!: PriceListId"
           from wallets w join organisations o on o.id = w.organisation_id where w.organisation_id = any($1)"#,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Wallet::try_from(row).map(|wallet| (wallet.organisation, wallet))).collect()
}

pub(super) async fn select_wallet(
    executor: impl sqlx::PgExecutor<'_>,
    organisation: OrganisationId,
) -> Result<Option<Wallet>> {
    let row = sqlx::query_as!(
        WalletRow,
        r#"select w.organisation_id as "organisation: OrganisationId", w.account_id as "account: AccountId", w.balance, w.charged_through, w.burn,
                  w.runs_out_at, w.due_at, w.metered, w.exhausted_at,
                  coalesce((select sum(h.amount) from holds h where h.organisation_id = w.organisation_id), 0) as "held!", w.credit_limit,
                  w.rescue_until, w.grace_charged_until,
                  coalesce(o.price_list_id, (select l.id from price_lists l where l.is_default)) as "price_list!: PriceListId"
           from wallets w join organisations o on o.id = w.organisation_id where w.organisation_id = $1"#,
        organisation.uuid(),
    )
    .fetch_optional(executor)
    .await?;
    row.map(Wallet::try_from).transpose()
}

pub(super) async fn update_outlook(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    burn: Rate,
    runs_out_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!(
        "update wallets set burn = $2, runs_out_at = $3, metered = $4, due_at = case when charging_error is null then $5 else least($5, due_at) end
         where organisation_id = $1",
        organisation.uuid(),
        burn.to_decimal(),
        runs_out_at,
        due_at.is_some(),
        // A wallet that could not be charged keeps its next try.
        due_at.filter(|due| *due != billing::hour_floor(*due)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_charged_through(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update wallets set charged_through = greatest(charged_through, $2) where organisation_id = $1",
        organisation.uuid(),
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_exhausted(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!(
        "update wallets w set exhausted_at = $2, rescue_until = null, grace_charged_until = null, credit_limit = l.credit_limit
         from credit_limits l where l.organisation_id = w.organisation_id and w.organisation_id = $1",
        organisation.uuid(),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_rescue(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    until: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!("update wallets set rescue_until = $2 where organisation_id = $1", organisation.uuid(), until)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn update_charged_grace(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    until: Option<DateTime<Utc>>,
    debt_max: Money,
) -> Result<()> {
    sqlx::query!(
        "update wallets w set grace_charged_until = $2, credit_limit = l.credit_limit + $3
         from credit_limits l where l.organisation_id = w.organisation_id and w.organisation_id = $1",
        organisation.uuid(),
        until,
        debt_max.to_decimal(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn select_credit_limit(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<Option<Money>> {
    let limit = sqlx::query_scalar!(
        r#"select credit_limit as "credit_limit!" from credit_limits where organisation_id = $1"#,
        organisation.uuid()
    )
    .fetch_optional(connection)
    .await?;
    limit.map(money).transpose()
}

/// Wallets in their charged grace keep the limit that is made for it.
pub(super) async fn update_credit_limits(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<u64> {
    // In the order of the keys, as whoever locks several does.
    let updated = sqlx::query!(
        "with other as (
             select w.organisation_id, l.credit_limit from wallets w join credit_limits l on l.organisation_id = w.organisation_id
             where w.credit_limit <> l.credit_limit and (w.exhausted_at is null or w.balance >= -l.credit_limit) and w.grace_charged_until is null order by w.organisation_id for update of w)
         update wallets w set credit_limit = other.credit_limit, due_at = case when w.burn > 0 or w.due_at is not null then least(w.due_at, $1) end
         from other where other.organisation_id = w.organisation_id",
        now
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

pub(super) async fn account(connection: &mut PgConnection, account: &Account<OrganisationId>) -> Result<AccountId> {
    let organisation = match account {
        Account::Revenue => return Ok(REVENUE.into()),
        Account::ManualCredits => return Ok(MANUAL_CREDITS.into()),
        Account::Promotions => return Ok(PROMOTIONS.into()),
        Account::PaymentClearing(Provider::Bank) => return Ok(CLEARING_BANK.into()),
        Account::PaymentClearing(Provider::Stripe) => return Ok(CLEARING_STRIPE.into()),
        Account::Refunds => return Ok(REFUNDS.into()),
        Account::Tax => return Ok(TAX.into()),
        Account::WriteOff => return Ok(WRITE_OFF.into()),
        Account::Wallet(organisation) => organisation,
    };
    sqlx::query_scalar!(r#"select id as "id: AccountId" from accounts where organisation_id = $1"#, organisation.uuid())
        .fetch_optional(connection)
        .await?
        .ok_or(Error::NotFound("wallet"))
}

pub(super) async fn insert_transfer(
    connection: &mut PgConnection,
    posting: PostingId,
    debit: AccountId,
    credit: AccountId,
    leg: &Leg<OrganisationId>,
    source: &str,
    cause: &Cause<'_>,
) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at, memo, created_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (source) do nothing",
        TransferId::new().uuid(),
        posting.uuid(),
        debit.uuid(),
        credit.uuid(),
        leg.amount.to_decimal(),
        leg.code.as_str(),
        source,
        cause.at,
        cause.memo,
        cause.created_by.map(UserId::uuid),
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

pub(super) async fn select_amount(connection: &mut PgConnection, source: &str) -> Result<Option<Money>> {
    let amount = sqlx::query_scalar!("select amount from transfers where source = $1", source)
        .fetch_optional(connection)
        .await?;
    amount.map(money).transpose()
}

pub(super) async fn select_charged_and_not_refunded(connection: &mut PgConnection, wallet: AccountId) -> Result<Money> {
    // What is given back of a payment is a refund too, and takes from the wallet.
    let left = sqlx::query_scalar!(
        r#"select coalesce((select sum(amount) from transfers where debit_account = $1 and code = 'charge'), 0)
                - coalesce((select sum(amount) from transfers where credit_account = $1 and code = 'refund'), 0) as "left!""#,
        wallet.uuid(),
    )
    .fetch_one(connection)
    .await?;
    money(left)
}

pub(super) async fn add_to_balance(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    change: Money,
) -> Result<()> {
    let updated = sqlx::query!(
        "update wallets set balance = balance + $2 where organisation_id = $1",
        organisation.uuid(),
        change.to_decimal()
    )
    .execute(connection)
    .await?
    .rows_affected();
    if updated == 1 { Ok(()) } else { Err(Error::NotFound("wallet")) }
}

pub(super) async fn insert_hold(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into holds (vm_id, organisation_id, amount, created_at) values ($1, $2, $3, $4)",
        vm.uuid(),
        organisation.uuid(),
        amount.to_decimal(),
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn delete_hold(connection: &mut PgConnection, vm: VmId) -> Result<()> {
    sqlx::query!("delete from holds where vm_id = $1", vm.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn select_outlook(pool: &PgPool, until: DateTime<Utc>) -> Result<Outlook> {
    let row = sqlx::query!(
        r#"select coalesce(sum(burn), 0) as "burn!", count(*) filter (where exhausted_at is null and runs_out_at <= $1) as "ending!",
                  count(*) filter (where exhausted_at is not null) as "empty!"
           from wallets"#,
        until,
    )
    .fetch_one(pool)
    .await?;
    Ok(Outlook { burn_per_hour: rate(row.burn)?, ending: row.ending, empty: row.empty })
}

pub(super) async fn select_uncharged(pool: &PgPool, limit: i64) -> Result<Vec<Uncharged>> {
    let rows = sqlx::query_as!(
        Uncharged,
        r#"select w.organisation_id as "organisation: OrganisationId", o.name as organisation_name, w.charged_through, w.charging_error as "error!", w.parked_at
           from wallets w join organisations o on o.id = w.organisation_id
           where w.charging_error is not null order by w.charged_through limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}
