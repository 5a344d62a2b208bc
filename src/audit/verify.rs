//! Proves the chain: every event is as it was written, none is missing, none was put in, none changed its place.

use std::fmt;

use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::chain::{BATCH, BEGINNING, hash, seal_all};
use super::db::chain::{self as db, Head, Link};
use super::keep::KEPT_DAYS;
use crate::error::Result;

/// What was found by a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How many days were looked at.
    pub days: u64,
    /// How many events were hashed again.
    pub events: u64,
    /// How many links there are whose events were dropped because of their age.
    pub dropped: u64,
    /// The head of the last day: whoever keeps it elsewhere can show later that nothing before it was changed.
    pub head: Option<(NaiveDate, String)>,
    /// The first thing that is not as it was written.
    pub difference: Option<Difference>,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// An event does not say what it said, or is not where it was: the day, its place in it, its id.
    Changed(NaiveDate, i64, Uuid),
    /// An event is not there any more: the day, its place in it, its id.
    Gone(NaiveDate, i64, Uuid),
    /// A link is not there any more, or stands elsewhere: the day, its place in it.
    LinkGone(NaiveDate, i64),
    /// There are links behind the last one that the day had: the day, the first one's place.
    TooMany(NaiveDate, i64),
    /// A day does not begin where the one before it ended.
    Torn(NaiveDate),
    /// A day has links and no head.
    Headless(NaiveDate),
    /// An event was never linked and does not wait for that, so it was put in past the triggers: its id and time.
    PutIn(Uuid, DateTime<Utc>),
    /// An event was removed before it was linked: its id and time.
    Lost(Uuid, DateTime<Utc>),
    /// A month was dropped that was not old enough: its first day.
    DroppedTooEarly(NaiveDate),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(day, sequence, event) => {
                write!(f, "{day}, event {sequence} ({event}): it is not what it was, or not where it was")
            }
            Self::Gone(day, sequence, event) => write!(f, "{day}, event {sequence} ({event}): it is gone"),
            Self::LinkGone(day, sequence) => write!(f, "{day}, event {sequence}: its link is gone"),
            Self::TooMany(day, sequence) => write!(f, "{day}, event {sequence}: the day had fewer events"),
            Self::Torn(day) => write!(f, "{day}: it does not begin where the day before it ended"),
            Self::Headless(day) => write!(f, "{day}: it has events in the chain, and no head"),
            Self::PutIn(event, at) => write!(f, "event {event} of {at}: it was never in the chain"),
            Self::Lost(event, at) => {
                write!(f, "event {event} of {at}: it was removed before it came into the chain")
            }
            Self::DroppedTooEarly(month) => {
                write!(f, "{}: the month was dropped before it was {KEPT_DAYS} days old", month.format("%Y-%m"))
            }
        }
    }
}

/// Walks the chain of these days, both included, and stops at the first difference. What is not linked yet is linked first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn prove(pool: &PgPool, from: Option<NaiveDate>, to: Option<NaiveDate>, now: DateTime<Utc>) -> Result<Proof> {
    seal_all(pool).await?;
    let mut transaction = pool.begin().await?;
    // One sight of everything, whatever is written meanwhile.
    sqlx::query("set transaction isolation level repeatable read read only").execute(&mut *transaction).await?;
    let (from, to) = (from.unwrap_or(NaiveDate::MIN), to.unwrap_or(NaiveDate::MAX));
    let mut walk = Walk { connection: &mut transaction, from, to, now, dropped: Vec::new() };
    let mut proof = Proof { days: 0, events: 0, dropped: 0, head: None, difference: None };
    proof.difference = walk.first_difference(&mut proof).await?;
    transaction.rollback().await?;
    Ok(proof)
}

struct Walk<'a> {
    connection: &'a mut PgConnection,
    from: NaiveDate,
    to: NaiveDate,
    now: DateTime<Utc>,
    /// Months whose events were dropped.
    dropped: Vec<NaiveDate>,
}

impl Walk<'_> {
    async fn first_difference(&mut self, proof: &mut Proof) -> Result<Option<Difference>> {
        for (month, _) in db::select_dropped(self.connection).await? {
            let old_enough = month + Months::new(1) + Days::new(KEPT_DAYS) <= self.now.date_naive();
            if !old_enough {
                return Ok(Some(Difference::DroppedTooEarly(month)));
            }
            self.dropped.push(month);
        }
        // PostgreSQL's days end sooner than chrono's.
        let (mut next, to) = (self.from.max(FIRST), self.to.min(LAST));
        let mut before =
            db::select_head_before(self.connection, next).await?.map_or(BEGINNING.to_vec(), |head| head.hash);
        while let Some(head) = db::select_head_from(self.connection, next, to).await? {
            if head.began != before {
                return Ok(Some(Difference::Torn(head.day)));
            }
            if let Some(difference) = self.day(&head, proof).await? {
                return Ok(Some(difference));
            }
            proof.days += 1;
            proof.head = Some((head.day, hex(&head.hash)));
            before = head.hash;
            next = head.day + Days::new(1);
        }
        if let Some(day) = db::select_headless(self.connection, self.from.max(FIRST), to).await? {
            return Ok(Some(Difference::Headless(day)));
        }
        if let Some((event, at)) = db::select_lost(self.connection).await? {
            return Ok(Some(Difference::Lost(event, at)));
        }
        let (begin, end) = (midnight(self.from.max(FIRST)), midnight(to + Days::new(1)));
        let put_in = db::select_unlinked(self.connection, begin, end).await?;
        Ok(put_in.map(|(event, at)| Difference::PutIn(event, at)))
    }

    /// Walks one day, a batch at a time.
    async fn day(&mut self, head: &Head, proof: &mut Proof) -> Result<Option<Difference>> {
        let day = head.day;
        let (mut before, mut sequence) = (head.began.clone(), 0);
        if self.is_dropped(day) {
            proof.dropped += u64::try_from(head.events).unwrap_or_default();
            return Ok(None);
        }
        loop {
            let links = db::select_links(self.connection, day, sequence, BATCH).await?;
            if links.is_empty() {
                break;
            }
            for link in &links {
                sequence += 1;
                if link.sequence != sequence {
                    return Ok(Some(Difference::LinkGone(day, sequence)));
                }
                if sequence > head.events {
                    return Ok(Some(Difference::TooMany(day, sequence)));
                }
                if let Some(difference) = self.link(link, &before, proof) {
                    return Ok(Some(difference));
                }
                before.clone_from(&link.hash);
            }
        }
        if sequence < head.events {
            return Ok(Some(Difference::LinkGone(day, sequence + 1)));
        }
        Ok((before != head.hash).then_some(Difference::Torn(day)))
    }

    fn link(&self, link: &Link, before: &[u8], proof: &mut Proof) -> Option<Difference> {
        let (day, sequence, event) = (link.day, link.sequence, link.event_id);
        match &link.row {
            Some(row) if hash(before, day, sequence, row) == link.hash => {
                proof.events += 1;
                None
            }
            Some(_) => Some(Difference::Changed(day, sequence, event)),
            // A latecomer of a month that was dropped hangs on in the chain of a day that is kept.
            None if self.is_dropped(link.at.date_naive()) => {
                proof.dropped += 1;
                None
            }
            None => Some(Difference::Gone(day, sequence, event)),
        }
    }

    fn is_dropped(&self, day: NaiveDate) -> bool {
        self.dropped.iter().any(|month| *month <= day && day < *month + Months::new(1))
    }
}

/// Days outside of these are not asked for.
const FIRST: NaiveDate = NaiveDate::from_ymd_opt(2000, 1, 1).expect("a day of the calendar");
const LAST: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 30).expect("a day of the calendar");

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
