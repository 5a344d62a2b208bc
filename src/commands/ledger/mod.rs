//! What can be done with the ledger at a terminal.

mod export;
mod verify;

use clap::Subcommand;

pub use verify::Verify;

/// The commands of the ledger.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Prove it, and say the first thing that does not add up.
    Verify(Verify),
    /// Write it for hledger, ledger, beancount or a program of your own.
    Export(export::Export),
}

impl Ledger {
    /// Does it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Verify(verify) => verify.run().await,
            Self::Export(export) => export.run().await,
        }
    }
}
