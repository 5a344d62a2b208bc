//! The SQL of payments and of what went back of them.

use billing::{Money, Provider};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{Filter, Payment, PaymentReturn, ReturnKind};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, PaymentId, PaymentReturnId, UserId};
use crate::ledger::money;

struct Row {
    id: PaymentId,
    organisation: OrganisationId,
    organisation_name: String,
    provider: String,
    reference: String,
    amount: Decimal,
    returned: Decimal,
    created_by: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Payment {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            organisation: row.organisation,
            organisation_name: row.organisation_name,
            provider: row.provider.parse().map_err(anyhow::Error::new)?,
            reference: row.reference,
            amount: money(row.amount)?,
            returned: money(row.returned)?,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    }
}

/// Says whether it was not recorded before: there is one payment of a reference.
pub(super) async fn insert(connection: &mut PgConnection, payment: &Payment, by: Option<UserId>) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into payments (id, organisation_id, provider, reference, amount, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (provider, lower(reference)) do nothing",
        payment.id.uuid(),
        payment.organisation.uuid(),
        payment.provider.as_str(),
        payment.reference,
        payment.amount.to_decimal(),
        by.map(UserId::uuid),
        payment.created_at,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

pub(super) async fn select_by_reference(
    connection: &mut PgConnection,
    provider: Provider,
    reference: &str,
) -> Result<Option<Payment>> {
    let id = sqlx::query_scalar!(
        r#"select id as "id: PaymentId" from payments where provider = $1 and lower(reference) = lower($2)"#,
        provider.as_str(),
        reference,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match id {
        Some(id) => select_one(connection, id).await,
        None => Ok(None),
    }
}

pub(super) async fn select_one(executor: impl PgExecutor<'_>, id: PaymentId) -> Result<Option<Payment>> {
    let row = sqlx::query_as!(
        Row,
        r#"select p.id as "id: PaymentId", p.organisation_id as "organisation: OrganisationId", o.name as organisation_name, p.provider, p.reference, p.amount,
                  coalesce((select sum(r.amount) from payment_returns r where r.payment_id = p.id), 0) as "returned!", u.email as "created_by?", p.created_at
           from payments p join organisations o on o.id = p.organisation_id left join users u on u.id = p.created_by where p.id = $1"#,
        id.uuid(),
    )
    .fetch_optional(executor)
    .await?;
    row.map(Payment::try_from).transpose()
}

pub(super) async fn select(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<Payment>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id: PaymentId", p.organisation_id as "organisation: OrganisationId", o.name as organisation_name, p.provider, p.reference, p.amount,
                  coalesce((select sum(r.amount) from payment_returns r where r.payment_id = p.id), 0) as "returned!", u.email as "created_by?", p.created_at
           from payments p join organisations o on o.id = p.organisation_id left join users u on u.id = p.created_by
           where ($1::uuid is null or p.organisation_id = $1) and ($2::text is null or strpos(lower(p.reference), lower($2)) > 0)
             and ($3::uuid is null or p.id < $3)
           order by p.id desc limit $4"#,
        filter.organisation.map(OrganisationId::uuid),
        filter.reference,
        filter.after.map(PaymentId::uuid),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Payment::try_from).collect()
}

/// What is written down of a payment that goes back.
pub(super) struct NewReturn<'a> {
    pub id: PaymentReturnId,
    pub kind: ReturnKind,
    pub amount: Money,
    pub reason: &'a str,
    pub order: &'a str,
}

pub(super) async fn insert_return(
    connection: &mut PgConnection,
    payment: PaymentId,
    new: &NewReturn<'_>,
    by: Option<UserId>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into payment_returns (id, payment_id, kind, amount, reason, made_by_order, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.id.uuid(),
        payment.uuid(),
        new.kind.name(),
        new.amount.to_decimal(),
        new.reason,
        new.order,
        by.map(UserId::uuid),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What an order has returned of a payment. One that was another kind of return is none with any amount.
pub(super) async fn select_return_of_order(
    connection: &mut PgConnection,
    payment: PaymentId,
    kind: ReturnKind,
    order: &str,
) -> Result<Option<Money>> {
    let row = sqlx::query!(
        "select kind, amount from payment_returns where payment_id = $1 and made_by_order = $2",
        payment.uuid(),
        order,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| if row.kind == kind.name() { money(row.amount) } else { Ok(Money::ZERO) }).transpose()
}

pub(super) async fn count_returns(connection: &mut PgConnection, payment: PaymentId) -> Result<i64> {
    Ok(sqlx::query_scalar!(r#"select count(*) as "count!" from payment_returns where payment_id = $1"#, payment.uuid())
        .fetch_one(connection)
        .await?)
}

struct ReturnRow {
    id: Uuid,
    kind: String,
    amount: Decimal,
    reason: String,
    created_by: Option<String>,
    created_at: DateTime<Utc>,
}

pub(super) async fn select_returns(pool: &PgPool, payment: PaymentId, limit: i64) -> Result<Vec<PaymentReturn>> {
    let rows = sqlx::query_as!(
        ReturnRow,
        r#"select r.id, r.kind, r.amount, r.reason, u.email as "created_by?", r.created_at
           from payment_returns r left join users u on u.id = r.created_by where r.payment_id = $1 order by r.id desc limit $2"#,
        payment.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    let read = |row: ReturnRow| {
        let unknown = || Error::Internal(anyhow::anyhow!("a return of a payment is a {:?}", row.kind));
        Ok(PaymentReturn {
            id: row.id.into(),
            kind: ReturnKind::parse(&row.kind).ok_or_else(unknown)?,
            amount: money(row.amount)?,
            reason: row.reason,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    };
    rows.into_iter().map(read).collect()
}
