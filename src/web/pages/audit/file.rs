//! The audit log as a file, written while it is read: for browsers and for programs, for customers and for staff.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::SecondsFormat;
use futures_util::stream;
use serde_json::Value;

use super::search::Search;
use crate::app::App;
use crate::audit::{self, AuditEvent, Event, Filter};
use crate::error::{Error, Result};
use crate::web::csv::{JSON_LINES, Row, file, file_of};
use crate::web::error::{ApiError, PageError};
use crate::web::read::Query;
use crate::web::session::{ApiCaller, ApiStaff, Customer, Staff};

/// How many events are read at once.
const EVENTS_AT_ONCE: i64 = 500;
/// The most events in one file; one that would have more breaks off.
const EVENTS_PER_FILE_MAX: usize = 2_000_000;

/// What a file is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    JsonLines,
}

/// `GET /audit.csv`
pub async fn csv(
    State(app): State<Arc<App>>,
    customer: Customer,
    Query(search): Query<Search>,
) -> Result<Response, PageError> {
    Ok(written(app, Form::Csv, search.filter(Filter::of_customer(customer.organisation()))?))
}

/// `GET /audit.jsonl`
pub async fn json_lines(
    State(app): State<Arc<App>>,
    customer: Customer,
    Query(search): Query<Search>,
) -> Result<Response, PageError> {
    Ok(written(app, Form::JsonLines, search.filter(Filter::of_customer(customer.organisation()))?))
}

/// `GET /admin/audit.csv`
pub async fn csv_for_staff(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Query(search): Query<Search>,
) -> Result<Response, PageError> {
    Ok(written(app, Form::Csv, search.filter(Filter::default())?))
}

/// `GET /admin/audit.jsonl`
pub async fn json_lines_for_staff(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Query(search): Query<Search>,
) -> Result<Response, PageError> {
    Ok(written(app, Form::JsonLines, search.filter(Filter::default())?))
}

/// Writes what happened in the organisation as CSV, newest first.
#[utoipa::path(
    get, path = "/audit-events.csv", params(Search),
    responses((status = 200, content_type = "text/csv", body = String))
)]
pub async fn csv_for_programs(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(search): Query<Search>,
) -> Result<Response, ApiError> {
    Ok(written(app, Form::Csv, search.filter(Filter::of_customer(caller.organisation.id))?))
}

/// Writes what happened in the organisation as a JSON object per line, newest first.
#[utoipa::path(
    get, path = "/audit-events.jsonl", params(Search),
    responses((status = 200, content_type = "application/jsonl", body = String))
)]
pub async fn json_lines_for_programs(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Query(search): Query<Search>,
) -> Result<Response, ApiError> {
    Ok(written(app, Form::JsonLines, search.filter(Filter::of_customer(caller.organisation.id))?))
}

/// Writes what happened anywhere as CSV, newest first.
#[utoipa::path(
    get, path = "/admin/audit-events.csv", params(Search),
    responses((status = 200, content_type = "text/csv", body = String))
)]
pub async fn csv_for_programs_of_staff(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(search): Query<Search>,
) -> Result<Response, ApiError> {
    Ok(written(app, Form::Csv, search.filter(Filter::default())?))
}

/// Writes what happened anywhere as a JSON object per line, newest first.
#[utoipa::path(
    get, path = "/admin/audit-events.jsonl", params(Search),
    responses((status = 200, content_type = "application/jsonl", body = String))
)]
pub async fn json_lines_for_programs_of_staff(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(search): Query<Search>,
) -> Result<Response, ApiError> {
    Ok(written(app, Form::JsonLines, search.filter(Filter::default())?))
}

/// Newest first, a few hundred events at a time.
fn written(app: Arc<App>, form: Form, filter: Filter) -> Response {
    let day = app.clock.now().date_naive();
    let head = if form == Form::Csv { head() } else { String::new() };
    let pieces = stream::try_unfold((app, Some(filter), head, 0), move |(app, filter, head, written)| async move {
        let Some(mut filter) = filter else { return Ok(None) };
        let events = audit::list(&app, &filter, EVENTS_AT_ONCE).await?;
        let mut text = head;
        for event in &events {
            text.push_str(&match form {
                Form::Csv => row(event),
                Form::JsonLines => line(event)?,
            });
        }
        let written = written + events.len();
        if written > EVENTS_PER_FILE_MAX {
            return Err(Error::Unavailable("This file would be too long: ask for fewer days.".into()));
        }
        filter.after = events.last().map(|event| event.id);
        let next = filter.after.is_some().then_some(filter);
        Ok::<_, Error>((!text.is_empty()).then_some((text, (app, next, String::new(), written))))
    });
    match form {
        Form::Csv => file(&format!("audit-{day}.csv"), pieces),
        Form::JsonLines => file_of(&format!("audit-{day}.jsonl"), JSON_LINES, pieces),
    }
}

fn head() -> String {
    let head = [
        "time_utc",
        "event",
        "words",
        "actor_kind",
        "actor",
        "actor_key",
        "on_behalf",
        "organisation",
        "subject_kind",
        "subject_name",
        "subject_id",
        "changes",
        "detail",
        "address",
        "user_agent",
        "request_id",
        "id",
    ];
    head.into_iter().fold(Row::default(), Row::plain).end()
}

fn row(event: &AuditEvent) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let detail = match &event.detail {
        Value::Object(facts) if facts.is_empty() => String::new(),
        detail => detail.to_string(),
    };
    Row::default()
        .plain(event.at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        .plain(&event.event)
        .plain(Event::words(&event.event))
        .plain(event.actor_kind.name())
        .typed(&event.actor)
        .typed(&text(&event.actor_key))
        .typed(&text(&event.on_behalf))
        .typed(&text(&event.organisation_name))
        .plain(&event.subject_kind)
        .typed(&event.subject_name)
        .typed(&event.subject_id)
        .typed(&event.changes.as_ref().map(Value::to_string).unwrap_or_default())
        .typed(&detail)
        .typed(&text(&event.address))
        .typed(&text(&event.user_agent))
        .plain(text(&event.request_id))
        .plain(event.id)
        .end()
}

fn line(event: &AuditEvent) -> Result<String> {
    let mut line = serde_json::to_string(event).map_err(anyhow::Error::new)?;
    line.push('\n');
    Ok(line)
}
