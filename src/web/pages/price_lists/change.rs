//! The form that changes prices: filled with those of the newest version, shown with what it would do, then saved.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use super::super::exceptions::count;
use super::super::frames::{self, Notice, decimal, form_errors, redirect_with, render, render_with};
use super::super::prices::{cap_words, price_words};
use crate::app::App;
use crate::catalog::{Item, PowerState};
use crate::error::{Error, Result};
use crate::ids::{ImageId, PlanId, PriceListId};
use crate::pricing::{self, NewPrice, NewVersion, Preview};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::prices::{ChangePage, ChangeRow, Effect, FormRow};

/// How the browser sends a time.
const TIME: &str = "%Y-%m-%dT%H:%M";

/// What was typed, by the names of the fields.
type Typed = HashMap<String, String>;

/// `GET /admin/price-lists/{id}/change`
pub async fn ask(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<PriceListId>,
) -> Result<Response, PageError> {
    // The first midnight after which a rise has been told in time.
    let after = app.clock.now() + TimeDelta::days(i64::from(pricing::notice_days(&app).await?) + 1);
    let from = after.date_naive().and_time(NaiveTime::MIN).format(TIME).to_string();
    let typed = Typed::from([("effective_from".to_owned(), from)]);
    let page = change_page(&app, &staff, &notice, id, &typed, None, FormErrors::none()).await?;
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/price-lists/{id}/change`: shows what the change does until it is said to be saved.
pub async fn change(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PriceListId>,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let saves = typed.get("do").is_some_and(|button| button == "save");
    let done = match read(&typed) {
        Ok(new) if saves => {
            pricing::change(&app, id, &new, &staff.actor).await.map(|(number, effect)| (Some(number), effect))
        }
        Ok(new) => pricing::preview(&app, id, &new).await.map(|effect| (None, effect)),
        Err(error) => Err(error),
    };
    let (status, effect, errors) = match done {
        Ok((Some(number), effect)) => {
            let from = format::time(&effect.effective_from);
            let sentence = format!("Version {number} comes into force on {from} UTC.");
            return Ok(redirect_with(&app, &format!("/admin/price-lists/{id}"), FlashKind::Success, sentence));
        }
        Ok((None, effect)) => (StatusCode::OK, Some(effect), FormErrors::none()),
        Err(error) => (status(&error), None, form_errors(error)?),
    };
    let page = change_page(&app, &staff, &Notice::default(), id, &typed, effect, errors).await?;
    Ok((status, render(&page)).into_response())
}

/// Every field that names a price, as the operation knows it.
fn read(typed: &Typed) -> Result<NewVersion> {
    let text = |field: &str| typed.get(field).map(|text| text.trim().to_owned()).unwrap_or_default();
    let effective_from = match text("effective_from") {
        time if time.is_empty() => None,
        time => {
            Some(time_of(&time).ok_or_else(|| Error::invalid("effective_from", "A time such as 2027-01-31 00:00."))?)
        }
    };
    let prices = typed.keys().filter_map(|field| {
        let mut parts = field.strip_prefix("rate.")?.splitn(2, '.');
        let kind = parts.next()?.to_owned();
        let subject = parts.next();
        let plan: Option<PlanId> = subject.filter(|_| kind.starts_with("vm_")).and_then(|id| id.parse().ok());
        let image: Option<ImageId> = subject.filter(|_| kind == "image_licence").and_then(|id| id.parse().ok());
        // A machine has one cap, whether it runs or not.
        let cap = field.replacen("rate.vm_stopped", "rate.vm_running", 1).replacen("rate.", "cap.", 1);
        Some(NewPrice { price_per_hour: Some(text(field)), monthly_cap: Some(text(&cap)), kind, plan, image })
    });
    let (note, reason) = (text("note"), text("reason"));
    Ok(NewVersion { effective_from, note, reason, prices: prices.collect() })
}

fn time_of(text: &str) -> Option<DateTime<Utc>> {
    let formats = [TIME, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"];
    formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).map(|time| time.and_utc())
}

/// The name of an item's fields, after what they are.
fn field_of(item: Item) -> String {
    let kind = item.kind();
    match (item.plan(), item.image()) {
        (Some(plan), _) => format!("{kind}.{plan}"),
        (_, Some(image)) => format!("{kind}.{image}"),
        (None, None) => kind.to_owned(),
    }
}

async fn change_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    id: PriceListId,
    typed: &Typed,
    effect: Option<Preview>,
    mut errors: FormErrors,
) -> Result<ChangePage> {
    let line = pricing::show(app, id, None).await?.line;
    let rows: Vec<_> = pricing::form_rows(app, id).await?.iter().map(|row| form_row(app, row, typed)).collect();
    for row in &rows {
        // What is wrong with the cap while stopped is shown at the one field that both have.
        let stopped = row.cap_field.replacen("cap.vm_running", "cap.vm_stopped", 1);
        if let Some(problem) = errors.of(&stopped).map(str::to_owned).filter(|_| errors.of(&row.cap_field).is_none()) {
            errors.add(row.cap_field.clone(), problem);
        }
    }
    let text = |field: &str| typed.get(field).cloned().unwrap_or_default();
    Ok(ChangePage {
        id: id.to_string(),
        customers: format::unsigned(line.customers),
        notice_days: pricing::notice_days(app).await?,
        rows,
        effective_from: text("effective_from"),
        note: text("note"),
        reason: text("reason"),
        effect: effect.map(|effect| effect_view(app, effect)),
        errors,
        frame: frames::admin(
            app,
            staff,
            format!("Change prices of {}", line.name),
            AdminSection::Prices,
            count(app).await?,
            notice,
        ),
        list: line.name,
    })
}

fn form_row(app: &App, row: &pricing::FormRow, typed: &Typed) -> FormRow {
    let name = field_of(row.item);
    let (rate_field, cap_field) = (format!("rate.{name}"), format!("cap.{name}"));
    let or_typed =
        |field: &str, present: Option<String>| typed.get(field).cloned().unwrap_or_else(|| present.unwrap_or_default());
    let stopped = row.item.plan().map(|plan| {
        let field = format!("rate.{}", field_of(Item::Vm(plan, PowerState::Stopped)));
        let value = or_typed(&field, row.stopped.map(|rate| rate.to_string()));
        (field, value)
    });
    let zone = app.settings.time_zone;
    let month = row.rate.map(|rate| billing::Estimate::of_new(rate, row.cap, app.clock.now(), zone).month);
    FormRow {
        name: row.name.clone(),
        rate: or_typed(&rate_field, row.rate.map(|rate| rate.to_string())),
        rate_field,
        stopped,
        cap: or_typed(&cap_field, row.cap.map(|cap| cap.to_decimal().normalize().to_string())),
        cap_field,
        month: month.map(decimal),
    }
}

fn effect_view(app: &App, effect: Preview) -> Effect {
    let rows = effect.changes.into_iter().map(|change| ChangeRow {
        before: price_words(app, change.price_before),
        before_cap: cap_words(app, change.cap_before),
        after: price_words(app, change.price_after),
        after_cap: cap_words(app, change.cap_after),
        name: change.name,
        is_rise: change.is_rise,
        customers: format::unsigned(change.customers),
        vms: format::unsigned(change.vms),
    });
    Effect {
        from: effect.effective_from,
        rows: rows.collect(),
        customers: format::unsigned(effect.customers),
        vms: format::unsigned(effect.vms),
        revenue_before: effect.revenue_before.to_decimal(),
        revenue_after: effect.revenue_after.to_decimal(),
    }
}
