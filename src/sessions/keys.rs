//! The keys that sign access tokens. Each is kept encrypted and named in the head of the tokens it signs; a new one is made from
//! time to time, and the older one verifies for as long as its tokens can live. Every process keeps those it has read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{DecodingKey, EncodingKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use super::db::keys as db;
use crate::app::App;
use crate::config::Vault;
use crate::error::{Error, Result};
use crate::random_tokens;

pub use super::db::keys::SECRETS;

/// After how many days a key gets a successor.
pub const RENEWED_AFTER_DAYS: i64 = 30;
/// For how long a key with a successor verifies: four times as long as an access token lives.
const OVERLAP_MINUTES: i64 = 60;
/// How old a key must be to sign, so that every process has read it, unless there is no other.
const SIGNS_AFTER_SECONDS: i64 = 60;
/// How often a process reads the keys anew: half of that, so that none is missed.
const READ_AGAIN_SECONDS: i64 = 30;

/// A key.
pub(super) struct Key {
    pub id: Uuid,
    pub encoding: EncodingKey,
    pub decoding: DecodingKey,
    created_at: DateTime<Utc>,
}

/// The keys that this process has read.
#[derive(Default)]
pub struct TokenKeys(RwLock<Option<Arc<Read>>>);

struct Read {
    at: DateTime<Utc>,
    keys: HashMap<Uuid, Arc<Key>>,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKeys(…)")
    }
}

/// The key that signs now; the first one is made when there is none.
pub(super) async fn signing(app: &App) -> Result<Arc<Key>> {
    for _ in 0..2 {
        let now = app.clock.machine_now();
        let known = read(app).await?;
        let ripe = now - TimeDelta::seconds(SIGNS_AFTER_SECONDS);
        let newest =
            known.keys.values().filter(|key| key.created_at <= ripe).max_by_key(|key| (key.created_at, key.id));
        let first = || known.keys.values().min_by_key(|key| (key.created_at, key.id));
        if let Some(key) = newest.or_else(first) {
            return Ok(Arc::clone(key));
        }
        renew_keys(app).await?;
    }
    Err(Error::Internal(anyhow::anyhow!("there is no key that signs access tokens")))
}

/// A key by its id; none when there is no such key, or no longer.
pub(super) async fn verifying(app: &App, id: Uuid) -> Result<Option<Arc<Key>>> {
    Ok(read(app).await?.keys.get(&id).cloned())
}

/// The keys, read again when that was long ago.
async fn read(app: &App) -> Result<Arc<Read>> {
    let now = app.clock.machine_now();
    let known = app.token_keys.0.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(known) = known
        && now - known.at < TimeDelta::seconds(READ_AGAIN_SECONDS)
        && !known.keys.is_empty()
    {
        return Ok(known);
    }
    let mut keys = HashMap::new();
    for row in db::select(&app.pool).await? {
        let secret = app.settings.vault.decrypt(&row.secret_encrypted)?;
        let secret = with_token_key(&app.settings.token_key, &secret);
        let key = Key {
            id: row.id,
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
            created_at: row.created_at,
        };
        keys.insert(row.id, Arc::new(key));
    }
    let read = Arc::new(Read { at: now, keys });
    *app.token_keys.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&read));
    Ok(read)
}

/// Who has the database and its keys cannot sign without the token key of the settings, nor the other way round.
fn with_token_key(token_key: &SecretString, secret: &SecretString) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [token_key.expose_secret(), secret.expose_secret()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// Makes a key when the newest is old, and removes those whose tokens have all run out. Answers whether one was made.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn renew_keys(app: &App) -> Result<bool> {
    let now = app.clock.machine_now();
    let mut transaction = app.pool.begin().await?;
    let newest = db::lock(&mut transaction).await?;
    let is_due = newest.is_none_or(|at| at <= now - TimeDelta::days(RENEWED_AFTER_DAYS));
    if is_due {
        db::insert(&mut transaction, Uuid::now_v7(), &new_secret(&app.settings.vault), now).await?;
    }
    db::delete_superseded(&mut transaction, now - TimeDelta::minutes(OVERLAP_MINUTES)).await?;
    transaction.commit().await?;
    if is_due {
        *app.token_keys.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
    Ok(is_due)
}

/// Makes a key whatever the age of the others, at somebody's command. With `ends_others` every access token of before ends:
/// here at once, in other processes within half a minute; their programs get new ones with their refresh tokens.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn make_key(pool: &PgPool, vault: &Vault, ends_others: bool, now: DateTime<Utc>) -> Result<()> {
    let id = Uuid::now_v7();
    let mut transaction = pool.begin().await?;
    db::lock(&mut transaction).await?;
    db::insert(&mut transaction, id, &new_secret(vault), now).await?;
    if ends_others {
        db::delete_others(&mut transaction, id).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn new_secret(vault: &Vault) -> String {
    vault.encrypt(&SecretString::from(random_tokens::make()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_database_nor_the_settings_alone_say_how_tokens_are_signed() {
        let signs = |token_key: &str, secret: &str| with_token_key(&token_key.into(), &secret.into());
        assert_eq!(signs("settings", "database"), signs("settings", "database"));
        for (token_key, secret) in
            [("other", "database"), ("settings", "other"), ("settingsd", "atabase"), ("", "settingsdatabase")]
        {
            assert_ne!(signs(token_key, secret), signs("settings", "database"), "{token_key} {secret}");
        }
        assert_eq!(format!("{:?}", TokenKeys::default()), "TokenKeys(…)");
    }
}
