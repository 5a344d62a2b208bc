//! The SQL of who belongs to an organisation.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::ids::{OrganisationId, RoleId, UserId};
use crate::organisations::members::{Detail, Place, SecondFactor};
use crate::organisations::mine::Mine;
use crate::organisations::role_choice::RoleChoice;
use crate::organisations::{Membership, Organisation};

/// The stored state of who is neither suspended nor banned.
const ACTIVE: &str = "active";

/// Makes every other change of the organisation's people and roles wait. Answers with its name.
pub async fn lock(connection: &mut PgConnection, organisation: OrganisationId) -> Result<Option<String>> {
    let name =
        sqlx::query_scalar!("select name from organisations where id = $1 for no key update", organisation.uuid());
    Ok(name.fetch_optional(connection).await?)
}

/// Makes every other change of the organisations that somebody belongs to wait. Answers whether he is neither suspended nor
/// banned.
pub async fn lock_user(connection: &mut PgConnection, user: UserId) -> Result<bool> {
    let state = sqlx::query_scalar!("select state from users where id = $1 for no key update", user.uuid());
    Ok(state.fetch_one(connection).await? == ACTIVE)
}

pub async fn select_place(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    user: UserId,
) -> Result<Option<Place>> {
    let row = sqlx::query!(
        r#"select u.name, u.email, u.state, m.role, m.role_id as "role_id: RoleId", r.name as "role_name?", r.permissions as "patterns?"
           from members m join users u on u.id = m.user_id left join roles r on r.id = m.role_id
           where m.organisation_id = $1 and m.user_id = $2"#,
        organisation.uuid(),
        user.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Place {
        user,
        name: row.name,
        email: row.email,
        is_active: row.state == ACTIVE,
        permissions: Membership::permissions_of(row.role.as_deref(), row.patterns.as_deref()),
        role: RoleChoice::stored(row.role.as_deref(), row.role_id),
        role_name: RoleChoice::name(row.role.as_deref(), row.role_name),
    }))
}

pub async fn select_details(pool: &PgPool, organisation: OrganisationId, limit: i64) -> Result<Vec<Detail>> {
    let rows = sqlx::query!(
        r#"select u.id as "user: UserId", u.name, u.email, u.state, m.created_at, m.role, m.role_id as "role_id: RoleId",
                  r.name as "role_name?", r.permissions as "patterns?",
                  exists (select 1 from totp_secrets where user_id = u.id and confirmed_at is not null) as "has_totp!",
                  exists (select 1 from passkeys where user_id = u.id) as "has_passkey!"
           from members m join users u on u.id = m.user_id left join roles r on r.id = m.role_id
           where m.organisation_id = $1 order by m.created_at, u.number limit $2"#,
        organisation.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Detail {
            user: row.user,
            name: row.name,
            email: row.email,
            is_active: row.state == ACTIVE,
            joined_at: row.created_at,
            second_factors: [(row.has_totp, SecondFactor::Totp), (row.has_passkey, SecondFactor::Passkey)]
                .into_iter()
                .filter_map(|(has, factor)| has.then_some(factor))
                .collect(),
            permissions: Membership::permissions_of(row.role.as_deref(), row.patterns.as_deref()),
            role: RoleChoice::stored(row.role.as_deref(), row.role_id),
            role_name: RoleChoice::name(row.role.as_deref(), row.role_name),
        })
        .collect())
}

/// How many people belong to it, and how many of them own it.
pub async fn count(connection: &mut PgConnection, organisation: OrganisationId) -> Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"select count(*) as "all!", count(*) filter (where role = 'owner') as "owners!" from members where organisation_id = $1"#,
        organisation.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok((row.all, row.owners))
}

pub async fn insert(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    user: UserId,
    role: RoleChoice,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into members (organisation_id, user_id, role, role_id, created_at) values ($1, $2, $3, $4, $5)",
        organisation.uuid(),
        user.uuid(),
        role.standard_name(),
        role.own_id(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn update_role(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    user: UserId,
    role: RoleChoice,
) -> Result<()> {
    sqlx::query!(
        "update members set role = $3, role_id = $4 where organisation_id = $1 and user_id = $2",
        organisation.uuid(),
        user.uuid(),
        role.standard_name(),
        role.own_id(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn delete(connection: &mut PgConnection, organisation: OrganisationId, user: UserId) -> Result<()> {
    sqlx::query!("delete from members where organisation_id = $1 and user_id = $2", organisation.uuid(), user.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// The organisations of a person, the oldest first.
pub async fn select_mine(pool: &PgPool, user: UserId, limit: i64) -> Result<Vec<Mine>> {
    let rows = sqlx::query!(
        r#"select o.id as "id: OrganisationId", o.number, o.name, o.created_at, m.role, m.role_id as "role_id: RoleId",
                  r.name as "role_name?", (select count(*) from members all_of where all_of.organisation_id = o.id) as "members!"
           from members m join organisations o on o.id = m.organisation_id left join roles r on r.id = m.role_id
           where m.user_id = $1 order by o.number limit $2"#,
        user.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Mine {
            organisation: Organisation { id: row.id, number: row.number, name: row.name, created_at: row.created_at },
            role: RoleChoice::stored(row.role.as_deref(), row.role_id),
            role_name: RoleChoice::name(row.role.as_deref(), row.role_name),
            members: row.members,
        })
        .collect())
}

pub async fn select_brief(pool: &PgPool, user: UserId, limit: i64) -> Result<Vec<(OrganisationId, String)>> {
    let rows = sqlx::query!(
        r#"select o.id as "id: OrganisationId", o.name from members m join organisations o on o.id = m.organisation_id
           where m.user_id = $1 order by o.number limit $2"#,
        user.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// To how many organisations somebody belongs, and how many of them he owns.
pub async fn count_mine(connection: &mut PgConnection, user: UserId) -> Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"select count(*) as "all!", count(*) filter (where role = 'owner') as "owned!" from members where user_id = $1"#,
        user.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok((row.all, row.owned))
}

pub async fn update_name(connection: &mut PgConnection, organisation: OrganisationId, name: &str) -> Result<()> {
    sqlx::query!("update organisations set name = $2 where id = $1", organisation.uuid(), name)
        .execute(connection)
        .await?;
    Ok(())
}
