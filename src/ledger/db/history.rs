//! The SQL of what people read of a ledger. Every query is a range of one wallet in the order of the books' time. A charge
//! only ever takes from a wallet, so the other side leaves charges out, as its index does.

use billing::Money;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::error::Result;
use crate::ids::{OrganisationId, TransferId};
use crate::ledger::history::{Filter, Kind, Line, WalletTransfer};
use crate::ledger::money;

pub(in crate::ledger) async fn select_transfers(
    pool: &PgPool,
    organisation: OrganisationId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<WalletTransfer>> {
    let wants = |kind| filter.kind.is_none_or(|wanted| wanted == kind);
    // The balance after a transfer is today's less everything later, so that a page costs what lies before it and not all of
    // history.
    let rows = sqlx::query!(
        r#"with wallet as (select account_id, balance from wallets where organisation_id = $1),
                place as (select t.at, t.id from wallet, transfers t where t.id = $2 and wallet.account_id in (t.debit_account, t.credit_account)),
                bounds as (select coalesce($4::timestamptz, '-infinity') as since, least(coalesce($5::timestamptz, 'infinity'), coalesce((select place.at from place), 'infinity')) as until),
                page as (
                    (select t.id, t.at, t.code, t.memo, -t.amount as change from wallet, bounds, transfers t
                     where $6 and t.debit_account = wallet.account_id and t.code = 'charge' and t.at >= bounds.since and t.at <= bounds.until
                       and ($5::timestamptz is null or t.at < $5) and ($2::uuid is null or (t.at, t.id) < (select place.at, place.id from place))
                     order by t.at desc, t.id desc limit $3)
                    union all
                    (select t.id, t.at, t.code, t.memo, -t.amount from wallet, bounds, transfers t
                     where $7 and t.debit_account = wallet.account_id and t.code <> 'charge' and t.at >= bounds.since and t.at <= bounds.until
                       and ($5::timestamptz is null or t.at < $5) and ($2::uuid is null or (t.at, t.id) < (select place.at, place.id from place))
                     order by t.at desc, t.id desc limit $3)
                    union all
                    (select t.id, t.at, t.code, t.memo, t.amount from wallet, bounds, transfers t
                     where $8 and t.credit_account = wallet.account_id and t.code <> 'charge' and t.at >= bounds.since and t.at <= bounds.until
                       and ($5::timestamptz is null or t.at < $5) and ($2::uuid is null or (t.at, t.id) < (select place.at, place.id from place))
                     order by t.at desc, t.id desc limit $3)
                    order by at desc, id desc limit $3),
                oldest as (select min(page.at) as at from page),
                since as (
                    select t.id, t.at, -t.amount as change from wallet, oldest, transfers t where t.debit_account = wallet.account_id and t.at >= oldest.at
                    union all
                    select t.id, t.at, t.amount from wallet, oldest, transfers t where t.credit_account = wallet.account_id and t.code <> 'charge' and t.at >= oldest.at),
                balances as (
                    select since.id, wallet.balance - coalesce(sum(since.change) over (order by since.at desc, since.id desc rows between unbounded preceding and 1 preceding), 0) as balance_after
                    from since, wallet)
           select page.id as "id!: TransferId", page.at as "at!", page.code as "code!", page.memo as "memo!", page.change as "change!", b.balance_after as "balance_after!"
           from page join balances b on b.id = page.id order by page.at desc, page.id desc"#,
        organisation.uuid(),
        filter.after.map(TransferId::uuid),
        limit,
        filter.from,
        filter.to,
        wants(Kind::Charge),
        wants(Kind::Debit),
        wants(Kind::Credit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(WalletTransfer {
                id: row.id,
                at: row.at,
                code: row.code,
                memo: row.memo,
                amount: money(row.change)?,
                balance_after: money(row.balance_after)?,
            })
        })
        .collect()
}

pub(in crate::ledger) async fn select_balance_before(
    pool: &PgPool,
    organisation: OrganisationId,
    before: DateTime<Utc>,
) -> Result<Money> {
    let balance = sqlx::query_scalar!(
        r#"select w.balance
                  + coalesce((select sum(t.amount) from transfers t where t.debit_account = w.account_id and t.at >= $2), 0)
                  - coalesce((select sum(t.amount) from transfers t where t.credit_account = w.account_id and t.code <> 'charge' and t.at >= $2), 0) as "balance!"
           from wallets w where w.organisation_id = $1"#,
        organisation.uuid(),
        before,
    )
    .fetch_one(pool)
    .await?;
    money(balance)
}

/// The lines of `[next, to)` behind `next`, oldest first.
pub(in crate::ledger) async fn select_lines(
    pool: &PgPool,
    organisation: OrganisationId,
    (from, after): (DateTime<Utc>, Option<TransferId>),
    to: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Line>> {
    let rows = sqlx::query!(
        r#"with wallet as (select account_id from wallets where organisation_id = $1)
           (select t.id as "id!: TransferId", t.at as "at!", t.code as "code!", t.memo as "memo!", -t.amount as "change!" from wallet, transfers t
            where t.debit_account = wallet.account_id and t.at >= $2 and t.at < $3 and ($4::uuid is null or (t.at, t.id) > ($2, $4))
            order by t.at, t.id limit $5)
           union all
           (select t.id, t.at, t.code, t.memo, t.amount from wallet, transfers t
            where t.credit_account = wallet.account_id and t.code <> 'charge' and t.at >= $2 and t.at < $3 and ($4::uuid is null or (t.at, t.id) > ($2, $4))
            order by t.at, t.id limit $5)
           order by 2, 1 limit $5"#,
        organisation.uuid(),
        from,
        to,
        after.map(TransferId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Line { id: row.id, at: row.at, code: row.code, memo: row.memo, amount: money(row.change)? }))
        .collect()
}

/// When, by how much and to what the balance moved since `from`, newest first.
pub(in crate::ledger) async fn select_balances(
    pool: &PgPool,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(DateTime<Utc>, Money, Money)>> {
    let rows = sqlx::query!(
        r#"with wallet as (select account_id, balance from wallets where organisation_id = $1),
                moved as (
                    (select t.id, t.at, -t.amount as change from wallet, transfers t where t.debit_account = wallet.account_id and t.at >= $2
                     order by t.at desc, t.id desc limit $3)
                    union all
                    (select t.id, t.at, t.amount from wallet, transfers t where t.credit_account = wallet.account_id and t.code <> 'charge' and t.at >= $2
                     order by t.at desc, t.id desc limit $3)
                    order by at desc, id desc limit $3)
           select moved.at as "at!", moved.change as "change!",
                  (wallet.balance - coalesce(sum(moved.change) over (order by moved.at desc, moved.id desc rows between unbounded preceding and 1 preceding), 0)) as "balance!"
           from moved, wallet order by moved.at desc, moved.id desc"#,
        organisation.uuid(),
        from,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| Ok((row.at, money(row.change)?, money(row.balance)?))).collect()
}

pub(in crate::ledger) async fn select_uncharged_since(
    pool: &PgPool,
    organisation: OrganisationId,
) -> Result<Option<DateTime<Utc>>> {
    let since = sqlx::query_scalar!(
        "select charged_through from wallets where organisation_id = $1 and charging_error is not null",
        organisation.uuid(),
    )
    .fetch_optional(pool)
    .await?;
    Ok(since)
}
