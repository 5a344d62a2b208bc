//! One charge, with the arithmetic written out so that a pocket calculator gives the same digits.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::{Accrued, Money};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::charges::{day_link, month_link, what};
use super::place::{Reader, link};
use super::{name_of, name_of_day};
use crate::app::App;
use crate::error::Result;
use crate::ids::{MeterId, OrganisationId};
use crate::metering::{self, Changed, ChargeKey, Explanation, Was};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::pages::frames::decimal;
use crate::web::read::Path;
use crate::web::session::{Customer, Staff};
use crate::web::views::frame::Link;
use crate::web::views::wallet::Place;
use crate::web::views::wallet::charges::{ExplainBody, IntervalRow, Step};

/// How many digits of a quotient are written before it is cut with dots.
const QUOTIENT_PLACES: u32 = 12;
const SECONDS_PER_HOUR: i64 = 3_600;

/// `GET /wallet/charges/{meter}/{from}`
pub async fn explain(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path((meter, from)): Path<(MeterId, DateTime<Utc>)>,
) -> Result<Response, PageError> {
    Ok(page(&app, &Reader::owner(customer), ChargeKey { from, meter }).await?)
}

/// `GET /admin/customers/{id}/charges/{meter}/{from}`
pub async fn explain_to_staff(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path((id, meter, from)): Path<(OrganisationId, MeterId, DateTime<Utc>)>,
) -> Result<Response, PageError> {
    Ok(page(&app, &Reader::operator(staff, id), ChargeKey { from, meter }).await?)
}

async fn page(app: &Arc<App>, reader: &Reader, key: ChargeKey) -> Result<Response> {
    let explanation = metering::explain(app, reader.organisation(), key).await?;
    let day = key.from.with_timezone(&app.settings.time_zone).date_naive();
    let charge = &explanation.charge;
    let url = format!("{}/charges?day={day}&vm={}", reader.base(), charge.vm);
    let further = vec![month_link(reader, explanation.month), day_link(reader, day), link(&charge.vm_name, &url)];
    let place = reader.place(app, further).await?;
    let body = body(explanation, place, link(&name_of_day(day), &url), &app.settings.currency);
    reader.page(app, "A charge explained", &body).await
}

fn body(explanation: Explanation, place: Place, day: Link, currency: &str) -> ExplainBody {
    let charge = &explanation.charge;
    ExplainBody {
        place,
        day,
        vm: charge.vm_name.clone(),
        what: what(charge.item, charge.item_name.as_deref(), charge.quantity),
        from: charge.key.from,
        to: charge.to,
        amount: decimal(charge.amount),
        is_proved: explanation.is_proved(),
        steps: steps(&explanation, currency),
        list: explanation.price.list.clone(),
        version: explanation.price.version,
        effective_from: explanation.price.effective_from,
        unit_rate: explanation.price.rate.to_decimal(),
        unit_cap: explanation.price.monthly_cap.map(decimal),
        quantity: charge.quantity,
        currency: currency.to_owned(),
        intervals: explanation.intervals.into_iter().map(interval_row).collect(),
    }
}

fn interval_row(was: Was) -> IntervalRow {
    IntervalRow {
        from: was.from,
        to: was.to,
        what: what(was.item, was.item_name.as_deref(), was.quantity),
        why: why(was.changed),
    }
}

/// Why an interval began, in words.
fn why(changed: Changed) -> &'static str {
    match changed {
        Changed::Began => "it was made",
        Changed::Resumed => "metering began again: there was credit again, or it could be seen again",
        Changed::Started => "it was started",
        Changed::Stopped => "it was stopped",
        Changed::Resized => "its plan was changed",
        Changed::Quantity => "there was more or less of it",
        Changed::List => "another price list began to hold for you",
        Changed::Image => "another image was installed",
    }
}

/// A number without the zeros behind it.
fn plain(number: Decimal) -> String {
    number.normalize().to_string()
}

/// Microseconds as seconds, with as many places as there are.
fn seconds(micros: i64) -> String {
    plain(Decimal::from_i128_with_scale(i128::from(micros), 6))
}

/// An accrued sum divided by an hour's seconds: all of its digits, or as many as fit and dots.
fn quotient(accrued: Accrued) -> String {
    let hour = Decimal::from(SECONDS_PER_HOUR);
    let exact = accrued.to_decimal().ok().and_then(|sum| Some((sum, sum.checked_div(hour)?)));
    match exact.map(|(sum, exact)| (sum, exact.trunc_with_scale(QUOTIENT_PLACES))) {
        Some((sum, cut)) if cut * hour == sum => plain(cut),
        Some((_, cut)) => format!("{cut}…"),
        None => "…".into(),
    }
}

/// The arithmetic of a charge, in the order in which it is done. Each line can be typed into a calculator.
fn steps(explanation: &Explanation, currency: &str) -> Vec<Step> {
    let step = |words: &str, line: String, result: String| Step { words: words.to_owned(), line, result };
    let Explanation { charge, price, before, after, ran_up, .. } = explanation;
    let month = name_of(explanation.month);
    let rate = plain(charge.rate.to_decimal());
    let mut steps = Vec::with_capacity(7);
    if charge.quantity != 1 {
        let unit = plain(price.rate.to_decimal());
        steps.push(step("The price of an hour", format!("{unit} × {} units", charge.quantity), rate.clone()));
    }
    let time = seconds(explanation.micros);
    steps.push(step("The price of an hour times the seconds", format!("{rate} × {time}"), ran_up.to_string()));
    steps.push(step(
        "Added to what there was before in the month",
        format!("{before} since {} UTC + {ran_up}", format::time(&explanation.month_start)),
        (*before + *ran_up).to_string(),
    ));
    if let Some(cap) = explanation.cap {
        let so = if explanation.is_capped { "no more is charged in" } else { "not reached in" };
        let line = format!("{} × 3600 = {}: {so} {month}", plain(decimal(cap)), Accrued::worth(cap));
        steps.push(step("At most the monthly cap", line, after.to_string()));
    }
    let rounded = |words: &str, accrued: &Accrued, amount: Money| {
        step(words, format!("{accrued} ÷ 3600 = {}", quotient(*accrued)), amount.to_string())
    };
    steps.push(rounded("Divided by the seconds of an hour, to six places", after, explanation.rounded_after));
    steps.push(rounded("The same with what there was before", before, explanation.rounded_before));
    steps.push(step(
        "The charge is the difference",
        format!("{} − {}", explanation.rounded_after, explanation.rounded_before),
        format::money(&decimal(explanation.amount()), currency),
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_has_all_its_digits_or_says_that_there_are_more() {
        for (sum, shown) in [("18.72", "0.0052"), ("10", "0.002777777777…"), ("0", "0"), ("36000000", "10000")] {
            assert_eq!(quotient(sum.parse().expect("a written sum")), shown, "{sum}");
        }
    }

    #[test]
    fn seconds_have_as_many_places_as_there_are() {
        assert_eq!(seconds(1_200_000_000), "1200");
        assert_eq!(seconds(1_000_001), "1.000001");
    }
}
