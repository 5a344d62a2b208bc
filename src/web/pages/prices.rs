//! What everything costs a customer, and what will change.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::{Money, Rate};
use chrono::{DateTime, Utc};

use super::frames::{Notice, decimal, portal, render_with};
use crate::app::App;
use crate::pricing::{self, Announced, PricedItem};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::session::Customer;
use crate::web::views::frame::Section;
use crate::web::views::prices::{AnnouncedChange, ChangeRow, PriceRow, PricesPage};

/// `GET /prices`
pub async fn show(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let offer = pricing::offer_for(&app, customer.organisation()).await?;
    let now = app.clock.now();
    let (machines, beside): (Vec<_>, Vec<_>) = offer.items.iter().partition(|priced| priced.plan.is_some());
    let rows = |items: Vec<&PricedItem>| items.into_iter().map(|priced| price_row(&app, priced, now)).collect();
    let page = PricesPage {
        since: offer.since,
        plans: rows(machines),
        beside: rows(beside),
        announced: offer.announced.iter().map(|change| announced(&app, change)).collect(),
        frame: portal(&app, &customer, "Prices", Section::Prices, &notice).await?,
    };
    Ok(render_with(&app, &notice, &page))
}

/// What an item costs, as a row.
pub(super) fn price_row(app: &App, priced: &PricedItem, now: DateTime<Utc>) -> PriceRow {
    let (rate, cap) = (priced.price_per_hour, priced.monthly_cap);
    PriceRow {
        name: priced.name.clone(),
        hour: rate.to_decimal(),
        month: decimal(billing::Estimate::of_new(rate, cap, now, app.settings.time_zone).month),
        cap: cap.map(decimal),
    }
}

/// A price per hour in words: `€0.0083/h`.
pub(super) fn price_words(app: &App, rate: Option<Rate>) -> String {
    rate.map_or_else(
        || "free".into(),
        |rate| format!("{}/h", format::hourly(&rate.to_decimal(), &app.settings.currency)),
    )
}

/// A cap in words: `at most €5.60 a month`. Nothing where there is none.
pub(super) fn cap_words(app: &App, cap: Option<Money>) -> String {
    cap.map(|cap| format!("at most {} a month", format::money(&decimal(cap), &app.settings.currency)))
        .unwrap_or_default()
}

fn announced(app: &App, change: &Announced) -> AnnouncedChange {
    let rows = change.changes.iter().map(|price| {
        let after = price.after.as_ref();
        ChangeRow {
            name: price.name.clone(),
            before: price_words(app, price.price_before),
            before_cap: cap_words(app, price.cap_before),
            after: price_words(app, after.map(|priced| priced.price_per_hour)),
            after_cap: cap_words(app, after.and_then(|priced| priced.monthly_cap)),
            is_rise: false,
            customers: 0,
            vms: 0,
        }
    });
    AnnouncedChange { from: change.effective_from, note: change.note.clone(), rows: rows.collect() }
}
