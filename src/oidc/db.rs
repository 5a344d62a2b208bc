//! The SQL of accounts elsewhere and of the ways there.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::identities::{Identity, Shown};
use super::journeys::{Journey, Kind};
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{IdentityId, SessionId, UserId};

pub(super) async fn select(pool: &PgPool, user: UserId) -> Result<Vec<Identity>> {
    let identities = sqlx::query_as!(
        Identity,
        r#"select id as "id: IdentityId", issuer, email, created_at, last_used_at from user_identities where user_id = $1 order by id"#,
        user.uuid(),
    )
    .fetch_all(pool)
    .await?;
    Ok(identities)
}

pub(super) async fn count(connection: &mut PgConnection, user: UserId) -> Result<i64> {
    let count =
        sqlx::query_scalar!(r#"select count(*) as "count!" from user_identities where user_id = $1"#, user.uuid());
    Ok(count.fetch_one(connection).await?)
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    id: IdentityId,
    user: UserId,
    shown: &Shown,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into user_identities (id, user_id, issuer, subject, email, created_at) values ($1, $2, $3, $4, $5, $6)",
        id.uuid(),
        user.uuid(),
        shown.issuer,
        shown.subject,
        shown.email,
        now,
    )
    .execute(connection)
    .await
    .on_constraint("user_identities_once", || Error::conflict("It is linked with an account here already."))?;
    Ok(())
}

/// Notes a login; answers whose it is.
pub(super) async fn update_used(
    connection: &mut PgConnection,
    issuer: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<Option<UserId>> {
    let user = sqlx::query_scalar!(
        r#"update user_identities set last_used_at = $3 where issuer = $1 and subject = $2 returning user_id as "user: UserId""#,
        issuer,
        subject,
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(user)
}

/// Answers with the issuer of what is gone.
pub(super) async fn delete(connection: &mut PgConnection, user: UserId, id: IdentityId) -> Result<Option<String>> {
    let issuer = sqlx::query_scalar!(
        "delete from user_identities where user_id = $1 and id = $2 returning issuer",
        user.uuid(),
        id.uuid()
    );
    Ok(issuer.fetch_optional(connection).await?)
}

pub(super) async fn delete_all(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from user_identities where user_id = $1", user.uuid()).execute(connection).await?;
    Ok(())
}

/// Whether a person has a password, or an account at this issuer.
pub(super) async fn may_come_in(connection: &mut PgConnection, user: UserId, issuer: &str) -> Result<bool> {
    let may = sqlx::query_scalar!(
        r#"select has_password or exists (select 1 from user_identities where user_id = u.id and issuer = $2) as "may!" from users u where u.id = $1"#,
        user.uuid(),
        issuer,
    );
    Ok(may.fetch_one(connection).await?)
}

/// A way to the provider, or what somebody showed who came back from there.
pub(super) struct NewJourney<'a> {
    pub id: Uuid,
    pub state_hash: Option<Vec<u8>>,
    pub browser_hash: Vec<u8>,
    pub kind: Kind,
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    pub next: &'a str,
    /// Issuer, subject, address.
    pub shown: Option<(&'a str, &'a str, Option<&'a str>)>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub(super) async fn insert_journey(pool: &PgPool, new: &NewJourney<'_>) -> Result<()> {
    let (issuer, subject, email) =
        new.shown.map_or((None, None, None), |(issuer, subject, email)| (Some(issuer), Some(subject), email));
    sqlx::query!(
        "insert into oidc_journeys (id, state_hash, browser_hash, purpose, user_id, session_id, next, issuer, subject, email, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        new.id,
        new.state_hash,
        new.browser_hash,
        new.kind.name(),
        new.user.map(UserId::uuid),
        new.session.map(SessionId::uuid),
        new.next,
        issuer,
        subject,
        email,
        new.created_at,
        new.expires_at,
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn take_journey(
    pool: &PgPool,
    state_hash: &[u8],
    browser_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Journey>> {
    let row = sqlx::query!(
        r#"delete from oidc_journeys where state_hash = $1 and browser_hash = $2 and expires_at > $3
           returning purpose, user_id as "user: UserId", session_id as "session: SessionId", next, created_at"#,
        state_hash,
        browser_hash,
        now,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.and_then(|row| {
        let (user, session) = (row.user, row.session);
        Some(Journey { kind: Kind::parse(&row.purpose)?, user, session, next: row.next, created_at: row.created_at })
    }))
}

pub(super) async fn delete_shown(pool: &PgPool, browser_hash: &[u8]) -> Result<()> {
    sqlx::query!("delete from oidc_journeys where state_hash is null and browser_hash = $1", browser_hash)
        .execute(pool)
        .await?;
    Ok(())
}

pub(super) async fn select_shown(
    pool: &PgPool,
    browser_hash: &[u8],
    user: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Shown>> {
    let shown = sqlx::query_as!(
        Shown,
        r#"select email, issuer as "issuer!", subject as "subject!" from oidc_journeys
           where state_hash is null and browser_hash = $1 and user_id = $2 and session_id = $3 and expires_at > $4"#,
        browser_hash,
        user.uuid(),
        session.uuid(),
        now,
    )
    .fetch_optional(pool)
    .await?;
    Ok(shown)
}

pub(super) async fn take_shown(
    connection: &mut PgConnection,
    browser_hash: &[u8],
    user: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Shown>> {
    let shown = sqlx::query_as!(
        Shown,
        r#"delete from oidc_journeys
           where state_hash is null and browser_hash = $1 and user_id = $2 and session_id = $3 and expires_at > $4
           returning email, issuer as "issuer!", subject as "subject!""#,
        browser_hash,
        user.uuid(),
        session.uuid(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(shown)
}

pub(super) async fn delete_expired(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    Ok(sqlx::query!("delete from oidc_journeys where expires_at <= $1", now).execute(pool).await?.rows_affected())
}
