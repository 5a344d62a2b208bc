//! Proves the ledger and says the first thing that does not add up.

use anyhow::bail;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::{database, ledger, vouchers};

/// Arguments of `ledger-verify`.
#[derive(Debug, Args)]
pub struct LedgerVerify {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
}

impl LedgerVerify {
    /// Verifies.
    ///
    /// # Errors
    /// With the first difference.
    #[expect(clippy::print_stdout, reason = "it answers a person at a terminal")]
    pub async fn run(self) -> anyhow::Result<()> {
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        if let Some(difference) = ledger::first_difference(&pool).await? {
            bail!("{difference}");
        }
        if let Some(difference) = vouchers::first_difference(&pool).await? {
            bail!("{difference}");
        }
        println!("The ledger adds up.");
        Ok(())
    }
}
