//! The SQL of vouchers.

use billing::Money;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{Filter, Redemption, State, Voucher};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId, VoucherId};
use crate::ledger::money;

struct Row {
    id: VoucherId,
    prefix: String,
    amount: Decimal,
    uses: i32,
    uses_max: i32,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    note: String,
    created_by: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Voucher {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            prefix: row.prefix,
            amount: money(row.amount)?,
            uses: row.uses,
            uses_max: row.uses_max,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            note: row.note,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    }
}

/// Vouchers that are made together.
pub(super) struct NewRows<'a> {
    pub ids: Vec<Uuid>,
    pub hashes: Vec<Vec<u8>>,
    pub prefixes: Vec<String>,
    pub amount: Money,
    pub uses_max: i32,
    pub expires_at: Option<DateTime<Utc>>,
    pub note: &'a str,
    pub order: &'a str,
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
}

/// Waits for another transaction with the same order to end; held until this one does.
pub(super) async fn lock_order(connection: &mut PgConnection, order: &str) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", order).fetch_one(connection).await?;
    Ok(())
}

pub(super) async fn insert(connection: &mut PgConnection, new: &NewRows<'_>) -> Result<()> {
    sqlx::query!(
        "insert into vouchers (id, code_hash, prefix, position, amount, uses_max, expires_at, note, made_by_order, created_by, created_at)
         select v.id, v.code_hash, v.prefix, v.position::integer, $4, $5, $6, $7, $8, $9, $10
         from unnest($1::uuid[], $2::bytea[], $3::text[]) with ordinality as v (id, code_hash, prefix, position)",
        &new.ids,
        &new.hashes,
        &new.prefixes,
        new.amount.to_decimal(),
        new.uses_max,
        new.expires_at,
        new.note,
        new.order,
        new.created_by.map(UserId::uuid),
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn select_of_order(connection: &mut PgConnection, order: &str) -> Result<Vec<Voucher>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select v.id as "id: VoucherId", v.prefix, v.amount, v.uses, v.uses_max, v.expires_at, v.revoked_at, v.note, u.email as "created_by?", v.created_at
           from vouchers v left join users u on u.id = v.created_by where v.made_by_order = $1 order by v.position"#,
        order,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Voucher::try_from).collect()
}

/// The states of vouchers stand here as they do in `Voucher::state`.
pub(super) async fn select(pool: &PgPool, filter: &Filter, now: DateTime<Utc>, limit: i64) -> Result<Vec<Voucher>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select v.id as "id: VoucherId", v.prefix, v.amount, v.uses, v.uses_max, v.expires_at, v.revoked_at, v.note, u.email as "created_by?", v.created_at
           from vouchers v left join users u on u.id = v.created_by
           where ($1::uuid is null or v.id < $1)
             and ($2::text is null or $2 = case when v.revoked_at is not null then 'revoked' when v.uses >= v.uses_max then 'used_up'
                                                when v.expires_at <= $3 then 'expired' else 'open' end)
           order by v.id desc limit $4"#,
        filter.after.map(VoucherId::uuid),
        filter.state.map(State::name),
        now,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Voucher::try_from).collect()
}

pub(super) async fn count(pool: &PgPool, now: DateTime<Utc>) -> Result<[i64; 4]> {
    let counts = sqlx::query!(
        r#"select count(*) filter (where revoked_at is null and uses < uses_max and (expires_at is null or expires_at > $1)) as "open!",
                  count(*) filter (where revoked_at is null and uses >= uses_max) as "used_up!",
                  count(*) filter (where revoked_at is null and uses < uses_max and expires_at <= $1) as "expired!",
                  count(*) filter (where revoked_at is not null) as "revoked!"
           from vouchers"#,
        now,
    )
    .fetch_one(pool)
    .await?;
    Ok([counts.open, counts.used_up, counts.expired, counts.revoked])
}

pub(super) async fn select_one(executor: impl PgExecutor<'_>, id: VoucherId) -> Result<Option<Voucher>> {
    let row = sqlx::query_as!(
        Row,
        r#"select v.id as "id: VoucherId", v.prefix, v.amount, v.uses, v.uses_max, v.expires_at, v.revoked_at, v.note, u.email as "created_by?", v.created_at
           from vouchers v left join users u on u.id = v.created_by where v.id = $1"#,
        id.uuid(),
    )
    .fetch_optional(executor)
    .await?;
    row.map(Voucher::try_from).transpose()
}

/// The voucher with this code, locked.
pub(super) async fn lock_by_hash(connection: &mut PgConnection, hash: &[u8]) -> Result<Option<Voucher>> {
    let row = sqlx::query_as!(
        Row,
        r#"select v.id as "id: VoucherId", v.prefix, v.amount, v.uses, v.uses_max, v.expires_at, v.revoked_at, v.note, null::text as "created_by?", v.created_at
           from vouchers v where v.code_hash = $1 for update"#,
        hash,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Voucher::try_from).transpose()
}

pub(super) async fn select_redeemed_at(
    connection: &mut PgConnection,
    voucher: VoucherId,
    organisation: OrganisationId,
) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "select redeemed_at from voucher_redemptions where voucher_id = $1 and organisation_id = $2",
        voucher.uuid(),
        organisation.uuid(),
    )
    .fetch_optional(connection)
    .await?)
}

/// Writes down a redemption and counts it. The voucher is locked.
pub(super) async fn insert_redemption(
    connection: &mut PgConnection,
    voucher: VoucherId,
    organisation: OrganisationId,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into voucher_redemptions (voucher_id, organisation_id, redeemed_at, redeemed_by) values ($1, $2, $3, $4)",
        voucher.uuid(),
        organisation.uuid(),
        now,
        user.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("update vouchers set uses = uses + 1 where id = $1", voucher.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn select_redemptions(pool: &PgPool, voucher: VoucherId, limit: i64) -> Result<Vec<Redemption>> {
    Ok(sqlx::query_as!(
        Redemption,
        r#"select r.organisation_id as "organisation: OrganisationId", o.name as organisation_name, r.redeemed_at, u.email as "redeemed_by?"
           from voucher_redemptions r join organisations o on o.id = r.organisation_id left join users u on u.id = r.redeemed_by
           where r.voucher_id = $1 order by r.redeemed_at desc, r.organisation_id limit $2"#,
        voucher.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?)
}

/// Says whether it was not revoked before.
pub(super) async fn update_revoked(connection: &mut PgConnection, id: VoucherId, now: DateTime<Utc>) -> Result<bool> {
    let revoked =
        sqlx::query!("update vouchers set revoked_at = $2 where id = $1 and revoked_at is null", id.uuid(), now)
            .execute(connection)
            .await?
            .rows_affected();
    Ok(revoked == 1)
}

/// Wrong codes of a person.
pub(super) struct Tries {
    pub since: DateTime<Utc>,
    pub wrong: i32,
}

/// Locks a person's count, and makes it when there is none.
pub(super) async fn lock_tries(connection: &mut PgConnection, user: UserId, now: DateTime<Utc>) -> Result<Tries> {
    // The update changes nothing and locks the row.
    Ok(sqlx::query_as!(
        Tries,
        "insert into voucher_tries as t (user_id, since, wrong) values ($1, $2, 0)
         on conflict (user_id) do update set wrong = t.wrong returning since, wrong",
        user.uuid(),
        now,
    )
    .fetch_one(connection)
    .await?)
}

pub(super) async fn update_tries(
    connection: &mut PgConnection,
    user: UserId,
    since: DateTime<Utc>,
    wrong: i32,
) -> Result<()> {
    sqlx::query!("update voucher_tries set since = $2, wrong = $3 where user_id = $1", user.uuid(), since, wrong)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn select_first_difference(pool: &PgPool) -> Result<Option<String>> {
    let uses = sqlx::query!(
        r#"select v.id, v.uses, count(r.voucher_id) as "redemptions!" from vouchers v left join voucher_redemptions r on r.voucher_id = v.id
           group by v.id having v.uses <> count(r.voucher_id) order by v.id limit 1"#
    )
    .fetch_optional(pool)
    .await?;
    if let Some(row) = uses {
        return Ok(Some(format!(
            "voucher {} counts {} uses, but was redeemed by {} organisations",
            row.id, row.uses, row.redemptions
        )));
    }
    let unposted = sqlx::query!(
        "select r.voucher_id, r.organisation_id from voucher_redemptions r
         join vouchers v on v.id = r.voucher_id join accounts a on a.organisation_id = r.organisation_id
         left join transfers t on t.source = 'voucher:' || r.voucher_id || ':' || r.organisation_id
              and t.code = 'voucher' and t.amount = v.amount and t.credit_account = a.id and t.at = r.redeemed_at
         where t.id is null order by r.voucher_id, r.organisation_id limit 1"
    )
    .fetch_optional(pool)
    .await?;
    if let Some(row) = unposted {
        return Ok(Some(format!(
            "voucher {} was redeemed by organisation {}, but its amount was not posted then",
            row.voucher_id, row.organisation_id
        )));
    }
    let unredeemed = sqlx::query!(
        "select t.source, t.amount from transfers t
         left join voucher_redemptions r on t.source = 'voucher:' || r.voucher_id || ':' || r.organisation_id
         where t.code = 'voucher' and r.voucher_id is null order by t.id limit 1"
    )
    .fetch_optional(pool)
    .await?;
    Ok(unredeemed.map(|row| format!("{} was posted as {}, but no such voucher was redeemed", row.amount, row.source)))
}
