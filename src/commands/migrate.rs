//! Brings the database to the version of this binary.

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::database;

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
}

impl Migrate {
    /// Applies what is missing.
    ///
    /// # Errors
    /// When the database cannot be reached or a migration fails.
    #[expect(clippy::print_stdout, reason = "it answers a person at a terminal")]
    pub async fn run(self) -> anyhow::Result<()> {
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        match database::migrate(&pool).await? {
            0 => println!("The database is up to date."),
            applied => println!("Applied {applied} migrations."),
        }
        Ok(())
    }
}
