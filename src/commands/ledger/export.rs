//! Writes the ledger for other programs: to the standard output, or to a file that is there when it is whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use crate::database;
use crate::ids::OrganisationId;
use crate::ledger::{self, Selection};

/// Which program is to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A journal for hledger and ledger
    Hledger,
    /// A journal for beancount
    Beancount,
    /// Rows, RFC 4180
    Csv,
}

/// What is exported as rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Transfers, one a row
    Postings,
    /// Wallets with their balances and where charging stands
    Wallets,
    /// Meters
    Meters,
    /// What was metered, from when to when
    Intervals,
    /// Prices of all lists and versions
    Prices,
    /// What was charged
    Charges,
    /// Invoices with their figures
    Invoices,
    /// The lines of invoices
    InvoiceLines,
}

/// Arguments of `ledger export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// Which program is to read it
    #[arg(long)]
    format: Format,
    /// Which rows, of csv; all but the postings are for rating everything again
    #[arg(long, default_value = "postings")]
    what: What,
    /// From here on, as a day or an instant such as 2026-11-01T00:00:00Z
    #[arg(long, value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// Until before here
    #[arg(long, value_parser = instant)]
    to: Option<DateTime<Utc>>,
    /// Only one organisation: its number or its id
    #[arg(long)]
    organisation: Option<String>,
    /// A file to write; without it, the standard output
    #[arg(long)]
    output: Option<PathBuf>,
    /// ISO 4217 code of the one currency
    #[arg(long, env = "UNI_MANAGER_CURRENCY", default_value = "EUR")]
    currency: String,
}

impl Export {
    /// Exports.
    ///
    /// # Errors
    /// When the database cannot be read or the output cannot be written.
    pub async fn run(self) -> anyhow::Result<()> {
        if self.what != What::Postings && self.format != Format::Csv {
            bail!("--what is for --format csv: a journal has postings only");
        }
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        database::check_migrations(&pool).await?;
        let organisation = match &self.organisation {
            Some(organisation) => Some(find(&pool, organisation).await?),
            None => None,
        };
        let selection = Selection { from: self.from, to: self.to, organisation };
        let Some(output) = &self.output else {
            return self.write(&pool, &selection, &mut io::stdout()).await;
        };
        // Who finds the file finds all of it.
        let unfinished = beside(output);
        let mut file =
            File::create(&unfinished).with_context(|| format!("{} cannot be written", unfinished.display()))?;
        self.write(&pool, &selection, &mut file).await?;
        std::fs::rename(&unfinished, output).with_context(|| format!("{} cannot be written", output.display()))
    }

    async fn write(&self, pool: &PgPool, selection: &Selection, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let format = match self.format {
            Format::Hledger => ledger::Format::Hledger,
            Format::Beancount => ledger::Format::Beancount,
            Format::Csv => ledger::Format::Csv,
        };
        let raw = match self.what {
            What::Postings => {
                ledger::export(pool, format, selection, &self.currency, out).await?;
                return Ok(());
            }
            What::Wallets => ledger::Raw::Wallets,
            What::Meters => ledger::Raw::Meters,
            What::Intervals => ledger::Raw::Intervals,
            What::Prices => ledger::Raw::Prices,
            What::Charges => ledger::Raw::Charges,
            What::Invoices => ledger::Raw::Invoices,
            What::InvoiceLines => ledger::Raw::InvoiceLines,
        };
        ledger::export_raw(pool, raw, selection, out).await?;
        Ok(())
    }
}

/// An organisation by its number or its id.
async fn find(pool: &PgPool, text: &str) -> anyhow::Result<OrganisationId> {
    if let Ok(number) = text.parse() {
        return Ok(ledger::organisation_numbered(pool, number).await?);
    }
    text.parse().context("--organisation takes the number or the id of an organisation")
}

/// The name of a file until it is whole.
fn beside(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    output.with_file_name(name)
}

/// A day, which begins at midnight UTC, or an instant.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    text.parse().map_err(|_| "a day such as 2026-11-01, or an instant such as 2026-11-01T00:00:00Z".to_owned())
}
