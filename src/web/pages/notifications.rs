//! What the organisation should know: the list, the bell, the urgent ones, and marking them as read.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frames::{self, Notice, portal, render, render_with};
use crate::app::App;
use crate::error::Result;
use crate::ids::NotificationId;
use crate::notifications::{self, Notification, PAGE_MAX, Severity};
use crate::permissions::Permission;
use crate::web::error::PageError;
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::{Path, Query};
use crate::web::session::Customer;
use crate::web::views::frame::Section;
use crate::web::views::notifications::{NoticeLevel, NoticeView, NotificationsPage, UrgentNotices};

/// From where on the list is shown.
#[derive(Debug, Deserialize)]
pub struct From {
    after: Option<NotificationId>,
}

/// `GET /notifications?after=`
pub async fn list(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Query(page): Query<From>,
) -> Result<Response, PageError> {
    let organisation = customer.organisation();
    let mut found = notifications::list(&app, organisation, page.after, PAGE_MAX + 1).await?;
    let shown = usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    let has_older = found.len() > shown;
    found.truncate(shown);
    let from = |id: NotificationId| format!("/notifications?after={id}");
    let page = NotificationsPage {
        frame: portal(&app, &customer, "Notices", Section::Notifications, &notice).await?,
        may_read: may_read(&customer),
        unread: format::unsigned(notifications::count_unread(&app, organisation).await?),
        url: page.after.map_or_else(|| "/notifications".to_owned(), from),
        older_url: found.last().filter(|_| has_older).map(|oldest| from(oldest.id)),
        notices: found.into_iter().map(view).collect(),
    };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /notifications/bell`
pub async fn bell(State(app): State<Arc<App>>, customer: Customer) -> Result<Response, PageError> {
    Ok(render(&frames::bell(&app, customer.organisation()).await?))
}

/// `GET /notifications/urgent`
pub async fn urgent(State(app): State<Arc<App>>, customer: Customer) -> Result<Response, PageError> {
    Ok(render(&urgent_of(&app, &customer).await?))
}

/// The urgent notices, for the page that they stand above.
pub(super) async fn urgent_of(app: &App, customer: &Customer) -> Result<UrgentNotices> {
    let notices = notifications::urgent(app, customer.organisation()).await?;
    Ok(UrgentNotices {
        notices: notices.into_iter().map(view).collect(),
        may_read: may_read(customer),
        csrf: customer.session.csrf_token.clone(),
    })
}

fn may_read(customer: &Customer) -> bool {
    customer.session.permissions.has(Permission::NoticeRead)
}

/// `POST /notifications/{id}/read`
pub async fn read(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<NotificationId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    notifications::read(&app, customer.organisation(), id, &customer.actor).await?;
    Ok(Redirect::to("/notifications").into_response())
}

/// `POST /notifications/read`
pub async fn read_all(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    notifications::read_all(&app, customer.organisation(), &customer.actor).await?;
    Ok(Redirect::to("/notifications").into_response())
}

fn view(notice: Notification) -> NoticeView {
    NoticeView {
        id: notice.id.to_string(),
        level: match notice.severity {
            Severity::Info => NoticeLevel::Info,
            Severity::Warning => NoticeLevel::Warning,
            Severity::Urgent => NoticeLevel::Urgent,
        },
        title: notice.title,
        paragraphs: notice.body.split("\n\n").map(str::to_owned).filter(|text| !text.trim().is_empty()).collect(),
        link: notice.link,
        told_at: notice.created_at,
        read_at: notice.read_at,
    }
}
