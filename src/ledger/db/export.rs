//! The SQL of exports: pages in the order of their keys, so that memory stays the same however much there is.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::ids::{OrganisationId, TransferId};
use crate::ledger::export::{AccountName, ExportedLeg, ExportedWallet, Selection};
use crate::ledger::money;

struct LegRow {
    id: TransferId,
    posting: Uuid,
    at: DateTime<Utc>,
    code: String,
    amount: rust_decimal::Decimal,
    source: String,
    memo: String,
    created_by: Option<Uuid>,
    debit_kind: String,
    debit_provider: Option<String>,
    debit_organisation: Option<Uuid>,
    debit_number: Option<i64>,
    credit_kind: String,
    credit_provider: Option<String>,
    credit_organisation: Option<Uuid>,
    credit_number: Option<i64>,
}

impl TryFrom<LegRow> for ExportedLeg {
    type Error = crate::error::Error;
    fn try_from(row: LegRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            posting: row.posting,
            at: row.at,
            code: row.code,
            amount: money(row.amount)?,
            source: row.source,
            memo: row.memo,
            created_by: row.created_by,
            debit: AccountName {
                kind: row.debit_kind,
                provider: row.debit_provider,
                wallet: row.debit_number.zip(row.debit_organisation.map(Into::into)),
            },
            credit: AccountName {
                kind: row.credit_kind,
                provider: row.credit_provider,
                wallet: row.credit_number.zip(row.credit_organisation.map(Into::into)),
            },
        })
    }
}

/// A page of transfers in the order in which they were written.
pub(in crate::ledger) async fn select_legs(
    connection: &mut PgConnection,
    selection: &Selection,
    after: Option<TransferId>,
    limit: i64,
) -> Result<Vec<ExportedLeg>> {
    sqlx::query_as!(
        LegRow,
        r#"with wallet as (select account_id from wallets where organisation_id = $1)
           select t.id as "id: TransferId", t.posting, t.at, t.code, t.amount, t.source, t.memo, t.created_by,
                  coalesce(d.kind, 'unknown') as "debit_kind!", d.provider as debit_provider, d.organisation_id as debit_organisation, od.number as "debit_number?",
                  coalesce(c.kind, 'unknown') as "credit_kind!", c.provider as credit_provider, c.organisation_id as credit_organisation, oc.number as "credit_number?"
           from transfers t
           left join accounts d on d.id = t.debit_account left join organisations od on od.id = d.organisation_id
           left join accounts c on c.id = t.credit_account left join organisations oc on oc.id = c.organisation_id
           where ($1::uuid is null or t.debit_account = (select account_id from wallet) or t.credit_account = (select account_id from wallet))
             and ($2::timestamptz is null or t.at >= $2) and ($3::timestamptz is null or t.at < $3)
             and ($4::uuid is null or t.id > $4)
           order by t.id limit $5"#,
        selection.organisation.map(OrganisationId::uuid),
        selection.from,
        selection.to,
        after.map(TransferId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(ExportedLeg::try_from)
    .collect()
}

/// All legs of these postings, none of which is a charge, posting by posting.
pub(in crate::ledger) async fn select_postings(
    connection: &mut PgConnection,
    postings: &[Uuid],
) -> Result<Vec<ExportedLeg>> {
    sqlx::query_as!(
        LegRow,
        r#"select t.id as "id: TransferId", t.posting, t.at, t.code, t.amount, t.source, t.memo, t.created_by,
                  coalesce(d.kind, 'unknown') as "debit_kind!", d.provider as debit_provider, d.organisation_id as debit_organisation, od.number as "debit_number?",
                  coalesce(c.kind, 'unknown') as "credit_kind!", c.provider as credit_provider, c.organisation_id as credit_organisation, oc.number as "credit_number?"
           from transfers t
           left join accounts d on d.id = t.debit_account left join organisations od on od.id = d.organisation_id
           left join accounts c on c.id = t.credit_account left join organisations oc on oc.id = c.organisation_id
           where t.posting = any($1) and t.code <> 'charge' order by t.posting, t.id"#,
        postings,
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(ExportedLeg::try_from)
    .collect()
}

/// A page of wallets in the order of their organisations' numbers, with what they held before the selected time and what we
/// say they held at its end.
pub(in crate::ledger) async fn select_wallets(
    connection: &mut PgConnection,
    selection: &Selection,
    after: i64,
    limit: i64,
) -> Result<Vec<ExportedWallet>> {
    let rows = sqlx::query!(
        r#"select o.id as "organisation: OrganisationId", o.number, coalesce(opening.total, 0) as "opening!", w.balance - coalesce(later.total, 0) as "closing!"
           from wallets w join organisations o on o.id = w.organisation_id
           left join lateral (
               select sum(case when t.credit_account = w.account_id then t.amount else -t.amount end) as total from transfers t
               where t.at < $2 and (t.debit_account = w.account_id or (t.credit_account = w.account_id and t.code <> 'charge'))
           ) opening on $2::timestamptz is not null
           left join lateral (
               select sum(case when t.credit_account = w.account_id then t.amount else -t.amount end) as total from transfers t
               where t.at >= $3 and (t.debit_account = w.account_id or (t.credit_account = w.account_id and t.code <> 'charge'))
           ) later on $3::timestamptz is not null
           where ($1::uuid is null or o.id = $1) and o.number > $4 order by o.number limit $5"#,
        selection.organisation.map(OrganisationId::uuid),
        selection.from,
        selection.to,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ExportedWallet {
                organisation: row.organisation,
                number: row.number,
                opening: money(row.opening)?,
                closing: money(row.closing)?,
            })
        })
        .collect()
}

/// The organisation with this number.
pub(in crate::ledger) async fn select_organisation(
    connection: &mut PgConnection,
    number: i64,
) -> Result<Option<OrganisationId>> {
    Ok(sqlx::query_scalar!(r#"select id as "id: OrganisationId" from organisations where number = $1"#, number)
        .fetch_optional(connection)
        .await?)
}
