//! Mails for operators: by state, and one with its text, which can be sent again when it could not be sent.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::exceptions;
use super::frames::{self, Notice, redirect_with, render, render_with};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::MailId;
use crate::mail::{self, Filter, Mail, Mailer, PAGE_MAX, Status};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::frame::{AdminSection, FlashKind, Link};
use crate::web::views::mails::{MailPage, MailRow, MailRows, MailState, MailTab, MailsPage};

/// Which mails are looked at.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    status: String,
    after: Option<MailId>,
}

/// `GET /admin/mails`
pub async fn list(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let page = MailsPage {
        frame: frames::admin(&app, &staff, "Mails", AdminSection::Mails, exceptions::count(&app).await?, &notice),
        has_no_server: matches!(app.settings.mailer, Mailer::None),
        is_kept: matches!(app.settings.mailer, Mailer::Kept),
        list: mail_rows(&app, &wanted).await?,
    };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /admin/mails/rows`
pub async fn rows(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    Ok(render(&mail_rows(&app, &wanted).await?))
}

/// `GET /admin/mails/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<MailId>,
) -> Result<Response, PageError> {
    let mail = mail::find(&app, id).await?;
    let waiting = exceptions::count(&app).await?;
    let page = MailPage {
        frame: frames::admin(&app, &staff, mail.subject.clone(), AdminSection::Mails, waiting, &notice),
        mail: mail_row(&mail),
        may_retry: mail.may_retry(),
        attempts: u32::try_from(mail.attempts).unwrap_or(0),
        next_attempt_at: mail.next_attempt_at,
        sent_at: mail.sent_at,
        withdrawn_at: mail.withdrawn_at,
        body: mail.body,
        kind: mail.kind,
        key: mail.key,
    };
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/mails/{id}/retry`
pub async fn retry(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<MailId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let to = format!("/admin/mails/{id}");
    match mail::retry(&app, id, &staff.actor).await {
        Ok(()) => Ok(redirect_with(&app, &to, FlashKind::Success, "It is being sent again.")),
        Err(Error::Conflict(why)) => Ok(redirect_with(&app, &to, FlashKind::Warning, why)),
        Err(error) => Err(error.into()),
    }
}

async fn mail_rows(app: &App, wanted: &Wanted) -> Result<MailRows> {
    let status = Status::parse(&wanted.status);
    let mut found = mail::list(app, &Filter { status, after: wanted.after, ..Filter::default() }, PAGE_MAX + 1).await?;
    let shown = usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    let has_older = found.len() > shown;
    found.truncate(shown);
    let value = status.map_or("all", Status::name);
    let after = wanted.after.map_or_else(String::new, |after| format!("&after={after}"));
    let oldest = found.last().filter(|_| has_older);
    Ok(MailRows {
        tabs: tabs(app, status).await?,
        rows_url: format!("/admin/mails/rows?status={value}{after}"),
        older_url: oldest.map(|mail| format!("/admin/mails?status={value}&after={}", mail.id)),
        rows: found.iter().map(mail_row).collect(),
    })
}

async fn tabs(app: &App, open: Option<Status>) -> Result<Vec<MailTab>> {
    let counts = mail::counts(app).await?;
    let count = |state: MailState| match state {
        MailState::Waiting => counts.pending,
        MailState::Sent => counts.sent,
        MailState::Failed => counts.failed,
        MailState::Unsent => counts.unsent,
        MailState::Withdrawn => counts.withdrawn,
    };
    let open = open.map(state);
    let mut tabs: Vec<MailTab> = MailState::EVERY
        .into_iter()
        .map(|state| MailTab {
            word: state.word(),
            value: state.value(),
            count: format::unsigned(count(state)),
            is_open: open == Some(state),
        })
        .collect();
    let all = tabs.iter().map(|tab| tab.count).sum();
    tabs.push(MailTab { word: "All", value: "all", count: all, is_open: open.is_none() });
    Ok(tabs)
}

fn mail_row(mail: &Mail) -> MailRow {
    MailRow {
        id: mail.id.to_string(),
        subject: mail.subject.clone(),
        to: if mail.to_name.is_empty() {
            mail.to_address.clone()
        } else {
            format!("{} <{}>", mail.to_name, mail.to_address)
        },
        organisation: mail
            .organisation_id
            .zip(mail.organisation_name.clone())
            .map(|(id, text)| Link { text, url: format!("/admin/customers/{id}") }),
        state: state(mail.status),
        error: mail.error.clone(),
        written_at: mail.created_at,
    }
}

fn state(status: Status) -> MailState {
    match status {
        Status::Pending => MailState::Waiting,
        Status::Sent => MailState::Sent,
        Status::Failed => MailState::Failed,
        Status::Unsent => MailState::Unsent,
        Status::Withdrawn => MailState::Withdrawn,
    }
}
