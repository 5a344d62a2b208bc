//! What charging has before it: the sum of each meter as it was written down, the intervals since, and both as they stand
//! where the wallet is charged to.

use std::collections::HashMap;

use anyhow::Context;
use billing::{MeterState, Piece};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use uuid::Uuid;

use super::db;
use crate::catalog::{Metering, PriceBook, PriceError, Resource};
use crate::error::Result;
use crate::ids::{MeterId, OrganisationId, PriceId, VmId};
use crate::ledger::Wallet;

/// Pieces of constant price, and of each the price and the quantity.
pub type Pieces = (Vec<Piece>, Vec<(PriceId, i64)>);

/// What was written down of a meter when last an interval of it was settled, and its intervals since.
#[derive(Debug)]
pub struct Checkpoint {
    pub(super) meter: MeterId,
    pub(super) vm: VmId,
    pub(super) state: MeterState,
    /// Until here the sums are.
    pub(super) through: DateTime<Utc>,
    /// In the order of time.
    pub(super) spans: Vec<Span>,
}

/// What of one meter is not wholly charged yet.
#[derive(Debug, Clone)]
pub struct Unsettled {
    /// The meter.
    pub meter: MeterId,
    /// Its machine.
    pub vm: VmId,
    /// Its sums of the month, where charging stands.
    pub state: MeterState,
    /// In the order of time.
    pub spans: Vec<Span>,
    /// Its sums as they are written down, and until where they are.
    written: (MeterState, DateTime<Utc>),
}

/// What is written down of a meter when intervals of it are wholly charged.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The intervals.
    pub intervals: Vec<i64>,
    /// Its sums.
    pub state: MeterState,
    /// Until here they are.
    pub through: DateTime<Utc>,
}

/// A time in which a meter was one thing.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The interval's id.
    pub id: i64,
    /// What it was, and on which price list.
    pub what: Metering,
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here; none: it goes on.
    pub to: Option<DateTime<Utc>>,
}

/// Whose meters are read.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Those of these organisations.
    Of(&'a [Uuid]),
    /// Those of all organisations from the first key to the last, both included.
    Between(Uuid, Uuid),
}

/// What of some organisations is not settled yet, by organisation; of what goes on, only what has a price in `book`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn checkpoints(
    connection: &mut PgConnection,
    book: &PriceBook,
    whose: Whose<'_>,
) -> Result<HashMap<OrganisationId, Vec<Checkpoint>>> {
    let kinds: Vec<_> = book.priced_kinds().into_iter().map(str::to_owned).collect();
    match whose {
        Whose::Of(organisations) => db::select_unsettled(connection, organisations, &kinds).await,
        Whose::Between(first, last) => db::select_unsettled_between(connection, (first, last), &kinds).await,
    }
}

/// What of a wallet's organisation is not wholly charged yet.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn unsettled(
    connection: &mut PgConnection,
    book: &PriceBook,
    wallet: &Wallet,
    zone: Tz,
) -> Result<Vec<Unsettled>> {
    let organisation = wallet.organisation;
    let mut meters = checkpoints(connection, book, Whose::Of(&[organisation.uuid()])).await?;
    let meters = meters.remove(&organisation).unwrap_or_default();
    Ok(stand(meters, book, wallet.charged_through, zone).context("while adding up what was charged")?)
}

/// Lets meters stand at their wallet's cursor: what ran between their checkpoints and it is charged already.
///
/// # Errors
/// When a price is missing or the cursor lies in a month before that of the checkpoint.
pub fn stand(
    meters: Vec<Checkpoint>,
    book: &PriceBook,
    charged_through: DateTime<Utc>,
    zone: Tz,
) -> anyhow::Result<Vec<Unsettled>> {
    let stand = |meter: Checkpoint| {
        let Checkpoint { meter, vm, state, through, spans } = meter;
        let mut meter = Unsettled { meter, vm, state, spans, written: (state, through) };
        meter.state = meter.sums_at(book, charged_through, zone)?;
        Ok(meter)
    };
    meters.into_iter().map(stand).collect()
}

impl Checkpoint {
    /// How many intervals it has that are not settled.
    #[must_use]
    pub fn intervals(&self) -> usize {
        self.spans.len()
    }
}

impl Unsettled {
    /// Its sums at an instant that is not before its checkpoint. One that is charged gets the same sums by its charges.
    fn sums_at(&self, book: &PriceBook, at: DateTime<Utc>, zone: Tz) -> anyhow::Result<MeterState> {
        let (mut state, through) = self.written;
        let (pieces, _) = self.pieces(book, through, at)?;
        billing::accrue_pieces(&mut state, &pieces, zone)?;
        Ok(state)
    }

    /// Which intervals are wholly charged at `charged_through`, and what is to be written down of the meter with that: its
    /// sums at the end of the last of them, so that the same is written by whatever steps charging came there.
    ///
    /// # Errors
    /// When a price is missing.
    pub fn settled(
        &self,
        book: &PriceBook,
        charged_through: DateTime<Utc>,
        zone: Tz,
    ) -> anyhow::Result<Option<Settled>> {
        let ended = |span: &Span| Some((span.id, span.to.filter(|to| *to <= charged_through)?));
        let (intervals, ends): (Vec<_>, Vec<_>) = self.spans.iter().filter_map(ended).unzip();
        let Some(through) = ends.into_iter().max().map(|end| end.max(self.written.1)) else { return Ok(None) };
        Ok(Some(Settled { intervals, state: self.sums_at(book, through, zone)?, through }))
    }

    /// The pieces of `[from, to)` at their prices, with price and quantity of each.
    ///
    /// # Errors
    /// When some of the time has no price.
    pub fn pieces(&self, book: &PriceBook, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Pieces, PriceError> {
        let mut pieces = Vec::with_capacity(self.spans.len());
        let mut prices = Vec::with_capacity(self.spans.len());
        for span in &self.spans {
            let until = span.to.map_or(to, |end| end.min(to));
            book.cut(span.what, span.from.max(from), until, &mut pieces, &mut prices)?;
        }
        Ok((pieces, prices))
    }

    /// What goes on at `at`, if anything does.
    #[must_use]
    pub fn going_on(&self, at: DateTime<Utc>) -> Option<&Span> {
        self.spans.iter().find(|span| span.to.is_none_or(|to| to > at))
    }

    /// Whether it meters the machine itself, not what it has beside.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.spans.first().is_some_and(|span| span.what.item.resource() == Resource::Vm)
    }
}
