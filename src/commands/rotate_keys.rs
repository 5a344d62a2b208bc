//! Encrypts every stored secret with the newest key, so that an older one can be thrown away.

use anyhow::Context;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;
use crate::config::Vault;
use crate::{database, secrets, sessions};

/// Arguments of `rotate-keys`.
#[derive(Debug, Args)]
pub struct RotateKeys {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// Fernet keys that encrypt cluster secrets, newest first, separated by commas
    #[arg(long, env = "UNI_MANAGER_SECRET_KEYS", hide_env_values = true)]
    secret_keys: SecretString,
    /// Also make a new key that signs access tokens; tokens of the older ones stay good until they run out
    #[arg(long)]
    token_keys: bool,
    /// As --token-keys, and end all access tokens of before: programs get new ones with their refresh tokens
    #[arg(long)]
    end_access_tokens: bool,
}

impl RotateKeys {
    /// Rotates.
    ///
    /// # Errors
    /// Names what cannot be decrypted; then nothing was changed.
    #[expect(clippy::print_stdout, reason = "it answers a person at a terminal")]
    pub async fn run(self) -> anyhow::Result<()> {
        let vault = Vault::from_keys(&self.secret_keys).context("UNI_MANAGER_SECRET_KEYS")?;
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        database::check_migrations(&pool).await?;
        for done in secrets::rotate(&pool, &vault).await? {
            println!("{}: {} of {} encrypted with the newest key.", done.column, done.rotated, done.all);
        }
        if self.token_keys || self.end_access_tokens {
            sessions::make_key(&pool, &vault, self.end_access_tokens, Clock::System.machine_now()).await?;
            println!("A new key signs access tokens from now on, in every process within two minutes.");
        }
        if self.end_access_tokens {
            println!("The older ones are gone: their access tokens end within half a minute.");
        }
        println!("Every stored secret has the newest key: the older ones are not needed any more.");
        Ok(())
    }
}
