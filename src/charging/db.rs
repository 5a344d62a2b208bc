//! The SQL that claims wallets and writes down which of them cannot be charged.

pub(super) mod passes;

use billing::Money;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::charging::parked::StuckShutdown;
use crate::error::Result;
use crate::ids::{AccountId, JobId, OrganisationId, VmId};
use crate::ledger::money;

/// A wallet that is due, locked.
#[derive(Debug, Clone)]
pub(super) struct DueWallet {
    pub organisation: OrganisationId,
    pub account: AccountId,
    pub balance: Money,
    pub credit_limit: Money,
    pub charged_through: DateTime<Utc>,
    pub runs_out_at: Option<DateTime<Utc>>,
    pub approved_through: Option<DateTime<Utc>>,
}

struct WalletRow {
    organisation: OrganisationId,
    account: AccountId,
    balance: rust_decimal::Decimal,
    credit_limit: rust_decimal::Decimal,
    charged_through: DateTime<Utc>,
    runs_out_at: Option<DateTime<Utc>>,
    approved_through: Option<DateTime<Utc>>,
}

fn due(rows: Vec<WalletRow>) -> Result<Vec<DueWallet>> {
    rows.into_iter()
        .map(|row| {
            Ok(DueWallet {
                organisation: row.organisation,
                account: row.account,
                balance: money(row.balance)?,
                credit_limit: money(row.credit_limit)?,
                charged_through: row.charged_through,
                runs_out_at: row.runs_out_at,
                approved_through: row.approved_through,
            })
        })
        .collect()
}

/// Claims wallets that must not wait for the full hour and that nobody else is charging. They stay locked for the
/// transaction.
pub(super) async fn claim_wakes(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueWallet>> {
    let rows = sqlx::query_as!(
        WalletRow,
        r#"select organisation_id as "organisation: OrganisationId", account_id as "account: AccountId", balance, credit_limit, charged_through, runs_out_at, approved_through
           from wallets where due_at <= $1 and parked_at is null and held_by is null
           order by due_at limit $2 for update skip locked"#,
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    due(rows)
}

/// The same while the hour is held: only ends of credit. They can lie after the next full hour and are not in `due_at` then,
/// so all wallets are read.
pub(super) async fn claim_run_outs(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueWallet>> {
    let rows = sqlx::query_as!(
        WalletRow,
        r#"select organisation_id as "organisation: OrganisationId", account_id as "account: AccountId", balance, credit_limit, charged_through, runs_out_at, approved_through
           from wallets where metered and runs_out_at <= $1 and parked_at is null and held_by is null and charging_error is null
           order by organisation_id limit $2 for update skip locked"#,
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    due(rows)
}

/// Claims the next wallets in the order of their keys that are not charged through `hour` and that nobody else is charging.
pub(super) async fn claim_next(
    connection: &mut PgConnection,
    after: Uuid,
    hour: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueWallet>> {
    let rows = sqlx::query_as!(
        WalletRow,
        r#"select organisation_id as "organisation: OrganisationId", account_id as "account: AccountId", balance, credit_limit, charged_through, runs_out_at, approved_through
           from wallets
           where organisation_id > $1 and metered and charged_through < $2 and parked_at is null and held_by is null and charging_error is null
           order by organisation_id limit $3 for update skip locked"#,
        after,
        hour,
        limit,
    )
    .fetch_all(connection)
    .await?;
    due(rows)
}

/// Reads what [`claim_next`] would claim, without locking it.
pub(super) async fn read_next(
    connection: &mut PgConnection,
    after: Uuid,
    hour: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DueWallet>> {
    let rows = sqlx::query_as!(
        WalletRow,
        r#"select organisation_id as "organisation: OrganisationId", account_id as "account: AccountId", balance, credit_limit, charged_through, runs_out_at, approved_through
           from wallets
           where organisation_id > $1 and metered and charged_through < $2 and parked_at is null and held_by is null and charging_error is null
           order by organisation_id limit $3"#,
        after,
        hour,
        limit,
    )
    .fetch_all(connection)
    .await?;
    due(rows)
}

/// Claims those of certain wallets that are still due.
pub(super) async fn claim_only(
    connection: &mut PgConnection,
    organisations: &[Uuid],
    hour: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<DueWallet>> {
    let rows = sqlx::query_as!(
        WalletRow,
        r#"select organisation_id as "organisation: OrganisationId", account_id as "account: AccountId", balance, credit_limit, charged_through, runs_out_at, approved_through
           from wallets
           where organisation_id = any($1) and parked_at is null and held_by is null and (due_at <= $3 or (metered and charged_through < $2 and charging_error is null))
           order by organisation_id for update skip locked"#,
        organisations,
        hour,
        now,
    )
    .fetch_all(connection)
    .await?;
    due(rows)
}

/// How many wallets that run up charges have a key in this range, counted up to `most`.
pub(super) async fn count_metered_between(
    connection: &mut PgConnection,
    (first, last): (Uuid, Uuid),
    most: usize,
) -> Result<usize> {
    let found = sqlx::query_scalar!(
        r#"select count(*) as "found!" from (select from wallets where organisation_id between $1 and $2 and metered limit $3) found"#,
        first,
        last,
        i64::try_from(most).unwrap_or(i64::MAX),
    )
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(found).unwrap_or(usize::MAX))
}

/// Whether wallets are left that are not charged through `hour` and could be.
pub(super) async fn is_any_left(pool: &PgPool, hour: DateTime<Utc>) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select 1 from wallets
               where metered and charged_through < $1 and parked_at is null and held_by is null and charging_error is null) as "left!""#,
        hour,
    )
    .fetch_one(pool)
    .await?)
}

/// Writes down that a wallet could not be charged: it is tried again at `again`, or parked when it was tried `tries_max`
/// times in a row. Says whether it is parked.
pub(super) async fn fail(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
    again: DateTime<Utc>,
    tries_max: i32,
    error: &str,
) -> Result<bool> {
    let parked = sqlx::query_scalar!(
        r#"update wallets set charging_tries = charging_tries + 1, charging_error = $5, due_at = $3,
                  parked_at = case when charging_tries + 1 >= $4 then $2::timestamptz end
           where organisation_id = $1 returning parked_at is not null as "parked!""#,
        organisation.uuid(),
        now,
        again,
        tries_max,
        error,
    )
    .fetch_optional(connection)
    .await?;
    Ok(parked.unwrap_or(false))
}

/// Lets a parked wallet be tried again at once. Says whether there is one.
pub(super) async fn unpark(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let changed = sqlx::query!(
        "update wallets set parked_at = null, charging_tries = 0, due_at = $2 where organisation_id = $1 and charging_error is not null",
        organisation.uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}

pub(super) async fn select_next_wake(pool: &PgPool) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "select min(due_at) from wallets where due_at is not null and parked_at is null and held_by is null"
    )
    .fetch_one(pool)
    .await?)
}

pub(super) async fn select_next_run_out(pool: &PgPool) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "select min(runs_out_at) from wallets where metered and parked_at is null and held_by is null and charging_error is null"
    )
    .fetch_one(pool)
    .await?)
}

pub(super) async fn is_any_metered(pool: &PgPool) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select 1 from wallets where metered and parked_at is null and held_by is null) as "any!""#
    )
    .fetch_one(pool)
    .await?)
}

/// Makes the partition of a month in a transaction of its own, if it is not there.
pub(super) async fn ensure_partition(pool: &PgPool, month: NaiveDate) -> Result<()> {
    sqlx::query!(r#"select ensure_charges_partition($1) as "made!""#, month).fetch_one(pool).await?;
    Ok(())
}

pub(super) async fn select_stuck_shutdowns(pool: &PgPool, limit: i64) -> Result<Vec<StuckShutdown>> {
    Ok(sqlx::query_as!(
        StuckShutdown,
        r#"select distinct on (s.created_at, v.id) v.id as "vm: VmId", v.name as vm_name, o.name as organisation_name, p.id as "job: JobId", s.created_at as since
           from jobs s
           join jobs p on p.vm_id = s.vm_id and p.status = 'parked'
           join vms v on v.id = s.vm_id
           join organisations o on o.id = v.organisation_id
           where s.kind = 'vm.shutdown' and s.status in ('pending', 'running') and v.stopped_for_credit_at is not null
           order by s.created_at, v.id, p.created_at limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await?)
}
