//! The whole ledger of an organisation, for its owner and for operators.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::Month;
use chrono::TimeDelta;
use serde::Deserialize;

use super::place::Reader;
use super::{Months, transfer_table};
use crate::app::App;
use crate::error::Result;
use crate::ids::{OrganisationId, TransferId};
use crate::ledger::{self, Filter, Kind};
use crate::web::error::PageError;
use crate::web::read::{Path, Query};
use crate::web::session::{Customer, Staff};
use crate::web::views::form::SelectOption;
use crate::web::views::wallet::ledger::LedgerBody;

/// How many lines one page shows.
const TRANSFERS_SHOWN: i64 = 50;
/// How many days the form for a file proposes.
const DAYS_PROPOSED: i64 = 90;

/// Which lines to show.
#[derive(Debug, Deserialize)]
pub struct Shown {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    month: String,
    after: Option<TransferId>,
}

/// `GET /wallet/ledger?kind=&month=&after=`
pub async fn ledger(
    State(app): State<Arc<App>>,
    customer: Customer,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    Ok(page(&app, &Reader::owner(customer), &shown).await?)
}

/// `GET /admin/customers/{id}/ledger?kind=&month=&after=`
pub async fn ledger_of_customer(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    Ok(page(&app, &Reader::operator(staff, id), &shown).await?)
}

async fn page(app: &Arc<App>, reader: &Reader, shown: &Shown) -> Result<Response> {
    let zone = app.settings.time_zone;
    let place = reader.place(app, Vec::new()).await?;
    let months = Months::of(app, reader.organisation()).await?;
    // A month or a kind that is none is as good as none chosen.
    let (kind, month) = (Kind::parse(&shown.kind), months.chosen(&shown.month));
    let (from, to) = (month.map(|month| month.start(zone)), month.map(|month| month.end(zone)));
    let filter = Filter { kind, from, to, after: shown.after };
    let found = ledger::transfers_of(app, reader.organisation(), &filter, TRANSFERS_SHOWN + 1).await?;
    let chosen = (kind.map_or("", Kind::name).to_owned(), month.map(|month| month.to_string()).unwrap_or_default());
    let url = format!("{}/ledger?kind={}&month={}", place.base, chosen.0, chosen.1);
    let today = app.clock.now().with_timezone(&zone).date_naive();
    let first = month.map_or(today - TimeDelta::days(DAYS_PROPOSED - 1), Month::first_day);
    let last = month.map_or(today, |month| month.next().first_day() - TimeDelta::days(1));
    let body = LedgerBody {
        transfers: transfer_table(app, found, TRANSFERS_SHOWN, &url, shown.after.is_none(), &place.base),
        kind: chosen.0,
        kinds: kinds(),
        month: chosen.1,
        months: months.options(),
        from: first,
        to: last,
        place,
    };
    reader.page(app, "Ledger", &body).await
}

fn kinds() -> Vec<SelectOption> {
    let words = |kind| match kind {
        Kind::Charge => "Charges",
        Kind::Credit => "Credit that was added",
        Kind::Debit => "Credit that was taken back",
    };
    Kind::ALL.into_iter().map(|kind| SelectOption { value: kind.name().into(), text: words(kind).into() }).collect()
}
