//! The SQL of what the staff does to people.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::Person;
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{ImpersonationId, OrganisationId, SessionId, UserId};
use crate::permissions::PlatformRole;
use crate::users::UserState;

/// One change at a time of who works for the platform and of who may come in, so that two cannot take away the last admin
/// between them.
pub(super) async fn lock_staff(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('staff'))").execute(connection).await?;
    Ok(())
}

struct PersonRow {
    id: UserId,
    name: String,
    email: String,
    role: Option<String>,
    platform_role: Option<String>,
    state: String,
    state_reason: Option<String>,
    state_since: Option<DateTime<Utc>>,
    has_second_factor: bool,
    created_at: DateTime<Utc>,
}

impl From<PersonRow> for Person {
    fn from(row: PersonRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            email: row.email,
            role: row.role,
            platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
            state: UserState::parse(&row.state),
            state_reason: row.state_reason,
            state_since: row.state_since,
            has_second_factor: row.has_second_factor,
            created_at: row.created_at,
        }
    }
}

/// People of an organisation, or one person, or one of an organisation.
pub(super) async fn select_people(
    connection: &mut PgConnection,
    organisation: Option<OrganisationId>,
    only: Option<UserId>,
    limit: i64,
) -> Result<Vec<Person>> {
    let rows = sqlx::query_as!(
        PersonRow,
        r#"select u.id as "id: UserId", u.name, u.email, u.platform_role, u.state, u.state_reason, u.state_since, u.created_at,
                  coalesce(m.role, r.name) as role, 
                  (exists (select 1 from totp_secrets t where t.user_id = u.id and t.confirmed_at is not null) or exists (select 1 from passkeys p where p.user_id = u.id)) as "has_second_factor!"
           from users u
           left join members m on m.user_id = u.id and m.organisation_id = $1
           left join roles r on r.id = m.role_id
           where ($1::uuid is null or m.user_id is not null) and ($2::uuid is null or u.id = $2)
           order by m.role is distinct from 'owner', u.number limit $3"#,
        organisation.map(OrganisationId::uuid),
        only.map(UserId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Person::from).collect())
}

pub(super) async fn select_staff(pool: &PgPool, limit: i64) -> Result<Vec<Person>> {
    let rows = sqlx::query_as!(
        PersonRow,
        r#"select id as "id: UserId", name, email, platform_role, state, state_reason, state_since, created_at, null as role,
                  (exists (select 1 from totp_secrets t where t.user_id = u.id and t.confirmed_at is not null) or exists (select 1 from passkeys p where p.user_id = u.id)) as "has_second_factor!"
           from users u
           where platform_role is not null
           order by array_position(array['admin', 'operator', 'support'], platform_role), lower(email) limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Person::from).collect())
}

pub(super) async fn select_by_email(pool: &PgPool, email: &str) -> Result<Option<UserId>> {
    let found = sqlx::query_scalar!(r#"select id as "id: UserId" from users where lower(email) = lower($1)"#, email);
    Ok(found.fetch_optional(pool).await?)
}

/// Whether somebody is the only admin who can come in.
pub(super) async fn is_last_admin(connection: &mut PgConnection, user: UserId) -> Result<bool> {
    let last = sqlx::query_scalar!(
        r#"select exists (select from users where id = $1 and platform_role = 'admin' and state = 'active')
                  and not exists (select from users where id <> $1 and platform_role = 'admin' and state = 'active') as "last!""#,
        user.uuid(),
    );
    Ok(last.fetch_one(connection).await?)
}

pub(super) async fn update_state(
    connection: &mut PgConnection,
    user: UserId,
    state: UserState,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    let since = reason.map(|_| now);
    sqlx::query!(
        "update users set state = $2, state_reason = $3, state_since = $4 where id = $1",
        user.uuid(),
        state.name(),
        reason,
        since,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_role(connection: &mut PgConnection, user: UserId, role: Option<PlatformRole>) -> Result<()> {
    let role = role.map(PlatformRole::name);
    sqlx::query!("update users set platform_role = $2 where id = $1", user.uuid(), role).execute(connection).await?;
    Ok(())
}

pub(super) struct NewImpersonationRow<'a> {
    pub id: ImpersonationId,
    pub session: SessionId,
    pub staff: UserId,
    pub user: UserId,
    pub organisation: OrganisationId,
    pub reason: &'a str,
    pub started_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

pub(super) async fn insert_impersonation(connection: &mut PgConnection, new: &NewImpersonationRow<'_>) -> Result<()> {
    sqlx::query!(
        "insert into impersonations (id, session_id, staff_user_id, user_id, organisation_id, reason, started_at, ends_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.id.uuid(),
        new.session.uuid(),
        new.staff.uuid(),
        new.user.uuid(),
        new.organisation.uuid(),
        new.reason,
        new.started_at,
        new.ends_at,
    )
    .execute(connection)
    .await
    .on_constraint("impersonations_open_by_session", || {
        Error::conflict("You look as a customer already. Stop that first.")
    })
    .map(drop)
}

/// An impersonation that has just ended.
pub(super) struct Ended {
    pub staff: UserId,
    pub user: UserId,
    pub email: String,
    pub organisation: OrganisationId,
    pub started_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
}

pub(super) async fn end_of_session(
    connection: &mut PgConnection,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Ended>> {
    let ended = sqlx::query_as!(
        Ended,
        r#"update impersonations i set ended_at = $2 from users u
           where i.session_id = $1 and i.ended_at is null and u.id = i.user_id
           returning i.staff_user_id as "staff: UserId", u.id as "user: UserId", u.email, i.organisation_id as "organisation: OrganisationId",
                     i.started_at, i.ends_at, i.ended_at as "ended_at!""#,
        session.uuid(),
        now,
    );
    Ok(ended.fetch_optional(connection).await?)
}

pub(super) async fn end_over(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<Ended>> {
    let ended = sqlx::query_as!(
        Ended,
        r#"update impersonations i set ended_at = $1 from users u
           where (i.session_id is null or i.ends_at <= $1) and i.ended_at is null and u.id = i.user_id
           returning i.staff_user_id as "staff: UserId", u.id as "user: UserId", u.email, i.organisation_id as "organisation: OrganisationId",
                     i.started_at, i.ends_at, i.ended_at as "ended_at!""#,
        now,
    );
    Ok(ended.fetch_all(connection).await?)
}

pub(super) async fn end_of_person(
    connection: &mut PgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Ended>> {
    let ended = sqlx::query_as!(
        Ended,
        r#"update impersonations i set ended_at = $2 from users u
           where (i.staff_user_id = $1 or i.user_id = $1) and i.ended_at is null and u.id = i.user_id
           returning i.staff_user_id as "staff: UserId", u.id as "user: UserId", u.email, i.organisation_id as "organisation: OrganisationId",
                     i.started_at, i.ends_at, i.ended_at as "ended_at!""#,
        user.uuid(),
        now,
    );
    Ok(ended.fetch_all(connection).await?)
}
