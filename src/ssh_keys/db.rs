//! The SQL of SSH keys.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::SshKey;
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{OrganisationId, SshKeyId};

pub(super) async fn select(pool: &PgPool, organisation: OrganisationId) -> Result<Vec<SshKey>> {
    let keys = sqlx::query_as!(
        SshKey,
        r#"select id as "id: SshKeyId", name, public_key, fingerprint, created_at from ssh_keys where organisation_id = $1 order by id desc"#,
        organisation.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(keys)
}

pub(super) async fn select_by_ids(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    ids: &[SshKeyId],
) -> Result<Vec<SshKey>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let keys = sqlx::query_as!(
        SshKey,
        r#"select id as "id: SshKeyId", name, public_key, fingerprint, created_at from ssh_keys where organisation_id = $1 and id = any($2) order by id"#,
        organisation.uuid(),
        &ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(keys)
}

/// How many keys an organisation has. Nobody else adds one until the transaction ends.
pub(super) async fn count_for_update(connection: &mut PgConnection, organisation: OrganisationId) -> Result<i64> {
    sqlx::query!("select id from organisations where id = $1 for no key update", organisation.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from ssh_keys where organisation_id = $1"#,
        organisation.uuid()
    )
    .fetch_one(connection)
    .await?)
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key: &SshKey,
    field: &'static str,
) -> Result<()> {
    sqlx::query!(
        "insert into ssh_keys (id, organisation_id, name, public_key, fingerprint, created_at) values ($1, $2, $3, $4, $5, $6)",
        key.id.uuid(),
        organisation.uuid(),
        key.name,
        key.public_key,
        key.fingerprint,
        key.created_at,
    )
    .execute(connection)
    .await
    .on_constraint("ssh_keys_once", || Error::invalid(field, "This key is in the list already."))?;
    Ok(())
}

pub(super) async fn delete(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: SshKeyId,
) -> Result<Option<SshKey>> {
    let key = sqlx::query_as!(
        SshKey,
        r#"delete from ssh_keys where organisation_id = $1 and id = $2 returning id as "id: SshKeyId", name, public_key, fingerprint, created_at"#,
        organisation.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(key)
}
