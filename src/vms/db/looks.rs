//! The SQL of looks at clusters: which machines should be there, and what was found of them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::ids::{ClusterId, OrganisationId, PlanId, VmId};

pub(in crate::vms) struct SeenRow {
    pub id: VmId,
    pub organisation: OrganisationId,
    pub plan: PlanId,
    pub name: String,
    pub state: String,
    pub node: String,
    pub vmid: i32,
    pub missing_looks: i32,
    pub metered: bool,
}

/// The machines that should be on a cluster and that no job is at work on.
pub(in crate::vms) async fn select_quiet(pool: &PgPool, cluster: ClusterId) -> Result<Vec<SeenRow>> {
    let rows = sqlx::query_as!(
        SeenRow,
        r#"select v.id as "id: VmId", v.organisation_id as "organisation: OrganisationId", v.plan_id as "plan: PlanId", v.name, v.state, v.node, v.vmid as "vmid!",
                  v.missing_looks,
                  (w.exhausted_at is not null or exists (
                      select 1 from meters m join meter_intervals i on i.meter_id = m.id and not i.settled and upper_inf(i.during) and i.state = v.state
                      where m.vm_id = v.id)) as "metered!"
           from vms v join wallets w on w.organisation_id = v.organisation_id
           where v.cluster_id = $1 and v.state in ('running', 'stopped') and v.vmid is not null
             and not exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked'))"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// Whether it is still in that state with nothing at work on it, now that its wallet is locked.
pub(in crate::vms) async fn is_still_quiet(connection: &mut PgConnection, vm: VmId, state: &str) -> Result<bool> {
    let quiet = sqlx::query_scalar!(
        r#"select exists (select 1 from vms v where v.id = $1 and v.state = $2
                          and not exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked'))) as "quiet!""#,
        vm.uuid(),
        state
    )
    .fetch_one(connection)
    .await?;
    Ok(quiet)
}

pub(in crate::vms) async fn set_missing(
    connection: &mut PgConnection,
    vm: VmId,
    looks: i32,
    since: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!(
        "update vms set missing_looks = $2, missing_since = coalesce(missing_since, $3) where id = $1",
        vm.uuid(),
        looks,
        since
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::vms) async fn clear_missing(connection: &mut PgConnection, vm: VmId) -> Result<()> {
    sqlx::query!("update vms set missing_looks = 0, missing_since = null where id = $1", vm.uuid())
        .execute(connection)
        .await?;
    Ok(())
}
