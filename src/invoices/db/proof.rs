//! The SQL of the proof: sets against sets. As in the proof of the ledger no query says `limit 1`, so that PostgreSQL hashes.

use billing::{Money, Month};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{Stream, TryStreamExt};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::{places, tax_rate};
use crate::error::{Error, Result};
use crate::ledger::money;

/// The time in which there can be something to compare: from when the first organisation was made, or from the first month of
/// an invoice, until the furthest that a wallet is invoiced. None while nothing was ever issued.
pub(in crate::invoices) async fn select_span(
    connection: &mut PgConnection,
) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>> {
    let row = sqlx::query!(
        r#"select least((select min(created_at) from organisations), (select min(period_from) from invoices)) as first,
                  greatest((select max(invoiced_through) from wallets), (select max(period_to) from invoices)) as last"#
    )
    .fetch_one(connection)
    .await?;
    Ok(row.first.zip(row.last))
}

/// A machine's time of a month that is charged otherwise than it is invoiced. Where a wallet is not invoiced through the end of
/// the month yet, there may be more charges than lines.
pub(in crate::invoices) async fn select_wrong_line(
    connection: &mut PgConnection,
    month: Month,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<String>> {
    let found = sqlx::query!(
        r#"with metered as (
               select organisation_id, meter_id, price_id, sum(amount) as amount, sum(quantity * extract(epoch from period_end - period_start)) as unit_seconds
               from charges where period_start >= $2 and period_start < $3 group by 1, 2, 3),
           charged as (
               select c.organisation_id, m.vm_id, p.kind, sum(c.amount) as amount, sum(c.unit_seconds) as unit_seconds
               from metered c join meters m on m.id = c.meter_id join prices p on p.id = c.price_id group by 1, 2, 3),
           invoiced as (
               select i.organisation_id, l.vm_id, l.kind, sum(l.amount) as amount, sum(l.unit_seconds) as unit_seconds, string_agg(distinct i.number, ', ') as numbers
               from invoices i join invoice_lines l on l.invoice_id = i.id where i.month = $1 group by 1, 2, 3),
           both_sides as (
               select coalesce(c.organisation_id, i.organisation_id) as organisation_id, coalesce(c.vm_id, i.vm_id) as vm_id, coalesce(c.kind, i.kind) as kind,
                      coalesce(c.amount, 0) as charged, coalesce(i.amount, 0) as invoiced,
                      coalesce(c.unit_seconds, 0) as charged_time, coalesce(i.unit_seconds, 0) as invoiced_time, i.numbers
               from charged c full join invoiced i on i.organisation_id = c.organisation_id and i.vm_id = c.vm_id and i.kind = c.kind)
           select b.organisation_id as "organisation!", b.vm_id as "vm!", b.kind as "kind!", b.charged as "charged!", b.invoiced as "invoiced!",
                  b.charged_time as "charged_time!", b.invoiced_time as "invoiced_time!", b.numbers
           from both_sides b
           left join wallets w on w.organisation_id = b.organisation_id
           left join (select distinct organisation_id from invoices where month = $1) d on d.organisation_id = b.organisation_id
           where b.invoiced > b.charged or b.invoiced_time > b.charged_time
              or (w.invoiced_through >= $3 and (b.invoiced <> b.charged or (d.organisation_id is not null and b.invoiced_time <> b.charged_time)))"#,
        month.first_day(),
        from,
        to,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|row| {
        let on = row.numbers.map_or_else(|| "no invoice has".to_owned(), |numbers| format!("invoice {numbers} has"));
        format!(
            "machine {} of organisation {} was charged {} for {} seconds as {} in {month}, {on} {} for {}",
            row.vm,
            row.organisation,
            row.charged,
            row.charged_time.normalize(),
            row.kind,
            row.invoiced,
            row.invoiced_time.normalize()
        )
    }))
}

/// An invoice with one of its lines, or without any.
pub(in crate::invoices) struct ProvedLine {
    pub number: String,
    pub places: billing::CurrencyPlaces,
    pub tax_rate: billing::TaxRate,
    /// Exact, rounding, net, tax and gross.
    pub figures: [Money; 5],
    /// Place and amount.
    pub line: Option<(i32, Money)>,
}

/// All invoices from a month on with their lines, one by one.
pub(in crate::invoices) fn select_with_lines(
    connection: &mut PgConnection,
    from: NaiveDate,
) -> impl Stream<Item = Result<ProvedLine>> {
    sqlx::query!(
        r#"select i.number, i.currency_places, i.tax_rate, i.exact, i.rounding, i.net, i.tax, i.gross, l.position as "position?", l.amount as "amount?"
           from invoices i left join invoice_lines l on l.invoice_id = i.id where i.month >= $1 order by i.year, i.sequence, l.position"#,
        from,
    )
    .fetch(connection)
    .map_err(Error::from)
    .and_then(|row| async move {
        Ok(ProvedLine {
            number: row.number,
            places: places(row.currency_places)?,
            tax_rate: tax_rate(row.tax_rate)?,
            figures: [money(row.exact)?, money(row.rounding)?, money(row.net)?, money(row.tax)?, money(row.gross)?],
            line: row.position.zip(row.amount).map(|(position, amount)| Ok::<_, Error>((position, money(amount)?))).transpose()?,
        })
    })
}

/// Lines without an invoice, numbers that are missing or not what they should be, parts of a month that are missing.
pub(in crate::invoices) async fn select_wrong_number(connection: &mut PgConnection) -> Result<Option<String>> {
    let orphan = sqlx::query!(
        "select l.invoice_id, l.position from invoice_lines l left join invoices i on i.id = l.invoice_id where i.id is null"
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = orphan {
        return Ok(Some(format!("line {} belongs to invoice {}, which does not exist", row.position, row.invoice_id)));
    }
    let gap = sqlx::query!(
        r#"select coalesce(c.year, i.year) as "year!", coalesce(c.last, 0) as "last!", coalesce(i.invoices, 0) as "invoices!", coalesce(i.highest, 0) as "highest!",
                  (select min(s.sequence) from generate_series(1, greatest(c.last, i.highest)) as s (sequence)
                   where not exists (select 1 from invoices m where m.year = coalesce(c.year, i.year) and m.sequence = s.sequence)) as missing
           from invoice_counters c
           full join (select year, count(*) as invoices, max(sequence) as highest from invoices group by year) i on i.year = c.year
           where c.last is distinct from i.invoices or c.last is distinct from i.highest"#
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = gap {
        return Ok(Some(match row.missing {
            Some(missing) => format!("number {missing} of {} is missing among the invoices", row.year),
            None => {
                format!("{} invoices of {} were numbered, but the last number is {}", row.invoices, row.year, row.last)
            }
        }));
    }
    let number = sqlx::query!(
        "select number, year, sequence from invoices where number !~ (lpad(year::text, 4, '0') || '-' || lpad(sequence::text, greatest(6, length(sequence::text)), '0') || '$')"
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = number {
        return Ok(Some(format!("invoice {} is number {} of {}", row.number, row.sequence, row.year)));
    }
    let parts = sqlx::query!(
        r#"select organisation_id, month, count(*) as "count!", max(part) as "highest!" from invoices group by 1, 2 having count(*) <> max(part)"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(parts.map(|row| {
        format!(
            "organisation {} has {} invoices of {}, the last of which is part {}",
            row.organisation_id, row.count, row.month, row.highest
        )
    }))
}

/// The tax of each invoice was taken from revenue when it was issued, and no other.
pub(in crate::invoices) async fn select_wrong_tax(connection: &mut PgConnection) -> Result<Option<String>> {
    let wrong = sqlx::query!(
        r#"select i.number as "number?", i.tax as "tax?", t.source as "source?", t.amount as "posted?"
           from (select id, number, tax, issued_at from invoices where tax > 0) i
           full join (select t.source, t.amount, t.at, d.kind = 'revenue' and c.kind = 'tax' as is_tax
                      from transfers t left join accounts d on d.id = t.debit_account left join accounts c on c.id = t.credit_account
                      where t.code = 'invoice_tax' and t.code <> 'charge') t on t.source = 'invoice:' || i.id
           where i.id is null or t.source is null or t.amount <> i.tax or t.at <> i.issued_at or t.is_tax is not true"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(wrong.map(|row| match (row.number, row.source) {
        (Some(number), Some(_)) => {
            let [tax, posted] = [row.tax, row.posted].map(|amount| amount.unwrap_or(Decimal::ZERO));
            format!("invoice {number} has {tax} of tax, but {posted} was posted for it, or at another time or place")
        }
        (Some(number), None) => format!("the tax of invoice {number} was not posted"),
        (None, source) => format!("tax was posted for {}, which is no invoice with tax", source.unwrap_or_default()),
    }))
}
