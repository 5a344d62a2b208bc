//! The SQL of VMID leases.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::error::Result;
use crate::ids::{ClusterId, VmId};

/// How many guests that are not ours may stand in the way of one lease.
const VMID_TRIES_MAX: usize = 1000;

/// The counter is moved under its row's lock, so two leases never meet; ids that were ever leased are passed over.
pub(in crate::clusters) async fn lease_vmid(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<Option<i32>> {
    for _ in 0..VMID_TRIES_MAX {
        let next = sqlx::query_scalar!(
            "update vmid_counters k set next = k.next + 1 from clusters c
             where k.cluster_id = $1 and c.id = k.cluster_id and k.next <= c.vmid_to returning k.next - 1",
            cluster.uuid()
        )
        .fetch_optional(&mut *connection)
        .await?
        .flatten();
        let Some(vmid) = next else { return Ok(None) };
        let leased = sqlx::query!(
            "insert into vmid_leases (cluster_id, vmid, vm_id, leased_at) values ($1, $2, $3, $4) on conflict (cluster_id, vmid) do nothing",
            cluster.uuid(),
            vmid,
            vm.uuid(),
            now
        )
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if leased == 1 {
            return Ok(Some(vmid));
        }
    }
    Ok(None)
}

/// Leases one VMID, whatever range it is in: one that nobody has, that rests, or that was found in use by a stranger.
pub(in crate::clusters) async fn lease_this_vmid(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmid: i32,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let leased = sqlx::query!(
        "insert into vmid_leases (cluster_id, vmid, vm_id, leased_at) values ($1, $2, $3, $4)
         on conflict (cluster_id, vmid) do update set vm_id = excluded.vm_id, leased_at = excluded.leased_at, released_at = null
         where vmid_leases.vm_id is null or vmid_leases.released_at is not null",
        cluster.uuid(),
        vmid,
        vm.uuid(),
        now
    )
    .execute(connection)
    .await?;
    Ok(leased.rows_affected() == 1)
}

pub(in crate::clusters) async fn abandon_vmid(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmid: i32,
) -> Result<()> {
    sqlx::query!("update vmid_leases set vm_id = null where cluster_id = $1 and vmid = $2", cluster.uuid(), vmid)
        .execute(connection)
        .await?;
    Ok(())
}

pub(in crate::clusters) async fn release_vmid(
    connection: &mut PgConnection,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("update vmid_leases set released_at = $2 where vm_id = $1 and released_at is null", vm.uuid(), now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends one of a machine's leases.
pub(in crate::clusters) async fn release_lease(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmid: i32,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update vmid_leases set released_at = $3 where cluster_id = $1 and vmid = $2 and released_at is null",
        cluster.uuid(),
        vmid,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}
