//! Hashing and checking passwords with Argon2id, away from the threads that serve requests and never too many at once.

use std::sync::LazyLock;

use anyhow::{Context, anyhow};
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// OWASP's recommendation for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How many hashes run at once; the rest wait, so that logins cannot starve the rest.
const HASHES_AT_ONCE: usize = 2;

static HASHES: Semaphore = Semaphore::const_new(HASHES_AT_ONCE);

/// What an unknown e-mail address is checked against, so that it takes as long as a known one.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now("nobody has this password").unwrap_or_default());

fn hasher() -> anyhow::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| anyhow!("argon2 parameters: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &str) -> anyhow::Result<String> {
    let hash: PasswordHash =
        hasher()?.hash_password(password.as_bytes()).map_err(|error| anyhow!("while hashing a password: {error}"))?;
    Ok(hash.to_string())
}

/// Hashes a password for the database.
pub(super) async fn hash(password: SecretString) -> anyhow::Result<String> {
    let _permit = HASHES.acquire().await.context("the semaphore is never closed")?;
    tokio::task::spawn_blocking(move || hash_now(password.expose_secret())).await.context("while hashing a password")?
}

/// Checks a password against a stored hash; without one, takes the same time and says no.
pub(super) async fn verify(password: SecretString, stored: Option<String>) -> anyhow::Result<bool> {
    let _permit = HASHES.acquire().await.context("the semaphore is never closed")?;
    tokio::task::spawn_blocking(move || {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| NOBODY.clone());
        let parsed =
            PasswordHash::new(&stored).map_err(|error| anyhow!("a stored password hash is unreadable: {error}"))?;
        Ok(hasher()?.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok() && known)
    })
    .await
    .context("while checking a password")?
}
