//! That all who charge write the same.

use std::time::Instant;

use anyhow::bail;
use sqlx::{AssertSqlSafe, PgPool};
use uni_manager::ledger;

/// Proves that the ledger adds up, as `uni-manager ledger verify` does, and says how long that took.
///
/// # Errors
/// When it does not.
pub async fn prove_adds_up(pool: &PgPool, what: &str) -> anyhow::Result<()> {
    // A fresh copy knows nothing of its own tables yet, as a server that has run for a minute would.
    sqlx::raw_sql("analyze").execute(pool).await?;
    let start = Instant::now();
    match ledger::first_difference(pool, chrono_tz::UTC).await? {
        None => {
            println!("  what {what} wrote adds up: proved in {:.1} s", start.elapsed().as_secs_f64());
            Ok(())
        }
        Some(difference) => bail!("what {what} wrote does not add up: {difference}"),
    }
}

/// Everything that was written and must be equal, of all customers or the first ones. When a wallet runs out is left out:
/// the engine foresees caps, the others divide.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn checksum(pool: &PgPool, customers: Option<usize>) -> anyhow::Result<Vec<String>> {
    let limit = customers.map_or_else(|| "all".to_owned(), |customers| customers.to_string());
    let whose = format!(
        "with whose as materialized (select organisation_id, account_id from wallets order by organisation_id limit {limit})"
    );
    let mut sums = Vec::new();
    for query in [
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', meter_id, period_start, period_end, organisation_id, quantity, price_id, rate, amount), '/' order by meter_id, period_start)) from charges join whose using (organisation_id)",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', id, month, accrued, cap, accrued_through), '/' order by id)) from meters join whose using (organisation_id)",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', debit_account, credit_account, amount, code, source, at, memo), '/' order by source)) from transfers join whose on account_id = debit_account",
        "select count(*) || ' ' || md5(string_agg(concat_ws(' ', organisation_id, balance, charged_through, burn, due_at, metered), '/' order by organisation_id)) from wallets join whose using (organisation_id)",
    ] {
        sums.push(sqlx::query_scalar(AssertSqlSafe(format!("{whose} {query}"))).fetch_one(pool).await?);
    }
    Ok(sums)
}
