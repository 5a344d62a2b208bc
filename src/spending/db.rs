//! The SQL of what keys spend.

use billing::{Money, Rate};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::Answered;
use crate::error::Result;
use crate::ids::{ApiKeyId, OrganisationId, VmId};
use crate::ledger::{money, rate};

/// A charge is of at most an hour: none that ends after an instant begins longer before it.
const CHARGE_MAX: TimeDelta = TimeDelta::hours(1);

/// The machines that keys answer for and that are there, or of one key.
pub(super) async fn select_answered(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key: Option<ApiKeyId>,
) -> Result<Vec<Answered>> {
    let rows = sqlx::query!(
        r#"select a.api_key_id as "key: ApiKeyId", a.vm_id as "vm: VmId", a.rate,
                  exists (select 1 from jobs j where j.vm_id = a.vm_id and j.status in ('pending', 'running', 'parked')) as "is_changing!"
           from api_key_vms a join vms v on v.id = a.vm_id
           where a.organisation_id = $1 and ($2::uuid is null or a.api_key_id = $2) and v.deleted_at is null and v.state <> 'failed'"#,
        organisation.uuid(),
        key.map(ApiKeyId::uuid),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Answered { key: row.key, vm: row.vm, rate: rate(row.rate)?, is_changing: row.is_changing }))
        .collect()
}

/// What was charged since `from` for the machines that keys answer for, also for those that are gone. A charge that reaches
/// into the time counts wholly.
pub(super) async fn select_charged(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    from: DateTime<Utc>,
) -> Result<Vec<(ApiKeyId, Money)>> {
    let rows = sqlx::query!(
        r#"select a.api_key_id as "key: ApiKeyId", sum(c.amount) as "charged!"
           from api_key_vms a
           join meters m on m.vm_id = a.vm_id
           join charges c on c.organisation_id = a.organisation_id and c.meter_id = m.id and c.period_start >= $3 and c.period_end > greatest($2, a.since)
           where a.organisation_id = $1
           group by a.api_key_id"#,
        organisation.uuid(),
        from,
        from - CHARGE_MAX,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((row.key, money(row.charged)?))).collect()
}

/// The most that a key may spend in a day, if that is limited.
pub(super) async fn select_limit(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key: ApiKeyId,
) -> Result<Option<Money>> {
    let limit = sqlx::query_scalar!(
        "select daily_limit from api_keys where organisation_id = $1 and id = $2",
        organisation.uuid(),
        key.uuid(),
    )
    .fetch_one(connection)
    .await?;
    limit.map(money).transpose()
}

/// A key answers for a machine from its first deed on.
pub(super) async fn upsert(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key: ApiKeyId,
    vm: VmId,
    rate: Rate,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into api_key_vms (organisation_id, api_key_id, vm_id, since, rate) values ($1, $2, $3, $4, $5)
         on conflict (api_key_id, vm_id) do update set rate = excluded.rate",
        organisation.uuid(),
        key.uuid(),
        vm.uuid(),
        now,
        rate.to_decimal(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
