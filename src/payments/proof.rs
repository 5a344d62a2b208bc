//! The proof that payments and the ledger say the same.

use sqlx::PgPool;

use crate::error::Result;

/// The first thing in which payments and the ledger differ: one that was not posted or was posted without being recorded, a
/// return that was not posted or belongs to no payment, and more that went back than was paid.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn first_difference(pool: &PgPool) -> Result<Option<String>> {
    let unposted = sqlx::query_scalar!(
        "select p.id from payments p join accounts a on a.organisation_id = p.organisation_id
         join accounts c on c.kind = 'payment_clearing' and c.provider = p.provider
         left join transfers t on t.source = 'payment:' || p.id and t.code = 'payment' and t.amount = p.amount
              and t.debit_account = c.id and t.credit_account = a.id and t.at = p.created_at
         where t.id is null order by p.id"
    )
    .fetch_optional(pool)
    .await?;
    if let Some(payment) = unposted {
        return Ok(Some(format!("payment {payment} was recorded, but its amount was not posted then")));
    }
    let unreturned = sqlx::query!(
        "select r.id, r.kind from payment_returns r join payments p on p.id = r.payment_id
         join accounts a on a.organisation_id = p.organisation_id
         join accounts c on c.kind = 'payment_clearing' and c.provider = p.provider
         left join transfers t on t.source = r.kind || ':' || r.id and t.code = r.kind and t.amount = r.amount
              and t.debit_account = a.id and t.credit_account = c.id and t.at = r.created_at
         where t.id is null order by r.id"
    )
    .fetch_optional(pool)
    .await?;
    if let Some(row) = unreturned {
        return Ok(Some(format!("the {} {} of a payment was recorded, but not posted then", row.kind, row.id)));
    }
    // A posting of several legs numbers all but the first behind a slash.
    let unrecorded = sqlx::query!(
        "select t.source, t.amount from transfers t join accounts c on c.kind = 'payment_clearing' and c.id in (t.debit_account, t.credit_account)
         left join payments p on split_part(t.source, '/', 1) = 'payment:' || p.id
         left join payment_returns r on split_part(t.source, '/', 1) = r.kind || ':' || r.id
         where t.code <> 'charge' and p.id is null and r.id is null order by t.id"
    )
    .fetch_optional(pool)
    .await?;
    if let Some(row) = unrecorded {
        return Ok(Some(format!(
            "{} was posted as {}, which is no payment and no part of one",
            row.amount, row.source
        )));
    }
    let too_much = sqlx::query!(
        r#"select p.id, p.amount, sum(r.amount) as "returned!" from payments p join payment_returns r on r.payment_id = p.id
           group by p.id, p.amount having sum(r.amount) > p.amount order by p.id"#
    )
    .fetch_optional(pool)
    .await?;
    Ok(too_much.map(|row| format!("{} of payment {} went back, which was {}", row.returned, row.id, row.amount)))
}
