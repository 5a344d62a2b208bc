//! Issuing what is due: once a month is over and a wallet is charged up to its end, everything charged for the month that is on
//! no invoice yet. A batch of wallets is locked, and one transaction writes their invoices, takes the numbers, posts the tax and
//! writes down how far the wallets are invoiced: so twice, side by side or killed half-way leave the same.

use std::collections::HashMap;

use anyhow::Context;
use billing::{INVOICE_LINES_MAX, InvoiceError, Month, Posting, Prices};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::json;

use super::db::issue::{self as db, BulkLines, Difference, Due, Recipient};
use super::settings::InvoiceSettings;
use super::{Invoice, Line, Party, settings, tell};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::fault;
use crate::ids::{InvoiceId, OrganisationId};
use crate::ledger::{self, Cause};

/// How many hours after its end a month is invoiced: what a look at a cluster finds late is still charged for it.
pub const SETTLING_HOURS: i64 = 2;
/// How many wallets one transaction invoices. It bounds memory and how long others wait for a number.
const WALLETS_PER_BATCH: i64 = 50;
/// How many batches one call makes.
const BATCHES_MAX: usize = 100_000;
/// How many months back missed invoices are issued.
const MONTHS_BACK_MAX: usize = 240;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Issued {
    /// Invoices issued.
    pub invoices: usize,
    /// Organisations for which something went wrong; the next run tries again.
    pub failed: usize,
    /// Whether others are due that somebody else was working on.
    pub left: bool,
}

/// A month of an organisation that is to be invoiced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub organisation: OrganisationId,
    pub month: Month,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// Issues every invoice that is due, also those of months that were missed. None is due before an operator has said who issues
/// them.
///
/// # Errors
/// When PostgreSQL fails; what was committed until then stays, and the next run goes on from there.
pub async fn issue_due(app: &App) -> Result<Issued> {
    let mut total = Issued::default();
    let settings = settings::current_settings(app).await?;
    let Some(issuer) = settings.issuer() else { return Ok(total) };
    let (now, zone) = (app.clock.now(), app.settings.time_zone);
    let Some(last_month) = last_month(now, zone) else { return Ok(total) };
    let run = Run { app, settings, issuer, last_month, ends: ends(last_month, zone) };
    let mut failed: Vec<OrganisationId> = Vec::new();
    for _ in 0..BATCHES_MAX {
        let mut claimed = Vec::new();
        match run.batch(None, &failed, &mut claimed).await {
            Ok(batch) => {
                total.invoices += batch.invoices;
                failed.extend(batch.refused);
                if claimed.is_empty() {
                    break;
                }
            }
            Err(error) if claimed.is_empty() => return Err(error),
            // One organisation's trouble stays its own: each is tried alone.
            Err(error) => {
                tracing::warn!(wallets = claimed.len(), ?error, "a batch of invoices was refused; each is tried alone");
                for organisation in claimed {
                    match run.batch(Some(organisation), &failed, &mut Vec::new()).await {
                        Ok(batch) => {
                            total.invoices += batch.invoices;
                            failed.extend(batch.refused);
                        }
                        Err(error) => {
                            tracing::error!(%organisation, ?error, "an invoice could not be issued");
                            failed.push(organisation);
                        }
                    }
                }
            }
        }
    }
    total.failed = failed.len();
    total.left = db::is_any_due(&app.pool, &run.ends, &failed).await?;
    Ok(total)
}

/// The ends of months that are to be invoiced up to the last, the earliest first.
fn ends(last: Month, zone: Tz) -> Vec<DateTime<Utc>> {
    let mut ends: Vec<_> = std::iter::successors(Some(last), |month| before(*month))
        .take(MONTHS_BACK_MAX)
        .map(|month| month.end(zone))
        .collect();
    ends.reverse();
    ends
}

/// The last month that is to be invoiced by now.
pub(super) fn last_month(now: DateTime<Utc>, zone: Tz) -> Option<Month> {
    before(Month::of(now - TimeDelta::hours(SETTLING_HOURS), zone))
}

fn before(month: Month) -> Option<Month> {
    month.first_day().pred_opt().filter(|day| day.year() >= 1).map(Month::from)
}

/// When the first invoice for what is charged now is due at the earliest.
#[must_use]
pub fn first_due(now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    Month::of(now, zone).end(zone) + TimeDelta::hours(SETTLING_HOURS)
}

/// What all batches share.
struct Run<'a> {
    app: &'a App,
    settings: InvoiceSettings,
    issuer: Party,
    /// The last month that is to be invoiced.
    last_month: Month,
    ends: Vec<DateTime<Utc>>,
}

#[derive(Default)]
struct Batch {
    invoices: usize,
    /// Organisations whose charges make no invoice; nothing of them was written.
    refused: Vec<OrganisationId>,
}

impl Run<'_> {
    /// Invoices one month of each wallet of a batch in one transaction. `claimed` tells which it took, also when it fails.
    async fn batch(
        &self,
        only: Option<OrganisationId>,
        skipped: &[OrganisationId],
        claimed: &mut Vec<OrganisationId>,
    ) -> Result<Batch> {
        let mut transaction = self.app.pool.begin().await?;
        let only = only.map(|organisation| [organisation]);
        let only = only.as_ref().map(<[_; 1]>::as_slice);
        let due = db::claim(&mut transaction, &self.ends, only, skipped, WALLETS_PER_BATCH).await?;
        if due.is_empty() {
            return Ok(Batch::default());
        }
        claimed.extend(due.iter().map(|due| due.organisation));
        fault::point("invoices.claimed");
        let first: HashMap<_, _> = db::select_first_charges(&mut transaction, &due).await?.into_iter().collect();
        let asked: Vec<Asked> = due.iter().filter_map(|due| self.asked(due, *first.get(&due.organisation)?)).collect();

        let mut differences: HashMap<OrganisationId, Vec<Line>> = HashMap::new();
        for Difference { organisation, line } in db::select_differences(&mut transaction, &asked).await? {
            differences.entry(organisation).or_default().push(line);
        }
        let now = self.app.clock.now();
        let mut batch = Batch::default();
        let mut documents: Vec<(Invoice, Vec<Line>, String)> = Vec::new();
        let mut moved: HashMap<OrganisationId, DateTime<Utc>> =
            due.iter().map(|due| (due.organisation, due.through)).collect();
        let recipients = db::select_recipients(&mut transaction, &asked).await?;
        let mut recipients: HashMap<_, _> = recipients.into_iter().map(|known| (known.organisation, known)).collect();
        for asked in &asked {
            let lines = differences.remove(&asked.organisation).unwrap_or_default();
            let recipient = recipients.remove(&asked.organisation).context("an invoice without a recipient")?;
            let name = recipient.name.clone();
            match self.document(asked, recipient, lines, now) {
                Ok(document) => {
                    moved.insert(asked.organisation, asked.to);
                    documents.extend(document.map(|(invoice, lines)| (invoice, lines, name)));
                }
                Err(error) => {
                    tracing::error!(organisation = %asked.organisation, month = %asked.month, ?error, "charges make no invoice");
                    moved.remove(&asked.organisation);
                    batch.refused.push(asked.organisation);
                }
            }
        }
        batch.invoices = documents.len();
        self.write(&mut transaction, documents, now).await?;
        db::move_invoiced_through(&mut transaction, &moved.into_iter().collect::<Vec<_>>()).await?;
        fault::point("invoices.before_commit");
        transaction.commit().await?;
        fault::point("invoices.committed");
        Ok(batch)
    }

    fn asked(&self, due: &Due, first: DateTime<Utc>) -> Option<Asked> {
        let zone = self.app.settings.time_zone;
        let month = Month::of(first, zone);
        let asked = Asked { organisation: due.organisation, month, from: month.start(zone), to: month.end(zone) };
        (asked.to <= due.through).then_some(asked)
    }

    /// The invoice of lines, without its number; none if nothing was charged.
    fn document(
        &self,
        asked: &Asked,
        recipient: Recipient,
        mut lines: Vec<Line>,
        now: DateTime<Utc>,
    ) -> Result<Option<(Invoice, Vec<Line>)>> {
        for (line, position) in lines.iter_mut().zip(1..) {
            line.position = position;
        }
        if lines.iter().any(|line| line.amount.is_negative() || line.unit_seconds.is_sign_negative()) {
            return Err(Error::Internal(anyhow::anyhow!("less is charged than was invoiced")));
        }
        let (places, tax_rate) = (self.settings.places()?, self.settings.tax_rate);
        let figures = figures(&lines, tax_rate, places).context("while adding up an invoice")?;
        if lines.is_empty() || (recipient.parts == 0 && figures.exact.is_zero()) {
            return Ok(None);
        }
        let invoice = Invoice {
            id: InvoiceId::new(),
            number: String::new(),
            organisation: asked.organisation,
            organisation_name: recipient.name,
            organisation_number: recipient.number,
            month: asked.month,
            part: recipient.parts + 1,
            issued_at: now,
            period_from: asked.from,
            period_to: asked.to,
            currency: self.app.settings.currency.clone(),
            places,
            tax_rate,
            issuer: self.issuer.clone(),
            recipient: recipient.party,
            exact: figures.exact,
            rounding: figures.rounding,
            net: figures.net,
            tax: figures.tax,
            gross: figures.total,
        };
        Ok(Some((invoice, lines)))
    }

    /// Numbers the invoices and writes them, with what follows from them.
    async fn write(
        &self,
        connection: &mut sqlx::PgConnection,
        documents: Vec<(Invoice, Vec<Line>, String)>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        let year = now.with_timezone(&self.app.settings.time_zone).year();
        let count = i64::try_from(documents.len()).context("too many invoices at once")?;
        let last = db::take_numbers(&mut *connection, year, count).await?;
        let mut all_lines = BulkLines::default();
        for ((mut invoice, lines, name), sequence) in documents.into_iter().zip(last - count + 1..) {
            invoice.number = format!("{}{year:04}-{sequence:06}", self.settings.number_prefix);
            db::insert(&mut *connection, &invoice, year, sequence).await?;
            lines.iter().for_each(|line| all_lines.add(&invoice, line));
            self.post_tax(&mut *connection, &invoice).await?;
            tell::tell(self.app, &mut *connection, &invoice, self.last_month).await?;
            let subject = Subject::new("invoice", invoice.id, invoice.number.clone());
            let detail = json!({ "organisation": name, "month": invoice.month, "gross": invoice.gross,
                "tax": invoice.tax, "exact": invoice.exact, "currency": invoice.currency, "lines": lines.len() });
            let (actor, organisation) = (Actor::system(), Some(invoice.organisation));
            audit::record(&mut *connection, now, &actor, organisation, Event::InvoiceIssued, subject, detail).await?;
        }
        db::insert_lines(connection, &all_lines).await
    }

    /// Takes the contained tax out of revenue. Wallets paid it with their charges.
    async fn post_tax(&self, connection: &mut sqlx::PgConnection, invoice: &Invoice) -> Result<()> {
        if !invoice.tax.is_positive() {
            return Ok(());
        }
        let posting = Posting::invoice_tax(invoice.tax).context("the tax of an invoice cannot be posted")?;
        let (source, memo) = (format!("invoice:{}", invoice.id), format!("Tax of invoice {}", invoice.number));
        let cause = Cause { source: &source, at: invoice.issued_at, memo: &memo, created_by: None };
        if !ledger::post(connection, &posting, &cause).await? {
            return Err(Error::Internal(anyhow::anyhow!("the tax of {source} was posted before")));
        }
        Ok(())
    }
}

/// The figures of lines. Wallets are debited what prices say, so the tax is contained in them.
pub(super) fn figures(
    lines: &[Line],
    tax: billing::TaxRate,
    places: billing::CurrencyPlaces,
) -> Result<billing::Invoice, InvoiceError> {
    if lines.len() > INVOICE_LINES_MAX {
        return Err(InvoiceError::TooManyLines);
    }
    let exact: Vec<_> = lines.iter().map(|line| billing::InvoiceLine { amount: line.amount, tax }).collect();
    billing::invoice(&exact, Prices::Inclusive, places)
}
