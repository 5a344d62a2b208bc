//! The chain of hashes: each event is a link of the chain of its day, and each day's chain begins where the one before ended.
//! Why events are linked a few seconds after they are written, and not with them, is in `docs/decisions/audit-chain.md`.

use chrono::{DateTime, NaiveDate, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::db::chain::{self as db, Head, Row};
use crate::error::Result;

/// How many events are linked in one transaction, and read at once by the proof.
pub(super) const BATCH: i64 = 1_000;
/// What the very first day's chain begins with.
pub(super) const BEGINNING: [u8; 32] = [0; 32];
/// Stands before everything that is hashed, so that another form later cannot be taken for this one.
const FORM: &[u8] = b"uni-manager audit 1";

/// Links what is written down and committed, in order of time. Answers how many events that were; none when somebody else is
/// at it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn seal(pool: &PgPool) -> Result<u64> {
    go_on(pool, false).await
}

/// As [`seal`], waiting for who is at it.
pub(super) async fn seal_all(pool: &PgPool) -> Result<u64> {
    go_on(pool, true).await
}

async fn go_on(pool: &PgPool, waits: bool) -> Result<u64> {
    let mut sealed = 0;
    loop {
        let mut transaction = pool.begin().await?;
        if waits {
            db::lock(&mut transaction).await?;
        } else if !db::try_lock(&mut transaction).await? {
            transaction.rollback().await?;
            return Ok(sealed);
        }
        let rows = db::select_unsealed(&mut transaction, BATCH).await?;
        if rows.is_empty() {
            // Said rather than left to the end of the block, which would let go of the lock only some time later.
            transaction.rollback().await?;
            return Ok(sealed);
        }
        let before = db::select_last_head(&mut transaction).await?;
        let (links, heads) = links(before, &rows);
        db::insert_links(&mut transaction, &links, &heads).await?;
        transaction.commit().await?;
        sealed += rows.len() as u64;
    }
}

/// Links events to what there is. One whose day is over belongs to the chain of the last day there is: a closed day stays as
/// it is.
fn links(before: Option<Head>, rows: &[Row]) -> (db::NewLinks, Vec<Head>) {
    let mut new = db::NewLinks::default();
    let mut heads: Vec<Head> = Vec::new();
    let mut last = before;
    for row in rows {
        let day = last.as_ref().map_or(row.at.date_naive(), |head| head.day.max(row.at.date_naive()));
        let mut head = match last {
            Some(head) if head.day == day => head,
            other => {
                let began = other.map_or_else(|| BEGINNING.to_vec(), |head| head.hash);
                Head { day, hash: began.clone(), began, events: 0 }
            }
        };
        head.events += 1;
        head.hash = hash(&head.hash, day, head.events, row);
        new.days.push(day);
        new.sequences.push(head.events);
        new.events.push(row.id);
        new.times.push(row.at);
        new.hashes.push(head.hash.clone());
        match heads.last_mut() {
            Some(known) if known.day == day => *known = head.clone(),
            _ => heads.push(head.clone()),
        }
        last = Some(head);
    }
    (new, heads)
}

/// The hash of a link: SHA-256 over the hash before it, its place, and all fields of its event. Each field stands with its
/// length, and one that is missing is not one that is empty, so no two events have the same form.
pub(super) fn hash(before: &[u8], day: NaiveDate, sequence: i64, row: &Row) -> Vec<u8> {
    let mut form = Form(Sha256::new());
    form.bytes(FORM);
    form.bytes(before);
    form.bytes(day.to_string().as_bytes());
    form.bytes(&sequence.to_be_bytes());
    form.bytes(row.id.as_bytes());
    form.bytes(&micros(row.at));
    form.maybe(row.organisation_id.as_ref().map(|id| id.as_bytes().as_slice()));
    form.bytes(row.actor_kind.as_bytes());
    form.maybe(row.actor_user_id.as_ref().map(|id| id.as_bytes().as_slice()));
    form.bytes(row.actor.as_bytes());
    form.maybe(row.actor_key_id.as_ref().map(|id| id.as_bytes().as_slice()));
    form.maybe(row.actor_key.as_ref().map(String::as_bytes));
    form.maybe(row.on_behalf_user_id.as_ref().map(|id| id.as_bytes().as_slice()));
    form.maybe(row.on_behalf.as_ref().map(String::as_bytes));
    for text in [&row.event, &row.subject_kind, &row.subject_id, &row.subject_name, &row.detail] {
        form.bytes(text.as_bytes());
    }
    for text in [&row.changes, &row.address, &row.user_agent, &row.request_id] {
        form.maybe(text.as_ref().map(String::as_bytes));
    }
    form.0.finalize().to_vec()
}

fn micros(at: DateTime<Utc>) -> [u8; 8] {
    at.timestamp_micros().to_be_bytes()
}

struct Form(Sha256);

impl Form {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn maybe(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.0.update([1]);
                self.bytes(bytes);
            }
            None => self.0.update([0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn row(at: &str) -> Row {
        Row {
            id: Uuid::nil(),
            at: at.parse().unwrap(),
            organisation_id: None,
            actor_kind: "person".into(),
            actor_user_id: None,
            actor: "ann".into(),
            actor_key_id: None,
            actor_key: None,
            on_behalf_user_id: None,
            on_behalf: None,
            event: "vm.start".into(),
            subject_kind: "vm".into(),
            subject_id: "1".into(),
            subject_name: "web".into(),
            detail: "{}".into(),
            changes: None,
            address: None,
            user_agent: None,
            request_id: None,
        }
    }

    #[test]
    fn every_field_is_in_the_hash_and_none_can_be_taken_for_its_neighbour() {
        let day = "2026-11-10".parse().unwrap();
        let of = |change: fn(&mut Row)| {
            let mut changed = row("2026-11-10T12:00:00Z");
            change(&mut changed);
            hash(&BEGINNING, day, 1, &changed)
        };
        let mut hashes = vec![
            of(|_| {}),
            of(|row| row.id = Uuid::max()),
            of(|row| row.at += chrono::TimeDelta::microseconds(1)),
            of(|row| row.organisation_id = Some(Uuid::nil())),
            of(|row| row.actor_kind = "staff".into()),
            of(|row| row.actor_user_id = Some(Uuid::nil())),
            of(|row| row.actor = "bob".into()),
            of(|row| row.actor_key_id = Some(Uuid::nil())),
            of(|row| row.actor_key = Some("ci".into())),
            of(|row| row.on_behalf_user_id = Some(Uuid::nil())),
            of(|row| row.on_behalf = Some("ci".into())),
            of(|row| row.event = "vm.stop".into()),
            of(|row| row.subject_kind = "wallet".into()),
            of(|row| row.subject_id = "2".into()),
            of(|row| row.subject_name = "db".into()),
            of(|row| row.detail = "{\"a\": 1}".into()),
            of(|row| row.changes = Some("{}".into())),
            of(|row| row.address = Some(String::new())),
            of(|row| row.address = Some("::1".into())),
            of(|row| row.user_agent = Some("::1".into())),
            of(|row| row.request_id = Some("::1".into())),
            // What moves from one field to the next is something else.
            of(|row| (row.subject_id, row.subject_name) = ("1w".into(), "eb".into())),
            hash(&BEGINNING, day, 2, &row("2026-11-10T12:00:00Z")),
            hash(&BEGINNING, day.succ_opt().unwrap(), 1, &row("2026-11-10T12:00:00Z")),
            hash(&[1; 32], day, 1, &row("2026-11-10T12:00:00Z")),
        ];
        let count = hashes.len();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn a_day_begins_where_the_last_one_with_events_ended_and_takes_no_latecomers() {
        let rows = ["2026-11-10T23:59:59Z", "2026-11-12T00:00:00Z", "2026-11-12T00:00:01Z"]
            .map(row)
            .into_iter()
            .collect::<Vec<_>>();

        let (links, heads) = links(None, &rows);
        assert_eq!(links.sequences, [1, 1, 2]);
        assert_eq!((heads[0].events, heads[0].began.as_slice()), (1, BEGINNING.as_slice()));
        assert_eq!((heads[1].events, &heads[1].began), (2, &heads[0].hash));
        let (late, _) = super::links(heads.last().cloned(), &[row("2026-11-11T10:00:00Z")]);
        assert_eq!((late.days[0].to_string().as_str(), late.sequences[0]), ("2026-11-12", 3));
    }
}
