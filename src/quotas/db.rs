//! The SQL of quotas, and of what they count.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Amounts, OwnLimits, Quota};
use crate::error::Result;
use crate::ids::OrganisationId;

/// The own answers of an organisation, and what it has: all machines that are not gone, each as large as it is or is becoming.
pub(super) async fn select(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<Option<(OwnLimits, Amounts)>> {
    let row = sqlx::query!(
        r#"select q.vms as "vms?", q.vcpu as "vcpu?", q.memory_mib as "memory_mib?", q.disk_gib as "disk_gib?", q.snapshots as "snapshots?",
                  q.backups as "backups?", q.addresses as "addresses?", q.api_requests_per_minute as "api_requests_per_minute?",
                  used.vms as "used_vms!", used.vcpu as "used_vcpu!", used.memory_mib as "used_memory_mib!", used.disk_gib as "used_disk_gib!",
                  used.addresses as "used_addresses!"
           from organisations o left join quotas q on q.organisation_id = o.id
           cross join lateral (
               select count(*) as vms, coalesce(sum(greatest(p.vcpu, next.vcpu)), 0)::bigint as vcpu,
                      coalesce(sum(greatest(p.memory_mib, next.memory_mib)), 0)::bigint as memory_mib,
                      coalesce(sum(greatest(v.disk_gib, next.disk_gib)), 0)::bigint as disk_gib, count(a.address) as addresses
               from vms v join plans p on p.id = v.plan_id left join plans next on next.id = v.next_plan_id
               left join addresses a on a.vm_id = v.id
               where v.organisation_id = o.id and v.deleted_at is null and v.state <> 'failed') used
           where o.id = $1"#,
        organisation.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let own = OwnLimits {
            vms: row.vms,
            vcpu: row.vcpu,
            memory_mib: row.memory_mib,
            disk_gib: row.disk_gib,
            snapshots: row.snapshots,
            backups: row.backups,
            addresses: row.addresses,
            api_requests_per_minute: row.api_requests_per_minute,
        };
        let used = Amounts::NONE
            .with(Quota::Vms, row.used_vms)
            .with(Quota::Vcpu, row.used_vcpu)
            .with(Quota::Memory, row.used_memory_mib)
            .with(Quota::Disk, row.used_disk_gib)
            .with(Quota::Addresses, row.used_addresses);
        (own, used)
    }))
}

pub(super) async fn select_defaults(connection: &mut PgConnection) -> Result<(Amounts, Option<String>)> {
    let row = sqlx::query!(
        "select vms, vcpu, memory_mib, disk_gib, snapshots, backups, addresses, api_requests_per_minute, contact from default_quotas"
    )
    .fetch_one(connection)
    .await?;
    let amounts = Amounts::NONE
        .with(Quota::Vms, row.vms)
        .with(Quota::Vcpu, row.vcpu)
        .with(Quota::Memory, row.memory_mib)
        .with(Quota::Disk, row.disk_gib)
        .with(Quota::Snapshots, row.snapshots)
        .with(Quota::Backups, row.backups)
        .with(Quota::Addresses, row.addresses)
        .with(Quota::ApiRequests, row.api_requests_per_minute);
    Ok((amounts, row.contact))
}

pub(super) async fn lock_defaults(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("select only_row from default_quotas for update").fetch_one(connection).await?;
    Ok(())
}

pub(super) async fn update_defaults(
    connection: &mut PgConnection,
    new: &Amounts,
    contact: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update default_quotas set vms = $1, vcpu = $2, memory_mib = $3, disk_gib = $4, snapshots = $5, backups = $6, addresses = $7,
                api_requests_per_minute = $8, contact = $9, changed_at = $10",
        new.of(Quota::Vms),
        new.of(Quota::Vcpu),
        new.of(Quota::Memory),
        new.of(Quota::Disk),
        new.of(Quota::Snapshots),
        new.of(Quota::Backups),
        new.of(Quota::Addresses),
        new.of(Quota::ApiRequests),
        contact,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn upsert(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    new: &OwnLimits,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into quotas (organisation_id, vms, vcpu, memory_mib, disk_gib, snapshots, backups, addresses, api_requests_per_minute, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (organisation_id) do update
         set vms = $2, vcpu = $3, memory_mib = $4, disk_gib = $5, snapshots = $6, backups = $7, addresses = $8,
             api_requests_per_minute = $9, changed_at = $10",
        organisation.uuid(),
        new.vms,
        new.vcpu,
        new.memory_mib,
        new.disk_gib,
        new.snapshots,
        new.backups,
        new.addresses,
        new.api_requests_per_minute,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
