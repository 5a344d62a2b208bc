//! Making vouchers, one or many alike. Their codes are given back once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use billing::Money;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::json;

use super::code::Code;
use super::{Voucher, db};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::charging;
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::VoucherId;

/// The most vouchers made at once.
pub const MADE_AT_ONCE_MAX: i64 = 500;
/// The most organisations one voucher is for.
pub const USES_MAX: i64 = 100_000;
/// The longest note, in characters.
pub const NOTE_CHARACTERS_MAX: usize = 200;
/// The longest key that makes a double submit one request, in bytes.
const ORDER_BYTES_MAX: usize = 200;
/// For how long the same request is answered with the same codes: a button pressed twice, an answer lost on the way.
const REPEAT_MINUTES: i64 = 5;
/// How many requests are remembered for that.
const REMEMBERED_MAX: usize = 32;

/// What an operator types to make vouchers.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct NewVouchers {
    /// What each is worth, as a decimal.
    #[schema(value_type = Money)]
    pub amount: String,
    /// How many to make.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 500)]
    pub count: i64,
    /// By how many organisations each can be redeemed.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub uses_max: i64,
    /// From when on they are worth nothing.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// For operators: what they are for.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub note: String,
    /// Makes a double submit one request.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub order: Option<String>,
}

fn one() -> i64 {
    1
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Created {
    /// The vouchers, in order.
    pub vouchers: Vec<Voucher>,
    /// Their codes in the same order; empty when the same request was answered too long ago.
    pub codes: Vec<Code>,
    /// The same request was sent before: it was that one that made them.
    pub repeated: bool,
}

/// The codes of the last requests, in the memory of this process only, so that a request that is sent twice gets its codes.
#[derive(Debug, Default)]
pub struct JustMade(Mutex<VecDeque<Answered>>);

/// An order, when it was answered, and the codes it was answered with.
type Answered = (String, DateTime<Utc>, Vec<Code>);

impl JustMade {
    fn remember(&self, order: &str, now: DateTime<Utc>, codes: &[Code]) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(_, at, _)| is_recent(*at, now));
        if made.len() == REMEMBERED_MAX {
            made.pop_front();
        }
        made.push_back((order.to_owned(), now, codes.to_vec()));
    }

    fn recall(&self, order: &str, now: DateTime<Utc>) -> Vec<Code> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(_, at, _)| is_recent(*at, now));
        made.iter().find(|(known, ..)| known == order).map(|(.., codes)| codes.clone()).unwrap_or_default()
    }
}

fn is_recent(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - at < TimeDelta::minutes(REPEAT_MINUTES)
}

/// The instant at which a day ends in the platform's time zone; a voucher is good until then.
#[must_use]
pub fn end_of_day(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let midnight = day.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?;
    // Where the clocks go forward at midnight there is none; the day ends an hour later on the clock.
    let end = midnight.and_local_timezone(zone).earliest();
    end.or_else(|| (midnight + TimeDelta::hours(1)).and_local_timezone(zone).earliest()).map(|end| end.to_utc())
}

/// Checked fields of [`NewVouchers`].
struct Checked {
    amount: Money,
    count: i32,
    uses_max: i32,
    order: String,
}

fn checked(new: &NewVouchers, actor: &Actor, now: DateTime<Utc>) -> Result<Checked> {
    let mut problems = Vec::new();
    let amount = charging::typed_amount(&new.amount).map_err(|problem| problems.push(Problem::new("amount", problem)));
    let mut whole = |field: &'static str, number: i64, most: i64| {
        if !(1..=most).contains(&number) {
            problems.push(Problem::new(field, format!("A whole number from 1 to {most}.")));
        }
        i32::try_from(number).unwrap_or(i32::MAX)
    };
    let count = whole("count", new.count, MADE_AT_ONCE_MAX);
    let uses_max = whole("uses_max", new.uses_max, USES_MAX);
    if new.expires_at.is_some_and(|at| at <= now) {
        problems.push(Problem::new("expires_at", "This is over already."));
    }
    if new.note.trim().chars().count() > NOTE_CHARACTERS_MAX {
        problems.push(Problem::new("note", format!("At most {NOTE_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(new.note.trim()) {
        problems.push(Problem::new("note", NOT_A_PLAIN_LINE));
    }
    let order = new.order.as_deref().map(str::trim).filter(|order| !order.is_empty());
    if order.is_some_and(|order| order.len() > ORDER_BYTES_MAX || !is_plain_line(order)) {
        problems.push(Problem::new("order", format!("At most {ORDER_BYTES_MAX} characters on one line.")));
    }
    let (Ok(amount), true) = (amount, problems.is_empty()) else { return Err(Error::Invalid(problems)) };
    // One operator's key is not another's.
    let maker = actor.user().map_or_else(|| "system".to_owned(), |user| user.to_string());
    let order = order.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
    Ok(Checked { amount, count, uses_max, order: format!("{maker}:{order}") })
}

/// Makes vouchers. The same order makes them once; within minutes it is answered with the same codes.
///
/// # Errors
/// `Invalid` with a problem per field; `Conflict` when the order was sent before with something else in it.
pub async fn create(app: &App, new: &NewVouchers, actor: &Actor) -> Result<Created> {
    let now = app.clock.now();
    let Checked { amount, count, uses_max, order } = checked(new, actor, now)?;
    let note = new.note.trim();
    let mut transaction = app.pool.begin().await?;
    // Two of the same order: the second waits here until the first is done.
    db::lock_order(&mut transaction, &order).await?;
    let before = db::select_of_order(&mut transaction, &order).await?;
    if let Some(first) = before.first() {
        let same = usize::try_from(count).is_ok_and(|count| count == before.len())
            && (first.amount, first.uses_max, first.expires_at, first.note.as_str())
                == (amount, uses_max, new.expires_at, note);
        if !same {
            return Err(Error::conflict(
                "This order was sent before with something else in it. Reload the page and try again.",
            ));
        }
        return Ok(Created { vouchers: before, codes: app.vouchers_just_made.recall(&order, now), repeated: true });
    }
    let codes = (0..count).map(|_| Code::draw()).collect::<Result<Vec<_>>>()?;
    let rows = db::NewRows {
        ids: codes.iter().map(|_| VoucherId::new().uuid()).collect(),
        hashes: codes.iter().map(Code::hash).collect(),
        prefixes: codes.iter().map(|code| code.prefix().to_owned()).collect(),
        amount,
        uses_max,
        expires_at: new.expires_at,
        note,
        order: &order,
        created_by: actor.user(),
        created_at: now,
    };
    db::insert(&mut transaction, &rows).await?;
    let vouchers = db::select_of_order(&mut transaction, &order).await?;
    if let Some(first) = vouchers.first() {
        let detail = json!({ "amount": amount, "count": count, "uses_max": uses_max, "expires_at": new.expires_at, "note": note });
        audit::record(&mut transaction, now, actor, None, Event::VouchersCreated, first.subject(), detail).await?;
    }
    // Before the commit: who sends the same again as soon as it is done finds them.
    app.vouchers_just_made.remember(&order, now, &codes);
    transaction.commit().await?;
    Ok(Created { vouchers, codes, repeated: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_where_the_next_begins_also_when_clocks_change() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        let end = |text: &str, zone| end_of_day(day(text), zone).expect("an end").to_rfc3339();
        assert_eq!(end("2026-11-21", chrono_tz::UTC), "2026-11-22T00:00:00+00:00");
        assert_eq!(end("2026-10-24", chrono_tz::Europe::Berlin), "2026-10-24T22:00:00+00:00");
        assert_eq!(end("2026-10-25", chrono_tz::Europe::Berlin), "2026-10-25T23:00:00+00:00");
        // In Beirut the last Sunday of March has no midnight.
        assert_eq!(end("2026-03-28", chrono_tz::Asia::Beirut), "2026-03-28T22:00:00+00:00");
    }
}
