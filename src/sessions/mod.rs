//! Staying logged in. Browsers hold a cookie with a random token; programs hold a short access token (JWT) and a refresh
//! token that is used once. Of random tokens only the hash is stored. Lifetimes are of the machinery's time.

mod assurance;
mod db;
mod enter;
mod standing;
mod tokens;
mod web;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::Rng;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

pub use assurance::{Assurance, CONFIRMED_MINUTES, Login};
pub use enter::enter;
pub use standing::Standing;
pub use tokens::{ACCESS_MINUTES, Caller, Tokens, issue, log_in, refresh, revoke, verify};
pub use web::{Behalf, SESSION_DAYS, Session, confirm, end, find, start};

use crate::app::App;
use crate::error::Result;
use crate::ids::UserId;

/// 256 random bits as text.
pub(crate) fn random_token() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored of a random token.
pub(crate) fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// Ends every login of a person but the one that he acts in, as part of somebody's transaction.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn end_others(app: &App, connection: &mut PgConnection, user: UserId, kept: Login) -> Result<()> {
    db::end_others(connection, user, kept, app.clock.machine_now()).await
}

/// Removes what has expired, and says how many sessions and refresh tokens that were.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn purge(app: &App) -> Result<u64> {
    db::delete_expired(&app.pool, app.clock.machine_now()).await
}
