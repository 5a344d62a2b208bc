//! Tokens of programs: an access token that is checked without a look into the table of tokens, and refresh tokens that
//! rotate at every use. A refresh token used twice was stolen or copied, so its whole family ends.

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Assurance, Login, db, hash, random_token};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::organisations::Membership;
use crate::users::{self, User};

/// How long an access token is good.
pub const ACCESS_MINUTES: i64 = 15;
/// How long a refresh token is good, if it is not used before.
const REFRESH_DAYS: i64 = 7;

const EXPIRED: &str = "The access token is missing, wrong or has expired.";
const REFRESH_REFUSED: &str = "The refresh token is wrong, has expired or was used before. Log in again.";

/// What a program gets at login.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Tokens {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Exchanges for the next pair, once.
    pub refresh_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 900)]
    pub expires_in: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub sub: UserId,
    /// The family of the refresh token it came with, so that a logout ends both.
    pub fam: Uuid,
    iat: i64,
    exp: i64,
    /// When the login proved who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

/// Who holds an access token.
#[derive(Debug)]
pub struct Caller {
    /// The person.
    pub user: User,
    /// His place in the organisation that he asked for, or in his first one; none when that is not his.
    pub place: Option<Membership>,
    /// How sure we are of him.
    pub assurance: Assurance,
    /// His login.
    pub login: Login,
}

/// Issues the first pair of a new family to somebody who has just proved who he is.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn issue(app: &App, user: &User) -> Result<Tokens> {
    let mut transaction = app.pool.begin().await?;
    let tokens = next_pair(app, &mut transaction, user.id, Uuid::now_v7(), Some(app.clock.machine_now())).await?;
    transaction.commit().await?;
    Ok(tokens)
}

/// As [`issue`], as a login that the audit log tells of.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn log_in(app: &App, user: &User, actor: Actor) -> Result<Tokens> {
    let now = app.clock.machine_now();
    let mut transaction = app.pool.begin().await?;
    let tokens = next_pair(app, &mut transaction, user.id, Uuid::now_v7(), Some(now)).await?;
    let subject = Subject::new("user", user.id, &user.email);
    let (actor, detail) = (actor.known_as(user), json!({ "program": true }));
    audit::record(&mut transaction, app.clock.now(), &actor, None, Event::UserLoggedIn, subject, detail).await?;
    transaction.commit().await?;
    Ok(tokens)
}

/// Exchanges a refresh token for the next pair. Of two who try at once, exactly one gets it.
///
/// # Errors
/// `Unauthenticated` when the token is unknown, expired or used; the latter ends its family.
pub async fn refresh(app: &App, refresh_token: &str, actor: Actor) -> Result<Tokens> {
    let now = app.clock.machine_now();
    let mut transaction = app.pool.begin().await?;
    let Some(found) = db::lock_refresh_token(&mut transaction, &hash(refresh_token)).await? else {
        return Err(Error::Unauthenticated(REFRESH_REFUSED));
    };
    if found.revoked || found.expires_at <= now {
        return Err(Error::Unauthenticated(REFRESH_REFUSED));
    }
    if found.used {
        db::revoke_family(&mut transaction, found.family, now).await?;
        let email = users::find(&mut transaction, found.user).await?.map(|user| user.email).unwrap_or_default();
        let subject = Subject::new("user", found.user, email);
        audit::record(&mut transaction, app.clock.now(), &actor, None, Event::RefreshTokenReused, subject, json!({}))
            .await?;
        transaction.commit().await?;
        return Err(Error::Unauthenticated(REFRESH_REFUSED));
    }
    db::mark_used(&mut transaction, found.id, now).await?;
    let tokens = next_pair(app, &mut transaction, found.user, found.family, found.confirmed_at).await?;
    transaction.commit().await?;
    Ok(tokens)
}

/// Ends the family of a refresh token: logging out. Unknown tokens are fine, for there is nothing to end.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn revoke(app: &App, refresh_token: &str) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    if let Some(found) = db::lock_refresh_token(&mut transaction, &hash(refresh_token)).await? {
        db::revoke_family(&mut transaction, found.family, app.clock.machine_now()).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Who an access token belongs to, if it is good and its family was not ended; and his place in the organisation that is
/// `wanted`, or in his first one: none when that is not his.
///
/// # Errors
/// `Unauthenticated` otherwise.
pub async fn verify(app: &App, access_token: &str, wanted: Option<OrganisationId>) -> Result<Caller> {
    let claims = claims(app, access_token)?;
    let found = db::select_caller(&app.pool, claims.sub, claims.fam, wanted).await?;
    let (user, place, assurance) = found.ok_or(Error::Unauthenticated(EXPIRED))?;
    let confirmed_at = claims.auth_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    Ok(Caller { user, place, assurance: Assurance { confirmed_at, ..assurance }, login: Login::Tokens(claims.fam) })
}

/// What an access token says, if it is ours and has not expired.
pub(super) fn claims(app: &App, access_token: &str) -> Result<Claims> {
    let mut validation = Validation::new(Algorithm::HS256);
    // Checked below against our own clock.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(app.settings.token_key.expose_secret().as_bytes());
    let claims = decode::<Claims>(access_token, &key, &validation).map_err(|_| Error::Unauthenticated(EXPIRED))?.claims;
    let expires = DateTime::<Utc>::from_timestamp(claims.exp, 0).ok_or(Error::Unauthenticated(EXPIRED))?;
    if expires <= app.clock.machine_now() {
        return Err(Error::Unauthenticated(EXPIRED));
    }
    Ok(claims)
}

async fn next_pair(
    app: &App,
    connection: &mut sqlx::PgConnection,
    user: UserId,
    family: Uuid,
    confirmed_at: Option<DateTime<Utc>>,
) -> Result<Tokens> {
    let now = app.clock.machine_now();
    let refresh_token = random_token();
    let expires_at = now + TimeDelta::days(REFRESH_DAYS);
    db::insert_refresh_token(connection, user, family, &hash(&refresh_token), now, expires_at, confirmed_at).await?;
    let claims = Claims {
        sub: user,
        fam: family,
        iat: now.timestamp(),
        exp: (now + TimeDelta::minutes(ACCESS_MINUTES)).timestamp(),
        auth_time: confirmed_at.map(|at| at.timestamp()),
    };
    let key = EncodingKey::from_secret(app.settings.token_key.expose_secret().as_bytes());
    let access_token =
        encode(&Header::new(Algorithm::HS256), &claims, &key).context("while signing an access token")?;
    Ok(Tokens { access_token, refresh_token, token_type: "Bearer", expires_in: ACCESS_MINUTES * 60 })
}
