//! The ledger as other programs read it: a journal for hledger and ledger, one for beancount, and CSV. Each journal ends
//! with a balance assertion for every wallet, so that the program that reads it proves our balances. It is written page by
//! page out of one snapshot, so it is whole while charging goes on, and takes the same memory however much there is.

mod beancount;
mod csv;
mod journal;
mod raw;

use std::collections::HashMap;
use std::io::Write;

use anyhow::Context;
use billing::Money;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use raw::{Raw, export_raw};

use super::db::export as db;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, TransferId};

/// How many rows are in memory at a time.
const PAGE_ROWS: i64 = 5_000;

/// Which program is to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A journal that hledger and ledger read alike.
    Hledger,
    /// A journal for beancount.
    Beancount,
    /// RFC 4180, one row per transfer.
    Csv,
}

/// Which part of the ledger.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection {
    /// From here on, by the books; none: from the beginning.
    pub from: Option<DateTime<Utc>>,
    /// Until before here; none: all there is.
    pub to: Option<DateTime<Utc>>,
    /// Only what concerns this organisation's wallet.
    pub organisation: Option<OrganisationId>,
}

/// An account as exports name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName {
    /// Its kind, as the ledger stores it.
    pub kind: String,
    /// Whose clearing account it is.
    pub provider: Option<String>,
    /// The number and id of the organisation whose wallet it is.
    pub wallet: Option<(i64, OrganisationId)>,
}

/// A transfer on its way out.
#[derive(Debug, Clone)]
pub struct ExportedLeg {
    /// Its id; later ones sort later.
    pub id: TransferId,
    /// What the legs of one posting share.
    pub posting: Uuid,
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// What for.
    pub code: String,
    /// More than zero.
    pub amount: Money,
    /// Taken from here.
    pub debit: AccountName,
    /// Given to here.
    pub credit: AccountName,
    /// What caused it.
    pub source: String,
    /// A sentence about it.
    pub memo: String,
    /// The person behind it.
    pub created_by: Option<Uuid>,
}

/// A wallet on its way out.
#[derive(Debug, Clone, Copy)]
pub struct ExportedWallet {
    /// Whose.
    pub organisation: OrganisationId,
    /// The organisation's number.
    pub number: i64,
    /// What it held before the selected time.
    pub opening: Money,
    /// What we say it held at the end of the selected time.
    pub closing: Money,
}

/// Writes one of the formats.
trait Pen {
    /// What stands before everything.
    fn begin(&self, page: &mut String);
    /// A wallet whose account appears, and what it held before.
    fn wallet(&self, page: &mut String, wallet: &ExportedWallet, from: Option<NaiveDate>);
    /// A posting with all its legs, of which there is at least one.
    fn posting(&self, page: &mut String, legs: &[ExportedLeg]);
    /// What a wallet holds at the end of `last`, the latest day that appears.
    fn closing(&self, page: &mut String, wallet: &ExportedWallet, last: NaiveDate);
}

/// What was exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Postings, each with all its legs.
    pub postings: u64,
    /// Wallets.
    pub wallets: u64,
}

/// Writes what is selected of the ledger, amounts in `currency`. Writing blocks its thread: it is for a command, not for a
/// request.
///
/// # Errors
/// When PostgreSQL fails or the output cannot be written; what was written until then is no whole export.
pub async fn export(
    pool: &PgPool,
    format: Format,
    selection: &Selection,
    currency: &str,
    out: &mut (dyn Write + Send),
) -> Result<Exported> {
    let pen: &dyn Pen = match format {
        Format::Hledger => &journal::Journal { currency },
        Format::Beancount => &beancount::Beancount { currency },
        Format::Csv => &csv::Postings { currency },
    };
    let mut snapshot = snapshot(pool).await?;
    let mut exported = Exported::default();
    let mut page = String::new();
    pen.begin(&mut page);

    let from = selection.from.map(day);
    let mut number = 0;
    loop {
        let wallets = db::select_wallets(&mut snapshot, selection, number, PAGE_ROWS).await?;
        let Some(last) = wallets.last() else { break };
        number = last.number;
        wallets.iter().for_each(|wallet| pen.wallet(&mut page, wallet, from));
        flush(&mut page, out)?;
    }

    let mut last_day = from.unwrap_or_default();
    let mut after = None;
    loop {
        let rows = db::select_legs(&mut snapshot, selection, after, PAGE_ROWS).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for legs in whole_postings(&mut snapshot, selection, rows).await? {
            last_day = legs.iter().map(|leg| day(leg.at)).fold(last_day, NaiveDate::max);
            pen.posting(&mut page, &legs);
            exported.postings += 1;
        }
        flush(&mut page, out)?;
    }

    let mut number = 0;
    loop {
        let wallets = db::select_wallets(&mut snapshot, selection, number, PAGE_ROWS).await?;
        let Some(last) = wallets.last() else { break };
        number = last.number;
        exported.wallets += wallets.len() as u64;
        wallets.iter().for_each(|wallet| pen.closing(&mut page, wallet, last_day));
        flush(&mut page, out)?;
    }
    done(out)?;
    Ok(exported)
}

/// The id of the organisation with this number.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn organisation_numbered(pool: &PgPool, number: i64) -> Result<OrganisationId> {
    let mut connection = pool.acquire().await?;
    db::select_organisation(&mut connection, number).await?.ok_or(Error::NotFound("organisation"))
}

/// A transaction that sees one instant of the database and changes nothing.
async fn snapshot(pool: &PgPool) -> Result<sqlx::PgTransaction<'static>> {
    Ok(pool.begin_with("begin isolation level repeatable read read only").await?)
}

fn flush(page: &mut String, out: &mut (dyn Write + Send)) -> Result<()> {
    out.write_all(page.as_bytes()).context("while writing the export")?;
    page.clear();
    Ok(())
}

fn done(out: &mut (dyn Write + Send)) -> Result<()> {
    Ok(out.flush().context("while writing the export")?)
}

/// Each selected posting of a page with all its legs, once: where the first of its selected legs stands.
async fn whole_postings(
    connection: &mut PgConnection,
    selection: &Selection,
    rows: Vec<ExportedLeg>,
) -> Result<Vec<Vec<ExportedLeg>>> {
    // A charge is always alone, and nearly everything is one.
    let others: Vec<Uuid> = rows.iter().filter(|leg| leg.code != "charge").map(|leg| leg.posting).collect();
    let mut legs_of: HashMap<Uuid, Vec<ExportedLeg>> = HashMap::new();
    if !others.is_empty() {
        for leg in db::select_postings(connection, &others).await? {
            legs_of.entry(leg.posting).or_default().push(leg);
        }
    }
    let selected = |leg: &ExportedLeg| {
        let concerns = |account: &AccountName| account.wallet.map(|(_, id)| id) == selection.organisation;
        selection.organisation.is_none() || concerns(&leg.debit) || concerns(&leg.credit)
    };
    let mut postings = Vec::with_capacity(rows.len());
    for row in rows {
        if row.code == "charge" {
            postings.push(vec![row]);
        } else if legs_of
            .get(&row.posting)
            .is_some_and(|legs| legs.iter().find(|leg| selected(leg)).is_some_and(|first| first.id == row.id))
        {
            postings.extend(legs_of.remove(&row.posting));
        }
    }
    Ok(postings)
}

/// The UTC day of an instant.
fn day(at: DateTime<Utc>) -> NaiveDate {
    at.date_naive()
}

/// An instant as programs read it.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
