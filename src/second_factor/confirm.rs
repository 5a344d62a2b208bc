//! Proving once more who one is, within a login: before what is dangerous, and good for some minutes.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Method, codes};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::Result;
use crate::sessions::{self, Session};
use crate::users;

/// What somebody shows.
#[derive(Debug)]
pub enum Evidence {
    /// His password.
    Password(SecretString),
    /// A code of his app, or a recovery code.
    Code(SecretString),
}

/// Confirms a session. Wrong codes count as at the login, wrong passwords too.
///
/// # Errors
/// `Invalid` when it is wrong, `TooManyTries` after some that were.
pub async fn confirm(app: &App, session: &Session, evidence: Evidence, actor: &Actor) -> Result<()> {
    let user = &session.user;
    let method = match evidence {
        Evidence::Password(password) => {
            users::confirm_password(app, user, "password", password).await?;
            Method::Password
        }
        Evidence::Code(code) => {
            let mut transaction = app.pool.begin().await?;
            let checked = codes::check(app, &mut transaction, user, code.expose_secret(), actor).await?;
            transaction.commit().await?;
            checked.into_result()?
        }
    };
    let mut transaction = app.pool.begin().await?;
    note(app, &mut transaction, session, method, actor).await?;
    transaction.commit().await?;
    Ok(())
}

/// Notes it, in somebody's transaction who has seen the proof.
pub(crate) async fn note(
    app: &App,
    connection: &mut sqlx::PgConnection,
    session: &Session,
    method: Method,
    actor: &Actor,
) -> Result<()> {
    sessions::confirm(app, &mut *connection, session.id).await?;
    let subject = Subject::new("user", session.user.id, &session.user.email);
    let detail = json!({ "by": method.name() });
    audit::record(connection, app.clock.now(), actor, None, Event::UserConfirmed, subject, detail).await
}
