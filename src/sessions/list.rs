//! Where a person is logged in, in his own words for it, and ending that: one, or all at once.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

use super::db::list as db;
use super::device;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId};
use crate::live;
use crate::second_factor;
use crate::users::{self, User};

/// The most that are listed.
const LISTED_MAX: i64 = 200;

/// What is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = LoggedInKind)]
pub enum Kind {
    /// A browser, by its cookie.
    Browser,
    /// A program, by its tokens.
    Program,
}

/// A browser or a program that is logged in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LoggedIn {
    /// Its id.
    pub id: SessionId,
    /// What it is.
    pub kind: Kind,
    /// What it calls itself, made readable.
    pub device: String,
    /// The address it came from last.
    pub address: Option<String>,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// When it was last seen; a browser's is written every few minutes, a program's when it renews its tokens.
    pub last_seen_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// Where a person is logged in, what was seen last first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, user: UserId, current: Option<SessionId>) -> Result<Vec<LoggedIn>> {
    let rows = db::select(&app.pool, user, app.clock.machine_now(), LISTED_MAX).await?;
    let shown = rows.into_iter().map(|row| LoggedIn {
        id: row.id,
        kind: if row.is_browser { Kind::Browser } else { Kind::Program },
        device: device::name(row.user_agent.as_deref()),
        address: row.address,
        started_at: row.created_at,
        last_seen_at: row.last_seen_at,
        is_current: Some(row.id) == current,
    });
    Ok(shown.collect())
}

/// Ends one: a browser's cookie, or a program's refresh and access tokens.
///
/// # Errors
/// `NotFound` when there is none, it is somebody else's or it is over.
pub async fn end_one(app: &App, user: &User, id: SessionId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let ended = db::end_one(&mut transaction, user.id, id, app.clock.machine_now()).await?;
    let (is_browser, user_agent) = ended.ok_or(Error::NotFound("session"))?;
    let subject = Subject::new("user", user.id, &user.email);
    let kind = if is_browser { Kind::Browser } else { Kind::Program };
    let detail = json!({ "kind": kind, "device": device::name(user_agent.as_deref()) });
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::SessionRevoked, subject, detail).await?;
    live::announce(&mut transaction, None, live::of_person(user.id)).await?;
    transaction.commit().await?;
    Ok(())
}

/// Ends all logins of a person but one, in somebody's transaction, and keeps out who is just logging in, also where only the
/// second factor is missing. What was begun in them is not finished. Answers how many.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn end_all_in(
    app: &App,
    connection: &mut PgConnection,
    user: UserId,
    keep: Option<SessionId>,
) -> Result<u64> {
    users::begin_epoch(&mut *connection, user).await?;
    second_factor::end_unfinished(&mut *connection, user).await?;
    let ended = db::end_all(&mut *connection, user, keep, app.clock.machine_now()).await?;
    live::announce(connection, None, live::of_person(user)).await?;
    Ok(ended)
}

/// Logs a person out everywhere, or everywhere else. Answers how many logins that were.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn end_all(app: &App, user: &User, keep: Option<SessionId>, actor: &Actor) -> Result<u64> {
    let mut transaction = app.pool.begin().await?;
    let ended = end_all_in(app, &mut transaction, user.id, keep).await?;
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "ended": ended, "kept_this_one": keep.is_some() });
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::SessionsEnded, subject, detail).await?;
    transaction.commit().await?;
    Ok(ended)
}
