//! The SQL of sessions and of tokens.

pub(super) mod keys;
pub(super) mod list;
pub(super) mod tokens;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Assurance, Behalf, Caller, Login, Session};
use crate::audit::Named;
use crate::error::Result;
use crate::ids::{OrganisationId, SessionId, UserId};
use crate::organisations::{Membership, Organisation};
use crate::permissions::{Permission, Permissions};
use crate::users::{PlatformRole, User, UserState};

pub(super) struct NewSession {
    pub id: SessionId,
    pub user: UserId,
    pub organisation: OrganisationId,
    pub token_hash: Vec<u8>,
    pub csrf_token: String,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// The person's, when he proved who he is.
    pub epoch: i32,
}

/// Answers false when all logins of the person were ended since he proved who he is, or he was banned. Whoever ends them waits
/// for this transaction, or this one for his.
pub(super) async fn insert_session(connection: &mut PgConnection, new: NewSession) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into sessions (id, user_id, organisation_id, token_hash, csrf_token, address, user_agent, created_at, last_seen_at, expires_at, confirmed_at)
         select $1, u.id, $3, $4, $5, $6, $7, $8, $8, $9, $8 from users u where u.id = $2 and u.epoch = $10 and u.state <> 'banned' for share",
        new.id.uuid(),
        new.user.uuid(),
        new.organisation.uuid(),
        new.token_hash,
        new.csrf_token,
        new.address,
        new.user_agent,
        new.created_at,
        new.expires_at,
        new.epoch,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// One query for who is asking: session, person, and his place in the organisation that the session is for, or in his first
/// one when he belongs to that no more.
pub(super) async fn select_session(pool: &PgPool, token_hash: &[u8], now: DateTime<Utc>) -> Result<Option<Session>> {
    let row = sqlx::query!(
        r#"select s.id as "id: SessionId", s.csrf_token, coalesce(s.last_seen_at, s.created_at) as "last_seen_at!",
                  u.id as "user_id: UserId", u.number as user_number, u.email, u.name as user_name, u.platform_role, u.state,
                  u.email_verified_at is not null as "is_verified!", u.epoch,
                  m.role, r.permissions as "patterns?", o.id as "organisation_id: OrganisationId", o.number, o.name, o.created_at,
                  i.ends_at as "ends_at?", l.id as "login_id: UserId", l.email as login_email, l.platform_role as login_role, l.state as login_state,
                  s.confirmed_at, o.second_factor_required and not f.has as "missing_for_organisation!",
                  w.staff_second_factor and not f.has as "missing_for_platform!"
           from sessions s
           join users l on l.id = s.user_id
           left join impersonations i on i.session_id = s.id and i.ended_at is null and i.ends_at > $2
           join users u on u.id = coalesce(i.user_id, l.id)
           join lateral (select * from members where user_id = u.id
                         order by organisation_id = coalesce(i.organisation_id, s.organisation_id) desc, created_at, organisation_id limit 1) m on true
           join organisations o on o.id = m.organisation_id
           left join roles r on r.id = m.role_id
           cross join lateral (select exists (select 1 from totp_secrets where user_id = l.id and confirmed_at is not null)
                                   or exists (select 1 from passkeys where user_id = l.id) as has) f
           cross join settings w
           where s.token_hash = $1 and s.expires_at > $2 and u.state <> 'banned' and l.state <> 'banned'
             and (i.id is null or (u.platform_role is null and m.organisation_id = i.organisation_id))"#,
        token_hash,
        now,
    )
    .fetch_optional(pool)
    .await?;
    // Who may not look as others any more is nobody while that has not been ended.
    let may_look = |role: Option<&str>, state: &str| {
        let role = role.and_then(PlatformRole::parse).map_or(Permissions::NONE, PlatformRole::permissions);
        role.has(Permission::PlatformCustomerImpersonate) && UserState::parse(state) == UserState::Active
    };
    let row = row.filter(|row| row.ends_at.is_none() || may_look(row.login_role.as_deref(), &row.login_state));
    Ok(row.map(|row| {
        let organisation =
            Organisation { id: row.organisation_id, number: row.number, name: row.name, created_at: row.created_at };
        let place = Membership::new(organisation, row.role.as_deref(), row.patterns.as_deref());
        let on_behalf = row.ends_at.map(|until| Behalf { staff: Named::new(row.login_id, row.login_email), until });
        let permissions = if on_behalf.is_some() { place.permissions.on_behalf() } else { place.permissions };
        Session {
            id: row.id,
            csrf_token: super::web::form_token(&row.csrf_token, place.organisation.id),
            last_seen_at: row.last_seen_at,
            user: User {
                id: row.user_id,
                number: row.user_number,
                email: row.email,
                name: row.user_name,
                platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
                state: UserState::parse(&row.state),
                is_verified: row.is_verified,
                epoch: row.epoch,
            },
            organisation: place.organisation,
            permissions,
            on_behalf,
            assurance: Assurance {
                missing_for_organisation: row.missing_for_organisation,
                missing_for_platform: row.missing_for_platform,
                confirmed_at: row.confirmed_at,
            },
        }
    }))
}

pub(super) async fn update_organisation(
    connection: &mut PgConnection,
    id: SessionId,
    organisation: OrganisationId,
) -> Result<()> {
    sqlx::query!("update sessions set organisation_id = $2 where id = $1", id.uuid(), organisation.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn delete_session(connection: &mut PgConnection, id: SessionId) -> Result<()> {
    sqlx::query!("delete from sessions where id = $1", id.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) async fn confirm_session(connection: &mut PgConnection, id: SessionId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update sessions set confirmed_at = $2 where id = $1", id.uuid(), now).execute(connection).await?;
    Ok(())
}

/// Writes down that a session was used.
pub(super) async fn update_seen(pool: &PgPool, id: SessionId, address: Option<&str>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update sessions set last_seen_at = $3, address = coalesce($2, address) where id = $1",
        id.uuid(),
        address,
        now
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// One query for who is asking: the person of an access token unless the token's family was ended, and his place in the
/// organisation he names, or in his first one; no place when that is not his.
pub(super) async fn select_caller(
    pool: &PgPool,
    user: UserId,
    family: Uuid,
    wanted: Option<OrganisationId>,
) -> Result<Option<Caller>> {
    let row = sqlx::query!(
        r#"select u.number as user_number, u.email, u.name as user_name, u.platform_role, u.state,
                  u.email_verified_at is not null as "is_verified!", u.epoch,
                  p.role as "role?", p.patterns as "patterns?", p.id as "organisation_id?: OrganisationId", p.number as "number?",
                  p.name as "name?", p.created_at as "created_at?",
                  coalesce(p.second_factor_required, false) and not f.has as "missing_for_organisation!",
                  w.staff_second_factor and not f.has as "missing_for_platform!",
                  coalesce(q.api_requests_per_minute, d.api_requests_per_minute) as "requests_per_minute!"
           from users u
           join token_families t on t.id = $2 and t.user_id = u.id and t.ended_at is null
           left join lateral (
               select m.role, r.permissions as patterns, o.id, o.number, o.name, o.created_at, o.second_factor_required
               from members m join organisations o on o.id = m.organisation_id left join roles r on r.id = m.role_id
               where m.user_id = u.id and ($3::uuid is null or o.id = $3)
               order by o.number limit 1) p on true
           cross join lateral (select exists (select 1 from totp_secrets where user_id = u.id and confirmed_at is not null)
                                   or exists (select 1 from passkeys where user_id = u.id) as has) f
           left join quotas q on q.organisation_id = p.id
           cross join default_quotas d
           cross join settings w
           where u.id = $1 and u.state <> 'banned'"#,
        user.uuid(),
        family,
        wanted.map(OrganisationId::uuid),
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| {
        let organisation = match (row.organisation_id, row.number, row.name, row.created_at) {
            (Some(id), Some(number), Some(name), Some(created_at)) => {
                Some(Organisation { id, number, name, created_at })
            }
            _ => None,
        };
        let place = organisation
            .map(|organisation| Membership::new(organisation, row.role.as_deref(), row.patterns.as_deref()));
        let user = User {
            id: user,
            number: row.user_number,
            email: row.email,
            name: row.user_name,
            platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
            state: UserState::parse(&row.state),
            is_verified: row.is_verified,
            epoch: row.epoch,
        };
        let assurance = Assurance {
            missing_for_organisation: row.missing_for_organisation,
            missing_for_platform: row.missing_for_platform,
            confirmed_at: None,
        };
        let requests_per_minute = row.requests_per_minute;
        Caller { user, place, assurance, login: Login::Tokens(family), requests_per_minute }
    }))
}

pub(super) async fn delete_expired(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    let sessions =
        sqlx::query!("delete from sessions where expires_at <= $1", now).execute(pool).await?.rows_affected();
    let tokens =
        sqlx::query!("delete from refresh_tokens where expires_at <= $1", now).execute(pool).await?.rows_affected();
    let families =
        sqlx::query!("delete from token_families where expires_at <= $1", now).execute(pool).await?.rows_affected();
    Ok([sessions, tokens, families].into_iter().sum())
}

pub(super) async fn update_kept_form(
    pool: &PgPool,
    session: SessionId,
    form: &serde_json::Value,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("update sessions set kept_form = $2, kept_at = $3 where id = $1", session.uuid(), form, now)
        .execute(pool)
        .await?;
    Ok(())
}

pub(super) async fn select_kept_form(
    pool: &PgPool,
    session: SessionId,
    since: DateTime<Utc>,
) -> Result<Option<serde_json::Value>> {
    let form = sqlx::query_scalar!(
        r#"select kept_form as "form!" from sessions where id = $1 and kept_at > $2"#,
        session.uuid(),
        since
    );
    Ok(form.fetch_optional(pool).await?)
}
