//! How long the log is kept: the months ahead have their tables before anything is written into them, and a month that is
//! old enough is dropped as a whole.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use serde_json::json;

use super::db::chain as db;
use super::{Actor, Event, Subject, chain, record};
use crate::app::App;
use crate::error::Result;

/// How long an event is kept at least. It goes with its month, so up to a month later.
pub const KEPT_DAYS: u64 = 365;
/// How many months ahead there are tables.
const MONTHS_AHEAD: u32 = 3;

/// Makes the tables of the months ahead and drops the months that are old enough. Answers how many were dropped.
///
/// # Errors
/// When PostgreSQL fails, also when somebody holds the log up just now; the next time is soon enough.
pub async fn keep(app: &App) -> Result<usize> {
    let now = app.clock.now();
    let this = first_of_month(now.date_naive());
    for ahead in 0..=MONTHS_AHEAD {
        db::ensure_partition(&app.pool, this + Months::new(ahead)).await?;
    }
    // What goes is in the chain before.
    chain::seal(&app.pool).await?;
    let mut dropped = 0;
    for month in db::select_months(&app.pool).await? {
        if month + Months::new(1) + Days::new(KEPT_DAYS) > now.date_naive() {
            break;
        }
        drop_month(app, month, now).await?;
        dropped += 1;
    }
    Ok(dropped)
}

async fn drop_month(app: &App, month: NaiveDate, now: DateTime<Utc>) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let events = db::count_between(&mut transaction, midnight(month), midnight(month + Months::new(1))).await?;
    if db::drop_partition(&mut transaction, month, now).await? && events > 0 {
        let name = month.format("%Y-%m").to_string();
        let subject = Subject::new("audit_month", &name, &name);
        let detail = json!({ "events": events, "days": KEPT_DAYS });
        record(&mut transaction, now, &Actor::system(), None, Event::AuditMonthDropped, subject, detail).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}
