//! The SQL of images and their licences.

use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::ids::ImageId;
use crate::pricing::ImageLine;

pub(in crate::pricing) async fn select(pool: &PgPool) -> Result<Vec<ImageLine>> {
    Ok(sqlx::query_as!(
        ImageLine,
        r#"select i.id as "id: ImageId", i.slug, i.name, i.minimum_disk_gib, i.licence,
                  (select count(*) from image_templates t where t.image_id = i.id) as "clusters!",
                  (select count(*) from meter_intervals m where m.image_id = i.id and not m.settled and upper_inf(m.during)) as "licensed_vms!"
           from images i where i.retired_at is null order by i.position, i.name"#
    )
    .fetch_all(pool)
    .await?)
}

/// The name of an image and its licence, locked.
pub(in crate::pricing) async fn lock(
    connection: &mut PgConnection,
    image: ImageId,
) -> Result<Option<(String, Option<String>)>> {
    let row = sqlx::query!("select name, licence from images where id = $1 for update", image.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| (row.name, row.licence)))
}

pub(in crate::pricing) async fn update_licence(
    connection: &mut PgConnection,
    image: ImageId,
    licence: Option<&str>,
) -> Result<()> {
    sqlx::query!("update images set licence = $2 where id = $1", image.uuid(), licence).execute(connection).await?;
    Ok(())
}
