//! `/admin/mails`: what the platform writes to its customers, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::{List, Page};
use crate::app::App;
use crate::error::Error;
use crate::ids::MailId;
use crate::mail::{self, Filter, Mail, Status};
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiStaff;

/// Which mails are looked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// `pending`, `sent`, `failed`, `unsent` or `withdrawn`.
    #[param(example = "failed")]
    status: Option<String>,
}

/// Lists the mails that were written to customers, newest first.
#[utoipa::path(get, path = "/admin/mails", params(Wanted, Page), responses((status = 200, body = List<Mail>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Query(wanted): Query<Wanted>,
    Query(page): Query<Page>,
) -> Result<Json<List<Mail>>, ApiError> {
    let parse = |name: String| {
        let names = "One of pending, sent, failed, unsent, withdrawn.";
        Status::parse(&name).ok_or_else(|| Error::invalid("status", names))
    };
    let status = wanted.status.map(parse).transpose()?;
    let limit = page.limit(mail::PAGE_MAX);
    let found = mail::list(&app, &Filter { status, after: page.after(), ..Filter::default() }, limit + 1).await?;
    Ok(Json(List::of(found, limit, |mail| mail.id.uuid(), |mail| mail)))
}

/// Shows a mail.
#[utoipa::path(get, path = "/admin/mails/{id}", responses((status = 200, body = Mail)))]
pub async fn show(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<MailId>,
) -> Result<Json<Mail>, ApiError> {
    Ok(Json(mail::find(&app, id).await?))
}

/// Has a mail sent again.
#[utoipa::path(post, path = "/admin/mails/{id}/retry", responses((status = 202, body = Mail)))]
pub async fn retry(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<MailId>,
) -> Result<(StatusCode, Json<Mail>), ApiError> {
    mail::retry(&app, id, &staff.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(mail::find(&app, id).await?)))
}
