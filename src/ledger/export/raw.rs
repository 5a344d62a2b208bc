//! What charges are made of, as rows: enough for a program of another kind to rate everything again.

use std::io::Write;

use futures_util::TryStreamExt;
use sqlx::PgPool;

use super::{Selection, csv, flush, snapshot};
use crate::error::Result;
use crate::ledger::db::raw as db;

/// So many bytes are in memory before they are written.
const PAGE_BYTES: usize = 1 << 20;

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// The wallets: whose, and where they stand.
    Wallets,
    /// The meters, with the sums of their month when last an interval of theirs was settled.
    Meters,
    /// What was metered, from when to when; an open end is empty.
    Intervals,
    /// Every price of every version of every list.
    Prices,
    /// What was charged.
    Charges,
    /// Invoices with their figures.
    Invoices,
    /// The lines of invoices.
    InvoiceLines,
}

impl Raw {
    /// The header. Columns are only ever added, at the end.
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Wallets => {
                &["organisation", "number", "account", "balance", "charged_through", "credit_limit", "exhausted_at"]
            }
            Self::Meters => &["meter", "organisation", "vm", "kind", "month", "accrued", "cap", "accrued_through"],
            Self::Intervals => {
                &["interval", "meter", "organisation", "kind", "plan", "image", "quantity", "price_list", "from", "to"]
            }
            Self::Prices => &[
                "price",
                "price_list",
                "version",
                "effective_from",
                "kind",
                "plan",
                "image",
                "hourly_rate",
                "monthly_cap",
            ],
            Self::Charges => &["meter", "organisation", "from", "to", "quantity", "price", "rate", "amount"],
            Self::Invoices => &[
                "invoice",
                "number",
                "organisation",
                "month",
                "part",
                "issued_at",
                "currency",
                "places",
                "tax_rate",
                "exact",
                "rounding",
                "net",
                "tax",
                "gross",
            ],
            Self::InvoiceLines => &["invoice", "position", "vm", "kind", "unit_seconds", "amount"],
        }
    }
}

/// Writes rows as RFC 4180 has them and says how many. Of times, those that begin in the selected time; of intervals, those
/// that touch it.
///
/// # Errors
/// When PostgreSQL fails or the output cannot be written; what was written until then is no whole export.
pub async fn export_raw(pool: &PgPool, raw: Raw, selection: &Selection, out: &mut (dyn Write + Send)) -> Result<u64> {
    let mut snapshot = snapshot(pool).await?;
    let (mut page, mut count) = (String::new(), 0);
    csv::row(&mut page, raw.columns());
    let mut rows = db::select_raw(&mut snapshot, raw, selection);
    while let Some(row) = rows.try_next().await? {
        let fields: Vec<&str> = row.iter().map(|field| field.as_deref().unwrap_or_default()).collect();
        csv::row(&mut page, &fields);
        count += 1;
        if page.len() >= PAGE_BYTES {
            flush(&mut page, out)?;
        }
    }
    flush(&mut page, out)?;
    super::done(out)?;
    Ok(count)
}
