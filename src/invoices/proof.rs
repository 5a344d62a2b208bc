//! The proof of the invoices: the lines of a month together are its charges, the figures of each invoice are those of its lines,
//! the numbers have no gap, and the tax was posted. It sees one instant of the database and stops at the first difference.

use billing::{CurrencyPlaces, InvoiceLine, Money, Month, Prices, TaxRate};
use chrono::NaiveDate;
use chrono_tz::Tz;
use futures_util::TryStreamExt;
use sqlx::{PgConnection, PgPool};

use super::db::proof::{self as db, ProvedLine};
use crate::error::Result;

/// The first thing about invoices that does not add up, if any; lines and figures only of months from `from` on. Billing months
/// are those of `zone`.
///
/// # Errors
/// When PostgreSQL fails, or what is stored cannot be read.
pub async fn first_difference(pool: &PgPool, zone: Tz, from: Option<Month>) -> Result<Option<String>> {
    let mut snapshot = pool.begin_with("begin isolation level repeatable read read only").await?;
    if let Some(difference) = db::select_wrong_number(&mut snapshot).await? {
        return Ok(Some(difference));
    }
    if let Some((first, last)) = db::select_span(&mut snapshot).await? {
        let first = Month::of(first, zone);
        let mut month = from.map_or(first, |from| from.max(first));
        while month.start(zone) < last {
            let difference = db::select_wrong_line(&mut snapshot, month, month.start(zone), month.end(zone)).await?;
            if difference.is_some() {
                return Ok(difference);
            }
            month = month.next();
        }
    }
    if let Some(difference) = wrong_figures(&mut snapshot, from).await? {
        return Ok(Some(difference));
    }
    db::select_wrong_tax(&mut snapshot).await
}

/// An invoice while its lines come.
struct Adding {
    number: String,
    places: CurrencyPlaces,
    tax_rate: TaxRate,
    figures: [Money; 5],
    lines: Vec<InvoiceLine>,
    /// A place at which a line is missing.
    missing: Option<i32>,
}

impl Adding {
    fn of(first: &ProvedLine) -> Self {
        let ProvedLine { number, places, tax_rate, figures, .. } = first;
        let (number, lines) = (number.clone(), Vec::new());
        Self { number, places: *places, tax_rate: *tax_rate, figures: *figures, lines, missing: None }
    }

    fn add(&mut self, (position, amount): (i32, Money)) {
        let expected = i32::try_from(self.lines.len() + 1).unwrap_or(i32::MAX);
        if position != expected {
            self.missing.get_or_insert(expected);
        }
        self.lines.push(InvoiceLine { amount, tax: self.tax_rate });
    }

    fn difference(&self) -> Option<String> {
        let number = &self.number;
        if let Some(position) = self.missing.or(self.lines.is_empty().then_some(1)) {
            return Some(format!("line {position} of invoice {number} is missing"));
        }
        match billing::invoice(&self.lines, Prices::Inclusive, self.places) {
            Err(error) => Some(format!("the lines of invoice {number} cannot be added up: {error}")),
            Ok(right) => {
                let right = [right.exact, right.rounding, right.net, right.tax, right.total];
                let names = ["exact amount", "rounding", "net", "tax", "total"];
                let wrong = names.iter().zip(self.figures.iter().zip(right)).find(|(_, (is, right))| **is != *right);
                wrong.map(|(name, (is, right))| {
                    format!("the {name} of invoice {number} is {is}, its lines give {right}")
                })
            }
        }
    }
}

async fn wrong_figures(connection: &mut PgConnection, from: Option<Month>) -> Result<Option<String>> {
    let mut adding: Option<Adding> = None;
    let first = from.map_or_else(NaiveDate::default, Month::first_day);
    let mut rows = std::pin::pin!(db::select_with_lines(connection, first));
    while let Some(row) = rows.try_next().await? {
        if adding.as_ref().is_none_or(|adding| adding.number != row.number) {
            let done = adding.replace(Adding::of(&row));
            if let Some(difference) = done.and_then(|done| done.difference()) {
                return Ok(Some(difference));
            }
        }
        if let (Some(adding), Some(line)) = (adding.as_mut(), row.line) {
            adding.add(line);
        }
    }
    Ok(adding.and_then(|last| last.difference()))
}
