//! The SQL of passes.

use billing::Money;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::ids::{AccountId, OrganisationId};
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
}

/// Claims wallets that nobody else is charging. They stay locked for the transaction.
pub(super) async fn claim_due(connection: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> Result<Vec<DueWallet>> {
    let rows = sqlx::query!(
        r#"select organisation_id as "organisation: OrganisationId", account_id as "account: AccountId", balance, credit_limit, charged_through, runs_out_at
           from wallets where due_at <= $1 order by due_at limit $2 for update skip locked"#,
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(DueWallet {
                organisation: row.organisation,
                account: row.account,
                balance: money(row.balance)?,
                credit_limit: money(row.credit_limit)?,
                charged_through: row.charged_through,
                runs_out_at: row.runs_out_at,
            })
        })
        .collect()
}

pub(super) async fn postpone(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    until: DateTime<Utc>,
    error: &str,
) -> Result<()> {
    sqlx::query!(
        "update wallets set due_at = $2, charging_error = $3 where organisation_id = $1",
        organisation.uuid(),
        until,
        error
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn select_next_due(pool: &PgPool) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!("select min(due_at) from wallets").fetch_one(pool).await?)
}
