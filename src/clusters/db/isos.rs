//! The SQL of CD images.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::clusters::{FoundIso, IsoImage};
use crate::error::Result;
use crate::ids::{ClusterId, IsoImageId};

pub(in crate::clusters) async fn select(pool: &PgPool, cluster: ClusterId) -> Result<Vec<IsoImage>> {
    let images = sqlx::query_as!(
        IsoImage,
        r#"select id as "id: IsoImageId", cluster_id as "cluster: ClusterId", volume, name, size_bytes, offered, rescue from iso_images
           where cluster_id = $1 order by lower(name), volume"#,
        cluster.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(images)
}

pub(in crate::clusters) async fn select_one(connection: &mut PgConnection, id: IsoImageId) -> Result<Option<IsoImage>> {
    let image = sqlx::query_as!(
        IsoImage,
        r#"select id as "id: IsoImageId", cluster_id as "cluster: ClusterId", volume, name, size_bytes, offered, rescue from iso_images where id = $1"#,
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(image)
}

/// Writes a listing down. Images that are not in it any more are offered no longer; those in no machine's drive are forgotten.
pub(in crate::clusters) async fn upsert(
    connection: &mut PgConnection,
    cluster: ClusterId,
    found: &[FoundIso],
    at: DateTime<Utc>,
) -> Result<()> {
    let ids: Vec<Uuid> = found.iter().map(|_| IsoImageId::new().uuid()).collect();
    let volumes: Vec<String> = found.iter().map(|image| image.volume.clone()).collect();
    let names: Vec<String> = found.iter().map(|image| image.name.clone()).collect();
    let sizes: Vec<i64> = found.iter().map(|image| image.size_bytes).collect();
    sqlx::query!(
        "insert into iso_images (id, cluster_id, volume, name, size_bytes, seen_at)
         select i.id, $1, i.volume, i.name, i.size_bytes, $6 from unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[]) as i (id, volume, name, size_bytes)
         on conflict (cluster_id, volume) do update set size_bytes = excluded.size_bytes, seen_at = excluded.seen_at",
        cluster.uuid(),
        &ids,
        &volumes,
        &names,
        &sizes,
        at,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from iso_images i where i.cluster_id = $1 and not (i.volume = any($2)) and not exists (select 1 from vms v where v.iso_image_id = i.id)",
        cluster.uuid(),
        &volumes,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update iso_images set offered = false, rescue = false where cluster_id = $1 and not (volume = any($2))",
        cluster.uuid(),
        &volumes,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::clusters) async fn update(
    connection: &mut PgConnection,
    cluster: ClusterId,
    id: IsoImageId,
    name: &str,
    offered: bool,
) -> Result<bool> {
    let changed = sqlx::query!(
        "update iso_images set name = $3, offered = $4 where cluster_id = $1 and id = $2",
        cluster.uuid(),
        id.uuid(),
        name,
        offered
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Two statements: there is at most one at any time, and the index says so for every row.
pub(in crate::clusters) async fn set_rescue(
    connection: &mut PgConnection,
    cluster: ClusterId,
    id: Option<IsoImageId>,
) -> Result<bool> {
    sqlx::query!("update iso_images set rescue = false where cluster_id = $1 and rescue", cluster.uuid())
        .execute(&mut *connection)
        .await?;
    let Some(id) = id else { return Ok(true) };
    let changed = sqlx::query!(
        "update iso_images set rescue = true where cluster_id = $1 and id = $2",
        cluster.uuid(),
        id.uuid()
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() == 1)
}
