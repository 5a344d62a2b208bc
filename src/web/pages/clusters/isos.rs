//! The CD images of a cluster: list them anew, say which are offered under which names and which one rescues.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::page::cluster_page;
use crate::app::App;
use crate::clusters::{self, IsoChoice};
use crate::error::Result;
use crate::ids::{ClusterId, IsoImageId};
use crate::web::error::{PageError, status};
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::pages::frames::{Notice, form_errors, redirect_with, render};
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::frame::FlashKind;

/// `POST /admin/clusters/{id}/isos/refresh`
pub async fn refresh_isos(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let to = format!("/admin/clusters/{id}");
    match clusters::refresh_isos(&app, id, &staff.actor).await {
        Ok(0) => Ok(redirect_with(&app, &to, FlashKind::Success, "The CD images were listed.")),
        Ok(left_out) => {
            let sentence = format!("The CD images were listed. Left out, because not every node has them: {left_out}.");
            Ok(redirect_with(&app, &to, FlashKind::Warning, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let mut page = cluster_page(&app, &staff, &Notice::default(), id, None).await?;
            page.errors = form_errors(error)?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// `POST /admin/clusters/{id}/isos`: fields `name_<id>`, `offered` once for each that is, `rescue`.
pub async fn set_isos(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    CsrfForm(typed): CsrfForm<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let value = |field: &str, value: &str| typed.iter().any(|(name, sent)| name == field && sent == value);
    let choices: Vec<IsoChoice> = typed
        .iter()
        .filter_map(|(field, name)| {
            let id: IsoImageId = field.strip_prefix("name_")?.parse().ok()?;
            Some(IsoChoice { id, name: name.clone(), offered: value("offered", &id.to_string()) })
        })
        .collect();
    let rescue = typed.iter().find(|(field, _)| field == "rescue").and_then(|(_, id)| id.parse().ok());
    let Err(error) = clusters::set_isos(&app, id, &choices, rescue, &staff.actor).await else {
        let to = format!("/admin/clusters/{id}");
        return Ok(redirect_with(&app, &to, FlashKind::Success, "The CD images were saved."));
    };
    let status = status(&error);
    let mut page = cluster_page(&app, &staff, &Notice::default(), id, None).await?;
    page.errors = form_errors(error)?;
    for image in &mut page.isos {
        if let Some(choice) = choices.iter().find(|choice| choice.id.to_string() == image.id) {
            image.name.clone_from(&choice.name);
            image.offered = choice.offered;
        }
        image.rescue = rescue.is_some_and(|rescue| rescue.to_string() == image.id);
    }
    Ok((status, render(&page)).into_response())
}
