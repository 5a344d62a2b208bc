//! The SQL that posts the charges of a batch of wallets.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::REVENUE;
use crate::error::Result;

/// Charges of one batch as columns, so that they are written by one statement.
#[derive(Debug, Default)]
pub struct BulkTransfers {
    /// Ids of transfers, which are also their postings: each has one leg.
    pub ids: Vec<Uuid>,
    /// The wallets' accounts.
    pub accounts: Vec<Uuid>,
    /// What they pay.
    pub amounts: Vec<Decimal>,
    /// What caused each.
    pub sources: Vec<String>,
    /// When, by the books.
    pub at: Vec<DateTime<Utc>>,
    /// A sentence for the owner.
    pub memos: Vec<String>,
}

/// The wallets of one batch as columns.
#[derive(Debug, Default)]
pub struct BulkWallets {
    /// Whose.
    pub organisations: Vec<Uuid>,
    /// The balances after the charge.
    pub balances: Vec<Decimal>,
    /// The new cursors.
    pub charged_through: Vec<DateTime<Utc>>,
    /// Burn per hour from here on.
    pub burns: Vec<Decimal>,
    /// When they run out.
    pub runs_out_at: Vec<Option<DateTime<Utc>>>,
    /// Whether anything runs up charges from here on.
    pub metered: Vec<bool>,
    /// When to look before the next full hour.
    pub due_at: Vec<Option<DateTime<Utc>>>,
}

/// Posts the charges of a batch of locked wallets and moves balances, cursors and outlooks: two statements, whatever the
/// size of the batch. Time that is charged after its month was invoiced is to be invoiced once more.
///
/// # Errors
/// When PostgreSQL fails, or a charge was posted before (then the whole batch is undone with its transaction).
pub async fn bulk_post(connection: &mut PgConnection, transfers: &BulkTransfers, wallets: &BulkWallets) -> Result<()> {
    if !transfers.ids.is_empty() {
        sqlx::query!(
            "insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at, memo)
             select t.id, t.id, t.account, $7, t.amount, 'charge', t.source, t.at, t.memo
             from unnest($1::uuid[], $2::uuid[], $3::numeric[], $4::text[], $5::timestamptz[], $6::text[]) as t (id, account, amount, source, at, memo)",
            &transfers.ids,
            &transfers.accounts,
            &transfers.amounts,
            &transfers.sources,
            &transfers.at,
            &transfers.memos,
            REVENUE,
        )
        .execute(&mut *connection)
        .await?;
    }
    let (Some(first), Some(last)) = (wallets.organisations.iter().min(), wallets.organisations.iter().max()) else {
        return Ok(());
    };
    // That they lie between the first and the last says nothing new, but PostgreSQL would read all wallets for a thousand.
    sqlx::query!(
        "update wallets w set balance = b.balance, charged_through = b.charged_through, burn = b.burn, runs_out_at = b.runs_out_at, metered = b.metered, due_at = b.due_at,
                charging_error = null, charging_tries = 0,
                invoiced_through = case when w.charged_through < w.invoiced_through then w.charged_through else w.invoiced_through end
         from unnest($1::uuid[], $2::numeric[], $3::timestamptz[], $4::numeric[], $5::timestamptz[], $6::boolean[], $7::timestamptz[])
              as b (organisation_id, balance, charged_through, burn, runs_out_at, metered, due_at)
         where w.organisation_id = b.organisation_id and w.organisation_id between $8 and $9",
        &wallets.organisations,
        &wallets.balances,
        &wallets.charged_through,
        &wallets.burns,
        &wallets.runs_out_at as &[Option<DateTime<Utc>>],
        &wallets.metered,
        &wallets.due_at as &[Option<DateTime<Utc>>],
        first,
        last,
    )
    .execute(connection)
    .await?;
    Ok(())
}
