//! What people read of a wallet's ledger: pages with the balance after each transfer, statements for a file, and the balance
//! of the last days for a chart. All of it in the order of the books' time.

use billing::Money;
use chrono::{DateTime, Utc};

use super::{PAGE_MAX, db};
use crate::app::App;
use crate::error::Result;
use crate::ids::{OrganisationId, TransferId};

/// How many lines of a statement are read at once.
pub const STATEMENT_CHUNK: i64 = 1_000;
/// How many transfers the balance of the last days is drawn from at most; one an hour for a month are 744.
const POINTS_MAX: i64 = 2_000;

/// A transfer as its wallet's owner sees it.
#[derive(Debug, Clone)]
pub struct WalletTransfer {
    /// Its id.
    pub id: TransferId,
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// What for: `charge`, `manual_credit`, `sign_up_credit`.
    pub code: String,
    /// A sentence about it.
    pub memo: String,
    /// Positive when it adds to the balance.
    pub amount: Money,
    /// The balance after it.
    pub balance_after: Money,
}

/// Kinds of transfers that a customer tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was used.
    Charge,
    /// Everything that added to the balance.
    Credit,
    /// Everything else that was taken.
    Debit,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Charge, Self::Credit, Self::Debit];

    /// Its name in URLs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }

    /// Reads its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// Which transfers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Not before this instant.
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    pub to: Option<DateTime<Utc>>,
    /// Those before this one, in the order of the books.
    pub after: Option<TransferId>,
}

/// The transfers of a wallet, newest first, before `after`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn transfers(
    app: &App,
    organisation: OrganisationId,
    after: Option<TransferId>,
    limit: i64,
) -> Result<Vec<WalletTransfer>> {
    transfers_of(app, organisation, &Filter { after, ..Filter::default() }, limit).await
}

/// Those transfers of a wallet that a filter leaves, newest first, each with the balance after it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn transfers_of(
    app: &App,
    organisation: OrganisationId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<WalletTransfer>> {
    db::history::select_transfers(&app.pool, organisation, filter, limit.clamp(1, PAGE_MAX + 1)).await
}

/// A line of a statement.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its id.
    pub id: TransferId,
    /// When, by the books.
    pub at: DateTime<Utc>,
    /// What for.
    pub code: String,
    /// A sentence about it.
    pub memo: String,
    /// Positive when it adds to the balance.
    pub amount: Money,
}

/// A time of a wallet's ledger, to be read in chunks from its beginning.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    organisation: OrganisationId,
    to: DateTime<Utc>,
    /// Where the next chunk begins: behind the transfer with this time and id.
    next: (DateTime<Utc>, Option<TransferId>),
    /// The balance before the next line.
    pub balance: Money,
}

/// Begins a statement of `[from, to)` with the balance that it opens with.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn statement(
    app: &App,
    organisation: OrganisationId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Statement> {
    let balance = db::history::select_balance_before(&app.pool, organisation, from).await?;
    Ok(Statement { organisation, to, next: (from, None), balance })
}

/// The next lines of a statement, oldest first, each with the balance after it; none at its end.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn statement_lines(app: &App, statement: &mut Statement) -> Result<Vec<(Line, Money)>> {
    let Statement { organisation, to, next, .. } = *statement;
    let lines = db::history::select_lines(&app.pool, organisation, next, to, STATEMENT_CHUNK).await?;
    if let Some(last) = lines.last() {
        statement.next = (last.at, Some(last.id));
    }
    Ok(lines
        .into_iter()
        .map(|line| {
            statement.balance += line.amount;
            let balance = statement.balance;
            (line, balance)
        })
        .collect())
}

/// A balance at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalancePoint {
    /// When.
    pub at: DateTime<Utc>,
    /// What there was.
    pub balance: Money,
}

/// The balance after each transfer since `from`, oldest first, and before them the balance that they began with. Of a wallet
/// that has moved more often than can be drawn, the latest.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn balances_since(app: &App, organisation: OrganisationId, from: DateTime<Utc>) -> Result<Vec<BalancePoint>> {
    let mut newest_first = db::history::select_balances(&app.pool, organisation, from, POINTS_MAX).await?;
    newest_first.reverse();
    let mut points = Vec::with_capacity(newest_first.len() + 1);
    if let Some((at, change, balance)) = newest_first.first().copied() {
        let before = balance - change;
        let is_whole = newest_first.len() < usize::try_from(POINTS_MAX).unwrap_or(usize::MAX);
        // Where there was nothing yet, nothing is drawn.
        let begin = if is_whole && !before.is_zero() { from } else { at };
        points.push(BalancePoint { at: begin, balance: before });
    }
    points.extend(newest_first.into_iter().map(|(at, _, balance)| BalancePoint { at, balance }));
    Ok(points)
}

/// Since when an organisation could not be charged, through no fault of its own, if that is so.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn uncharged_since(app: &App, organisation: OrganisationId) -> Result<Option<DateTime<Utc>>> {
    db::history::select_uncharged_since(&app.pool, organisation).await
}
