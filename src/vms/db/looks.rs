//! The SQL of looks at clusters: which machines should be there, and what was found of them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::Result;
use crate::ids::{ClusterId, OrganisationId, PlanId, VmId};

/// A machine that should be on a cluster, and what earlier looks remember of it.
#[derive(Debug, Clone)]
pub(in crate::vms) struct SeenRow {
    pub id: VmId,
    pub organisation: OrganisationId,
    pub plan: PlanId,
    pub name: String,
    pub state: String,
    pub node: String,
    pub vmid: i32,
    pub guest_uuid: Uuid,
    pub vcpu: i32,
    pub memory_mib: i32,
    pub disk_gib: i32,
    pub missing_looks: i32,
    /// Its node was away at the last look.
    pub unseen: bool,
    pub metered: bool,
    /// A job of it has ended so lately that the numbers of the listing may be older.
    pub settling: bool,
    /// An earlier change of it could not be written.
    pub failed: bool,
    pub verdict_listing: Option<String>,
    pub verdict_ours: Option<bool>,
    pub verdict_tagged: Option<bool>,
    pub verdict_uuid: Option<String>,
}

/// The machines that should be on a cluster and that no job is at work on. A job that ended at `settled` or later has left
/// a machine that the listing may not show yet.
pub(in crate::vms) async fn select_quiet(
    pool: &PgPool,
    cluster: ClusterId,
    settled: DateTime<Utc>,
) -> Result<Vec<SeenRow>> {
    let rows = sqlx::query_as!(
        SeenRow,
        r#"with going_on as (
               select m.vm_id, i.kind, i.plan_id from meters m join meter_intervals i on i.meter_id = m.id and not i.settled and upper_inf(i.during) where m.kind = 'vm'),
           unsettled as (select j.vm_id from jobs j where j.finished_at > $2 group by j.vm_id)
           select v.id as "id!: VmId", v.organisation_id as "organisation!: OrganisationId", v.plan_id as "plan!: PlanId", v.name as "name!",
                  v.state as "state!", v.node as "node!", v.vmid as "vmid!", v.guest_uuid as "guest_uuid!",
                  p.vcpu as "vcpu!", p.memory_mib as "memory_mib!", v.disk_gib as "disk_gib!", v.missing_looks as "missing_looks!", v.unseen_since is not null as "unseen!",
                  (w.exhausted_at is not null or (g.kind is not distinct from 'vm_' || v.state and g.plan_id is not distinct from v.plan_id)) as "metered!",
                  (u.vm_id is not null) as "settling!", (f.vm_id is not null) as "failed!",
                  d.listing as "verdict_listing?", d.ours as "verdict_ours?", d.tagged as "verdict_tagged?", d.uuid as "verdict_uuid?"
           from vms v join wallets w on w.organisation_id = v.organisation_id join plans p on p.id = v.plan_id
           left join going_on g on g.vm_id = v.id
           left join unsettled u on u.vm_id = v.id
           left join look_failures f on f.vm_id = v.id
           left join guest_verdicts d on d.vm_id = v.id
           where v.cluster_id = $1 and v.deleted_at is null and v.state in ('running', 'stopped') and v.vmid is not null
             and not exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked'))"#,
        cluster.uuid(),
        settled,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// Every VMID of a cluster that a machine of ours has or will have, whatever is at work on it.
pub(in crate::vms) async fn select_our_vmids(pool: &PgPool, cluster: ClusterId) -> Result<Vec<i32>> {
    let vmids = sqlx::query_scalar!(
        r#"select v.vmid as "vmid!" from vms v where v.cluster_id = $1 and v.deleted_at is null and v.vmid is not null
           union select l.vmid from vmid_leases l where l.cluster_id = $1 and l.vm_id is not null and l.released_at is null"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(vmids.into_iter().collect())
}

/// Which of these machines are still in the state in which they were read, with nothing at work on them, now that their
/// wallets are locked.
pub(in crate::vms) async fn select_still_quiet(
    connection: &mut PgConnection,
    vms: &[Uuid],
    states: &[String],
    vmids: &[i32],
) -> Result<Vec<VmId>> {
    let quiet = sqlx::query_scalar!(
        r#"select v.id as "id: VmId" from unnest($1::uuid[], $2::text[], $3::integer[]) as b (id, state, vmid)
           join vms v on v.id = b.id and v.state = b.state and v.vmid = b.vmid
           where not exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked'))"#,
        vms,
        states,
        vmids,
    )
    .fetch_all(connection)
    .await?;
    Ok(quiet)
}

/// What is believed of machines from now on, as columns.
#[derive(Debug, Default)]
pub(in crate::vms) struct Believed {
    pub vms: Vec<Uuid>,
    pub states: Vec<String>,
    pub nodes: Vec<String>,
    pub missing_looks: Vec<i32>,
    /// Missing since this look.
    pub missing: Vec<bool>,
}

/// Writes what is believed of machines: one statement, whatever their number.
pub(in crate::vms) async fn update_believed(
    connection: &mut PgConnection,
    believed: &Believed,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update vms v set state = b.state, state_since = case when v.state = b.state then v.state_since else $6 end, node = b.node,
                          paused_at = case when b.state = 'running' then v.paused_at end, missing_looks = b.missing_looks,
                          missing_since = case when b.missing then coalesce(v.missing_since, $6) when b.missing_looks = 0 then null else v.missing_since end,
                          unseen_since = case when b.missing_looks > 0 then v.unseen_since end
         from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::boolean[]) as b (id, state, node, missing_looks, missing)
         where v.id = b.id",
        &believed.vms,
        &believed.states,
        &believed.nodes,
        &believed.missing_looks,
        &believed.missing,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A machine that cannot be seen, and that is not written down as such, or is metered all the same.
#[derive(Debug, Clone)]
pub(in crate::vms) struct UnseenRow {
    pub id: VmId,
    pub organisation: OrganisationId,
    pub name: String,
    pub state: String,
    pub vmid: i32,
    /// It is written down already.
    pub known: bool,
}

/// The machines among these guests of a cluster of which it is to be written down that they cannot be seen.
pub(in crate::vms) async fn select_unseen(
    connection: &mut PgConnection,
    cluster: ClusterId,
    vmids: &[i32],
) -> Result<Vec<UnseenRow>> {
    let rows = sqlx::query_as!(
        UnseenRow,
        r#"select v.id as "id: VmId", v.organisation_id as "organisation: OrganisationId", v.name, v.state, v.vmid as "vmid!",
                  v.unseen_since is not null as "known!"
           from vms v
           where v.cluster_id = $1 and v.vmid = any($2) and v.state in ('running', 'stopped')
             and (v.unseen_since is null
                  or exists (select 1 from meters m join meter_intervals i on i.meter_id = m.id and not i.settled and upper_inf(i.during) where m.vm_id = v.id))
           order by v.organisation_id, v.id"#,
        cluster.uuid(),
        vmids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

pub(in crate::vms) async fn update_unseen(
    connection: &mut PgConnection,
    vms: &[Uuid],
    since: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("update vms set unseen_since = coalesce(unseen_since, $2) where id = any($1)", vms, since)
        .execute(connection)
        .await?;
    Ok(())
}

/// What configurations said of guests, as columns.
#[derive(Debug, Default)]
pub(in crate::vms) struct Verdicts {
    pub vms: Vec<Uuid>,
    pub listings: Vec<String>,
    pub ours: Vec<bool>,
    pub tagged: Vec<bool>,
    pub uuids: Vec<Option<String>>,
}

pub(in crate::vms) async fn upsert_verdicts(
    connection: &mut PgConnection,
    verdicts: &Verdicts,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into guest_verdicts (vm_id, listing, ours, tagged, uuid, at)
         select b.id, b.listing, b.ours, b.tagged, b.uuid, $6 from unnest($1::uuid[], $2::text[], $3::boolean[], $4::boolean[], $5::text[]) as b (id, listing, ours, tagged, uuid)
         on conflict (vm_id) do update set listing = excluded.listing, ours = excluded.ours, tagged = excluded.tagged, uuid = excluded.uuid, at = excluded.at",
        &verdicts.vms,
        &verdicts.listings,
        &verdicts.ours,
        &verdicts.tagged,
        &verdicts.uuids as &[Option<String>],
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what a guest was found to be: it was changed, so it is asked again.
pub(in crate::vms) async fn delete_verdict(connection: &mut PgConnection, vm: VmId) -> Result<()> {
    sqlx::query!("delete from guest_verdicts where vm_id = $1", vm.uuid()).execute(connection).await?;
    Ok(())
}

pub(in crate::vms) async fn insert_failure(pool: &PgPool, vm: VmId, error: &str, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "insert into look_failures (vm_id, error, since) values ($1, $2, $3) on conflict (vm_id) do update set error = excluded.error",
        vm.uuid(),
        error,
        at,
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(in crate::vms) async fn delete_failures(connection: &mut PgConnection, vms: &[Uuid]) -> Result<()> {
    sqlx::query!("delete from look_failures where vm_id = any($1)", vms).execute(connection).await?;
    Ok(())
}

/// A machine whose change could not be written.
#[derive(Debug, Clone)]
pub struct LookFailure {
    /// The machine.
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Whose.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub organisation_name: String,
    /// Why, for operators.
    pub error: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

pub(in crate::vms) async fn select_failures(pool: &PgPool, limit: i64) -> Result<Vec<LookFailure>> {
    let failures = sqlx::query_as!(
        LookFailure,
        r#"select f.vm_id as "vm: VmId", v.name, v.organisation_id as "organisation: OrganisationId", o.name as organisation_name, f.error, f.since
           from look_failures f join vms v on v.id = f.vm_id join organisations o on o.id = v.organisation_id
           where v.deleted_at is null order by f.since limit $1"#,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(failures)
}
