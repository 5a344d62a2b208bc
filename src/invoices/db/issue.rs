//! The SQL that issues invoices: a few statements for a batch, whatever its size.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{line_kind, percent, uuids};
use crate::error::Result;
use crate::ids::{OrganisationId, VmId};
use crate::invoices::issue::Asked;
use crate::invoices::{Invoice, Line, Party};
use crate::ledger::money;

/// A wallet whose charges are to be invoiced, locked.
#[derive(Debug, Clone, Copy)]
pub(in crate::invoices) struct Due {
    pub organisation: OrganisationId,
    /// Everything charged for time before is on invoices.
    pub invoiced_through: DateTime<Utc>,
    /// The last of the ends of months through which it is charged.
    pub through: DateTime<Utc>,
}

/// Claims wallets that are charged through the end of a month that is not invoiced and that nobody else works on: those that
/// are furthest behind first, and of them `only` these, without those that are `skipped`. They stay locked for the transaction.
pub(in crate::invoices) async fn claim(
    connection: &mut PgConnection,
    ends: &[DateTime<Utc>],
    only: Option<&[OrganisationId]>,
    skipped: &[OrganisationId],
    limit: i64,
) -> Result<Vec<Due>> {
    Ok(sqlx::query_as!(
        Due,
        r#"select w.organisation_id as "organisation: OrganisationId", w.invoiced_through, e.through as "through!"
           from wallets w
           cross join lateral (select max(at) as through from unnest($1::timestamptz[]) as ends (at) where not w.metered or at <= w.charged_through) e
           where w.invoiced_through < $2 and w.invoiced_through < e.through
             and ($3::uuid[] is null or w.organisation_id = any($3)) and w.organisation_id <> all($4)
           order by w.invoiced_through, w.organisation_id limit $5 for update of w skip locked"#,
        ends,
        ends.last().copied().unwrap_or(DateTime::UNIX_EPOCH),
        only.map(uuids) as Option<Vec<Uuid>>,
        &uuids(skipped),
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Whether wallets are due that are not `skipped`, whoever works on them.
pub(in crate::invoices) async fn is_any_due(
    pool: &PgPool,
    ends: &[DateTime<Utc>],
    skipped: &[OrganisationId],
) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select 1 from wallets w
               cross join lateral (select max(at) as through from unnest($1::timestamptz[]) as ends (at) where not w.metered or at <= w.charged_through) e
               where w.invoiced_through < $2 and w.invoiced_through < e.through and w.organisation_id <> all($3)) as "due!""#,
        ends,
        ends.last().copied().unwrap_or(DateTime::UNIX_EPOCH),
        &uuids(skipped),
    )
    .fetch_one(pool)
    .await?)
}

/// When the first charged time of each begins that is not invoiced yet; of those that have none nothing is answered.
pub(in crate::invoices) async fn select_first_charges(
    connection: &mut PgConnection,
    due: &[Due],
) -> Result<Vec<(OrganisationId, DateTime<Utc>)>> {
    let organisations: Vec<Uuid> = due.iter().map(|due| due.organisation.uuid()).collect();
    let from: Vec<DateTime<Utc>> = due.iter().map(|due| due.invoiced_through).collect();
    let to: Vec<DateTime<Utc>> = due.iter().map(|due| due.through).collect();
    let rows = sqlx::query!(
        r#"select a.organisation_id as "organisation!: OrganisationId", c.first as "first!"
           from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) as a (organisation_id, from_at, to_at)
           cross join lateral (select min(period_start) as first from charges
                where organisation_id = a.organisation_id and period_start >= a.from_at and period_start < a.to_at) c
           where c.first is not null"#,
        &organisations,
        &from,
        &to,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.organisation, row.first)).collect())
}

/// Months as columns.
struct Columns {
    organisations: Vec<Uuid>,
    months: Vec<NaiveDate>,
    from: Vec<DateTime<Utc>>,
    to: Vec<DateTime<Utc>>,
}

impl Columns {
    fn of(asked: &[Asked]) -> Self {
        Self {
            organisations: asked.iter().map(|asked| asked.organisation.uuid()).collect(),
            months: asked.iter().map(|asked| asked.month.first_day()).collect(),
            from: asked.iter().map(|asked| asked.from).collect(),
            to: asked.iter().map(|asked| asked.to).collect(),
        }
    }
}

/// What a machine was charged for one kind of thing beyond what is on invoices.
#[derive(Debug)]
pub(in crate::invoices) struct Difference {
    pub organisation: OrganisationId,
    pub line: Line,
}

/// What was charged for each of these months beyond what is on their invoices, in the order of an invoice.
pub(in crate::invoices) async fn select_differences(
    connection: &mut PgConnection,
    asked: &[Asked],
) -> Result<Vec<Difference>> {
    let Columns { organisations, months, from, to } = Columns::of(asked);
    let rows = sqlx::query!(
        r#"with asked as (select * from unnest($1::uuid[], $2::date[], $3::timestamptz[], $4::timestamptz[]) as a (organisation_id, month, from_at, to_at)),
           metered as (
               select c.organisation_id, c.meter_id, c.price_id, sum(c.amount) as amount, sum(c.quantity * extract(epoch from c.period_end - c.period_start)) as unit_seconds
               from asked a join charges c on c.organisation_id = a.organisation_id and c.period_start >= a.from_at and c.period_start < a.to_at
               where c.period_start >= $5 and c.period_start < $6 group by 1, 2, 3),
           charged as (
               select c.organisation_id, m.vm_id, p.kind, sum(c.amount) as amount, sum(c.unit_seconds) as unit_seconds
               from metered c join meters m on m.id = c.meter_id join prices p on p.id = c.price_id group by 1, 2, 3),
           invoiced as (
               select i.organisation_id, l.vm_id, l.kind, sum(l.amount) as amount, sum(l.unit_seconds) as unit_seconds
               from asked a join invoices i on i.organisation_id = a.organisation_id and i.month = a.month join invoice_lines l on l.invoice_id = i.id group by 1, 2, 3)
           select c.organisation_id as "organisation!: OrganisationId", c.vm_id as "vm!: VmId", v.name as vm_name, c.kind as "kind!",
                  c.amount - coalesce(i.amount, 0) as "amount!", c.unit_seconds - coalesce(i.unit_seconds, 0) as "unit_seconds!"
           from charged c join vms v on v.id = c.vm_id
           left join invoiced i on i.organisation_id = c.organisation_id and i.vm_id = c.vm_id and i.kind = c.kind
           where (c.amount, c.unit_seconds) is distinct from (i.amount, i.unit_seconds)
           order by c.organisation_id, v.name, c.vm_id,
                    array_position(array['vm_running', 'vm_stopped', 'disk', 'address', 'snapshot', 'backup', 'image_licence', 'traffic'], c.kind)"#,
        &organisations,
        &months,
        &from,
        &to,
        from.iter().min().copied().unwrap_or_default(),
        to.iter().max().copied().unwrap_or_default(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let line = Line {
                position: 0,
                vm: row.vm,
                vm_name: row.vm_name,
                kind: line_kind(&row.kind)?,
                unit_seconds: row.unit_seconds,
                amount: money(row.amount)?,
            };
            Ok(Difference { organisation: row.organisation, line })
        })
        .collect()
}

/// Whom to make an invoice out to, and how many there are of its month.
#[derive(Debug)]
pub(in crate::invoices) struct Recipient {
    pub organisation: OrganisationId,
    pub name: String,
    pub number: i64,
    pub party: Party,
    pub parts: i32,
}

pub(in crate::invoices) async fn select_recipients(
    connection: &mut PgConnection,
    asked: &[Asked],
) -> Result<Vec<Recipient>> {
    let Columns { organisations, months, .. } = Columns::of(asked);
    let rows = sqlx::query!(
        r#"select o.id as "organisation: OrganisationId", o.name as organisation_name, o.number, coalesce(nullif(b.name, ''), o.name) as "name!",
                  coalesce(b.address, '') as "address!", coalesce(b.tax_id, '') as "tax_id!",
                  coalesce((select max(i.part) from invoices i where i.organisation_id = o.id and i.month = a.month), 0) as "parts!"
           from unnest($1::uuid[], $2::date[]) as a (organisation_id, month)
           join organisations o on o.id = a.organisation_id left join billing_details b on b.organisation_id = o.id"#,
        &organisations,
        &months,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Recipient {
            organisation: row.organisation,
            name: row.organisation_name,
            number: row.number,
            party: Party { name: row.name, address: row.address, tax_id: row.tax_id },
            parts: row.parts,
        })
        .collect())
}

/// Takes so many numbers of a year and answers the last of them. Nobody else takes one before this transaction has ended.
pub(in crate::invoices) async fn take_numbers(connection: &mut PgConnection, year: i32, count: i64) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "insert into invoice_counters (year, last) values ($1, $2) on conflict (year) do update set last = invoice_counters.last + excluded.last returning last",
        year,
        count,
    )
    .fetch_one(connection)
    .await?)
}

pub(in crate::invoices) async fn insert(
    connection: &mut PgConnection,
    invoice: &Invoice,
    year: i32,
    sequence: i64,
) -> Result<()> {
    sqlx::query!(
        "insert into invoices (id, organisation_id, month, part, year, sequence, number, issued_at, period_from, period_to, currency, currency_places, tax_rate,
                issuer_name, issuer_address, issuer_tax_id, organisation_number, recipient_name, recipient_address, recipient_tax_id, exact, rounding, net, tax, gross)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)",
        invoice.id.uuid(),
        invoice.organisation.uuid(),
        invoice.month.first_day(),
        invoice.part,
        year,
        sequence,
        invoice.number,
        invoice.issued_at,
        invoice.period_from,
        invoice.period_to,
        invoice.currency,
        i32::try_from(invoice.places.get()).unwrap_or(i32::MAX),
        percent(invoice.tax_rate),
        invoice.issuer.name,
        invoice.issuer.address,
        invoice.issuer.tax_id,
        invoice.organisation_number,
        invoice.recipient.name,
        invoice.recipient.address,
        invoice.recipient.tax_id,
        invoice.exact.to_decimal(),
        invoice.rounding.to_decimal(),
        invoice.net.to_decimal(),
        invoice.tax.to_decimal(),
        invoice.gross.to_decimal(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lines of a batch as columns.
#[derive(Default)]
pub(in crate::invoices) struct BulkLines {
    invoices: Vec<Uuid>,
    positions: Vec<i32>,
    vms: Vec<Uuid>,
    names: Vec<String>,
    kinds: Vec<String>,
    unit_seconds: Vec<Decimal>,
    amounts: Vec<Decimal>,
}

impl BulkLines {
    pub fn add(&mut self, invoice: &Invoice, line: &Line) {
        self.invoices.push(invoice.id.uuid());
        self.positions.push(line.position);
        self.vms.push(line.vm.uuid());
        self.names.push(line.vm_name.clone());
        self.kinds.push(line.kind.name().to_owned());
        self.unit_seconds.push(line.unit_seconds);
        self.amounts.push(line.amount.to_decimal());
    }
}

pub(in crate::invoices) async fn insert_lines(connection: &mut PgConnection, lines: &BulkLines) -> Result<()> {
    sqlx::query!(
        "insert into invoice_lines (invoice_id, position, vm_id, vm_name, kind, unit_seconds, amount)
         select * from unnest($1::uuid[], $2::integer[], $3::uuid[], $4::text[], $5::text[], $6::numeric[], $7::numeric[])",
        &lines.invoices,
        &lines.positions,
        &lines.vms,
        &lines.names,
        &lines.kinds,
        &lines.unit_seconds,
        &lines.amounts,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down through when each wallet's charges are on invoices.
pub(in crate::invoices) async fn move_invoiced_through(
    connection: &mut PgConnection,
    moved: &[(OrganisationId, DateTime<Utc>)],
) -> Result<()> {
    let organisations: Vec<Uuid> = moved.iter().map(|(organisation, _)| organisation.uuid()).collect();
    let through: Vec<DateTime<Utc>> = moved.iter().map(|(_, through)| *through).collect();
    sqlx::query!(
        "update wallets w set invoiced_through = b.through from unnest($1::uuid[], $2::timestamptz[]) as b (organisation_id, through)
         where w.organisation_id = b.organisation_id",
        &organisations,
        &through,
    )
    .execute(connection)
    .await?;
    Ok(())
}
