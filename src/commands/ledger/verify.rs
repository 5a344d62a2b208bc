//! Proves the ledger and says the first thing that does not add up.

use anyhow::bail;
use billing::Month;
use chrono_tz::Tz;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::{database, invoices, ledger, payments, vouchers};

/// Arguments of `ledger verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// Time zone whose months are billing months
    #[arg(long, env = "UNI_MANAGER_TIME_ZONE", default_value = "UTC")]
    time_zone: Tz,
    /// Rate again only from this month on, such as 2026-11; balances are proved whole
    #[arg(long, value_parser = month)]
    from: Option<Month>,
}

impl Verify {
    /// Verifies.
    ///
    /// # Errors
    /// With the first difference.
    #[expect(clippy::print_stdout, reason = "it answers a person at a terminal")]
    pub async fn run(self) -> anyhow::Result<()> {
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        database::check_migrations(&pool).await?;
        let difference = match self.from {
            Some(month) => ledger::first_difference_from(&pool, self.time_zone, month).await?,
            None => ledger::first_difference(&pool, self.time_zone).await?,
        };
        if let Some(difference) = difference {
            bail!("{difference}");
        }
        if let Some(difference) = vouchers::first_difference(&pool).await? {
            bail!("{difference}");
        }
        if let Some(difference) = payments::first_difference(&pool).await? {
            bail!("{difference}");
        }
        if let Some(difference) = invoices::first_difference(&pool, self.time_zone, self.from).await? {
            bail!("{difference}");
        }
        println!("The ledger adds up.");
        Ok(())
    }
}

/// A month, by its year and number.
fn month(text: &str) -> Result<Month, String> {
    text.split_once('-')
        .and_then(|(year, month)| Month::new(year.parse().ok()?, month.parse().ok()?))
        .ok_or_else(|| "a month such as 2026-11".to_owned())
}
