//! What can be done with the audit log at a terminal.

use anyhow::bail;
use chrono::NaiveDate;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;
use crate::{audit, database};

/// The commands of the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Prove that no event was changed, removed or put in, and say the first that was.
    Verify(Verify),
}

impl Audit {
    /// Does it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Verify(verify) => verify.run().await,
        }
    }
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// From this day (UTC) on, such as 2026-11-01
    #[arg(long)]
    from: Option<NaiveDate>,
    /// Through this day (UTC)
    #[arg(long)]
    to: Option<NaiveDate>,
}

impl Verify {
    /// Verifies.
    ///
    /// # Errors
    /// With the first difference.
    #[expect(clippy::print_stdout, reason = "it answers a person at a terminal")]
    async fn run(self) -> anyhow::Result<()> {
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        database::check_migrations(&pool).await?;
        let proof = audit::prove(&pool, self.from, self.to, Clock::System.now()).await?;
        if let Some(difference) = proof.difference {
            bail!("{difference}");
        }
        println!("{} events of {} days are as they were written.", proof.events, proof.days);
        if proof.dropped > 0 {
            println!(
                "{} further ones were dropped because of their age; the chain goes on across them.",
                proof.dropped
            );
        }
        if let Some((day, hash)) = proof.head {
            println!("The chain ends on {day} with {hash}. Keep this line elsewhere to show it later.");
        }
        Ok(())
    }
}
