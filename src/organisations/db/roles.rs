//! The SQL of the roles that organisations make.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::{Error, OnConstraint, Result};
use crate::ids::{OrganisationId, RoleId, UserId};
use crate::organisations::role_choice::RoleChoice;
use crate::organisations::roles::OwnRole;

pub async fn select(pool: &PgPool, organisation: OrganisationId, limit: i64) -> Result<Vec<OwnRole>> {
    let roles = sqlx::query_as!(
        OwnRole,
        r#"select r.id as "id: RoleId", r.name, r.permissions as patterns, r.created_at, r.changed_at,
                  (select count(*) from members m where m.role_id = r.id) as "members!"
           from roles r where r.organisation_id = $1 order by lower(r.name) limit $2"#,
        organisation.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(roles)
}

pub async fn select_one(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: RoleId,
) -> Result<Option<OwnRole>> {
    let role = sqlx::query_as!(
        OwnRole,
        r#"select r.id as "id: RoleId", r.name, r.permissions as patterns, r.created_at, r.changed_at,
                  (select count(*) from members m where m.role_id = r.id) as "members!"
           from roles r where r.organisation_id = $1 and r.id = $2"#,
        organisation.uuid(),
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(role)
}

pub async fn count(connection: &mut PgConnection, organisation: OrganisationId) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from roles where organisation_id = $1"#,
        organisation.uuid()
    );
    Ok(count.fetch_one(connection).await?)
}

/// How many people of each of the roles that every organisation has.
pub async fn count_standard(pool: &PgPool, organisation: OrganisationId) -> Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"select role as "role!", count(*) as "members!" from members where organisation_id = $1 and role is not null group by role"#,
        organisation.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.role, row.members)).collect())
}

fn taken() -> Error {
    Error::invalid("name", "There is a role of this name already.")
}

pub async fn insert(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: RoleId,
    name: &str,
    patterns: &[String],
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into roles (id, organisation_id, name, permissions, created_at, changed_at) values ($1, $2, $3, $4, $5, $5)",
        id.uuid(),
        organisation.uuid(),
        name,
        patterns,
        now,
    )
    .execute(connection)
    .await
    .on_constraint("roles_name_once", taken)?;
    Ok(())
}

pub async fn update(
    connection: &mut PgConnection,
    id: RoleId,
    name: &str,
    patterns: &[String],
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update roles set name = $2, permissions = $3, changed_at = $4 where id = $1",
        id.uuid(),
        name,
        patterns,
        now
    )
    .execute(connection)
    .await
    .on_constraint("roles_name_once", taken)?;
    Ok(())
}

/// Whether somebody has it, or is to have it when he accepts his invitation.
pub async fn is_used(connection: &mut PgConnection, id: RoleId, machine_now: DateTime<Utc>) -> Result<bool> {
    let used = sqlx::query_scalar!(
        r#"select exists (select 1 from members where role_id = $1)
               or exists (select 1 from invitations where role_id = $1 and accepted_at is null and withdrawn_at is null and expires_at > $2) as "used!""#,
        id.uuid(),
        machine_now,
    );
    Ok(used.fetch_one(connection).await?)
}

/// Who has a role, in one order for everybody who locks them one after the other.
pub async fn select_users(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: RoleId,
) -> Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        r#"select user_id as "user: UserId" from members where organisation_id = $1 and role_id = $2 order by user_id"#,
        organisation.uuid(),
        id.uuid(),
    );
    Ok(users.fetch_all(connection).await?)
}

/// Gives everybody who has it another one, also who was invited with it. Answers how many members that were.
pub async fn update_users(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: RoleId,
    to: RoleChoice,
) -> Result<u64> {
    let (standard, own) = (to.standard_name(), to.own_id());
    sqlx::query!(
        "update invitations set role = $3, role_id = $4
         where organisation_id = $1 and role_id = $2 and accepted_at is null and withdrawn_at is null",
        organisation.uuid(),
        id.uuid(),
        standard,
        own,
    )
    .execute(&mut *connection)
    .await?;
    let moved = sqlx::query!(
        "update members set role = $3, role_id = $4 where organisation_id = $1 and role_id = $2",
        organisation.uuid(),
        id.uuid(),
        standard,
        own,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

/// Removes it with the invitations of it that are over; the audit log keeps what they were.
pub async fn delete(connection: &mut PgConnection, organisation: OrganisationId, id: RoleId) -> Result<()> {
    sqlx::query!("delete from invitations where organisation_id = $1 and role_id = $2", organisation.uuid(), id.uuid())
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from roles where organisation_id = $1 and id = $2", organisation.uuid(), id.uuid())
        .execute(connection)
        .await?;
    Ok(())
}
