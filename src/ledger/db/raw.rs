//! The SQL of what charges are made of, each row as the texts of its columns.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::PgConnection;

use crate::error::{Error, Result};
use crate::ids::OrganisationId;
use crate::ledger::export::{Raw, Selection};

/// A row; null is no text.
pub(in crate::ledger) type Row = Vec<Option<String>>;

/// The rows one by one.
pub(in crate::ledger) fn select_raw<'c>(
    connection: &'c mut PgConnection,
    raw: Raw,
    selection: &Selection,
) -> BoxStream<'c, Result<Row>> {
    let organisation = selection.organisation.map(OrganisationId::uuid);
    let (from, to) = (selection.from, selection.to);
    match raw {
        Raw::Wallets => sqlx::query_scalar!(
            r#"select array[o.id::text, o.number::text, w.account_id::text, w.balance::text, to_char(w.charged_through at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), w.credit_limit::text, to_char(w.exhausted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')] as "row!: Row"
           from wallets w join organisations o on o.id = w.organisation_id where $1::uuid is null or o.id = $1 order by o.number"#,organisation
        )
        .fetch(connection)
        .map_err(Error::from)
        .boxed(),
        Raw::Meters => sqlx::query_scalar!(
            r#"select array[id::text, organisation_id::text, vm_id::text, kind, month::text, accrued::text, cap::text, to_char(accrued_through at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')] as "row!: Row"
           from meters where $1::uuid is null or organisation_id = $1 order by id"#,organisation
        )
        .fetch(connection)
        .map_err(Error::from)
        .boxed(),
        Raw::Intervals => sqlx::query_scalar!(
            r#"select array[i.id::text, m.id::text, m.organisation_id::text, i.kind, i.plan_id::text, i.image_id::text, i.quantity::text, i.price_list_id::text,
                        to_char(lower(i.during) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(upper(i.during) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')] as "row!: Row"
           from meter_intervals i join meters m on m.id = i.meter_id
           where ($1::uuid is null or m.organisation_id = $1) and i.during && tstzrange($2, $3) order by i.id"#,organisation, from, to
        )
        .fetch(connection)
        .map_err(Error::from)
        .boxed(),
        Raw::Prices => sqlx::query_scalar!(
            r#"select array[p.id::text, v.price_list_id::text, v.number::text, to_char(v.effective_from at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p.kind, p.plan_id::text, p.image_id::text, p.hourly_rate::text, p.monthly_cap::text] as "row!: Row"
           from prices p join price_list_versions v on v.id = p.price_list_version_id where v.withdrawn_at is null order by v.price_list_id, v.effective_from, p.id"#
        )
        .fetch(connection)
        .map_err(Error::from)
        .boxed(),
        Raw::Charges => sqlx::query_scalar!(
            r#"select array[meter_id::text, organisation_id::text, to_char(period_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(period_end at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), quantity::text, price_id::text, rate::text, amount::text] as "row!: Row"
           from charges where ($1::uuid is null or organisation_id = $1)
             and ($2::timestamptz is null or period_start >= $2) and ($3::timestamptz is null or period_start < $3)
           order by organisation_id, period_start, meter_id"#,organisation, from, to
        )
        .fetch(connection)
        .map_err(Error::from)
        .boxed(),
        Raw::Invoices => sqlx::query_scalar!(
            r#"select array[id::text, number, organisation_id::text, to_char(month, 'YYYY-MM'), part::text, to_char(issued_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                        currency, currency_places::text, tax_rate::text, exact::text, rounding::text, net::text, tax::text, gross::text] as "row!: Row"
           from invoices where ($1::uuid is null or organisation_id = $1)
             and ($2::timestamptz is null or issued_at >= $2) and ($3::timestamptz is null or issued_at < $3)
           order by year, sequence"#,organisation, from, to
        )
        .fetch(connection)
        .map_err(Error::from)
        .boxed(),
        Raw::InvoiceLines => sqlx::query_scalar!(
            r#"select array[l.invoice_id::text, l.position::text, l.vm_id::text, l.kind, l.unit_seconds::text, l.amount::text] as "row!: Row"
           from invoices i join invoice_lines l on l.invoice_id = i.id
           where ($1::uuid is null or i.organisation_id = $1)
             and ($2::timestamptz is null or i.issued_at >= $2) and ($3::timestamptz is null or i.issued_at < $3)
           order by i.year, i.sequence, l.position"#,organisation, from, to
        )
        .fetch(connection)
        .map_err(Error::from)
        .boxed(),
    }
}
