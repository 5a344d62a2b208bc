//! Codes on paper, for the day when the app is lost: each opens one login, and only its hash is stored.

use rand::Rng;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::tell::{Change, tell};
use super::{db, lock_factors};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::users::User;

/// How many a person gets.
pub const RECOVERY_CODES: usize = 10;
/// How long one is, in characters of five random bits: too long to be guessed, even from a copy of the hashes.
const CHARACTERS: usize = 16;
/// In how many characters it is written at a time.
const GROUP: usize = 4;
/// Digits and letters that are not taken for each other when they are read from paper.
const ALPHABET: &[u8; 32] = b"23456789abcdefghjkmnpqrstuvwxyz0";

/// Makes new codes and answers with them; those of before are worth nothing any more.
///
/// # Errors
/// `Conflict` when the person has no factor that they could stand in for.
pub async fn make_anew(app: &App, user: &User, actor: &Actor) -> Result<Vec<String>> {
    let mut transaction = app.pool.begin().await?;
    if !lock_factors(&mut transaction, user.id).await?.any() {
        return Err(Error::conflict("Recovery codes stand in for a second factor. Set one up first."));
    }
    let codes = replace(app, &mut transaction, user.id).await?;
    tell(app, &mut transaction, user, Change::NewCodes, actor).await?;
    let subject = Subject::new("user", user.id, &user.email);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::RecoveryCodesMade, subject, json!({})).await?;
    transaction.commit().await?;
    Ok(codes)
}

/// The same in somebody's transaction.
pub(super) async fn replace(app: &App, connection: &mut PgConnection, user: UserId) -> Result<Vec<String>> {
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| random_code()).collect();
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| hash(user, code)).collect();
    db::delete_recovery_codes(&mut *connection, user).await?;
    db::insert_recovery_codes(connection, user, &hashes, app.clock.machine_now()).await?;
    Ok(codes.iter().map(|code| in_groups(code)).collect())
}

/// Uses a code up, if it is one of the person's that was not used.
pub(super) async fn use_up(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    code: &str,
    actor: &Actor,
) -> Result<bool> {
    let hash = hash(user.id, &code.to_ascii_lowercase());
    let used = db::use_recovery_code(&mut *connection, user.id, &hash, app.clock.machine_now()).await?;
    let Some(left) = used else { return Ok(false) };
    let actor = actor.clone().known_as(user);
    tell(app, &mut *connection, user, Change::CodeUsed { left }, &actor).await?;
    let (subject, detail) = (Subject::new("user", user.id, &user.email), json!({ "left": left }));
    audit::record(connection, app.clock.now(), &actor, None, Event::RecoveryCodeUsed, subject, detail).await?;
    Ok(true)
}

fn random_code() -> String {
    let mut bytes = [0_u8; CHARACTERS];
    rand::rng().fill_bytes(&mut bytes);
    // 256 is a multiple of 32, so every character is as likely as any other.
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

fn in_groups(code: &str) -> String {
    let characters: Vec<char> = code.chars().collect();
    characters.chunks(GROUP).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// Of the person and the code, so that equal codes of two people do not look alike.
fn hash(user: UserId, code: &str) -> Vec<u8> {
    Sha256::new().chain_update(user.uuid().as_bytes()).chain_update(code.as_bytes()).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_long_random_and_never_taken_for_one_of_an_app() {
        let codes: std::collections::HashSet<String> = (0..1_000).map(|_| random_code()).collect();
        assert_eq!(codes.len(), 1_000);
        for code in &codes {
            assert!(code.len() == CHARACTERS && !super::super::totp::looks_like_one(code), "{code}");
        }
        assert_eq!(in_groups("abcdefghjkmnpqrs"), "abcd-efgh-jkmn-pqrs");
    }
}
