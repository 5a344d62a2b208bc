//! Price lists for operators: what they say, from when, and who is on which. Changing prices is in `change`, what other prices would
//! have brought in `what_if`.

mod change;
mod what_if;

use std::sync::Arc;

pub use change::{ask, change};
pub use what_if::what_if;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, form_errors, redirect_with, render, render_with};
use super::prices::price_row;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, PriceListId};
use crate::pricing::{self, ListLine, NewList, Version};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::prices::{ListPage, ListRow, ListsPage, VersionRow};

/// What was typed to make a list.
#[derive(Debug, Default, Deserialize)]
pub struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    copy_of: String,
}

/// `GET /admin/price-lists`
pub async fn list(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let page = lists_page(&app, &staff, &notice, Typed::default(), FormErrors::none()).await?;
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/price-lists`
pub async fn add(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let new = NewList { name: typed.name.clone(), copy_of: typed.copy_of.parse().ok() };
    match pricing::add_list(&app, &new, &staff.actor).await {
        Ok(id) => {
            let sentence = "The list has the prices of the other one now. Nobody is on it yet.";
            Ok(redirect_with(&app, &format!("/admin/price-lists/{id}"), FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let page = lists_page(&app, &staff, &Notice::default(), typed, form_errors(error)?).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

async fn lists_page(app: &App, staff: &Staff, notice: &Notice, typed: Typed, errors: FormErrors) -> Result<ListsPage> {
    let lists = pricing::lists(app).await?;
    Ok(ListsPage {
        copies: lists.iter().filter(|line| line.in_force.is_some()).map(list_option).collect(),
        rows: lists.into_iter().map(list_row).collect(),
        name: typed.name,
        copy_of: typed.copy_of,
        errors,
        frame: frames::admin(app, staff, "Price lists", AdminSection::Prices, count(app).await?, notice),
    })
}

/// Every price list, to choose from.
pub(super) async fn options(app: &App) -> Result<Vec<SelectOption>> {
    Ok(pricing::lists(app).await?.iter().map(list_option).collect())
}

fn list_option(line: &ListLine) -> SelectOption {
    SelectOption { value: line.id.to_string(), text: line.name.clone() }
}

fn list_row(line: ListLine) -> ListRow {
    ListRow {
        id: line.id.to_string(),
        name: line.name,
        is_default: line.is_default,
        versions: format::unsigned(line.versions),
        in_force: line.in_force.zip(line.in_force_since),
        next_from: line.next_from,
        customers: format::unsigned(line.customers),
    }
}

/// Which version is shown.
#[derive(Debug, Deserialize)]
pub struct Shown {
    version: Option<i32>,
}

/// `GET /admin/price-lists/{id}?version=`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<PriceListId>,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let list = pricing::show(&app, id, shown.version).await?;
    let now = app.clock.now();
    let title = list.line.name.clone();
    let page = ListPage {
        shown: list.shown,
        prices: list.prices.iter().map(|priced| price_row(&app, priced, now)).collect(),
        versions: list
            .timeline
            .into_iter()
            .map(|version| version_row(version, list.shown, list.line.in_force, now))
            .collect(),
        list: list_row(list.line),
        frame: frames::admin(&app, &staff, title, AdminSection::Prices, count(&app).await?, &notice),
    };
    Ok(render_with(&app, &notice, &page))
}

fn version_row(version: Version, shown: Option<i32>, in_force: Option<i32>, now: DateTime<Utc>) -> VersionRow {
    let (state, class) = if version.withdrawn_at.is_some() {
        ("Withdrawn", "pill-bad")
    } else if in_force == Some(version.number) {
        ("In force", "pill-good")
    } else if version.effective_from > now {
        ("To come", "pill-work")
    } else {
        ("Over", "pill-quiet")
    };
    let told = format::unsigned(version.announced_to.into());
    let customers = format::count(&told, "customer", "customers");
    VersionRow {
        number: version.number,
        from: version.effective_from,
        state,
        class,
        note: version.note,
        reason: version.reason,
        by: version.created_by.unwrap_or_default(),
        told: match (version.announcing_since, version.announced_at) {
            (None, _) if told == 0 => "nobody".into(),
            (None, _) | (Some(_), Some(_)) => customers,
            (Some(_), None) => format!("{customers} so far"),
        },
        can_withdraw: pricing::can_be_withdrawn(version.effective_from, version.withdrawn_at, now),
        is_shown: shown == Some(version.number),
    }
}

/// `POST /admin/price-lists/{id}/versions/{number}/withdraw`
pub async fn withdraw(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path((id, number)): Path<(PriceListId, i32)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let to = format!("/admin/price-lists/{id}");
    match pricing::withdraw(&app, id, number, &staff.actor).await {
        Ok(()) => {
            let sentence = format!("Version {number} is withdrawn. It never comes into force.");
            Ok(redirect_with(&app, &to, FlashKind::Success, sentence))
        }
        Err(Error::Conflict(sentence)) => Ok(redirect_with(&app, &to, FlashKind::Danger, sentence)),
        Err(error) => Err(error.into()),
    }
}

/// Which list was chosen for a customer.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    #[serde(default)]
    price_list: String,
    #[serde(default)]
    reason: String,
}

/// `POST /admin/customers/{id}/price-list`
pub async fn assign(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(chosen): CsrfForm<Chosen>,
) -> Result<Response, PageError> {
    let to = format!("/admin/customers/{id}");
    let list = chosen.price_list.parse().map_err(|_| Error::invalid("price_list", "Choose one of the price lists."))?;
    let line = pricing::show(&app, list, None).await?.line;
    // Who is on the default list follows it when another one becomes that.
    match pricing::assign(&app, id, (!line.is_default).then_some(list), &chosen.reason, &staff.actor).await {
        Ok(_) => {
            let sentence = format!("Prices of {} hold from now on. What was charged stays.", line.name);
            Ok(redirect_with(&app, &to, FlashKind::Success, sentence))
        }
        Err(Error::Invalid(problems)) => {
            let sentences: Vec<_> = problems.into_iter().map(|problem| problem.problem).collect();
            Ok(redirect_with(&app, &to, FlashKind::Danger, sentences.join(" ")))
        }
        Err(Error::Conflict(sentence)) => Ok(redirect_with(&app, &to, FlashKind::Danger, sentence)),
        Err(error) => Err(error.into()),
    }
}
