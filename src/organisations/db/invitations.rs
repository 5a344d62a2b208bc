//! The SQL of invitations.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::ids::{InvitationId, OrganisationId, RoleId, UserId};
use crate::organisations::invitations::{Found, Invitation};
use crate::organisations::role_choice::RoleChoice;

pub struct New<'a> {
    pub id: InvitationId,
    pub organisation: OrganisationId,
    pub email: &'a str,
    pub role: RoleChoice,
    pub token_hash: &'a [u8],
    pub invited_by: UserId,
    pub created_at: DateTime<Utc>,
    pub sent_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub async fn insert(connection: &mut PgConnection, new: New<'_>) -> Result<()> {
    sqlx::query!(
        "insert into invitations (id, organisation_id, email, role, role_id, token_hash, invited_by, created_at, sent_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id.uuid(),
        new.organisation.uuid(),
        new.email,
        new.role.standard_name(),
        new.role.own_id(),
        new.token_hash,
        new.invited_by.uuid(),
        new.created_at,
        new.sent_at,
        new.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What was neither accepted nor withdrawn, newest first, also what has expired.
pub async fn select_open(pool: &PgPool, organisation: OrganisationId, limit: i64) -> Result<Vec<Invitation>> {
    let rows = sqlx::query!(
        r#"select i.id as "id: InvitationId", i.email, i.role, i.role_id as "role_id: RoleId", r.name as "role_name?", u.email as invited_by,
                  i.sent_at, i.expires_at, i.sends
           from invitations i join users u on u.id = i.invited_by left join roles r on r.id = i.role_id
           where i.organisation_id = $1 and i.accepted_at is null and i.withdrawn_at is null
           order by i.id desc limit $2"#,
        organisation.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Invitation {
            id: row.id,
            email: row.email,
            role: RoleChoice::stored(row.role.as_deref(), row.role_id),
            role_name: RoleChoice::name(row.role.as_deref(), row.role_name),
            invited_by: row.invited_by,
            sent_at: row.sent_at,
            expires_at: row.expires_at,
            sends: row.sends,
        })
        .collect())
}

/// Which invitation is looked for.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    Token(&'a [u8]),
    Id(OrganisationId, InvitationId),
    OpenTo(OrganisationId, &'a str),
}

pub async fn select(connection: &mut PgConnection, by: By<'_>) -> Result<Option<Found>> {
    let (token, organisation, id, email) = match by {
        By::Token(hash) => (Some(hash), None, None, None),
        By::Id(organisation, id) => (None, Some(organisation), Some(id), None),
        By::OpenTo(organisation, email) => (None, Some(organisation), None, Some(email)),
    };
    let row = sqlx::query!(
        r#"select i.id as "id: InvitationId", i.organisation_id as "organisation: OrganisationId", o.name as organisation_name,
                  i.email, i.role, i.role_id as "role_id: RoleId", r.name as "role_name?", u.id as "inviter: UserId", u.name as invited_by,
                  i.sent_at, i.expires_at, i.sends, i.accepted_at is not null as "accepted!", i.withdrawn_at is not null as "withdrawn!"
           from invitations i join organisations o on o.id = i.organisation_id join users u on u.id = i.invited_by
           left join roles r on r.id = i.role_id
           where ($1::bytea is null or i.token_hash = $1) and ($2::uuid is null or i.organisation_id = $2) and ($3::uuid is null or i.id = $3)
             and ($4::text is null or (lower(i.email) = lower($4) and i.accepted_at is null and i.withdrawn_at is null))"#,
        token,
        organisation.map(OrganisationId::uuid),
        id.map(InvitationId::uuid),
        email,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Found {
        id: row.id,
        organisation: row.organisation,
        organisation_name: row.organisation_name,
        email: row.email,
        role: RoleChoice::stored(row.role.as_deref(), row.role_id),
        role_name: RoleChoice::name(row.role.as_deref(), row.role_name),
        inviter: row.inviter,
        invited_by: row.invited_by,
        sent_at: row.sent_at,
        expires_at: row.expires_at,
        sends: row.sends,
        accepted: row.accepted,
        withdrawn: row.withdrawn,
    }))
}

/// How many are open, and how many were made since an instant by the books.
pub async fn count(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    machine_now: DateTime<Utc>,
    since: DateTime<Utc>,
) -> Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"select count(*) filter (where accepted_at is null and withdrawn_at is null and expires_at > $2) as "open!",
                  count(*) filter (where created_at > $3) as "recent!"
           from invitations where organisation_id = $1"#,
        organisation.uuid(),
        machine_now,
        since,
    )
    .fetch_one(connection)
    .await?;
    Ok((row.open, row.recent))
}

/// Whether a person of this address belongs to the organisation.
pub async fn is_member(connection: &mut PgConnection, organisation: OrganisationId, email: &str) -> Result<bool> {
    let known = sqlx::query_scalar!(
        r#"select exists (select 1 from members m join users u on u.id = m.user_id
                          where m.organisation_id = $1 and lower(u.email) = lower($2)) as "known!""#,
        organisation.uuid(),
        email,
    );
    Ok(known.fetch_one(connection).await?)
}

pub async fn update_sent(
    connection: &mut PgConnection,
    id: InvitationId,
    token_hash: &[u8],
    by: UserId,
    sent_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update invitations set token_hash = $2, invited_by = $3, sent_at = $4, expires_at = $5, sends = sends + 1 where id = $1",
        id.uuid(),
        token_hash,
        by.uuid(),
        sent_at,
        expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn update_withdrawn(connection: &mut PgConnection, id: InvitationId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update invitations set withdrawn_at = $2 where id = $1", id.uuid(), now).execute(connection).await?;
    Ok(())
}

/// Withdraws what one person has promised in an organisation. Answers which those were.
pub async fn update_withdrawn_by(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    by: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<InvitationId>> {
    let ids = sqlx::query_scalar!(
        r#"update invitations set withdrawn_at = $3
           where organisation_id = $1 and invited_by = $2 and accepted_at is null and withdrawn_at is null
           returning id as "id: InvitationId""#,
        organisation.uuid(),
        by.uuid(),
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

pub async fn update_accepted(
    connection: &mut PgConnection,
    id: InvitationId,
    by: UserId,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("update invitations set accepted_at = $2, accepted_by = $3 where id = $1", id.uuid(), now, by.uuid())
        .execute(connection)
        .await?;
    Ok(())
}
