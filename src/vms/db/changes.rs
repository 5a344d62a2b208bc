//! The SQL of changes to a machine that exists: size, system, place, settings.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::{Error, OnConstraint, Result};
use crate::ids::{ImageId, IsoImageId, OrganisationId, PlanId, VmId};
use crate::vms::Ranked;

pub(in crate::vms) async fn set_next_vmid(connection: &mut PgConnection, vm: VmId, vmid: Option<u32>) -> Result<()> {
    let vmid = vmid.and_then(|vmid| i32::try_from(vmid).ok());
    sqlx::query!("update vms set next_vmid = $2 where id = $1", vm.uuid(), vmid).execute(connection).await?;
    Ok(())
}

/// What a job will make of a machine; room is kept for it from now on.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::vms) struct Next<'a> {
    pub plan: Option<PlanId>,
    pub node: Option<&'a str>,
    pub image: Option<ImageId>,
}

pub(in crate::vms) async fn set_next(connection: &mut PgConnection, vm: VmId, next: Next<'_>) -> Result<()> {
    sqlx::query!(
        "update vms set next_plan_id = $2, next_node = $3, next_image_id = $4, next_vmid = null where id = $1",
        vm.uuid(),
        next.plan.map(PlanId::uuid),
        next.node,
        next.image.map(ImageId::uuid),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The machine has the plan now that the job was to give it.
pub(in crate::vms) async fn take_next_plan(connection: &mut PgConnection, vm: VmId) -> Result<()> {
    sqlx::query!(
        "update vms set plan_id = coalesce(next_plan_id, plan_id), next_plan_id = null, next_node = null where id = $1",
        vm.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::vms) async fn note_grown_disk(connection: &mut PgConnection, vm: VmId, disk_gib: i32) -> Result<()> {
    sqlx::query!("update vms set disk_gib = greatest(disk_gib, $2) where id = $1", vm.uuid(), disk_gib)
        .execute(connection)
        .await?;
    Ok(())
}

/// The new guest is the machine's from now on; the one it had is the job's to remove. Or the other way round.
pub(in crate::vms) async fn swap(
    connection: &mut PgConnection,
    vm: VmId,
    vmid: i32,
    next_vmid: Option<i32>,
) -> Result<()> {
    sqlx::query!("update vms set vmid = $2, next_vmid = $3 where id = $1", vm.uuid(), vmid, next_vmid)
        .execute(connection)
        .await?;
    Ok(())
}

/// The machine has another system now: what belonged to the one before is forgotten.
pub(in crate::vms) async fn take_next_image(
    connection: &mut PgConnection,
    vm: VmId,
    authorized_keys: &str,
) -> Result<()> {
    sqlx::query!(
        "update vms set image_id = coalesce(next_image_id, image_id), next_image_id = null, next_vmid = null, authorized_keys = $2,
                        iso_image_id = null, boot_from_iso = false, paused_at = null where id = $1",
        vm.uuid(),
        authorized_keys,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::vms) async fn set_user_data(
    connection: &mut PgConnection,
    vm: VmId,
    user_data: Option<&str>,
) -> Result<()> {
    sqlx::query!("update vms set user_data = $2 where id = $1", vm.uuid(), user_data).execute(connection).await?;
    Ok(())
}

pub(in crate::vms) async fn select_user_data(
    pool: &PgPool,
    organisation: OrganisationId,
    vm: VmId,
) -> Result<Option<String>> {
    let found = sqlx::query_scalar!(
        "select user_data from vms where id = $1 and organisation_id = $2 and deleted_at is null",
        vm.uuid(),
        organisation.uuid()
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.flatten())
}

/// What can be set on a machine at any time.
pub(in crate::vms) struct Settings<'a> {
    pub name: &'a str,
    pub tags: &'a [String],
    pub protected: bool,
    pub authorized_keys: &'a str,
    pub iso_image: Option<IsoImageId>,
    pub boot_from_iso: bool,
}

pub(in crate::vms) async fn update_settings(
    connection: &mut PgConnection,
    vm: VmId,
    settings: &Settings<'_>,
) -> Result<()> {
    sqlx::query!(
        "update vms set name = $2, tags = $3, protected = $4, authorized_keys = $5, iso_image_id = $6, boot_from_iso = $7 where id = $1",
        vm.uuid(),
        settings.name,
        settings.tags,
        settings.protected,
        settings.authorized_keys,
        settings.iso_image.map(IsoImageId::uuid),
        settings.boot_from_iso,
    )
    .execute(connection)
    .await
    .on_constraint("vms_name_once", || Error::invalid("name", "You have a VM of this name already."))?;
    Ok(())
}

pub(in crate::vms) async fn set_paused(
    connection: &mut PgConnection,
    vm: VmId,
    at: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!("update vms set paused_at = $2 where id = $1", vm.uuid(), at).execute(connection).await?;
    Ok(())
}

/// How important a machine is to its owner.
pub(in crate::vms) struct Importance {
    pub name: String,
    pub importance: i32,
}

pub(in crate::vms) async fn select_importance(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    vm: VmId,
) -> Result<Option<Importance>> {
    let found = sqlx::query_as!(
        Importance,
        "select name, importance from vms where organisation_id = $1 and id = $2 and deleted_at is null",
        organisation.uuid(),
        vm.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}

pub(in crate::vms) async fn update_importance(connection: &mut PgConnection, vm: VmId, importance: i32) -> Result<()> {
    sqlx::query!("update vms set importance = $2 where id = $1", vm.uuid(), importance).execute(connection).await?;
    Ok(())
}

/// The machines that are not deleted, the most important first, and of equals the oldest.
pub(in crate::vms) async fn select_order(
    executor: impl sqlx::PgExecutor<'_>,
    organisation: OrganisationId,
) -> Result<Vec<Ranked>> {
    let found = sqlx::query_as!(
        Ranked,
        r#"select id as "id: VmId", name, importance from vms where organisation_id = $1 and deleted_at is null and state <> 'failed'
           order by importance desc, number"#,
        organisation.uuid()
    )
    .fetch_all(executor)
    .await?;
    Ok(found)
}

pub(in crate::vms) async fn update_order(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    order: &[Ranked],
) -> Result<()> {
    let vms: Vec<uuid::Uuid> = order.iter().map(|ranked| ranked.id.uuid()).collect();
    let importances: Vec<i32> = order.iter().map(|ranked| ranked.importance).collect();
    sqlx::query!(
        "update vms v set importance = o.importance from unnest($2::uuid[], $3::int[]) as o (id, importance)
         where v.id = o.id and v.organisation_id = $1 and v.importance <> o.importance",
        organisation.uuid(),
        &vms,
        &importances,
    )
    .execute(connection)
    .await?;
    Ok(())
}
