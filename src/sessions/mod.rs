//! Staying logged in. Browsers hold a cookie with a random token; programs hold a short access token (JWT) and a refresh
//! token that is used once. Of random tokens only the hash is stored. Lifetimes are of the machinery's time.

mod assurance;
mod db;
mod device;
mod enter;
mod kept_forms;
mod keys;
mod list;
mod standing;
mod tokens;
mod web;

use sqlx::PgConnection;

pub use assurance::{Assurance, CONFIRMED_MINUTES, Login};
pub use enter::enter;
pub use kept_forms::{KeptForm, keep_form, kept_form};
pub use keys::{RENEWED_AFTER_DAYS, SECRETS, TokenKeys, make_key, renew_keys};
pub(crate) use list::end_all_in;
pub use list::{Kind, LoggedIn, end_all, end_one, list};
pub use standing::Standing;
pub use tokens::{ACCESS_MINUTES, Caller, Tokens, issue, log_in, refresh, revoke, verify};
pub use web::{Behalf, SESSION_DAYS, Session, confirm, end, find, seen, start, start_through};

pub(crate) use crate::random_tokens::{hash, make as random_token};

use crate::app::App;
use crate::error::Result;
use crate::ids::UserId;
use crate::live;

/// The longest name of a browser or a program that is kept, in characters.
const USER_AGENT_CHARACTERS_MAX: usize = 200;
/// Said to who logged in while all his logins were being ended.
pub(crate) const OVERTAKEN: &str = "All logins of this account were just ended. Log in again.";

/// What a browser or a program calls itself, shortened, for the person's own list.
fn shortened(user_agent: Option<&str>) -> Option<String> {
    user_agent.map(|text| text.chars().take(USER_AGENT_CHARACTERS_MAX).collect())
}

/// Ends every login of a person but the one that he acts in, as part of somebody's transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn end_others(app: &App, connection: &mut PgConnection, user: UserId, kept: Login) -> Result<()> {
    let kept = match kept {
        Login::Session(id) => Some(id),
        Login::Tokens(family) => Some(family.into()),
        Login::Key(_) => None,
    };
    db::list::end_all(&mut *connection, user, kept, app.clock.machine_now()).await?;
    Ok(live::announce(connection, None, live::of_person(user)).await?)
}

/// Removes what has expired, and says how many sessions and refresh tokens that were.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn purge(app: &App) -> Result<u64> {
    db::delete_expired(&app.pool, app.clock.machine_now()).await
}
