//! The SQL of invoices: reading them, and what is set about them.

pub(super) mod issue;
pub(super) mod proof;

use billing::{CurrencyPlaces, Month, TaxRate};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{BillingDetails, Filter, Invoice, InvoiceSettings, Line, LineKind, Party, Sum};
use crate::error::{Error, Result};
use crate::ids::{InvoiceId, OrganisationId, VmId};
use crate::ledger::money;

fn unreadable(what: &'static str) -> Error {
    Error::Internal(anyhow::anyhow!("a stored {what} cannot be read"))
}

fn tax_rate(decimal: Decimal) -> Result<TaxRate> {
    decimal.to_string().parse().map_err(|_| unreadable("tax rate"))
}

fn places(places: i32) -> Result<CurrencyPlaces> {
    u32::try_from(places).ok().and_then(CurrencyPlaces::new).ok_or_else(|| unreadable("number of places"))
}

fn line_kind(name: &str) -> Result<LineKind> {
    LineKind::parse(name).ok_or_else(|| unreadable("kind of a line"))
}

/// A tax rate as the column keeps it, in percent.
fn percent(rate: TaxRate) -> Decimal {
    Decimal::new(rate.units().into(), TaxRate::PLACES)
}

struct Row {
    id: InvoiceId,
    number: String,
    organisation: OrganisationId,
    organisation_name: String,
    organisation_number: i64,
    month: NaiveDate,
    part: i32,
    issued_at: DateTime<Utc>,
    period_from: DateTime<Utc>,
    period_to: DateTime<Utc>,
    currency: String,
    currency_places: i32,
    tax_rate: Decimal,
    issuer_name: String,
    issuer_address: String,
    issuer_tax_id: String,
    recipient_name: String,
    recipient_address: String,
    recipient_tax_id: String,
    exact: Decimal,
    rounding: Decimal,
    net: Decimal,
    tax: Decimal,
    gross: Decimal,
}

impl TryFrom<Row> for Invoice {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            number: row.number,
            organisation: row.organisation,
            organisation_name: row.organisation_name,
            organisation_number: row.organisation_number,
            month: Month::from(row.month),
            part: row.part,
            issued_at: row.issued_at,
            period_from: row.period_from,
            period_to: row.period_to,
            currency: row.currency,
            places: places(row.currency_places)?,
            tax_rate: tax_rate(row.tax_rate)?,
            issuer: Party { name: row.issuer_name, address: row.issuer_address, tax_id: row.issuer_tax_id },
            recipient: Party { name: row.recipient_name, address: row.recipient_address, tax_id: row.recipient_tax_id },
            exact: money(row.exact)?,
            rounding: money(row.rounding)?,
            net: money(row.net)?,
            tax: money(row.tax)?,
            gross: money(row.gross)?,
        })
    }
}

pub(super) async fn select(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<Invoice>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select i.id as "id: InvoiceId", i.number, i.organisation_id as "organisation: OrganisationId", o.name as organisation_name, i.organisation_number,
                  i.month, i.part, i.issued_at, i.period_from, i.period_to, i.currency, i.currency_places, i.tax_rate, i.issuer_name, i.issuer_address, i.issuer_tax_id,
                  i.recipient_name, i.recipient_address, i.recipient_tax_id, i.exact, i.rounding, i.net, i.tax, i.gross
           from invoices i join organisations o on o.id = i.organisation_id
           where ($1::uuid is null or i.organisation_id = $1) and ($2::date is null or i.month = $2) and ($3::uuid is null or i.id < $3)
           order by i.id desc limit $4"#,
        filter.organisation.map(OrganisationId::uuid),
        filter.month.map(Month::first_day),
        filter.after.map(InvoiceId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Invoice::try_from).collect()
}

pub(super) async fn select_one(
    pool: &PgPool,
    organisation: Option<OrganisationId>,
    id: Option<InvoiceId>,
    number: Option<&str>,
) -> Result<Option<Invoice>> {
    let row = sqlx::query_as!(
        Row,
        r#"select i.id as "id: InvoiceId", i.number, i.organisation_id as "organisation: OrganisationId", o.name as organisation_name, i.organisation_number,
                  i.month, i.part, i.issued_at, i.period_from, i.period_to, i.currency, i.currency_places, i.tax_rate, i.issuer_name, i.issuer_address, i.issuer_tax_id,
                  i.recipient_name, i.recipient_address, i.recipient_tax_id, i.exact, i.rounding, i.net, i.tax, i.gross
           from invoices i join organisations o on o.id = i.organisation_id
           where ($1::uuid is null or i.organisation_id = $1) and (i.id = $2 or i.number = $3)"#,
        organisation.map(OrganisationId::uuid),
        id.map(InvoiceId::uuid),
        number,
    )
    .fetch_optional(pool)
    .await?;
    row.map(Invoice::try_from).transpose()
}

pub(super) async fn select_lines(pool: &PgPool, invoice: InvoiceId, after: i32, limit: i64) -> Result<Vec<Line>> {
    let rows = sqlx::query!(
        r#"select position, vm_id as "vm: VmId", vm_name, kind, unit_seconds, amount from invoice_lines
           where invoice_id = $1 and position > $2 order by position limit $3"#,
        invoice.uuid(),
        after,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Line {
                position: row.position,
                vm: row.vm,
                vm_name: row.vm_name,
                kind: line_kind(&row.kind)?,
                unit_seconds: row.unit_seconds,
                amount: money(row.amount)?,
            })
        })
        .collect()
}

pub(super) async fn select_sums(pool: &PgPool, filter: &Filter) -> Result<Vec<Sum>> {
    let rows = sqlx::query!(
        r#"select currency, count(*) as "invoices!", sum(net) as "net!", sum(tax) as "tax!", sum(gross) as "gross!", sum(exact) as "exact!" from invoices
           where ($1::uuid is null or organisation_id = $1) and ($2::date is null or month = $2) group by currency order by currency"#,
        filter.organisation.map(OrganisationId::uuid),
        filter.month.map(Month::first_day),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Sum {
                currency: row.currency,
                invoices: row.invoices,
                net: money(row.net)?,
                tax: money(row.tax)?,
                gross: money(row.gross)?,
                exact: money(row.exact)?,
            })
        })
        .collect()
}

/// Wallets with charges of before an instant that are not invoiced yet.
pub(super) async fn count_waiting(pool: &PgPool, end: DateTime<Utc>) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from wallets w where w.invoiced_through < $1
           and (w.metered and w.charged_through < $1
                or exists (select 1 from charges c where c.organisation_id = w.organisation_id and c.period_start >= w.invoiced_through and c.period_start < $1))"#,
        end,
    )
    .fetch_one(pool)
    .await?)
}

pub(super) async fn select_settings(connection: &mut PgConnection) -> Result<InvoiceSettings> {
    let row = sqlx::query!(
        "select issuer_name, issuer_address, issuer_tax_id, number_prefix, tax_rate, currency_places from invoice_settings"
    )
    .fetch_one(connection)
    .await?;
    Ok(InvoiceSettings {
        issuer_name: row.issuer_name,
        issuer_address: row.issuer_address,
        issuer_tax_id: row.issuer_tax_id,
        number_prefix: row.number_prefix,
        tax_rate: tax_rate(row.tax_rate)?,
        currency_places: row.currency_places,
    })
}

pub(super) async fn lock_settings(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("select only_row from invoice_settings for update").fetch_one(connection).await?;
    Ok(())
}

pub(super) async fn update_settings(
    connection: &mut PgConnection,
    new: &InvoiceSettings,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update invoice_settings set issuer_name = $1, issuer_address = $2, issuer_tax_id = $3, number_prefix = $4, tax_rate = $5, currency_places = $6, updated_at = $7",
        new.issuer_name,
        new.issuer_address,
        new.issuer_tax_id,
        new.number_prefix,
        percent(new.tax_rate),
        new.currency_places,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn select_details(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<Option<BillingDetails>> {
    Ok(sqlx::query_as!(
        BillingDetails,
        "select name, address, tax_id from billing_details where organisation_id = $1",
        organisation.uuid()
    )
    .fetch_optional(connection)
    .await?)
}

/// Makes the row if it is not there, and locks it for the rest of the transaction.
pub(super) async fn ensure_details(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into billing_details (organisation_id, name, address, tax_id, updated_at) values ($1, '', '', '', $2)
         on conflict (organisation_id) do update set updated_at = excluded.updated_at",
        organisation.uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_details(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    new: &BillingDetails,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update billing_details set name = $2, address = $3, tax_id = $4, updated_at = $5 where organisation_id = $1",
        organisation.uuid(),
        new.name,
        new.address,
        new.tax_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ids as a parameter.
fn uuids(organisations: &[OrganisationId]) -> Vec<Uuid> {
    organisations.iter().map(|organisation| organisation.uuid()).collect()
}
