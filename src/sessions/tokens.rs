//! Tokens of programs: an access token that is checked without a look into the table of tokens, and refresh tokens that
//! rotate at every use. A refresh token used twice was stolen or copied, so its whole family ends.

use std::fmt;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::db::tokens as token_db;
use super::keys::Key;
use super::{Assurance, Login, OVERTAKEN, db, keys, shortened};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::organisations::{self, Membership};
use crate::random_tokens;
use crate::users::{self, User};

/// How long an access token is good.
pub const ACCESS_MINUTES: i64 = 15;
/// How long a refresh token is good, if it is not used before.
const REFRESH_DAYS: i64 = 7;
/// The only way in which a token may be signed, whatever it says itself.
const ALGORITHM: Algorithm = Algorithm::HS256;

const EXPIRED: &str = "The access token is missing, wrong or has expired.";
const REFRESH_REFUSED: &str = "The refresh token is wrong, has expired or was used before. Log in again.";

/// What a program gets at login.
#[derive(Serialize, utoipa::ToSchema)]
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

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tokens(…)")
    }
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
    /// How many requests a minute all programs of the organisation may make, by its quota.
    pub requests_per_minute: i64,
}

/// Lets a program in that has proved who it acts for: the first pair of a new family, in the person's list by what the program
/// calls itself.
///
/// # Errors
/// `Unauthenticated` when all logins of the person were ended meanwhile.
pub async fn log_in(app: &App, user: &User, actor: Actor) -> Result<Tokens> {
    let key = keys::signing(app).await?;
    let mut transaction = app.pool.begin().await?;
    let from = (actor.address.clone(), shortened(actor.user_agent.as_deref()));
    let tokens = first_pair(app, &mut transaction, &key, user, from).await?;
    tell(app, &mut transaction, user, actor, Event::UserLoggedIn).await?;
    transaction.commit().await?;
    Ok(tokens)
}

/// Issues the first pair of a new family without telling of it: for a program that belongs to the platform itself.
///
/// # Errors
/// `Unauthenticated` when all logins of the person were ended since he was looked up.
pub async fn issue(app: &App, user: &User) -> Result<Tokens> {
    let key = keys::signing(app).await?;
    let mut transaction = app.pool.begin().await?;
    let tokens = first_pair(app, &mut transaction, &key, user, (None, None)).await?;
    transaction.commit().await?;
    Ok(tokens)
}

async fn first_pair(
    app: &App,
    connection: &mut PgConnection,
    key: &Key,
    user: &User,
    (address, user_agent): (Option<String>, Option<String>),
) -> Result<Tokens> {
    let now = app.clock.machine_now();
    let family = token_db::NewFamily {
        id: Uuid::now_v7(),
        user: user.id,
        address,
        user_agent,
        created_at: now,
        expires_at: now + TimeDelta::days(REFRESH_DAYS),
        epoch: user.epoch,
    };
    if !token_db::insert_family(&mut *connection, &family).await? {
        return Err(Error::Unauthenticated(OVERTAKEN));
    }
    next_pair(app, connection, key, (user.id, family.id), Some(now)).await
}

/// Exchanges a refresh token for the next pair. Of two who try at once, exactly one gets it.
///
/// # Errors
/// `Unauthenticated` when the token is unknown, expired or used; the latter ends its family.
pub async fn refresh(app: &App, refresh_token: &str, actor: Actor) -> Result<Tokens> {
    let now = app.clock.machine_now();
    let refused = || Error::Unauthenticated(REFRESH_REFUSED);
    let token_hash = random_tokens::hash(refresh_token);
    let key = keys::signing(app).await?;
    let mut transaction = app.pool.begin().await?;
    let family = token_db::select_family_of(&mut transaction, &token_hash).await?.ok_or_else(refused)?;
    let user = token_db::lock_family(&mut transaction, family).await?.ok_or_else(refused)?;
    let found = token_db::select_refresh_token(&mut transaction, &token_hash).await?.ok_or_else(refused)?;
    if found.expires_at <= now {
        return Err(refused());
    }
    if found.is_used {
        token_db::end_family(&mut transaction, family, now).await?;
        let email = users::find(&mut transaction, user).await?.map(|user| user.email).unwrap_or_default();
        let subject = Subject::new("user", user, email);
        audit::record(&mut transaction, app.clock.now(), &actor, None, Event::RefreshTokenReused, subject, json!({}))
            .await?;
        transaction.commit().await?;
        return Err(refused());
    }
    token_db::mark_used(&mut transaction, found.id, now).await?;
    let expires_at = now + TimeDelta::days(REFRESH_DAYS);
    token_db::update_family_seen(&mut transaction, family, actor.address.as_deref(), now, expires_at).await?;
    let tokens = next_pair(app, &mut transaction, &key, (user, family), found.confirmed_at).await?;
    transaction.commit().await?;
    Ok(tokens)
}

/// Ends the family of a refresh token: logging out. Unknown tokens are fine, for there is nothing to end.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn revoke(app: &App, refresh_token: &str, actor: Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let token_hash = random_tokens::hash(refresh_token);
    let Some(family) = token_db::select_family_of(&mut transaction, &token_hash).await? else { return Ok(()) };
    let Some(user) = token_db::lock_family(&mut transaction, family).await? else { return Ok(()) };
    token_db::end_family(&mut transaction, family, app.clock.machine_now()).await?;
    if let Some(user) = users::find(&mut transaction, user).await? {
        tell(app, &mut transaction, &user, actor, Event::UserLoggedOut).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Tells that a program came in or went out, in the log of the person's first organisation.
async fn tell(app: &App, connection: &mut PgConnection, user: &User, actor: Actor, event: Event) -> Result<()> {
    let place = organisations::of_member(&mut *connection, user.id, None).await.ok();
    let organisation = place.map(|place| place.organisation.id);
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "program": true });
    audit::record(connection, app.clock.now(), &actor.known_as(user), organisation, event, subject, detail).await
}

/// Who an access token belongs to, if it is good and its family was not ended; and his place in the organisation that is
/// `wanted`, or in his first one: none when that is not his.
///
/// # Errors
/// `Unauthenticated` otherwise.
pub async fn verify(app: &App, access_token: &str, wanted: Option<OrganisationId>) -> Result<Caller> {
    let claims = claims(app, access_token).await?;
    let found = db::select_caller(&app.pool, claims.sub, claims.fam, wanted).await?;
    let caller = found.ok_or(Error::Unauthenticated(EXPIRED))?;
    let confirmed_at = claims.auth_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    Ok(Caller { assurance: Assurance { confirmed_at, ..caller.assurance }, ..caller })
}

/// What an access token says, if one of our keys signed it and it has not expired.
pub(super) async fn claims(app: &App, access_token: &str) -> Result<Claims> {
    let wrong = || Error::Unauthenticated(EXPIRED);
    let header = decode_header(access_token).map_err(|_| wrong())?;
    let id = header.kid.and_then(|id| id.parse::<Uuid>().ok()).ok_or_else(wrong)?;
    let key = keys::verifying(app, id).await?.ok_or_else(wrong)?;
    let mut validation = Validation::new(ALGORITHM);
    // Checked below against our own clock.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let claims = decode::<Claims>(access_token, &key.decoding, &validation).map_err(|_| wrong())?.claims;
    let expires = DateTime::<Utc>::from_timestamp(claims.exp, 0).ok_or_else(wrong)?;
    if expires <= app.clock.machine_now() {
        return Err(wrong());
    }
    Ok(claims)
}

async fn next_pair(
    app: &App,
    connection: &mut PgConnection,
    key: &Key,
    (user, family): (UserId, Uuid),
    confirmed_at: Option<DateTime<Utc>>,
) -> Result<Tokens> {
    let now = app.clock.machine_now();
    let refresh_token = random_tokens::make();
    let (token_hash, expires_at) = (random_tokens::hash(&refresh_token), now + TimeDelta::days(REFRESH_DAYS));
    token_db::insert_refresh_token(connection, (user, family), &token_hash, now, expires_at, confirmed_at).await?;
    let claims = Claims {
        sub: user,
        fam: family,
        iat: now.timestamp(),
        exp: (now + TimeDelta::minutes(ACCESS_MINUTES)).timestamp(),
        auth_time: confirmed_at.map(|at| at.timestamp()),
    };
    let header = Header { kid: Some(key.id.to_string()), ..Header::new(ALGORITHM) };
    let access_token = encode(&header, &claims, &key.encoding).context("while signing an access token")?;
    Ok(Tokens { access_token, refresh_token, token_type: "Bearer", expires_in: ACCESS_MINUTES * 60 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_stand_in_what_is_logged() {
        let [access_token, refresh_token] = ["access", "refresh"].map(str::to_owned);
        let tokens = Tokens { access_token, refresh_token, token_type: "Bearer", expires_in: 900 };
        assert_eq!(format!("{tokens:?}"), "Tokens(…)");
    }
}
