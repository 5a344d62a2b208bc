//! The SQL of address pools and addresses.

use std::net::Ipv4Addr;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Assigned, NewPool};
use crate::error::Result;
use crate::ids::{AddressPoolId, LocationId, VmId};

pub(super) async fn insert_pool(
    connection: &mut PgConnection,
    id: AddressPoolId,
    new: &NewPool<'_>,
    usable: &[String],
    now: DateTime<Utc>,
) -> Result<()> {
    let inserted = sqlx::query!(
        "insert into address_pools (id, location_id, name, network, gateway, nameserver, created_at)
         values ($1, $2, $3, $4::text::cidr, $5::text::inet, $6::text::inet, $7) on conflict (name) do nothing",
        id.uuid(),
        new.location.uuid(),
        new.name,
        format!("{}/{}", new.network, new.prefix),
        new.gateway.to_string(),
        new.nameserver.to_string(),
        now,
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if inserted == 1 {
        sqlx::query!(
            "insert into addresses (address, pool_id) select a::inet, $2 from unnest($1::text[]) as a",
            usable,
            id.uuid()
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn select_of_vm(connection: &mut PgConnection, vm: VmId) -> Result<Option<Assigned>> {
    let row = sqlx::query!(
        r#"select host(a.address) as "address!", masklen(p.network) as "prefix!", host(p.gateway) as "gateway!", host(p.nameserver) as "nameserver!"
           from addresses a join address_pools p on p.id = a.pool_id where a.vm_id = $1"#,
        vm.uuid()
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Assigned {
        address: row.address.parse().context("a stored address is not IPv4")?,
        prefix: u8::try_from(row.prefix).context("a stored prefix is out of range")?,
        gateway: row.gateway.parse().context("a stored gateway is not IPv4")?,
        nameserver: row.nameserver.parse().context("a stored name server is not IPv4")?,
    }))
}

/// Takes the lowest free address that nobody else is taking.
pub(super) async fn assign(
    connection: &mut PgConnection,
    location: LocationId,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let assigned = sqlx::query!(
        "update addresses set vm_id = $2, assigned_at = $3, resting_until = null
         where address = (select a.address from addresses a join address_pools p on p.id = a.pool_id
                          where p.location_id = $1 and a.vm_id is null and (a.resting_until is null or a.resting_until <= $3)
                          order by a.address limit 1 for update of a skip locked)",
        location.uuid(),
        vm.uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(assigned.rows_affected() == 1)
}

/// Takes one address of a location, if nobody has it.
pub(super) async fn claim(
    connection: &mut PgConnection,
    location: LocationId,
    address: Ipv4Addr,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let claimed = sqlx::query!(
        "update addresses a set vm_id = $3, assigned_at = $4, resting_until = null from address_pools p
         where p.id = a.pool_id and p.location_id = $1 and a.address = $2::text::inet and (a.vm_id is null or a.vm_id = $3)",
        location.uuid(),
        address.to_string(),
        vm.uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

pub(super) async fn exists(connection: &mut PgConnection, location: LocationId, address: Ipv4Addr) -> Result<bool> {
    let exists = sqlx::query_scalar!(
        r#"select exists (select 1 from addresses a join address_pools p on p.id = a.pool_id where p.location_id = $1 and a.address = $2::text::inet) as "exists!""#,
        location.uuid(),
        address.to_string(),
    )
    .fetch_one(connection)
    .await?;
    Ok(exists)
}

pub(super) async fn release(connection: &mut PgConnection, vm: VmId, resting_until: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update addresses set vm_id = null, assigned_at = null, resting_until = $2 where vm_id = $1",
        vm.uuid(),
        resting_until
    )
    .execute(connection)
    .await?;
    Ok(())
}
